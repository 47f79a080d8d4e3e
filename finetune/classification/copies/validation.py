"""Which of a run's texts validate, where copies of a text stay together.

Shapes: T texts in the order of their draw, C classes or labels, G groups of copies.
"""

import logging
from collections.abc import Sequence

import numpy as np

from finetune.classification.multi_label.stratification import part

log = logging.getLogger(__name__)

NONE_SPARED = (
    "validation: of %d texts, none of %s can be spared with its copies, so one validates with copies in training"
)
NONE_AT_ALL = "validation: of %d texts, none can be spared with its copies, so some validate with copies in training"


def labels_of_groups(labels_TC: np.ndarray, groups_T: np.ndarray) -> np.ndarray:
    """The labels that any text of each group has, [G, C].

    >>> labels_of_groups(np.array([[1, 0], [0, 0], [0, 1]]), np.array([0, 1, 0])).tolist()
    [[1, 1], [0, 0]]
    """
    labels_GC = np.zeros((int(groups_T.max()) + 1, labels_TC.shape[1]), dtype=labels_TC.dtype)
    np.maximum.at(labels_GC, groups_T, labels_TC)
    return labels_GC


def validation_of_classes(
    classes_T: np.ndarray, groups_T: np.ndarray, shares_C: np.ndarray, names: Sequence[str], tell: bool = True
) -> np.ndarray:
    """Which of the drawn texts validate, [T]: of every class the last groups of copies that fit in its share.

    A class of which none fits gives its smallest; one that can spare no text with its copies, its last text alone.

    Args:
        classes_T: the class of each text.
        groups_T: the number of its group of copies.
        shares_C: texts wanted of each class.
        names: of the classes, for messages.
        tell: warn of classes whose copies are parted.
    """
    members = np.split(np.argsort(groups_T, kind="stable"), np.cumsum(np.bincount(groups_T))[:-1])
    is_validation, left_C = np.zeros(len(classes_T), dtype=bool), np.bincount(classes_T)
    # Copies with other labels than a text's come with it.
    wanted_C = shares_C.copy()

    def take(group: int, of_any_size: bool) -> bool:
        """Take a group of copies if every class wants its texts of it, and keeps one; gives whether it did."""
        counts_C = np.bincount(classes_T[members[group]], minlength=len(left_C))
        held = counts_C > 0
        if (left_C <= counts_C)[held].any() or not (of_any_size or (counts_C <= wanted_C)[held].all()):
            return False
        is_validation[members[group]] = True
        left_C[:] -= counts_C
        wanted_C[:] -= counts_C
        return True

    for label in range(len(shares_C)):
        own = np.flatnonzero(classes_T == label)[::-1]
        for text in own:
            if wanted_C[label] > 0 and not is_validation[text]:
                take(int(groups_T[text]), of_any_size=False)
        by_size = sorted({*groups_T[own].tolist()}, key=lambda group: len(members[group]))
        if not is_validation[own].any() and not any(take(group, of_any_size=True) for group in by_size):
            is_validation[own[0]] = True
            left_C[label] -= 1
            if tell:
                log.warning(NONE_SPARED, len(classes_T), f"class {names[label] if names else label}")
    return is_validation


def validation_of_labels(
    labels_TC: np.ndarray, groups_T: np.ndarray, count: int, names: Sequence[str] = (), tell: bool = True
) -> np.ndarray:
    """Which of the drawn texts validate, [T], as `part` of their groups, the lowest numbers first.

    Every label keeps a text in training. One with two texts of which no group can be spared gives a single text. There
    are none if every text is the only one of a label.

    Args:
        labels_TC: of the texts.
        groups_T: the number of the group of copies that each text is in.
        count: texts wanted.
        names: of the labels, for messages.
        tell: warn of labels whose copies are parted.
    """
    sizes_G = np.bincount(groups_T)
    labels_GC = labels_of_groups(labels_TC, groups_T)
    is_validation = part(labels_GC, sizes_G, np.arange(len(sizes_G)), count)[groups_T]
    if len(sizes_G) == len(groups_T):
        return is_validation
    left_C = labels_TC[~is_validation].sum(0)
    for label in np.flatnonzero(labels_TC.sum(0) > 1):
        own = np.flatnonzero(labels_TC[:, label])[::-1]
        spared = (text for text in own if (left_C[labels_TC[text] > 0] > 1).all())
        if is_validation[own].any() or (text := next(spared, None)) is None:
            continue
        is_validation[text] = True
        left_C -= labels_TC[text]
        if tell:
            log.warning(NONE_SPARED, len(labels_TC), f"label {names[label] if names else label}")
    if not is_validation.any():
        is_validation = part(labels_TC, np.ones_like(groups_T), np.arange(len(groups_T))[::-1], count)
        if tell and is_validation.any():
            log.warning(NONE_AT_ALL, len(labels_TC))
    return is_validation
