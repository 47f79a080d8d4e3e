"""Thresholds: the best of the validation texts by trying all, and only by these texts."""

from typing import Any

import numpy as np
import pytest

from configs.errors import InputError
from finetune.classification.config import TaskConfig
from finetune.classification.multi_label.label_scores import label_scores
from finetune.classification.multi_label.thresholds import at_temperature, choose_thresholds, decide
from tests.helpers.several_labels import random_labels


def guessed(labels_NC: np.ndarray, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    """Probabilities that are higher where a text has a label."""
    noise_NC = np.random.default_rng(seed).normal(0, 1, labels_NC.shape)
    return 1 / (1 + np.exp(-(2 * labels_NC - 1 + noise_NC + shift)))


@pytest.mark.parametrize("score", ["micro_f1", "macro_f1", "subset_accuracy", "matthews"])
@pytest.mark.parametrize("shift", [-3.0, 0.0, 2.0])
def test_no_other_threshold_is_better_for_the_validation_texts(score: Any, shift: float) -> None:
    labels_NC = random_labels(60, [0.5, 0.2])
    probabilities_NC = guessed(labels_NC, shift)
    thresholds_C = choose_thresholds(probabilities_NC, labels_NC, TaskConfig(select_by=score))
    assert thresholds_C[0] == thresholds_C[1]
    found = label_scores(decide(probabilities_NC, thresholds_C), labels_NC)[score]
    tried = [
        label_scores(decide(probabilities_NC, np.full(2, threshold)), labels_NC)[score]
        for threshold in np.unique(probabilities_NC)
    ]
    assert found == pytest.approx(max(tried))
    # Not on the edge of a text's own probability.
    assert thresholds_C[0] not in probabilities_NC


def test_each_label_has_its_own_if_it_has_enough_texts() -> None:
    labels_NC = random_labels(400, [0.5, 0.3, 0.005])
    probabilities_NC = guessed(labels_NC) ** np.array([1, 3, 1])
    shared_C = choose_thresholds(probabilities_NC, labels_NC, TaskConfig())
    own_C = choose_thresholds(probabilities_NC, labels_NC, TaskConfig(threshold="per_label"))
    assert labels_NC.sum(0)[2] < 10
    assert own_C[2] == shared_C[2]
    assert own_C[1] < own_C[0]
    by_shared, by_own = (label_scores(decide(probabilities_NC, t), labels_NC) for t in (shared_C, own_C))
    assert by_own["macro_f1"] > by_shared["macro_f1"]


def test_a_given_threshold_is_taken_and_without_positives_it_is_a_half() -> None:
    labels_NC = random_labels(40, [0.5, 0.3])
    assert choose_thresholds(guessed(labels_NC), labels_NC, TaskConfig(threshold=0.3)).tolist() == [0.3, 0.3]
    assert choose_thresholds(guessed(labels_NC), 0 * labels_NC, TaskConfig()).tolist() == [0.5, 0.5]
    with pytest.raises(InputError, match=r"threshold: 1\.5 is outside"):
        TaskConfig(threshold=1.5)


def test_a_clear_gap_is_cut_in_the_middle() -> None:
    probabilities_NC = np.array([[0.9, 0.1], [0.2, 0.7], [0.8, 0.8]])
    labels_NC = np.array([[1, 0], [0, 1], [1, 1]])
    assert choose_thresholds(probabilities_NC, labels_NC, TaskConfig()).tolist() == pytest.approx([0.45, 0.45])


def test_a_temperature_moves_a_threshold_and_no_decision() -> None:
    logits_NC = np.random.default_rng(0).normal(0, 3, (200, 2))
    thresholds_C = np.array([0.3, 0.6])
    calibrated, plain = 1 / (1 + np.exp(-logits_NC / 2.5)), 1 / (1 + np.exp(-logits_NC))
    assert (decide(calibrated, thresholds_C) == decide(plain, at_temperature(thresholds_C, 2.5))).all()


@pytest.mark.parametrize(("score", "several"), [("accuracy", True), ("micro_f1", False), ("subset_accuracy", False)])
def test_a_score_of_the_other_kind_of_task_is_refused(score, several: bool) -> None:
    with pytest.raises(InputError, match=f"select_by: there is no {score} where a text"):
        TaskConfig(select_by=score).score_of(several)


def test_each_kind_of_task_has_its_score() -> None:
    assert TaskConfig().score_of(False) == "accuracy"
    assert TaskConfig().score_of(True) == "micro_f1"
    assert TaskConfig(select_by="macro_f1").score_of(True) == "macro_f1"
