"""Draws of what mean scores may be, where seeds and texts are samples and few seeds tell little of their own variance.

Shapes: R rows (models, label budgets or rungs of a ladder), P pretraining seeds, S fine-tuning seeds, N texts, D draws.
"""

import itertools

import numpy as np

DRAWS = 2000


def mean_draws(values_RPSN: np.ndarray, rng: np.random.Generator, draws: int = DRAWS) -> np.ndarray:
    """Draws of what the mean of each row may be, [D, R], around those that were found.

    A bootstrap with normal weights over fine-tuning seeds, over pretraining seeds where there are several, and over the
    texts that seeds have in common; a draw weighs the same seeds and texts in all rows. As few seeds tell little of
    their own variance, each draw of a part is divided by the root of a chi-squared variable over its degrees of
    freedom, so that the interval of any weighted sum of rows is that of Student's t where one kind of seed decides.

    Args:
        values_RPSN: a value for each judged text, whose mean is the score; NaN for a text that a seed does not judge.
        rng: where the randomness comes from.
        draws: how many.
    """
    rows, pretrainings, seeds, _ = values_RPSN.shape
    runs_RPS = np.nanmean(values_RPSN, axis=3)
    means_R = runs_RPS.mean((1, 2))
    drawn_DR = np.tile(means_R, (draws, 1))
    for parts_RK in (runs_RPS.mean(1), runs_RPS.mean(2))[: 1 + (pretrainings > 1)]:
        count = parts_RK.shape[1]
        weights_DK = rng.standard_normal((draws, count)) / np.sqrt(count * (count - 1))
        # Of one draw for all rows: the covariance of rows is that of the seeds.
        spread_D1 = np.sqrt((count - 1) / rng.chisquare(count - 1, (draws, 1)))
        drawn_DR += spread_D1 * (weights_DK @ (parts_RK - means_R[:, None]).T)
    shared_RR = _shared_texts(values_RPSN.mean(1), seeds)
    if shared_RR.any():
        eigenvalues_R, vectors_RR = np.linalg.eigh(shared_RR)
        roots_RR = vectors_RR * np.sqrt(np.maximum(0.0, eigenvalues_R))
        drawn_DR += rng.standard_normal((draws, rows)) @ roots_RR.T
    return drawn_DR


def _shared_texts(values_RSN: np.ndarray, seeds: int) -> np.ndarray:
    """The covariance of rows, [R, R], that two seeds share by judging the same texts; 0 if they judge others.

    What texts add beyond it is in the variance between seeds.
    """
    residuals_RSN = np.nan_to_num(values_RSN - np.nanmean(values_RSN, axis=2, keepdims=True))
    counts_S = (~np.isnan(values_RSN[0])).sum(1)
    pairs = list(itertools.combinations(range(seeds), 2))
    total_RR = sum(
        residuals_RSN[:, first] @ residuals_RSN[:, second].T / (counts_S[first] * counts_S[second])
        for first, second in pairs
    )
    return (total_RR + total_RR.T) / (2 * len(pairs))
