"""Exact tests of single runs, and the texts on which models disagree, against known answers."""

import numpy as np
import pytest
import scipy.stats

from finetune.comparison.analysis.answers import Answers, LabelledTexts
from finetune.comparison.analysis.classes import reliability
from finetune.comparison.analysis.disagreement import mcnemar, most_disagreed


def test_mcnemar_is_the_binomial_test_of_the_texts_where_they_differ() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 2, 300), rng.integers(0, 2, 300)
    only_first, only_second, p_value = mcnemar(first, second)
    assert only_first == np.sum(first > second)
    assert only_second == np.sum(second > first)
    # Twice the smaller tail.
    tail = scipy.stats.binom.cdf(min(only_first, only_second), only_first + only_second, 0.5)
    assert p_value == pytest.approx(min(1.0, 2 * tail))


def test_models_of_the_same_accuracy_are_told_apart_in_one_of_twenty_at_most() -> None:
    rng = np.random.default_rng(1)
    found = [mcnemar(rng.integers(0, 2, 100), rng.integers(0, 2, 100))[2] < 0.05 for _ in range(1000)]
    assert 0.01 < np.mean(found) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1000)


def answers(truth_shares_N: list[float]) -> Answers:
    shares_N = np.array(truth_shares_N)
    probabilities = np.stack([np.stack([shares_N, 1 - shares_N], axis=1)] * 2)
    return Answers(["a", "b"], np.zeros(len(shares_N), dtype=int), probabilities.argmax(2), probabilities, True)


def test_the_planted_text_comes_first_and_agreement_is_left_out() -> None:
    texts = LabelledTexts([f"text {n}" for n in range(5)], ["a"] * 5, [f"f, row {n}" for n in range(5)])
    # Both right by far, the model alone, by a hair, the rival alone, both wrong.
    model, rival = answers([0.99, 0.9, 0.51, 0.1, 0.4]), answers([0.51, 0.2, 0.49, 0.8, 0.0])
    right = tuple((one.predictions_RN == 0).astype(float) for one in (model, rival))
    ours, theirs = most_disagreed(texts, (right[0], right[1]), (model, rival), 5)
    assert [one.index for one in ours] == [1, 2]
    assert [one.index for one in theirs] == [3]
    assert (ours[0].model_share, ours[0].rival_share) == pytest.approx((0.9, 0.2))
    assert (ours[0].model_right, ours[0].rival_right) == (2, 0)
    assert [one.index for one in most_disagreed(texts, (right[0], right[1]), (None, None), 1)[0]] == [1]


def test_confidence_that_is_right_so_often_has_no_calibration_error() -> None:
    rng = np.random.default_rng(2)
    confidence_N = rng.uniform(0.5, 1.0, 20_000)
    probabilities = np.stack([confidence_N, 1 - confidence_N], axis=1)[None]
    labels_N = (rng.random(20_000) > confidence_N).astype(int)
    honest = reliability(Answers(["a", "b"], labels_N, probabilities.argmax(2), probabilities, True))
    assert honest.calibration_error < 0.01
    sure = np.stack([np.full(20_000, 0.99), np.full(20_000, 0.01)], axis=1)[None]
    boasting = reliability(Answers(["a", "b"], labels_N, sure.argmax(2), sure, True))
    assert boasting.calibration_error == pytest.approx(0.99 - (labels_N == 0).mean())
    assert boasting.brier > honest.brier
    assert sum(part.answers for part in honest.bins) == 20_000
