"""Samples → batches of like lengths, for evaluation; without torch, which classifying with ONNX does not need."""

import numpy as np


def token_budget_batches(lengths: np.ndarray, tokens: int) -> list[np.ndarray]:
    """Batches for evaluation, sorted by length: at most `tokens` tokens with padding, and at least one sample.

    >>> [batch.tolist() for batch in token_budget_batches(np.array([9, 2, 3, 4, 40]), 12)]
    [[1, 2, 3], [0], [4]]
    """
    order = np.argsort(lengths, kind="stable")
    batches, first = [], 0
    for index, sample in enumerate(order):
        if index > first and lengths[sample] * (index - first + 1) > tokens:
            batches.append(order[first:index])
            first = index
    return [*batches, order[first:]] if len(order) else []
