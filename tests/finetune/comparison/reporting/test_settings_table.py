"""What each model was trained with stands in the report: half the steps would be a reason for a lead."""

import json
from pathlib import Path
from typing import Any

from configs.run_folder import RunFolder
from finetune.comparison.config import CompareConfig, StageOverrides
from finetune.comparison.grid import Cell as Run
from finetune.comparison.grid import cell_config
from finetune.comparison.reporting.settings_table import settings_section
from finetune.comparison.reporting.tables import Table

STEPS = {
    ("lstm-long", 250): (800, 800),
    ("bag-of-words", 250): (None, None),
    ("bert", 250): (300, 500),
    ("bert", 1000): (600,),
}


MODELS: dict[str, Any] = {
    "lstm-long": {"model.name": "lstm", "training.duration": "800 steps", "optimizer.learning_rate": 2e-3},
    "bag-of-words": {},
    "bert": {},
}


def run_of(
    config: CompareConfig, folder: Path, model: str, budget: int, steps: int | None, tuned: dict[str, Any]
) -> Run:
    path = folder / f"{len(list(folder.iterdir()))}"
    path.mkdir()
    (path / "result.json").write_text(json.dumps({"steps": steps}), encoding="utf-8")
    own, _ = cell_config(config, model, budget, 0, {"tokenizer": "t"}, {"pretrain": RunFolder(folder)}, settings=tuned)
    return Run(model, budget, 0, None, own, RunFolder(path), "")


def table_of(config: CompareConfig, folder: Path, tuned: dict[int, dict[str, Any]] | None = None) -> Table:
    runs = [
        run_of(config, folder, model, budget, taken, (tuned or {}).get(budget, {}) if model == "bert" else {})
        for (model, budget), steps in STEPS.items()
        for taken in steps
    ]
    (table,) = settings_section(config, runs).tables
    return table


def test_steps_and_settings_of_each_model(tmp_path: Path) -> None:
    config = CompareConfig(models=MODELS)
    table = table_of(config, tmp_path)
    assert table.headings == ["model", "steps, 1,000 labels", "steps, 250 labels", "settings of its own"]
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["lstm-long", "–", "800", "model.name lstm, optimizer.learning_rate 0.002, training.duration 800 steps"],
        ["bag-of-words", "–", "–", "–"],
        ["bert", "600", "300 to 500", "–"],
    ]
    assert [record["most_steps_at_250"] for record in table.records] == [800, 0, 500]
    assert table.note.startswith(f"All else is as in {config.finetune}, but for labels, seeds and")


def test_settings_that_come_from_elsewhere_than_the_model_are_told(tmp_path: Path) -> None:
    # Once, the report said of them that all else was as in the file.
    shared = {"sequence_length": 96, "training.duration": "1 epochs"}
    config = CompareConfig(models=MODELS, score="macro_f1", set=StageOverrides(finetune=shared))
    tuned = {250: {"optimizer.learning_rate": 7e-4}, 1000: {"optimizer.learning_rate": 3e-4}}
    table = table_of(config, tmp_path, tuned)
    assert table.note.startswith("All models: sequence_length 96, select_by macro_f1. All else is as in")
    assert [row[-1].text for row in table.rows] == [
        "model.name lstm, optimizer.learning_rate 0.002, training.duration 800 steps",
        "training.duration 1 epochs",
        "optimizer.learning_rate 0.0007 (250 labels) or 0.0003 (1,000 labels), training.duration 1 epochs",
    ]
    assert {record["settings"] for record in table.records} >= {"training.duration 1 epochs"}


def test_another_data_set_of_a_model_is_told_and_a_copy_is_not(tmp_path: Path) -> None:
    for name in ("runs", "data/imdb", "data/sst2"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "finetune.yaml").write_text("corpus: {source: stanfordnlp/imdb}\n", encoding="utf-8")
    models = MODELS | {"lstm-long": {"model.name": "lstm", "corpus.source": "stanfordnlp/sst2"}}
    config = CompareConfig(models=models, finetune=str(tmp_path / "finetune.yaml"), data_folder=str(tmp_path / "data"))
    table = table_of(config, tmp_path / "runs")
    told = {record["model"]: record["settings"] for record in table.records}
    assert told == {
        "lstm-long": f"corpus.source {tmp_path / 'data' / 'sst2'}, model.name lstm",
        "bag-of-words": "",
        "bert": "",
    }
