"""From a table to a comparison without a YAML file; the same command does not choose anew."""

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import pytest

from configs.errors import InputError
from finetune import compare
from finetune.comparison.grid import stage_configs
from finetune.comparison.running import estimate, subprocesses
from finetune.own_data import plan, rules
from finetune.own_data.config import OwnDataConfig
from finetune.run import run as fine_tune
from tests.finetune.own_data.test_texts import labelled_rows
from tests.helpers import forked
from tests.helpers.corpora import write_jsonl, write_table
from tests.helpers.several_labels import rows_with_labels
from tokenizer.run_paths import run_folder as tokenizer_folder


def run_forked(words: list[str]) -> int:
    assert words[0] == sys.executable
    return forked.run(words[1:]).returncode


def run_quietly(command: str) -> None:
    assert run_forked(subprocesses.arguments_of(command)) == 0


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, OwnDataConfig]:
    """A folder with a plan in `runs/plans`, and its config."""
    folder = tmp_path_factory.mktemp("planned")
    file = write_jsonl(folder / "reviews.jsonl", labelled_rows(200))
    config = OwnDataConfig(
        labelled=str(file), minutes=2, models=["bag-of-words", "lstm", "bert-scratch", "bert"], seeds=[0, 1],
        processes=1, runs=str(folder / "runs"),
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(estimate, "STAGE_SECONDS", 1)
        patched.setattr(estimate, "CELL_STEPS", 4)
        patched.setattr(subprocesses, "run_process", run_forked)
        patched.setattr(subprocesses, "run_quietly", run_quietly)
        plan.run(config, fine_tune)
    return folder, config


def test_a_plan_says_what_was_chosen_and_leaves_no_probe(planned) -> None:
    folder, config = planned
    (run,) = (folder / "runs" / "plans").iterdir()
    result = json.loads((run / "result.json").read_text())
    assert {choice["name"] for choice in result["choices"]} >= {
        "texts",
        "vocabulary",
        "length",
        "encoder",
        "pretraining",
    }
    assert set(result["rates"]["cells"]) == {"bag-of-words", "lstm", "bert-scratch", "bert"}
    assert not list((folder / "runs" / "finetune").iterdir())
    assert not list((folder / "runs" / "pretrain").iterdir())
    comparison = plan.comparison_of(plan.run(config, fine_tune), config)
    assert comparison.seeds == [0, 1]
    assert comparison.label_budgets[-1] == result["texts"]["train_texts"]


def test_a_recipe_whose_masking_rate_moves_is_measured_too(planned, monkeypatch) -> None:
    # Its rate needs a run of so many steps, and a probe is one of so many seconds.
    _, config = planned
    comparison = plan.comparison_of(plan.run(config, fine_tune), config)
    changed = dataclasses.replace(comparison.set, pretrain={"masking.final_rate": 0.1, "training.duration": "9 steps"})
    comparison = dataclasses.replace(comparison, set=changed)
    tokenizer, stages = stage_configs(comparison)
    assert stages["pretrain"].masking.final_rate == 0.1
    monkeypatch.setattr(estimate, "STAGE_SECONDS", 1)
    monkeypatch.setattr(subprocesses, "run_quietly", run_quietly)
    probe = estimate._stage_probe(comparison, "pretrain", stages["pretrain"], tokenizer_folder(tokenizer))
    assert probe.result()["tokens_per_second"] > 0
    shutil.rmtree(probe.path)


def test_a_plan_without_pretraining_tells_of_none(planned) -> None:
    folder, _ = planned
    (run,) = (folder / "runs" / "plans").iterdir()
    result = json.loads((run / "result.json").read_text())
    facts = plan.Texts(**result["texts"])
    design = rules.Design("tiny", 2000, 64, False, 64, [10], [0, 1], [], 1_000_000, 1_000_000)
    for models, told in ((["bag-of-words", "lstm"], False), (["lstm", "frozen"], True)):
        names = {name for name, _, _ in plan.choices_of(dataclasses.replace(design, models=models), facts)}
        assert ("pretraining" in names, "encoder" in names) == (told, told)


def test_a_dry_run_prints_every_part_and_runs_none(planned, capsys) -> None:
    folder, config = planned
    run = plan.run(config, fine_tune)
    compare.preview(plan.comparison_of(run, config), plan.rates_of(run))
    printed = capsys.readouterr().out
    for part in ("pretrain", "bag-of-words", "lstm", "bert-scratch", "bert", "all"):
        assert f" {part} " in printed
    assert "2 seeds and" in printed
    assert "points in four of five" in printed
    assert not list((folder / "runs" / "finetune").iterdir())


def test_the_planned_comparison_runs_to_its_verdict(planned, monkeypatch) -> None:
    folder, config = planned
    monkeypatch.setattr(subprocesses, "run_process", run_forked)
    comparison = plan.comparison_of(plan.run(config, fine_tune), config)
    fast = dataclasses.replace(
        comparison.set, pretrain={"training.duration": "5steps"}, finetune={"training.duration": "5steps"}
    )
    folder = compare.run(dataclasses.replace(comparison, set=fast, label_budgets=comparison.label_budgets[-1:]))
    assert {score["model"] for score in folder.result()["scores"]} == set(config.models or ())
    assert "bert" in (folder.path / "report.html").read_text()


@pytest.mark.parametrize("name", ["t.jsonl", "t.csv"])
def test_a_dry_run_of_several_labels_plans_a_comparison_by_micro_f1(tmp_path, name, monkeypatch, capsys) -> None:
    rows = rows_with_labels(160)
    for number, row in enumerate(rows):
        row["text"] += f" this was number {number}, and {number * 7919 % 1009} of all."
    if name == "t.csv":
        file = write_table(tmp_path / name, [row | {"label": ";".join(row["label"])} for row in rows])
    else:
        file = write_jsonl(tmp_path / name, rows)
    monkeypatch.setattr(estimate, "in_processes", lambda work, items, *_, **__: ((item, work(item)) for item in items))
    monkeypatch.setattr(subprocesses, "run_process", run_forked)
    config = OwnDataConfig(
        labelled=str(file), minutes=1, models=["bag-of-words"], processes=1, runs=str(tmp_path / "runs"), dry_run=True
    )  # fmt: skip
    run = plan.run(config, fine_tune)
    result = run.result()
    assert result["texts"]["multi_label"]
    assert {"name": "score", "value": "micro-F1", "reason": "a text may have several labels"} in result["choices"]
    comparison = plan.comparison_of(run, config)
    assert comparison.score == "micro_f1"
    compare.preview(comparison, plan.rates_of(run))
    printed = capsys.readouterr().out
    assert " bag-of-words " in printed
    # What is told of accuracy does not hold of F1.
    assert "points in four of five" not in printed
    cell, _ = estimate.cell_config(comparison, "bag-of-words", comparison.label_budgets[0], 0, {}, {})
    assert cell.select_by == "micro_f1"


def test_a_score_of_the_other_kind_of_texts_is_refused_before_anything_is_measured(tmp_path) -> None:
    file = write_jsonl(tmp_path / "t.jsonl", labelled_rows(60))
    config = OwnDataConfig(labelled=str(file), score="micro_f1", runs=str(tmp_path / "runs"))
    with pytest.raises(InputError, match="score: there is no micro_f1 where a text has one class"):
        plan.run(config, fine_tune)


def test_expected_seconds_follow_from_rates(planned) -> None:
    _, config = planned
    run = plan.run(config, fine_tune)
    comparison, rate = plan.comparison_of(run, config), estimate.CellRate(0.1, 0.01, 3.0, 1000)
    cell, _ = estimate.cell_config(comparison, "lstm", 160, 0, {}, {})
    # 300 steps, and 4 evaluations, a last one and the test.
    assert estimate.cell_seconds(cell, rate, (128, 32, 50)) == pytest.approx(3 + 300 * 0.1 + (5 * 32 + 50) * 0.01)
    settings = {
        "training.duration": "9 epochs, at most 9 steps",
        "adversarial_step": 0.1,
        "adversarial_least_texts": 128,
    }
    moved, _ = estimate.cell_config(comparison, "lstm", 160, 0, {}, {}, settings=settings)
    scored = (5 * 32 + 50) * 0.01
    assert estimate.cell_seconds(moved, rate, (128, 32, 50)) == pytest.approx(3 + 9 * 0.1 * 5 / 3 + scored)
    assert estimate.cell_seconds(moved, rate, (127, 32, 50)) == pytest.approx(3 + 9 * 0.1 + scored)
    assert estimate.cell_seconds(moved, rate._replace(step_arithmetic=5 / 3), (128, 32, 50)) == pytest.approx(
        3 + 9 * 0.1 + scored
    )
    twice = dataclasses.replace(moved, refit=True)
    assert estimate.cell_seconds(twice, rate, (127, 32, 50)) == pytest.approx(
        2 * (3 + 9 * 0.1) + scored + (0 + 50) * 0.01
    )
    encoder, _ = estimate.cell_config(comparison, "bert", 160, 0, {}, {})
    fits = estimate.cell_seconds(encoder, rate, (128, 32, 50)) - estimate.cell_seconds(cell, rate, (128, 32, 50))
    assert fits == pytest.approx((128 + 32) * 0.01)
    assert estimate.text_counts(cell) == (128, 32, plan.run(config, fine_tune).result()["texts"]["test_texts"])
