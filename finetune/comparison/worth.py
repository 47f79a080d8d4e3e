"""What pretraining is worth in labels: how many more a model without it needs to do as well.

Shapes: P pretraining seeds, S fine-tuning seeds, N test texts, B label budgets, R runs, D draws.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

DRAWS = 2000


@dataclasses.dataclass(frozen=True)
class Worth:
    """The labels with which the models without pretraining reach a pretrained model's score, less those it has."""

    model: str
    label_budget: int
    estimate: float | None
    """None: more than the largest budget has."""
    low: float
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
    """The labels that pretraining is worth at a budget, with a percentile interval by the bootstrap.

    Seeds and test texts are drawn with replacement, the same for all models and budgets. Between two budgets, accuracy
    is taken as linear in the logarithm of the number of labels, and as never falling with more labels.

    Args:
        model: the pretrained model.
        budget: its number of labels.
        correct_PSN: 1 where it is right, from each pretraining seed; of another score than accuracy, values of which it
            is the mean.
        others_BSN: the same of the best model without pretraining at each budget.
        budgets: the B budgets, ascending; `budget` is one of them.
        confidence: the confidence level.
    """
    rng = np.random.default_rng(0)
    pretrainings, seeds, texts = correct_PSN.shape
    estimate = _labels(correct_PSN.mean()[None], others_BSN.mean((1, 2))[None], budgets)[0] - budget
    # A draw is a weighting, and all draws of means are one product of matrices.
    runs_RN = np.concatenate([correct_PSN, others_BSN]).reshape(-1, texts)
    weights_DP, weights_DS, weights_DN = (_draws(rng, count) for count in (pretrainings, seeds, texts))
    means_DRS = (weights_DN @ runs_RN.T).reshape(DRAWS, -1, seeds)
    means_DR = (means_DRS * weights_DS[:, None]).sum(2)
    accuracies_D = (means_DR[:, :pretrainings] * weights_DP).sum(1)
    draws_D = _labels(accuracies_D, means_DR[:, pretrainings:], budgets) - budget
    low, high = np.quantile(draws_D, [(1 - confidence) / 2, (1 + confidence) / 2], method="closest_observation")
    # Beyond the largest budget, all that is known is that it is not enough.
    low = min(max(0.0, float(low)), float(max(budgets) - budget))
    return Worth(model, budget, _finite(estimate), low, _finite(high), max(budgets))


def _draws(rng: np.random.Generator, count: int) -> np.ndarray:
    """Weights of `count` members of a sample that is drawn with replacement, for each draw, [D, count].

    Their deviations are scaled by sqrt(count / (count - 1)): a few members vary less about their own mean than about
    that of all there could be.
    """
    weights_DC = rng.multinomial(count, np.full(count, 1 / count), size=DRAWS) / count
    return 1 / count + (weights_DC - 1 / count) * np.sqrt(count / max(1, count - 1))


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
