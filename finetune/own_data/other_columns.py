"""The columns of test and unlabelled texts: those of the labelled ones or, if they have others, those found."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

from configs.errors import InputError
from finetune.own_data.advice import Columns, as_labelled
from finetune.own_data.columns import called, column_names, find_columns, holds_numbered, read_contents, readable_rows
from finetune.own_data.headers import are_names
from finetune.own_data.label_columns import is_split
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.documents import label_key
from tokenizer.corpus.row_labels import APPLIES


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
        by_classes: whether the label may have any name, if its values are classes of the labelled texts.

    Raises:
        InputError: they are not found.
    """
    try:
        found = found_columns(corpus, is_labelled, likely, labelled if by_classes else None)
        if found.label is not None and likely.label is not None:
            check_label(found, corpus, likely, labelled)
    except InputError as error:
        told, twice, _ = str(error).partition("; rename them")
        raise InputError(f"{told}{twice}") from None
    return found


def found_columns(corpus: CorpusConfig, is_labelled: bool, likely: Columns, labelled: CorpusConfig | None) -> Columns:
    """The columns by their names or, under any name, with the classes of the labelled texts, if these are given."""
    try:
        return find_columns(corpus, None, None, is_labelled, likely)
    except InputError:
        label = column_of_classes(corpus, labelled) if is_labelled and labelled is not None else None
        if label is None:
            raise
        return find_columns(corpus, None, label, is_labelled, likely)


def column_of_classes(corpus: CorpusConfig, labelled: CorpusConfig) -> str | None:
    """The only column of test texts with a few values, if these are classes of the labelled texts; yes and no may be
    about anything.
    """
    contents = read_contents(corpus, labelled=True)
    possible = [name for name, held in contents.items() if held.may_be_classes and not is_split(name, held)]
    if len(possible) != 1:
        return None
    values = contents[possible[0]].values
    # The name is none where it is a class, too.
    classes = classes_in({*values, possible[0]}, labelled)
    return possible[0] if classes == values and not {value.lower() for value in values} <= {*APPLIES} else None


def check_label(found: Columns, corpus: CorpusConfig, likely: Columns, labelled: CorpusConfig) -> None:
    """Refuse test labels that are something else in the labelled texts.

    Raises:
        InputError: the labelled texts have that column, too, beside their label.
    """
    lacking, label = None, likely.label or ""
    if likely.header is False and label.isdecimal():
        if found.header is False and len(column_names(with_columns(corpus, found))) < int(label):
            lacking = f"it has no column {label}"
    elif called(found.label or "", column_names(labelled)) not in (None, likely.label):
        lacking = f"{found.label!r} is another column of the labelled texts"
    if lacking is not None:
        raise InputError(
            f"label_column: which column of {corpus.source!r} is the label? {lacking}; {as_labelled(label, likely)}"
        )


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
    has_names = are_names(first) and are_names({*first} - classes_in(first, labelled))
    if not is_alike or has_names or not holds_numbered(corpus, columns):
        return columns_of_others(other, columns.label is not None, columns, labelled, by_classes=False)
    return Columns(columns.text, columns.label, corpus.header)


def labels_of(corpus: CorpusConfig) -> Iterator[str]:
    """The cells of the label column, as text; none of a missing one."""
    for row in readable_rows(corpus):
        label: Any = row.get(corpus.label_column)
        yield "" if label is None else str(label).strip()


def classes_in(cells: Iterable[str], labelled: CorpusConfig) -> set[str]:
    """Those of the cells that are labels of the labelled texts."""
    classes = {label_key(label) for label in labels_of(labelled)}
    return {cell for cell in cells if label_key(cell) in classes}


def with_columns(corpus: CorpusConfig, columns: Columns) -> CorpusConfig:
    """The corpus with its columns."""
    label = corpus.label_column if columns.label is None else columns.label
    return dataclasses.replace(corpus, text_column=columns.text, label_column=label, header=columns.header)
