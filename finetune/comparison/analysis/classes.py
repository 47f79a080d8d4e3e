"""Which classes a model confuses, and how far its confidence can be trusted.

Shapes: R runs, N texts, C classes, B bins.
"""

from typing import NamedTuple

import numpy as np

from finetune.classification.calibration import calibration_scores
from finetune.comparison.analysis.answers import Answers

BINS = 10


class ClassScore(NamedTuple):
    """Scores of a class, means over the runs."""

    name: str
    texts: int
    precision: float
    recall: float
    f1: float


class ReliabilityBin(NamedTuple):
    """Answers of about the same confidence, over all runs."""

    low: float
    high: float
    answers: int
    confidence: float
    """Mean probability of the predicted class."""
    accuracy: float


class Reliability(NamedTuple):
    """How far the confidence of a model is from its accuracy."""

    bins: list[ReliabilityBin]
    calibration_error: float
    """The mean distance of confidence and accuracy (ECE) of each run, mean over the runs; not in these bins but in the
    narrower ones of `finetune.classification.calibration`, as in the results of runs."""
    brier: float
    """The mean squared distance of the probabilities from 1 for the true class and 0 for others, mean over the runs."""


def confusion(answers: Answers) -> np.ndarray:
    """Texts of each true class (rows) by predicted class (columns), [C, C], mean over the runs.

    >>> two = Answers(["a", "b"], np.array([0, 0, 1]), np.array([[0, 1, 1], [0, 0, 1]]), np.ones((2, 3, 2)) / 2, False)
    >>> confusion(two).tolist()
    [[1.5, 0.5], [0.0, 1.0]]
    """
    classes, runs = len(answers.classes), len(answers.predictions_RN)
    labels_RN = np.broadcast_to(answers.labels_N, answers.predictions_RN.shape)
    pairs = np.bincount((labels_RN * classes + answers.predictions_RN).ravel(), minlength=classes**2)
    return pairs.reshape(classes, classes) / runs


def class_scores(answers: Answers) -> list[ClassScore]:
    """Precision, recall and F1 of each class, 0 where there is nothing to divide by.

    >>> two = Answers(["a", "b"], np.array([0, 1, 1]), np.array([[0, 0, 1]]), np.ones((1, 3, 2)) / 2, False)
    >>> class_scores(two)[1]
    ClassScore(name='b', texts=2, precision=1.0, recall=0.5, f1=0.6666666666666666)
    """
    rows = []
    for label, name in enumerate(answers.classes):
        is_true_N, is_told_RN = answers.labels_N == label, answers.predictions_RN == label
        right_R, told_R, texts = (is_told_RN & is_true_N).sum(1), is_told_RN.sum(1), int(is_true_N.sum())
        precision_R = right_R / np.maximum(told_R, 1)
        recall_R = right_R / max(texts, 1)
        f1_R = 2 * right_R / np.maximum(told_R + texts, 1)
        rows.append(ClassScore(name, texts, float(precision_R.mean()), float(recall_R.mean()), float(f1_R.mean())))
    return rows


def reliability(answers: Answers) -> Reliability:
    """Confidence against accuracy of all runs together, in ten bins of the same width; empty bins are left out."""
    confidences = answers.probabilities_RNC.max(2).ravel()
    right = (answers.probabilities_RNC.argmax(2) == answers.labels_N).ravel()
    numbers = np.minimum((confidences * BINS).astype(int), BINS - 1)
    bins = []
    for number in range(BINS):
        here = numbers == number
        if here.any():
            confidence, accuracy = float(confidences[here].mean()), float(right[here].mean())
            bins.append(ReliabilityBin(number / BINS, (number + 1) / BINS, int(here.sum()), confidence, accuracy))
    # As in the results of runs, so that a report has one number for it.
    scores = [calibration_scores(probabilities_NC, answers.labels_N) for probabilities_NC in answers.probabilities_RNC]
    error, brier = (float(np.mean([score[name] for score in scores])) for name in ("calibration_error", "brier"))
    return Reliability(bins, error, brier)
