"""Where two models disagree: an exact test for each pair of runs, and the texts they disagree on most.

Shapes: P pretraining seeds, S fine-tuning seeds, N test texts, R runs.
"""

from typing import NamedTuple

import numpy as np

from finetune.comparison.analysis.answers import Answers, LabelledTexts


class PairedTest(NamedTuple):
    """McNemar's exact test of a run of one model against a run of another, on the same labels and test texts."""

    label_budget: int
    model: str
    rival: str
    seed: int
    pretraining_seed: int | None
    only_model_right: int
    only_rival_right: int
    p_value: float


class Disagreement(NamedTuple):
    """A text on which two models disagree."""

    index: int
    text: str
    truth: str
    place: str
    model_share: float
    """The probability that the model gives the true label, mean over its runs; without probabilities, how many of its
    runs are right."""
    rival_share: float
    model_right: int
    """Runs that are right."""
    rival_right: int


def mcnemar(first_N: np.ndarray, second_N: np.ndarray) -> tuple[int, int, float]:
    """How many texts only the first got right, how many only the second, and the two-sided p value.

    Under the hypothesis of equal accuracy, either is as likely on a text where they differ (McNemar 1947, in the exact
    form): a binomial test with 1/2.

    >>> mcnemar(np.array([1, 1, 1, 1, 1, 1, 0, 1]), np.array([0, 0, 0, 0, 0, 0, 0, 1]))
    (6, 0, 0.03125)
    >>> mcnemar(np.ones(4), np.ones(4))
    (0, 0, 1.0)
    """
    import scipy.stats

    only_first, only_second = int(((first_N > 0) & (second_N == 0)).sum()), int(((second_N > 0) & (first_N == 0)).sum())
    discordant = only_first + only_second
    if not discordant:
        return 0, 0, 1.0
    return only_first, only_second, float(scipy.stats.binomtest(only_first, discordant, 0.5).pvalue)


def most_disagreed(
    texts: LabelledTexts,
    right: tuple[np.ndarray, np.ndarray],
    answers: tuple[Answers | None, Answers | None],
    most: int,
) -> tuple[list[Disagreement], list[Disagreement]]:
    """The texts that the model gets right and the rival wrong by the largest distance, and those the other way round.

    Args:
        texts: the N test texts.
        right: 1 where the runs of the model, and of its rival, are right, [R, N] each.
        answers: the probabilities of both, if there are any.
        most: texts on each side.
    """
    model_RN, rival_RN = right
    shares = [
        right_RN.mean(0) if answer is None else answer.truth_probability
        for right_RN, answer in zip(right, answers, strict=True)
    ]
    distance_N = shares[0] - shares[1]
    # Most runs of one are right and most of the other wrong: a text that both get right is no disagreement.
    differs_N = (model_RN.mean(0) > 0.5).astype(int) - (rival_RN.mean(0) > 0.5).astype(int)
    sides = []
    for sign in (1, -1):
        order = [int(index) for index in np.argsort(-sign * distance_N, kind="stable") if differs_N[index] == sign]
        sides.append(
            [
                Disagreement(
                    index,
                    texts.texts[index],
                    texts.truths[index],
                    texts.places[index],
                    float(shares[0][index]),
                    float(shares[1][index]),
                    int(model_RN[:, index].sum()),
                    int(rival_RN[:, index].sum()),
                )
                for index in order[:most]
            ]
        )
    return sides[0], sides[1]
