"""The dialect of a CSV or TSV file is found in its first lines: delimiter, quoting and header.

The costly mistake is about quoting. In a file written without it, a text that begins with a quote seems to open a
quoted field, which ends at the next such text: all rows between are swallowed, and their labels with them. So a quoted
field over several lines is believed only if these lines are not rows themselves.
"""

import collections
import csv
import functools
import itertools
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from configs.errors import InputError
from tokenizer.corpus.config import CorpusConfig, Quoting
from tokenizer.corpus.quarantine import RowError
from tokenizer.corpus.text_files import Part, encoding_of, lines

# Formats that have dialects.
TABLES = ("csv", "tsv")
DELIMITERS = (",", "\t", ";", "|")
# A line that spreadsheets write above the header.
SEPARATOR_LINE = re.compile(r"sep=(.)\s*")
SAMPLE_LINES = 20_000
SAMPLE_CHARACTERS = 4 << 20
# Longer quoted fields are taken for a quote that is never closed.
MAXIMUM_LINES = 10_000
# A column is checked by its values only if it has few of them, in enough rows.
ENOUGH_ROWS = 8
MAXIMUM_VALUES = 50
# The first rows, by which a number in the first of them is a name or a value.
ROWS_TO_TELL_NAMES = 100
ROWS_PER_VALUE = 4
NUMBER = re.compile(r"\s*-?\d+(?:[.,]\d+)?\s*")
# Most lines of a swallowed stretch are rows; a few may be broken.
ROWS_SHARE = 0.8
# Of the lines that one way of quoting cannot make sense of: more are for another way to read.
FAILED_SHARE = 0.01
# The share of lines in which a delimiter stands as it does between cells.
USUAL_SHARE = 0.8
# In prose, these stand between words, so that a line with the right number of them need not be a row.
COMMON_IN_PROSE = (",", ";")


class Columns(NamedTuple):
    """What the cells of a table's rows have in common."""

    delimiter: str
    width: int
    """Cells of a row."""
    values: tuple[frozenset[str] | None, ...]
    """All values of a column with few; None of another."""
    numeric: tuple[bool, ...]

    @classmethod
    def learn(cls, rows: Sequence[Sequence[str]], width: int, delimiter: str) -> "Columns":
        """The columns of a table, from the cells of its rows; rows of another width do not count."""
        whole = [row for row in rows if len(row) == width]
        values: list[frozenset[str] | None] = []
        numeric = []
        for cells in zip(*whole, strict=True):
            distinct = set(cells)
            enough = len(whole) >= ENOUGH_ROWS
            few = len(distinct) <= min(MAXIMUM_VALUES, len(whole) / ROWS_PER_VALUE)
            values.append(frozenset(distinct) if enough and few else None)
            numeric.append(enough and all(map(NUMBER.fullmatch, distinct)))
        return cls(delimiter, width, tuple(values), tuple(numeric))

    def row_of(self, line: str) -> list[str] | None:
        """The cells of a line that is a row by itself, taken without quoting; None if it is none."""
        cells = split(line, self.delimiter)
        if len(cells) != self.width:
            return None
        is_checked = False
        for cell, values, is_number in zip(cells, self.values, self.numeric, strict=False):
            is_checked = is_checked or values is not None or is_number
            if (values is not None and cell not in values) or (is_number and not NUMBER.fullmatch(cell)):
                return None
        return cells if is_checked or (self.width > 1 and self.delimiter not in COMMON_IN_PROSE) else None

    def swallowed(self, record: Sequence[str]) -> bool:
        """Whether the lines of a record with a quoted field over several lines are rows themselves."""
        if len(record) < 2 or self.row_of(record[0]) is None or self.row_of(record[-1]) is None:
            return False
        inner = record[1:-1]
        return sum(self.row_of(line) is not None for line in inner) >= ROWS_SHARE * len(inner)


class Quotes(NamedTuple):
    """How fields are quoted."""

    are_used: bool
    follow_spaces: bool = False
    """Whether spaces may stand between a delimiter and a quote."""
    are_escaped: bool = False
    """Whether a quote in a field has a backslash before it, not another quote."""


class Dialect(NamedTuple):
    """How a table is written."""

    quotes: Quotes
    header: bool
    skipped_lines: int
    """Lines above the table."""
    columns: Columns

    def __str__(self) -> str:
        name = {"\t": "tabs", " ": "spaces"}.get(self.columns.delimiter, repr(self.columns.delimiter))
        quoting = "quoted" if self.quotes.are_used else "without quoting"
        return f"{self.columns.width} columns between {name}, {quoting}, {'with a' if self.header else 'no'} header"


def dialect_of(file: str, corpus: CorpusConfig) -> Dialect | None:
    """The dialect of a file, from its first lines and the keys of the corpus; None if it has no lines.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        status = Path(file).stat()
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from None
    keys = (corpus.delimiter, corpus.quoting, corpus.header, corpus.text_column, encoding_of(file, corpus))
    return _found_dialect(file, status.st_size, status.st_mtime_ns, *keys)


@functools.lru_cache(maxsize=256)
def _found_dialect(
    file: str,
    size: int,
    modified: int,
    delimiter: str | None,
    quoting: Quoting,
    header: bool | None,
    text_column: str,
    encoding: str,
) -> Dialect | None:
    corpus = CorpusConfig(
        delimiter=delimiter, quoting=quoting, header=header, text_column=text_column, encoding=encoding
    )
    sample, characters = [], 0
    for line in lines(Part(file, "csv"), corpus):
        sample.append(line)
        characters += len(line)
        if len(sample) == SAMPLE_LINES or characters > SAMPLE_CHARACTERS:
            break
    order = ("\t", *DELIMITERS) if file.lower().endswith(".tsv") else DELIMITERS
    return find_dialect(sample, corpus, dict.fromkeys(order))


def find_dialect(sample: Sequence[str], corpus: CorpusConfig, delimiters: Iterable[str] = DELIMITERS) -> Dialect | None:
    """The dialect of a table, from its first lines and the keys of a corpus; None if there are no lines.

    The delimiter is the one that gives a column the name of `corpus.text_column`, else the one that cuts most rows into
    the same number of columns. Of several that do so, a tab where it is the first; else the first that does not stand
    within numbers, but for one that stands otherwise than in prose and cuts into as many columns.
    """
    skipped, delimiter = 0, corpus.delimiter
    delimiters = list(delimiters)
    if sample and (match := SEPARATOR_LINE.fullmatch(sample[0])):
        skipped, delimiter = 1, delimiter or match[1]
    sample = [line for line in sample[skipped:] if line.strip()]
    if not sample:
        return None
    best: tuple[tuple[bool, bool, float, bool, bool, bool], bool, Dialect] | None = None
    for candidate in [delimiter] if delimiter else delimiters:
        quotes, columns, same_width = _quoting(sample, candidate, corpus)
        head = itertools.islice(read_records(sample, quotes, columns), ROWS_TO_TELL_NAMES)
        rows = [row for row, _ in head if isinstance(row, list)]
        # A name that stands alone is that of the only column: its texts hold what else would be a delimiter.
        has_text = has_name(corpus.text_column, rows) and (columns.width == 1 or len(rows[0]) > 1)
        header = corpus.header
        if header is None:
            header = has_text or not corpus.text_column.isdecimal()
        is_table = columns.width > 1 and same_width >= ROWS_SHARE
        is_outside_numbers, is_bare = separates(sample, candidate)
        # As the ending of the file says.
        is_usual = candidate == delimiters[0] == "\t"
        rank = (has_text and header, is_table, same_width, columns.width > 1, is_usual, is_outside_numbers)
        # Cells may hold lists, so that more columns are not better.
        is_barer = best is not None and is_bare > best[1] and columns.width >= best[2].columns.width
        if best is None or rank > best[0] or (rank == best[0] and is_barer):
            best = rank, is_bare, Dialect(quotes, header, skipped, columns)
    assert best is not None
    return best[2]


def has_name(name: str, rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row has the name of a column; a number above numbers is a value, as of a label, and no name.

    >>> has_name("2", [["2", "A text."], ["1", "Another."]]), has_name("2", [["2", "1"], ["A text.", "0"]])
    (False, True)
    """
    first, others = (rows[0], rows[1:]) if rows else ([], [])
    for place, cell in enumerate(first):
        below = [row[place] for row in others if len(row) == len(first)]
        is_value = name.isdecimal() and bool(below) and all(map(NUMBER.fullmatch, below))
        if cell.strip() == name and not is_value:
            return True
    return False


def separates(sample: Sequence[str], delimiter: str) -> tuple[bool, bool]:
    """Whether a delimiter stands in most lines not within a number, and not before a space either, as it does in prose.

    A bar may be between the words of a cell, and nothing tells these apart.

    >>> separates(["Nicht schlecht; 3,5"], ","), separates(["Nicht schlecht; 3,5"], ";"), separates(["a,3"], ",")
    ((False, False), (True, False), (True, True))
    """
    mark = re.escape(delimiter)
    outside_numbers = rf"(?:(?<!\d){mark}|{mark}(?!\d))"
    is_outside, is_bare = (
        sum(re.search(pattern, line) is not None for line in sample) >= USUAL_SHARE * len(sample)
        for pattern in (outside_numbers, rf"{outside_numbers}(?! )")
    )
    return is_outside, is_bare and delimiter != "|"


def _quoting(sample: Sequence[str], delimiter: str, corpus: CorpusConfig) -> tuple[Quotes, Columns, float]:
    """How fields are quoted, the columns, and the share of rows of the most frequent width.

    Quotes after spaces, or with a backslash before them, are looked for only where it fails to do without.
    """
    found = {}
    for are_used in (True, False):
        if corpus.quoting != ("none" if are_used else "quotes"):
            found[Quotes(are_used)] = _cost(sample, delimiter, Quotes(are_used))
    quotes = min(found, key=lambda quotes: (found[quotes][0], not quotes.are_used))
    cost, columns, same_width = found[quotes]
    if corpus.quoting == "none":
        return quotes, columns, same_width
    for other, is_usual in _other_quotes(sample, delimiter):
        if not (is_usual or cost > FAILED_SHARE * len(sample)):
            continue
        other_cost, other_columns, other_width = _cost(sample, delimiter, other)
        # Where no field holds a delimiter, it does not fail, but the quotes are taken for text.
        is_free = not quotes.are_used and other_cost <= FAILED_SHARE * len(sample)
        is_free = is_free or (other.follow_spaces and other_cost == 0)
        is_better = 2 * other_cost < cost or (is_usual and (other_cost < cost or is_free))
        if other_columns.width > 1 and is_better:
            quotes, cost, columns, same_width = other, other_cost, other_columns, other_width
    return quotes, columns, same_width


def _other_quotes(sample: Sequence[str], delimiter: str) -> Iterator[tuple[Quotes, bool]]:
    """The other ways of quoting that some lines show, and whether most lines are written so."""
    mark = re.escape(delimiter)
    after_spaces, enclosed, escaped, other_escapes = (
        sum(re.search(pattern, line.rstrip("\r\n")) is not None for line in sample)
        for pattern in (
            rf'(?:{mark} +|^ +)"',
            rf'(?:{mark}|^)".*"(?:{mark}|$)',
            rf'(?:{mark}|^)".*\\".*"(?:{mark}|$)',
            r'(?<!\\)(?:\\\\)*\\[^\\"]',
        )
    )
    usual = USUAL_SHARE * len(sample)
    if after_spaces:
        yield Quotes(True, follow_spaces=True), after_spaces >= usual
    if escaped:
        # Few texts have quotes in them; a backslash before anything else would be lost.
        yield Quotes(True, are_escaped=True), enclosed >= usual and escaped > other_escapes


def _cost(sample: Sequence[str], delimiter: str, quotes: Quotes) -> tuple[int, Columns, float]:
    """The lines that a way of quoting cannot make sense of, the columns, and the share of rows of their width."""
    # No line is a row of no cells: what the quotes say is believed until the columns are known.
    rows = list(read_records(sample, quotes, Columns(delimiter, 0, (), ())))
    whole = [cells for cells, _ in rows if isinstance(cells, list)]
    width = collections.Counter(map(len, whole)).most_common(1)[0][0] if whole else 1
    # Rows of one line show what columns look like, if there are any.
    single = [cells for cells, size in rows if isinstance(cells, list) and size == 1]
    columns = Columns.learn(single[1:] or whole, width, delimiter)
    cost, start = 0, 0
    for cells, size in rows:
        record = sample[start : start + size]
        start += size
        if isinstance(cells, RowError) or len(cells) != width:
            cost += size
        elif size > 1 and columns.swallowed(record):
            cost += size - 1
    same = sum(len(cells) == width for cells in whole)
    return cost, columns, same / max(1, len(rows))


def read_records(source: Iterable[str], quotes: Quotes, columns: Columns) -> Iterator[tuple[list[str] | RowError, int]]:
    """The cells of each row, none of an empty line, and how many lines it takes."""
    if not quotes.are_used:
        for line in source:
            yield split(line, columns.delimiter) if line.strip("\r\n") else [], 1
        return
    pending: collections.deque[str] = collections.deque()
    stream = iter(source)
    while True:
        record, cells, reason = _next_record(pending, stream, columns.delimiter, quotes)
        if not record:
            return
        if reason is None and not columns.swallowed(record):
            yield cells, len(record)
            continue
        # Only the first line is settled; the others are read again.
        pending.extendleft(reversed(record[1:]))
        alone = columns.row_of(record[0])
        yield RowError(f"not readable as CSV ({reason})") if alone is None else alone, 1


class _TooLongError(Exception):
    """A quoted field over too many lines."""


def _next_record(
    pending: collections.deque[str], stream: Iterator[str], delimiter: str, quotes: Quotes
) -> tuple[list[str], list[str], str | None]:
    """The lines of the next record, its cells, and the reason if it cannot be read."""
    csv.field_size_limit(sys.maxsize)
    record: list[str] = []

    def following() -> Iterator[str]:
        while len(record) < MAXIMUM_LINES:
            line = pending.popleft() if pending else next(stream, None)
            if line is None:
                return
            record.append(line)
            yield line
        raise _TooLongError

    escape = "\\" if quotes.are_escaped else None
    spaces = quotes.follow_spaces
    try:
        reader = csv.reader(following(), delimiter=delimiter, strict=True, skipinitialspace=spaces, escapechar=escape)
        return record, next(reader, []), None
    except csv.Error as error:
        return record, [], str(error)
    except _TooLongError:
        return record, [], f"a quote that is not closed within {MAXIMUM_LINES} lines"


def split(line: str, delimiter: str) -> list[str]:
    r"""The cells of a line, taken without quoting.

    >>> split('"a\tb"\n', "\t")
    ['"a', 'b"']
    """
    return line.rstrip("\r\n").split(delimiter)
