"""The pictures of a ladder: what rungs did, the curve through them, and how far it is to be trusted."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from finetune.comparison.analysis.words import bounds, percent
from finetune.comparison.compared_score import score_name
from finetune.comparison.figures.plot import Figure, Plot, both, spaced
from finetune.comparison.figures.svg import Drawing, ticks
from finetune.comparison.intervals import Interval
from finetune.ladders.forecast import Forecast
from finetune.ladders.words import times_text, tokens_text

# Beside the curve.
RIGHT = 118
MEASURED, PREDICTED, LESS_TEXT = "pre lead", "pre hollow", "raw"


class Point(NamedTuple):
    """A measured or predicted value."""

    tokens: float
    value: Interval
    style: str
    told: str


def figures(found: Forecast) -> list[Figure]:
    """The score and, where it is known, the held-out loss, against tokens of pretraining."""
    steps = [rung for rung in found.rungs if rung.documents is None]
    fewer = "; orange: on fewer documents" if len(steps) < len(found.rungs) else ""
    caption = (
        f"Filled: measured, the mean over seeds; hollow: predicted{fewer}. Bars and the band are "
        f"{100 * found.confidence:g} % intervals."
    )
    name = score_name(found.score)
    points = [
        Point(
            rung.tokens,
            _scaled(rung.score),
            MEASURED if rung.documents is None else LESS_TEXT,
            f"{rung.step_share:g} of the duration"
            + ("" if rung.documents is None else f", {rung.documents:,} documents")
            + f": {percent(rung.score.estimate)} % {bounds(rung.score)}",
        )
        for rung in found.rungs
    ]
    longest = steps[-1].tokens
    points += [
        Point(horizon.tokens, _scaled(horizon.score), PREDICTED,
              f"{times_text(horizon.times)}, predicted: {percent(horizon.score.estimate)} % {bounds(horizon.score)}")
        for horizon in found.horizons if horizon.tokens > longest
    ]  # fmt: skip
    band = [(tokens, _scaled(value)) for tokens, value in found.band]
    title = f"{name}, %"
    drawn = [both("score", f"{name} against pretraining", caption, lambda width: _draw(width, points, band, title))]
    if found.loss_band:
        losses = [
            Point(rung.tokens, Interval(rung.loss, rung.loss, rung.loss), MEASURED,
                  f"{rung.step_share:g} of the duration: {rung.loss:.3f}")
            for rung in steps if rung.loss is not None
        ]  # fmt: skip
        losses += [
            Point(horizon.tokens, horizon.loss, PREDICTED,
                  f"{times_text(horizon.times)}, predicted: {horizon.loss.estimate:.3f}")
            for horizon in found.horizons if horizon.loss is not None and horizon.tokens > longest
        ]  # fmt: skip
        loss_title = "held-out loss, nats"
        drawn.append(
            both("loss", "Held-out loss", caption, lambda width: _draw(width, losses, found.loss_band, loss_title))
        )
    return drawn


def _scaled(value: Interval) -> Interval:
    """A share in percent."""
    return Interval(100 * value.estimate, 100 * value.low, 100 * value.high)


def _draw(width: int, points: Sequence[Point], band: Sequence[tuple[float, Interval]], title: str) -> Drawing:
    drawing = Drawing(width, 360, f"{title} against tokens of pretraining")
    values = [edge for point in points for edge in (point.value.low, point.value.high)]
    values += [edge for _, value in band for edge in (value.low, value.high)]
    logarithms = [math.log(point.tokens) for point in points] + [math.log(tokens) for tokens, _ in band]
    plot = Plot(drawing, (min(logarithms), max(logarithms)), ticks(min(values), max(values)), RIGHT)
    marks = {math.log(point.tokens): tokens_text(point.tokens) for point in points}
    shown = spaced([(plot.x(place), text) for place, text in marks.items()])
    plot.axes([], "tokens of pretraining", title, 8)
    for x, text in shown:
        drawing.line((x, plot.bottom), (x, plot.bottom + 5), "axis")
        drawing.text(x, plot.bottom + 20, text, "tick", "middle")
    spots = [(plot.x(math.log(tokens)), value) for tokens, value in band]
    upper, lower = ([(x, plot.y(getattr(value, edge))) for x, value in spots] for edge in ("high", "low"))
    drawing.path([*upper, *reversed(lower)], "band pre")
    curve = [(x, plot.y(value.estimate)) for x, value in spots]
    drawing.path(curve, "curve pre lead")
    measured = max(plot.x(math.log(point.tokens)) for point in points if point.style == MEASURED)
    drawing.line((measured, plot.top), (measured, plot.bottom), "level")
    drawing.text(measured - 7, plot.bottom - 8, "measured", "quiet", "end")
    drawing.text(measured + 7, plot.bottom - 8, "predicted", "quiet")
    for point in points:
        # Beside the rung on the whole corpus, which has the same tokens.
        x = plot.x(math.log(point.tokens)) + (9 if point.style == LESS_TEXT else 0)
        bar = (x, plot.y(point.value.low)), (x, plot.y(point.value.high))
        shape = "square" if point.style == LESS_TEXT else "circle"
        drawing.point(x, plot.y(point.value.estimate), point.told, point.style, shape, bar)
    plot.end_labels([(*curve[-1], "fitted curve", "pre lead")])
    return drawing
