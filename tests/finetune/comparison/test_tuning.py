"""Every model is tuned alike, on its own labels, without a look at the test texts."""

import dataclasses
import itertools
import json
import shutil

import numpy as np
import pytest
import yaml

from configs.command_line import load
from configs.errors import InputError
from configs.run_folder import RunFolder
from finetune import compare
from finetune.classification.config import TaskConfig
from finetune.classification.splits import draw_splits, draw_texts
from finetune.comparison.config import CompareConfig, TuningConfig
from finetune.comparison.grid import Failure
from finetune.comparison.running import cells as running
from finetune.comparison.running import subprocesses
from finetune.comparison.running.unfinished import unfinished_runs
from finetune.comparison.tuning import (
    FOLDS,
    RangesConfig,
    Trial,
    Tuned,
    different_settings,
    drawn,
    expected_best,
    planned_trials,
    trials_of,
)
from finetune.run import run
from tests.finetune.comparison.test_compare import run_forked
from tests.helpers.comparisons import make, texts_of
from tests.helpers.finetuning import finetune_config, write_chain
from tokenizer.corpus.config import CorpusConfig


@pytest.mark.parametrize("own_test", [False, True])
def test_the_folds_are_the_labels_of_the_run_and_no_more(tmp_path, own_test):
    source = tmp_path / "texts.jsonl"
    source.write_text('{"text": "a", "label": 1}\n')
    classes = np.array([0, 0, 1] * 100)
    corpus = CorpusConfig(source=str(source))
    config = TaskConfig(corpus=corpus, label_budget=60, seed=3, test=str(source) if own_test else None)
    keys = [str(number) for number in range(len(classes))]
    whole = draw_splits(config, classes, lambda numbers: [keys[number] for number in numbers])
    labels = {*whole.train, *whole.validation}
    tested = []
    for fold in range(FOLDS):
        of_fold = dataclasses.replace(config, folds=FOLDS, fold=fold)
        part = draw_splits(of_fold, classes, lambda numbers: [keys[number] for number in numbers])
        assert part.test is not None
        assert {*part.train, *part.validation, *part.test} == labels
        assert len(part.train) + len(part.validation) + len(part.test) == 60
        assert np.bincount(classes[part.test]).tolist() == [8, 4]
        assert len(part.validation) == 10
        tested += part.test.tolist()
    assert sorted(tested) == sorted(labels)
    if own_test:
        assert whole.test is None
        assert labels == {*np.concatenate(draw_texts(config, classes))}
    else:
        assert whole.test is not None
        assert not labels & {*whole.test}


@pytest.mark.parametrize("rare", [0, 2])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_of_a_rare_class_every_fold_leaves_a_text_for_each_part(rare, count):
    common = [number for number in range(3) if number != rare]
    classes = np.array([common[0]] * 30 + [common[1]] * 28 + [rare] * count)
    config = TaskConfig(label_budget=len(classes))
    judged = 0
    for fold in range(FOLDS):
        part = draw_splits(
            dataclasses.replace(config, folds=FOLDS, fold=fold, test="given"), classes, list, ["a", "b", "c"]
        )
        assert part.test is not None
        for texts in (part.train, part.validation):
            assert (np.bincount(classes[texts], minlength=3) > 0).all()
        judged += int((classes[part.test] == rare).sum())
        assert sorted([*part.train, *part.validation, *part.test]) == list(range(len(classes)))
    # Two are needed for the parts, whatever the fold.
    assert judged == 0 if count == 2 else 0 < judged <= count
    with pytest.raises(InputError, match=r"folds: of 4 labels, training and validation need all"):
        draw_splits(
            dataclasses.replace(config, label_budget=4, folds=FOLDS, test="given"), np.array([0, 0, 1, 1]), list
        )


@pytest.mark.parametrize("name", ["bag-of-words", "lstm"])
def test_a_fold_reads_no_test_text(chain, tmp_path, name):
    texts = tmp_path / "labelled"
    shutil.copytree(finetune_config(chain).corpus.source, texts)
    (texts / "test.jsonl").unlink()
    keys = {"model__name": name, "corpus__source": str(texts), "label_budget": 60, "training__duration": "4 steps"}
    result = run(finetune_config(chain, **keys, folds=5, fold=4)).result()
    assert result["test_texts"] == 12
    assert result["train_texts"] == 48
    with pytest.raises(InputError, match="test"):
        run(finetune_config(chain, **keys, validation=None, test="test"))
    with pytest.raises(InputError, match="fold"):
        finetune_config(chain, folds=2, fold=2)


def test_what_is_drawn(chain):
    config = finetune_config(chain, model__name="bert", optimizer__name="muon")
    rates = "optimizer.learning_rate, optimizer.muon_learning_rate"
    ranges = {
        rates: {"times": [0.25, 4]},
        "model.dropout": {"between": [0.1, 0.2]},
        "token_masking": {"choices": [0.0, 0.15]},
    }
    trials = [drawn(ranges, config, "bert", number) for number in range(1, 60)]
    assert trials == [drawn(ranges, config, "bert", number) for number in range(1, 60)]
    factors = np.array([trial["optimizer.learning_rate"] / config.optimizer.learning_rate for trial in trials])
    others = [trial["optimizer.muon_learning_rate"] / config.optimizer.muon_learning_rate for trial in trials]
    assert factors == pytest.approx(others, rel=0.01)
    assert 0.25 <= factors.min() < 0.4
    assert 2.5 < factors.max() <= 4
    # As often below as above.
    assert 20 < (factors < 1).sum() < 40
    assert {trial["token_masking"] for trial in trials} == {0.0, 0.15}
    assert all(0.1 <= trial["model.dropout"] <= 0.2 for trial in trials)
    assert drawn(ranges, config, "other", 1) != trials[0]
    adamw = dataclasses.replace(config, optimizer=dataclasses.replace(config.optimizer, name="adamw"))
    assert "optimizer.muon_learning_rate" not in drawn(ranges, adamw, "bert", 1)
    # A compiled model has none.
    speed = dataclasses.replace(config.training.speed, compile=True)
    compiled = dataclasses.replace(config, training=dataclasses.replace(config.training, speed=speed))
    ranges = {"adversarial_step": {"choices": [0.006]}}
    assert [drawn(ranges, one, "bert", 1) for one in (config, compiled)] == [{"adversarial_step": 0.006}, {}]
    with pytest.raises(InputError, match=r"optimizer\.speed"):
        drawn({"optimizer.speed": {"times": [1, 2]}}, config, "bert", 1)


@pytest.mark.parametrize(
    "how", [{"times": [0, 1]}, {"times": [2, 1]}, {"between": [1]}, {"choices": []}, {"drawn": [1, 2]}, {}]
)
def test_ranges_that_cannot_be_drawn_from(how):
    with pytest.raises(InputError, match=r"encoder: model\.dropout"):
        RangesConfig(encoder={"model.dropout": how})


@pytest.mark.parametrize(("count", "expected"), [(2, 2), (3, 3), (9, 3)])
def test_no_settings_are_tried_twice(chain, count, expected):
    config = finetune_config(chain, model__name="bag-of-words")
    ranges = {"model.longest_word_sequence": {"choices": [1, 2, 3]}}
    found = different_settings(ranges, config, "bag-of-words", count)
    assert len(found) == expected
    # The first is as given, which is one of the choices.
    longest = [one.get("model.longest_word_sequence", config.model.longest_word_sequence) for one in found]
    assert len({*longest}) == expected
    assert found == different_settings(ranges, config, "bag-of-words", 9)[:expected]


def test_the_expected_best_is_the_mean_over_all_draws():
    scores = [0.7, 0.9, 0.6, 0.9]
    for draws, expected in enumerate(expected_best(scores), start=1):
        assert expected == pytest.approx(np.mean([max(one) for one in itertools.product(scores, repeat=draws)]))


def test_a_comparison_tunes_every_model_alike(tmp_path, monkeypatch, capsys):
    write_chain(tmp_path)
    monkeypatch.setattr(subprocesses, "run_process", run_forked)
    ranges = {
        # Rates at which nothing is learned, and words that a model cannot do without.
        "recurrent": {"optimizer.learning_rate": {"times": [1e-6, 1e-6]}},
        "bag_of_words": {"model.longest_word_sequence": {"choices": [2]}},
    }
    (tmp_path / "ranges.yaml").write_text(yaml.safe_dump(ranges))
    models = {"bag-of-words": {"model.longest_word_sequence": 1}, "frozen": {}, "lstm": {}}
    keys = {"models": models, "label_budgets": [60], "tuning.trials": 2, "tuning.ranges": str(tmp_path / "ranges.yaml")}
    config = load(CompareConfig, tmp_path / "compare.yaml", keys)
    folder = compare.run(config)
    result = folder.result()
    tuned = {one["model"]: one for one in result["tuning"]}
    # A frozen encoder has nothing to draw.
    assert set(tuned) == {"bag-of-words", "lstm"}
    assert tuned["lstm"]["settings"] == [{}, {"optimizer.learning_rate": 1e-8}]
    assert tuned["lstm"]["best"] == 0
    assert tuned["lstm"]["scores"][0] > tuned["lstm"]["scores"][1] + 0.1
    assert tuned["lstm"]["expected_best"][1] > tuned["lstm"]["expected_best"][0]
    assert len(list((tmp_path / "runs" / "finetune").iterdir())) == 2 * 2 * FOLDS + 3 * len(config.seeds)
    page = (folder.path / "report.html").read_text(encoding="utf-8")
    assert "The trials of each model" in page
    rows = (folder.path / "tables" / "tuning_trials.csv").read_text().splitlines()
    assert [row.split(",")[:3] for row in rows[1:]] == [
        [model, "60", trial] for model in ("bag-of-words", "lstm") for trial in "01"
    ]
    # Trials are runs: nothing is run again, and their scores are those of the runs.
    capsys.readouterr()
    compare.run(config)
    assert "$ " not in capsys.readouterr().out
    (run,) = (tmp_path / "runs" / "tokenizer").iterdir()
    (stage,) = (tmp_path / "runs" / "pretrain").iterdir()
    groups = trials_of(config, {"tokenizer": str(run)}, {"pretrain": RunFolder(stage)})
    for trials in groups:
        for trial, score in zip(trials, tuned[trials[0].model]["scores"], strict=True):
            correct = texts = 0
            for cell in trial.cells:
                found = json.loads((cell.folder.path / "result.json").read_text())
                correct += round(found["test_accuracy"] * found["test_texts"])
                texts += found["test_texts"]
            assert texts == 60
            assert score == pytest.approx(correct / texts)
    # A dry run counts what is left: nothing; or a part of a trial, and the runs whose settings hang on it.
    tokenizer_run, stages, cells = compare.begin(config)
    assert unfinished_runs(config, tokenizer_run, stages, cells) == []
    shutil.rmtree(groups[0][0].cells[0].folder.path)
    left = unfinished_runs(config, tokenizer_run, stages, cells)
    assert {model for model, _ in left} == {groups[0][0].model}
    assert sorted(one.folds or 0 for _, one in left) == [0] * len(config.seeds) + [FOLDS]


def test_the_best_settings_are_those_of_all_seeds(tmp_path, monkeypatch):
    write_chain(tmp_path)
    monkeypatch.setattr(subprocesses, "run_process", run_forked)
    (tmp_path / "ranges.yaml").write_text(
        yaml.safe_dump({"recurrent": {"optimizer.learning_rate": {"times": [1e6, 1e6]}}})
    )
    models = {"lstm": {"optimizer.learning_rate": 1e-8}}
    keys = {"models": models, "label_budgets": [60], "tuning.trials": 2, "tuning.ranges": str(tmp_path / "ranges.yaml")}
    folder = compare.run(load(CompareConfig, tmp_path / "compare.yaml", keys))
    (tuned,) = folder.result()["tuning"]
    assert tuned["best"] == 1
    rates = []
    for run_path in (tmp_path / "runs" / "finetune").iterdir():
        keys = yaml.safe_load((run_path / "config.yaml").read_text())
        if keys["folds"] is None:
            rates.append(keys["optimizer"]["learning_rate"])
    assert rates == [pytest.approx(0.01)] * 2


def test_a_trial_that_fails_everywhere_is_the_worst_and_ends_nothing(tmp_path, monkeypatch, caplog):
    write_chain(tmp_path)
    monkeypatch.setattr(subprocesses, "run_process", run_forked)
    (tmp_path / "ranges.yaml").write_text(
        yaml.safe_dump({"bag_of_words": {"model.longest_word_sequence": {"choices": [2]}}})
    )
    models = {"bag-of-words": {"model.longest_word_sequence": 1}}
    keys = {"models": models, "label_budgets": [60], "tuning.trials": 2, "tuning.ranges": str(tmp_path / "ranges.yaml")}
    config = load(CompareConfig, tmp_path / "compare.yaml", keys)
    (trials,) = trials_of(config, {"tokenizer": ""}, {})
    for cell in trials[1].cells:
        cell.folder.path.parent.mkdir(parents=True, exist_ok=True)
        cell.folder.path.write_text("in the way")
    assert len(trials[1].cells) > running.MAXIMUM_FAILURES
    (tuned,) = compare.tune(config, {"tokenizer": ""}, {})
    assert tuned.best == 0
    assert tuned.scores[0] > tuned.scores[1] == 0
    assert list(tuned.failed) == [1]
    assert "trial 2 (model.longest_word_sequence 2) failed and counts as the worst" in caplog.text
    assert tuned.failed[1] in caplog.text


def test_other_trials_make_another_comparison_though_the_best_be_the_same(tmp_path):
    made = make(tmp_path, {"bag-of-words": 0.7, "bert": 0.8}, (100,), seeds=(0, 1), texts=texts_of(60))
    tuned = Tuned("bert", 100, [{}, {"optimizer.learning_rate": 0.1}], [0.8, 0.5], 0, [0.65, 0.75], {}, ["aa", "bb"])
    others = [
        dataclasses.replace(tuned, digests=["aa", "cc"]),
        dataclasses.replace(tuned, scores=[0.8, 0.6]),
    ]
    folders = [compare.write_comparison(made.config, made.cells, made.stages, [one]) for one in (tuned, *others)]
    assert len({folder.path for folder in folders}) == 3
    assert [folder.result()["tuning"][0]["scores"] for folder in folders] == [[0.8, 0.5], [0.8, 0.5], [0.8, 0.6]]
    # Without tuning, what a comparison is known by is what it was.
    upstream = [folder.digest for folder in (*(cell.folder for cell in made.cells), *made.stages.values())]
    plain = compare.write_comparison(made.config, made.cells, made.stages)
    assert plain.path == RunFolder.of("compare", made.config, upstream).path


def test_a_trial_of_which_a_run_was_killed_is_named(tmp_path):
    made = make(tmp_path, {"lstm": 0.7}, (100,), seeds=(0, 1), texts=texts_of(60))
    trials = [
        Trial("lstm", 100, settings, [cell])
        for settings, cell in zip(({}, {"model.dropout": 0.3}), made.cells, strict=True)
    ]
    shutil.rmtree(made.cells[1].folder.path)
    killed = Failure(made.cells[1], "its process was killed (out of memory?)")
    tuned = Tuned.of(trials, made.config, [killed])
    assert tuned.scores[1] == 0
    assert tuned.failed == {1: killed.reason}
    (line,) = tuned.warnings()
    assert "trial 2 (model.dropout 0.3) failed" in line
    assert "killed" in line
    assert Tuned.of(trials[:1], made.config).warnings() == []


def test_runs_of_tuning_are_foreseen(chain):
    models = {"bag-of-words": {}, "frozen": {}, "lstm": {}}
    keys = {"models": models, "label_budgets": [20, 60], "tuning.trials": 3}
    planned = planned_trials(load(CompareConfig, chain / "compare.yaml", keys))
    assert len(planned) == 2 * 2 * 3 * FOLDS
    assert {model for model, _ in planned} == {"bag-of-words", "lstm"}
    # With their own settings, as some take longer.
    assert len({config.model.dropout for _, config in planned}) > 1
    assert planned_trials(load(CompareConfig, chain / "compare.yaml", {"models": models})) == []


def test_a_comparison_tells_of_copies_before_its_runs_and_not_for_each_model_and_fold(tmp_path, caplog):
    rows = [{"text": "win a prize", "label": "spam"}] * 20
    rows += [{"text": f"see you at {number}", "label": "ham"} for number in range(40)]
    for split in ("train", "test"):
        (tmp_path / f"{split}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (tmp_path / "finetune.yaml").write_text(yaml.safe_dump({"corpus": {"source": str(tmp_path), "split": "train"}}))
    config = CompareConfig(
        finetune=str(tmp_path / "finetune.yaml"), models={"bag-of-words": {}, "lstm": {}}, label_budgets=[60],
        tuning=TuningConfig(trials=2),
    )  # fmt: skip
    compare.check_tasks(config)
    # Of the draw, and of the first of the five folds.
    assert [message for message in caplog.messages if message.startswith(("validation", "folds"))] == [
        f"validation: of {texts} texts, none of class spam can be spared with its copies, so one validates with copies "
        "in training"
        for texts in (60, 52)
    ]
