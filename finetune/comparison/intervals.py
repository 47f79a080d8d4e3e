"""Confidence intervals that include both sources of variance: seeds and test texts.

Shapes: S seeds, N test texts.
"""

import dataclasses
import math

import numpy as np
import scipy.stats


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate with a confidence interval, as shares of 1."""

    estimate: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.low < self.high and (self.low > 0 or self.high < 0)


def mean_interval(values_SN: np.ndarray, confidence: float) -> Interval:
    """The mean over seeds and test texts, both treated as random samples, with its confidence interval.

    Two-way random effects without replication: x_sn = mean + seed_s + text_n + residual_sn. The variance of the mean is
    (MS_seed + max(0, MS_text - MS_residual)) / (S N), and Satterthwaite's degrees of freedom are those of Hillis (2007,
    "A comparison of denominator degrees of freedom methods for multiple observer ROC analysis", Statistics in
    Medicine 26), with seeds as readers and texts as cases: (S - 1) (MS_seed + max(0, ...))^2 / MS_seed^2;
    one for two seeds.

    Args:
        values_SN: correctness (0 or 1) of a model, or the difference between two models' correctness.
        confidence: the confidence level, such as 0.95.

    Raises:
        ValueError: fewer than two seeds or two texts.
    """
    seeds, texts = values_SN.shape
    if min(seeds, texts) < 2:
        raise ValueError(f"an interval needs two seeds and two texts, not {seeds} and {texts}")
    mean = values_SN.mean()
    seed_means_S, text_means_N = values_SN.mean(1), values_SN.mean(0)
    seed_square = texts * ((seed_means_S - mean) ** 2).sum() / (seeds - 1)
    text_square = seeds * ((text_means_N - mean) ** 2).sum() / (texts - 1)
    residual_SN = values_SN - seed_means_S[:, None] - text_means_N[None] + mean
    residual_square = (residual_SN**2).sum() / ((seeds - 1) * (texts - 1))
    total = seed_square + max(0.0, text_square - residual_square)
    if total <= 0:
        return Interval(float(mean), float(mean), float(mean))
    # Of two seeds, the estimated degrees of freedom are so uncertain that a 95 % interval would cover 87 % where seeds
    # differ more than texts (tests/finetune/comparison/test_intervals.py): take one.
    if seeds == 2:
        degrees_of_freedom = 1.0
    else:
        degrees_of_freedom = math.inf if seed_square == 0 else (seeds - 1) * (total / seed_square) ** 2
    half_width = scipy.stats.t.ppf((1 + confidence) / 2, degrees_of_freedom) * math.sqrt(total / (seeds * texts))
    return Interval(float(mean), float(mean - half_width), float(mean + half_width))
