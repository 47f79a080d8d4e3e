"""Files → rows: one reader per format. Readers stream, and can start in the middle of a file.

A row is `(columns, location)`: a dict from column name to value, or the `RowError` of an unreadable row; and the file
and line, for messages.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from configs.errors import InputError
from configs.hub_commit import hub_commit
from tokenizer.corpus import synthetic_reviews, tables
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.files import ENDINGS, ending, is_a_table
from tokenizer.corpus.quarantine import RowError, check_decoded
from tokenizer.corpus.text_files import Location, Part, encoding_of, lines, without_blank_end


def file_and_row(location: "Location | str") -> tuple[str, int]:
    """The file of a location, and its line or row there; 1 where the file is one document.

    >>> file_and_row("reviews.csv:12"), file_and_row("a.parquet:row 3"), file_and_row("pos/1.txt")
    (('reviews.csv', 12), ('a.parquet', 3), ('pos/1.txt', 1))
    """
    file, _, number = str(location).rpartition(":")
    number = number.removeprefix("row ")
    return (file, int(number)) if file and number.isdecimal() else (str(location), 1)


FASTTEXT_LABEL = "__label__"
WHITESPACE = re.compile(r"\s*")
Row = tuple[dict[str, Any] | RowError, Location | str]
Reader = Callable[[Part, CorpusConfig], Iterator[Row]]


def read_text(part: Part, corpus: CorpusConfig) -> Iterator[Row]:
    """One document per file, labelled by its folder (the layout of aclImdb)."""
    columns, encoding = {"label": Path(part.source).parent.name}, encoding_of(part.source, corpus)
    yield _parsed("".join(lines(part, corpus)), encoding, lambda text: columns | {"text": text}), part.source


def read_blocks(part: Part, corpus: CorpusConfig) -> Iterator[Row]:
    """Documents between blank lines."""
    block: list[str] = []
    start, encoding = 1, encoding_of(part.source, corpus)
    for number, line in enumerate(lines(part, corpus), 1):
        if line.strip():
            start = start if block else number
            block.append(line)
        elif block:
            yield _parsed("".join(block), encoding, _parse_text), Location(part, start)
            block = []
    if block:
        yield _parsed("".join(block), encoding, _parse_text), Location(part, start)


def read_lines(part: Part, corpus: CorpusConfig) -> Iterator[Row]:
    """One document per line; blank lines are left out, or with `part.keeps_blanks` those at the end."""
    encoding = encoding_of(part.source, corpus)
    numbered = enumerate(lines(part, corpus), 1)
    if part.keeps_blanks:
        numbered = without_blank_end(numbered, lambda numbered_line: not numbered_line[1].strip())
    for number, line in numbered:
        if part.keeps_blanks or line.strip():
            yield _parsed(line.rstrip("\n"), encoding, _parse_text), Location(part, number)


def read_class_lines(part: Part, corpus: CorpusConfig) -> Iterator[Row]:
    """One document per line, labelled by the name of its file (the layout of Pang and Lee's sentences)."""
    for row, location in read_lines(part, corpus):
        yield row if isinstance(row, RowError) else {"label": class_of(Path(part.source))} | row, location


def class_of(file: Path) -> str:
    """The label of the lines of a file: its name, or an ending that tells no format.

    >>> class_of(Path("a/positive.txt.gz")), class_of(Path("a/rt-polarity.pos"))
    ('positive', 'pos')
    """
    suffix = ending(file)
    if suffix and suffix not in ENDINGS:
        return suffix[1:]
    return file.name[: file.name.lower().rindex(suffix)] if suffix else file.name


def read_label_lines(part: Part, corpus: CorpusConfig) -> Iterator[Row]:
    """One document per line, after its label and whitespace.

    fastText's `__label__` before a label and a colon after it are left out.
    """
    for row, location in read_lines(part, corpus):
        yield row if isinstance(row, RowError) else _after_label(row["text"]), location


def _after_label(line: str) -> dict[str, Any] | RowError:
    label, text = [*line.split(maxsplit=1), "", ""][:2]
    if text.startswith(FASTTEXT_LABEL):
        return RowError("it has several labels; write JSON with a list of labels in each row")
    if label.startswith(FASTTEXT_LABEL):
        # As in fastText's own examples: `__label__7 , A text.`
        text = text.removeprefix(", ")
    return {"label": label.removeprefix(FASTTEXT_LABEL).removesuffix(":"), "text": text.strip()}


def _parsed(raw: str, encoding: str, parse: Callable[[str], dict[str, Any]]) -> dict[str, Any] | RowError:
    """The columns of a raw row, or its error."""
    try:
        return parse(check_decoded(raw, encoding))
    except RowError as error:
        return error


def _parse_text(text: str) -> dict[str, Any]:
    return {"text": text}


def read_jsonl(part: Part, corpus: CorpusConfig) -> Iterator[Row]:
    """One JSON object per line."""
    encoding = encoding_of(part.source, corpus)
    for number, line in enumerate(lines(part, corpus), 1):
        if line.strip():
            row = _parsed(line, encoding, _parse_json)
            if isinstance(row, RowError) and number == 1 and line.lstrip().startswith("["):
                row = RowError(f"{row}; if the file is one array, set corpus.format: json")
            yield row, Location(part, number)


def _parse_json(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", str(error))
        raise RowError(f"not JSON ({reason}); fix or remove the line") from None
    if not isinstance(row, dict):
        raise RowError(f"expected a JSON object, found {type(row).__name__}")
    return _with_whole_names(row)


def _with_whole_names(row: dict[str, Any]) -> dict[str, Any]:
    """A row without lone surrogates, such as half an emoji, in the names of its columns: nothing could write them."""
    if all(map(str.isascii, row)):
        return row
    return {name.encode("utf-8", "replace").decode("utf-8"): value for name, value in row.items()}


def read_json(part: Part, corpus: CorpusConfig) -> Iterator[Row]:
    """The objects of a JSON array, of an object's only array, or one after the other over several lines each.

    Raises:
        InputError: the text cannot be read as JSON.
    """
    try:
        text = check_decoded("".join(lines(part, corpus)), encoding_of(part.source, corpus))
    except RowError as error:
        raise InputError(f"{part.source}: {error}") from None
    decoder, position, number = json.JSONDecoder(), 0, 0
    while (start := WHITESPACE.match(text, position)) is not None and start.end() < len(text):
        try:
            value, position = decoder.raw_decode(text, start.end())
        except (ValueError, RecursionError) as error:
            line = getattr(error, "lineno", 1)
            raise InputError(f"{part.source}:{line}: not JSON ({getattr(error, 'msg', error)})") from None
        if is_a_table(value):
            is_alone = number == 0 and not text[position:].strip()
            value = _rows_of_table(value, part.source, is_alone)
        for row in value if isinstance(value, list) else [value]:
            number += 1
            if isinstance(row, dict):
                yield _with_whole_names(row), f"{part.source}:row {number}"
            else:
                yield RowError(f"expected a JSON object, found {type(row).__name__}"), f"{part.source}:row {number}"


def _rows_of_table(table: dict[str, Any], file: str, is_alone: bool) -> list[Any]:
    """The rows of a JSON object of lists and objects: its only list, if that is one of objects; else it is a row.

    Raises:
        InputError: it has a list or an object for each column, as nothing else is in the file.
    """
    first = next(iter(table.values()))
    if len(table) == 1 and isinstance(first, list) and (not first or any(isinstance(row, dict) for row in first)):
        return first
    if not is_alone:
        return [table]
    raise InputError(
        f"{file}: one JSON object of lists or objects, where each row should be an object; write a list of objects, in "
        'pandas with `df.to_json(FILE, orient="records")`'
    )


def read_table(part: Part, corpus: CorpusConfig) -> Iterator[Row]:
    """One document per row of a CSV or TSV file, in the dialect that is found (`tables.py`).

    Raises:
        InputError: two columns have a name that is asked for.
    """
    encoding = encoding_of(part.source, corpus)
    for cells, line in tables.read(part, corpus):
        row = cells
        if not isinstance(cells, RowError):
            row = _parsed("\n".join(cells.values()), encoding, lambda _, cells=cells: cells)
        yield row, f"{part.source}:{line}"


def read_parquet(part: Part, corpus: CorpusConfig) -> Iterator[Row]:
    """One document per row.

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
            for row in _rows_of_batch(with_short_numbers(batch)):
                yield row, f"{part.source}:row {number}"
                number += 1
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{part.source}: not readable as Parquet ({' '.join(str(error).split())})") from None


def with_short_numbers(batch: Any) -> Any:
    """An Arrow table with numbers of 32 bits as they are written: 0.1, not 0.10000000149011612, may be a label."""
    import pyarrow

    for place, field in enumerate(batch.schema):
        if pyarrow.types.is_float32(field.type):
            numbers = batch.column(place).cast(pyarrow.string()).cast(pyarrow.float64())
            batch = batch.set_column(place, field.name, numbers)
    return batch


def _rows_of_batch(batch: Any) -> list[dict[str, Any] | RowError]:
    """The rows of an Arrow table; the error of those with bytes in a column of text that are not UTF-8.

    What Python has no value for, such as a date after the year 9999, is the number that Arrow keeps, or nothing.
    """
    try:
        return batch.to_pylist()
    except (ValueError, OverflowError, LookupError):
        columns = {name: _values(column) for name, column in zip(batch.schema.names, batch.columns, strict=True)}
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    return [next((value for value in row.values() if isinstance(value, RowError)), row) for row in rows]


def _values(column: Any) -> list[Any]:
    """The values of an Arrow column, or the errors of those that are no text."""
    import pyarrow

    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        is_text = pyarrow.types.is_string(column.type) or pyarrow.types.is_large_string(column.type)
        return [*map(_decoded, column.cast(pyarrow.binary()).to_pylist())] if is_text else [None] * len(column)
    except (ValueError, OverflowError, LookupError):
        try:
            return column.cast(pyarrow.int64()).to_pylist()
        except pyarrow.ArrowException:
            return [None] * len(column)


def _decoded(value: bytes | None) -> str | RowError | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError as error:
        return RowError(f"byte 0x{value[error.start]:02x} of a column of text is not UTF-8; write the text again in it")


def read_hub(part: Part, corpus: CorpusConfig) -> Iterator[Row]:
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
        return datasets.load_dataset(identifier, subset, split=split, revision=hub_commit(identifier, "dataset"))
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"corpus.source: {identifier!r} is not a local file or folder and cannot be loaded from the Hub "
            f"(split {split!r}): {reason}"
        ) from None


def read_sample(part: Part, corpus: CorpusConfig) -> Iterator[Row]:
    """A split of the built-in synthetic reviews."""
    yield from synthetic_reviews.rows(part.split)


READERS: dict[str, Reader] = {
    "text": read_text,
    "blocks": read_blocks,
    "lines": read_lines,
    "class_lines": read_class_lines,
    "label_lines": read_label_lines,
    "jsonl": read_jsonl,
    "json": read_json,
    "csv": read_table,
    "tsv": read_table,
    "parquet": read_parquet,
    "hub": read_hub,
    "sample": read_sample,
}
