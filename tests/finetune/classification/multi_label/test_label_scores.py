"""F1 of labels against scikit-learn, the values of texts against the scores they make, constant answers."""

import numpy as np
import pytest
import sklearn.metrics

from finetune.classification.metrics import scores
from finetune.classification.multi_label.label_scores import (
    against_constant,
    as_decisions,
    beats_constant,
    best_constant,
    label_scores,
    per_label,
    text_values,
)
from tests.helpers.several_labels import random_labels

F1 = ("micro_f1", "macro_f1")


def noisy(labels_NC: np.ndarray, share: float, seed: int = 1) -> np.ndarray:
    flips_NC = np.random.default_rng(seed).random(labels_NC.shape) < share
    return np.where(flips_NC, 1 - labels_NC, labels_NC).astype(np.int8)


@pytest.mark.parametrize("texts", [3, 50, 400])
def test_scores_are_those_of_scikit_learn(texts: int) -> None:
    labels_NC = random_labels(texts, [0.5, 0.3, 0.1, 0.0])
    decisions_NC = noisy(labels_NC, 0.2)
    decisions_NC[:, 3] = 0
    found = scores(decisions_NC, labels_NC)
    for average in ("micro", "macro"):
        expected = sklearn.metrics.f1_score(labels_NC, decisions_NC, average=average, zero_division=np.nan)
        assert found[f"{average}_f1"] == pytest.approx(expected)
    assert found["subset_accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(labels_NC, decisions_NC))
    expected = sklearn.metrics.matthews_corrcoef(labels_NC.ravel(), decisions_NC.ravel())
    assert found["matthews"] == pytest.approx(expected)
    rows = per_label(decisions_NC, labels_NC, ["a", "b", "c", "d"])
    report = sklearn.metrics.classification_report(
        labels_NC, decisions_NC, target_names=["a", "b", "c", "d"], output_dict=True, zero_division=0
    )
    for name, row in rows.items():
        assert list(row.values()) == pytest.approx(
            [report[name][key] for key in ("precision", "recall", "f1-score", "support")]
        )


def test_without_any_label_or_decision_scores_are_zero() -> None:
    nothing = np.zeros((5, 2), dtype=np.int8)
    assert label_scores(nothing, nothing) == {"micro_f1": 0, "macro_f1": 0, "subset_accuracy": 1, "matthews": 0}
    for name in F1:
        assert text_values(name, nothing, nothing).tolist() == [0] * 5


def test_macro_f1_of_classes_is_that_of_their_decisions() -> None:
    rng = np.random.default_rng(0)
    classes_N = rng.integers(0, 4, 300)
    predictions_N = np.where(rng.random(300) < 0.3, rng.integers(0, 4, 300), classes_N)
    found = text_values("macro_f1", as_decisions(predictions_N, 4), as_decisions(classes_N, 4))
    assert found.mean() == pytest.approx(scores(predictions_N, classes_N)["macro_f1"])


@pytest.mark.parametrize("name", [*F1, "subset_accuracy"])
def test_values_have_the_score_as_mean_and_its_variance_over_drawn_texts(name: str) -> None:
    rng = np.random.default_rng(2)
    labels_NC = random_labels(400, [0.5, 0.2, 0.1])
    decisions_NC = noisy(labels_NC, 0.15)
    values_N = text_values(name, decisions_NC, labels_NC)
    assert values_N.mean() == pytest.approx(label_scores(decisions_NC, labels_NC)[name])
    drawn = [label_scores(decisions_NC[rows], labels_NC[rows])[name] for rows in rng.integers(0, 400, (600, 400))]
    assert values_N.std(ddof=1) / 20 == pytest.approx(np.std(drawn), rel=0.12)


def test_the_value_of_a_text_is_the_jackknifes() -> None:
    labels_NC, decisions_NC = random_labels(40, [0.5, 0.3]), noisy(random_labels(40, [0.5, 0.3]), 0.2)
    for name in F1:
        whole = label_scores(decisions_NC, labels_NC)[name]
        without = [
            label_scores(np.delete(decisions_NC, text, 0), np.delete(labels_NC, text, 0))[name] for text in range(40)
        ]
        pseudo_N = 40 * whole - 39 * np.array(without)
        assert text_values(name, decisions_NC, labels_NC) == pytest.approx(pseudo_N - pseudo_N.mean() + whole)


@pytest.mark.parametrize("name", [*F1, "subset_accuracy"])
def test_no_constant_answer_is_better_than_the_best(name: str) -> None:
    labels_NC = random_labels(300, [0.6, 0.35, 0.3, 0.05])
    best = label_scores(np.broadcast_to(best_constant(name, labels_NC), labels_NC.shape), labels_NC)[name]
    every = [np.array([int(bit) for bit in f"{number:04b}"]) for number in range(16)]
    values = [label_scores(np.broadcast_to(answer, labels_NC.shape), labels_NC)[name] for answer in every]
    assert best == pytest.approx(max(values))


def test_a_model_that_knows_something_beats_the_constant_and_one_that_does_not_fails() -> None:
    labels_NC = random_labels(300, [0.6, 0.3, 0.1])
    assert against_constant(noisy(labels_NC, 0.05), labels_NC)["beats_majority"] is True
    constant_NC = np.broadcast_to(best_constant("micro_f1", labels_NC), labels_NC.shape)
    facts = against_constant(constant_NC, labels_NC)
    assert facts["beats_majority"] is False
    assert facts["test_majority_micro_f1"] == pytest.approx(label_scores(constant_NC, labels_NC)["micro_f1"])
    shuffled = np.random.default_rng(0).permutation(labels_NC)
    assert against_constant(shuffled, labels_NC)["beats_majority"] is False


def test_two_texts_tell_no_model_from_a_constant() -> None:
    labels_NC = np.array([[1, 0], [1, 1]])
    assert beats_constant("micro_f1", labels_NC, labels_NC, np.array([[1, 0], [1, 0]])) is None
