"""Input files and pipes → rows, with all their columns, in constant memory."""

import dataclasses
import itertools
import logging
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from configs.errors import InputError
from finetune.own_data.advice import tell_of_no_texts
from finetune.own_data.columns import (
    ENOUGH_ROWS,
    called,
    check_number,
    column_names,
    find_columns,
    find_text,
    is_a_table,
    read_contents,
    readable_rows,
    with_lone_name,
)
from finetune.own_data.contents import Content, is_address, is_date
from finetune.own_data.headers import (
    MUCH_LONGER,
    are_names,
    cell_of,
    is_a_header,
    is_above_numbers,
    is_data,
    is_long_enough,
    looks_like_a_text,
    plain,
)
from finetune.own_data.text_formats import KINDS, LABEL_LINES, kind_of_lines
from tokenizer.corpus import formats
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.documents import clean_html, is_number
from tokenizer.corpus.files import ending, find_files
from tokenizer.corpus.quarantine import RowError, clean
from tokenizer.corpus.shards import shards

log = logging.getLogger(__name__)

# The share of rows of JSON that may have a key of their own with a text in it, beside texts of a word.
FEW_ROWS = 0.1
STDIN = "-"
# A pipe is text, a line each, unless its format is given.
PIPE_FORMAT = "lines"
TEXT_ENDING = ".txt"
PIPED = "bertlet-pipe-"
PIPED_FILE = re.compile(rf"{re.escape(tempfile.gettempdir())}/{PIPED}\w+/stdin\.\w+")


class Row(NamedTuple):
    """A row of the input."""

    columns: dict[str, Any]
    """Empty if it cannot be read."""
    text: str
    second_text: str | None
    problem: str | None
    """Why it gets no label; None if it gets one."""
    location: Any = ""
    """Its file and line."""

    @property
    def told(self) -> str:
        """Where it is, and why it gets no label."""
        return without_piped_file(f"{self.location}: {self.problem}")


@contextmanager
def opened(
    sources: Sequence[str], file_format: str, corpus: CorpusConfig, labels: Sequence[str] = ()
) -> Generator[list[CorpusConfig]]:
    """The corpora of the inputs; what comes through a pipe is kept in a temporary file while it is read.

    Args:
        sources: files, folders, glob patterns, ids of data sets on the Hub, or `-`.
        file_format: as `corpus.format`.
        corpus: the other keys.
        labels: of the classifier; lines that begin with them may be no texts alone.

    Raises:
        InputError: a source is given twice, or does not exist.
    """
    if len(set(sources)) < len(sources):
        raise InputError(f"inputs: {', '.join(sources)}: one is given twice")
    with tempfile.TemporaryDirectory(prefix=PIPED) as folder:
        try:
            corpora = [_corpus_of(source, file_format, corpus, Path(folder)) for source in sources]
            if file_format == "auto":
                for source, one in zip(sources, corpora, strict=True):
                    _warn_of_columns(source, one, labels)
            yield corpora
        except InputError as error:
            raise InputError(without_piped_file(str(error))) from None


def without_piped_file(message: str) -> str:
    """A message in which the temporary file of a pipe is called as the pipe is on the command line."""
    return PIPED_FILE.sub(STDIN, message)


def _corpus_of(source: str, file_format: str, corpus: CorpusConfig, folder: Path) -> CorpusConfig:
    if source == STDIN:
        pipe_format = PIPE_FORMAT if file_format == "auto" else file_format
        file = folder / f"stdin.{pipe_format}"
        with file.open("wb") as stream:
            shutil.copyfileobj(sys.stdin.buffer, stream)
        return dataclasses.replace(corpus, source=str(file), format=pipe_format, split="all")
    corpus = dataclasses.replace(corpus, source=source, format=file_format, split="all")
    if file_format != "auto":
        return corpus
    # A text file is a line a text here, where a corpus would have documents of several lines.
    endings = {ending(file) for file in find_files(corpus) or ()}
    if TEXT_ENDING in endings and len(endings) > 1:
        raise InputError(
            f"inputs: {source!r} holds {TEXT_ENDING} files, which are a line a text, beside others "
            f"({', '.join(sorted(endings - {TEXT_ENDING}))}); give them one by one, or give --format"
        )
    return dataclasses.replace(corpus, format=PIPE_FORMAT if TEXT_ENDING in endings else file_format)


def _warn_of_columns(source: str, corpus: CorpusConfig, labels: Sequence[str]) -> None:
    """Say so if the lines that are read as a text each look like a table or JSON, or begin with their label."""
    files = (find_files(corpus) or []) if corpus.format == PIPE_FORMAT else []
    if (kind := kind_of_lines(files, corpus, labels)) is not None:
        log.warning(
            "predict: the first lines of %s look like %s, and each is read as a text; `--format %s` %s",
            source, KINDS[kind], kind, "leaves the labels out" if kind == LABEL_LINES else "reads the columns",
        )  # fmt: skip


def with_text_column(corpus: CorpusConfig, text_column: str | None, trained_on: str | None) -> CorpusConfig:
    """The corpus with the column of its text: the given one, that of the run, or the one that is found.

    Raises:
        InputError: no column holds texts; or the number of one is given, and the first row looks like names.
    """
    if text_column is not None:
        check_number(corpus, text_column, None, labelled=False)
        return dataclasses.replace(corpus, text_column=text_column)
    is_table = is_a_table(corpus)
    has_number = is_table and trained_on is not None and trained_on.isdecimal() and corpus.header is None
    if has_number and (numbered := _numbered(corpus, trained_on)) is not None:
        _tell_of_number(numbered.text_column, trained_on, numbered)
        return numbered
    corpus = with_lone_name(corpus) if is_table else corpus
    names = column_names(corpus)
    found = None if trained_on is None else called(trained_on, names)
    # In the first row of a table without a header, the number of a column is a value.
    if found is not None and (not has_number or are_names(names)):
        tell_of_no_texts(found, read_contents(corpus, labelled=False)[found])
        return dataclasses.replace(corpus, text_column=found)
    names = names if is_table else names_in_most_rows(corpus)
    if not is_table and (beside := texts_beside(names, read_contents(corpus, labelled=False))):
        column = find_text(beside, corpus)
        log.warning(
            "predict: column %r of %s is read, which half of its rows or more lack; another may be the text of these "
            "(`--text_column`)", column, corpus.source,
        )  # fmt: skip
        return dataclasses.replace(corpus, text_column=column)
    if len(names) == 1:
        # Whatever it holds: the texts may be short, or the same again and again.
        is_known = not is_table or corpus.header is not None
        has_header = is_known or not is_data(read_contents(corpus, labelled=False))
        if has_header and not is_known:
            _tell_of_names(corpus, names[0])
        name, header = (names[0], corpus.header) if has_header else ("1", False)
        return dataclasses.replace(corpus, text_column=name, header=header)
    columns = find_columns(corpus, None, None, labelled=False)
    read = dataclasses.replace(corpus, text_column=columns.text, header=columns.header)
    if has_number:
        place = str(names.index(columns.text) + 1) if columns.text in names else columns.text
        _tell_of_number(place, trained_on, read)
    if is_table and columns.header is None:
        _tell_of_names(corpus, columns.text)
    if trained_on is not None and not trained_on.isdecimal() and columns.header is not False:
        log.info(
            "predict: %s has no column %r, as the texts that the model was trained on; column %r is read "
            "(`--text_column`)", corpus.source, trained_on, columns.text,
        )  # fmt: skip
    return read


def _tell_of_names(corpus: CorpusConfig, column: str) -> None:
    """Warn of a first row that is taken for names, though it may be one of the texts: it has no usual name, none above
    numbers, and several words above the texts, or a number above others beside a word.
    """
    contents = read_contents(corpus, labelled=False)
    cells = {cell_of(name, contents): held for name, held in contents.items()}
    if are_names(cells) or any(is_above_numbers(cell, held) for cell, held in cells.items()):
        return
    has_number = any(is_number(cell) and held.numbers == held.filled > 0 for cell, held in cells.items())
    if looks_like_a_text(column) or (has_number and not is_number(column)):
        log.warning(
            "predict: the first line of %s, %r, is taken for the name of its column; if it is a text, give "
            "`--header false`", corpus.source, column,
        )  # fmt: skip


def _tell_of_number(number: str, trained_on: str | None, corpus: CorpusConfig) -> None:
    """Tell of a column in another place than in training; without names, nothing else tells which is the text."""
    if number != trained_on:
        log.log(
            logging.WARNING if corpus.header is False else logging.INFO,
            "predict: column %r of %s is read, and not column %s, as in training (`--text_column`)", corpus.text_column,
            corpus.source, trained_on,
        )  # fmt: skip


def _numbered(corpus: CorpusConfig, column: str) -> CorpusConfig | None:
    """The corpus with the column of this number, or of this name above texts, if it is such a table.

    A label in its first row may be the same number. Who was trained on a table without a header gets one, if nothing in
    the first row is a usual name or stands above numbers, what stands there is about as long as the texts below it, and
    there are texts, and no much longer ones in another column: of one word, or numbers or dates, if no other column has
    texts of several words. Else the texts are looked for.
    """
    if are_names(first_columns(corpus)):
        return None
    corpus = dataclasses.replace(corpus, text_column=column)
    first = next(readable_rows(corpus), {})
    if column not in first:
        return None
    contents = read_contents(corpus, labelled=False)
    held, without = contents[column], dataclasses.replace(corpus, header=False)
    if held.holds_texts and next(readable_rows(without), {}) != first:
        return corpus
    cell, cells = str(first[column]), {name: str(value) for name, value in first.items()}
    if is_a_header(cells, contents):
        return None
    texts = {name: other for name, other in contents.items() if other.holds_texts and name in cells}
    if held.holds_texts or not texts:
        # Above short texts, as names of people are, a name is as long: those of other columns tell.
        are_rows = all(is_long_enough(cells[name], other) for name, other in {**texts, column: held}.items())
        others = [other.length for name, other in texts.items() if name != column and not other.may_be_classes]
        if not are_rows:
            return None
        if MUCH_LONGER * held.length >= max(others, default=0.0):
            return without
    elif not (held.holds_no_texts and (is_date(cell) or is_address(cell))):
        return None
    # As all below it, or beside longer texts in rows alone: there is no header here, either.
    return dataclasses.replace(without, text_column=find_columns(without, None, None, labelled=False).text)


def names_in_most_rows(corpus: CorpusConfig) -> list[str]:
    """The columns of more than half of the first rows: a row of JSON may have a key that others lack."""
    rows = [[*row] for row in itertools.islice(readable_rows(corpus), ENOUGH_ROWS)]
    counts = Counter(itertools.chain.from_iterable(rows))
    return [name for name, count in counts.items() if 2 * count > len(rows)]


def texts_beside(names: Sequence[str], contents: Mapping[str, Content]) -> dict[str, Content]:
    """The columns of JSON that hold texts, in more than a few rows, if those of most rows are ids, classes or no texts.

    >>> ids, texts = Content(rows=9, filled=9, texts=9), Content(rows=3, filled=3, texts=3, words=3, characters=99)
    >>> [*texts_beside(["id"], {"id": ids, "body": texts})], texts_beside(["body"], {"id": ids, "body": texts})
    (['body'], {})
    >>> texts_beside(["satz"], {"satz": ids, "body": texts})
    {}
    """
    if not all(is_no_text(name, contents[name]) for name in names if name in contents):
        return {}
    rows = max((held.rows for held in contents.values()), default=0)
    found = {name: held for name, held in contents.items() if held.holds_texts}
    is_few = sum(held.filled for held in found.values()) <= FEW_ROWS * rows
    return {} if is_few or not found.keys().isdisjoint(names) else found


def is_no_text(name: str, held: Content) -> bool:
    """Whether a column of JSON is not that of the texts, by what it holds or by being called an id.

    >>> is_no_text("tweet_id", Content()), is_no_text("tweet", Content(filled=9, texts=9))
    (True, False)
    """
    is_class = held.may_be_classes or len(held.values) == 1
    return plain(name).split("_")[-1] == "id" or held.holds_no_texts or is_class


def first_columns(corpus: CorpusConfig) -> list[str]:
    """The columns of the first row."""
    return list(next(readable_rows(corpus), {}))


def read(corpus: CorpusConfig) -> Iterator[Row]:
    """All rows of a corpus in order, also those that cannot be read or hold no text."""
    # Each file in one part: blank lines are left out only at the end of a file.
    parts = dict.fromkeys(
        part._replace(begin=0, end=None, keeps_blanks=True) for part in itertools.chain.from_iterable(shards(corpus))
    )
    for part in parts:
        for found, location in formats.READERS[part.format](part, corpus):
            if isinstance(found, RowError):
                yield Row({}, "", None, str(found), location)
                continue
            try:
                text = _text(found, corpus.text_column, corpus)
                second = None if corpus.second_text_column is None else _text(found, corpus.second_text_column, corpus)
            except RowError as error:
                yield Row(found, "", None, str(error), location)
            else:
                yield Row(found, text, second, None if text.strip() else "no text", location)


def _text(row: dict[str, Any], column: str, corpus: CorpusConfig) -> str:
    """The cleaned text of a column.

    Raises:
        RowError: there is no such column, or it holds something else.
    """
    if column not in row:
        raise RowError(f"no column {column!r}; the columns are {', '.join(row)}")
    value = row[column]
    if value is None:
        return ""
    if not isinstance(value, str):
        raise RowError(f"column {column!r} holds {type(value).__name__}, not text")
    return clean_html(clean(value)) if corpus.clean_html else clean(value)
