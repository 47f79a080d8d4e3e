"""CSV and TSV in the dialects that people have: delimiter, quoting and header are found in the file.

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
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from configs.errors import InputError
from tokenizer.corpus.config import CorpusConfig, Quoting
from tokenizer.corpus.quarantine import RowError, check_decoded
from tokenizer.corpus.text_files import Part, encoding_of, lines, without_blank_end

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


class Dialect(NamedTuple):
    """How a table is written."""

    quoted: bool
    header: bool
    skipped_lines: int
    """Lines above the table."""
    columns: Columns

    def __str__(self) -> str:
        name = {"\t": "tabs", " ": "spaces"}.get(self.columns.delimiter, repr(self.columns.delimiter))
        quoting = "quoted" if self.quoted else "without quoting"
        return f"{self.columns.width} columns between {name}, {quoting}, {'with a' if self.header else 'no'} header"


def read(part: Part, corpus: CorpusConfig) -> Iterator[tuple[dict[str, str] | RowError, int]]:
    """The rows of a table by column name, each with its last line; without a header, names are numbers from 1.

    Raises:
        InputError: two columns have a name that is asked for, or the file or its header cannot be read.
    """
    dialect, names, header_line = dialect_of(part.source, corpus), None, 0
    if dialect is None:
        return
    if not dialect.header:
        names = [str(number) for number in range(1, dialect.columns.width + 1)]
    for cells, line in records(lines(part, corpus), dialect, part.keeps_blanks):
        if isinstance(cells, RowError):
            yield cells, line
        elif names is not None:
            yield named(cells or [""], names, dialect.columns.width, header_line), line
        elif not is_blank(cells):
            names, header_line = [cell.strip() for cell in cells], line
            try:
                check_decoded("\n".join(names), encoding_of(part.source, corpus))
            except RowError as error:
                raise InputError(f"{part.source}:{line}: {error}") from None
            check_names(names, corpus, part.source)
            names = distinct(names)


def named(cells: list[str], names: list[str], width: int, header_line: int) -> dict[str, str] | RowError:
    """The cells of a row by column name; `width` is that of most rows."""
    if len(cells) == len(names) + 1 and not cells[-1]:
        # A delimiter at the end of each row.
        cells = cells[:-1]
    if len(cells) == len(names):
        return dict(zip(names, cells, strict=True))
    if len(cells) == width and header_line:
        return RowError(
            f"{width} columns, as in most rows, but line {header_line} has {len(names)} and does not look like their "
            "header; remove lines above the header, or quote texts that contain the separator"
        )
    return RowError(f"{len(cells)} columns, but the header has {len(names)}; quote texts that contain the separator")


def check_names(names: list[str], corpus: CorpusConfig, file: str) -> None:
    """Check that a column that is asked for has a name of its own.

    Raises:
        InputError: two columns have its name.
    """
    asked = (corpus.text_column, corpus.second_text_column, corpus.label_column, corpus.label_name_column)
    for name in (*asked, *(corpus.label_columns or ())):
        if name is not None and names.count(name) > 1:
            raise InputError(
                f"{file}: {names.count(name)} columns are called {name!r}; rename them, or set corpus.header: false "
                "and give columns by number, from 1"
            )


def distinct(names: list[str]) -> list[str]:
    """Names of columns, where one that came before gets a number, so that no cell is lost.

    >>> distinct(["score", "text", "score", "score_2"])
    ['score', 'text', 'score_3', 'score_2']
    """
    found: dict[str, None] = {}
    for name in names:
        found[name if name not in found else free_name(name, {*names, *found})] = None
    return list(found)


def free_name(name: str, taken: Collection[str]) -> str:
    """A column's name that is not taken.

    >>> free_name("label", ["text"]), free_name("label", ["text", "label", "label_2"])
    ('label', 'label_3')
    """
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    return candidate


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
    the same number of columns.
    """
    skipped, delimiter = 0, corpus.delimiter
    if sample and (match := SEPARATOR_LINE.fullmatch(sample[0])):
        skipped, delimiter = 1, delimiter or match[1]
    sample = [line for line in sample[skipped:] if line.strip()]
    if not sample:
        return None
    best: tuple[tuple[bool, bool, float, bool], Dialect] | None = None
    for candidate in [delimiter] if delimiter else delimiters:
        quoted, columns, same_width = _quoting(sample, candidate, corpus)
        rows = [row for row, _ in itertools.islice(_records(sample, quoted, columns), ROWS_TO_TELL_NAMES)]
        has_text = has_name(corpus.text_column, [row for row in rows if isinstance(row, list)])
        header = corpus.header
        if header is None:
            header = has_text or not corpus.text_column.isdecimal()
        is_table = columns.width > 1 and same_width >= ROWS_SHARE
        rank = (has_text and header, is_table, same_width, columns.width > 1)
        if best is None or rank > best[0]:
            best = rank, Dialect(quoted, header, skipped, columns)
    assert best is not None
    return best[1]


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


def _quoting(sample: Sequence[str], delimiter: str, corpus: CorpusConfig) -> tuple[bool, Columns, float]:
    """Whether fields are quoted, the columns, and the share of rows of the most frequent width."""
    found = {}
    for quoted in (True, False):
        if corpus.quoting != ("none" if quoted else "quotes"):
            found[quoted] = _cost(sample, delimiter, quoted)
    quoted = min(found, key=lambda quoted: (found[quoted][0], not quoted))
    _, columns, same_width = found[quoted]
    return quoted, columns, same_width


def _cost(sample: Sequence[str], delimiter: str, quoted: bool) -> tuple[int, Columns, float]:
    """The lines that a way of quoting cannot make sense of, the columns, and the share of rows of their width."""
    # No line is a row of no cells: what the quotes say is believed until the columns are known.
    rows = list(_records(sample, quoted, Columns(delimiter, 0, (), ())))
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


def records(
    source: Iterable[str], dialect: Dialect, keeps_blanks: bool = False
) -> Iterator[tuple[list[str] | RowError, int]]:
    """The cells of each row, and the number of its last line in the file; rows of empty cells are left out.

    With `keeps_blanks`, they are not: only lines with nothing on them, where there are several columns, and at the end.
    """
    numbered = _numbered(source, dialect)
    if not keeps_blanks:
        return (row for row in numbered if not is_blank(row[0]))
    if dialect.columns.width > 1:
        return (row for row in numbered if not is_blank_line(row[0]))
    return without_blank_end(numbered, lambda row: is_blank_line(row[0]))


def is_blank(cells: list[str] | RowError) -> bool:
    """Whether there is nothing in the cells of a row."""
    return not isinstance(cells, RowError) and not any(cell.strip() for cell in cells)


def is_blank_line(cells: list[str] | RowError) -> bool:
    """Whether there is nothing on the line of a row, not even a delimiter or quotes.

    >>> is_blank_line([]), is_blank_line(["  "]), is_blank_line([""]), is_blank_line(["", ""])
    (True, True, False, False)
    """
    return not isinstance(cells, RowError) and (not cells or (len(cells) == 1 and cells[0].isspace()))


def _numbered(source: Iterable[str], dialect: Dialect) -> Iterator[tuple[list[str] | RowError, int]]:
    """The cells of each row, and the number of its last line in the file."""
    number = dialect.skipped_lines
    stream = iter(source)
    for _ in range(dialect.skipped_lines):
        next(stream, None)
    for cells, size in _records(stream, dialect.quoted, dialect.columns):
        number += size
        yield cells, number


def _records(source: Iterable[str], quoted: bool, columns: Columns) -> Iterator[tuple[list[str] | RowError, int]]:
    """The cells of each row, none of an empty line, and how many lines it takes."""
    if not quoted:
        for line in source:
            yield split(line, columns.delimiter) if line.strip("\r\n") else [], 1
        return
    pending: collections.deque[str] = collections.deque()
    stream = iter(source)
    while True:
        record, cells, reason = _next_record(pending, stream, columns.delimiter)
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
    pending: collections.deque[str], stream: Iterator[str], delimiter: str
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

    try:
        return record, next(csv.reader(following(), delimiter=delimiter, strict=True), []), None
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
