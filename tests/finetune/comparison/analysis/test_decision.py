"""What a further point takes: planted curves, and honesty where they do not tell."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from finetune.comparison.analysis.decision import (
    Step,
    decision,
    label_sentence,
    label_step,
    pretraining_step,
    unknown_sentence,
)
from finetune.comparison.intervals import Interval
from finetune.comparison.reporting.analysis_tables import decision_table
from finetune.comparison.summary import Evidence, compare
from finetune.config import FinetuneConfig
from tests.helpers.comparisons import Made, make, write_pretraining
from tokenizer.corpus.config import CorpusConfig


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
    assert "set.pretrain: training.duration (it was 1M tokens)" in text
    assert "python -m finetune.ladder --comparison config.yaml --model bert foretells it" in text
    assert "pretraining" not in found(made, 400, ["lstm"])


def test_each_kind_of_pretraining_has_its_own_stage(tmp_path: Path) -> None:
    made = make(tmp_path, {"lstm": 0.6, "lm": 0.8}, names={"lm": "lm-lstm"})
    text = unknown_sentence(Evidence.of(made.cells, 0.95).runs["lm", 400])
    assert "set.language_model: training.duration" in text
    assert "--model lm foretells" in text
    names = {"mine": str(made.stages["pretrain"].path)}
    made = make(tmp_path / "other", {"lstm": 0.6, "mine": 0.8}, names=names)
    text = unknown_sentence(Evidence.of(made.cells, 0.95).runs["mine", 400])
    assert "compare with a model that was pretrained for longer (it was 1M tokens)" in text
    assert "ladder" not in text


def test_a_gain_that_may_be_chance_is_not_continued(tmp_path: Path) -> None:
    text = found(make(tmp_path, {"lstm": 0.6, "bert": 0.8}, gain=0.0), 400, ["bert"])
    assert "For BERT, no gain from more labels was shown" in text
    assert "To gain a point" not in text


def test_who_is_nearly_perfect_gets_no_advice(tmp_path: Path) -> None:
    assert "BERT is less than a point from perfect" in found(make(tmp_path, {"lstm": 0.5, "bert": 1.5}), 400, ["bert"])


def test_two_lengths_of_pretraining_tell_what_longer_brings(tmp_path: Path) -> None:
    short, long = (
        write_pretraining(tmp_path, f"{name}-1111111111", seconds, tokens=tokens)
        # The shorter one on a machine that takes sixty times as long.
        for name, seconds, tokens in (("short", 3600.0, 25_000), ("long", 240.0, 100_000))
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


def test_lengths_are_those_of_one_kind_of_model(tmp_path: Path) -> None:
    runs = {
        name: str(write_pretraining(tmp_path, f"{name}-1111111111", tokens=tokens).path)
        for name, tokens in (("short", 25_000), ("long", 100_000))
    }
    texts = [f"text {number}" for number in range(400)]
    made = make(tmp_path, {"lstm": 0.5, "lm": 0.7, "lm-long": 0.8, "frozen": 0.6}, (100,), texts=texts,
                names={"lm": "lm-lstm", "lm-long": "lm-lstm"})  # fmt: skip
    origins = {"lm": runs["short"], "lm-long": runs["long"], "frozen": runs["short"]}
    cells = [dataclasses.replace(cell, config=with_origin(cell.config, origins.get(cell.model))) for cell in made.cells]
    step = pretraining_step(Evidence.of(cells, 0.95), compare(cells, 0.95, 0.01).scores, 100)
    assert step is not None
    assert (step.model, step.larger / step.smaller) == ("lm-long", pytest.approx(4))
    cells = [cell for cell in cells if cell.model != "lm"]
    assert pretraining_step(Evidence.of(cells, 0.95), compare(cells, 0.95, 0.01).scores, 100) is None


def with_origin(config: FinetuneConfig, pretrained: str | None) -> FinetuneConfig:
    return dataclasses.replace(config, model=dataclasses.replace(config.model, pretrained=pretrained))


def test_two_recipes_are_no_two_lengths(tmp_path: Path) -> None:
    runs = [
        write_pretraining(tmp_path, f"{name}-1111111111", tokens=tokens)
        for name, tokens in (("short", 25_000), ("long", 100_000))
    ]
    config = runs[1].path / "config.yaml"
    config.write_text(config.read_text() + "\nmasking: {rate: 0.5}\n")
    names = {"short": str(runs[0].path), "long": str(runs[1].path)}
    texts = [f"text {number}" for number in range(200)]
    made = make(tmp_path, {"lstm": 0.5, "short": 0.7, "long": 0.8}, (100,), names=names, texts=texts)
    assert pretraining_step(Evidence.of(made.cells, 0.95), compare(made.cells, 0.95, 0.01).scores, 100) is None


@pytest.mark.parametrize(("values", "are_compared"), [((1, 1), True), ((1, 2), False)])
def test_older_runs_with_a_key_that_there_is_no_more_are_compared(
    tmp_path: Path, values: tuple[int, int], are_compared: bool
) -> None:
    runs = [
        write_pretraining(tmp_path, f"{name}-1111111111", tokens=tokens)
        for name, tokens in (("short", 25_000), ("long", 100_000))
    ]
    for run, value in zip(runs, values, strict=True):
        config = run.path / "config.yaml"
        config.write_text(f"{config.read_text()}\na_key_since_removed: {value}\n")
    names = {"short": str(runs[0].path), "long": str(runs[1].path)}
    texts = [f"text {number}" for number in range(200)]
    made = make(tmp_path, {"lstm": 0.5, "short": 0.7, "long": 0.8}, (100,), names=names, texts=texts)
    step = pretraining_step(Evidence.of(made.cells, 0.95), compare(made.cells, 0.95, 0.01).scores, 100)
    assert (step is not None) == are_compared


def test_a_key_that_an_older_run_lacks_makes_no_other_recipe(tmp_path: Path) -> None:
    runs = [
        write_pretraining(tmp_path, f"{name}-1111111111", tokens=tokens)
        for name, tokens in (("short", 25_000), ("long", 100_000))
    ]
    config = runs[1].path / "config.yaml"
    config.write_text(config.read_text() + f"\ncorpus: {{share: {CorpusConfig().share}}}\n")
    names = {"short": str(runs[0].path), "long": str(runs[1].path)}
    texts = [f"text {number}" for number in range(200)]
    made = make(tmp_path, {"lstm": 0.5, "short": 0.7, "long": 0.8}, (100,), names=names, texts=texts)
    assert pretraining_step(Evidence.of(made.cells, 0.95), compare(made.cells, 0.95, 0.01).scores, 100) is not None


def test_of_several_gains_one_is_looked_at() -> None:
    # One of five would be found by chance in as many comparisons as there are looks.
    chance, nothing = Interval(0.02, 0.001, 0.039), Interval(0.0, -0.02, 0.02)
    step = Step("bert", 100, 100, 10_000, nothing, 100, between=((250.0, chance), (1000.0, nothing)))
    assert not step.shown
    assert "no gain from more labels was shown: +0.0" in label_sentence(step, first=True)
    table = decision_table([step], 0.95)
    assert table is not None
    assert [row[2].text for row in table.rows] == ["100 to 250 labels", "100 to 1,000 labels", "100 to 10,000 labels"]
    assert [row[4].text for row in table.rows] == ["", "", "not shown"]


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
        step._replace(gain=Interval(0.003, 0.001, 0.005)), first=True
    )


def curve_of(accuracies: dict[int, float], texts: int = 5000) -> Evidence:
    """The answers of a model whose scores are those, nearly without chance."""
    rng = np.random.default_rng(0)
    hardness_N = rng.permutation(texts) / texts
    correct = {
        ("bert", budget): (hardness_N + rng.normal(0, 0.001, (1, 3, texts)) < accuracy).astype(float)
        for budget, accuracy in accuracies.items()
    }
    return Evidence({("bert", budget): [] for budget in accuracies}, correct, 0.95)


def test_a_point_is_read_off_all_larger_numbers_of_labels() -> None:
    evidence = curve_of({250: 0.700, 1000: 0.704, 2500: 0.80})
    step = label_step(evidence, "bert", 250)
    assert step is not None
    assert (step.smaller, step.larger) == (250, 2500)
    # Shortly after 1,000, where it rises.
    assert 760 < step.more[1] < step.more[0] < step.more[2] < 900
    text = label_sentence(step, first=True)
    assert "as measured from 250 to 2,500 labels." in text
    assert "ten times" not in text
    far = label_step(curve_of({250: 0.700, 25_000: 0.712}), "bert", 250)
    assert far is not None
    # More than ten times as many, and yet measured.
    assert 10 * 250 < far.more[0] < 25_000 - 250
    assert "as measured from 250 to 25,000 labels" in label_sentence(far, first=True)


def test_what_lies_beyond_the_largest_number_of_labels_is_not_called_measured() -> None:
    step = Step("bert", 1000, 1000, 2500, Interval(0.03, 0.004, 0.056), 1000)
    text = label_sentence(step, first=True)
    assert step.here + step.more[0] < 2500 < step.here + step.more[2]
    assert text.endswith("as measured from 1,000 to 2,500 labels and continued beyond.")
    slow = step._replace(gain=Interval(0.008, 0.004, 0.012))
    assert label_sentence(slow, first=True).endswith("if it goes on as from 1,000 to 2,500 labels.")
    sure = step._replace(gain=Interval(0.03, 0.02, 0.04))
    assert label_sentence(sure, first=True).endswith("as measured from 1,000 to 2,500 labels.")
