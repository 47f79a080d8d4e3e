"""Orders and parts of texts with several labels, in which every label has its share.

A text belongs to the stratum of its rarest label, as in the iterative stratification of Sechidis et al. 2011 ("On the
stratification of multi-label data"), whose strata are filled from the rarest label on; within a stratum, the whole
label sets are in proportion.

Shapes: N texts, C labels.
"""

import itertools

import numpy as np

from pretrain.data.randomness import permutation


def ranks(strata_N: np.ndarray) -> np.ndarray:
    """How many texts of the same stratum come before each text.

    >>> ranks(np.array([0, 1, 0, 0, 1])).tolist()
    [0, 0, 1, 2, 1]
    """
    order = np.argsort(strata_N, kind="stable")
    _, firsts, sizes = np.unique(strata_N[order], return_index=True, return_counts=True)
    ranks_N = np.empty(len(strata_N), dtype=np.int64)
    ranks_N[order] = np.arange(len(strata_N)) - np.repeat(firsts, sizes)
    return ranks_N


def rarest_labels(labels_NC: np.ndarray) -> np.ndarray:
    """The rarest label of each text, [N]; C for a text without any.

    >>> rarest_labels(np.array([[1, 0], [1, 1], [0, 0], [1, 0]])).tolist()
    [0, 1, 2, 0]
    """
    counts_C = labels_NC.sum(0)
    found_NC = np.where(labels_NC > 0, counts_C, len(labels_NC) + 1)
    return np.where(labels_NC.any(1), found_NC.argmin(1), labels_NC.shape[1])


def stratified_label_order(labels_NC: np.ndarray, purpose: str, seed: int, minimum: int = 1) -> np.ndarray:
    """A random order of N texts of which every beginning holds the labels about in proportion.

    The first texts give every label `minimum` texts, or all that it has. The others come as in
    `splits.stratified_order`: those of a stratum at equal distances, and so, within it, those of a label set.

    >>> labels = np.array([[1, 0]] * 6 + [[1, 1]] * 3 + [[0, 0]] * 3)
    >>> labels[stratified_label_order(labels, "labels", 0)[:4]].sum(0).tolist()
    [3, 1]
    """
    shuffled = permutation(len(labels_NC), purpose, seed)
    strata_N = rarest_labels(labels_NC)
    _, sets_N = np.unique(labels_NC, axis=0, return_inverse=True)
    # Within each stratum first, so that its k-th text is settled before the strata are merged.
    inner = shuffled[np.argsort(_places(sets_N[shuffled]), kind="stable")]
    order = inner[np.argsort(_places(strata_N[inner]), kind="stable")]
    head = _head(labels_NC, order, minimum)
    return np.concatenate([head, order[~np.isin(order, head)]])


def _places(groups_N: np.ndarray) -> np.ndarray:
    """Where the texts of each group go, in (0, 1): the k-th of n at (k - 1/2) / n."""
    _, numbers_N = np.unique(groups_N, return_inverse=True)
    return (ranks(numbers_N) + 0.5) / np.bincount(numbers_N)[numbers_N]


def _head(labels_NC: np.ndarray, order: np.ndarray, minimum: int) -> np.ndarray:
    """The first texts in an order that give every label `minimum` texts, or all that it has."""
    head: list[int] = []
    missing_C = np.minimum(minimum, labels_NC.sum(0))
    for label in np.argsort(labels_NC.sum(0), kind="stable"):
        for text in order[labels_NC[order, label] > 0]:
            if missing_C[label] <= 0:
                break
            if text not in head:
                head.append(int(text))
                missing_C = missing_C - labels_NC[text]
    return np.array(head, dtype=np.int64)


def part(labels_NC: np.ndarray, sizes_N: np.ndarray, order: np.ndarray, size: int) -> np.ndarray:
    """Which texts to take away for a part of about `size`, [N], so that every label keeps a text.

    A label with two texts or more gets one in the part. Groups that fit come first; if none does, the smallest.

    Args:
        labels_NC: of the texts, or of the groups of their copies.
        sizes_N: the texts of each group; ones for texts.
        order: from `stratified_label_order`.
        size: texts of the part.
    """
    left_C = labels_NC.sum(0)
    is_taken_N = np.zeros(len(labels_NC), dtype=bool)
    missing_C = left_C > 1
    by_size = order[np.argsort(sizes_N[order], kind="stable")]
    # First those that bring a label, larger ones where no other does, then those that come first.
    for brings_a_label, of_any_size in ((True, False), (True, True), (False, False)):
        for text in by_size if of_any_size else order:
            has_C = labels_NC[text] > 0
            if is_taken_N[text] or (left_C[has_C] <= 1).any():
                continue
            fits = of_any_size or sizes_N[text] <= size
            if fits and (not brings_a_label or (has_C & missing_C).any()):
                is_taken_N[text] = True
                size, left_C, missing_C = size - int(sizes_N[text]), left_C - has_C, missing_C & ~has_C
            if not missing_C.any() and (brings_a_label or size <= 0):
                break
    if not is_taken_N.any():
        spared = (text for text in by_size if (left_C[labels_NC[text] > 0] > 1).all())
        is_taken_N[list(itertools.islice(spared, 1))] = True
    return is_taken_N
