"""`python -m pretrain.curves RUN… --measure NAME --to FILE.png`: how a measure went while runs learned, as a picture.

Reads `metrics.jsonl` and `config.yaml` of run folders alone. Runs of one model and label budget, such as its seeds,
share a colour.
"""

from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace

from configs.command_line import CommandLine, suggestion
from configs.errors import InputError, run_command
from pretrain.training.metric_logger import read_metrics

PROGRAM = "python -m pretrain.curves"
# Okabe and Ito's palette, which most people can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
ENDINGS = (".png", ".svg", ".pdf")


def curve(folder: Path, measure: str, by_name: bool = False) -> tuple[str, list[int], list[float]]:
    """What a run is called, and a measure of it at steps.

    Args:
        folder: of the run.
        measure: a key of `metrics.jsonl`.
        by_name: call it by its `name`, not by its model and label budget.

    Raises:
        InputError: there is no run, or it has no such measure.
    """
    if not (folder / "metrics.jsonl").is_file() or not (folder / "config.yaml").is_file():
        raise InputError(f"RUN: {folder} holds no metrics.jsonl and config.yaml of a run")
    rows = read_metrics(folder / "metrics.jsonl")
    found = [(row["step"], row[measure]) for row in rows if measure in row]
    if not found:
        known = sorted({name for row in rows for name in row})
        raise InputError(f"--measure: {folder} has no {measure!r}{suggestion(measure, known)} ({', '.join(known)})")
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    name = config.get("model", {}).get("name")
    if by_name or name is None:
        return config["name"], [step for step, _ in found], [value for _, value in found]
    budget = config.get("label_budget")
    shown = name if budget is None else f"{name}, {budget:,} labels"
    return shown, [step for step, _ in found], [value for _, value in found]


def draw(curves: list[tuple[str, list[int], list[float]]], measure: str, file: Path) -> None:
    """One line a run, one colour a name."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.5, 4.2), layout="constrained")
    names = list(dict.fromkeys(name for name, _, _ in curves))
    for name, steps, values in curves:
        number = names.index(name)
        first = all(line.get_label() != name for line in axes.lines)
        style: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "marker": "o", "markersize": 3}
        axes.plot(steps, values, label=name if first else "_", alpha=0.8, **style)
    axes.set(xlabel="step", ylabel=measure.replace("_", " "))
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
    pyplot.close(figure)


def main() -> None:
    """Parse the command line, then draw."""
    parser = CommandLine(PROGRAM, description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("run", type=str, nargs="+", metavar="RUN", help="Run folders of any stage.")
    parser.add_argument("--measure", type=str, default="eval_loss", help="A key of metrics.jsonl.")
    parser.add_argument("--by_name", type=bool, default=False, help="Call runs by their `name`, not by their model.")
    parser.add_argument("--to", type=str, default="curves.png", help="The picture: .png, .svg or .pdf.")
    given: Namespace = parser.parse_args()
    file = Path(given.to)
    if file.suffix not in ENDINGS:
        raise InputError(f"--to: {given.to!r} ends in none of {', '.join(ENDINGS)}")
    draw([curve(Path(folder), given.measure, given.by_name) for folder in given.run], given.measure, file)
    print(f"curves: {file}")


if __name__ == "__main__":
    run_command(PROGRAM, main)
