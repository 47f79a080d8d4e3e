"""Any corpus → a stream of clean documents."""

import difflib
import html
import itertools
import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from configs.errors import InputError
from tokenizer import formats
from tokenizer.config import CorpusConfig
from tokenizer.shards import shards


class Document(NamedTuple):
    """One document, cleaned."""

    text: str
    second_text: str | None
    label: str | int | None
    label_name: str | None
    place: formats.Place | str


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
    for part in itertools.chain.from_iterable(shards(corpus)):
        for document in read_part(part, corpus, labelled):
            yield document
            count += 1
            if count == corpus.maximum_documents:
                return
    if count == 0:
        raise InputError(f"corpus.source: {_described(corpus)} holds no document with any text")


def read_part(part: formats.Part, corpus: CorpusConfig, labelled: bool = False) -> Iterator[Document]:
    """The documents of a part of a corpus."""
    for row, place in formats.READERS[part.format](part, corpus.encoding):
        document = _document(row, place, corpus, labelled)
        if document is not None:
            yield document


def _described(corpus: CorpusConfig) -> str:
    return f"{corpus.source!r} (split {corpus.split!r})"


def _document(row: dict[str, Any], place: formats.Place | str, corpus: CorpusConfig, labelled: bool) -> Document | None:
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


def _column(row: dict[str, Any], column: str, key: str, place: formats.Place | str) -> Any:
    if column not in row:
        near = difflib.get_close_matches(column, row, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; the columns are {', '.join(row)}"
        raise InputError(f"{place}: no column {column!r} (corpus.{key}){hint}")
    return row[column]


def _text(row: dict[str, Any], column: str, place: formats.Place | str, corpus: CorpusConfig) -> str:
    value = _column(row, column, "text_column", place)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(f"{place}: column {column!r} holds {type(value).__name__}, not text")
    # Half a character, as of an emoji cut in two, cannot be encoded by anybody.
    value = value.encode("utf-8", "replace").decode("utf-8")
    return clean_html(value) if corpus.clean_html else value


def _label(value: Any, place: formats.Place | str, corpus: CorpusConfig) -> str | int:
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
