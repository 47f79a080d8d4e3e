"""The label of a row, or its labels: one value, a list, a cell with a separator, or a column of 0 and 1 for each."""

import ast
import decimal
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from tokenizer.corpus.config import LIST_CELLS, CorpusConfig
from tokenizer.corpus.quarantine import RowError, clean

OneLabel = str | int
Label = OneLabel | tuple[OneLabel, ...]
"""The class of a text; a tuple, perhaps an empty one, where a text may have several labels."""

APPLIES = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
# Strings side by side, as numpy prints a list; Python would read them as one.
WITHOUT_COMMA = re.compile(r"""['"]\s+['"]""")


def label_of(value: Any, corpus: CorpusConfig) -> Label:
    """The label in a cell of `corpus.label_column`; all of them, if it is a list or `corpus.label_separator` is set.

    Raises:
        RowError: it holds none.
    """
    if isinstance(value, list):
        return several(value, corpus)
    separator = corpus.label_separator
    if not separator:
        return one_label(value, corpus)
    if value is None:
        return ()
    text = value if isinstance(value, str) else str(one_label(value, corpus))
    if separator == LIST_CELLS:
        return several(list_in(text, corpus), corpus)
    return several([part for part in text.split(separator) if part.strip()], corpus)


def one_label(value: Any, corpus: CorpusConfig) -> OneLabel:
    """A value as a label.

    Raises:
        RowError: it is none.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float | decimal.Decimal) and math.isfinite(value):
        return int(value) if value == int(value) else str(value)
    if isinstance(value, str) and (label := clean(value).strip()):
        return label
    if isinstance(value, int):
        return int(value)
    raise RowError(f"column {corpus.label_column!r} holds {value!r}, which is not a label")


def several(values: list[Any], corpus: CorpusConfig) -> tuple[OneLabel, ...]:
    """The labels of a list, each once.

    Raises:
        RowError: something in it is no label, or it is a row of 0 and 1, or of true and false.
    """
    labels = [one_label(value, corpus) for value in values]
    different = tuple(dict.fromkeys(labels))
    # Two numbers may be labels, as no one writes true and false for any.
    are_repeated = len(different) < len(labels) and {str(label).lower() for label in different} <= {*APPLIES}
    if are_repeated or (len(labels) > 1 and any(isinstance(value, bool) for value in values)):
        raise RowError(
            f"column {corpus.label_column!r} holds {values!r}, a 0 or 1 for each label; write the labels that apply, "
            "or a column for each (`corpus.label_columns`)"
        )
    return different


def list_in(cell: str, corpus: CorpusConfig) -> list[Any]:
    """The list that a cell holds as JSON or Python writes it.

    Raises:
        RowError: it holds something else.
    """
    if not cell.strip():
        return []
    try:
        values = json.loads(cell)
    except (ValueError, RecursionError):
        try:
            values = None if WITHOUT_COMMA.search(cell) else ast.literal_eval(cell.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            values = None
    if isinstance(values, tuple | set):
        values = sorted(values, key=str)
    if not isinstance(values, list):
        raise RowError(f'column {corpus.label_column!r} holds {cell[:80]!r}, which is no list such as ["a", "b"]')
    return values


def labels_in_columns(cells: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the columns that hold 1.

    Raises:
        RowError: one holds something else than 0 and 1.

    >>> labels_in_columns({"billing": "1", "bug": 0, "praise": True})
    ('billing', 'praise')
    """
    labels = []
    for name, value in cells.items():
        applies = APPLIES.get(str(value).strip().lower())
        if applies is None:
            raise RowError(f"column {name!r} (corpus.label_columns) holds {value!r}, neither 0 nor 1")
        if applies:
            labels.append(name)
    return tuple(labels)
