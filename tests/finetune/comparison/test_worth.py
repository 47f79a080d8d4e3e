"""What pretraining is worth in labels, against simulations in which that is known."""

import numpy as np
import pytest
import scipy.stats

from finetune.comparison import worth
from finetune.comparison.intervals import difference_interval
from finetune.comparison.verdict import worth_sentence
from finetune.comparison.worth import labels_worth

BUDGETS = [250, 1000, 4000, 16000]
# Gains 4 points with each fourfold number of labels.
CURVE = (0.72, 0.76, 0.80, 0.84)


def answers(rng: np.random.Generator, accuracies: np.ndarray, texts: int = 2000, seeds: int = 3) -> np.ndarray:
    """Right and wrong answers, [models, seeds, texts], of models that find the same texts hard."""
    hardness_N = rng.normal(0, 1, texts)
    seed_effects = rng.normal(0, 0.004, (len(accuracies), seeds, 1))
    bias = np.quantile(hardness_N + rng.normal(0, 0.5, texts), accuracies)[:, None, None]
    noise = rng.normal(0, 0.5, (len(accuracies), seeds, texts))
    return (hardness_N + noise < bias + 3 * seed_effects).astype(float)


def worth_of(rng: np.random.Generator, accuracy: float):
    correct = answers(rng, np.array([accuracy, *CURVE]))
    return labels_worth("bert", 1000, correct[:1], correct[1:], BUDGETS, 0.95)


def test_a_planted_worth_is_within_the_interval_about_as_often_as_it_claims(monkeypatch) -> None:
    rng = np.random.default_rng(0)
    monkeypatch.setattr(worth, "DRAWS", 300)
    # As good as the others with 4,000 labels.
    found = [worth_of(rng, 0.80) for _ in range(60)]
    assert np.mean([one.low <= 3000 <= (one.high or np.inf) for one in found]) >= 0.9
    assert np.median([one.estimate for one in found if one.estimate is not None]) == pytest.approx(3000, rel=0.15)


def test_between_two_budgets_labels_count_by_their_logarithm() -> None:
    exact = np.array([0.78, *CURVE])[:, None, None] * np.ones((5, 2, 50))
    one = labels_worth("bert", 1000, exact[:1], exact[1:], BUDGETS, 0.95)
    assert one.estimate == pytest.approx(1000)
    assert (one.low, one.high) == pytest.approx((1000, 1000))


def test_no_gain_is_worth_nothing_and_more_than_all_labels_has_no_upper_end() -> None:
    rng = np.random.default_rng(1)
    nothing = worth_of(rng, 0.74)
    assert nothing.estimate == nothing.low == 0
    beyond = worth_of(rng, 0.9)
    assert beyond.estimate is None
    assert beyond.high is None
    assert 14000 < beyond.low <= 15000
    far = worth_of(rng, 0.99)
    assert (far.estimate, far.low, far.high) == (None, 15000, None)
    assert worth_sentence(far).startswith("That is worth more than 15,000 more labels")


def test_a_curve_that_dips_is_taken_as_level() -> None:
    exact = np.array([0.80, 0.72, 0.79, 0.78, 0.84])[:, None, None] * np.ones((5, 2, 50))
    one = labels_worth("bert", 250, exact[:1], exact[1:], BUDGETS, 0.95)
    assert one.estimate is not None
    assert 4000 - 250 < one.estimate < 6000


def test_where_more_labels_bring_nothing_the_least_number_counts() -> None:
    exact = np.array([0.80, 0.80, 0.78, 0.79, 0.90])[:, None, None] * np.ones((5, 2, 50))
    one = labels_worth("bert", 250, exact[:1], exact[1:], BUDGETS, 0.95)
    assert one.estimate == 0


def test_pretraining_seeds_are_drawn_too() -> None:
    others = np.array(CURVE)[:, None, None] * np.ones((4, 3, 50))
    for deviation in (0.001, 0.004):
        scores = 0.8 + deviation * np.array([-1, 0, 1])
        one = labels_worth("bert", 1000, scores[:, None, None] * np.ones((3, 3, 50)), others, BUDGETS, 0.95)
        assert one.high is not None
        # As of t with two degrees of freedom; four points are four times the labels.
        half_width = scipy.stats.t.ppf(0.975, 2) * deviation / np.sqrt(3)
        span = np.log((one.high + 1000) / (one.low + 1000))
        assert span == pytest.approx(2 * half_width / 0.04 * np.log(4), rel=0.15)


def of_seeds(rng: np.random.Generator, accuracies: np.ndarray, seeds: int, deviation: float) -> np.ndarray:
    """Scores that hang on the seed alone, [models, seeds, texts], on as many texts as are not few."""
    scores = accuracies[:, None] + deviation * rng.normal(size=(len(accuracies), seeds))
    return np.repeat(scores, 200).reshape(-1, seeds, 200)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_where_few_seeds_decide_the_interval_holds_the_truth_as_often_as_it_says(monkeypatch, seeds: int) -> None:
    monkeypatch.setattr(worth, "DRAWS", 400)
    held = 0
    for number in range(100):
        correct = of_seeds(np.random.default_rng([seeds, number]), np.array([0.80, *CURVE]), seeds, 0.01)
        one = labels_worth("bert", 1000, correct[:1], correct[1:], BUDGETS, 0.95)
        held += one.low <= 3000 <= (one.high or np.inf)
    assert held >= 89


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_an_equal_model_at_the_largest_budget_is_hardly_ever_said_to_do_worse(monkeypatch, seeds: int) -> None:
    monkeypatch.setattr(worth, "DRAWS", 400)
    said = 0
    for number in range(200):
        correct = of_seeds(np.random.default_rng([seeds, number]), np.array([0.80, 0.70, 0.80]), seeds, 0.02)
        one = labels_worth("bert", 250, correct[:1], correct[1:], [250, 2500], 0.95)
        said += one.low >= 2250
    # Two and a half of a hundred would be.
    assert said <= 12


def test_no_model_does_as_well_only_where_the_difference_at_the_largest_budget_is_shown() -> None:
    rows = np.array([[0.835, 0.842, 0.829], [0.77, 0.775, 0.765], [0.829, 0.825, 0.827]])
    correct = np.repeat(rows, 300).reshape(3, 3, 300)
    one = labels_worth("bert", 250, correct[:1], correct[1:], [250, 2500], 0.95)
    assert difference_interval(correct[:1], correct[2:], 0.95).low < 0
    assert one.low < 2250
    assert worth_sentence(one).startswith("That is worth at least")
    clear = labels_worth("bert", 250, correct[:1] + 0.05, correct[1:], [250, 2500], 0.95)
    assert clear.low == 2250
