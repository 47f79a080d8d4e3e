"""Intervals against known values and by simulation; verdicts read off the interval alone."""

import dataclasses
import math

import numpy as np
import pytest
import scipy.stats

from finetune.comparison.intervals import Interval, mean_interval
from finetune.comparison.scores import Gain, Score
from finetune.comparison.summary import family_of
from finetune.comparison.verdict import caution, failures, gain_sentence, is_pretrained_recurrent, points, verdict


def test_without_differences_between_seeds_the_interval_is_that_of_the_texts() -> None:
    answers_N = np.random.default_rng(0).integers(0, 2, 400).astype(float)
    found = mean_interval(np.stack([answers_N] * 3), 0.95)
    half = scipy.stats.norm.ppf(0.975) * math.sqrt(answers_N.var(ddof=1) / 400)
    assert found.estimate == pytest.approx(answers_N.mean())
    assert found.high - found.estimate == pytest.approx(half, rel=1e-6)


def test_without_differences_between_texts_the_interval_is_the_t_interval_of_the_seeds() -> None:
    seeds_S = np.array([0.1, 0.2, 0.6])
    found = mean_interval(np.repeat(seeds_S[:, None], 50, axis=1), 0.95)
    low, high = scipy.stats.t.interval(0.95, 2, seeds_S.mean(), scipy.stats.sem(seeds_S))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_the_variance_is_that_of_a_worked_example() -> None:
    # Seeds' means 0.5 and 1.0, texts' means 1, 0.5, 1, 0.5 around 0.75; by hand: MS_seed 0.5, MS_text 1/6, MS_rest 1/6.
    values_SN = np.array([[1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    found = mean_interval(values_SN, 0.9)
    half = scipy.stats.t.ppf(0.95, 1) * math.sqrt(0.5 / 8)
    assert found.high - found.estimate == pytest.approx(half)


def test_intervals_cover_the_truth_about_as_often_as_they_claim() -> None:
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(600):
        seeds_S, texts_N = rng.normal(0, 0.05, 4), rng.normal(0, 0.5, 80)
        values_SN = 0.3 + seeds_S[:, None] + texts_N[None] + rng.normal(0, 0.5, (4, 80))
        found = mean_interval(values_SN, 0.95)
        covered.append(found.low <= 0.3 <= found.high)
    assert 0.92 <= np.mean(covered) <= 0.995


def test_ignoring_the_seeds_would_be_overconfident() -> None:
    rng = np.random.default_rng(2)
    values_SN = rng.normal(0, 0.3, 3)[:, None] + rng.normal(0, 0.1, (3, 1000))
    pooled = scipy.stats.sem(values_SN.ravel())
    found = mean_interval(values_SN, 0.95)
    assert found.high - found.low > 10 * 2 * 1.96 * pooled


def test_one_seed_gives_no_interval() -> None:
    with pytest.raises(ValueError, match="two seeds"):
        mean_interval(np.ones((1, 10)), 0.95)


def test_equal_answers_give_an_interval_of_no_width() -> None:
    assert mean_interval(np.ones((3, 10)), 0.95) == Interval(1.0, 1.0, 1.0)


def score(model: str, difference: Interval | None) -> Score:
    family, pretrained = family_of(model)
    accuracy = Interval(0.8, 0.7, 0.9)
    return Score(model, 1000, [0.8, 0.8], accuracy, 0.0, 0.8, 0.6, 0.8, 1.0, 10, difference, family, pretrained, 50)


@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        (
            Interval(0.031, 0.012, 0.05),
            "Pretraining gains +3.1 [+1.2, +5.0] points at 1,000 labels over the recurrent baseline (lstm, "
            "chosen on 50 validation texts).",
        ),
        (
            Interval(-0.031, -0.05, -0.012),
            "Pretraining loses -3.1 [-5.0, -1.2] points at 1,000 labels over the recurrent baseline (lstm, "
            "chosen on 50 validation texts).",
        ),
        (
            Interval(0.031, -0.012, 0.07),
            "No difference shown at 1,000 labels: pretraining's +3.1 [-1.2, +7.0] points over the recurrent "
            "baseline (lstm, chosen on 50 validation texts).",
        ),
        (
            Interval(0.031, 0.031, 0.031),
            "No difference shown at 1,000 labels: pretraining's +3.1 [+3.1, +3.1] points over the recurrent "
            "baseline (lstm, chosen on 50 validation texts).",
        ),
    ],
)
def test_the_verdict_follows_from_the_interval(difference: Interval, expected: str) -> None:
    assert verdict([score("lstm", None), score("bert", difference)], 1000, "lstm") == expected


def test_without_bert_there_is_no_verdict() -> None:
    assert "no verdict" in verdict([score("lstm", None)], 1000, "lstm")


def test_a_verdict_does_not_hide_that_counting_words_does_better() -> None:
    sentence = " But bag-of-words is ahead of bert by +5.0 [+2.0, +8.0] points."
    assert caution("bert", "bag-of-words", Interval(0.05, 0.02, 0.08)) == sentence
    assert caution("bert", "bag-of-words", Interval(0.05, -0.02, 0.12)) == ""
    assert caution("bert", "bag-of-words", Interval(-0.05, -0.08, -0.02)) == ""


def test_every_pretrained_encoder_gets_a_verdict_whatever_it_is_called() -> None:
    gain = Interval(0.031, 0.012, 0.05)
    rows = [score("lstm", None), score("runs/pretrain/mine", gain), score("bert-scratch", gain), score("lm-lstm", gain)]
    assert verdict(rows, 1000, "lstm") == (
        "Pretraining gains +3.1 [+1.2, +5.0] points at 1,000 labels over the recurrent baseline (lstm, chosen on 50 "
        "validation texts), as runs/pretrain/mine."
    )


def test_two_seeds_do_not_claim_more_than_they_know() -> None:
    rng = np.random.default_rng(3)
    covered = []
    for _ in range(400):
        seeds_S, texts_N = rng.normal(0, 0.1, 2), rng.normal(0, 0.3, 200)
        found = mean_interval(0.1 + seeds_S[:, None] + texts_N[None] + rng.normal(0, 0.3, (2, 200)), 0.95)
        covered.append(found.low <= 0.1 <= found.high)
    assert np.mean(covered) >= 0.93, "0.87 with the estimated degrees of freedom"


def test_runs_that_learned_nothing_are_counted_in_the_verdict() -> None:
    rows = [score("lstm", None), score("bert", Interval(0.1, -0.2, 0.4))]
    assert failures(rows, 1000) == ""
    rows[1] = dataclasses.replace(rows[1], failed_runs=1)
    assert failures(rows, 1000) == " Runs no better than the majority label: 1 of 2 of bert."
    assert failures(rows, 250) == ""


@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        (Interval(0.1, 0.05, 0.15), "lm-lstm gains +10.0 [+5.0, +15.0] points over the same model from scratch."),
        (Interval(-0.1, -0.15, -0.05), "lm-lstm loses -10.0 [-15.0, -5.0] points over the same model from scratch."),
        (
            Interval(0.1, -0.05, 0.25),
            "lm-lstm: no difference shown to the same model from scratch, +10.0 [-5.0, +25.0] points.",
        ),
    ],
)
def test_a_gain_is_judged_by_its_interval(difference: Interval, expected: str) -> None:
    assert gain_sentence(Gain("lm-lstm", 250, difference)) == expected


def test_points_have_a_sign() -> None:
    assert (points(0.0312), points(-0.004), points(0)) == ("+3.1", "-0.4", "+0.0")


def test_only_recurrent_models_with_pretraining_are_pretrained_recurrent_models() -> None:
    rows = [dataclasses.replace(score("x", None), family=f, pretrained=p) for f, p in
            (("recurrent", True), ("recurrent", False), ("encoder", True))]  # fmt: skip
    assert [is_pretrained_recurrent(row) for row in rows] == [True, False, False]
