"""Texts → rows of token ids → the padded arrays of a batch.

Shapes: B rows of a batch, T tokens.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

# Of a long text that is read in windows, neighbours share this part.
OVERLAP = 0.25
# [CLS] and [SEP].
SPECIAL_TOKENS = 2
# The mask that says which tokens are padding; made here, because rows of a batch are put together here.
MASK = "attention_mask"

Text = str | tuple[str, str | None]
Row = dict[str, list[int]]


def encode(tokenizer: Any, pairs: Sequence[tuple[str, str | None]], windows: bool) -> tuple[list[Row], np.ndarray]:
    """The rows of ids of texts, and to which text each row belongs.

    Args:
        tokenizer: of `transformers`, or what `tokenizer_file.load` gives.
        pairs: texts, each with its second text or None.
        windows: give a text that is too long in several rows; pairs are always cut.
    """
    has_pairs = any(second is not None for _, second in pairs)
    if has_pairs and any(second is None for _, second in pairs):
        return _singles_and_pairs(tokenizer, pairs, windows)
    firsts = [first for first, _ in pairs]
    seconds = [second or "" for _, second in pairs] if has_pairs else None
    if not windows or has_pairs:
        encoded = tokenizer(firsts, seconds, truncation=True, verbose=False)
        names = [name for name in encoded if name != MASK]
        rows = [dict(zip(names, values, strict=True)) for values in zip(*(encoded[n] for n in names), strict=True)]
        return rows, np.arange(len(pairs))
    cls_id, sep_id = tokenizer.cls_token_id, tokenizer.sep_token_id
    longest = tokenizer.model_max_length - SPECIAL_TOKENS
    encoded = tokenizer(firsts, add_special_tokens=False, verbose=False)
    # The types of tokens, all 0 in a text alone, which a graph of ONNX asks for.
    others = [name for name in encoded if name not in ("input_ids", MASK)]
    rows, owners = [], []
    for owner, ids in enumerate(encoded["input_ids"]):
        for window in windows_of(ids, longest):
            row = [cls_id, *window, sep_id]
            rows.append({"input_ids": row} | {name: [0] * len(row) for name in others})
            owners.append(owner)
    return rows, np.array(owners)


def _singles_and_pairs(
    tokenizer: Any, pairs: Sequence[tuple[str, str | None]], windows: bool
) -> tuple[list[Row], np.ndarray]:
    """As `encode`, of both: a text alone is no pair with an empty text."""
    rows, owners = [], []
    for alone in (True, False):
        places = np.array([place for place, (_, second) in enumerate(pairs) if (second is None) == alone])
        found, of_group = encode(tokenizer, [pairs[place] for place in places], windows)
        rows += found
        owners.append(places[of_group])
    order = np.argsort(np.concatenate(owners), kind="stable")
    return [rows[number] for number in order], np.concatenate(owners)[order]


def padded(rows: Sequence[Row], pad_id: int) -> dict[str, np.ndarray]:
    """The arrays [B, T] of a batch by name, with the mask of its tokens.

    >>> {name: array.tolist() for name, array in padded([{"input_ids": [2, 3]}, {"input_ids": [2]}], 9).items()}
    {'input_ids': [[2, 3], [2, 9]], 'attention_mask': [[1, 1], [1, 0]]}
    """
    longest = max(len(row["input_ids"]) for row in rows)
    fillers = {"input_ids": pad_id}
    inputs = {
        name: np.array([row[name] + [fillers.get(name, 0)] * (longest - len(row[name])) for row in rows])
        for name in rows[0]
    }
    lengths_B = np.array([len(row["input_ids"]) for row in rows])
    return inputs | {MASK: (np.arange(longest) < lengths_B[:, None]).astype(np.int64)}


def as_pair(text: Text) -> tuple[str, str | None]:
    """A text, and its second one or None."""
    return (text, None) if isinstance(text, str) else text


def windows_of(ids: list[int], longest: int) -> list[list[int]]:
    """The windows of a text that is longer than a model reads; neighbours overlap, and the last ends with the text.

    >>> windows_of(list(range(10)), 8), windows_of([1, 2], 8), windows_of([], 8)
    ([[0, 1, 2, 3, 4, 5, 6, 7], [2, 3, 4, 5, 6, 7, 8, 9]], [[1, 2]], [[]])
    """
    if len(ids) <= longest:
        return [ids]
    step = max(1, round(longest * (1 - OVERLAP)))
    starts = [*range(0, len(ids) - longest, step), len(ids) - longest]
    return [ids[start : start + longest] for start in starts]
