"""Which of a run's texts are in a fold, where copies of a text stay together.

Shapes: N texts, C classes or labels, G groups of copies.
"""

import logging

import numpy as np

from finetune.classification.copies.validation import labels_of_groups

log = logging.getLogger(__name__)


def in_fold(
    labels_NC: np.ndarray, groups_N: np.ndarray, order: np.ndarray, folds: int, fold: int, needed: int
) -> np.ndarray:
    """Which texts are in a fold, [N]; those that a class needs to be trained and validated on are not.

    In the order of the draw, each group of copies goes to the fold that has the fewest texts: without copies, every
    text to the next one. If that leaves any fold empty, there are too few different texts, and copies are parted.

    Args:
        labels_NC: a 0 or 1 for each class.
        groups_N: the number of the group of copies that each text is in.
        order: of the draw.
        folds: how many there are.
        fold: which of them.
        needed: how many different texts every class keeps outside of the fold, if it has so many.
    """
    different = int(groups_N.max()) + 1
    if different < len(groups_N) and not all(
        _with_copies(labels_NC, groups_N, order, folds, number, needed).any() for number in range(folds)
    ):
        log.warning(
            "folds: the %d labelled texts are copies of %d, too few for %d folds, so some have copies in other folds",
            len(groups_N), different, folds,
        )  # fmt: skip
        groups_N = np.arange(len(groups_N))
    return _with_copies(labels_NC, groups_N, order, folds, fold, needed)


def _with_copies(
    labels_NC: np.ndarray, groups_N: np.ndarray, order: np.ndarray, folds: int, fold: int, needed: int
) -> np.ndarray:
    """As `in_fold`, which may be none."""
    labels_GC, sizes_G = labels_of_groups(labels_NC, groups_N), np.bincount(groups_N)
    texts_of_folds, folds_G = np.zeros(folds, dtype=np.int64), np.full(len(sizes_G), -1)
    for group in groups_N[order]:
        if folds_G[group] < 0:
            folds_G[group] = texts_of_folds.argmin()
            texts_of_folds[folds_G[group]] += sizes_G[group]
    in_fold_G = folds_G == fold
    rest_C = labels_GC[~in_fold_G].sum(0)
    for group in groups_N[order]:
        if in_fold_G[group] and (rest_C[labels_GC[group] > 0] < needed).any():
            in_fold_G[group] = False
            rest_C += labels_GC[group]
    return in_fold_G[groups_N]
