"""Two models together: whether the mean of their probabilities is right more often than either alone.

Shapes: P pretraining seeds, S fine-tuning seeds, N test texts, C classes.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from finetune.comparison.analysis.answers import Answers, read_answers
from finetune.comparison.analysis.headline import Pair
from finetune.comparison.intervals import Interval, difference_interval, holm, score_interval
from finetune.comparison.summary import Evidence


class Together(NamedTuple):
    """What two models have together, at a label budget."""

    label_budget: int
    model: str
    rival: str
    accuracy: Interval
    over_model: Interval
    """The paired difference from the one alone."""
    over_rival: Interval
    """The same from the other."""
    is_ahead: bool = False
    """Whether it is shown to be ahead of both, by Holm for all differences of a comparison's pairs."""


def together(evidence: Evidence, pairs: Iterable[Pair]) -> list[Together]:
    """The accuracy of the mean of two models' probabilities, which are calibrated where the runs know how.

    Each run is put together with the one of the other model that had the same seed, and so the same labels. Pairs whose
    runs have stored no probabilities, or whose texts may have several labels, are left out.

    Args:
        evidence: of accuracy.
        pairs: of models, of one label budget each.
    """
    found = [one for pair in pairs if (one := _together(evidence, pair)) is not None]
    adjusted = holm([part.p_value for one in found for part in (one.over_model, one.over_rival)])
    level = 1 - evidence.confidence
    return [
        one._replace(is_ahead=max(first, second) < level and min(one.over_model.estimate, one.over_rival.estimate) > 0)
        for one, first, second in zip(found, adjusted[::2], adjusted[1::2], strict=True)
    ]


def _together(evidence: Evidence, pair: Pair) -> Together | None:
    budget = pair.label_budget
    first, second = (_probabilities(evidence, name, budget) for name in (pair.model, pair.rival))
    if first is None or second is None:
        return None
    labels_N = first[0].labels_N
    # P is 1 for a model without pretraining seeds.
    right_PSN = ((first[1] + second[1]).argmax(-1) == labels_N).astype(float)
    over_model, over_rival = (
        difference_interval(right_PSN, evidence.correct[name, budget], evidence.confidence)
        for name in (pair.model, pair.rival)
    )
    accuracy = score_interval(right_PSN, evidence.confidence)
    return Together(budget, pair.model, pair.rival, accuracy, over_model, over_rival)


def _probabilities(evidence: Evidence, model: str, budget: int) -> tuple[Answers, np.ndarray] | None:
    """The answers of a model's runs, and their probabilities by seeds, [P, S, N, C]."""
    answers = read_answers(evidence.runs[model, budget])
    if answers is None:
        return None
    seeds = evidence.correct[model, budget].shape[:2]
    return answers, answers.probabilities_RNC.reshape(*seeds, *answers.probabilities_RNC.shape[1:])
