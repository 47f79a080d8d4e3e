"""Any corpus → a stream of clean documents."""

import difflib
import html
import itertools
import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from configs.errors import InputError
from tokenizer.corpus import formats
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.quarantine import MissingColumnError, Quarantine, RowError, clean
from tokenizer.corpus.shards import shards


class Document(NamedTuple):
    """One document, cleaned."""

    text: str
    second_text: str | None
    label: str | int | None
    label_name: str | None
    place: formats.Place | str


def read(corpus: CorpusConfig, labelled: bool = False, quarantine: Quarantine | None = None) -> Iterator[Document]:
    """The documents of a corpus, in file order.

    Unlabelled documents without a visible character are passed over; rows that cannot be used are set aside.

    Args:
        corpus: where the text lies.
        labelled: read labels too.
        quarantine: receives what is set aside.

    Raises:
        InputError: a file or column is missing or cannot be read, too many rows cannot be used, or none is left.
    """
    kept, aside = 0, Quarantine(corpus.maximum_set_aside) if quarantine is None else quarantine
    for part in itertools.chain.from_iterable(shards(corpus)):
        for document in read_part(part, corpus, labelled, aside):
            yield document
            kept += 1
            if kept == corpus.maximum_documents:
                return
    aside.check()
    if kept == 0:
        raise InputError(f"corpus.source: {_described(corpus)} holds no document with any text")


def read_part(
    part: formats.Part, corpus: CorpusConfig, labelled: bool = False, quarantine: Quarantine | None = None
) -> Iterator[Document]:
    """The documents of a part of a corpus; rows that cannot be used go to `quarantine`."""
    aside = Quarantine(corpus.maximum_set_aside) if quarantine is None else quarantine
    kind: type | None = None
    for row, place in formats.READERS[part.format](part, corpus.encoding):
        aside.rows += 1
        try:
            if isinstance(row, RowError):
                raise row
            document = _document(row, place, corpus, labelled)
            if document is not None and document.label is not None and labelled:
                kind = kind or type(document.label)
                _check_kind(document.label, kind, corpus)
        except MissingColumnError as error:
            if part.format != "jsonl":
                raise InputError(f"{place}: {error}") from None
            aside.reject(place, str(error))
        except RowError as error:
            aside.reject(place, str(error))
        else:
            aside.empty += document is None
            if document is not None:
                yield document


def _check_kind(label: str | int, kind: type, corpus: CorpusConfig) -> None:
    """Refuse a word among numbers, or a number among words; the first row of a file decides."""
    if type(label) is not kind:
        other, first = ("word", "number") if kind is int else ("number", "word")
        raise RowError(
            f"column {corpus.label_column!r} holds the {other} {label!r}, where the first label is a {first}"
        )


def _described(corpus: CorpusConfig) -> str:
    return f"{corpus.source!r} (split {corpus.split!r})"


def _document(row: dict[str, Any], place: formats.Place | str, corpus: CorpusConfig, labelled: bool) -> Document | None:
    text = _text(row, corpus.text_column, corpus)
    second = None if corpus.second_text_column is None else _text(row, corpus.second_text_column, corpus)
    label = name = None
    if labelled or corpus.labels is not None:
        label = _label(_column(row, corpus.label_column, "label_column"), corpus)
        if corpus.labels is not None and str(label) not in corpus.labels:
            return None
        if corpus.label_name_column is not None:
            name = str(_column(row, corpus.label_name_column, "label_name_column"))
    if not text.strip():
        if labelled:
            raise RowError(f"the labelled text in column {corpus.text_column!r} is empty; remove the row")
        return None
    return Document(text, second, label, name, place)


def _column(row: dict[str, Any], column: str, key: str) -> Any:
    if column not in row:
        near = difflib.get_close_matches(column, row, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; the columns are {', '.join(row)}"
        raise MissingColumnError(f"no column {column!r} (corpus.{key}){hint}")
    return row[column]


def _text(row: dict[str, Any], column: str, corpus: CorpusConfig) -> str:
    value = _column(row, column, "text_column")
    if value is None:
        return ""
    if not isinstance(value, str):
        raise RowError(f"column {column!r} holds {type(value).__name__}, not text")
    value = clean(value)
    return clean_html(value) if corpus.clean_html else value


def _label(value: Any, corpus: CorpusConfig) -> str | int:
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        value = int(value)
    if isinstance(value, str) and value.strip():
        return value.strip()
    if isinstance(value, int):
        return int(value)
    raise RowError(f"column {corpus.label_column!r} holds {value!r}, which is no label")


_BREAK = re.compile(r"<\s*/?\s*(?:br|p|div)\b[^<>]{0,100}>", re.IGNORECASE)


def clean_html(text: str) -> str:
    r"""Line breaks and entities of HTML as plain text.

    >>> clean_html("Bad.<br /><br />Really&nbsp;bad &amp; long")
    'Bad.\n\nReally\xa0bad & long'
    """
    return html.unescape(_BREAK.sub("\n", text))
