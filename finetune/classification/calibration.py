"""Whether probabilities mean what they say, and the temperature that makes them.

Shapes: N texts, C classes.
"""

import numpy as np
import scipy.optimize
import scipy.special

BINS = 15
# Beyond these a temperature tells of too few validation texts, not of the model.
LOWEST, HIGHEST = 0.1, 20.0


def fit_temperature(logits_NC: np.ndarray, labels_N: np.ndarray) -> float:
    """The number to divide logits by for the least loss of validation texts (Guo et al. 2017, arXiv 1706.04599).

    With few texts, all right, any number would do but the smallest is best; as in Platt 1999, the targets are therefore
    not 1 and 0 but what is expected of further texts: (n + 1) / (n + C) for the class of n texts.

    >>> logits = np.array([[4.0, 0.0]] * 6 + [[0.0, 4.0]] * 6)
    >>> labels = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0])
    >>> 4 < fit_temperature(logits, labels) < 8
    True
    """
    classes = logits_NC.shape[1]
    counts_C = np.bincount(labels_N, minlength=classes)
    others_N = 1 / (counts_C[labels_N] + classes)
    targets_NC = np.repeat(others_N[:, None], classes, axis=1)
    targets_NC[np.arange(len(labels_N)), labels_N] = 1 - (classes - 1) * others_N

    def loss(log_temperature: float) -> float:
        return -float((targets_NC * scipy.special.log_softmax(logits_NC / np.exp(log_temperature), axis=1)).mean())

    found = scipy.optimize.minimize_scalar(loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded")
    return float(np.exp(found.x))


def calibrated(logits_NC: np.ndarray, temperature: float) -> np.ndarray:
    """Class probabilities, [N, C]."""
    return scipy.special.softmax(logits_NC / temperature, axis=1)


def calibration_facts(
    validation: tuple[np.ndarray, np.ndarray], test_logits_NC: np.ndarray, test_labels_N: np.ndarray
) -> dict[str, float]:
    """The entries of a result: the temperature, and calibration on test texts with and without it.

    Args:
        validation: logits and class indices of the validation texts.
        test_logits_NC: of the test texts.
        test_labels_N: their class indices.
    """
    temperature = fit_temperature(*validation)
    before = calibration_scores(calibrated(test_logits_NC, 1.0), test_labels_N)
    after = calibration_scores(calibrated(test_logits_NC, temperature), test_labels_N)
    facts = {"temperature": temperature}
    facts |= {f"test_{name}": value for name, value in before.items()}
    return facts | {f"test_calibrated_{name}": value for name, value in after.items()}


def calibration_scores(probabilities_NC: np.ndarray, labels_N: np.ndarray) -> dict[str, float]:
    """How far probabilities are from the truth.

    Returns:
        `calibration_error`: the mean distance of confidence and accuracy, in 15 bins of confidence (ECE, Naeini et al.
        2015); `brier`: the mean squared distance of the probabilities from 1 for the true class and 0 for others.

    >>> calibration_scores(np.array([[0.8, 0.2]] * 10), np.array([0] * 8 + [1] * 2))["calibration_error"] < 1e-9
    True
    """
    confidences_N, correct_N = probabilities_NC.max(1), probabilities_NC.argmax(1) == labels_N
    bins_N = np.minimum((confidences_N * BINS).astype(int), BINS - 1)
    gaps_N = np.bincount(bins_N, correct_N - confidences_N, minlength=BINS)
    truth_NC = np.eye(probabilities_NC.shape[1])[labels_N]
    return {
        "calibration_error": float(np.abs(gaps_N).sum() / len(labels_N)),
        "brier": float(((probabilities_NC - truth_NC) ** 2).sum(1).mean()),
    }
