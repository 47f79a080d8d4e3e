"""Any corpus → a stream of clean documents."""

import difflib
import hashlib
import html
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from configs.errors import InputError
from tokenizer import formats, sample
from tokenizer.config import CorpusConfig

HEAD_AND_TAIL = 1 << 20


class Document(NamedTuple):
    """One document, cleaned."""

    text: str
    second_text: str | None
    label: str | int | None
    label_name: str | None
    place: str


def read(corpus: CorpusConfig, labelled: bool = False) -> Iterator[Document]:
    """The documents of a corpus, in file order.

    Unlabelled documents without a visible character are passed over.

    Args:
        corpus: where the text lies.
        labelled: read labels too.

    Raises:
        InputError: a file, column, text or label is missing or cannot be read, or the corpus is empty.
    """
    count = 0
    for row, place in _rows(corpus):
        document = _document(row, place, corpus, labelled)
        if document is None:
            continue
        yield document
        count += 1
        if count == corpus.maximum_documents:
            break
    if count == 0:
        raise InputError(f"corpus.source: {_described(corpus)} holds no document with any text")


def _described(corpus: CorpusConfig) -> str:
    return f"{corpus.source!r} (split {corpus.split!r})"


def _document(row: dict[str, Any], place: str, corpus: CorpusConfig, labelled: bool) -> Document | None:
    text = _text(row, corpus.text_column, place, corpus)
    second = None if corpus.second_text_column is None else _text(row, corpus.second_text_column, place, corpus)
    label = name = None
    if labelled or corpus.labels is not None:
        label = _label(_column(row, corpus.label_column, "label_column", place), place, corpus)
        if corpus.labels is not None and str(label) not in corpus.labels:
            return None
        if corpus.label_name_column is not None:
            name = str(_column(row, corpus.label_name_column, "label_name_column", place))
    if not text.strip():
        if labelled:
            raise InputError(f"{place}: the labelled text in column {corpus.text_column!r} is empty; remove the row")
        return None
    return Document(text, second, label, name, place)


def _column(row: dict[str, Any], column: str, key: str, place: str) -> Any:
    if column not in row:
        near = difflib.get_close_matches(column, row, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; the columns are {', '.join(row)}"
        raise InputError(f"{place}: no column {column!r} (corpus.{key}){hint}")
    return row[column]


def _text(row: dict[str, Any], column: str, place: str, corpus: CorpusConfig) -> str:
    value = _column(row, column, "text_column", place)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(f"{place}: column {column!r} holds {type(value).__name__}, not text")
    return clean_html(value) if corpus.clean_html else value


def _label(value: Any, place: str, corpus: CorpusConfig) -> str | int:
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        value = int(value)
    if isinstance(value, str) and value.strip():
        return value.strip()
    if isinstance(value, int):
        return int(value)
    raise InputError(f"{place}: column {corpus.label_column!r} holds {value!r}, which is no label")


_BREAK = re.compile(r"<\s*/?\s*(?:br|p|div)\b[^<>]{0,100}>", re.IGNORECASE)


def clean_html(text: str) -> str:
    r"""Line breaks and entities of HTML as plain text.

    >>> clean_html("Bad.<br /><br />Really&nbsp;bad &amp; long")
    'Bad.\n\nReally\xa0bad & long'
    """
    return html.unescape(_BREAK.sub("\n", text))


def _rows(corpus: CorpusConfig) -> Iterator[formats.Row]:
    if corpus.source == "sample" or corpus.format == "sample":
        for split in corpus.split.split("+"):
            yield from sample.rows(split)
        return
    files = find_files(corpus)
    if files is None:
        for split in corpus.split.split("+"):
            yield from formats.read_hub(corpus.source, corpus.subset, split)
        return
    for file in files:
        yield from formats.READERS[format_of(file, corpus, len(files))](file, corpus.encoding)


def format_of(file: Path, corpus: CorpusConfig, file_count: int) -> str:
    """The format that `corpus.format` or the file's ending gives; a lone `.txt` file holds blocks.

    Raises:
        InputError: `auto`, and the ending is unknown.
    """
    if corpus.format != "auto":
        return corpus.format
    ending = formats.ENDINGS.get(file.suffix.lower())
    if ending is None:
        known = " ".join(sorted(formats.ENDINGS))
        raise InputError(f"{file}: unknown ending {file.suffix!r}; set corpus.format, or use one of {known}")
    return "blocks" if ending == "text" and file_count == 1 else ending


def find_files(corpus: CorpusConfig) -> list[Path] | None:
    """The files that `source` and `split` name, sorted; None where `source` can only be a Hub id.

    Raises:
        InputError: `source` looks like a path but nothing lies there, or the folder lacks the split.
    """
    path = Path(corpus.source)
    if path.is_file():
        return [path]
    if path.is_dir():
        return _files_in(path, corpus)
    if any(mark in corpus.source for mark in "*?["):
        anchor = Path(path.anchor)
        files = sorted(file for file in anchor.glob(str(path.relative_to(anchor))) if file.is_file())
        if not files:
            raise InputError(f"corpus.source: no file matches {corpus.source!r}")
        return files
    looks_like_hub = re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", corpus.source) and path.suffix not in formats.ENDINGS
    if corpus.format == "hub" or looks_like_hub:
        return None
    raise InputError(f"corpus.source: no such file or folder: {corpus.source!r}")


def _files_in(folder: Path, corpus: CorpusConfig) -> list[Path]:
    """The files of each split: `train.csv`, `train-00000-of-00002.parquet`, or all below the folder `train/`."""
    files: list[Path] = []
    for split in corpus.split.split("+"):
        named = [file for file in sorted(folder.glob(f"{split}*")) if re.match(rf"{re.escape(split)}[.-]", file.name)]
        below = sorted(file for file in (folder / split).rglob("*") if file.suffix.lower() in formats.ENDINGS)
        if not named and not below:
            everything = sorted(file for file in folder.rglob("*") if file.suffix.lower() in formats.ENDINGS)
            if split != "all" or not everything:
                there = ", ".join(sorted(entry.name for entry in folder.iterdir())[:10]) or "nothing"
                raise InputError(
                    f"corpus.split: {split!r} is neither a file nor a folder in {folder} (there: {there}); "
                    "`all` reads every file below it"
                )
            below = everything
        files += [file for file in named if file.is_file()] + below
    return files


def fingerprint(corpus: CorpusConfig) -> str:
    """Ten hexadecimal digits of the content that `corpus` points at, whatever the path that leads to it.

    Of a file larger than 2 MiB, the size and the first and last MiB are taken; of a Hub data set, its id.
    """
    state = hashlib.sha256()
    if corpus.source == "sample" or corpus.format == "sample":
        state.update(sample.version().encode())
    elif (files := find_files(corpus)) is None:
        state.update(corpus.source.encode())
    else:
        for file in files:
            size = file.stat().st_size
            # The folder's name is content only where it is the label.
            label = file.parent.name if format_of(file, corpus, len(files)) == "text" else ""
            state.update(f"{label}/{file.name} {size}\n".encode())
            with file.open("rb") as stream:
                state.update(stream.read(HEAD_AND_TAIL))
                stream.seek(max(stream.tell(), size - HEAD_AND_TAIL))
                state.update(stream.read(HEAD_AND_TAIL))
    return state.hexdigest()[:10]
