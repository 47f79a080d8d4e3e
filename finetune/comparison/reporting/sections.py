"""The sections of a report: their tables and figures, the same for HTML, Markdown, CSV and JSON."""

import dataclasses
from collections.abc import Sequence

from finetune.comparison.figures.plot import Figure
from finetune.comparison.reporting.tables import Table


@dataclasses.dataclass(frozen=True)
class Quote:
    """A test text that is shown, with what was answered to it."""

    text: str
    truth: str
    place: str
    answers: Sequence[str]
    """A line for each model."""


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the report under a heading."""

    name: str
    title: str
    paragraphs: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    quotes: Sequence[tuple[str, Sequence[Quote]]] = ()
    """Groups of texts, each with a heading."""
    folded: bool = False
    """Tables and figures behind a line that opens them."""
