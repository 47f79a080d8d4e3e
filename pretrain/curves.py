"""`python -m pretrain.curves RUN… --measure NAME --to FILE.png`: plot a metric over the steps of runs.

Reads only `metrics.jsonl` and `config.yaml` of run folders. Runs of one model and label budget, such as several seeds,
share a colour.
"""

from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace

from configs.command_line import CommandLine
from configs.errors import InputError, run_command
from configs.key_check import suggestion
from pretrain.training.metric_logger import read_metrics

PROGRAM = "python -m pretrain.curves"
# Okabe and Ito's palette, safe for most kinds of colour blindness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
ENDINGS = (".png", ".svg", ".pdf")


def curve(folder: Path, measure: str, by_name: bool = False) -> tuple[str, list[int], list[float]]:
    """The label of a run, and the steps and values of a metric.

    Args:
        folder: the run folder.
        measure: a key of `metrics.jsonl`.
        by_name: label it by its `name`, not by its model and label budget.

    Raises:
        InputError: the folder holds no run, or the run has no such metric.
    """
    if not (folder / "metrics.jsonl").is_file() or not (folder / "config.yaml").is_file():
        raise InputError(f"RUN: {folder} holds no metrics.jsonl and config.yaml of a run")
    rows = read_metrics(folder / "metrics.jsonl")
    points = [(row["step"], row[measure]) for row in rows if measure in row]
    if not points:
        known = sorted({name for row in rows for name in row})
        raise InputError(f"--measure: {folder} has no {measure!r}{suggestion(measure, known)} ({', '.join(known)})")
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    name = config.get("model", {}).get("name")
    if by_name or name is None:
        return config["name"], [step for step, _ in points], [value for _, value in points]
    budget = config.get("label_budget")
    label = name if budget is None else f"{name}, {budget:,} labels"
    return label, [step for step, _ in points], [value for _, value in points]


def draw(curves: list[tuple[str, list[int], list[float]]], measure: str, file: Path) -> None:
    """Save the plot: one line per run, one colour per label."""
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
    parser.add_argument("--by_name", type=bool, default=False, help="Label runs by their `name`, not by their model.")
    parser.add_argument("--to", type=str, default="curves.png", help="The picture: .png, .svg or .pdf.")
    options: Namespace = parser.parse_args()
    file = Path(options.to)
    if file.suffix not in ENDINGS:
        raise InputError(f"--to: {options.to!r} must end in one of {', '.join(ENDINGS)}")
    draw([curve(Path(folder), options.measure, options.by_name) for folder in options.run], options.measure, file)
    print(f"curves: {file}")


if __name__ == "__main__":
    run_command(PROGRAM, main)
