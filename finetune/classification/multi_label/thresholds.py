"""From which probability on a label applies: chosen on validation texts.

Shapes: N texts, C labels, K candidates.
"""

import numpy as np
import scipy.special

from finetune.classification.config import TaskConfig
from finetune.classification.multi_label.label_scores import matthews

# Without anything to choose by.
EVEN = 0.5
# Of the probabilities of texts that have a label, which are the only ones worth a threshold (Lipton et al. 2014, arXiv
# 1402.1892): at most this many.
CANDIDATES = 200
# Fewer validation texts with a label choose no threshold of its own.
ENOUGH_TEXTS = 10


def choose_thresholds(probabilities_NC: np.ndarray, labels_NC: np.ndarray, config: TaskConfig) -> np.ndarray:
    """The threshold of each label, [C], with the best `select_by` on these texts; see `TaskConfig.threshold`.

    Among equals the nearest to a half, and always half-way to the next lower probability, where decisions are the same.

    Args:
        probabilities_NC: of validation texts.
        labels_NC: 1 where a text has a label.
        config: of the task.
    """
    labels = labels_NC.shape[1]
    if not isinstance(config.threshold, str):
        return np.full(labels, float(config.threshold))
    score = config.score_of(multi_label=True)
    thresholds_C = np.full(labels, _best(probabilities_NC, labels_NC, score))
    if config.threshold == "per_label":
        for label in np.flatnonzero(labels_NC.sum(0) >= ENOUGH_TEXTS):
            # Of one label, micro- and macro-F1 are its F1, and its accuracy is what the subset's is made of.
            one = slice(label, label + 1)
            thresholds_C[label] = _best(probabilities_NC[:, one], labels_NC[:, one], score)
    return thresholds_C


def _best(probabilities_NC: np.ndarray, labels_NC: np.ndarray, score: str) -> float:
    """The one threshold for all labels with the best score."""
    positives = np.unique(probabilities_NC[labels_NC > 0])
    if not len(positives):
        return EVEN
    chosen = np.linspace(0, len(positives) - 1, min(len(positives), CANDIDATES)).round().astype(int)
    candidates_K = positives[chosen]
    values_K = np.array(_scores_at(probabilities_NC, labels_NC, candidates_K, score))
    every = np.unique(probabilities_NC)
    below_K = every[np.maximum(np.searchsorted(every, candidates_K) - 1, 0)]
    # The lowest candidate may be the lowest probability of all.
    thresholds_K = np.where(below_K < candidates_K, (below_K + candidates_K) / 2, candidates_K)
    best_K = thresholds_K[values_K >= values_K.max() - 1e-12]
    return float(best_K[np.abs(best_K - EVEN).argmin()])


def _scores_at(
    probabilities_NC: np.ndarray, labels_NC: np.ndarray, candidates_K: np.ndarray, score: str
) -> list[float] | np.ndarray:
    """The score at each candidate."""
    if score == "subset_accuracy":
        # All are right from above the highest that should not apply to the lowest that should.
        above_N = np.where(labels_NC > 0, -1.0, probabilities_NC).max(1)
        up_to_N = np.where(labels_NC > 0, probabilities_NC, 2.0).min(1)
        return [float(((above_N < candidate) & (candidate <= up_to_N)).mean()) for candidate in candidates_K]
    true_C = labels_NC.sum(0, dtype=np.int64)
    ordered_NC = np.sort(probabilities_NC, axis=0)
    given_KC = np.stack([len(column) - np.searchsorted(column, candidates_K) for column in ordered_NC.T], axis=1)
    hits_KC = np.zeros_like(given_KC)
    for label in range(labels_NC.shape[1]):
        held = np.sort(probabilities_NC[labels_NC[:, label] > 0, label])
        hits_KC[:, label] = len(held) - np.searchsorted(held, candidates_K)
    if score == "matthews":
        sums = zip(hits_KC.sum(1), given_KC.sum(1), strict=True)
        return [matthews(float(hits), float(given), float(true_C.sum()), labels_NC.size) for hits, given in sums]
    if score == "micro_f1":
        return 2 * hits_KC.sum(1) / np.maximum(given_KC.sum(1) + true_C.sum(), 1)
    total_KC = given_KC + true_C
    return (2 * hits_KC / np.maximum(total_KC, 1)).sum(1) / np.maximum((total_KC > 0).sum(1), 1)


def decide(probabilities_NC: np.ndarray, thresholds_C: np.ndarray) -> np.ndarray:
    """1 where a label applies, [N, C].

    >>> decide(np.array([[0.5, 0.4]]), np.array([0.5, 0.5])).tolist()
    [[1, 0]]
    """
    return (probabilities_NC >= thresholds_C).astype(np.int8)


def at_temperature(thresholds_C: np.ndarray, temperature: float) -> np.ndarray:
    """Thresholds of calibrated probabilities as those of the logits' own, which decide the same.

    >>> at_temperature(np.array([0.5, 0.2]), 2.0).round(3).tolist()
    [0.5, 0.059]
    """
    return scipy.special.expit(scipy.special.logit(thresholds_C) * temperature)
