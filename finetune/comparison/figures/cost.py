"""Quality against cost, with the Pareto front."""

import math
from collections.abc import Sequence

from finetune.comparison.analysis.costs import Cost
from finetune.comparison.analysis.headline import Pair
from finetune.comparison.analysis.words import duration, percent
from finetune.comparison.figures.plot import LONGEST_LABEL, SHAPES, Figure, Plot, both, style_of
from finetune.comparison.figures.svg import Drawing, place_labels, shortened, ticks

SECONDS = (0.01, 0.1, 1, 10, 60, 600, 3600, 36_000, 360_000, 3_600_000)


def cost_figure(costs: Sequence[Cost], pair: Pair | None, score: str, budget: int) -> Figure | None:
    """The score against the time it took, pretraining included; without it, hollow."""
    known = [cost for cost in costs if cost.total_seconds is not None]
    if len(known) < 2:
        return None
    parts = ""
    if any(cost.pretraining_seconds for cost in known):
        parts = (
            ", pretraining included; the hollow mark to the left of a pretrained model is what fine-tuning alone took, "
            "for those who have the pretrained model already"
        )
    caption = (
        f"With {budget:,} labels: time of one training run{parts}. The dashed line joins what no other model beats for "
        "less (the Pareto front)."
    )
    leaders = [] if pair is None else [pair.model, pair.rival]
    return both(
        "cost", "Quality against cost", caption, lambda width: _cost_drawing(width, known, leaders, score), "costs"
    )


def _cost_drawing(width: int, costs: Sequence[Cost], leaders: Sequence[str], score: str) -> Drawing:
    drawing = Drawing(width, 380, f"Test {score} against training time, by model")
    spent = {cost.model: max(cost.total_seconds or 0.0, 0.01) for cost in costs}
    seconds = [value for cost in costs for value in (spent[cost.model], max(cost.training_seconds, 0.01))]
    low, high = math.log10(min(seconds)), math.log10(max(seconds))
    room = max(0.15 * (high - low), 0.15)
    marks = ticks(100 * min(cost.score for cost in costs), min(100, 100 * max(cost.score for cost in costs)))
    plot = Plot(drawing, (low - room, high + room), marks, 10)
    named = [(value, duration_tick(value)) for value in SECONDS if low - room <= math.log10(value) <= high + room]
    plot.axes(
        [(math.log10(value), name) for value, name in named],
        "training time (each step is a factor)",
        f"test {score}, %",
    )
    front = sorted((cost for cost in costs if cost.on_front), key=lambda cost: spent[cost.model])
    corners: list[tuple[float, float]] = []
    for cost in front:
        x, y = plot.x(math.log10(spent[cost.model])), plot.y(100 * cost.score)
        corners += [(x, corners[-1][1]), (x, y)] if corners else [(x, y)]
    if len(corners) > 1:
        drawing.path(corners, "front")
    spots = []
    for cost in costs:
        x, y = plot.x(math.log10(spent[cost.model])), plot.y(100 * cost.score)
        style = style_of(cost, leaders)
        if cost.pretraining_seconds:
            alone = plot.x(math.log10(max(cost.training_seconds, 0.01)))
            drawing.line((alone, y), (x, y), f"bridge {style}")
            told = f"{cost.model}, fine-tuning alone: {percent(cost.score)} %, {duration(cost.training_seconds)}"
            drawing.point(alone, y, told, f"{style} hollow", SHAPES[cost.family])
        whole = f"{cost.model}: {percent(cost.score)} %, {duration(spent[cost.model])}"
        drawing.point(x, y, whole + (", on the Pareto front" if cost.on_front else ""), style, SHAPES[cost.family])
        spots.append((x, y))
    order = sorted(range(len(costs)), key=lambda index: costs[index].model not in leaders)
    places = place_labels(
        [spots[index] for index in order],
        [costs[index].model for index in order],
        (plot.left, plot.top - 8, width, plot.bottom),
    )
    for index, (x, y, anchor) in zip(order, places, strict=True):
        drawing.text(
            x, y, shortened(costs[index].model, LONGEST_LABEL), f"name {style_of(costs[index], leaders)}", anchor
        )
    return drawing


def duration_tick(seconds: float) -> str:
    """A round time on an axis.

    >>> [duration_tick(seconds) for seconds in (0.1, 10, 60, 3600)]
    ['0.1 s', '10 s', '1 min', '1 h']
    """
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:,.0f} {name}"
    return f"{seconds:g} s"
