"""A table of the report: shown as HTML and Markdown, and its records as CSV and JSON.

The records are the one source of the numbers: `result.json`, the CSV file and the cells are made from them.
"""

import csv
import dataclasses
import html
import io
import re
from collections.abc import Iterable, Mapping, Sequence

from finetune.comparison.analysis.words import printable

Value = str | int | float | bool | None
Record = dict[str, Value]

# Spreadsheets take a text that begins with these as a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
MARKDOWN_SPECIAL = re.compile(r"([\\`*_|~$]|\](?=[(\[:])|:(?=//)|(?<=www)\.)", re.IGNORECASE)
# People, issues and merge requests, and addresses of mail, to which a forge links even behind a backslash: a space of
# no width parts them.
REFERENCE = re.compile(r"(@(?=\w)|(?:[#!]|\bGH-)(?=\d))", re.IGNORECASE)
APART = "&#8203;"
# What makes a heading or a list of a line that begins with it.
MARKDOWN_START = re.compile(r"^(\d*)([#+.)=-]+)(?=\s|$)")


@dataclasses.dataclass(frozen=True)
class Cell:
    """What a cell shows."""

    text: str
    order: float | None = None
    """What sorting compares; None sorts by the text, and last if that is a dash."""
    shade: int = 0
    """From 0, none, to 9: the background of a cell of a matrix."""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of the report."""

    name: str
    """Of the CSV file, and the key in `result.json`."""
    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    records: Sequence[Record]
    """The same in numbers; all have the same keys."""
    strong: frozenset[int] = frozenset()
    """Rows to point out."""
    note: str = ""
    folded: bool = False
    """Shown behind a line that opens it."""


def csv_text(records: Sequence[Mapping[str, Value]]) -> str:
    r"""Records as CSV, numbers with all their digits; a text that a spreadsheet would run gets an apostrophe.

    >>> csv_text([{"model": "=bert", "accuracy": 0.8, "high": None}, {"model": "a,b", "accuracy": -1, "high": True}])
    'model,accuracy,high\n\'=bert,0.8,\n"a,b",-1,true\n'
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    if records:
        writer.writerow(list(records[0]))
    writer.writerows([_csv_cell(value) for value in record.values()] for record in records)
    return stream.getvalue()


def _csv_cell(value: Value) -> str | int | float | None:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        value = printable(value)
        return f"'{value}" if value.startswith(FORMULA) else value
    return value


def markdown_text(text: str) -> str:
    r"""Any text, as Markdown that shows it: no tag, heading or list; no link, person or issue that a forge would find.

    >>> markdown_text("<b>|x|</b>\n# no *heading*"), markdown_text("[a](b) [+1, +2]")
    ('&lt;b&gt;\\|x\\|&lt;/b&gt; # no \\*heading\\*', '[a\\](b) [+1, +2]')
    >>> markdown_text("1. no list"), markdown_text("# x"), markdown_text("90.7")
    ('1\\. no list', '\\# x', '90.7')
    >>> markdown_text("http://x.y www.x.y"), markdown_text("@name #1")
    ('http\\://x.y www\\.x.y', '@&#8203;name #&#8203;1')
    """
    line = html.escape(" ".join(printable(text).split()), quote=False)
    line = MARKDOWN_SPECIAL.sub(r"\\\1", REFERENCE.sub(rf"\1{APART}", line))
    return MARKDOWN_START.sub(r"\1\\\2", line)


def markdown_table(table: Table) -> str:
    """A table as Markdown, with its caption above and its note below."""
    lines = [
        _row(markdown_text(heading) for heading in table.headings),
        _row("---" if column == 0 else "---:" for column in range(len(table.headings))),
    ]
    for number, row in enumerate(table.rows):
        cells = [markdown_text(cell.text) for cell in row]
        lines.append(_row(f"**{cell}**" if number in table.strong else cell for cell in cells))
    parts = [f"**{markdown_text(table.caption)}**", "\n".join(lines), markdown_text(table.note)]
    return "\n\n".join(part for part in parts if part)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
