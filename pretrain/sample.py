"""`python -m pretrain.sample RUN --prompt TEXT`: generate text with a recurrent language model.

A sequence autoencoder reconstructs the prompt.
"""

from jsonargparse import Namespace

from configs.bounds import require_at_least
from configs.command_line import CommandLine
from configs.errors import InputError, run_command
from configs.terminal import show_progress_lines
from pretrain.models.generation import (
    LANGUAGE_MODEL,
    SEQUENCE_TO_SEQUENCE,
    Sampling,
    generate_text,
    load_recurrent,
)
from pretrain.run_paths import find

PROGRAM = "python -m pretrain.sample"


def sample(reference: str, prompt: str, length: int, sampling: Sampling, beams: int = 1, runs: str = "runs") -> str:
    """The text that a model generates.

    Args:
        reference: a run's YAML file or folder, any folder with a `config.json`, or a Hub id.
        prompt: the text that a language model continues or a sequence autoencoder reconstructs.
        length: maximum number of tokens.
        sampling: for a language model.
        beams: for a sequence autoencoder.
        runs: the folder of runs.

    Raises:
        InputError: the model cannot be loaded, or cannot generate text.
    """
    import torch

    hint = "which cannot generate text; give a run with objective causal_lm or autoencode"
    folder, _ = find(reference, runs)
    model, tokenizer = load_recurrent(folder, (LANGUAGE_MODEL, SEQUENCE_TO_SEQUENCE), hint)
    if type(model).__name__ == LANGUAGE_MODEL:
        return generate_text(model, tokenizer, prompt, length, sampling)
    if not prompt:
        raise InputError("--prompt: a sequence autoencoder reconstructs its input; give a text")
    ids = torch.tensor([[*tokenizer.encode(prompt, add_special_tokens=False), tokenizer.sep_token_id]])
    begin, end = tokenizer.cls_token_id, tokenizer.sep_token_id
    (output_ids,) = model.beam_search(ids, None, begin, end, longest=length, beams=beams)
    return tokenizer.decode(output_ids)


def main() -> None:
    """Parse the command line, then print the text."""
    parser = CommandLine(PROGRAM, description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("model", type=str, metavar="RUN", help="A run, a folder with a model, or a Hub id.")
    parser.add_argument(
        "--prompt", type=str, default="", help="The start of the text; if empty, the start of a document."
    )
    parser.add_argument("--length", type=int, default=200, help="Number of tokens to generate.")
    parser.add_argument(
        "--temperature", type=float, default=1.0, help="Below 1 favours likelier tokens, 0 takes the likeliest."
    )
    parser.add_argument("--top_k", type=int, default=None, help="Sample from this many of the likeliest tokens.")
    parser.add_argument(
        "--top_p", type=float, default=None, help="Sample from the likeliest tokens with this total probability."
    )
    parser.add_argument("--seed", type=int, default=0, help="The same seed gives the same text.")
    parser.add_argument("--beams", type=int, default=1, help="For autoencoders: number of beams in beam search.")
    parser.add_argument("--runs", type=str, default="runs", help="The folder of runs.")
    options: Namespace = parser.parse_args()
    require_at_least(1, length=options.length, beams=options.beams)
    sampling = Sampling(options.temperature, options.top_k, options.top_p, options.seed)
    show_progress_lines()
    print(sample(options.model, options.prompt, options.length, sampling, options.beams, options.runs))


if __name__ == "__main__":
    run_command(PROGRAM, main)
