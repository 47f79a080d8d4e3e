"""How long texts are cut: to head and tail."""

import numpy as np


def share_budget(lengths: list[int], budget: int) -> list[int]:
    """How many tokens each of one or two texts keeps; the longer text is cut first.

    >>> share_budget([300], 126), share_budget([300, 20], 125), share_budget([300, 200], 125), share_budget([5, 6], 125)
    ([126], [105, 20], [63, 62], [5, 6])
    """
    if len(lengths) == 1:
        return [min(lengths[0], budget)]
    first, second = lengths
    kept_second = min(second, max(budget // 2, budget - first))
    return [min(first, budget - kept_second), kept_second]


def head_and_tail(ids: np.ndarray, length: int, truncation_head_share: float) -> np.ndarray:
    """Truncate a text to `length` tokens from its beginning and its end (Sun et al. 2019, section 5.3.1).

    >>> head_and_tail(np.arange(10), 4, 0.25)
    array([0, 7, 8, 9])
    """
    if len(ids) <= length:
        return ids
    head = round(truncation_head_share * length)
    return np.concatenate([ids[:head], ids[len(ids) - (length - head) :]])
