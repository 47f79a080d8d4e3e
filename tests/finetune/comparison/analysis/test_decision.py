"""What a further point takes: planted curves, and honesty where they do not tell."""

import math
from pathlib import Path

import numpy as np
import pytest

from finetune.comparison.analysis.decision import decision, label_sentence, label_step, pretraining_step
from finetune.comparison.intervals import Interval
from finetune.comparison.summary import Evidence, compare
from tests.helpers.comparisons import Made, make, write_pretraining


def found(made: Made, budget: int, models: list[str]) -> str:
    evidence = Evidence.of(made.cells, 0.95)
    scores = compare(made.cells, 0.95, 0.01).scores
    return " ".join(decision(evidence, scores, budget, models)[0])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    texts = [f"text {number}" for number in range(1000)]
    return make(tmp_path_factory.mktemp("made"), {"lstm": 0.6, "bert": 0.8}, (100, 400), texts=texts, gain=0.08)


def test_a_planted_slope_tells_how_many_labels_a_point_takes(made: Made) -> None:
    step = label_step(Evidence.of(made.cells, 0.95), "bert", 400)
    assert step is not None
    # About eight points for four times the labels: a point for the eighth root of four.
    assert step.gain.estimate == pytest.approx(0.08, abs=0.015)
    assert step.more[0] == pytest.approx(400 * (4 ** (0.01 / step.gain.estimate) - 1))
    assert step.more[1] < step.more[0] < step.more[2]
    assert step.more[0] == pytest.approx(76, rel=0.25)


def test_below_the_largest_number_of_labels_the_next_step_is_measured(made: Made) -> None:
    step = label_step(Evidence.of(made.cells, 0.95), "bert", 100)
    assert step is not None
    assert (step.smaller, step.larger, step.here) == (100, 400, 100)
    assert "as measured from 100 to 400 labels" in found(made, 100, ["bert", "lstm"])
    assert "if it goes on as from 100 to 400 labels" in found(made, 400, ["bert", "lstm"])


def test_what_more_pretraining_brings_is_unknown_with_one_length_of_it(made: Made) -> None:
    text = found(made, 400, ["bert", "lstm"])
    assert "Whether longer pretraining would help is unknown: only one length of it was tried, 2.0 minutes." in text
    # 5 - 60/50 and 5 - 100/50: the last evaluation at or before three quarters of it, and the last.
    assert "still fell in the last quarter, from 3.80 to 3.00" in text
    assert "(it was 1M tokens)" in text
    assert "pretraining" not in found(made, 400, ["lstm"])


def test_a_gain_that_may_be_chance_is_not_continued(tmp_path: Path) -> None:
    text = found(make(tmp_path, {"lstm": 0.6, "bert": 0.8}, gain=0.0), 400, ["bert"])
    assert "For BERT, no gain from more labels was shown" in text
    assert "To gain a point" not in text


def test_who_is_nearly_perfect_gets_no_advice(tmp_path: Path) -> None:
    assert "BERT is less than a point from perfect" in found(make(tmp_path, {"lstm": 0.5, "bert": 1.5}), 400, ["bert"])


def test_two_lengths_of_pretraining_tell_what_longer_brings(tmp_path: Path) -> None:
    short, long = (
        write_pretraining(tmp_path, f"{name}-1111111111", seconds)
        for name, seconds in (("short", 60.0), ("long", 240.0))
    )
    names = {"short": str(short.path), "long": str(long.path)}
    texts = [f"text {number}" for number in range(800)]
    made = make(tmp_path, {"lstm": 0.5, "short": 0.7, "long": 0.8}, (100,), names=names, texts=texts)
    step = pretraining_step(Evidence.of(made.cells, 0.95), compare(made.cells, 0.95, 0.01).scores, 100)
    assert step is not None
    assert (step.model, step.smaller, step.larger, step.unit) == ("long", 60.0, 240.0, "seconds of pretraining")
    assert step.more[0] == pytest.approx(240 * math.expm1(0.01 * math.log(4) / step.gain.estimate))
    assert "Or pretrain about" in found(made, 100, ["long", "lstm"])
    assert "unknown" not in found(made, 100, ["long", "lstm"])


def test_two_recipes_are_no_two_lengths(tmp_path: Path) -> None:
    runs = [
        write_pretraining(tmp_path, f"{name}-1111111111", seconds)
        for name, seconds in (("short", 60.0), ("long", 240.0))
    ]
    config = runs[1].path / "config.yaml"
    config.write_text(config.read_text() + "\nmasking: {rate: 0.5}\n")
    names = {"short": str(runs[0].path), "long": str(runs[1].path)}
    texts = [f"text {number}" for number in range(200)]
    made = make(tmp_path, {"lstm": 0.5, "short": 0.7, "long": 0.8}, (100,), names=names, texts=texts)
    assert pretraining_step(Evidence.of(made.cells, 0.95), compare(made.cells, 0.95, 0.01).scores, 100) is None


def test_more_than_ten_times_the_labels_is_no_advice(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texts = [f"text {number}" for number in rng.permutation(4000)]
    made = make(tmp_path, {"bert": 0.8}, (100, 400), texts=texts, gain=0.003)
    text = found(made, 400, ["bert"])
    step = label_step(Evidence.of(made.cells, 0.95), "bert", 400)
    assert step is not None
    assert not step.shown
    assert "no gain from more labels was shown" in text
    assert "more than ten times the labels" in label_sentence(
        step._replace(gain=Interval(0.003, 0.001, 0.005)), [100, 400], first=True
    )
