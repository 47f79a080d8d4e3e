"""One command from a comparison's config to what more pretraining would bring; what is finished is not run again."""

import dataclasses
import shutil
import sys
import xml.etree.ElementTree

import numpy as np
import pyarrow.parquet
import pytest
import yaml

from configs.command_line import load
from configs.errors import InputError, Interrupted
from finetune import compare, ladder
from finetune.comparison.config import CompareConfig
from finetune.comparison.running import subprocesses
from finetune.ladders.config import LadderConfig
from finetune.ladders.rungs import one_model, rungs_of
from pretrain.config import PretrainConfig
from tests.finetune.comparison.test_compare import run_forked
from tests.helpers.finetuning import content, write_chain, write_yaml


def config_in(folder, **keys):
    config = LadderConfig(
        comparison=str(folder / "compare.yaml"),
        label_budget=60,
        step_shares=[0.2, 0.6, 0.4],
        corpus_shares=[0.5],
        seeds=[0, 1],
        processes=1,
        runs=str(folder / "runs"),
    )
    return dataclasses.replace(config, **keys)


@pytest.fixture(scope="module")
def climbed(tmp_path_factory):
    """A folder in which a small ladder has run."""
    folder = tmp_path_factory.mktemp("climbed")
    write_chain(folder)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(subprocesses, "run_process", run_forked)
        ladder.run(config_in(folder))
    return folder


def only(folder):
    (path,) = folder.iterdir()
    return path


def test_every_rung_has_run_and_the_report_tells_what_they_did(climbed):
    runs = climbed / "runs"
    assert [len(list((runs / stage).iterdir())) for stage in ("tokenizer", "pretrain", "finetune")] == [1, 4, 8]
    folder = ladder.run(config_in(climbed))
    result = folder.result()
    assert [rung["duration"] for rung in result["rungs"][:3]] == ["6 steps", "12 steps", "18 steps"]
    # About half of 60.
    documents = result["rungs"][3]["documents"]
    assert 20 <= documents <= 40
    assert result["rungs"][3]["duration"] == "18 steps"
    tokens = [rung["tokens"] for rung in result["rungs"][:3]]
    assert tokens == sorted(tokens)
    assert result["horizons"][0]["tokens"] == pytest.approx(tokens[-1] / 0.6)
    for horizon in result["horizons"]:
        assert horizon["score"]["low"] <= horizon["score"]["estimate"] <= horizon["score"]["high"] <= 1
        assert horizon["gain"]["estimate"] >= 0
    report = (folder.path / "report.md").read_text()
    assert result["sentences"][0].startswith("By these rungs, the whole pretraining (")
    assert f"| 0.6 | {documents} |" in report
    picture = xml.etree.ElementTree.fromstring((folder.path / "figures" / "score.svg").read_text())
    # Rungs, and the three horizons.
    assert len(picture.findall(".//{*}g[@role='img']")) == 4 + 3
    assert (folder.path / "figures" / "score.svg").read_text().count("band pre") == 1


def test_scores_are_of_validation_texts_and_no_test_text_is_read(climbed):
    (folder,) = (climbed / "runs" / "ladder").iterdir()
    result = ladder.run(config_in(climbed)).result()
    for run in (climbed / "runs" / "finetune").iterdir():
        keys = yaml.safe_load((run / "config.yaml").read_text())
        # A share of the labels takes the place of the validation texts.
        assert (keys["test"], keys["validation"]) == ("validation", None)
        files = {*pyarrow.parquet.read_table(run / "predictions.parquet").column("file").to_pylist()}
        assert {name.rsplit("/", 1)[-1] for name in files} == {"validation.jsonl"}
    assert result["texts"] == 24
    assert folder.is_dir()
    scores = [rung["score"]["estimate"] for rung in result["rungs"]]
    assert scores == pytest.approx([np.mean(rung["scores"]) for rung in result["rungs"]])


def test_without_validation_texts_each_seed_judges_on_a_part_of_its_labels_from_each_pretraining(tmp_path, monkeypatch):
    write_chain(tmp_path)
    keys = content("finetune", tmp_path)
    write_yaml(tmp_path / "finetune.yaml", {key: value for key, value in keys.items() if key != "validation"})
    (tmp_path / "labelled" / "test.jsonl").unlink()
    (tmp_path / "labelled" / "validation.jsonl").unlink()
    monkeypatch.setattr(subprocesses, "run_process", run_forked)
    result = ladder.run(config_in(tmp_path, corpus_shares=[], pretraining_seeds=[0, 1])).result()
    assert result["pretraining_seeds"] == 2
    assert all(len(rung["scores"]) == 4 for rung in result["rungs"])
    assert not any("pretrained once" in sentence for sentence in result["sentences"])
    assert 12 <= result["texts"] <= 24
    folds = sorted(
        yaml.safe_load((run / "config.yaml").read_text())["fold"] for run in (tmp_path / "runs" / "finetune").iterdir()
    )
    assert folds == [0] * 6 + [1] * 6


def test_the_rung_of_the_whole_is_the_comparisons_own_pretraining(climbed, tmp_path, monkeypatch, capsys):
    shutil.copytree(climbed / "runs", tmp_path / "runs")
    monkeypatch.setattr(subprocesses, "run_process", run_forked)
    keys = {"models": {"bert": {}}, "label_budgets": [60], "runs": str(tmp_path / "runs")}
    compare.run(load(CompareConfig, climbed / "compare.yaml", keys))
    before = {path.name for path in (tmp_path / "runs" / "pretrain").iterdir()}
    assert len(before) == 5
    capsys.readouterr()
    whole = config_in(climbed, step_shares=[0.2, 0.4, 0.6, 1.0], corpus_shares=[], runs=str(tmp_path / "runs"))
    ladder.run(whole)
    printed = capsys.readouterr().out
    assert {path.name for path in (tmp_path / "runs" / "pretrain").iterdir()} == before
    assert "6 of 8 runs were finished before" in printed
    assert printed.count("$ python -m pretrain") == 0


def test_a_ladder_goes_on_where_it_was_interrupted(climbed, tmp_path, monkeypatch, capsys):
    shutil.copytree(climbed / "runs", tmp_path / "runs")
    keys = {"comparison": str(climbed / "compare.yaml"), "runs": str(tmp_path / "runs")}
    for stage in ("pretrain", "finetune", "ladder"):
        shutil.rmtree(
            only(tmp_path / "runs" / "ladder")
            if stage == "ladder"
            else sorted((tmp_path / "runs" / stage).iterdir())[0]
        )
    monkeypatch.setattr(sys, "argv", ["finetune.ladder", "--dry_run", "true", *flags(config_in(climbed, **keys))])
    ladder.main()
    printed = capsys.readouterr().out
    assert "1 pretraining and 2 fine-tuning runs not finished" in printed
    assert "nothing was run but the tokenizer's stage" in printed
    assert len(list((tmp_path / "runs" / "pretrain").iterdir())) == 3

    def stopped(words):
        return 143

    monkeypatch.setattr(subprocesses, "STOPPED", 143)
    monkeypatch.setattr(subprocesses, "run_process", stopped)
    with pytest.raises(Interrupted):
        ladder.run(config_in(climbed, **keys))
    monkeypatch.setattr(subprocesses, "run_process", run_forked)
    monkeypatch.setattr(sys, "argv", ["finetune.ladder", *flags(config_in(climbed, **keys))])
    ladder.main()
    printed = capsys.readouterr().out
    assert printed.count("$ python -m pretrain") == 2
    assert "By these rungs" in printed
    assert len(list((tmp_path / "runs" / "finetune").iterdir())) == 8


def flags(config):
    """The config as flags."""
    return [
        f"--{key}={getattr(config, key)}"
        for key in ("comparison", "label_budget", "step_shares", "corpus_shares", "seeds", "processes", "runs")
    ]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"step_shares": [0.25, 0.5]}, "number_of_step_shares: 2 is too small; give at least 3"),
        ({"step_shares": [0.5, 0.5, 0.25]}, "holds one twice"),
        ({"step_shares": [0.5, 1.5, 0.25]}, "step_shares: 1.5"),
        ({"corpus_shares": [0.0]}, "corpus_shares: 0"),
        ({"seeds": [1]}, "number_of_seeds"),
        ({"label_budget": 0}, "label_budget"),
    ],
)
def test_ladders_that_cannot_be_climbed(keys, message):
    with pytest.raises(InputError, match=message):
        LadderConfig(**keys)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"model": "bret"}, "has no 'bret'; did you mean `bert`"),
        ({"model": "lstm"}, "model: 'lstm' starts from no pretraining"),
        ({"corpus_shares": [0.01]}, r"corpus_shares: 0\.01 of 60 documents are [0-3], and pretraining needs 4"),
    ],
)
def test_what_the_comparison_does_not_have(climbed, keys, message):
    with pytest.raises(InputError, match=message):
        ladder.plan(config_in(climbed, **keys))


@pytest.mark.parametrize(
    ("duration", "shares", "expected"),
    [
        ("5M tokens", [0.25], ["625000 tokens", "1250000 tokens", "2500000 tokens", "2500000 tokens"]),
        ("2 epochs", [0.25], ["0.25 epochs", "0.5 epochs", "1 epochs", "4 epochs"]),
        ("10 minutes", [0.5], ["75 seconds", "150 seconds", "300 seconds", "300 seconds"]),
        (
            "2 epochs, at least 80 steps",
            [0.5],
            ["0.25 epochs, at least 10 steps", "0.5 epochs, at least 20 steps", "1 epochs, at least 40 steps",
             "2 epochs, at least 40 steps"],
        ),
    ],
)  # fmt: skip
def test_durations_of_rungs(climbed, duration, shares, expected):
    config = config_in(climbed, step_shares=[0.125, 0.25, 0.5], corpus_shares=shares)
    one = one_model(config)
    stage = load(PretrainConfig, one.pretrain, {"training.duration": duration})
    rungs = rungs_of(config, one, stage, {1.0: 60, 0.25: 15, 0.5: 30})
    assert [rung.duration for rung in rungs] == expected
    assert [rung.comparison.set.pretrain["training.duration"] for rung in rungs] == expected
    assert [rung.documents for rung in rungs] == [None, None, None, round(60 * shares[0])]


def test_epochs_of_a_share_are_those_of_the_documents_that_are_in_it(climbed):
    config = config_in(climbed, step_shares=[0.25, 0.5, 1.0], corpus_shares=[0.5])
    one = one_model(config)
    stage = load(PretrainConfig, one.pretrain, {"training.duration": "2 epochs"})
    # A share by a hash is only about that: six epochs of 20 documents are as many steps as two of 60.
    assert rungs_of(config, one, stage, {1.0: 60, 0.5: 20})[-1].duration == "6 epochs"


def test_of_the_whole_duration_nothing_is_overridden(climbed):
    config = config_in(climbed, step_shares=[0.25, 0.5, 1.0], corpus_shares=[0.5, 1.0])
    one = one_model(config)
    stage = load(PretrainConfig, one.pretrain, {})
    rungs = rungs_of(config, one, stage, {1.0: 60, 0.25: 15, 0.5: 30})
    assert rungs[2].comparison.set.pretrain == {}
    assert rungs[3].comparison.set.pretrain == {"corpus.share": 0.5}
    assert len(rungs) == 4


def test_rungs_that_round_to_one_duration_are_refused_before_they_run(climbed):
    config = config_in(climbed, step_shares=[0.0625, 0.125, 0.5], corpus_shares=[])
    one = one_model(config)
    stage = load(PretrainConfig, one.pretrain, {"training.duration": "10 steps"})
    with pytest.raises(InputError, match="rungs of one duration"):
        rungs_of(config, one, stage, {})
