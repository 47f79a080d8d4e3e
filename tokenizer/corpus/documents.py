"""A corpus → a stream of cleaned documents."""

import decimal
import difflib
import functools
import hashlib
import html
import itertools
import re
import textwrap
import unicodedata
from collections.abc import Iterator
from typing import Any, NamedTuple

from configs.errors import InputError
from tokenizer.corpus import formats
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.quarantine import MissingColumnError, Quarantine, RowError, clean
from tokenizer.corpus.row_labels import Label, OneLabel, label_of, labels_in_columns
from tokenizer.corpus.shards import shards
from tokenizer.corpus.text_files import Location, Part

# Characters of a column's name, and of all of them, in a message.
SHOWN_NAME, SHOWN = 60, 600

NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?")


class Document(NamedTuple):
    """One cleaned document."""

    text: str
    second_text: str | None
    label: Label | None
    label_name: str | None
    location: Location | str


def read(corpus: CorpusConfig, labelled: bool = False, quarantine: Quarantine | None = None) -> Iterator[Document]:
    """Read the documents of a corpus, in file order; with `share`, those that are in it.

    Unlabelled documents without a visible character are skipped; unusable rows go to `quarantine`.

    Args:
        corpus: the corpus.
        labelled: read labels too.
        quarantine: collects the unusable rows.

    Raises:
        InputError: a file or column is missing or unreadable, too many rows are unusable, or no document is left.
    """
    count, quarantine = 0, Quarantine(corpus.maximum_set_aside) if quarantine is None else quarantine
    for number, document in enumerate(_all_documents(corpus, labelled, quarantine), start=1):
        if is_in_share(document, corpus):
            yield document
            count += 1
        if number == corpus.maximum_documents:
            break
    else:
        quarantine.check()
    if count == 0:
        wanted = (
            "with any text" if corpus.share == 1 else f"with any text in its share (`corpus.share: {corpus.share:g}`)"
        )
        if quarantine.other_labels:
            wanted += f" and one of the labels {', '.join(corpus.labels or ())}; {quarantine.other_labels} have others"
        raise InputError(f"corpus.source: {corpus.source!r} (split {corpus.split!r}) holds no document {wanted}")


def _all_documents(corpus: CorpusConfig, labelled: bool, quarantine: Quarantine) -> Iterator[Document]:
    for part in itertools.chain.from_iterable(shards(corpus)):
        yield from read_part(part, corpus, labelled, quarantine)


def is_in_share(document: Document, corpus: CorpusConfig) -> bool:
    """Whether a document is in the `share` of its corpus that is read."""
    return corpus.share == 1 or place_of(document.text) < corpus.share


def place_of(text: str) -> float:
    """Where a text stands in [0, 1), by its hash: a corpus's share holds the texts below it.

    >>> 0 <= place_of("A good film.") < 1, place_of("A good film.") == place_of("A bad film.")
    (True, False)
    """
    digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=6, person=b"corpus.share").digest()
    return int.from_bytes(digest, "little") / 2**48


def read_part(
    part: Part, corpus: CorpusConfig, labelled: bool = False, quarantine: Quarantine | None = None
) -> Iterator[Document]:
    """Read the documents of a part of a corpus; unusable rows go to `quarantine`."""
    quarantine = Quarantine(corpus.maximum_set_aside) if quarantine is None else quarantine
    first_label: Label | None = None
    for row, location in formats.READERS[part.format](part, corpus):
        quarantine.rows += 1
        try:
            if isinstance(row, RowError):
                raise row
            if not _has_wanted_label(row, corpus):
                quarantine.other_labels += 1
                continue
            document = _document(row, location, corpus, labelled)
            if document is not None and document.label is not None and labelled:
                first_label = document.label if first_label is None else first_label
                _check_label_type(document.label, first_label, corpus)
        except MissingColumnError as error:
            if part.format not in ("jsonl", "json"):
                raise InputError(f"{location}: {error}") from None
            quarantine.reject(location, str(error))
        except RowError as error:
            quarantine.reject(location, str(error))
        else:
            quarantine.empty += document is None
            if document is not None:
                yield document


def _check_label_type(label: Label, first: Label, corpus: CorpusConfig) -> None:
    """Reject a word among numbers, or a number among words, where the file tells the two apart (JSON, Parquet), and a
    label among lists or a list among labels.
    """
    if isinstance(label, tuple) or isinstance(first, tuple):
        if type(label) is not type(first):
            shown = list(label) if isinstance(label, tuple) else label
            actual, expected = ("a list of labels", "one") if isinstance(label, tuple) else ("one label", "a list")
            raise RowError(f"column {corpus.label_column!r} holds {shown!r}, {actual}, but in the first row {expected}")
        return
    if type(label) is not type(first) and is_number(label) != is_number(first):
        actual, expected = ("number", "string") if is_number(label) else ("string", "number")
        raise RowError(
            f"column {corpus.label_column!r} holds the {actual} {label!r}, but the first label is a {expected}"
        )


def is_number(label: OneLabel) -> bool:
    """Whether a label is a number, also as text."""
    return NUMBER.fullmatch(str(label).strip()) is not None


def label_key(label: OneLabel) -> str:
    """What labels that mean the same have in common: numbers their value, words their letters whatever the case.

    >>> [label_key(label) for label in (1, "1", "1.0", "+1", "+-1", "01", " Good ", "GOOD", "True", "\u0130yi")]
    ['1', '1', '1', '1', '+-1', '01', 'good', 'good', 'true', 'iyi']
    """
    text = str(label).strip()
    if is_number(text if text.startswith("+-") else text.removeprefix("+")):
        return format(decimal.Decimal(text).normalize(), "f")
    # The capital of Turkish i is two characters in small letters, an i and a dot above it.
    return unicodedata.normalize("NFC", text.casefold().replace("i\u0307", "i"))


def is_wanted(label: OneLabel, corpus: CorpusConfig) -> bool:
    """Whether a label is one of `corpus.labels`, however it is written, or these are null."""
    return corpus.labels is None or label_key(label) in _keys(tuple(corpus.labels))


@functools.cache
def _keys(labels: tuple[str, ...]) -> frozenset[str]:
    return frozenset(map(label_key, labels))


def _has_wanted_label(row: dict[str, Any], corpus: CorpusConfig) -> bool:
    """Whether a row is read: where a text may have several labels, labels are left out, not texts."""
    if corpus.labels is None:
        return True
    label = _label(row, corpus)
    return isinstance(label, tuple) or is_wanted(label, corpus)


def _document(row: dict[str, Any], location: Location | str, corpus: CorpusConfig, labelled: bool) -> Document | None:
    text = _text(row, corpus.text_column, corpus)
    second_text = None if corpus.second_text_column is None else _text(row, corpus.second_text_column, corpus)
    label = label_name = None
    if labelled or corpus.labels is not None:
        label = _label(row, corpus)
        if isinstance(label, tuple):
            label = tuple(one for one in label if is_wanted(one, corpus))
        if corpus.label_name_column is not None:
            if isinstance(label, tuple):
                raise InputError("corpus.label_name_column: a text with several labels has no column for one name")
            label_name = clean(str(_column(row, corpus.label_name_column, "label_name_column")))
    if not text.strip():
        if labelled:
            raise RowError(f"the labelled text in column {corpus.text_column!r} is empty; remove the row")
        return None
    return Document(text, second_text, label, label_name, location)


def _label(row: dict[str, Any], corpus: CorpusConfig) -> Label:
    if corpus.label_columns is None:
        return label_of(_column(row, corpus.label_column, "label_column"), corpus)
    return labels_in_columns({name: _column(row, name, "label_columns") for name in corpus.label_columns})


def _column(row: dict[str, Any], column: str, key: str) -> Any:
    if column not in row:
        matches = difflib.get_close_matches(column, row, n=1)
        names = ", ".join(textwrap.shorten(name, SHOWN_NAME, placeholder=" …") for name in row)
        hint = f"; did you mean {matches[0]!r}?" if matches else f"; the columns are {textwrap.shorten(names, SHOWN)}"
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


# Anybody may send a text to a service: each run of spaces belongs to one quantifier alone, so the time is linear.
_BREAK = re.compile(r"<\s*+(?:/\s*+)?(?:br|p|div)\b[^<>]{0,100}>", re.IGNORECASE)


def clean_html(text: str) -> str:
    r"""Convert HTML line breaks and entities to plain text.

    Raises:
        RowError: a character's number has thousands of digits.

    >>> clean_html("Bad.<br /><br />Really&nbsp;bad &amp; long")
    'Bad.\n\nReally\xa0bad & long'
    """
    try:
        return html.unescape(_BREAK.sub("\n", text))
    except ValueError:
        # Python reads no number of so many digits.
        raise RowError("a character's number (&#…) has thousands of digits") from None
