"""Which of a run's texts are in which fold, where copies of a text stay together.

Shapes: N texts, C classes or labels, G groups of copies.
"""

from collections.abc import Set

import numpy as np

from finetune.classification.copies.validation import labels_of_groups

# Of a text that every fold trains or validates on.
OUTSIDE = -1


def folds_of(
    labels_NC: np.ndarray, groups_N: np.ndarray, order: np.ndarray, folds: int, needed: int
) -> tuple[np.ndarray, bool]:
    """The fold of each text, [N], or `OUTSIDE`, and whether some texts have copies outside of their fold.

    In the order of the draw, each group of copies goes to the fold that has the fewest texts: without copies, every
    text to the next one. What a class needs for training and validation is taken out of a fold again. If that leaves
    one empty, and there are copies, classes that need all their different texts are left out before folds are filled.
    If one is still empty, copies are parted: those of such classes or, if that is not enough, all.

    Args:
        labels_NC: a 0 or 1 for each class.
        groups_N: the number of the group of copies that each text is in.
        order: of the draw.
        folds: how many there are; some are empty if there are too few texts.
        needed: how many different texts every class keeps outside of each fold, if it has so many.
    """
    folds_N = _filled(labels_NC, groups_N, order, folds, needed, set())
    if groups_N.max() + 1 == len(groups_N) or _has_all(folds_N, folds):
        return folds_N, False
    lacking_N = labels_NC[:, _lacking(labels_NC, groups_N, needed)].any(1)
    for parted_N in (np.zeros_like(lacking_N), lacking_N, np.ones_like(lacking_N)):
        parts_N = np.where(parted_N, len(groups_N) + np.arange(len(groups_N)), groups_N)
        _, parts_N = np.unique(parts_N, return_inverse=True)
        needed_N = labels_NC[:, _lacking(labels_NC, parts_N, needed)].any(1)
        for outside in (set[int](), {*parts_N[needed_N].tolist()}):
            others_N = _filled(labels_NC, parts_N, order, folds, needed, outside)
            if _has_all(others_N, folds):
                different = np.unique(np.stack([groups_N, others_N]), axis=1)
                return others_N, different.shape[1] > len(np.unique(groups_N))
    return folds_N, False


def _has_all(folds_N: np.ndarray, folds: int) -> bool:
    return len(np.unique(folds_N[folds_N != OUTSIDE])) == folds


def _lacking(labels_NC: np.ndarray, groups_N: np.ndarray, needed: int) -> np.ndarray:
    """Which classes need all their groups of copies outside of a fold, [C].

    >>> _lacking(np.array([[1, 0], [1, 0], [0, 1], [0, 1]]), np.array([0, 1, 2, 2]), 1).tolist()
    [False, True]
    """
    return labels_of_groups(labels_NC, groups_N).sum(0) <= needed


def _filled(
    labels_NC: np.ndarray, groups_N: np.ndarray, order: np.ndarray, folds: int, needed: int, outside: Set[int]
) -> np.ndarray:
    """The fold of each text, [N], with what classes need taken out of each again.

    Args:
        labels_NC: as `folds_of`, as the other arguments.
        groups_N: groups of copies, or parts of them.
        order: of the draw.
        folds: how many there are.
        needed: how many groups every class keeps outside of each fold.
        outside: groups that are in no fold.
    """
    labels_GC, sizes_G = labels_of_groups(labels_NC, groups_N), np.bincount(groups_N)
    sequence = [group for group in dict.fromkeys(groups_N[order].tolist()) if group not in outside]
    texts_of_folds, folds_G = np.zeros(folds, dtype=np.int64), np.full(len(sizes_G), OUTSIDE)
    for group in sequence:
        folds_G[group] = texts_of_folds.argmin()
        texts_of_folds[folds_G[group]] += sizes_G[group]
    for fold in range(folds):
        rest_C = labels_GC[folds_G != fold].sum(0)
        for group in sequence:
            if folds_G[group] == fold and (rest_C[labels_GC[group] > 0] < needed).any():
                folds_G[group] = OUTSIDE
                rest_C += labels_GC[group]
    return folds_G[groups_N]
