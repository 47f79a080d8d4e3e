"""Which labelled texts a run trains and validates on.

Shapes: N texts.
"""

import numpy as np

from configs.errors import InputError
from finetune.classification.config import TaskConfig
from pretrain.data.randomness import permutation


def draw_texts(config: TaskConfig, classes_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices in [0, N) of the training texts and, if `validation` is null, of the validation texts of a run.

    Classes keep their proportions, and a larger budget contains the texts of a smaller one.

    Raises:
        InputError: the budget exceeds the number of labels, or leaves no training text.
    """
    budget = len(classes_N) if config.label_budget is None else config.label_budget
    if budget > len(classes_N):
        raise InputError(f"label_budget: {budget} exceeds the {len(classes_N)} labels of {config.corpus.source!r}")
    order = stratified_order(classes_N, config.seed)[:budget]
    if config.validation is not None:
        return order, order[:0]
    count = min(config.maximum_validation_texts, max(1, round(config.validation_share * budget)))
    if count >= budget:
        raise InputError(f"validation_share: leaves no training text of {budget}")
    # Evenly spaced, so that the validation texts keep the proportions too.
    validation = np.linspace(0, budget - 1, count).round().astype(np.int64)
    return np.delete(order, validation), order[validation]


def draw_validation_texts(config: TaskConfig, classes_N: np.ndarray) -> np.ndarray:
    """Indices of the validation texts used, out of N given: the same for every seed and budget."""
    return np.sort(stratified_order(classes_N, seed=0)[: config.maximum_validation_texts])


def stratified_order(classes_N: np.ndarray, seed: int) -> np.ndarray:
    """A random order of N texts in which every prefix holds the classes in about their proportions.

    >>> order = stratified_order(np.array([0] * 6 + [1] * 3), seed=0)
    >>> np.bincount(np.array([0] * 6 + [1] * 3)[order[:3]]).tolist()
    [2, 1]
    """
    shuffled = permutation(len(classes_N), "labels", seed)
    position_N = np.empty(len(classes_N))
    for label in np.unique(classes_N):
        members = shuffled[classes_N[shuffled] == label]
        position_N[members] = (np.arange(len(members)) + 0.5) / len(members)
    return shuffled[np.argsort(position_N[shuffled], kind="stable")]
