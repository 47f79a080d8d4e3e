"""Scores against hand-made numbers, and against what `evaluate` would do by name."""

from pathlib import Path

import numpy as np
import pytest

from finetune.classification.metrics import Accuracy, scores
from finetune.classification.predictions import against_majority


def test_scores_of_a_small_confusion_matrix() -> None:
    labels, predictions = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 1, 2, 0])
    found = scores(predictions, labels)
    assert found["accuracy"] == pytest.approx(4 / 6)
    # F1 of the classes: 1/2, 4/5, 2/3.
    assert found["macro_f1"] == pytest.approx((1 / 2 + 4 / 5 + 2 / 3) / 3)
    # c = 4 right of s = 6; true counts 2 2 2, predicted 2 3 1.
    assert found["matthews"] == pytest.approx((4 * 6 - 12) / np.sqrt((36 - 14) * (36 - 12)))


def test_a_folder_named_like_a_metric_is_not_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "accuracy").mkdir()
    (tmp_path / "accuracy" / "accuracy.py").write_text("raise SystemExit('executed')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert scores(np.array([1, 0]), np.array([1, 1]))["accuracy"] == 0.5


def test_metrics_are_objects_of_evaluate_and_combine() -> None:
    import evaluate

    found = evaluate.combine([Accuracy(keep_in_memory=True)]).compute(predictions=[1, 1], references=[1, 0])
    assert found == {"accuracy": 0.5}


@pytest.mark.parametrize(("correct", "expected"), [(500, False), (515, False), (560, True), (0, False)])
def test_a_run_has_learned_something_if_it_beats_the_majority_by_more_than_chance(correct, expected) -> None:
    labels = np.array([0, 1] * 500)
    predictions = np.where(np.arange(1000) < correct, labels, 1 - labels)
    found = against_majority(predictions, labels)
    assert found == {"test_majority": 0.5, "beats_majority": expected}


def test_of_a_handful_of_texts_it_is_not_said_that_a_run_has_failed() -> None:
    # Once, "FAILED: no better than the majority" stood beside an accuracy of 100 % of three texts.
    labels = np.array([0, 1, 0])
    assert against_majority(labels, labels) == {"test_majority": pytest.approx(2 / 3), "beats_majority": None}
    assert against_majority(np.zeros(40), np.zeros(40, dtype=int))["beats_majority"] is None


def test_one_label_alone_has_no_correlation_and_no_warning() -> None:
    assert scores(np.array([1, 1]), np.array([1, 1])) == {"accuracy": 1.0, "macro_f1": 1.0, "matthews": 0.0}
