"""What pretraining is worth in labels: how many more a model without it needs to do as well.

Shapes: P pretraining seeds, S fine-tuning seeds, N test texts, B label budgets, D draws, R rows: the
model, and the best without pretraining at each budget.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from finetune.comparison.draws import DRAWS, mean_draws
from finetune.comparison.intervals import difference_interval


@dataclasses.dataclass(frozen=True)
class Worth:
    """The labels with which the models without pretraining reach a pretrained model's score, less those it has."""

    model: str
    label_budget: int
    estimate: float | None
    """None: more than the largest budget has."""
    low: float
    """As many as the largest budget has more only where the model is shown to be better there."""
    high: float | None
    """None: as `estimate`."""
    largest: int
    """The largest label budget."""


def labels_worth(
    model: str,
    budget: int,
    correct_PSN: np.ndarray,
    others_BSN: np.ndarray,
    budgets: Sequence[int],
    confidence: float,
) -> Worth:
    """The labels that pretraining is worth at a budget, with a percentile interval.

    It is that of draws over seeds and test texts, the same for all models and budgets (`draws.mean_draws`). Between two
    budgets, accuracy is taken as linear in the logarithm of the number of labels, and as never falling with more
    labels. That no model without pretraining does as well with the largest budget takes a difference there whose own
    interval is above zero.

    Args:
        model: the pretrained model.
        budget: its number of labels.
        correct_PSN: 1 where it is right, from each pretraining seed; of another score than accuracy, values of which it
            is the mean.
        others_BSN: the same of the best model without pretraining at each budget.
        budgets: the B budgets, ascending; `budget` is one of them.
        confidence: the confidence level.
    """
    rest = float(max(budgets) - budget)
    means_B = others_BSN.mean((1, 2))
    estimate = _labels(correct_PSN.mean()[None], means_B[None], budgets)[0] - budget
    # Models without pretraining are the same from each of its seeds.
    others_BPSN = np.broadcast_to(others_BSN[:, None], (len(others_BSN), *correct_PSN.shape))
    draws_DR = mean_draws(np.concatenate([correct_PSN[None], others_BPSN]), np.random.default_rng(0), DRAWS)
    draws_D = _labels(draws_DR[:, 0], draws_DR[:, 1:], budgets) - budget
    low, high = np.quantile(draws_D, [(1 - confidence) / 2, (1 + confidence) / 2], method="closest_observation")
    at_largest = difference_interval(correct_PSN, others_BSN[-1:], confidence)
    if low >= rest and at_largest.low <= 0:
        # What the interval there leaves possible, which is less.
        least = _labels(means_B[-1:] + at_largest.low, means_B[None], budgets)[0] - budget
        low = min(least, np.nextafter(rest, 0))
    # Beyond the largest budget, all that is known is that it is not enough.
    low = min(max(0.0, float(low)), rest)
    return Worth(model, budget, _finite(estimate), low, _finite(high), max(budgets))


def _labels(accuracies_D: np.ndarray, others_DB: np.ndarray, budgets: Sequence[int]) -> np.ndarray:
    """The least number of labels at which a curve reaches an accuracy, for each draw; infinite beyond the last."""
    curves_DB = np.maximum.accumulate(others_DB, axis=1)
    logarithms_B = np.log(budgets)
    found_D = np.full(len(accuracies_D), np.inf)
    for row, (accuracy, curve_B) in enumerate(zip(accuracies_D, curves_DB, strict=True)):
        if accuracy <= curve_B[0]:
            found_D[row] = budgets[0]
        elif accuracy <= curve_B[-1]:
            # On a level part of the curve, its beginning.
            end = int(np.searchsorted(curve_B, accuracy, side="left"))
            share = (accuracy - curve_B[end - 1]) / (curve_B[end] - curve_B[end - 1])
            found_D[row] = np.exp(logarithms_B[end - 1] + share * (logarithms_B[end] - logarithms_B[end - 1]))
    return found_D


def _finite(labels: float) -> float | None:
    return max(0.0, float(labels)) if np.isfinite(labels) else None
