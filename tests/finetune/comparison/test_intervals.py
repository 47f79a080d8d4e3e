"""Intervals against known values and by simulation; verdicts read off the interval alone."""

import dataclasses
import math

import numpy as np
import pytest
import scipy.stats

from finetune.comparison.intervals import (
    Interval,
    crossed_interval,
    difference_interval,
    holm,
    mean_interval,
    planned_detectable,
    score_interval,
)
from finetune.comparison.scores import Gain, Lead, Score
from finetune.comparison.summary import answers, family_of
from finetune.comparison.verdict import failures, gain_sentence, is_pretrained_recurrent, points, verdict


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
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-4)


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


def tell(*rows: Score, best: str = "lstm", recurrent: str | None = "lstm", margin: float = 0.01, **parts: list) -> str:
    found = answers(rows, {1000: best}, margin, 0.05)
    return verdict(rows, 1000, found, parts.get("worths", []), parts.get("leads", []), [], recurrent)


@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        (
            Interval(0.031, 0.012, 0.05, 0.01, 0.02),
            "At 1,000 labels take bert: 80.0 %, +3.1 [+1.2, +5.0] points over lstm, the best model without pretraining "
            "(chosen on 50 validation texts).",
        ),
        (
            Interval(-0.031, -0.05, -0.012, 0.01, 0.02),
            "At 1,000 labels take lstm, the best model without pretraining (chosen on 50 validation texts): 80.0 % on "
            "test texts; bert differs by -3.1 [-5.0, -1.2] points.",
        ),
        (
            Interval(0.031, -0.012, 0.07, 0.1, 0.055),
            "At 1,000 labels no difference shown: bert differs by +3.1 [-1.2, +7.0] points from lstm, the best model "
            "without pretraining (chosen on 50 validation texts). Differences under 5.5 points could hardly be shown.",
        ),
        (
            Interval(0.002, -0.004, 0.008, 0.5, 0.01),
            "At 1,000 labels no difference that matters: bert differs by +0.2 [-0.4, +0.8] points from lstm, the best "
            "model without pretraining (chosen on 50 validation texts).",
        ),
        (
            Interval(0.031, 0.031, 0.031),
            "At 1,000 labels no difference shown: bert differs by +3.1 [+3.1, +3.1] points from lstm, the best model "
            "without pretraining (chosen on 50 validation texts).",
        ),
    ],
)
def test_the_verdict_follows_from_the_interval(difference: Interval, expected: str) -> None:
    assert tell(score("lstm", None), score("bert", difference)) == expected


def test_without_bert_there_is_no_verdict() -> None:
    assert "no verdict" in tell(score("lstm", None))


def test_a_verdict_does_not_hide_that_another_model_does_better() -> None:
    gain = Interval(0.031, 0.012, 0.05, 0.01, 0.02)
    rows = score("lstm", None), score("bert", gain), score("lm-lstm", gain), score("bag-of-words", gain)
    lead = Lead("bert", "lm-lstm", 1000, Interval(-0.05, -0.08, -0.02), 0.01, True)
    assert tell(*rows, leads=[lead]).endswith(" But lm-lstm is ahead of bert by +5.0 [+2.0, +8.0] points.")
    # The second excludes zero, but not by enough for all that was looked at.
    cases = ((-0.05, -0.12, 0.02), False), ((-0.05, -0.09, -0.01), False), ((0.05, 0.02, 0.08), True)
    for ends, shown in cases:
        one, other = (Lead("bert", rival, 1000, Interval(*ends), 0.5, shown) for rival in ("lm-lstm", "bag-of-words"))
        assert "ahead of" not in tell(*rows, leads=[one])
        assert "Over lm-lstm, pretrained, too:" in tell(*rows, leads=[one])
        assert "bag-of-words" not in tell(*rows, leads=[other])


def test_every_pretrained_encoder_gets_a_verdict_whatever_it_is_called() -> None:
    gain = Interval(0.031, 0.012, 0.05, 0.01, 0.02)
    rows = [score("lstm", None), score("runs/pretrain/mine", gain), score("bert-scratch", gain), score("lm-lstm", gain)]
    assert tell(*rows).startswith("At 1,000 labels take runs/pretrain/mine: 80.0 %, +3.1")


def test_two_looks_at_the_same_chance_need_stronger_evidence() -> None:
    row = score("bert", Interval(0.031, 0.001, 0.061, 0.04, 0.04))
    rows = [row, dataclasses.replace(row, label_budget=250)]
    assert [answer.outcome for answer in answers(rows[:1], {1000: "lstm"}, 0.01, 0.05)] == ["ahead"]
    both = answers(rows, {1000: "lstm", 250: "lstm"}, 0.01, 0.05)
    assert [answer.outcome for answer in both] == ["not shown", "not shown"]
    assert [answer.adjusted_p_value for answer in both] == pytest.approx([0.08, 0.08])


def test_families_of_true_nothings_are_wrong_in_one_of_twenty() -> None:
    rng = np.random.default_rng(5)
    wrong = []
    for _ in range(400):
        values = [rng.normal(0, 0.02, (3, 1)) + rng.normal(0, 0.3, (3, 200)) for _ in range(4)]
        wrong.append(min(holm([mean_interval(values_SN, 0.95).p_value for values_SN in values])) < 0.05)
    assert np.mean(wrong) <= 0.05


def test_the_p_value_and_the_interval_say_the_same() -> None:
    rng = np.random.default_rng(6)
    for shift in (0.0, 0.02, 0.05, 0.1):
        found = mean_interval(shift + rng.normal(0, 0.02, (3, 1)) + rng.normal(0, 0.3, (3, 300)), 0.95)
        assert found.p_value is not None
        assert (found.p_value < 0.05) == found.excludes_zero


def test_a_detectable_difference_is_found_four_times_in_five() -> None:
    rng = np.random.default_rng(7)
    planned = planned_detectable(5, 1000, 0.95)
    found = []
    for _ in range(400):
        # A tenth of the texts on which one of two models is right; seeds differ by a point.
        texts_N = rng.choice([-1.0, 0.0, 1.0], p=[0.05, 0.9, 0.05], size=1000)
        values_SN = planned + rng.normal(0, 0.01, (5, 1)) + np.repeat(texts_N[None], 5, axis=0)
        found.append(mean_interval(values_SN, 0.95).excludes_zero)
    assert 0.7 <= np.mean(found) <= 0.9


@pytest.mark.parametrize("deviation", [0.0, 0.005, 0.02, 0.05])
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_intervals_cover_whether_seeds_or_texts_decide(seeds: int, deviation: float) -> None:
    # A tenth of the texts on which one of two models is right, some of it by chance of the seed.
    rng = np.random.default_rng(8)
    missed = []
    for _ in range(400):
        texts_N = rng.choice([-1.0, 0.0, 1.0], p=[0.03, 0.94, 0.03], size=1500)
        values_SN = rng.normal(0, deviation, (seeds, 1)) + texts_N[None] + rng.normal(0, 0.2, (seeds, 1500))
        found = mean_interval(values_SN, 0.95)
        missed.append(not found.low <= 0 <= found.high)
    # Of 400 with 5 %: 0.083 is three standard errors above. Far too wide ones would miss less.
    assert np.mean(missed) <= 0.083
    assert np.mean(missed) >= (0.0 if seeds == 2 else 0.005)


@pytest.mark.parametrize(("pretraining", "tuning"), [(0.0, 0.0), (0.01, 0.003), (0.003, 0.01), (0.02, 0.02)])
def test_three_pretraining_seeds_of_three_runs_cover_the_truth(pretraining: float, tuning: float) -> None:
    rng = np.random.default_rng(9)
    covered = []
    for _ in range(1000):
        runs_PS = rng.normal(0, pretraining, (3, 1)) + rng.normal(0, tuning, (1, 3)) + rng.normal(0, 0.003, (3, 3))
        texts_N = rng.choice([-1.0, 0.0, 1.0], p=[0.05, 0.9, 0.05], size=500)
        values_PSN = runs_PS[:, :, None] + texts_N + rng.normal(0, 0.1, (3, 3, 500))
        found = crossed_interval(values_PSN, 0.95)
        covered.append(found.low <= 0 <= found.high)
    assert 0.925 <= np.mean(covered) <= 0.975


@pytest.mark.parametrize(
    ("shape", "pretraining", "tuning", "lowest"),
    [
        # One kind of seed decides.
        ((3, 3), 0.03, 0.0, 0.91),
        ((3, 3), 0.0, 0.03, 0.91),
        ((2, 3), 0.03, 0.0, 0.92),
        ((2, 5), 0.03, 0.0, 0.92),
        ((2, 3), 0.0, 0.03, 0.93),
        ((5, 5), 0.03, 0.003, 0.93),
    ],
)
def test_pretraining_seeds_that_decide_are_covered(
    shape: tuple[int, int], pretraining: float, tuning: float, lowest: float
) -> None:
    rng = np.random.default_rng(10)
    covered = []
    for _ in range(400):
        runs_PS = rng.normal(0, pretraining, (shape[0], 1)) + rng.normal(0, tuning, (1, shape[1]))
        # Of a text, what all runs have in common, and what the chance of each run adds to the mean.
        texts_N = rng.choice([-1.0, 0.0, 1.0], p=[0.05, 0.9, 0.05], size=500)
        values_PSN = runs_PS[:, :, None] + texts_N + rng.normal(0, 0.1, (*shape, 1)) * (texts_N != 0)
        found = crossed_interval(values_PSN, 0.95)
        covered.append(found.low <= 0 <= found.high)
    assert lowest <= np.mean(covered) <= 0.995


def test_seeds_that_coincide_are_no_certainty() -> None:
    # Once, the means of both seeds were the same, no text was wrong twice, and the interval had no width.
    values_SN = np.zeros((2, 40))
    for seed, (ahead, behind) in enumerate(((0, 4), (8, 12))):
        values_SN[seed, ahead : ahead + 4], values_SN[seed, behind : behind + 4] = 1, -1
    found = mean_interval(values_SN, 0.95)
    assert found.estimate == 0
    assert found.high == pytest.approx(-found.low)
    assert 0.05 < found.high < 0.2
    assert crossed_interval(np.stack([values_SN, -values_SN]), 0.95).high > 0.05
    # Where nothing differs at all, nothing is uncertain.
    assert mean_interval(np.ones((2, 40)), 0.95) == Interval(1.0, 1.0, 1.0)


def test_four_texts_of_twelve_are_no_verdict() -> None:
    # Once, +33 points [+5.5, +61.2], where McNemar's exact test has a p value of 0.125.
    right_PSN = np.tile(np.arange(12) < 10, (1, 3, 1)).astype(float)
    wrong_PSN = np.tile(np.arange(12) < 6, (1, 3, 1)).astype(float)
    found = difference_interval(right_PSN, wrong_PSN, 0.95)
    assert found.estimate == pytest.approx(1 / 3)
    assert not found.excludes_zero
    assert found.p_value is not None
    assert found.p_value > 0.05
    # Nor are they by F1, whose values are no shares of right answers.
    assert not difference_interval(right_PSN * 0.99, wrong_PSN * 0.99, 0.95).excludes_zero
    # The p value is of the data alone, whatever the confidence level.
    assert difference_interval(right_PSN, wrong_PSN, 0.8).p_value == pytest.approx(found.p_value)
    # All right is no certainty, either.
    assert 0.8 < score_interval(np.ones((1, 3, 40)), 0.95).low < 0.95
    assert score_interval(np.ones((1, 3, 40)), 0.95).high == 1.0


@pytest.mark.parametrize("pretrainings", [1, 2, 3])
@pytest.mark.parametrize("texts", [12, 40, 150])
def test_few_texts_are_covered_where_seeds_agree(texts: int, pretrainings: int) -> None:
    # Once, the interval of a score of 80 % covered it in 90 of 100 cases with 12 texts, 89 with 40.
    rng, covered, wrong = np.random.default_rng(texts), [], []
    for _ in range(400):
        first_N, second_N = (rng.random(texts) < 0.8 for _ in range(2))
        first, second = (np.tile(one, (pretrainings, 3, 1)).astype(float) for one in (first_N, second_N))
        score_found, found = score_interval(first, 0.95), difference_interval(first, second, 0.95)
        covered.append(score_found.low <= 0.8 <= score_found.high)
        wrong.append(found.excludes_zero)
        assert 0 <= score_found.low <= score_found.estimate <= score_found.high <= 1
    assert np.mean(covered) >= 0.93
    assert np.mean(wrong) <= 0.06


def test_no_interval_exceeds_what_can_be() -> None:
    values_PSN = np.random.default_rng(0).normal(0, 3, (1, 2, 50))
    found = difference_interval(values_PSN, -values_PSN, 0.95)
    assert (found.low, found.high) == (-1, 1)


def test_no_difference_is_foretold_that_the_texts_cannot_have() -> None:
    for seeds, texts in ((2, 12), (2, 40), (3, 100)):
        planned = planned_detectable(seeds, texts, 0.95)
        assert planned_detectable(seeds, 2 * texts, 0.95) < planned < 1
    assert planned_detectable(5, 2, 0.95) <= 1
    rng, shown = np.random.default_rng(4), []
    planned = planned_detectable(3, 40, 0.95)
    for _ in range(400):
        # Whoever is ahead by so much alone is right where they differ.
        values_SN = np.tile((rng.random(40) < planned).astype(float), (3, 1)) + rng.normal(0, 0.01, (3, 1))
        shown.append(mean_interval(values_SN, 0.95).excludes_zero)
    assert 0.75 < np.mean(shown) < 0.95


def test_who_looks_more_often_can_detect_less() -> None:
    values_SN = np.random.default_rng(0).normal(0, 0.3, (3, 200))
    once, thrice = (mean_interval(values_SN, 0.95, looks) for looks in (1, 3))
    assert (once.low, once.high, once.p_value) == (thrice.low, thrice.high, thrice.p_value)
    assert once.detectable is not None
    assert thrice.detectable is not None
    # It takes what a 98.3 % interval would.
    wider = mean_interval(values_SN, 1 - 0.05 / 3)
    assert thrice.detectable - once.detectable == pytest.approx(
        (wider.high - wider.low) / 2 - (once.high - once.low) / 2
    )


def test_one_pretraining_seed_gives_the_interval_of_its_runs() -> None:
    values_SN = np.random.default_rng(0).integers(0, 2, (3, 40)).astype(float)
    assert crossed_interval(values_SN[None], 0.95) == mean_interval(values_SN, 0.95)


def test_pretraining_seeds_that_differ_widen_the_interval() -> None:
    rng = np.random.default_rng(1)
    values_SN = rng.normal(0, 0.3, (3, 200))
    alike = np.stack([values_SN + rng.normal(0, 0.01, values_SN.shape) for _ in range(3)])
    apart = alike + np.array([-0.1, 0.0, 0.1])[:, None, None]
    widths = [(found.high - found.low) for found in (crossed_interval(values, 0.95) for values in (alike, apart))]
    assert widths[1] > 2 * widths[0]


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
    assert failures(rows, 1000) == " Runs not shown to be better than the majority label: 1 of 2 of bert."
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
def test_a_gain_is_told_as_such_where_it_is_shown(difference: Interval, expected: str) -> None:
    assert gain_sentence(Gain("lm-lstm", 250, difference, 0.01, difference.excludes_zero)) == expected
    assert "no difference shown" in gain_sentence(Gain("lm-lstm", 250, difference, 0.06, False))


def test_points_have_a_sign() -> None:
    assert [points(share) for share in (0.0312, -0.004, 0, -0.0003)] == ["+3.1", "-0.4", "+0.0", "+0.0"]


def test_only_recurrent_models_with_pretraining_are_pretrained_recurrent_models() -> None:
    rows = [dataclasses.replace(score("x", None), family=f, pretrained=p) for f, p in
            (("recurrent", True), ("recurrent", False), ("encoder", True))]  # fmt: skip
    assert [is_pretrained_recurrent(row) for row in rows] == [True, False, False]


def test_a_difference_that_cannot_be_is_not_foretold():
    hardness_N = np.random.default_rng(1).random(500)
    one, other = (
        np.stack([(hardness_N < share).astype(float) for share in shares])[None]
        for shares in ((0.80, 0.86), (0.78, 0.79))
    )
    # With four looks, two seeds so far apart would show differences of 152 points and more.
    assert difference_interval(one, other, 0.95, looks=4).detectable == 1
    once = difference_interval(one, other, 0.95)
    assert once.detectable is not None
    assert once.detectable < 1
    few = np.array([[[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]]), np.array([[[0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]])
    assert difference_interval(*few, 0.95).detectable == 1
