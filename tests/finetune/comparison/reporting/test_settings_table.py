"""What each model was trained with stands in the report: half the steps would be a reason for a lead."""

import json
from pathlib import Path

import pytest

from configs.run_folder import RunFolder
from finetune.comparison.config import CompareConfig
from finetune.comparison.grid import Cell as Run
from finetune.comparison.reporting.settings_table import settings_section
from finetune.config import FinetuneConfig

LSTM = {"model.name": "lstm", "training.duration": "800 steps", "optimizer.learning_rate": 2e-3}
STEPS = {("lstm-long", 250): (800, 800), ("bag-of-words", 250): (None, None), ("bert", 250): (300, 500)}


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    found = []
    for (model, budget), steps in STEPS.items():
        for seed, taken in enumerate(steps):
            folder = RunFolder(tmp_path / f"{model}-{budget}-{seed}")
            folder.path.mkdir()
            (folder.path / "result.json").write_text(json.dumps({"steps": taken}), encoding="utf-8")
            found.append(Run(model, budget, seed, None, FinetuneConfig(), folder, ""))
    return found


def test_steps_and_settings_of_each_model(runs: list[Run]) -> None:
    config = CompareConfig(models={"lstm-long": LSTM, "bag-of-words": {}, "bert": {}})
    (table,) = settings_section(config, runs).tables
    assert table.headings == ["model", "steps, 250 labels", "settings of its own"]
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["lstm-long", "800", "training.duration 800 steps, optimizer.learning_rate 0.002"],
        ["bag-of-words", "–", "–"],
        ["bert", "300 to 500", "–"],
    ]
    assert [record["most_steps_at_250"] for record in table.records] == [800, 0, 500]
    assert config.finetune in table.note
