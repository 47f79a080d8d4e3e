"""Files → rows: one reader per format. Readers stream, and can start in the middle of a file.

A row is `(columns, location)`: a dict from column name to value, or the `RowError` of an unreadable row; and the file
and line, for messages.
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
from tokenizer.corpus.quarantine import RowError, check_decoded


class Part(NamedTuple):
    """A range of a file, a Hub data set or the sample, which can be read independently."""

    source: str
    """A file, the id of a Hub data set, or `sample`."""
    format: str
    """A key of `READERS`."""
    begin: int = 0
    """The first byte of a text file, row group of a Parquet file, or row of a Hub data set."""
    end: int | None = None
    """Exclusive; None reads to the end."""
    split: str = ""
    """For a Hub data set and the sample."""
    subset: str | None = None
    """For a Hub data set."""


class Location(NamedTuple):
    """A line of a part; its line number in the file is computed on demand."""

    part: Part
    line_in_part: int

    def __str__(self) -> str:
        return f"{self.part.source}:{self.line}"

    @property
    def line(self) -> int:
        """The line number in the file."""
        return self.line_in_part + _lines_before(Path(self.part.source), self.part.begin)


def file_and_row(location: "Location | str") -> tuple[str, int]:
    """The file of a location, and its line or row there; 1 where the file is one document.

    >>> file_and_row("reviews.csv:12"), file_and_row("a.parquet:row 3"), file_and_row("pos/1.txt")
    (('reviews.csv', 12), ('a.parquet', 3), ('pos/1.txt', 1))
    """
    file, _, number = str(location).rpartition(":")
    number = number.removeprefix("row ")
    return (file, int(number)) if file and number.isdecimal() else (str(location), 1)


Row = tuple[dict[str, Any] | RowError, Location | str]
Reader = Callable[[Part, str], Iterator[Row]]


def read_text(part: Part, encoding: str) -> Iterator[Row]:
    """One document per file, labelled by its folder (the layout of aclImdb)."""
    columns = {"label": Path(part.source).parent.name}
    yield _parsed("".join(_lines(part, encoding)), encoding, lambda text: columns | {"text": text}), part.source


def read_blocks(part: Part, encoding: str) -> Iterator[Row]:
    """Documents between blank lines."""
    block: list[str] = []
    start = 1
    for number, line in enumerate(_lines(part, encoding), 1):
        if line.strip():
            start = start if block else number
            block.append(line)
        elif block:
            yield _parsed("".join(block), encoding, _parse_text), Location(part, start)
            block = []
    if block:
        yield _parsed("".join(block), encoding, _parse_text), Location(part, start)


def _parsed(raw: str, encoding: str, parse: Callable[[str], dict[str, Any]]) -> dict[str, Any] | RowError:
    """The columns of a raw row, or its error."""
    try:
        return parse(check_decoded(raw, encoding))
    except RowError as error:
        return error


def _parse_text(text: str) -> dict[str, Any]:
    return {"text": text}


def read_jsonl(part: Part, encoding: str) -> Iterator[Row]:
    """One JSON object per line."""
    for number, line in enumerate(_lines(part, encoding), 1):
        if line.strip():
            yield _parsed(line, encoding, _parse_json), Location(part, number)


def _parse_json(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", str(error))
        raise RowError(f"not JSON ({reason}); fix or remove the line") from None
    if not isinstance(row, dict):
        raise RowError(f"expected a JSON object, found {type(row).__name__}")
    return row


def read_csv(part: Part, encoding: str) -> Iterator[Row]:
    """One document per row; the first line has the column names."""
    yield from _read_table(part, encoding, ",")


def read_tsv(part: Part, encoding: str) -> Iterator[Row]:
    """As `read_csv`, with tab-separated columns."""
    yield from _read_table(part, encoding, "\t")


def _read_table(part: Part, encoding: str, delimiter: str) -> Iterator[Row]:
    """The rows below the header.

    Raises:
        InputError: a quote is not closed, so the following rows cannot be separated.
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
            row = _parsed("\n".join(cells), encoding, lambda _, cells=cells, header=header: _columns(cells, header))
        except csv.Error as error:
            if "unexpected end" in str(error):
                raise InputError(f"{part.source}:{lines.line_num}: not readable as CSV ({error})") from None
            row = RowError(f"not readable as CSV ({error})")
        yield row, f"{part.source}:{lines.line_num}"


def _columns(cells: list[str], header: list[str]) -> dict[str, str]:
    if len(cells) != len(header):
        raise RowError(
            f"{len(cells)} columns, but the header has {len(header)}; quote texts that contain the separator"
        )
    return dict(zip(header, cells, strict=True))


def read_parquet(part: Part, encoding: str) -> Iterator[Row]:
    """One document per row; `encoding` is ignored.

    Raises:
        InputError: the file cannot be read as Parquet.
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
    """A data set from the Hub, read with `datasets` and its cache."""
    rows = hub_rows(part.source, part.subset, part.split)
    for number in range(part.begin, len(rows) if part.end is None else part.end):
        yield dict(rows[number]), f"{part.source} {part.split}:row {number}"


def hub_rows(identifier: str, subset: str | None, split: str) -> Any:
    """A split of a data set from the Hub, memory-mapped.

    Raises:
        InputError: the data set, subset or split cannot be loaded.
    """
    import datasets
    import datasets.exceptions

    try:
        return datasets.load_dataset(identifier, subset, split=split)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"corpus.source: {identifier!r} is not a local file or folder and cannot be loaded from the Hub "
            f"(split {split!r}): {reason}"
        ) from None


def read_sample(part: Part, encoding: str) -> Iterator[Row]:
    """A split of the built-in synthetic reviews."""
    yield from synthetic_reviews.rows(part.split)


def _lines(part: Part, encoding: str) -> Iterator[str]:
    """The lines of a part, including line ends.

    Raises:
        InputError: the file is missing, or its bytes are not in `encoding`.
    """
    file, number = Path(part.source), 0
    try:
        with file.open("rb") as stream, _open_text(stream, part, encoding) as text:
            for line in text:
                number += 1
                # A byte order mark is not part of the text.
                line = line.removeprefix("\ufeff") if number == 1 else line  # noqa: PLW2901
                yield line.replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{file}: after line {Location(part, number).line}: byte 0x{error.object[error.start]:02x} is not "
            f"{encoding} ({error.reason}); set corpus.encoding (latin-1, cp1252, utf-16 …) or convert the file"
        ) from None
    except LookupError:
        raise InputError(f"corpus.encoding: {encoding!r} is unknown to Python") from None
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from None


def _open_text(stream: IO[bytes], part: Part, encoding: str) -> io.TextIOWrapper:
    """Open a part as a text stream."""
    stream.seek(part.begin)
    raw = stream if part.end is None else io.BufferedReader(_Bounded(stream, part.end - part.begin))
    # With one-byte line ends, undecodable bytes invalidate only their own row.
    errors = "surrogateescape" if line_end_is_one_byte(encoding) else "strict"
    return io.TextIOWrapper(raw, encoding=encoding, newline="", errors=errors)


def line_end_is_one_byte(encoding: str) -> bool:
    """Whether a file in this encoding can be split after a newline byte."""
    try:
        return codecs.encode("\n", encoding) == b"\n" and not encoding.lower().replace("_", "-").startswith("utf-7")
    except LookupError:
        return False


class _Bounded(io.RawIOBase):
    """The next `size` bytes of a stream."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self.stream, self.remaining = stream, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.stream.read(min(len(buffer), self.remaining))
        buffer[: len(data)] = data
        self.remaining -= len(data)
        return len(data)


def _lines_before(file: Path, position: int) -> int:
    """The number of newlines in the first `position` bytes of a file."""
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
