"""A curve through a few rungs, and how far it can be trusted beyond them.

What more training brings is taken as a saturating power law, as scaling laws are (Kaplan et al. 2020, arXiv 2001.08361;
with a limit, Hoffmann et al. 2022, arXiv 2203.15556): score = limit - size x tokens^(-exponent), and the same with a
plus for a loss.

Shapes: R rungs, P pretraining seeds, S fine-tuning seeds, N texts, D draws, H horizons, C exponents.
"""

from typing import NamedTuple

import numpy as np

from finetune.comparison.draws import DRAWS
from finetune.comparison.intervals import Interval

# Three numbers are fitted.
FITTED = 3
# Nearly a logarithm up to steeper than learning curves are; tokens are shares of a whole run.
EXPONENTS_C = np.geomspace(0.02, 2.0, 60)
# A misfit as rare as this, if noise were all there is, is told.
SIGNIFICANCE = 0.05


class Curves(NamedTuple):
    """Power laws, one for each draw."""

    limit_D: np.ndarray
    size_D: np.ndarray
    exponent_D: np.ndarray

    def at(self, tokens_H: np.ndarray) -> np.ndarray:
        """The scores at some numbers of tokens, [D, H]; tokens as `fit` had them."""
        return self.limit_D[:, None] - self.size_D[:, None] * tokens_H[None] ** -self.exponent_D[:, None]


def fit(tokens_R: np.ndarray, scores_DR: np.ndarray, highest: float = 1.0) -> Curves:
    """The rising power laws that fit best by least squares, limits at most `highest`; a constant where scores fall.

    For a given exponent the rest is a straight line with bounds, so that a grid of exponents finds the least squares of
    all draws at once (variable projection: Golub and Pereyra 1973, SIAM J. Numer. Anal. 10); `scipy.optimize.curve_fit`
    finds the same one draw at a time (tests/finetune/ladders). Rungs weigh the same: they have the same seeds and
    texts, and what these share shifts the whole curve.

    Args:
        tokens_R: numbers of tokens, as shares of a whole run.
        scores_DR: of each rung; losses with a minus.
        highest: what no score exceeds; 0 for losses with a minus.

    >>> tokens = np.array([0.125, 0.25, 0.5])
    >>> curve = fit(tokens, 0.9 - 0.05 * tokens[None] ** -0.5)
    >>> curve.at(np.array([1.0, 4.0])).round(2).tolist()
    [[0.85, 0.88]]
    """
    powers_CR = tokens_R[None] ** -EXPONENTS_C[:, None]
    centred_CR = powers_CR - powers_CR.mean(1, keepdims=True)
    means_D1 = scores_DR.mean(1, keepdims=True)
    size_DC = np.maximum(0.0, -(scores_DR - means_D1) @ centred_CR.T / (centred_CR**2).sum(1))
    limit_DC = means_D1 + size_DC * powers_CR.mean(1)
    bounded_DC = np.maximum(0.0, (highest - scores_DR) @ powers_CR.T / (powers_CR**2).sum(1))
    is_over_DC = limit_DC > highest
    limit_DC, size_DC = np.where(is_over_DC, highest, limit_DC), np.where(is_over_DC, bounded_DC, size_DC)
    residuals_DCR = limit_DC[..., None] - size_DC[..., None] * powers_CR - scores_DR[:, None]
    best_D = (residuals_DCR**2).sum(2).argmin(1)
    rows_D = np.arange(len(scores_DR))
    return Curves(limit_DC[rows_D, best_D], size_DC[rows_D, best_D], EXPONENTS_C[best_D])


class Prediction(NamedTuple):
    """What a curve tells of some numbers of tokens."""

    curve: Curves
    """The one that fits what was found; D is 1."""
    scores: list[Interval]
    """At each horizon."""
    gains: list[Interval]
    """At each horizon, over the curve at the last rung."""
    misfit: float | None
    """How probable it is that rungs scatter about the curve so widely by the noise of seeds and texts; None of three
    rungs, through which a curve goes as it likes."""


def predict(
    tokens_R: np.ndarray,
    means_R: np.ndarray,
    draws_DR: np.ndarray,
    horizons_H: np.ndarray,
    confidence: float,
    highest: float = 1.0,
) -> Prediction:
    """The scores at some numbers of tokens, with percentile intervals: a curve is fitted to each draw.

    Where the rungs scatter about their curve more than noise would make them, the draws are spread by the ratio (Birge
    1932, Phys. Rev. 40): that of pretraining from one seed is in no other part of them.

    Args:
        tokens_R: as of `fit`, ascending.
        means_R: the scores that were found.
        draws_DR: draws around them.
        horizons_H: numbers of tokens.
        confidence: the confidence level.
        highest: as of `fit`.
    """
    found, misfit = fit(tokens_R, means_R[None], highest), None
    noise_DR = draws_DR - means_R
    if len(tokens_R) > FITTED:
        fitted_1R = found.at(tokens_R)
        simulated_DR = fitted_1R + noise_DR
        squares_D = ((fit(tokens_R, simulated_DR, highest).at(tokens_R) - simulated_DR) ** 2).sum(1)
        square = float(((fitted_1R[0] - means_R) ** 2).sum())
        misfit = float((squares_D >= square).mean())
        expected = float(squares_D.mean())
        noise_DR = noise_DR * max(1.0, np.sqrt(square / expected) if expected > 0 else 1.0)
    curves = fit(tokens_R, means_R + noise_DR, highest)
    return Prediction(found, *_at_horizons(found, curves, tokens_R[-1:], horizons_H, confidence), misfit)


def predict_loss(
    tokens_L: np.ndarray, losses_L: np.ndarray, horizons_H: np.ndarray, confidence: float, rng: np.random.Generator
) -> Prediction | None:
    """The same of a held-out loss, whose noise is how far L runs scatter about the curve; None of three runs.

    The curve is that of the loss with a minus; `scores` and `gains` are losses and their changes.

    Args:
        tokens_L: tokens of each run, as shares of a whole one, ascending.
        losses_L: their losses.
        horizons_H: numbers of tokens.
        confidence: the confidence level.
        rng: where the randomness comes from.
    """
    degrees = len(losses_L) - FITTED
    if degrees < 1:
        return None
    found = fit(tokens_L, -losses_L[None], 0.0)
    fitted_L = found.at(tokens_L)[0]
    deviation = np.sqrt(((fitted_L + losses_L) ** 2).sum() / degrees)
    spread_D1 = deviation * np.sqrt(degrees / rng.chisquare(degrees, (DRAWS, 1)))
    draws_DL = fitted_L + spread_D1 * rng.standard_normal((DRAWS, len(losses_L)))
    curves = fit(tokens_L, draws_DL, 0.0)
    values, gains = _at_horizons(found, curves, tokens_L[-1:], horizons_H, confidence)
    return Prediction(found, [_negative(value) for value in values], [_negative(gain) for gain in gains], None)


def _negative(value: Interval) -> Interval:
    return Interval(-value.estimate, -value.high, -value.low)


def _at_horizons(
    found: Curves, curves: Curves, last_1: np.ndarray, horizons_H: np.ndarray, confidence: float
) -> tuple[list[Interval], list[Interval]]:
    """The values at each horizon, and what they are beyond those at the last rung."""
    found_H, values_DH = found.at(horizons_H)[0], curves.at(horizons_H)
    gains_H, gains_DH = found_H - found.at(last_1)[0], values_DH - curves.at(last_1)
    return intervals(found_H, values_DH, confidence), intervals(gains_H, gains_DH, confidence)


def intervals(found_K: np.ndarray, values_DK: np.ndarray, confidence: float) -> list[Interval]:
    """Percentile intervals, which always hold what was found.

    >>> intervals(np.array([2.0]), np.arange(101)[:, None], 0.5)
    [Interval(estimate=2.0, low=2.0, high=75.0, p_value=None, detectable=None)]
    """
    low_K, high_K = np.quantile(values_DK, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return [
        Interval(float(found), min(float(low), float(found)), max(float(high), float(found)))
        for found, low, high in zip(found_K, low_K, high_K, strict=True)
    ]
