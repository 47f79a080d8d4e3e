"""Whether the cells of a label column hold several labels, and what stands between them."""

import re
from collections import Counter
from collections.abc import Mapping

from configs.errors import InputError
from finetune.own_data.columns import readable_rows
from tokenizer.corpus.config import LIST_CELLS, CorpusConfig
from tokenizer.corpus.documents import label_key
from tokenizer.corpus.joined_labels import have_decimal_commas, joint_of
from tokenizer.corpus.quarantine import RowError
from tokenizer.corpus.row_labels import OneLabel, list_in

# Of the parts of joined cells, those that must also stand elsewhere.
RECOMBINED_SHARE = 0.5
# Between the labels of what looks like a list.
BETWEEN = re.compile(r"[\s,]+")
# Characters of a cell in a message.
SHOWN = 80


def find_separator(corpus: CorpusConfig) -> str | None:
    """What stands between the labels in the cells of a corpus's label column; None if each is one label, or may be.

    It is told from cells that are lists, or from cells whose parts are combined in many ways: parts that also stand
    alone, or in several places. Cells such as `no, never` and `yes, often`, or `Paris, TX` and `Rome, GA`, may each be
    one label, as may numbers with a comma (`3,5`) and `yes, no` beside `yes` and `no`, and are left to whoever knows.

    Args:
        corpus: with its columns.

    Raises:
        InputError: all cells look like lists, and some with several labels are none.
    """
    cells = Counter(
        value.strip()
        for row in readable_rows(corpus)
        if isinstance(value := row.get(corpus.label_column), str) and value.strip()
    )
    if not cells:
        return None
    if all(cell[:1] == "[" and cell[-1:] == "]" for cell in cells):
        others = [cell for cell in cells if not _is_list(cell, corpus)]
        if not others:
            return LIST_CELLS
        if (other := next((cell for cell in others if len(BETWEEN.split(cell[1:-1].strip())) > 1), None)) is None:
            # As `[POS]` and `[NEG]`.
            return None
        raise InputError(
            f"label_separator: the labels in column {corpus.label_column!r} of {corpus.source!r} look like lists "
            f"without quotes or commas ({other[:SHOWN]!r}); write them as JSON, or give `--label_separator ''` if each "
            "is one label"
        )
    by_key: dict[str, list[OneLabel]] = {}
    for cell in cells:
        by_key.setdefault(label_key(cell), []).append(cell)
    if have_decimal_commas(by_key):
        return None
    found = joint_of(by_key, dict(cells), cells.total())
    return found[0] if found is not None and recombines(by_key, found[0]) else None


def _is_list(cell: str, corpus: CorpusConfig) -> bool:
    try:
        list_in(cell, corpus)
    except RowError:
        return False
    return True


def recombines(cells: Mapping[str, object], joint: str) -> bool:
    """Whether the parts of joined cells are labels: half of them stand alone, too, or in several places.

    >>> recombines(dict.fromkeys(["drama;war", "war", "drama"]), ";"), recombines(dict.fromkeys(["a;b", "b;c"]), ";")
    (True, False)
    >>> recombines(dict.fromkeys(["yes, often", "no, often", "yes, never", "no, never"]), ",")
    False
    """
    places: dict[str, set[str | int]] = {}
    for cell in cells:
        parts = [part.strip() for part in cell.split(joint) if part.strip()]
        for place, part in enumerate(parts):
            places.setdefault(part, set()).add("alone" if len(parts) == 1 else place)
    freely = sum("alone" in found or len(found) > 1 for found in places.values())
    return freely >= RECOMBINED_SHARE * len(places)
