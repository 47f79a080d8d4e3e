"""The compared score of all models, against labels."""

import math
from collections.abc import Sequence

from finetune.comparison.analysis.headline import Pair
from finetune.comparison.analysis.words import bounds, percent
from finetune.comparison.compared_score import score_name
from finetune.comparison.figures.plot import (
    LONGEST_LABEL,
    SHAPES,
    Dot,
    Figure,
    Plot,
    both,
    dot_rows,
    leaders_of,
    spaced,
    style_of,
)
from finetune.comparison.figures.svg import Drawing, ticks, width_of
from finetune.comparison.scores import Comparison, Score


def score_figure(comparison: Comparison, pairs: Sequence[Pair]) -> Figure:
    """The compared score against labels; with one number of labels, of one model after the other."""
    budgets = sorted({score.label_budget for score in comparison.scores})
    caption = (
        f"Mean over the seeds; bars are {100 * comparison.confidence:g} % intervals. Blue: pretrained; orange: without "
        "pretraining. Circles are encoders, squares recurrent models, triangles linear ones."
    )
    if comparison.majority is not None:
        constant = "answering the most frequent class" if comparison.score == "accuracy" else "giving the same answer"
        caption += f" Always {constant} gives {percent(comparison.majority)} %."
    draw = _score_lines if len(budgets) > 1 else _score_dots
    name = score_name(comparison.score)
    name = name[0].upper() + name[1:]
    title = f"{name} against labels" if len(budgets) > 1 else f"{name} with {budgets[0]:,} labels"
    leaders = leaders_of(pairs)
    return both("score", title, caption, lambda width: draw(width, comparison, leaders), "scores")


def _told(score: Score) -> str:
    return (
        f"{score.model}, {score.label_budget:,} labels: {percent(score.accuracy.estimate)} % {bounds(score.accuracy)}"
    )


def _level(comparison: Comparison) -> float | None:
    """The score of the most frequent class, where it is near enough not to squeeze all others into a corner."""
    lows, highs = zip(*((score.accuracy.low, score.accuracy.high) for score in comparison.scores), strict=True)
    level = comparison.majority
    return level if level is not None and min(lows) - level <= max(highs) - min(lows) else None


def constant_answer(comparison: Comparison) -> str:
    """What the compared score of one answer for all texts is called."""
    return "most frequent class" if comparison.score == "accuracy" else "one answer for all"


def _score_lines(width: int, comparison: Comparison, leaders: Sequence[str]) -> Drawing:
    scores, majority = comparison.scores, _level(comparison)
    models = sorted(dict.fromkeys(score.model for score in scores), key=lambda model: model in leaders)
    budgets = sorted({score.label_budget for score in scores})
    names = models if majority is None else [*models, constant_answer(comparison)]
    right = min(LONGEST_LABEL, max(width_of(name) for name in names)) + 18
    drawing = Drawing(width, 420, f"Test {score_name(comparison.score)} against training labels, by model")
    values = [100 * value for score in scores for value in (score.accuracy.low, score.accuracy.high)]
    values += [] if majority is None else [100 * majority]
    logarithms = [math.log(budget) for budget in budgets]
    plot = Plot(drawing, (logarithms[0], logarithms[-1]), ticks(min(values), min(100, max(values))), right)
    # Room for the bars at both ends, which stand beside each other.
    margin = 3.0 * len(models) / 2 + 6
    plot.left, plot.right = plot.left + margin, plot.right - margin
    plot.axes([], "training labels", f"test {score_name(comparison.score)}, %", margin)
    shown = spaced([(plot.x(value), f"{budget:,}") for value, budget in zip(logarithms, budgets, strict=True)])
    for x, label in shown:
        drawing.line((x, plot.bottom), (x, plot.bottom + 5), "axis")
        drawing.text(x, plot.bottom + 20, label, "tick", "middle")
    ends = []
    if majority is not None:
        drawing.line(
            (plot.left - margin, plot.y(100 * majority)), (plot.right + margin, plot.y(100 * majority)), "level"
        )
        ends.append((plot.right, plot.y(100 * majority), constant_answer(comparison), "quiet"))
    for number, model in enumerate(models):
        rows = sorted((row for row in scores if row.model == model), key=lambda row: row.label_budget)
        style, shift = style_of(rows[0], leaders), 3.0 * (number - (len(models) - 1) / 2)
        spots = [(plot.x(math.log(row.label_budget)) + shift, plot.y(100 * row.accuracy.estimate)) for row in rows]
        drawing.path(spots, f"curve {style}")
        for (x, y), row in zip(spots, rows, strict=True):
            bar = (x, plot.y(100 * row.accuracy.low)), (x, plot.y(100 * row.accuracy.high))
            drawing.point(x, y, _told(row), style, SHAPES[row.family], bar)
        ends.append((*spots[-1], model, style))
    plot.right += margin
    plot.end_labels(ends)
    return drawing


def _score_dots(width: int, comparison: Comparison, leaders: Sequence[str]) -> Drawing:
    rows = [
        (
            score.model,
            [
                Dot(
                    100 * score.accuracy.estimate,
                    100 * score.accuracy.low,
                    100 * score.accuracy.high,
                    style_of(score, leaders),
                    SHAPES[score.family],
                    _told(score),
                )
            ],
        )
        for score in sorted(comparison.scores, key=lambda score: -score.accuracy.estimate)
    ]
    title = f"test {score_name(comparison.score)}, %"
    return dot_rows(width, f"Test {score_name(comparison.score)} by model", rows, title, _level(comparison))
