"""Files → rows, one reader a format, all of them streams that can begin in the middle of a file.

A row is `(columns, place)`: a dict from column name to value, and the file and line for messages. In place of the
columns of a row that cannot be read stands the `RowError` that says why.
"""

import codecs
import csv
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from configs.errors import InputError
from tokenizer.corpus import synthetic_reviews
from tokenizer.corpus.quarantine import RowError, decoded


class Part(NamedTuple):
    """A stretch of a file, or of what stands in for one, that can be read by itself."""

    source: str
    """A file, the id of a Hub data set, or `sample`."""
    format: str
    """A key of `READERS`."""
    begin: int = 0
    """The first byte of a text file, row group of a Parquet file, row of a Hub data set."""
    end: int | None = None
    """The one behind the last; None reads to the end."""
    split: str = ""
    """Of a Hub data set and of the sample."""
    subset: str | None = None
    """Of a Hub data set."""


class Place(NamedTuple):
    """A line of a file, counted from where a part begins; the lines before are counted when somebody asks."""

    part: Part
    line: int

    def __str__(self) -> str:
        return f"{self.part.source}:{self.number}"

    @property
    def number(self) -> int:
        """The line, counted from the beginning of the file."""
        return self.line + _lines_before(Path(self.part.source), self.part.begin)


Row = tuple[dict[str, Any] | RowError, Place | str]
Reader = Callable[[Part, str], Iterator[Row]]


def read_text(part: Part, encoding: str) -> Iterator[Row]:
    """One document a file, labelled by the folder it lies in (the layout of aclImdb)."""
    columns = {"label": Path(part.source).parent.name}
    yield _of("".join(_lines(part, encoding)), encoding, lambda text: columns | {"text": text}), part.source


def read_blocks(part: Part, encoding: str) -> Iterator[Row]:
    """Documents between blank lines."""
    block: list[str] = []
    start = 1
    for number, line in enumerate(_lines(part, encoding), 1):
        if line.strip():
            start = start if block else number
            block.append(line)
        elif block:
            yield _of("".join(block), encoding, _as_text), Place(part, start)
            block = []
    if block:
        yield _of("".join(block), encoding, _as_text), Place(part, start)


def _of(raw: str, encoding: str, columns: Callable[[str], dict[str, Any]]) -> dict[str, Any] | RowError:
    """The columns that a raw text holds, or why it cannot be read."""
    try:
        return columns(decoded(raw, encoding))
    except RowError as error:
        return error


def _as_text(text: str) -> dict[str, Any]:
    return {"text": text}


def read_jsonl(part: Part, encoding: str) -> Iterator[Row]:
    """One JSON object a line."""
    for number, line in enumerate(_lines(part, encoding), 1):
        if line.strip():
            yield _of(line, encoding, _as_json), Place(part, number)


def _as_json(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", str(error))
        raise RowError(f"not JSON ({reason}); mend or remove the line") from None
    if not isinstance(row, dict):
        raise RowError(f"expected a JSON object, found {type(row).__name__}")
    return row


def read_csv(part: Part, encoding: str) -> Iterator[Row]:
    """One row a document, columns named by the first line; a tab separates the columns of a `.tsv` file."""
    yield from _read_table(part, encoding, ",")


def read_tsv(part: Part, encoding: str) -> Iterator[Row]:
    """As `read_csv`, with tabs between the columns."""
    yield from _read_table(part, encoding, "\t")


def _read_table(part: Part, encoding: str, delimiter: str) -> Iterator[Row]:
    """The rows below a header.

    Raises:
        InputError: a quote is opened and not closed, so that rows cannot be told apart any more.
    """
    csv.field_size_limit(sys.maxsize)
    lines = csv.reader(_lines(part, encoding), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        try:
            cells = next(lines, None)
            row: dict[str, Any] | RowError
            if cells is None:
                return
            if header is None:
                header = [cell.strip() for cell in cells]
                continue
            if not cells:
                continue
            row = _of("\n".join(cells), encoding, lambda _, cells=cells, header=header: _as_columns(cells, header))
        except csv.Error as error:
            if "unexpected end" in str(error):
                raise InputError(f"{part.source}:{lines.line_num}: not readable as CSV ({error})") from None
            row = RowError(f"not readable as CSV ({error})")
        yield row, f"{part.source}:{lines.line_num}"


def _as_columns(cells: list[str], header: list[str]) -> dict[str, str]:
    if len(cells) != len(header):
        raise RowError(f"{len(cells)} columns where the header has {len(header)}; quote texts that hold the separator")
    return dict(zip(header, cells, strict=True))


def read_parquet(part: Part, encoding: str) -> Iterator[Row]:
    """One row a document; `encoding` is Parquet's own.

    Raises:
        InputError: the file is not Parquet.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(part.source)
        end = table.metadata.num_row_groups if part.end is None else part.end
        number = sum(table.metadata.row_group(group).num_rows for group in range(part.begin))
        for batch in table.iter_batches(batch_size=1024, row_groups=list(range(part.begin, end))):
            for row in batch.to_pylist():
                yield row, f"{part.source}:row {number}"
                number += 1
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{part.source}: not readable as Parquet ({' '.join(str(error).split())})") from None


def read_hub(part: Part, encoding: str) -> Iterator[Row]:
    """A data set of the Hub, through `datasets` and its cache."""
    rows = hub_rows(part.source, part.subset, part.split)
    for number in range(part.begin, len(rows) if part.end is None else part.end):
        yield dict(rows[number]), f"{part.source} {part.split}:row {number}"


def hub_rows(identifier: str, subset: str | None, split: str) -> Any:
    """A split of a data set of the Hub, memory-mapped.

    Raises:
        InputError: the data set, subset or split cannot be had.
    """
    import datasets
    import datasets.exceptions

    try:
        return datasets.load_dataset(identifier, subset, split=split)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"corpus.source: {identifier!r} is neither a file or folder here nor to be had from the Hub "
            f"(split {split!r}): {reason}"
        ) from None


def read_sample(part: Part, encoding: str) -> Iterator[Row]:
    """A split of the built-in made-up reviews."""
    yield from synthetic_reviews.rows(part.split)


def _lines(part: Part, encoding: str) -> Iterator[str]:
    """Lines with their ends.

    Raises:
        InputError: the file is missing, or its bytes are not in `encoding`.
    """
    file, number = Path(part.source), 0
    try:
        with file.open("rb") as stream, _text(stream, part, encoding) as text:
            for line in text:
                number += 1
                # A byte order mark is no part of the text.
                line = line.removeprefix("\ufeff") if number == 1 else line  # noqa: PLW2901
                yield line.replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{file}: after line {Place(part, number).number}: byte 0x{error.object[error.start]:02x} is not "
            f"{encoding} ({error.reason}); set corpus.encoding (latin-1, cp1252, utf-16 …) or convert the file"
        ) from None
    except LookupError:
        raise InputError(f"corpus.encoding: {encoding!r} is unknown to Python") from None
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from None


def _text(stream: IO[bytes], part: Part, encoding: str) -> io.TextIOWrapper:
    """The bytes of a part as text."""
    stream.seek(part.begin)
    raw = stream if part.end is None else io.BufferedReader(_Bounded(stream, part.end - part.begin))
    # Where a line end is one byte, what cannot be decoded costs its row alone.
    errors = "surrogateescape" if line_end_is_one_byte(encoding) else "strict"
    return io.TextIOWrapper(raw, encoding=encoding, newline="", errors=errors)


def line_end_is_one_byte(encoding: str) -> bool:
    """Whether a file in this encoding can be cut behind the byte of a line end."""
    try:
        return codecs.encode("\n", encoding) == b"\n" and not encoding.lower().replace("_", "-").startswith("utf-7")
    except LookupError:
        return False


class _Bounded(io.RawIOBase):
    """The next `left` bytes of a stream."""

    def __init__(self, stream: IO[bytes], left: int) -> None:
        self.stream, self.left = stream, left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.stream.read(min(len(buffer), self.left))
        buffer[: len(data)] = data
        self.left -= len(data)
        return len(data)


def _lines_before(file: Path, position: int) -> int:
    """The number of line ends in the first bytes of a file."""
    count = 0
    with file.open("rb") as stream:
        while position > 0 and (data := stream.read(min(position, 1 << 20))):
            count += data.count(b"\n")
            position -= len(data)
    return count


READERS: dict[str, Reader] = {
    "text": read_text,
    "blocks": read_blocks,
    "jsonl": read_jsonl,
    "csv": read_csv,
    "tsv": read_tsv,
    "parquet": read_parquet,
    "hub": read_hub,
    "sample": read_sample,
}

ENDINGS = {
    ".txt": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
