"""Ladders of a known truth: what is planted is found, and intervals hold it as often as they say."""

import numpy as np
import pytest
import scipy.optimize
import scipy.special

from finetune.comparison.draws import mean_draws
from finetune.ladders.curve import fit, intervals, predict, predict_loss

SHARES = np.array([1 / 16, 1 / 8, 1 / 4, 1 / 2])
TRUTHS = {
    "steep": lambda tokens: 0.88 - 0.05 * tokens**-0.5,
    "slow": lambda tokens: 0.85 - 0.03 * tokens**-0.3,
    "saturated": lambda tokens: 0.85 - 0.002 * tokens**-1.5,
    "flat": lambda tokens: 0.8 + 0 * tokens,
}


def simulated(rng, truth_R, seeds=10, texts=50, shared=False, pretrainings=1, pretraining_deviation=0.0):
    """Judged texts, [R, P, S, N], whose expected score is the truth.

    Seeds differ by 1.5 points, each by another point from rung to rung; texts have their own difficulty.

    Args:
        rng: where the randomness comes from.
        truth_R: of each rung.
        seeds: S.
        texts: of each seed.
        shared: whether all seeds judge the same texts.
        pretrainings: P.
        pretraining_deviation: from one pretraining run to the next.
    """
    rungs, total = len(truth_R), texts if shared else texts * seeds
    values_RPSN = np.full((rungs, pretrainings, seeds, total), np.nan)
    difficulty_N = rng.standard_normal(total)
    level_S, own_RS = rng.normal(0, 0.015, seeds), rng.normal(0, 0.01, (rungs, seeds))
    pretrained_RP = rng.normal(0, pretraining_deviation, (rungs, pretrainings))
    for seed in range(seeds):
        judged = slice(None) if shared else slice(seed * texts, (seed + 1) * texts)
        noise_RPN = rng.standard_normal((rungs, pretrainings, texts))
        thresholds_RP = scipy.special.ndtri(truth_R[:, None] + level_S[seed] + own_RS[:, [seed]] + pretrained_RP)
        right_RPN = np.sqrt(0.6) * difficulty_N[judged] + np.sqrt(0.4) * noise_RPN < thresholds_RP[..., None]
        values_RPSN[:, :, seed, judged] = right_RPN
    return values_RPSN


def coverage(name, simulations=200, horizons=(1.0, 2.0, 4.0), draws=250, **design):
    """How often the intervals of 95 % hold the score, [H], and the gain, [H], and how often a gain is shown at all."""
    truth, places = TRUTHS[name], np.array(horizons)
    scores_H, gains_H, shown = np.zeros(len(places)), np.zeros(len(places)), 0
    for number in range(simulations):
        rng = np.random.default_rng(number)
        values = simulated(rng, truth(SHARES), **design)
        found = predict(SHARES, np.nanmean(values, 3).mean((1, 2)), mean_draws(values, rng, draws), places, 0.95)
        for horizon, place in enumerate(places):
            score, gain = truth(place), truth(place) - truth(SHARES[-1])
            scores_H[horizon] += found.scores[horizon].low <= score <= found.scores[horizon].high
            gains_H[horizon] += found.gains[horizon].low - 1e-9 <= gain <= found.gains[horizon].high
        shown += found.gains[0].low > 0
    return scores_H / simulations, gains_H / simulations, shown / simulations


@pytest.mark.parametrize(
    "design",
    [
        {},
        {"shared": True, "texts": 500},
        {"seeds": 5, "texts": 100, "pretrainings": 3, "pretraining_deviation": 0.01},
    ],
    ids=["own texts", "shared texts", "pretraining seeds"],
)
@pytest.mark.parametrize("name", TRUTHS)
def test_intervals_hold_the_truth_as_often_as_they_say(name, design):
    scores_H, gains_H, shown = coverage(name, **design)
    # Of 200: 0.95 varies by 0.015.
    assert scores_H.min() >= 0.9
    assert gains_H.min() >= 0.9
    if name == "flat":
        assert shown <= 0.08
    if name == "steep":
        assert shown >= 0.9


def test_a_single_pretraining_seed_that_decides_is_seen_in_the_scatter():
    scores_H, gains_H, _ = coverage("steep", pretraining_deviation=0.01)
    assert scores_H.min() >= 0.9
    assert gains_H.min() >= 0.9


def test_a_planted_gain_is_found():
    rng = np.random.default_rng(0)
    values = simulated(rng, TRUTHS["steep"](SHARES), seeds=40, texts=2000)
    found = predict(SHARES, np.nanmean(values, 3).mean((1, 2)), mean_draws(values, rng), np.array([1.0, 4.0]), 0.95)
    assert found.scores[0].estimate == pytest.approx(0.83, abs=0.01)
    assert found.scores[1].estimate == pytest.approx(0.855, abs=0.02)
    assert found.gains[0].low > 0
    assert found.misfit is not None
    assert found.misfit > 0.01


@pytest.mark.parametrize("noise", [0.0, 0.004])
def test_the_fit_is_that_of_scipy(noise):
    rng = np.random.default_rng(1)
    scores = 0.86 - 0.04 * SHARES**-0.4 + rng.normal(0, noise, (20, 4))
    curves = fit(SHARES, scores)

    def law(tokens, limit, size, exponent):
        return limit - size * tokens**-exponent

    for score, fitted, at_whole in zip(scores, curves.at(SHARES), curves.at(np.array([1.0]))[:, 0], strict=True):
        bounds = ([-1, 0, 0.02], [1, 1, 2])
        best, _ = scipy.optimize.curve_fit(law, SHARES, score, p0=[0.9, 0.05, 0.5], bounds=bounds, max_nfev=20_000)
        square = ((law(SHARES, *best) - score) ** 2).sum()
        # A grid of exponents is a little coarser; a local search may stop early.
        assert ((fitted - score) ** 2).sum() <= 1.1 * square + 3e-7
        assert at_whole == pytest.approx(law(1.0, *best), abs=0.002)


def test_limits_and_sizes_keep_their_bounds():
    # As steep as a straight line: without bounds far above 1.
    rising = fit(SHARES, (0.5 + 0.9 * SHARES)[None])
    assert rising.limit_D <= 1
    falling = fit(SHARES, (0.9 - 0.2 * SHARES)[None])
    assert falling.size_D == 0
    assert falling.at(np.array([1.0, 4.0])) == pytest.approx(np.full((1, 2), (0.9 - 0.2 * SHARES).mean()))
    loss = fit(SHARES, -(0.001 * SHARES**-1.0)[None], highest=0.0)
    assert loss.limit_D <= 0


def test_draws_are_those_of_student_where_seeds_decide():
    rng = np.random.default_rng(2)
    values = np.tile(rng.normal(0.8, 0.05, (2, 1, 4, 1)), (1, 1, 1, 30))
    found = values.mean((1, 2, 3))
    (first, _) = intervals(found, mean_draws(values, rng, 200_000), 0.95)
    half_width = scipy.stats.t.ppf(0.975, 3) * values[0, 0, :, 0].std(ddof=1) / 2
    assert (first.high - first.low) / 2 == pytest.approx(half_width, rel=0.03)


def test_texts_that_seeds_share_count_once():
    rng = np.random.default_rng(3)
    # The answers hang on texts alone.
    values = np.broadcast_to(rng.random((1, 1, 1, 400)) < 0.8, (3, 1, 5, 400)).astype(float)
    draws = mean_draws(values, rng, 20_000)
    assert draws.std(0) == pytest.approx(np.full(3, values[0, 0, 0].std() / 20), rel=0.05)
    # The same texts on all rungs: differences are certain.
    assert (draws[:, 0] - draws[:, 1]).std() < 1e-9


def test_the_loss_has_a_curve_of_its_own():
    horizons, rng = np.array([1.0, 2.0]), np.random.default_rng(4)
    losses = 2.0 + 0.5 * SHARES**-0.3
    found = predict_loss(SHARES, losses + rng.normal(0, 0.003, 4), horizons, 0.95, rng)
    assert found is not None
    assert found.scores[0].low <= 2.5 <= found.scores[0].high
    assert found.scores[0].estimate == pytest.approx(2.5, abs=0.03)
    assert found.scores[1].estimate < found.scores[0].estimate
    assert found.gains[0].estimate < 0
    assert predict_loss(SHARES[:3], losses[:3], horizons, 0.95, rng) is None


def test_the_interval_of_a_loss_holds_it_as_often_as_it_says():
    hits, horizons = 0, np.array([1.0])
    for number in range(300):
        rng = np.random.default_rng(number)
        losses = 2.0 + 0.5 * SHARES**-0.3 + rng.normal(0, 0.01, 4)
        found = predict_loss(SHARES, losses, horizons, 0.95, rng)
        assert found is not None
        hits += found.scores[0].low <= 2.5 <= found.scores[0].high
    assert hits / 300 >= 0.9
