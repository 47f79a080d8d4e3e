"""`python -m pretrain.sample RUN --prompt TEXT`: let a recurrent language model write.

A sequence autoencoder reads the prompt and writes it again.
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

from configs.command_line import CommandLine
from configs.errors import InputError, run_command
from configs.terminal import show_progress_lines
from tokenizer.config import require_at_least, require_between

if TYPE_CHECKING:
    import torch

PROGRAM = "python -m pretrain.sample"
LANGUAGE_MODEL, TRANSLATOR = "RecurrentForCausalLM", "RecurrentForSequenceToSequence"


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How the next token is drawn."""

    temperature: float = 1.0
    """Scores are divided by it: below 1 likely tokens become likelier; 0 takes the likeliest."""
    top_k: int | None = None
    """Draw among so many of the likeliest tokens; None among all."""
    top_p: float | None = None
    """Draw among the likeliest tokens that together have this probability (Holtzman et al. 2020); None among all."""
    seed: int = 0
    """The same one writes the same text."""

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn from."""
        require_between(0, 100, temperature=self.temperature)
        require_at_least(1, top_k=1 if self.top_k is None else self.top_k)
        require_between(1e-6, 1, top_p=1 if self.top_p is None else self.top_p)


def probabilities(scores_V: "torch.Tensor", sampling: Sampling) -> "torch.Tensor":
    """What the next token is drawn from, [V]: temperature first, then `top_k`, then `top_p` of what is left.

    >>> import torch
    >>> scores = torch.tensor([0.4, 0.3, 0.2, 0.1]).log()
    >>> [round(float(share), 2) for share in probabilities(scores, Sampling(top_k=3, top_p=0.5))]
    [0.57, 0.43, 0.0, 0.0]
    """
    import torch

    if sampling.temperature == 0:
        return torch.nn.functional.one_hot(scores_V.argmax(), len(scores_V)).to(scores_V.dtype)
    scores_V = scores_V / sampling.temperature
    if sampling.top_k is not None and sampling.top_k < len(scores_V):
        least = scores_V.topk(sampling.top_k).values[-1]
        scores_V = scores_V.masked_fill(scores_V < least, -torch.inf)
    shares_V = scores_V.softmax(-1)
    if sampling.top_p is None:
        return shares_V
    ordered_V, places_V = shares_V.sort(descending=True, stable=True)
    # The first token that reaches the bound is still among them.
    ordered_V = ordered_V.masked_fill(ordered_V.cumsum(-1) - ordered_V >= sampling.top_p, 0.0)
    kept_V = torch.zeros_like(shares_V).index_copy(0, places_V, ordered_V)
    return kept_V / kept_V.sum()


def written(model: Any, tokenizer: Any, prompt: str, length: int, sampling: Sampling) -> str:
    """The prompt, and `length` tokens that a language model writes behind it; a new document begins a new paragraph.

    Args:
        model: a `RecurrentForCausalLM`.
        tokenizer: its own.
        prompt: may be empty: then a document begins.
        length: how many tokens to write.
        sampling: how.
    """
    import torch

    device, was_training = next(model.parameters()).device, model.training
    model.eval()
    generator = torch.Generator().manual_seed(sampling.seed)
    ids = tokenizer.encode(prompt, add_special_tokens=False) if prompt else []
    # A document's first token follows the [SEP] of the one before.
    read, state, found = [tokenizer.sep_token_id, *ids], None, list(ids)
    with torch.inference_mode():
        for _ in range(length):
            output = model(input_ids=torch.tensor([read], device=device), state=state)
            state = output.state
            shares_V = probabilities(output.logits[0, -1].double().cpu(), sampling)
            read = [int(torch.multinomial(shares_V, 1, generator=generator))]
            found += read
    model.train(was_training)
    documents: list[list[int]] = [[]]
    for token in found:
        if token == tokenizer.sep_token_id:
            documents.append([])
        else:
            documents[-1].append(token)
    return "\n\n".join(tokenizer.decode(document) for document in documents).strip()


def loaded(reference: str, kinds: Sequence[str], runs: str, needed: str) -> tuple[Any, Any]:
    """A recurrent model of one of these kinds and its tokenizer.

    Args:
        reference: a run's YAML file or folder, any folder with a `config.json`, or a Hub id.
        kinds: names of classes of `modeling_recurrent.py` and `modeling_writing.py`.
        runs: the folder of runs.
        needed: what to say of a model of another kind, and what to give instead.

    Raises:
        InputError: it cannot be loaded, or is of another kind.
    """
    from transformers import AutoConfig

    from pretrain import models
    from pretrain.continued import quiet_transformers
    from pretrain.folders import find
    from pretrain.trust import SAFE, SAFE_WEIGHTS, UNREADABLE
    from tokenizer.train import load_any

    folder, _ = find(reference, runs)
    with quiet_transformers():
        try:
            name = next(
                iter(AutoConfig.from_pretrained(folder, **SAFE).architectures or []), "model of an unknown kind"
            )
            if name not in kinds:
                raise InputError(f"model: {reference!r} is a {name}, {needed}")
            model: Any = getattr(models, name).from_pretrained(folder, **SAFE_WEIGHTS)
        except UNREADABLE as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"model: {reference!r} cannot be loaded: {' '.join(str(error).split())}") from None
    return model.eval(), load_any(folder)


def lines(model: str, prompt: str, length: int, sampling: Sampling, beams: int = 1, runs: str = "runs") -> str:
    """What a run's model writes.

    Raises:
        InputError: it cannot be loaded, or is no model that writes.
    """
    import torch

    needed = "which does not write; give a run with objective causal_lm or autoencode"
    writer, tokenizer = loaded(model, (LANGUAGE_MODEL, TRANSLATOR), runs, needed)
    if type(writer).__name__ == LANGUAGE_MODEL:
        return written(writer, tokenizer, prompt, length, sampling)
    if not prompt:
        raise InputError("--prompt: a sequence autoencoder writes what it reads; give a text")
    ids = torch.tensor([[*tokenizer.encode(prompt, add_special_tokens=False), tokenizer.sep_token_id]])
    ends = (tokenizer.cls_token_id, tokenizer.sep_token_id)
    (again,) = writer.beam_search(ids, None, *ends, longest=length, beams=beams)
    return tokenizer.decode(again)


def main() -> None:
    """Parse the command line, then write."""
    parser = CommandLine(PROGRAM, description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("model", type=str, metavar="RUN", help="A run, a folder with a model, or a Hub id.")
    parser.add_argument(
        "--prompt", type=str, default="", help="What the text begins with; a document's beginning if empty."
    )
    parser.add_argument("--length", type=int, default=200, help="How many tokens to write.")
    parser.add_argument("--temperature", type=float, default=1.0, help="Below 1 likelier, 0 the likeliest.")
    parser.add_argument("--top_k", type=int, default=None, help="Draw among so many of the likeliest tokens.")
    parser.add_argument("--top_p", type=float, default=None, help="Draw among the likeliest of this probability.")
    parser.add_argument("--seed", type=int, default=0, help="The same one writes the same text.")
    parser.add_argument("--beams", type=int, default=1, help="Of autoencoders: beginnings followed up side by side.")
    parser.add_argument("--runs", type=str, default="runs", help="The folder of runs.")
    given: Namespace = parser.parse_args()
    require_at_least(1, length=given.length, beams=given.beams)
    sampling = Sampling(given.temperature, given.top_k, given.top_p, given.seed)
    show_progress_lines()
    print(lines(given.model, given.prompt, given.length, sampling, given.beams, given.runs))


if __name__ == "__main__":
    run_command(PROGRAM, main)
