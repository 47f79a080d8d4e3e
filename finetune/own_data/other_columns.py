"""The columns of test and unlabelled texts: those of the labelled ones or, if they have others, those found."""

import dataclasses
import functools
import logging
from collections.abc import Callable, Collection

from configs.errors import InputError
from finetune.own_data.advice import Columns, as_labelled
from finetune.own_data.columns import (
    HIDDEN_KEYS,
    called,
    column_names,
    find_columns,
    holds_numbered,
    is_a_table,
    label_keys,
    part_of,
    read_contents,
    readable_rows,
)
from finetune.own_data.headers import LABEL_NAMES, are_names, is_no_name, plain
from finetune.own_data.label_columns import SURE_LABEL_NAMES, TARGET, is_split, may_be_called
from finetune.own_data.missing_labels import unlabelled_names
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.documents import is_number, label_key

# What labels are called that may be about anything.
NEUTRAL_NAMES = (*SURE_LABEL_NAMES, TARGET, "y")
# Yes and no in several languages, which may be about anything.
YES_OR_NO = {
    "yes", "no", "y", "n", "true", "false", "t", "f", "on", "off", "ja", "nein", "j", "wahr", "falsch", "oui", "non",
    "o", "vrai", "faux", "si", "s\u00ed", "s\u00ec", "s", "verdadero", "falso", "vero", "sim", "n\u00e3o", "nao", "nee",
    "nej", "nei", "tak", "nie", "ano", "ne", "da", "nu", "\u0434\u0430", "\u043d\u0435\u0442", "evet", "hay\u0131r",
    "hayir", "igen", "nem", "kyll\u00e4", "ei", "\u662f", "\u5426", "\u306f\u3044", "\u3044\u3044\u3048",
}  # fmt: skip

Classes = Callable[[], set[str]]
"""Gives the keys of the labels of the labelled texts (`label_key`)."""

log = logging.getLogger(__name__)


def where_in(found: Columns, columns: Columns) -> str:
    """The columns of further texts, for a line, beside those of the labelled texts if these are called otherwise.

    >>> where_in(Columns("text", "label", None), Columns("text", "label", None))
    "column 'text', label in column 'label'"
    >>> where_in(Columns("2", None, False), Columns("text", "label", None))
    "column '2' (of the labelled texts: 'text')"
    """
    other_text = f" (of the labelled texts: {columns.text!r})" if found.text != columns.text else ""
    if found.label is None:
        return f"column {found.text!r}{other_text}"
    other_label = f" (of the labelled texts: {columns.label!r})" if found.label != columns.label else ""
    return f"column {found.text!r}{other_text}, label in column {found.label!r}{other_label}"


def columns_of_others(
    corpus: CorpusConfig, is_labelled: bool, likely: Columns, labelled: CorpusConfig, by_classes: bool = True
) -> Columns:
    """The columns of test or unlabelled texts; flags are about those of the labelled texts.

    Args:
        corpus: the texts.
        is_labelled: whether a label is needed.
        likely: the columns of the labelled texts.
        labelled: the labelled texts.
        by_classes: whether the label may have any name, if it has the same values as that of the labelled texts.

    Raises:
        InputError: they are not found.
    """
    # Read once, and only if names do not tell.
    classes = functools.cache(lambda: classes_of(labelled))
    try:
        width = len(column_names(labelled)) if likely.text.isdecimal() else None
        found = found_columns(corpus, is_labelled, likely, classes, by_classes and is_labelled, width)
        if found.label is not None and likely.label is not None:
            check_label(found, corpus, likely, labelled, classes)
    except InputError as error:
        told, twice, _ = str(error).partition("; rename them")
        raise InputError(f"{told}{twice}") from None
    return found


def found_columns(
    corpus: CorpusConfig, is_labelled: bool, likely: Columns, classes: Classes, by_classes: bool, width: int | None
) -> Columns:
    """The columns by their names or, if the label may have any, the one with the classes."""
    is_numbered = is_labelled and likely.label is not None and likely.label.isdecimal()
    try:
        return find_columns(corpus, None, None, is_labelled, likely, classes() if is_numbered else (), width)
    except InputError:
        label = usual_of_classes(corpus, likely, classes) if is_labelled else None
        if label is None and by_classes:
            label = column_of_classes(corpus, likely, classes())
        if label is None:
            raise
        return find_columns(corpus, None, label, is_labelled, likely)


def usual_of_classes(corpus: CorpusConfig, likely: Columns, classes: Classes) -> str | None:
    """The only column of test texts with a usual name of labels, be it of topics or not, if all in it are classes of
    the labelled texts: words or, where a label is just called so (`label`, `target`), also numbers.
    """
    named = [name for name in column_names(corpus) if plain(name) in LABEL_NAMES and name != likely.text]
    if not named or likely.label is None or likely.label.isdecimal():
        return None
    # In the first row of a table without a header, a class may be called so: `y` above `y` and `n`.
    named = [name for name in named if label_key(name) not in classes()]
    if len(named) != 1:
        return None
    keys = keys_in(corpus, named[0]) - HIDDEN_KEYS
    is_neutral = not {plain(likely.label), plain(named[0])}.isdisjoint(NEUTRAL_NAMES)
    is_told = is_neutral or not any(is_number(key) or key in YES_OR_NO for key in keys)
    return named[0] if is_told and keys and keys <= classes() else None


def column_of_classes(corpus: CorpusConfig, likely: Columns, classes: Collection[str]) -> str | None:
    """The only column of test texts with a few values, if it has the same as the label of the labelled texts has, and
    these are words, but not yes and no; in a table, only under a header that is one beyond doubt.
    """
    contents = read_contents(corpus, labelled=True)
    possible = [name for name, held in contents.items() if held.may_be_classes and not is_split(name, held)]
    if len(possible) != 1 or any(is_number(key) or key in YES_OR_NO for key in classes):
        return None
    name = possible[0]
    others = [other for other in contents if other != name]
    has_names = (are_names(others) or called(likely.text, others)) and not any(map(is_no_name, contents))
    is_under_header = has_names or corpus.header or not is_a_table(corpus)
    is_alike = have_classes(keys_in(corpus, name), classes, corpus) and label_key(name) not in classes
    return name if is_under_header and is_alike else None


def check_label(
    found: Columns, corpus: CorpusConfig, likely: Columns, labelled: CorpusConfig, classes: Classes
) -> None:
    """Refuse a test label that is something else in the labelled texts; warn of one that is known by its values alone.

    Raises:
        InputError: the labelled texts have that column, too, beside their label, or it has neither its name or place
            nor the same values.
    """
    names, label, here, lacking = column_names(labelled), likely.label or "", found.label or "", None
    if found.header is False:
        # Under a header, columns have a place, too; keys of JSON, and folders, have none.
        has_place = label in names and is_a_table(labelled)
        is_known = here == (label if likely.header is False else str(names.index(label) + 1) if has_place else None)
    else:
        is_usual = plain(here) in LABEL_NAMES and may_be_called(here, likely)
        is_known = is_usual or plain(here) == plain(label) or here == usual_of_classes(corpus, likely, classes)
        if likely.header is not False and called(here, names) not in (None, label):
            lacking = f"{here!r} is another column of the labelled texts"
    if not (is_known or lacking) and not have_classes(keys_in(with_columns(corpus, found), here), classes(), corpus):
        lacking = f"column {here!r} has not the same values as the label of the labelled texts"
    if lacking is not None:
        raise InputError(
            f"label_column: which column of {corpus.source!r} is the label? {lacking}; {as_labelled(label, likely)}"
        )
    if not is_known:
        log.warning(
            "columns: column %r of %s is taken for the label, as it has the same values as that of the labelled texts; "
            "if the label is another, %s", here, part_of(corpus), as_labelled(label, likely),
        )  # fmt: skip


def columns_of_split(corpus: CorpusConfig, columns: Columns, header: bool | None, labelled: CorpusConfig) -> Columns:
    """The columns of another split: as they are called in the labelled one or, if it is of another shape, those found.

    Args:
        corpus: the split, read as the labelled one is.
        columns: of the labelled split; without a label if none is needed.
        header: as it was given.
        labelled: the labelled split.

    Raises:
        InputError: they are not found.
    """
    names = column_names(corpus)
    text = called(columns.text, names)
    label = None if columns.label is None else called(columns.label, names)
    has_numbers = columns.header is False or columns.text.isdecimal()
    is_alike = text is not None and (columns.label is None or label is not None)
    if not names or (is_alike and not has_numbers):
        return Columns(text or columns.text, label or columns.label, corpus.header)
    other = dataclasses.replace(corpus, header=header, text_column=CorpusConfig.text_column)
    first = column_names(other)
    # A class may be called as columns are.
    classes = set() if columns.label is None else classes_of(labelled)
    has_names = are_names(cell for cell in first if label_key(cell) not in classes)
    if not is_alike or has_names or not holds_numbered(corpus, columns, classes, len(column_names(labelled))):
        return columns_of_others(other, columns.label is not None, columns, labelled, by_classes=False)
    return Columns(columns.text, columns.label, corpus.header)


def classes_of(labelled: CorpusConfig) -> set[str]:
    """The keys of the labels of the labelled texts."""
    return keys_in(labelled, labelled.label_column)


def have_classes(keys: set[str], classes: Collection[str], corpus: CorpusConfig) -> bool:
    """Whether labels are the classes of the labelled texts and nothing else, but for what `corpus.labels` leaves out
    and the names of texts without a label.

    >>> one = CorpusConfig(labels=["Good", "bad"])
    >>> have_classes({"bad", "good"}, {"bad", "good", "so", "unsup"}, one), have_classes({"so"}, {"so", "unsup"}, one)
    (True, False)
    """
    wanted = keys | {*classes} if corpus.labels is None else {*map(label_key, corpus.labels)}
    here, there = ((of & wanted) - unlabelled_names(of) for of in (keys, {*classes}))
    return bool(here) and here == there


def keys_in(corpus: CorpusConfig, column: str) -> set[str]:
    """The keys of the labels in a column (`label_key`)."""
    return {key for row in readable_rows(corpus) for key in label_keys(row.get(column), corpus)}


def with_label_columns(corpus: CorpusConfig) -> CorpusConfig:
    """The corpus with its columns of 0 and 1 as they are called in it, whatever the case; numbers are no names."""
    if corpus.label_columns is None or all(map(str.isdecimal, corpus.label_columns)):
        return corpus
    names = column_names(corpus)
    by_key = {label_key(name): name for name in names}
    called_here = [name if name in names else by_key.get(label_key(name), name) for name in corpus.label_columns]
    return dataclasses.replace(corpus, label_columns=called_here)


def with_columns(corpus: CorpusConfig, columns: Columns) -> CorpusConfig:
    """The corpus with its columns."""
    label = corpus.label_column if columns.label is None else columns.label
    return dataclasses.replace(corpus, text_column=columns.text, label_column=label, header=columns.header)
