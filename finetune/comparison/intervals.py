"""Confidence intervals that include both sources of variance: seeds and test texts.

Shapes: P pretraining seeds, S fine-tuning seeds, N test texts, R runs.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import scipy.optimize
import scipy.special
import scipy.stats

POWER = 0.8
# Points of the chi-squared distribution; with these, half-widths of seeds alone are those of t to 1 in 10,000.
QUADRATURE = 4000
# Of the difference between two models, from seed to seed; and the share of texts on which only one of them is right.
SEED_DEVIATION, DISAGREEMENT = 0.01, 0.1


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate with a confidence interval, as shares of 1."""

    estimate: float
    low: float
    high: float
    p_value: float | None = None
    """Of the two-sided test that the mean is zero; None if nothing varies."""
    detectable: float | None = None
    """The least difference from zero that a design with this variance would have shown four times in five."""

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.low < self.high and (self.low > 0 or self.high < 0)


def mean_interval(values_SN: np.ndarray, confidence: float) -> Interval:
    """The mean over seeds and test texts, both treated as random samples, with its confidence interval.

    Two-way random effects without replication: x_sn = mean + seed_s + text_n + residual_sn. The variance of the mean is
    (MS_seed + max(0, MS_text - MS_residual)) / (S N). There are few seeds, so that MS_seed is itself uncertain, by a
    chi-squared distribution with S - 1 degrees of freedom; the interval is that of the generalized pivotal quantity
    that allows for it (Weerahandi 1993, "Generalized confidence intervals", JASA 88). Where seeds decide alone it is
    the t interval of their means, where texts do the normal one. Satterthwaite's degrees of freedom would make 90 % of
    95 where three seeds vary about as much as the texts; this makes 94 to 98 (tests/finetune/comparison).

    Args:
        values_SN: correctness (0 or 1) of a model, other values whose mean is its score, or the difference between two
            models' values.
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
    from_texts = max(0.0, text_square - residual_square)
    return _interval(float(mean), seed_square / (seeds * texts), from_texts / (seeds * texts), seeds, confidence)


def crossed_interval(values_PSN: np.ndarray, confidence: float) -> Interval:
    """The mean over pretraining seeds, fine-tuning seeds and test texts, all treated as random samples.

    With one pretraining seed, `mean_interval`. Else three crossed factors: the variance of the mean is
    (MS_pretraining + MS_seed + max(0, MS_text - MS_residual)) / (P S N), a little more than it is, as the interaction
    of the seeds counts twice; its degrees of freedom are Satterthwaite's, with those of the texts taken as infinite.
    93 to 97 % of 95 are covered with three seeds each (tests/finetune/comparison).

    Args:
        values_PSN: correctness (0 or 1) of a model, other values whose mean is its score, or the difference between two
            models' values.
        confidence: the confidence level.

    Raises:
        ValueError: fewer than two seeds or two texts.
    """
    pretrainings, seeds, texts = values_PSN.shape
    if pretrainings == 1:
        return mean_interval(values_PSN[0], confidence)
    if min(seeds, texts) < 2:
        raise ValueError(f"an interval needs two seeds and two texts, not {seeds} and {texts}")
    count, mean = values_PSN.size, values_PSN.mean()
    means_P, means_S = values_PSN.mean((1, 2)), values_PSN.mean((0, 2))
    pretraining_square = seeds * texts * ((means_P - mean) ** 2).sum() / (pretrainings - 1)
    seed_square = pretrainings * texts * ((means_S - mean) ** 2).sum() / (seeds - 1)
    runs_RN = values_PSN.reshape(-1, texts)
    run_means_R, text_means_N = runs_RN.mean(1), runs_RN.mean(0)
    text_square = len(runs_RN) * ((text_means_N - mean) ** 2).sum() / (texts - 1)
    residual_RN = runs_RN - run_means_R[:, None] - text_means_N[None] + mean
    residual_square = (residual_RN**2).sum() / ((len(runs_RN) - 1) * (texts - 1))
    total = pretraining_square + seed_square + max(0.0, text_square - residual_square)
    uncertain = pretraining_square**2 / (pretrainings - 1) + seed_square**2 / (seeds - 1)
    if total <= 0:
        return Interval(float(mean), float(mean), float(mean))
    degrees_of_freedom = total**2 / uncertain if uncertain > 0 else np.inf
    error, distribution = float(np.sqrt(total / count)), scipy.stats.t(degrees_of_freedom)
    half_width = float(distribution.ppf((1 + confidence) / 2)) * error
    return Interval(
        float(mean),
        float(mean) - half_width,
        float(mean) + half_width,
        p_value=2 * float(distribution.sf(abs(mean) / error)),
        detectable=half_width + float(distribution.ppf(POWER)) * error,
    )


def _interval(mean: float, seed_variance: float, text_variance: float, seeds: int, confidence: float) -> Interval:
    """The interval of a mean.

    Args:
        mean: the estimate.
        seed_variance: the part of the mean's variance that is estimated from the seeds.
        text_variance: the part that is known well.
        seeds: their number.
        confidence: the confidence level.
    """
    if seed_variance + text_variance <= 0:
        return Interval(mean, mean, mean)
    # What the standard error may be, at points of equal probability.
    errors_K = np.sqrt(seed_variance * (seeds - 1) / _chi_squares(seeds - 1) + text_variance)

    def quantile(tail: float) -> float:
        """The deviation that is exceeded on one side with this probability."""

        def excess(deviation: float) -> float:
            return float(scipy.special.ndtr(-deviation / errors_K).mean()) - tail

        return float(scipy.optimize.brentq(excess, 0.0, 10 * errors_K.max()))

    half_width = quantile((1 - confidence) / 2)
    return Interval(
        mean,
        mean - half_width,
        mean + half_width,
        p_value=2 * float(scipy.special.ndtr(-abs(mean) / errors_K).mean()),
        detectable=half_width + quantile(1 - POWER),
    )


@functools.cache
def _chi_squares(degrees_of_freedom: int) -> np.ndarray:
    """Points of equal probability of the chi-squared distribution."""
    return scipy.stats.chi2.ppf((np.arange(QUADRATURE) + 0.5) / QUADRATURE, degrees_of_freedom)


def holm(p_values: Sequence[float | None]) -> list[float]:
    """P values adjusted for their number (Holm 1979), so that errors in the whole family stay below the level.

    None, where nothing varies, counts as 1.

    >>> holm([0.01, 0.04, 0.03, None])
    [0.04, 0.09, 0.09, 1.0]
    """
    values = [1.0 if value is None else value for value in p_values]
    adjusted, highest = [1.0] * len(values), 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        highest = max(highest, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = highest
    return adjusted


def planned_detectable(seeds: int, texts: int, confidence: float) -> float:
    """The difference between two models that a design would show four times in five, before anything is run.

    Of two models of which each is right where the other is wrong on a tenth of the texts in all, and whose difference
    varies by a point from seed to seed: what was usual in docs/results.md.

    >>> round(planned_detectable(3, 25_000, 0.95), 3), round(planned_detectable(5, 500, 0.95), 3)
    (0.032, 0.043)
    """
    detectable = _interval(0.0, SEED_DEVIATION**2 / seeds, DISAGREEMENT / texts, seeds, confidence).detectable
    assert detectable is not None
    return detectable
