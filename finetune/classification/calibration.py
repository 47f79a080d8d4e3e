"""Whether probabilities mean what they say, and the temperature and the bias that make them.

Where a text may have several labels, [N, C] in place of [N], each label is a yes or no of its own.

Shapes: N texts, C classes or labels.
"""

from collections.abc import Callable

import numpy as np
import scipy.optimize
import scipy.special

BINS = 15
# Beyond these a temperature tells of too few validation texts, not of the model.
LOWEST, HIGHEST = 0.1, 20.0
# Of the shift between two classes, in nats of calibrated log-odds: what is expected before any text is seen.
SHIFT_DEVIATION = 1.0


def fit_temperature(logits_NC: np.ndarray, labels_N: np.ndarray) -> float:
    """The number to divide logits by for the least loss of validation texts (Guo et al. 2017, arXiv 1706.04599).

    With few texts, all right, any number would do but the smallest is best; so the targets are not 1 and 0, but those
    of `smoothed_classes`.

    >>> logits = np.array([[4.0, 0.0]] * 6 + [[0.0, 4.0]] * 6)
    >>> labels = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0])
    >>> 4 < fit_temperature(logits, labels) < 8
    True
    """
    if labels_N.ndim == 2:
        from finetune.classification.metrics import label_loss

        return _least(label_loss, logits_NC, smoothed(labels_N))

    def loss(logits_NC: np.ndarray, targets_NC: np.ndarray) -> float:
        return -float((targets_NC * scipy.special.log_softmax(logits_NC, axis=1)).mean())

    return _least(loss, logits_NC, smoothed_classes(labels_N, logits_NC.shape[1]))


def fit_bias(logits_NC: np.ndarray, labels_N: np.ndarray, weights_C: np.ndarray | None = None) -> np.ndarray:
    """What to add to the logits, [C], for the least loss of validation texts at their own best temperature.

    Bias-corrected temperature scaling (Alexandari, Kundaje and Shrikumar 2020, arXiv 1901.06852): softmax(z / T + c),
    here with a prior that draws c to zero, as few texts know little of it (a normal distribution, of which the
    difference of two classes has a deviation of one nat), and the targets of `smoothed_classes`. Gives T c, whose sum
    is zero; zeros if a logit is NaN or infinite.

    Args:
        logits_NC: of the validation texts.
        labels_N: their classes.
        weights_C: of the classes in training, so that what they are for is kept; None if all weigh the same.

    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(400) % 2
    >>> margins = 6.0 * (2 * labels - 1) + 6.0 * rng.normal(size=400)
    >>> bias = fit_bias(np.stack([np.zeros(400), margins - 5.0], axis=1), labels)
    >>> bool(4 < bias[1] - bias[0] < 6)
    True
    """
    classes = logits_NC.shape[1]
    scale = float(logits_NC.astype(np.float64).std()) if np.isfinite(logits_NC).all() else 0.0
    if scale == 0:
        return np.zeros(classes)
    standard_NC, targets_NC = logits_NC / scale, smoothed_classes(labels_N, classes)
    weights_N1 = np.ones((len(labels_N), 1)) if weights_C is None else weights_C[labels_N, None]
    # The difference of two independent shifts has twice the variance of one.
    precision = 2 / SHIFT_DEVIATION**2

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        inverse, shifts_C = np.exp(-parameters[0]), parameters[1:]
        logarithms_NC = scipy.special.log_softmax(standard_NC * inverse + shifts_C, axis=1)
        errors_NC = weights_N1 * (np.exp(logarithms_NC) - targets_NC)
        value = -(weights_N1 * targets_NC * logarithms_NC).sum() + precision / 2 * (shifts_C**2).sum()
        slope = -inverse * (errors_NC * standard_NC).sum()
        return value, np.concatenate([[slope], errors_NC.sum(0) + precision * shifts_C])

    bounds = [(np.log(LOWEST), np.log(HIGHEST)), *[(None, None)] * classes]
    found = scipy.optimize.minimize(loss, np.zeros(1 + classes), jac=True, bounds=bounds, method="L-BFGS-B").x
    return scale * np.exp(found[0]) * (found[1:] - found[1:].mean())


def smoothed_classes(labels_N: np.ndarray, classes: int) -> np.ndarray:
    """What is expected of further texts in place of 1 and 0, [N, C]: of two classes (n + 1) / (n + 2) for that of n
    texts, as in Platt 1999; of more, what N / 2 texts would have, as each may have only a few. The others share the
    rest.

    >>> smoothed_classes(np.array([0, 0, 1]), 2).round(3).tolist()
    [[0.75, 0.25], [0.75, 0.25], [0.333, 0.667]]
    >>> smoothed_classes(np.array([0, 1, 1, 2]), 3)[0].tolist()
    [0.75, 0.125, 0.125]
    """
    texts_N = np.bincount(labels_N, minlength=classes)[labels_N] if classes <= 2 else len(labels_N) / 2
    rest_N = np.broadcast_to(1 / (texts_N + 2), len(labels_N))
    targets_NC = np.repeat(rest_N[:, None] / max(1, classes - 1), classes, axis=1)
    targets_NC[np.arange(len(labels_N)), labels_N] = 1 - rest_N
    return targets_NC


def _least(loss: Callable[[np.ndarray, np.ndarray], float], logits_NC: np.ndarray, targets_NC: np.ndarray) -> float:
    """The temperature with the least loss."""
    bounds = (np.log(LOWEST), np.log(HIGHEST))
    found = scipy.optimize.minimize_scalar(
        lambda logarithm: loss(logits_NC / np.exp(logarithm), targets_NC), bounds=bounds, method="bounded"
    )
    return float(np.exp(found.x))


def smoothed(labels_NC: np.ndarray) -> np.ndarray:
    """What Platt 1999 expects of further texts in place of 1 and 0: (n + 1) / (n + 2) for a label of n texts.

    >>> smoothed(np.array([[1], [1], [0]])).round(3).tolist()
    [[0.75], [0.75], [0.333]]
    """
    yes_C = labels_NC.sum(0, dtype=np.int64)
    return np.where(labels_NC > 0, (yes_C + 1) / (yes_C + 2), 1 / (len(labels_NC) - yes_C + 2))


def calibrated(logits_NC: np.ndarray, temperature: float, multi_label: bool = False) -> np.ndarray:
    """Class probabilities, [N, C]; of several labels a text, the probability of each."""
    if multi_label:
        return scipy.special.expit(logits_NC / temperature)
    return scipy.special.softmax(logits_NC / temperature, axis=1)


def calibration_facts(temperature: float, test_logits_NC: np.ndarray, test_labels_N: np.ndarray) -> dict[str, float]:
    """The entries of a result: the temperature, and calibration on test texts with and without it.

    Args:
        temperature: fitted to validation texts.
        test_logits_NC: of the test texts.
        test_labels_N: their class indices.
    """
    multi_label = test_labels_N.ndim == 2
    before, after = (
        calibration_scores(calibrated(test_logits_NC, divisor, multi_label), test_labels_N)
        for divisor in (1.0, temperature)
    )
    facts = {"temperature": temperature}
    facts |= {f"test_{name}": value for name, value in before.items()}
    return facts | {f"test_calibrated_{name}": value for name, value in after.items()}


def calibration_scores(probabilities_NC: np.ndarray, labels_N: np.ndarray) -> dict[str, float]:
    """How far probabilities are from the truth.

    Returns:
        `calibration_error`: the mean distance of confidence and accuracy, in 15 bins of confidence (ECE, Naeini et al.
        2015); `brier`: the mean squared distance of the probabilities from 1 for the true class and 0 for others. Of
        several labels a text: the mean distance of a label's probability and its share, in 15 bins of probability; and
        the mean squared distance from 1 for its labels and 0 for others, over texts and labels.

    >>> calibration_scores(np.array([[0.8, 0.2]] * 10), np.array([0] * 8 + [1] * 2))["calibration_error"] < 1e-9
    True
    """
    if labels_N.ndim == 2:
        flat, truth = probabilities_NC.ravel(), labels_N.ravel()
        bins = np.minimum((flat * BINS).astype(int), BINS - 1)
        gaps = np.bincount(bins, truth - flat, minlength=BINS)
        return {
            "calibration_error": float(np.abs(gaps).sum() / len(flat)),
            "brier": float(((flat - truth) ** 2).mean()),
        }
    confidences_N, correct_N = probabilities_NC.max(1), probabilities_NC.argmax(1) == labels_N
    bins_N = np.minimum((confidences_N * BINS).astype(int), BINS - 1)
    gaps_N = np.bincount(bins_N, correct_N - confidences_N, minlength=BINS)
    truth_NC = np.eye(probabilities_NC.shape[1])[labels_N]
    return {
        "calibration_error": float(np.abs(gaps_N).sum() / len(labels_N)),
        "brier": float(((probabilities_NC - truth_NC) ** 2).sum(1).mean()),
    }
