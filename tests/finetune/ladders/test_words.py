"""What a ladder says, in words that fit what was found."""

import dataclasses

import pytest

from finetune.comparison.intervals import Interval
from finetune.ladders.forecast import Forecast, Horizon, PowerLaw, RungScore, TextEffect
from finetune.ladders.words import sentences


def made(gain=(0.042, 0.021, 0.06), **keys):
    """A forecast as it may be, with the gain of the whole and half as much again of twice as much."""
    estimate, low, high = gain
    gains = [Interval(estimate, low, high), Interval(1.5 * estimate, 1.5 * low, 1.5 * high)]
    score = Interval(0.781, 0.76, 0.8)
    rungs = [
        RungScore(share, 1.0, f"{share:g} of it", None, 5e6 * share, 210 * share, 5 - share, score, [0.78, 0.78])
        for share in (0.125, 0.25, 0.5)
    ]
    found = Forecast(
        model="bert",
        label_budget=250,
        score="accuracy",
        confidence=0.95,
        seeds=10,
        pretraining_seeds=1,
        texts=500,
        rungs=rungs,
        horizons=[
            Horizon(times, 5e6 * times, 210 * times, Interval(0.781 + gain.estimate, 0.8, 0.9), gain, None)
            for times, gain in zip((1.0, 2.0), gains, strict=True)
        ],
        text_effects=[],
        rise=Interval(0.05, 0.03, 0.07),
        falls=[],
        curve=PowerLaw(0.85, 0.05, 0.5),
        loss_curve=None,
        at_longest=0.781,
        band=[],
        loss_band=[],
        misfit=0.4,
    )
    return dataclasses.replace(found, **keys)


def test_a_gain_with_what_it_costs():
    told = sentences(made())
    assert told[0] == (
        "By these rungs, the whole pretraining (5.0M tokens, about 3.5 minutes) would bring bert at 250 labels from "
        "78.1 at 0.5 of it to 82.3 % [80.0, 90.0], a gain of +4.2 [+2.1, +6.0] points; twice as much (7.0 minutes) "
        "84.4 [80.0, 90.0], +6.3 [+3.1, +9.0] points."
    )
    # 105 seconds for 4.2 points, then 210 for 2.1.
    assert told[1] == (
        "A point takes about 25 seconds from 0.5 of it to the whole pretraining, 1.7 minutes from the whole "
        "pretraining to twice as much, at the 23,810 tokens a second of the longest rung."
    )
    assert told[-1].startswith("Each rung was pretrained once.")
    assert len(sentences(made(pretraining_seeds=2))) == len(told) - 1


@pytest.mark.parametrize(
    ("keys", "doubt"),
    [
        ({"gain": (0.001, 0.0, 0.01)}, "No gain from more pretraining is shown."),
        ({"gain": (0.01, 0.002, 0.03)}, "how much cannot be told: the interval of the gain is wider than the gain."),
        ({"falls": [(0.125, 0.5)]}, "This cannot be told: the score falls from 0.125 to 0.5 of the duration"),
        ({"misfit": 0.01}, "The rungs scatter about their curve by more than"),
    ],
)
def test_a_curve_that_cannot_be_told(keys, doubt):
    found = " ".join(sentences(made(**keys)))
    assert doubt in found
    assert ("A point takes" in found) == ("misfit" in keys)
    assert doubt not in " ".join(sentences(made()))


def test_text_and_loss():
    effects = [
        TextEffect(share, 6000, Interval(estimate, estimate - 0.01, estimate + 0.01))
        for share, estimate in ((0.25, -0.03), (0.5, 0.004), (0.75, 0.02))
    ]
    found = made(text_effects=effects)
    horizons = [dataclasses.replace(horizon, loss=Interval(4.2, 4.1, 4.3)) for horizon in found.horizons]
    told = sentences(dataclasses.replace(found, horizons=horizons))
    assert "went from 4.875 to 4.500 over the rungs and would be 4.200 [4.100, 4.300] for the whole" in told[2]
    assert "-3.0 [-4.0, -2.0] points: text is short there, by at least 2.0 points" in told[3]
    assert told[3].endswith(", or one of the two pretraining runs had luck: with one seed of it, this cannot be told.")
    assert told[4].endswith("+0.4 [-0.6, +1.4] points: no effect shown.")
    assert "+2.0 [+1.0, +3.0] points: less text does no harm, or one of the two" in told[5]


def test_a_ladder_that_has_the_whole_asks_for_more():
    rungs = made().rungs
    found = made(rungs=[*rungs, dataclasses.replace(rungs[-1], step_share=1.0)])
    told = sentences(found)[0]
    assert told.startswith("By these rungs, 2 times the whole pretraining (10M tokens, about 7.0 minutes) would bring")
    assert "from 78.1 at the whole to 84.4 %" in told


def test_a_ladder_that_reaches_the_horizons_predicts_nothing():
    found = made(horizons=[dataclasses.replace(made().horizons[0], times=0.5)])
    assert len(sentences(found)) == 1
