"""Where a model is good: by slice of the test texts, and by its own confidence."""

from collections.abc import Mapping, Sequence

from finetune.comparison.analysis.classes import Reliability
from finetune.comparison.analysis.headline import Pair
from finetune.comparison.analysis.slices import SliceScore
from finetune.comparison.analysis.words import bounds, percent
from finetune.comparison.figures.plot import SHAPES, Dot, Figure, Plot, both, dot_rows, style_of
from finetune.comparison.figures.svg import LINE_HEIGHT, Drawing, shortened, ticks
from finetune.comparison.scores import Score


def slice_figure(scores: Sequence[SliceScore], pair: Pair, by_model: Mapping[str, Score]) -> Figure:
    """The accuracy of the pair on parts of the test texts."""
    models = (pair.model, pair.rival)
    styles = {model: style_of(by_model[model], models) for model in models}
    rows: dict[str, list[Dot]] = {}
    for row in scores:
        if row.model in models:
            name, found = row.part.name, row.accuracy
            texts = int(row.part.members_N.sum())
            told = f"{row.model}, {name}: {percent(found.estimate)} % {bounds(found)}, {texts:,} texts"
            shape = SHAPES[by_model[row.model].family]
            rows.setdefault(name, []).append(
                Dot(100 * found.estimate, 100 * found.low, 100 * found.high, styles[row.model], shape, told)
            )
    caption = (
        f"Share of texts that are right, with {pair.label_budget:,} labels. {_key(pair, by_model)} Slices overlap, and "
        "small ones have wide intervals: they are to look for patterns, not for proof."
    )
    return both(
        "slices",
        "Where each is good",
        caption,
        lambda width: dot_rows(width, "Share of right texts by slice", list(rows.items()), "right test texts, %"),
        "slices",
    )


def _key(pair: Pair, by_model: Mapping[str, Score]) -> str:
    """Which mark is which model."""
    parts = [
        f"{'blue' if by_model[model].pretrained else 'orange'} {SHAPES[by_model[model].family]}s: {model}"
        for model in (pair.model, pair.rival)
    ]
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."


def reliability_figure(found: Mapping[str, Reliability], by_model: Mapping[str, Score], budget: int) -> Figure:
    """Confidence against accuracy, on the diagonal where a model means what it says."""
    models = list(found)
    caption = (
        f"With {budget:,} labels: of the answers that a model gave with 80 % confidence, 80 % should be right. Points "
        "below the diagonal are too sure of themselves, points above too modest."
    )
    return both(
        "reliability",
        "Can its confidence be trusted?",
        caption,
        lambda width: _reliability_drawing(width, found, by_model, models),
        "reliability",
    )


def _reliability_drawing(
    width: int, found: Mapping[str, Reliability], by_model: Mapping[str, Score], models: Sequence[str]
) -> Drawing:
    width = min(width, 480)
    drawing = Drawing(width, width, "Share of right answers against confidence, by model")
    lows = [100 * min(part.confidence, part.accuracy) for one in found.values() for part in one.bins]
    marks = ticks(min(lows), 100.0, 5)
    plot = Plot(drawing, (marks[0], 100.0), marks, 12)
    plot.axes([(value, f"{value:g}") for value in marks], "confidence, %", "right answers, %")
    drawing.line((plot.x(marks[0]), plot.y(marks[0])), (plot.x(100), plot.y(100)), "level")
    for number, model in enumerate(models):
        style, shape = style_of(by_model[model], models), SHAPES[by_model[model].family]
        spots = [(plot.x(100 * part.confidence), plot.y(100 * part.accuracy)) for part in found[model].bins]
        drawing.path(spots, f"curve {style}")
        for (x, y), part in zip(spots, found[model].bins, strict=True):
            told = (
                f"{model}, confidence {percent(part.confidence)} %: {percent(part.accuracy)} % right, "
                f"{part.answers:,} answers"
            )
            drawing.point(x, y, told, style, shape)
        drawing.text(plot.left + 12, plot.top + 20 + LINE_HEIGHT * number * 1.2, shortened(model, 200), f"name {style}")
    return drawing
