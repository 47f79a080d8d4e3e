"""CSV and TSV in the dialects that people have (`dialects.py`) → rows by column name."""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from configs.errors import InputError
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.dialects import Dialect, dialect_of, read_records
from tokenizer.corpus.quarantine import RowError, check_decoded
from tokenizer.corpus.text_files import Part, encoding_of, lines, lines_of_head, without_blank_end


def read(part: Part, corpus: CorpusConfig) -> Iterator[tuple[dict[str, str] | RowError, int]]:
    """The rows of a table by column name, each with its last line; without a header, names are numbers from 1.

    Raises:
        InputError: two columns have a name that is asked for, or the file or its header cannot be read.
    """
    dialect, names, header_line = dialect_of(part.source, corpus), None, 0
    encoding = encoding_of(part.source, corpus)
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
                check_decoded("\n".join(names), encoding)
            except RowError as error:
                raise InputError(f"{part.source}:{line}: {_with_lines_below(names, part, corpus, error)}") from None
            check_names(names, corpus, part.source)
            names = distinct(names)


def _with_lines_below(names: list[str], part: Part, corpus: CorpusConfig, error: RowError) -> RowError:
    """The error of a header, told from the lines below it, too, as a few letters do not tell an encoding."""
    try:
        check_decoded("\n".join([*names, *lines_of_head(Path(part.source), corpus)]), encoding_of(part.source, corpus))
    except RowError as told:
        return told
    return error


def named(cells: list[str], names: list[str], width: int, header_line: int) -> dict[str, str] | RowError:
    """The cells of a row by column name; `width` is that of most rows."""
    if len(cells) == len(names) + 1 and not cells[-1]:
        # A delimiter at the end of each row.
        cells = cells[:-1]
    if len(cells) == len(names):
        return dict(zip(names, cells, strict=True))
    if len(cells) == width and header_line:
        # As R's `write.table` does it.
        is_short = width == len(names) + 1 > 2
        row_names = "if the first column has the names of rows, give it a name in that line, too; " if is_short else ""
        return RowError(
            f"{width} columns, as in most rows, but line {header_line} has {len(names)} and does not look like their "
            f"header; {row_names}remove lines above the header, put texts that contain the separator in double quotes, "
            "or, if another character stands between columns, set corpus.delimiter"
        )
    return RowError(
        f"{len(cells)} columns, but the header has {len(names)}; put texts that contain the separator in double quotes"
    )


def check_names(names: list[str], corpus: CorpusConfig, file: str) -> None:
    """Check that a column that is asked for has a name of its own.

    Raises:
        InputError: two columns have its name.
    """
    asked = (corpus.text_column, corpus.second_text_column, corpus.label_column, corpus.label_name_column)
    for name in (*asked, *(corpus.label_columns or ())):
        if name is not None and names.count(name) > 1:
            # In lines above the header, cells are empty.
            advice = "rename them" if name else "remove the lines above the header"
            raise InputError(
                f"{file}: {names.count(name)} columns are called {name!r}; {advice}, or set corpus.header: false "
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
    for cells, size in read_records(stream, dialect.quotes, dialect.columns):
        number += size
        yield cells, number
