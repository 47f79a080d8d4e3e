"""Files → rows, one reader a format, all of them streams.

A row is `(columns, place)`: a dict from column name to value, and `file:line` for error messages.
"""

import csv
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from configs.errors import InputError

Row = tuple[dict[str, Any], str]
Reader = Callable[[Path, str], Iterator[Row]]


def read_text(file: Path, encoding: str) -> Iterator[Row]:
    """One document a file, labelled by the folder it lies in (the layout of aclImdb)."""
    yield {"text": "".join(_lines(file, encoding)), "label": file.parent.name}, str(file)


def read_blocks(file: Path, encoding: str) -> Iterator[Row]:
    """Documents between blank lines."""
    block: list[str] = []
    start = 1
    for number, line in enumerate(_lines(file, encoding), 1):
        if line.strip():
            start = start if block else number
            block.append(line)
        elif block:
            yield {"text": "".join(block)}, f"{file}:{start}"
            block = []
    if block:
        yield {"text": "".join(block)}, f"{file}:{start}"


def read_jsonl(file: Path, encoding: str) -> Iterator[Row]:
    """One JSON object a line.

    Raises:
        InputError: a line is no JSON object.
    """
    for number, line in enumerate(_lines(file, encoding), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{file}:{number}: not JSON ({error.msg}); mend or remove the line") from None
        if not isinstance(row, dict):
            raise InputError(f"{file}:{number}: expected a JSON object, found {type(row).__name__}")
        yield row, f"{file}:{number}"


def read_csv(file: Path, encoding: str) -> Iterator[Row]:
    """One row a document, columns named by the first line; a tab separates the columns of a `.tsv` file."""
    yield from _read_table(file, encoding, ",")


def read_tsv(file: Path, encoding: str) -> Iterator[Row]:
    """As `read_csv`, with tabs between the columns."""
    yield from _read_table(file, encoding, "\t")


def _read_table(file: Path, encoding: str, delimiter: str) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)
    lines = csv.reader(_lines(file, encoding), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    try:
        for cells in lines:
            if header is None:
                header = [cell.strip() for cell in cells]
            elif len(cells) == len(header):
                yield dict(zip(header, cells, strict=True)), f"{file}:{lines.line_num}"
            elif cells:
                raise InputError(
                    f"{file}:{lines.line_num}: {len(cells)} columns where the header has {len(header)}; "
                    "quote texts that hold the separator"
                )
    except csv.Error as error:
        raise InputError(f"{file}:{lines.line_num}: not readable as CSV ({error})") from None


def read_parquet(file: Path, encoding: str) -> Iterator[Row]:
    """One row a document; `encoding` is Parquet's own.

    Raises:
        InputError: the file is not Parquet.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(file)
        number = 0
        for batch in table.iter_batches(batch_size=1024):
            for row in batch.to_pylist():
                yield row, f"{file}:row {number}"
                number += 1
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{file}: not readable as Parquet ({' '.join(str(error).split())})") from None


def read_hub(identifier: str, subset: str | None, split: str) -> Iterator[Row]:
    """A data set of the Hub, through `datasets` and its cache.

    Raises:
        InputError: the data set, subset or split cannot be had.
    """
    import datasets
    import datasets.exceptions

    try:
        rows = datasets.load_dataset(identifier, subset, split=split)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"corpus.source: {identifier!r} is neither a file or folder here nor to be had from the Hub "
            f"(split {split!r}): {reason}"
        ) from None
    for number, row in enumerate(rows):
        yield dict(row), f"{identifier} {split}:row {number}"


def _lines(file: Path, encoding: str) -> Iterator[str]:
    """Lines with their ends.

    Raises:
        InputError: the file is missing, or its bytes are not in `encoding`.
    """
    number = 0
    try:
        with file.open(encoding=encoding, newline="") as stream:
            for line in stream:
                number += 1
                # A byte order mark is no part of the text.
                line = line.removeprefix("\ufeff") if number == 1 else line  # noqa: PLW2901
                yield line.replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{file}: after line {number}: byte 0x{error.object[error.start]:02x} is not {encoding} "
            f"({error.reason}); set corpus.encoding (latin-1, cp1252, utf-16 …) or convert the file"
        ) from None
    except LookupError:
        raise InputError(f"corpus.encoding: {encoding!r} is unknown to Python") from None
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from None


READERS: dict[str, Reader] = {
    "text": read_text,
    "blocks": read_blocks,
    "jsonl": read_jsonl,
    "csv": read_csv,
    "tsv": read_tsv,
    "parquet": read_parquet,
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
