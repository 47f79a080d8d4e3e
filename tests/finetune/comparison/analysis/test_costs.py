"""Costs from run folders, and when pretraining pays."""

import json
from pathlib import Path

import pytest

from finetune.comparison.analysis.costs import break_even, cost, origin
from finetune.comparison.reporting.analysis_tables import cost_table
from finetune.comparison.summary import Evidence, compare
from finetune.comparison.worth import Worth
from tests.helpers.comparisons import Made, make


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("costs"), budgets=(100,), seeds=(0, 1))


def costs_of(made: Made) -> dict:
    evidence = Evidence.of(made.cells, 0.95)
    scores = compare(made.cells, 0.95, 0.01).scores
    return {score.model: cost(score, evidence.runs[score.model, 100]) for score in scores}


def test_seconds_and_speeds_are_those_of_the_folders(made: Made) -> None:
    costs = costs_of(made)
    bert = costs["bert"]
    assert (bert.training_seconds, bert.pretraining_seconds, bert.total_seconds) == (30.0, 120.0, 150.0)
    assert bert.texts_per_second == pytest.approx(240 / 3)
    assert bert.tokens_per_second == pytest.approx(1000 / 3)
    assert costs["lstm"].pretraining_seconds == 0.0
    assert bert.weights_megabytes is None
    weights = made.cells[2].folder.model
    weights.mkdir()
    (weights / "model.safetensors").write_bytes(bytes(2_000_000))
    # Of one run alone nothing is said.
    assert costs_of(made)["bert"].weights_megabytes is None
    other = made.cells[5].folder.model
    other.mkdir()
    (other / "model.safetensors").write_bytes(bytes(4_000_000))
    assert costs_of(made)["bert"].weights_megabytes == pytest.approx(3.0)


def test_only_models_that_start_from_weights_have_an_origin(made: Made) -> None:
    by_model = {cell.model: cell for cell in made.cells}
    folder = origin(by_model["bert"])
    assert folder is not None
    assert folder.path.name == "made-0000000000"
    assert origin(by_model["lstm"]) is None


def test_a_run_without_timings_has_no_speed(tmp_path: Path) -> None:
    made = make(tmp_path, {"bert": 0.8}, budgets=(100,), seeds=(0, 1))
    (made.cells[0].folder.path / "timings.json").write_text("{", encoding="utf-8")
    assert costs_of(made)["bert"].texts_per_second is None
    result = made.cells[0].folder.path / "result.json"
    result.write_text(json.dumps(json.loads(result.read_text()) | {"test_seconds": 1.0}), encoding="utf-8")
    assert costs_of(made)["bert"].texts_per_second == pytest.approx(240)


def test_break_even_is_the_extra_time_by_label_saved(made: Made) -> None:
    costs = costs_of(made)
    told = break_even(costs["bert"], costs["bag-of-words"], Worth("bert", 100, 280.0, 100.0, 500.0, 400))
    # 150 seconds against 10; 280 labels.
    assert "took 2.3 minutes more than training counting words and saves about 280 labels" in told
    assert "costs more than 0.50 seconds of this machine" in told
    assert "shared by 10 tasks on such text it is 12 seconds each" in told
    beyond = break_even(costs["bert"], costs["bag-of-words"], Worth("bert", 100, None, 300.0, None, 400))
    assert "saves at least 300 labels" in beyond
    assert "cannot be read off" in break_even(costs["bert"], costs["bag-of-words"], None)
    nothing = Worth("bert", 100, 0.0, 0.0, 0.0, 400)
    assert "saves no labels" in break_even(costs["bert"], costs["bag-of-words"], nothing)
    # At another label budget fine-tuning takes longer; pretraining is told in the same unit.
    long = costs["bert"]._replace(pretraining_seconds=5390.0, training_seconds=30.0)
    told = break_even(long, costs["bag-of-words"], Worth("bert", 100, 280.0, 100.0, 500.0, 400))
    assert "took 90 minutes more" in told
    (row,) = cost_table([long], 100, "accuracy").rows
    assert [cell.text for cell in row[2:5]] == ["90 min", "30 s", "90 min"]
    foreign = costs["bert"]._replace(pretraining_seconds=None)
    assert "is not known" in break_even(foreign, costs["bag-of-words"], nothing)
