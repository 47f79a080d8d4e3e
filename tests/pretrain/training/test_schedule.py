"""The learning-rate schedule, durations, and phases."""

import dataclasses
import math

import pytest
import torch
from transformers import get_scheduler

from configs.errors import InputError
from pretrain.training.config import OptimizerConfig
from pretrain.training.schedule import Duration, learning_rate, parse_phases


def test_the_rate_rises_to_its_peak_and_falls_to_zero():
    config = OptimizerConfig(learning_rate=2.0, warmup=0.2)
    rates = [learning_rate(progress / 10, config) for progress in range(11)]
    assert rates == pytest.approx([0, 1, 2, 1.75, 1.5, 1.25, 1, 0.75, 0.5, 0.25, 0])
    assert learning_rate(1.3, config) == 0


@pytest.mark.parametrize(
    ("keys", "peer", "options"),
    [
        ({"schedule": "linear"}, "linear", {}),
        ({"schedule": "cosine"}, "cosine", {}),
        ({"schedule": "warmup_stable_decay", "decay_share": 0.3}, "warmup_stable_decay", {"num_decay_steps": 30}),
    ],
)
def test_schedules_are_those_of_transformers(keys, peer, options):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    if options:
        options |= {"decay_type": "1-sqrt"}
    schedule = get_scheduler(
        peer, optimizer, num_warmup_steps=20, num_training_steps=100, scheduler_specific_kwargs=options
    )
    config = OptimizerConfig(learning_rate=2.0, warmup=0.2, **keys)
    for step in range(101):
        assert learning_rate(step / 100, config) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9), step
        optimizer.step()
        schedule.step()
    assert learning_rate(1.2, config) == 0


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"schedule": "cosine", "decay_from": "start"}, "decay_from: `start` is for schedule linear"),
        ({"schedule": "warmup_stable_decay", "warmup": 0.9}, "shares of one run"),
        ({"ema_decay": 1.0}, "ema_decay"),
    ],
)
def test_schedules_that_cannot_be_are_refused(keys, message):
    with pytest.raises(InputError, match=message):
        OptimizerConfig(**keys)


@pytest.mark.parametrize(("warmup", "expected"), [(0.0, [1.0, 0.5, 0.0]), (1.0, [0.0, 0.5, 0.0])])
def test_a_run_may_have_no_warm_up_or_nothing_else(warmup, expected):
    config = OptimizerConfig(learning_rate=1.0, warmup=warmup)
    assert [learning_rate(progress, config) for progress in (0.0, 0.5, 1.0)] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2 epochs", (2.0, "epochs", 0, math.inf)),
        ("1 epoch", (1.0, "epochs", 0, math.inf)),
        ("0.5 epochs", (0.5, "epochs", 0, math.inf)),
        ("1000 steps", (1000.0, "steps", 0, math.inf)),
        ("1_000 steps", (1000.0, "steps", 0, math.inf)),
        ("50M tokens", (5e7, "tokens", 0, math.inf)),
        ("2k steps", (2000.0, "steps", 0, math.inf)),
        ("1.5G tokens", (1.5e9, "tokens", 0, math.inf)),
        (" 4 epochs , at least 300 steps ", (4.0, "epochs", 300, math.inf)),
        ("4 epochs, at least 300 steps, at most 2000 steps", (4.0, "epochs", 300, 2000)),
        ("30 minutes,at most 20 steps", (1800.0, "seconds", 0, 20)),
    ],
)
def test_durations_are_read_with_their_unit(text, expected):
    found = Duration.parse(text)
    assert dataclasses.astuple(found) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3",
        "epochs",
        "0 epochs",
        "-1 epochs",
        "3 weeks",
        "1.2.3 epochs",
        "2 epochs 5",
        "2 epochs, 300 steps",
        "_ steps",
        "2 epochs, at most 9 steps, at least 3 steps",
    ],
)
def test_what_is_no_duration_is_refused_with_examples(text):
    with pytest.raises(InputError, match=r"training\.duration: .* is not a duration; write `2 epochs`"):
        Duration.parse(text)


def test_progress_is_the_share_of_the_unit_and_waits_for_the_least_steps():
    assert Duration.parse("4 epochs").progress(1.0, 99, 99, 9.0) == 0.25
    assert Duration.parse("100 steps").progress(9.0, 25, 99, 9.0) == 0.25
    assert Duration.parse("1k tokens").progress(9.0, 99, 250, 9.0) == 0.25
    patient = Duration.parse("1 epoch, at least 40 steps")
    assert patient.progress(1.0, 10, 0, 9.0) == 0.25
    assert patient.progress(1.0, 40, 0, 9.0) == 1
    assert patient.progress(0.5, 400, 0, 9.0) == 0.5
    bounded = Duration.parse("10 epochs, at least 40 steps, at most 80 steps")
    assert bounded.progress(10.0, 30, 0, 9.0) == 0.75
    assert bounded.progress(5.0, 50, 0, 9.0) == 50 / 80
    assert bounded.progress(1.0, 80, 0, 9.0) == 1
    assert bounded.times(0.5) == "5 epochs, at least 20 steps, at most 40 steps"


@pytest.mark.parametrize("bounds", ["at least 9 steps, at most 8 steps", "at most 0 steps"])
def test_bounds_that_exclude_each_other_are_refused(bounds):
    with pytest.raises(InputError, match=r"training\.duration: .* has fewer steps at most"):
        Duration.parse(f"2 epochs, {bounds}")


def test_the_decay_of_the_original_is_measured_from_the_start():
    config = OptimizerConfig(learning_rate=1.0, warmup=0.2, decay_from="start")
    assert [learning_rate(done, config) for done in (0.1, 0.2, 0.5)] == pytest.approx([0.5, 0.8, 0.5])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90% at 128, then 10% at 512", [(0.9, 128), (1.0, 512)]),
        ("100 % at 64", [(1.0, 64)]),
        ("25% at 32, 25% at 64, then 50% at 96", [(0.25, 32), (0.5, 64), (1.0, 96)]),
        ("33.3% at 32, then 33.3% at 64, then 33.4% at 96", [(0.333, 32), (0.666, 64), (1.0, 96)]),
    ],
)
def test_phases_are_read(text, expected):
    assert [(pytest.approx(end), length) for end, length in expected] == parse_phases(text)


@pytest.mark.parametrize(
    "text", ["", "90% at 128", "90 at 128, then 10 at 512", "110% at 8, then -10% at 9", "0% at 9, then 100% at 8"]
)
def test_what_are_no_phases_is_refused(text):
    with pytest.raises(InputError, match=r"phases: .*; write `90% at 128, then 10% at 512`"):
        parse_phases(text)


@pytest.mark.parametrize(("text", "seconds"), [("30 seconds", 30), ("1 minute", 60), ("1.5 hours", 5400)])
def test_durations_of_the_clock(text, seconds):
    assert Duration.parse(text).amount == seconds
    assert Duration.parse(text).progress(9.0, 9, 9, seconds / 4) == 0.25


def test_shares_of_phases_may_be_small_and_have_fractions():
    assert parse_phases("0.5% at 16, 99.5% at 32") == [(0.005, 16), (1.0, 32)]
    for text in ("99% at 16", "50.5% at 16, 50% at 32", "1.2.3% at 16, 98% at 32", ".% at 16, 100% at 32"):
        with pytest.raises(InputError, match="with shares above 0 that add up to 100%"):
            parse_phases(text)
