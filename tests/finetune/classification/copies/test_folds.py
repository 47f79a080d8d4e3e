"""The folds of texts of which some are copies of each other."""

import dataclasses

import numpy as np
import pytest

from finetune.classification.config import TaskConfig
from finetune.classification.splits import Splits, draw_splits


def folds_of(keys: list[str], classes_N: np.ndarray, config: TaskConfig) -> list[Splits]:
    assert config.folds is not None
    return [
        draw_splits(
            dataclasses.replace(config, fold=fold), classes_N, lambda numbers: [keys[number] for number in numbers]
        )
        for fold in range(config.folds)
    ]


def keys_in(keys: list[str], texts: np.ndarray | None) -> set[str]:
    assert texts is not None
    return {keys[number] for number in texts}


@pytest.mark.parametrize("several", [False, True])
def test_fewer_different_texts_than_folds_are_parted_and_it_is_told(
    several: bool, caplog: pytest.LogCaptureFixture
) -> None:
    # Once, the last fold was empty, and the comparison ended.
    classes_N = np.arange(40) % 2
    keys = [str(number % 4) for number in range(40)]
    labels = np.eye(2, dtype=np.int8)[classes_N] if several else classes_N
    splits = folds_of(keys, labels, TaskConfig(test="given", folds=5))
    assert sorted(text for part in splits if part.test is not None for text in part.test) == list(range(40))
    assert "folds: the 40 labelled texts are copies of 4, too few for 5 folds" in caplog.text
    for part in splits:
        assert {*classes_N[part.train]} == {*classes_N[part.validation]} == {0, 1}
        assert not keys_in(keys, part.train) & keys_in(keys, part.validation)


@pytest.mark.parametrize("several", [False, True])
def test_a_class_keeps_two_different_texts_outside_of_a_fold(several: bool, caplog: pytest.LogCaptureFixture) -> None:
    # Once, two copies of one text were enough, and validation copied training.
    classes_N = np.array([0] * 40 + [1] * 20)
    keys = [str(number) for number in range(40)] + [f"rare {number % 2}" for number in range(20)]
    labels = np.eye(2, dtype=np.int8)[classes_N] if several else classes_N
    for part in folds_of(keys, labels, TaskConfig(test="given", folds=4)):
        assert {*classes_N[part.train]} == {*classes_N[part.validation]} == {0, 1}
        assert not keys_in(keys, part.train) & keys_in(keys, part.validation)
        assert not keys_in(keys, part.test) & (keys_in(keys, part.train) | keys_in(keys, part.validation))
    assert not caplog.text


def test_a_class_of_copies_alone_leaves_other_classes_their_folds() -> None:
    classes_N = np.array([0] * 30 + [1] * 10)
    keys = [str(number) for number in range(30)] + ["same"] * 10
    splits = folds_of(keys, classes_N, TaskConfig(test="given", folds=3))
    assert sorted(text for part in splits if part.test is not None for text in part.test) == list(range(30))
