"""Another score than accuracy from validation to verdict, with intervals that hold the truth as often as they say."""

import dataclasses
import re
from typing import Any

import numpy as np
import pytest
import scipy.stats

from configs.command_line import load
from configs.errors import InputError
from configs.run_folder import RunFolder, digest
from finetune import compare
from finetune.classification.multi_label.label_scores import label_scores, text_values
from finetune.classification.predictions import predicted_and_true
from finetune.comparison.compared_score import compared_score, values_of
from finetune.comparison.config import CompareConfig
from finetune.comparison.grid import cell_config, grid_cells
from finetune.comparison.intervals import Interval, mean_interval
from finetune.comparison.running import cells as running
from finetune.comparison.scores import Answer, Score
from finetune.comparison.verdict import answer_sentence, failures
from finetune.run import run
from tests.finetune.comparison.test_intervals import score as row_of
from tests.helpers.finetuning import finetune_config
from tests.helpers.several_labels import write_splits

FREQUENCIES = np.array([0.5, 0.3, 0.15, 0.08])
# How far the two models' scores of texts with and without a label are apart; of texts and of the rest, deviations.
MODELS, TEXT_DEVIATION, REST = (1.0, 1.15), 0.7, 0.6


def truth(name: str, distance: float, seed_deviation: float) -> float:
    """The score over all texts, as the mean over all seeds."""
    shifts_SC = np.random.default_rng(9).normal(0, seed_deviation, (100_000, len(FREQUENCIES)))
    deviation = np.hypot(TEXT_DEVIATION, REST)
    hits_SC, false_SC = (scipy.stats.norm.cdf((sign * distance + shifts_SC) / deviation) for sign in (1, -1))
    true_SC = FREQUENCIES * hits_SC
    total_SC = true_SC + (1 - FREQUENCIES) * false_SC + FREQUENCIES
    if name == "micro_f1":
        return float((2 * true_SC.sum(1) / total_SC.sum(1)).mean())
    return float((2 * true_SC / total_SC).mean())


def coverage(name: str, repetitions: int, seeds: int = 3, texts: int = 300, seed_deviation: float = 0.05) -> np.ndarray:
    """How often intervals hold the score of a model, and the difference of two that were tested on the same texts.

    More of it: `python -c "from tests.finetune.comparison.test_compared_score import coverage;
    print(coverage('macro_f1', 4000, seeds=5, texts=1000, seed_deviation=0.2))"`.
    """
    rng = np.random.default_rng(0)
    expected = [truth(name, distance, seed_deviation) for distance in MODELS]
    held = np.zeros(2)
    for _ in range(repetitions):
        labels_NC = (rng.random((texts, len(FREQUENCIES))) < FREQUENCIES).astype(np.int8)
        text_N1 = rng.normal(0, TEXT_DEVIATION, (texts, 1))
        values = []
        for distance in MODELS:
            shifts_SC = rng.normal(0, seed_deviation, (seeds, 1, len(FREQUENCIES)))
            rest_SNC = rng.normal(0, REST, (seeds, texts, len(FREQUENCIES)))
            decisions_SNC = (distance * (2 * labels_NC - 1) + text_N1 + shifts_SC + rest_SNC > 0).astype(np.int8)
            values.append(np.stack([text_values(name, decisions, labels_NC) for decisions in decisions_SNC]))
        one, difference = mean_interval(values[0], 0.95), mean_interval(values[1] - values[0], 0.95)
        held += [
            one.low <= expected[0] <= one.high,
            difference.low <= expected[1] - expected[0] <= difference.high,
        ]
    return held / repetitions


@pytest.mark.parametrize(("name", "seed_deviation"), [("micro_f1", 0.2), ("macro_f1", 0.05)])
def test_intervals_of_f1_hold_the_truth_about_as_often_as_they_claim(name: str, seed_deviation: float) -> None:
    of_one, of_differences = coverage(name, 200, seed_deviation=seed_deviation)
    # Of 200, a share of 95 % is within 92 and 98 % in nineteen of twenty cases.
    assert 0.92 <= of_one <= 0.985
    assert 0.92 <= of_differences <= 0.985


def test_the_same_intervals_without_the_jackknife_would_not() -> None:
    # A text's own F1 is no part of the F1 of all texts: its mean is another number.
    rng = np.random.default_rng(0)
    labels_NC = (rng.random((300, 4)) < FREQUENCIES).astype(np.int8)
    decisions_NC = (2 * labels_NC - 1 + rng.normal(0, 1, labels_NC.shape) > 0).astype(np.int8)
    own_N = 2 * (decisions_NC * labels_NC).sum(1) / np.maximum(1, (decisions_NC + labels_NC).sum(1))
    assert abs(own_N.mean() - label_scores(decisions_NC, labels_NC)["micro_f1"]) > 0.1


def one_by_one(work: Any, items: Any, count: int, imports: Any) -> Any:
    """The runs of a comparison in this process."""
    return ((item, work(item)) for item in items)


@pytest.fixture(scope="module")
def several(chain, tmp_path_factory) -> Any:
    """The folder of a small comparison of texts with several labels, and its cells."""
    texts = write_splits(tmp_path_factory.mktemp("compared-labels"))
    keys = {"training.duration": "40steps", "corpus.source": str(texts), "corpus.label_name_column": None}
    models: dict[str, Any] = {"bag-of-words": {}, "bert": {}}
    overrides = {"name": "several", "set.finetune": keys, "models": models, "label_budgets": [40, 240]}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(compare, "run_stage", lambda command, folder: None)
        patched.setattr(running, "in_processes", one_by_one)
        config = load(CompareConfig, chain / "compare.yaml", overrides)
        folder = compare.run(config)
        (tokenizer,) = (chain / "runs" / "tokenizer").iterdir()
        (encoder,) = (chain / "runs" / "pretrain").glob("small-*")
        return folder, grid_cells(config, {"tokenizer": str(tokenizer)}, {"pretrain": RunFolder(encoder)})


def test_several_labels_are_compared_by_micro_f1(several) -> None:
    folder, cells = several
    result = folder.result()
    assert result["score"] == "micro_f1"
    for row in result["scores"]:
        runs = [cell.folder.result() for cell in cells
                if (cell.model, cell.label_budget) == (row["model"], row["label_budget"])]  # fmt: skip
        assert row["accuracies"] == [run["test_micro_f1"] for run in runs]
        assert row["accuracy"]["estimate"] == pytest.approx(np.mean(row["accuracies"]))
        assert row["accuracy"]["low"] <= row["accuracy"]["estimate"] <= row["accuracy"]["high"]
        assert row["validation_accuracy"] == pytest.approx(np.mean([run["eval_micro_f1"] for run in runs]))
        assert set(row["others"]) == {"subset_accuracy"}
    assert result["majority"] == pytest.approx(cells[0].folder.result()["test_majority_micro_f1"])
    assert "micro-F1" in result["verdict"]
    page = (folder.path / "report.html").read_text()
    headings = set(re.findall(r">\s*([^<>]+?, %)\s*<", page))
    assert {"micro-F1, %", "subset accuracy, %"} <= headings
    assert "accuracy, %" not in headings
    assert "Micro-F1 against labels" in page
    # What a point more takes is about the same score.
    gained = [row["gain_estimate"] for row in result["tables"]["decision"] if row["model"] == "bert"]
    means = {row["label_budget"]: row["accuracy"]["estimate"] for row in result["scores"] if row["model"] == "bert"}
    assert gained == pytest.approx([means[240] - means[40]] * 2)


def test_the_table_of_the_command_says_what_it_holds(several, capsys) -> None:
    result = several[0].result()
    compare.print_table(result["scores"], result["majority"], result["score"])
    printed = capsys.readouterr().out
    assert "test micro-F1, %" in printed
    assert "one answer for all texts" in printed


def test_macro_f1_of_classes_is_compared_and_selects(chain, monkeypatch) -> None:
    monkeypatch.setattr(running, "in_processes", one_by_one)
    overrides = {"name": "macro", "score": "macro_f1", "models": {"bag-of-words": {}}, "label_budgets": [20]}
    config = load(CompareConfig, chain / "compare.yaml", overrides)
    cell, _ = cell_config(config, "bag-of-words", 20, 0, {}, {})
    assert cell.select_by == "macro_f1"
    explicit = load(CompareConfig, chain / "compare.yaml", overrides | {"set.finetune": {"select_by": "matthews"}})
    assert cell_config(explicit, "bag-of-words", 20, 0, {}, {})[0].select_by == "matthews"
    folder = compare.run(config)
    (row,) = folder.result()["scores"]
    assert folder.result()["score"] == "macro_f1"
    assert row["accuracy"]["estimate"] == pytest.approx(row["macro_f1"])
    assert set(row["others"]) == {"accuracy"}
    # Of two classes in equal parts, always one has an F1 of 2/3 for it and none for the other.
    assert folder.result()["majority"] == pytest.approx(1 / 3)


def test_values_of_a_run_have_its_score_as_mean(chain) -> None:
    folder = run(finetune_config(chain, model__name="bag-of-words", label_budget=20))
    predictions_N, labels_N = predicted_and_true(folder)
    assert values_of(folder, "accuracy").tolist() == (predictions_N == labels_N).astype(float).tolist()
    assert values_of(folder, "macro_f1").mean() == pytest.approx(folder.result()["test_macro_f1"])


@pytest.mark.parametrize(
    ("score", "several_labels"), [("accuracy", True), ("micro_f1", False), ("subset_accuracy", False)]
)
def test_a_score_that_the_texts_do_not_have_is_refused_before_training(chain, score, several_labels, tmp_path) -> None:
    with pytest.raises(InputError, match=f"score: there is no {score} where a text"):
        compared_score(CompareConfig(score=score), several_labels)
    if not several_labels:
        overrides = {"name": "no", "score": score, "models": {"bag-of-words": {}}, "seeds": [7, 8]}
        with pytest.raises(InputError, match=f"score: there is no {score} where a text has one class; use accuracy or"):
            compare.run(load(CompareConfig, chain / "compare.yaml", overrides))


def test_without_a_score_no_digest_changes(chain) -> None:
    config = load(CompareConfig, chain / "compare.yaml")
    assert cell_config(config, "bag-of-words", 20, 0, {}, {})[1].keys() == {
        "model.name", "training.duration", "label_budget", "seed"
    }  # fmt: skip
    plain = finetune_config(chain)
    assert digest(plain, []) == digest(finetune_config(chain, select_by="accuracy"), [])
    assert digest(plain, []) != digest(finetune_config(chain, select_by="macro_f1"), [])
    assert digest(CompareConfig(), []) != digest(CompareConfig(score="macro_f1"), [])


def test_sentences_name_the_score_unless_it_is_accuracy() -> None:
    rows: dict[str, Score] = {"lstm": row_of("lstm", None), "bert": row_of("bert", None)}
    answer = Answer("bert", 1000, "lstm", Interval(0.03, 0.01, 0.05, 0.01, 0.02), 0.01, "ahead")
    assert "take bert: 80.0 %, +3.0 [+1.0, +5.0] points of micro-F1 over lstm" in answer_sentence(
        answer, rows, "micro-F1"
    )
    assert "take bert: 80.0 %, +3.0 [+1.0, +5.0] points over lstm" in answer_sentence(answer, rows)
    failed = [dataclasses.replace(rows["bert"], failed_runs=1)]
    assert failures(failed, 1000, "micro-F1").startswith(
        " Runs not shown to be better than one answer for all texts, by micro-F1: 1"
    )
