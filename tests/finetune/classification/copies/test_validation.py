"""Validation texts where copies of a text stay together, and may have other labels than it."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from finetune.classification.config import TaskConfig
from finetune.classification.multi_label.stratification import part
from finetune.classification.splits import draw_splits, draw_texts, set_aside
from tests.helpers.several_labels import random_labels


def parts_of(keys: list[str], labels: np.ndarray, **changes: Any) -> tuple[np.ndarray, np.ndarray]:
    return draw_texts(TaskConfig(**changes), labels, keys=lambda numbers: [keys[number] for number in numbers])


def copied(keys: list[str], some: np.ndarray, others: np.ndarray) -> set[str]:
    return {keys[number] for number in some} & {keys[number] for number in others}


@pytest.mark.parametrize("seed", range(20))
def test_a_label_that_some_copies_of_a_text_have_is_in_both_parts(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    # Once, it was trained on or not as the first copy in the draw had it or not.
    labels_NC = np.zeros((60, 3), dtype=np.int8)
    labels_NC[::2, 0] = labels_NC[1::2, 1] = 1
    labels_NC[:2, 2] = 1
    keys = ["same"] * 3 + [str(number) for number in range(57)]
    train, validation = parts_of(keys, labels_NC, seed=seed)
    assert sorted([*train, *validation]) == list(range(60))
    assert (labels_NC[train].sum(0) >= 1).all()
    assert (labels_NC[validation].sum(0) >= 1).all()
    assert copied(keys, train, validation) == {"same"}
    assert "validation: of 60 texts, none of label 2 can be spared with its copies, so one validates" in caplog.text


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(12, 80), st.integers(2, 40), st.integers(0, 99))
def test_every_label_is_trained_on_whatever_copies_have(texts: int, different: int, seed: int) -> None:
    labels_NC = random_labels(texts, [0.5, 0.3, 0.1, 0.05], seed)
    labels_NC[:8] = np.repeat(np.eye(4, dtype=labels_NC.dtype), 2, axis=0)
    keys = [str(key) for key in np.random.default_rng(seed).integers(0, different, texts)]
    train, validation = parts_of(keys, labels_NC, seed=seed)
    assert sorted([*train, *validation]) == list(range(texts))
    assert (labels_NC[train].sum(0) >= 1).all()
    assert len(validation) >= 1


@pytest.mark.parametrize("seed", range(20))
def test_a_text_of_many_copies_does_not_validate_where_others_do(seed: int) -> None:
    # Once, 61 of 40, as the last text of the draw brought a label.
    labels_NC = np.eye(2, dtype=np.int8)[np.arange(200) % 2]
    labels_NC[:60] = [1, 0]
    keys = ["same"] * 60 + [str(number) for number in range(140)]
    train, validation = parts_of(keys, labels_NC, seed=seed)
    assert len(validation) == 40
    assert not copied(keys, train, validation)
    assert len(parts_of(keys, labels_NC, seed=seed, maximum_validation_texts=10)[1]) == 10
    assert len(set_aside(keys, labels_NC, 0.2)) == 40


@pytest.mark.parametrize("seed", range(20))
def test_a_copy_of_another_class_brings_no_more_texts_than_that_wants(seed: int) -> None:
    classes_N = np.array([0] * 50 + [1] * 150)
    # One text of class 0 has sixty copies of class 1.
    keys = [*map(str, range(50)), *["0"] * 60, *map(str, range(50, 140))]
    train, validation = parts_of(keys, classes_N, seed=seed)
    assert np.bincount(classes_N[validation]).tolist() == [10, 30]
    assert not copied(keys, train, validation)


def test_larger_groups_come_where_no_other_brings_a_label_and_the_smallest_of_them_first() -> None:
    labels_NC = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0, 1]])
    assert part(labels_NC, np.array([9, 2, 8, 7, 9]), np.arange(5), 3).tolist() == [False, True, False, True, False]
    # None brings a label, and none fits.
    assert (
        part(labels_NC[:, :0], np.array([9, 8, 7, 9, 7]), np.arange(5), 3).tolist()
        == [False] * 2 + [True] + [False] * 2
    )


def test_copies_of_one_text_are_parted_and_it_is_told(caplog: pytest.LogCaptureFixture) -> None:
    labels_NC = np.zeros((10, 1), dtype=np.int8)
    labels_NC[0] = 1
    train, validation = parts_of(["same"] * 10, labels_NC)
    assert (len(train), len(validation)) == (8, 2)
    assert 0 in train
    assert "validation: of 10 texts, none can be spared with its copies, so some validate" in caplog.text


@pytest.mark.parametrize(
    ("keys", "labels", "told"),
    [
        # Of class 0 there are two texts, and each has a copy that is the whole of another class.
        ("aaabbb", [0, 1, 1, 0, 2, 2], ["class 0", "class 1", "class 2"]),
        ("aabb", [[1, 1, 0], [1, 1, 0], [1, 0, 1], [1, 0, 1]], ["label 0", "label 1"]),
    ],
)
def test_different_texts_that_cannot_be_spared_are_not_called_copies_of_each_other(
    keys: str, labels: list[Any], told: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    train, validation = parts_of([*keys], np.array(labels))
    assert copied([*keys], train, validation)
    sentence = (
        "validation: of {} texts, none of {} can be spared with its copies, so one validates with copies in training"
    )
    assert sorted(caplog.messages) == [sentence.format(len(keys), name) for name in told]


@pytest.mark.parametrize("keys", ["aa", "ab"])
def test_where_each_text_is_the_only_one_of_a_label_none_can_validate(
    keys: str, caplog: pytest.LogCaptureFixture
) -> None:
    # Once, the run ended in a traceback, after the untrue line that texts are in training and validation.
    labels_NC = np.eye(2, dtype=np.int8)
    with pytest.raises(InputError, match=r"each of the 2 texts is the only one with some label.*`validation`"):
        parts_of([*keys], labels_NC)
    assert not caplog.records
    assert len(draw_texts(TaskConfig(validation="given"), labels_NC)[0]) == 2


def test_draws_without_copies_are_those_of_earlier_versions() -> None:
    """A published run is given again by its config alone."""
    classes_N = np.array([0, 1, 0, 2, 1, 0, 0, 2, 1, 0, 1, 2, 0, 1, 2, 2])
    labels_NC = np.array([[1, 0, number % 3 == 0] for number in range(16)], dtype=np.int8)
    labels_NC[::2, 1] = 1
    drawn = [
        [texts if texts is None else texts.tolist() for texts in draw_splits(config, labels, keys_alone)]
        for labels in (classes_N, labels_NC)
        for config in (TaskConfig(test="given"), TaskConfig(test="given", folds=3, fold=1, seed=4))
    ]
    assert drawn == DRAWN


def keys_alone(numbers: np.ndarray) -> list[str]:
    return [str(number) for number in numbers]


# As the version before copies stayed together drew them.
DRAWN = [
    [[5, 11, 13, 0, 7, 8, 12, 15, 4, 6, 14, 1, 2], [3, 10, 9], None],
    [[5, 10, 15, 6, 8, 9, 12, 13, 0], [11, 4, 2], [1, 3, 7, 14]],
    [[15, 0, 14, 11, 7, 8, 12, 13, 4, 3, 5, 2, 6], [1, 10, 9], None],
    [[6, 2, 9, 11, 15, 5, 12, 14, 7], [3, 0], [1, 4, 8, 10, 13]],
]
