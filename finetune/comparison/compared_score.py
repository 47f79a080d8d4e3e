"""The score that a comparison is about: its name, its value for each test text, and the constant answer's.

Shapes: N test texts, C classes or labels.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from configs.errors import InputError
from configs.run_folder import RunFolder
from finetune.classification.config import MULTI_LABEL, TaskConfig
from finetune.classification.corpora import corpora_of
from finetune.classification.multi_label.label_scores import (
    as_decisions,
    beats_constant,
    best_constant,
    label_scores,
    text_values,
)
from finetune.classification.predictions import correctness, predicted_and_true
from finetune.comparison.config import CompareConfig
from tokenizer.corpus.documents import read as read_documents

NAMES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "micro_f1": "micro-F1",
    "subset_accuracy": "subset accuracy",
}


def score_name(score: str) -> str:
    """A compared score as people call it.

    >>> score_name("macro_f1"), score_name("accuracy")
    ('macro-F1', 'accuracy')
    """
    return NAMES[score]


def compared_score(config: CompareConfig, multi_label: bool) -> str:
    """The score of a comparison: the configured one, else what fits the task.

    Args:
        config: of the comparison.
        multi_label: whether a text may have several labels.

    Raises:
        InputError: such texts have no such score.

    >>> compared_score(CompareConfig(), multi_label=True), compared_score(CompareConfig(score="macro_f1"), False)
    ('micro_f1', 'macro_f1')
    """
    possible = ("micro_f1", "macro_f1", "subset_accuracy") if multi_label else ("accuracy", "macro_f1")
    if config.score is not None and config.score not in possible:
        kind = "a text may have several labels" if multi_label else "a text has one class"
        raise InputError(f"score: there is no {config.score} where {kind}; use {' or '.join(possible)}")
    return config.score or possible[0]


def is_multi_label(result: Mapping[str, Any]) -> bool:
    """Whether a run's texts may have several labels, by its result."""
    return result.get("problem_type") == MULTI_LABEL


def has_several_labels(task: TaskConfig) -> bool:
    """Whether the training texts of a task may have several labels, by the first of them.

    Raises:
        InputError: it cannot be read.
    """
    first = next(read_documents(corpora_of(task)["train"], labelled=True))
    return isinstance(first.label, tuple)


def values_of(run: RunFolder, score: str) -> np.ndarray:
    """A value for each test text of a run, [N], whose mean is the score; see `label_scores.text_values`."""
    if score == "accuracy":
        return correctness(run)
    return text_values(score, *_decisions(run))


def constant_score(run: RunFolder, score: str) -> float | None:
    """The score of the best constant answer on a run's test texts; None of runs made before it was recorded."""
    if score == "accuracy":
        return run.result().get("test_majority")
    _, labels_NC = _decisions(run)
    return label_scores(_constant(run, score, labels_NC), labels_NC)[score]


def has_failed(run: RunFolder, score: str) -> bool:
    """Whether a run is not shown to be better than the best constant answer, though the texts could tell."""
    result = run.result()
    if score == "accuracy":
        # Runs made before this was recorded count as successes.
        return result.get("beats_majority") is False
    decisions_NC, labels_NC = _decisions(run)
    return beats_constant(score, decisions_NC, labels_NC, _constant(run, score, labels_NC)) is False


def _constant(run: RunFolder, score: str, labels_NC: np.ndarray) -> np.ndarray:
    """The decisions of the best constant answer, [N, C]; where a text has one class, it is one class."""
    if is_multi_label(run.result()):
        return np.broadcast_to(best_constant(score, labels_NC), labels_NC.shape)
    return as_decisions(np.full(len(labels_NC), labels_NC.sum(0, dtype=np.int64).argmax()), labels_NC.shape[1])


def _decisions(run: RunFolder) -> tuple[np.ndarray, np.ndarray]:
    """The predicted and the true labels of each test text, both [N, C]."""
    predictions, labels = predicted_and_true(run)
    if labels.ndim == 1:
        # Runs made before classes had numbers have their names.
        _, numbers = np.unique(np.concatenate([predictions, labels]), return_inverse=True)
        predictions, labels = np.split(numbers, 2)
    count = max(int(predictions.max()), int(labels.max())) + 1 if labels.ndim == 1 else labels.shape[1]
    return as_decisions(predictions, count), as_decisions(labels, count)
