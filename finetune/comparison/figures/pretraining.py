"""The curves of pretraining: the masked-LM loss and the second task's accuracy, in training and held out."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from configs.run_folder import RunFolder
from finetune.comparison.figures.plot import Figure, Plot, both, spaced
from finetune.comparison.figures.svg import Drawing, ticks
from pretrain.objectives.registry import second_task_results
from pretrain.training.metric_logger import read_metrics

# More points of a training curve are not to be seen.
MOST_POINTS = 240


class Panel(NamedTuple):
    """One metric of pretraining."""

    metric: str
    name: str
    title: str
    baseline: float
    baseline_name: str


def pretraining_figures(pretrained: RunFolder) -> list[Figure]:
    """A figure for each metric of a pretraining run of an encoder; none where its log is gone."""
    if not pretrained.metrics.is_file():
        return []
    result, rows = pretrained.result(), read_metrics(pretrained.metrics)
    panels = []
    if "eval_unigram_entropy" in result:
        panels.append(
            Panel(
                "mlm_loss", "masked-LM loss", "masked-LM loss, nats", result["eval_unigram_entropy"], "unigram entropy"
            )
        )
    panels += [
        Panel(
            f"{task.prefix}_accuracy", f"{task.name} accuracy", f"{task.name} accuracy", task.majority, "majority label"
        )
        for task in second_task_results(result)
    ]
    return [
        both(
            f"pretraining-{panel.metric.replace('_', '-')}",
            f"{panel.name[:1].upper()}{panel.name[1:]} in pretraining",
            "Thin: training texts; thick: held-out sequences, from other documents and with fixed masks; dashed: what "
            f"knowing no more than the {panel.baseline_name} gives.",
            lambda width, panel=panel: _drawing(width, rows, panel),
            "pretraining",
        )
        for panel in panels
        if any(f"eval_{panel.metric}" in row for row in rows)
    ]


def curve(rows: Sequence[Mapping[str, Any]], metric: str) -> list[tuple[float, float]]:
    """Million tokens and values of a metric, thinned out.

    >>> curve([{"tokens": 1e6, "loss": 2.0}, {"tokens": 2e6, "other": 1.0}], "loss")
    [(1.0, 2.0)]
    """
    values = [(row["tokens"] / 1e6, row[metric]) for row in rows if metric in row and row[metric] is not None]
    step = max(1, len(values) // MOST_POINTS)
    return values[::-1][::step][::-1]


def _drawing(width: int, rows: Sequence[Mapping[str, Any]], panel: Panel) -> Drawing:
    drawing = Drawing(width, 320, f"{panel.title} against tokens of pretraining")
    training, held_out = curve(rows, panel.metric), curve(rows, f"eval_{panel.metric}")
    values = [value for _, value in (*training, *held_out)] + [panel.baseline]
    last = max(tokens for tokens, _ in (*training, *held_out))
    plot = Plot(drawing, (0.0, last), ticks(min(values), max(values), 5), 128)
    marks = ticks(0.0, last, 4 if width < 500 else 6)
    marks = [value for value in marks if value <= last]
    shown = {label for _, label in spaced([(plot.x(value), f"{value:g}") for value in marks])}
    plot.axes([(value, f"{value:g}") for value in marks if f"{value:g}" in shown], "million tokens", panel.title)
    base = plot.y(panel.baseline)
    drawing.line((plot.left, base), (plot.right, base), "level")
    ends = [(plot.right, base, panel.baseline_name, "quiet")]
    for name, values_at, style in (("training", training, "raw"), ("held out", held_out, "pre lead")):
        if not values_at:
            continue
        spots = [(plot.x(tokens), plot.y(value)) for tokens, value in values_at]
        drawing.path(spots, f"curve {style}")
        ends.append((*spots[-1], name, style))
        if name == "held out":
            for (x, y), (tokens, value) in zip(spots, values_at, strict=True):
                drawing.point(x, y, f"after {tokens:.2f} million tokens: {value:.3f} held out", style)
    plot.end_labels(ends)
    return drawing
