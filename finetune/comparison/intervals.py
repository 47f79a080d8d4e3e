"""Confidence intervals that include both sources of variance: seeds and test texts.

Shapes: P pretraining seeds, S fine-tuning seeds, N test texts, R runs.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
import scipy.optimize
import scipy.special
import scipy.stats

POWER = 0.8
# Points of a chi-squared distribution; with these, half-widths of seeds alone are those of t to 1 in a million.
QUADRATURE, COARSER, DENSER = 100, 40, 4
# Of the difference between two models, from seed to seed; and the share of texts on which only one of them is right.
SEED_DEVIATION, DISAGREEMENT = 0.01, 0.1
# Less than this share of what is left is nothing but rounding.
COINCIDENCE = 1e-9
# With fewer test texts, how much they vary is uncertain, too, and a share of few is not normally distributed.
FEW_TEXTS = 200
# Texts that are added to few, for the interval alone: two right and two wrong for a share of right answers (Agresti and
# Coull 1998, The American Statistician 52); for the difference of two such shares on the same texts, one on which each
# alone is right (Bonett and Price 2012, Journal of Educational and Behavioral Statistics 37).
ADDED_TO_SHARES, ADDED_TO_DIFFERENCES = (0.0, 0.0, 1.0, 1.0), (-1.0, 1.0)


# The probability that an estimate deviates by more than this on one side, by its deviation.
Tail = Callable[[float], float]
# Parts of a mean's variance that are estimated from a few seeds or texts, with their degrees of freedom.
Parts = Sequence[tuple[float, int]]


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate with a confidence interval, as shares of 1."""

    estimate: float
    low: float
    high: float
    p_value: float | None = None
    """Of the two-sided test that the mean is zero; None if nothing varies."""
    detectable: float | None = None
    """The least difference from zero that a design with this variance would have shown four times in five; None if
    nothing varies. Of the difference of two scores, 1: it would have shown none."""

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.low < self.high and (self.low > 0 or self.high < 0)


def score_interval(values_PSN: np.ndarray, confidence: float) -> Interval:
    """The `crossed_interval` of a model's score, from 0 to 1; of few texts, as of a share."""
    return _within(0.0, 1.0, crossed_interval(values_PSN, confidence, added=ADDED_TO_SHARES))


def difference_interval(values_PSN: np.ndarray, rivals_PSN: np.ndarray, confidence: float, looks: int = 1) -> Interval:
    """The `crossed_interval` of the difference between two models' scores on the same texts.

    Args:
        values_PSN: of the one model; P is 1 for one without pretraining.
        rivals_PSN: of the other.
        confidence: the confidence level.
        looks: as of `mean_interval`.
    """
    difference_PSN = values_PSN - rivals_PSN
    found = _within(-1.0, 1.0, crossed_interval(difference_PSN, confidence, looks, ADDED_TO_DIFFERENCES))
    return dataclasses.replace(found, detectable=None if found.detectable is None else min(1.0, found.detectable))


def _within(least: float, most: float, found: Interval) -> Interval:
    return dataclasses.replace(found, low=max(least, found.low), high=min(most, found.high))


def mean_interval(values_SN: np.ndarray, confidence: float, looks: int = 1, added: Sequence[float] = ()) -> Interval:
    """The mean over seeds and test texts, both treated as random samples, with its confidence interval.

    Two-way random effects without replication: x_sn = mean + seed_s + text_n + residual_sn. The variance of the mean is
    (MS_seed + max(0, MS_text - MS_residual)) / (S N). There are few seeds, so that MS_seed is itself uncertain, by a
    chi-squared distribution with S - 1 degrees of freedom; the interval is that of the generalized pivotal quantity
    that allows for it (Weerahandi 1993, "Generalized confidence intervals", JASA 88). Where seeds decide alone it is
    the t interval of their means, where texts do the normal one. Satterthwaite's degrees of freedom would make 90 % of
    95 where three seeds vary about as much as the texts; this makes 94 to 98 (tests/finetune/comparison). Of few texts,
    the part of the texts is that of t.

    Args:
        values_SN: correctness (0 or 1) of a model, other values whose mean is its score, or the difference between two
            models' values.
        confidence: the confidence level, such as 0.95.
        looks: differences that are judged together, which `detectable` allows for.
        added: values of texts that are added to few for the interval.

    Raises:
        ValueError: fewer than two seeds or two texts.
    """
    seeds, texts = values_SN.shape
    if min(seeds, texts) < 2:
        raise ValueError(f"an interval needs two seeds and two texts, not {seeds} and {texts}")
    estimate, values_SN = float(values_SN.mean()), _with_added(values_SN, added)
    texts, mean = values_SN.shape[1], values_SN.mean()
    seed_means_S, text_means_N = values_SN.mean(1), values_SN.mean(0)
    seed_square = texts * ((seed_means_S - mean) ** 2).sum() / (seeds - 1)
    text_square = seeds * ((text_means_N - mean) ** 2).sum() / (texts - 1)
    residual_SN = values_SN - seed_means_S[:, None] - text_means_N[None] + mean
    residual_square = (residual_SN**2).sum() / ((seeds - 1) * (texts - 1))
    from_texts = _from_texts(seed_square, text_square, residual_square) / (seeds * texts)
    parts = _with_texts([(seed_square / (seeds * texts), seeds - 1)], from_texts, texts)
    return _interval(estimate, [_pivotal(*parts)], confidence, looks, float(mean))


def crossed_interval(
    values_PSN: np.ndarray, confidence: float, looks: int = 1, added: Sequence[float] = ()
) -> Interval:
    """The mean over pretraining seeds, fine-tuning seeds and test texts, all treated as random samples.

    With one pretraining seed, `mean_interval`. Else three crossed factors: the variance of the mean is
    (MS_pretraining + MS_seed + max(0, MS_text - MS_residual)) / (P S N), a little more than it is, as the interaction
    of the seeds counts twice; its degrees of freedom are Satterthwaite's, with those of the texts, but for few, taken
    as infinite. Simulated, 95 % intervals of three seeds each cover 93 to 97 %, and 99 % where the seeds differ by
    chance alone.

    Two pretraining seeds that decide would be covered 88 to 92 % of 95 so, and nearly always by the generalized pivotal
    quantity; with two, the mean of both probabilities is taken, which covers 94 to 99 % (tests/finetune/comparison).

    Args:
        values_PSN: correctness (0 or 1) of a model, other values whose mean is its score, or the difference between two
            models' values.
        confidence: the confidence level.
        looks, added: as of `mean_interval`.

    Raises:
        ValueError: fewer than two seeds or two texts.
    """
    pretrainings, seeds, texts = values_PSN.shape
    if pretrainings == 1:
        return mean_interval(values_PSN[0], confidence, looks, added)
    if min(seeds, texts) < 2:
        raise ValueError(f"an interval needs two seeds and two texts, not {seeds} and {texts}")
    estimate, values_PSN = float(values_PSN.mean()), _with_added(values_PSN, added)
    texts, count, mean = values_PSN.shape[2], values_PSN.size, values_PSN.mean()
    means_P, means_S = values_PSN.mean((1, 2)), values_PSN.mean((0, 2))
    pretraining_square = seeds * texts * ((means_P - mean) ** 2).sum() / (pretrainings - 1)
    seed_square = pretrainings * texts * ((means_S - mean) ** 2).sum() / (seeds - 1)
    runs_RN = values_PSN.reshape(-1, texts)
    run_means_R, text_means_N = runs_RN.mean(1), runs_RN.mean(0)
    text_square = len(runs_RN) * ((text_means_N - mean) ** 2).sum() / (texts - 1)
    residual_RN = runs_RN - run_means_R[:, None] - text_means_N[None] + mean
    residual_square = (residual_RN**2).sum() / ((len(runs_RN) - 1) * (texts - 1))
    few = [(pretraining_square / count, pretrainings - 1), (seed_square / count, seeds - 1)]
    from_texts = _from_texts(pretraining_square + seed_square, text_square, residual_square) / count
    parts = _with_texts(few, from_texts, texts)
    tails = [_satterthwaite(*parts), *([_pivotal(*parts)] if pretrainings == 2 else [])]
    return _interval(estimate, tails, confidence, looks, float(mean))


def _with_added(values: np.ndarray, added: Sequence[float]) -> np.ndarray:
    """Values, [..., N], with those of more texts, the same in all runs, if there are few."""
    if not added or values.shape[-1] >= FEW_TEXTS:
        return values
    return np.concatenate([values, np.broadcast_to(np.array(added), (*values.shape[:-1], len(added)))], axis=-1)


def _with_texts(few: Parts, variance: float, texts: int) -> tuple[Parts, float]:
    """The parts of a variance that are uncertain and the one that is known, of which the texts are one or the other."""
    return ([*few, (variance, texts - 1)], 0.0) if texts < FEW_TEXTS else (few, variance)


def _from_texts(few_square: float, text_square: float, residual_square: float) -> float:
    """The part of the texts in the sum of mean squares whose share is the variance of the mean.

    With few seeds and texts, the means of all seeds may coincide and the texts vary less than what is left: nothing
    would seem to vary then. The residual, by which seeds vary at the least, stands for it.
    """
    found = max(0.0, text_square - residual_square)
    return found if few_square + found > COINCIDENCE * residual_square else residual_square


def _pivotal(few: Parts, text_variance: float) -> Tail | None:
    """The generalized pivotal quantity's; None if nothing varies.

    Args:
        few: the parts that are uncertain.
        text_variance: the part of the variance that is known well, if the texts are many.
    """
    if sum(variance for variance, _ in few) + text_variance <= 0:
        return None
    # What the standard error may be, and how likely that is.
    squares_K, weights_K = np.array([text_variance]), np.ones(1)
    uncertain = [part for part in few if part[0] > 0]
    for variance, degrees_of_freedom in uncertain:
        # Three grids as fine as two would be a million points.
        factors_Q, weights_Q = _inverse_chi_squares(degrees_of_freedom, QUADRATURE if len(uncertain) < 3 else COARSER)
        squares_K = np.add.outer(squares_K, variance * factors_Q).ravel()
        weights_K = np.outer(weights_K, weights_Q).ravel()
    errors_K = np.sqrt(squares_K)
    return lambda deviation: float(scipy.special.ndtr(-deviation / errors_K) @ weights_K)


def _satterthwaite(few: Parts, text_variance: float) -> Tail | None:
    """That of t with Satterthwaite's degrees of freedom; None if nothing varies."""
    total = sum(variance for variance, _ in few) + text_variance
    if total <= 0:
        return None
    uncertain = sum(variance**2 / degrees_of_freedom for variance, degrees_of_freedom in few)
    error = math.sqrt(total)
    if uncertain == 0:
        return lambda deviation: float(scipy.special.ndtr(-deviation / error))
    return lambda deviation: float(scipy.special.stdtr(total**2 / uncertain, -deviation / error))


def _interval(
    estimate: float, tails: Sequence[Tail | None], confidence: float, looks: int = 1, centre: float | None = None
) -> Interval:
    """The interval of a mean.

    Args:
        estimate: of it.
        tails: their mean is taken; None if nothing varies.
        confidence: the confidence level.
        looks: as of `mean_interval`.
        centre: of the interval; None: the estimate.
    """
    centre, known = estimate if centre is None else centre, [tail for tail in tails if tail is not None]
    if not known:
        return Interval(estimate, estimate, estimate)

    def beyond(deviation: float) -> float:
        return sum(tail(deviation) for tail in known) / len(known)

    def quantile(probability: float) -> float:
        """The deviation that is exceeded on one side with this probability."""
        upper = 1e-6
        while beyond(upper) > probability:
            upper *= 2
        return float(scipy.optimize.brentq(lambda deviation: beyond(deviation) - probability, 0.0, upper))

    half_width = quantile((1 - confidence) / 2)
    needed = half_width if looks == 1 else quantile((1 - confidence) / 2 / looks)
    return Interval(
        estimate,
        centre - half_width,
        centre + half_width,
        p_value=2 * beyond(abs(centre)),
        detectable=needed + quantile(1 - POWER),
    )


@functools.cache
def _inverse_chi_squares(degrees_of_freedom: int, points: int = QUADRATURE) -> tuple[np.ndarray, np.ndarray]:
    """Values of the degrees of freedom over a chi-squared variable, [Q], and their probabilities.

    By Gauss and Legendre, in a variable of which small chi-squares, which matter most, have many points.
    """
    nodes_Q, weights_Q = np.polynomial.legendre.leggauss(points)
    roots_Q = (nodes_Q + 1) / 2
    quantiles_Q = scipy.stats.chi2.ppf(roots_Q**DENSER, degrees_of_freedom)
    return degrees_of_freedom / quantiles_Q, weights_Q / 2 * DENSER * roots_Q ** (DENSER - 1)


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


def planned_detectable(seeds: int, texts: int, confidence: float, looks: int = 1) -> float:
    """The difference between two models that a design would show four times in five, before anything is run.

    Of two models of which each is right where the other is wrong on a tenth of the texts in all, and whose difference
    varies by a point from seed to seed: what was usual in docs/results.md. A larger difference takes models that differ
    on as many texts. 1: it would show none.

    >>> round(planned_detectable(3, 25_000, 0.95), 3), round(planned_detectable(5, 500, 0.95), 3)
    (0.032, 0.043)
    >>> round(planned_detectable(3, 40, 0.95), 3)
    0.179
    """
    few = [(SEED_DEVIATION**2 / seeds, seeds - 1)]

    def beyond(difference: float) -> float:
        """By how much more the design shows, of models that differ by so much."""
        variance = max(DISAGREEMENT, difference) - difference**2
        found = _interval(0.0, [_pivotal(*_with_texts(few, variance / texts, texts))], confidence, looks).detectable
        assert found is not None
        return found - difference

    return 1.0 if beyond(1.0) >= 0 else float(scipy.optimize.brentq(beyond, 0.0, 1.0))
