"""Small pictures as SVG: shapes with classes that the page colours, points that tell their values.

Units are pixels of the picture's own width: a picture of 360 fits a phone, and its text of 13 is as large there.
"""

import html
import math
from collections.abc import Sequence

from finetune.comparison.analysis.words import printable

FONT_SIZE = 13
# Of the mean letter of a sans-serif font, as a share of its size; a little too much, so that labels keep apart.
LETTER = 0.56
LINE_HEIGHT = 16
STEPS = (1, 2, 5, 10)


class Drawing:
    """A picture that is drawn from top left."""

    def __init__(self, width: int, height: int, description: str) -> None:
        """An empty picture.

        Args:
            width: in pixels.
            height: in pixels.
            description: what it shows, for readers who do not see it.
        """
        self.width, self.height, self.description = width, height, description
        self.behind: list[str] = []
        self.points: list[str] = []

    def line(self, start: tuple[float, float], end: tuple[float, float], style: str) -> None:
        """A straight line."""
        self.path([start, end], style)

    def path(self, corners: Sequence[tuple[float, float]], style: str) -> None:
        """A line through some points."""
        route = " ".join(f"{'L' if number else 'M'}{x:.1f} {y:.1f}" for number, (x, y) in enumerate(corners))
        self.behind.append(f'<path class="{style}" d="{route}"/>')

    def text(self, x: float, y: float, text: str, style: str = "", anchor: str = "start") -> None:
        """A line of text; `y` is its baseline."""
        words = html.escape(printable(text))
        self.behind.append(f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>')

    def point(
        self,
        x: float,
        y: float,
        told: str,
        style: str,
        shape: str = "circle",
        interval: tuple[tuple[float, float], tuple[float, float]] | None = None,
    ) -> None:
        """A value: a marker, with its interval as a bar; `told` is read aloud and shown where it is pointed at."""
        words = html.escape(printable(told))
        bar = ""
        if interval is not None:
            (x1, y1), (x2, y2) = interval
            bar = f'<path class="bar" d="M{x1:.1f} {y1:.1f} L{x2:.1f} {y2:.1f}"/>'
        # A wide circle that cannot be seen is easier to point at.
        self.points.append(
            f'<g class="point {style}" role="img" aria-label="{words}" data-told="{words}"><title>{words}</title>'
            f'{bar}{marker(shape, x, y)}<circle class="target" cx="{x:.1f}" cy="{y:.1f}" r="11"/></g>'
        )

    def svg(self, style: str, sheet: str = "") -> str:
        """The picture.

        Args:
            style: a class.
            sheet: the style sheet of a picture that stands alone.
        """
        words = html.escape(printable(self.description))
        sheet = f"<style>{sheet}</style>" if sheet else ""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="{style}" viewBox="0 0 {self.width} {self.height}" '
            f'role="group" aria-label="{words}">{sheet}<g aria-hidden="true">{"".join(self.behind)}</g>'
            f"{''.join(self.points)}</svg>"
        )


def marker(shape: str, x: float, y: float) -> str:
    """A marker around a point: `circle`, `square` or `triangle`."""
    if shape == "square":
        return f'<rect class="mark" x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"/>'
    if shape == "triangle":
        return f'<path class="mark" d="M{x:.1f} {y - 5.5:.1f} L{x + 5:.1f} {y + 4:.1f} L{x - 5:.1f} {y + 4:.1f} Z"/>'
    return f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'


def width_of(text: str) -> float:
    """About how wide a text is."""
    return LETTER * FONT_SIZE * len(text)


def shortened(text: str, width: float) -> str:
    """A text that is about as wide as there is room.

    >>> shortened("a very long name of a model", 100), shortened("bert", 100)
    ('a very long …', 'bert')
    """
    if width_of(text) <= width:
        return text
    return f"{text[: max(1, int(width / (LETTER * FONT_SIZE)) - 1)].rstrip()} …"


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers around a range, at most as many as asked for and one.

    >>> ticks(56.3, 91.0), ticks(0.0, 1.0), ticks(3.2, 3.2)
    ([50, 60, 70, 80, 90, 100], [0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [3.2, 3.4, 3.6, 3.8, 4.0, 4.2])
    """
    span = max(high - low, 1e-9) if high > low else 1.0
    unit = 10 ** math.floor(math.log10(span / most))
    step = next(unit * factor for factor in STEPS if span / (unit * factor) <= most)
    first, last = math.floor(low / step + 1e-9), math.ceil((low + span) / step - 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def apart(positions: Sequence[float], least: float, low: float, high: float) -> list[float]:
    """Positions moved so that they are at least so far apart, in the same order, and within bounds if they fit.

    >>> apart([10.0, 12.0, 50.0], 15, 0, 100)
    [10.0, 25.0, 50.0]
    >>> apart([95.0, 96.0], 10, 0, 100), apart([5.0, 5.0, 5.0], 10, 0, 20)
    ([90, 100], [0, 10, 20])
    """
    order = sorted(range(len(positions)), key=lambda index: (positions[index], index))
    moved = list(positions)
    for before, index in zip([None, *order], order, strict=False):
        moved[index] = max(moved[index], low if before is None else moved[before] + least)
    limit = high
    for index in reversed(order):
        moved[index] = min(moved[index], limit)
        limit = moved[index] - least
    return moved


def place_labels(
    points: Sequence[tuple[float, float]], labels: Sequence[str], box: tuple[float, float, float, float]
) -> list[tuple[float, float, str]]:
    """Where labels go that name points: x, baseline and text anchor, without overlaps where there is room.

    Args:
        points: in pixels.
        labels: their names, in order of importance.
        box: left, top, right and bottom of the room.

    >>> place_labels([(50, 50), (52, 52)], ["first", "second"], (0, 0, 200, 100))
    [(59, 54.5, 'start'), (52, 72, 'middle')]
    """
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in points]
    placed = []
    for (x, y), label in zip(points, labels, strict=True):
        width = width_of(label)
        choices = []
        for far in (0, LINE_HEIGHT):
            choices += [(x + 9, y + 4.5 + far, "start"), (x - 9, y + 4.5 + far, "end")]
            choices += [(x, y - 10 - far, "middle"), (x, y + 20 + far, "middle"), (x + 9, y + 4.5 - far, "start")]
        choices.append((x - 9, y + 4.5 - LINE_HEIGHT, "end"))
        own = (x - 5, y - 5, x + 5, y + 5)
        others = [area for area in taken if area != own]
        costs = [_overlap(_area(choice, width), others, box) for choice in choices]
        best = costs.index(min(costs))
        taken.append(_area(choices[best], width))
        placed.append(choices[best])
    return placed


def _area(choice: tuple[float, float, str], width: float) -> tuple[float, float, float, float]:
    x, y, anchor = choice
    left = {"start": x, "end": x - width, "middle": x - width / 2}[anchor]
    return left, y - 11, left + width, y + 3


def _overlap(area: tuple[float, ...], others: Sequence[tuple[float, ...]], box: tuple[float, ...]) -> float:
    """Square pixels that an area shares with others, and many more for what is outside of the box."""
    left, top, right, bottom = area
    shared = 0.0
    for other in others:
        width, height = min(right, other[2]) - max(left, other[0]), min(bottom, other[3]) - max(top, other[1])
        shared += max(0.0, width) * max(0.0, height)
    outside = max(0.0, box[0] - left) + max(0.0, right - box[2]) + max(0.0, box[1] - top) + max(0.0, bottom - box[3])
    return shared + 1000 * outside
