"""Accuracy, macro-F1 and Matthews' correlation as `evaluate` metrics that need no network.

`evaluate.load("accuracy")` downloads and runs a script (or runs a local folder `./accuracy`, if there is one); these
classes compute the same values with scikit-learn.
"""

from typing import Any

import datasets
import evaluate
import numpy as np
import scipy.special
from sklearn.metrics import accuracy_score, f1_score, log_loss, matthews_corrcoef

from finetune.classification.config import TaskConfig
from finetune.classification.multi_label.label_scores import label_scores
from finetune.classification.multi_label.thresholds import choose_thresholds, decide

# The least probability, for logarithms.
TINY = 1e-12


class _LabelMetric(evaluate.Metric):
    """A metric of true and predicted class indices."""

    def _info(self) -> evaluate.MetricInfo:
        classes = datasets.Value("int32")
        return evaluate.MetricInfo(
            description=(self.__doc__ or "").split("\n")[0],
            citation="Pedregosa et al. 2011, Scikit-learn: machine learning in Python",
            inputs_description="predictions, references: class indices",
            features=datasets.Features({"predictions": classes, "references": classes}),
        )


class Accuracy(_LabelMetric):
    """Share of texts that are classified correctly."""

    def _compute(self, *, predictions: Any = None, references: Any = None, **options: Any) -> dict[str, float]:
        return {"accuracy": float(accuracy_score(references, predictions))}


class MacroF1(_LabelMetric):
    """Unweighted mean of the F1 scores of the classes."""

    def _compute(self, *, predictions: Any = None, references: Any = None, **options: Any) -> dict[str, float]:
        return {"macro_f1": float(f1_score(references, predictions, average="macro", zero_division=0.0))}


class Matthews(_LabelMetric):
    """Matthews' correlation coefficient, in its multiclass form; 0 where all labels and predictions are the same."""

    def _compute(self, *, predictions: Any = None, references: Any = None, **options: Any) -> dict[str, float]:
        if len(np.unique(np.concatenate([references, predictions]))) < 2:
            # scikit-learn gives 0, too, with a warning.
            return {"matthews": 0.0}
        return {"matthews": float(matthews_corrcoef(references, predictions))}


METRICS: list[type[evaluate.Metric]] = [Accuracy, MacroF1, Matthews]


def scores(predictions_N: np.ndarray, labels_N: np.ndarray) -> dict[str, float]:
    """All metrics of predicted and true class indices, both [N]: `accuracy`, `macro_f1`, `matthews`.

    Of several labels a text, both [N, C], those of `label_scores`.
    """
    if labels_N.ndim == 2:
        return label_scores(predictions_N, labels_N)
    values: dict[str, float] = {}
    for metric in METRICS:
        values |= metric(keep_in_memory=True).compute(predictions=predictions_N, references=labels_N) or {}
    return values


def probability_scores(probabilities_NC: np.ndarray, labels_N: np.ndarray, config: TaskConfig) -> dict[str, float]:
    """The loss in nats and all metrics of probabilities [N, C], given the true class indices [N].

    Of several labels a text, [N, C], the loss is the mean over texts and labels, and the metrics are those at the
    thresholds that are best for these texts.
    """
    if labels_N.ndim == 2:
        wide_NC = np.clip(probabilities_NC.astype(np.float64), TINY, 1 - TINY)
        return {"loss": label_loss(scipy.special.logit(wide_NC), labels_N)} | scores_at_best(wide_NC, labels_N, config)
    loss = log_loss(labels_N, probabilities_NC, labels=np.arange(probabilities_NC.shape[1]))
    return {"loss": float(loss)} | scores(probabilities_NC.argmax(1), labels_N)


def scores_at_best(probabilities_NC: np.ndarray, labels_NC: np.ndarray, config: TaskConfig) -> dict[str, float]:
    """All metrics of labels at the thresholds that are best for these texts."""
    return scores(decide(probabilities_NC, choose_thresholds(probabilities_NC, labels_NC, config)), labels_NC)


def label_loss(logits_NC: np.ndarray, targets_NC: np.ndarray) -> float:
    """The mean cross-entropy of yes-or-no decisions, in nats.

    >>> round(label_loss(np.zeros((1, 2)), np.array([[1, 0]])), 4)
    0.6931
    """
    return float((np.logaddexp(0, logits_NC) - targets_NC * logits_NC).mean())
