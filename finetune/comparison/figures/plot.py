"""What the figures have in common: two widths, axes, the names of lines, rows of dots."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from finetune.comparison.analysis.costs import Cost
from finetune.comparison.analysis.headline import Pair
from finetune.comparison.figures.svg import LINE_HEIGHT, Drawing, apart, shortened, ticks, width_of
from finetune.comparison.scores import Score

NARROW, WIDE = 360, 760
SHAPES = {"encoder": "circle", "recurrent": "square", "linear": "triangle"}
LEFT, TOP, BOTTOM = 44, 34, 46
LONGEST_LABEL = 150


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure: the same drawing at two widths."""

    name: str
    title: str
    caption: str
    drawings: tuple[Drawing, Drawing]
    """Narrow and wide."""
    table: str = ""
    """The name of the table that has its numbers."""


class Dot(NamedTuple):
    """A value on a line of `dot_rows`, with its interval."""

    value: float
    low: float
    high: float
    style: str
    shape: str
    told: str


Draw = Callable[[int], Drawing]


def both(name: str, title: str, caption: str, draw: Draw, table: str = "") -> Figure:
    """A figure at both widths."""
    return Figure(name, title, caption, (draw(NARROW), draw(WIDE)), table)


class Plot:
    """A drawing with two axes; the vertical one has its title above."""

    def __init__(
        self,
        drawing: Drawing,
        x_range: tuple[float, float],
        y_ticks: Sequence[float],
        right: float,
        bottom: int = BOTTOM,
    ) -> None:
        self.drawing = drawing
        self.left, self.right = float(LEFT), float(drawing.width - right)
        self.top, self.bottom = float(TOP), float(drawing.height - bottom)
        self.x_range, self.y_ticks = x_range, y_ticks

    def x(self, value: float) -> float:
        """The horizontal position of a value."""
        low, high = self.x_range
        return self.left + (self.right - self.left) * (value - low) / ((high - low) or 1)

    def y(self, value: float) -> float:
        """The vertical position of a value."""
        low, high = self.y_ticks[0], self.y_ticks[-1]
        return self.bottom - (self.bottom - self.top) * (value - low) / ((high - low) or 1)

    def axes(self, x_ticks: Sequence[tuple[float, str]], x_title: str, y_title: str, margin: float = 0) -> None:
        """Grid, ticks and titles; the lines reach so far beyond the first and last value."""
        left, right = self.left - margin, self.right + margin
        for value in self.y_ticks:
            self.drawing.line((left, self.y(value)), (right, self.y(value)), "grid")
            self.drawing.text(left - 8, self.y(value) + 4.5, f"{value:g}", "tick", "end")
        for value, label in x_ticks:
            self.drawing.line((self.x(value), self.bottom), (self.x(value), self.bottom + 5), "axis")
            self.drawing.text(self.x(value), self.bottom + 20, label, "tick", "middle")
        self.drawing.line((left, self.bottom), (right, self.bottom), "axis")
        self.drawing.text((self.left + self.right) / 2, self.bottom + 40, x_title, "title", "middle")
        self.drawing.text(0, 14, y_title, "title")

    def end_labels(self, ends: Sequence[tuple[float, float, str, str]]) -> None:
        """The names of lines beside their ends; ends are horizontal and vertical positions, names and styles."""
        moved = apart([y for _, y, _, _ in ends], LINE_HEIGHT, self.top, self.bottom)
        for (x, y, name, style), label_y in zip(ends, moved, strict=True):
            start = self.right + 12
            self.drawing.path([(x + 7, y), (start - 2, label_y)], "leader")
            self.drawing.text(start + 2, label_y + 4.5, shortened(name, LONGEST_LABEL), f"name {style}")


def style_of(score: Score | Cost, leaders: Sequence[str]) -> str:
    """The classes of a model: pretrained or not, and whether the page is about it."""
    return f"{'pre' if score.pretrained else 'raw'}{' lead' if score.model in leaders else ''}"


def leaders_of(pairs: Sequence[Pair]) -> list[str]:
    """The models that the verdicts are about."""
    return [model for pair in pairs for model in (pair.model, pair.rival)]


def spaced(labels: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Those of some tick labels, with their positions, that do not overlap; the last is always among them.

    >>> spaced([(0, "250"), (20, "500"), (200, "1,000")])
    [(20, '500'), (200, '1,000')]
    """
    kept: list[tuple[float, str]] = []
    edge = math.inf
    for x, text in sorted(labels, reverse=True):
        if x + width_of(text) / 2 < edge - 6:
            kept.insert(0, (x, text))
            edge = x - width_of(text) / 2
    return kept


def dot_rows(
    width: int,
    description: str,
    rows: Sequence[tuple[str, Sequence[Dot]]],
    title: str,
    level: float | None = None,
) -> Drawing:
    """Values on horizontal lines, one below the other; on a phone, names stand above their lines.

    Args:
        width: of the drawing.
        description: for readers who do not see it.
        rows: names, and the dots on their lines.
        title: of the axis.
        level: a share to mark with a vertical line.
    """
    above = width < WIDE
    pitch, names = (46, 0) if above else (30, 300)
    drawing = Drawing(width, pitch * len(rows) + 60, description)
    values = [value for _, dots in rows for dot in dots for value in (dot.low, dot.high)]
    values += [] if level is None else [100 * level]
    marks = ticks(min(values), min(100.0, max(values)), 4 if above else 6)
    left, right, bottom = names + 12, width - 14, drawing.height - 48

    def x(value: float) -> float:
        return left + (right - left) * (value - marks[0]) / ((marks[-1] - marks[0]) or 1)

    for value in marks:
        drawing.line((x(value), 4), (x(value), bottom), "grid")
        drawing.text(x(value), bottom + 18, f"{value:g}", "tick", "middle")
    if level is not None:
        drawing.line((x(100 * level), 4), (x(100 * level), bottom), "level")
    drawing.text((left + right) / 2, bottom + 40, title, "title", "middle")
    for number, (name, dots) in enumerate(rows):
        y = number * pitch + (30 if above else 20)
        if above:
            drawing.text(2, y - 14, shortened(name, width - 8), "row")
        else:
            drawing.text(names, y + 4.5, shortened(name, names), "row", "end")
        drawing.line((left, y), (right, y), "grid")
        for place, dot in enumerate(dots):
            height = y + (place - (len(dots) - 1) / 2) * 7
            bar = (x(dot.low), height), (x(dot.high), height)
            drawing.point(x(dot.value), height, dot.told, dot.style, dot.shape, bar)
    return drawing
