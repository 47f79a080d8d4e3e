"""A run that fails costs its own model alone."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from configs.errors import RunError
from configs.processes import LostProcessError
from finetune import compare
from finetune.comparison.running import cells as running
from finetune.comparison.running import subprocesses
from tests.finetune.comparison.test_compare import config_in, run_forked
from tests.helpers.finetuning import write_chain


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which counting words was compared, with few labels."""
    folder = tmp_path_factory.mktemp("failures")
    write_chain(folder)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(subprocesses, "run_process", run_forked)
        compare.run(config_in(folder, models={"bag-of-words": {}}, label_budgets=[20]))
    return folder


def test_a_run_that_fails_twice_is_named_and_its_model_left_out(
    compared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    models = {"bag-of-words": {}, "lstm": {"training.duration": "4 steps"}}
    config = config_in(compared, models=models, label_budgets=[20])
    tokenizer = {"tokenizer": str(next((compared / "runs" / "tokenizer").iterdir()))}
    cells = [cell for cell in compare.grid_cells(config, tokenizer, {}) if cell.model == "lstm"]
    # A file in the place of a run's folder makes it fail.
    cells[0].folder.path.write_text("in the way", encoding="utf-8")
    before = {*(compared / "runs" / "compare").iterdir()}
    tried: list[int] = []
    monkeypatch.setattr(
        running,
        "run_cells",
        lambda cells, *rest, run=running.run_cells, **keys: tried.append(len(cells)) or run(cells, *rest, **keys),
    )
    monkeypatch.setattr(sys, "argv", ["compare"])
    monkeypatch.setattr(compare, "parse", lambda kind, program: config)
    with pytest.raises(RunError, match=r"1 run failed twice.* leaves out lstm: "):
        compare.main()
    assert tried == [2, 1]
    assert cells[1].folder.finished
    found = [json.loads(file.read_text()) for file in (compared / "runs" / "compare").glob("*/result.json")]
    (result,) = [one for one in found if one.get("failed")]
    pages = [file.read_text(encoding="utf-8") for file in (compared / "runs" / "compare").glob("*/report.html")]
    assert sum("No run of lstm is in this comparison" in page for page in pages) == 1
    assert {score["model"] for score in result["scores"]} == {"bag-of-words"}
    (failure,) = result["failed"]
    assert (failure["model"], failure["label_budget"], failure["seed"]) == ("lstm", 20, cells[0].seed)
    assert failure["command"] == cells[0].command
    # Once the cause is gone, the same command runs it alone and compares everything.
    cells[0].folder.path.unlink()
    compare.main()
    assert tried == [2, 1, 1]
    assert "lstm" in capsys.readouterr().out
    for path in [*(cell.folder.path for cell in cells), *({*(compared / "runs" / "compare").iterdir()} - before)]:
        shutil.rmtree(path)


def test_a_model_of_which_every_run_fails_costs_no_other(compared: Path) -> None:
    models = {"bag-of-words": {}, "lstm": {"training.duration": "4 steps"}}
    config = config_in(compared, models=models, label_budgets=[20], seeds=[0, 1, 2, 3])
    tokenizer = {"tokenizer": str(next((compared / "runs" / "tokenizer").iterdir()))}
    cells = compare.grid_cells(config, tokenizer, {})
    present = {cell.folder.path for cell in cells if cell.folder.path.exists()}
    failing = [cell for cell in cells if cell.model == "lstm"]
    assert len(failing) > running.MAXIMUM_FAILURES
    for cell in failing:
        cell.folder.path.write_text("in the way", encoding="utf-8")
    # In the order of a grid with many pretraining seeds, the runs of a model stand together.
    again = [*failing, *(cell for cell in cells if cell.model != "lstm")]
    for cell in again:
        if cell.model != "lstm" and cell.folder.path.exists():
            shutil.rmtree(cell.folder.path)
    failures = running.run_unfinished(again, config, compare.run_cell)
    assert {failure.cell.folder.path for failure in failures} == {cell.folder.path for cell in failing}
    assert all(cell.folder.finished for cell in cells if cell.model != "lstm")
    for cell in cells:
        if cell.model == "lstm":
            cell.folder.path.unlink()
        elif cell.folder.path not in present:
            shutil.rmtree(cell.folder.path)


def test_a_run_whose_process_is_killed_fails_and_the_others_go_on(
    compared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_in(compared, models={"bag-of-words": {}}, label_budgets=[20], seeds=[0, 1, 2])
    tokenizer = {"tokenizer": str(next((compared / "runs" / "tokenizer").iterdir()))}
    cells = compare.grid_cells(config, tokenizer, {})
    pools: list[list[int]] = []

    def in_processes(work: Any, items: Any, processes: int, imports: Any) -> Any:
        pools.append([cell.seed for cell, *_ in items])
        for item in items:
            if item[0].seed == 1:
                raise LostProcessError("a process was killed")
            yield item, (1.0, "accuracy", 0.5)

    monkeypatch.setattr(running, "in_processes", in_processes)
    (failure,) = running.run_cells(cells, config, compare.run_cell)
    assert failure.cell.seed == 1
    assert "killed (out of memory?)" in failure.reason
    assert pools == [[0, 1, 2], [1], [2]]


def test_a_defect_of_a_library_fails_its_run_alone(
    compared: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = config_in(compared, models={"bag-of-words": {}}, label_budgets=[20])
    tokenizer = {"tokenizer": str(next((compared / "runs" / "tokenizer").iterdir()))}
    cell = compare.grid_cells(config, tokenizer, {})[0]

    def broken(config: Any) -> None:
        raise IndexError("index 2 is out of bounds")

    monkeypatch.setattr("finetune.run.run", broken)
    assert compare.run_cell((cell, [], config)) == "IndexError: index 2 is out of bounds"
    assert "Traceback" in caplog.text


def test_when_run_after_run_fails_no_other_is_started(compared: Path) -> None:
    config = config_in(compared, models={"lstm": {"training.batch_size": 4}}, seeds=[0, 1, 2, 3, 4])
    tokenizer = {"tokenizer": str(next((compared / "runs" / "tokenizer").iterdir()))}
    cells = compare.grid_cells(config, tokenizer, {})[:5]
    for cell in cells[:3]:
        cell.folder.path.write_text("in the way", encoding="utf-8")
    with pytest.raises(RunError, match=f"3 runs in a row failed.*{cells[2].folder.path.name}"):
        running.run_cells(cells, config, compare.run_cell)
    assert not cells[4].folder.finished
    for cell in cells:
        cell.folder.path.unlink() if cell.folder.path.is_file() else shutil.rmtree(cell.folder.path, ignore_errors=True)
