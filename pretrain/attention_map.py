"""`python -m pretrain.attention_map RUN TEXT --to FILE.png`: plot the attention of a recurrent model.

For a sequence autoencoder with attention: the weights on the input tokens for each output token. For a classifier with
attention pooling: the weights of its last state on the input tokens.
"""

from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from configs.command_line import CommandLine
from configs.errors import InputError, run_command
from configs.terminal import show_progress_lines
from pretrain.models.generation import SEQUENCE_TO_SEQUENCE, load_recurrent
from pretrain.run_paths import find

PROGRAM = "python -m pretrain.attention_map"
CLASSIFIER = "RecurrentForSequenceClassification"
INCHES_PER_TOKEN = 0.32


def attention(reference: str, text: str, runs: str = "runs") -> tuple[list[list[float]], list[str], list[str]]:
    """Attention weights [U, T], the labels of the U rows, and the T input tokens.

    Raises:
        InputError: the model cannot be loaded or has no attention, or the text is empty.
    """
    import torch

    hint = "which has no attention to show; give a recurrent classifier or a sequence autoencoder"
    model, tokenizer = load_recurrent(find(reference, runs)[0], (CLASSIFIER, SEQUENCE_TO_SEQUENCE), hint)
    if not text.strip():
        raise InputError("TEXT: is empty")
    if type(model).__name__ == CLASSIFIER:
        ids = tokenizer.encode(text)
        with torch.inference_mode():
            output = model(torch.tensor([ids]), output_attentions=True)
        if output.attentions is None:
            raise InputError(f"model: {reference!r} pools by {model.config.pooling!r}, not by attention")
        label = model.config.id2label[int(output.logits[0].argmax())]
        return output.attentions[0].tolist(), [label], tokenizer.convert_ids_to_tokens(ids)
    ids = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.sep_token_id]
    input_ids = torch.tensor([ids])
    (output_ids,) = model.greedy(input_ids, None, tokenizer.cls_token_id, tokenizer.sep_token_id, longest=2 * len(ids))
    with torch.inference_mode():
        output = model(input_ids, torch.tensor([[tokenizer.cls_token_id, *output_ids]]))
    if output.attentions is None:
        raise InputError(f"model: {reference!r} was trained without attention (recurrent.attention)")
    output_tokens = tokenizer.convert_ids_to_tokens([*output_ids, tokenizer.sep_token_id])
    return output.attentions[0].tolist(), output_tokens, tokenizer.convert_ids_to_tokens(ids)


def draw(weights: list[list[float]], rows: list[str], columns: list[str], file: Path) -> None:
    """Save a heat map: input tokens from left to right, output tokens from top to bottom."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    size: Any = (2 + INCHES_PER_TOKEN * len(columns), 1.6 + INCHES_PER_TOKEN * len(rows))
    figure, axes = pyplot.subplots(figsize=size, layout="constrained")
    image = axes.imshow(weights, cmap="viridis", vmin=0, aspect="equal")
    axes.set_xticks(range(len(columns)), columns, rotation=90)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xlabel("read")
    figure.colorbar(image, ax=axes, shrink=0.8, label="weight")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
    pyplot.close(figure)


def main() -> None:
    """Parse the command line, then draw."""
    parser = CommandLine(PROGRAM, description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("model", type=str, metavar="RUN", help="A run, a folder with a model, or a Hub id.")
    parser.add_argument("text", type=str, metavar="TEXT", help="The input text.")
    parser.add_argument("--to", type=str, default="attention.png", help="The picture: .png, .svg or .pdf.")
    parser.add_argument("--runs", type=str, default="runs", help="The folder of runs.")
    options: Namespace = parser.parse_args()
    file = Path(options.to)
    if file.suffix not in (".png", ".svg", ".pdf"):
        raise InputError(f"--to: {options.to!r} must end in one of .png, .svg, .pdf")
    show_progress_lines()
    draw(*attention(options.model, options.text, options.runs), file)
    print(f"attention: {file}")


if __name__ == "__main__":
    run_command(PROGRAM, main)
