"""The folds of texts of which some are copies of each other."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from configs.errors import InputError
from configs.processes import IN_POOL
from finetune.classification.config import TaskConfig
from finetune.classification.copies.folds import folds_of
from finetune.classification.splits import Splits, draw_splits, draw_texts


def folds_of_draw(keys: list[str], classes_N: np.ndarray, config: TaskConfig) -> list[Splits]:
    assert config.folds is not None
    return [
        draw_splits(dataclasses.replace(config, fold=fold), classes_N, keys_of(keys)) for fold in range(config.folds)
    ]


def keys_of(keys: list[str]) -> Callable[[np.ndarray], list[str]]:
    return lambda numbers: [keys[number] for number in numbers]


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
    splits = folds_of_draw(keys, labels, TaskConfig(test="given", folds=5))
    assert sorted(text for part in splits if part.test is not None for text in part.test) == list(range(40))
    sentence = "folds: the 40 labelled texts are copies of 4, too few for 5 folds, so some have copies outside of their"
    assert caplog.text.count(sentence) == 1
    for part in splits:
        assert {*classes_N[part.train]} == {*classes_N[part.validation]} == {0, 1}
        assert not keys_in(keys, part.train) & keys_in(keys, part.validation)


@pytest.mark.parametrize("several", [False, True])
def test_a_class_keeps_two_different_texts_outside_of_a_fold(several: bool, caplog: pytest.LogCaptureFixture) -> None:
    # Once, two copies of one text were enough, and validation copied training.
    classes_N = np.array([0] * 40 + [1] * 20)
    keys = [str(number) for number in range(40)] + [f"rare {number % 2}" for number in range(20)]
    labels = np.eye(2, dtype=np.int8)[classes_N] if several else classes_N
    for part in folds_of_draw(keys, labels, TaskConfig(test="given", folds=4)):
        assert {*classes_N[part.train]} == {*classes_N[part.validation]} == {0, 1}
        assert not keys_in(keys, part.train) & keys_in(keys, part.validation)
        assert not keys_in(keys, part.test) & (keys_in(keys, part.train) | keys_in(keys, part.validation))
    assert not caplog.text


def test_a_class_of_copies_alone_leaves_other_classes_their_folds() -> None:
    classes_N = np.array([0] * 30 + [1] * 10)
    keys = [str(number) for number in range(30)] + ["same"] * 10
    splits = folds_of_draw(keys, classes_N, TaskConfig(test="given", folds=3))
    assert sorted(text for part in splits if part.test is not None for text in part.test) == list(range(30))


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_a_class_of_two_large_templates_parts_no_copies(
    several: bool, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    # Once, the larger one took a fold alone and was taken out of it, and then all copies of both classes were parted.
    classes_N = np.array([0] * 100 + [1] * 40)
    keys = [str(number // 2) for number in range(100)] + ["first"] * 30 + ["second"] * 10
    labels = np.eye(2, dtype=np.int8)[classes_N] if several else classes_N
    splits = folds_of_draw(keys, labels, TaskConfig(test="given", folds=5, seed=seed))
    assert sorted(text for part in splits if part.test is not None for text in part.test) == list(range(100))
    for part in splits:
        assert part.test is not None
        assert len(part.test) > 0
        assert not keys_in(keys, part.test) & (keys_in(keys, part.train) | keys_in(keys, part.validation))
    assert not caplog.text


@pytest.mark.parametrize(
    ("classes", "groups", "folds", "parted"),
    [
        # Class 1 needs its two different texts; what is left of the others alternates.
        ([1] * 9 + [0] * 5, [0] * 8 + [1, 2, 3, 4, 5, 6], [-1] * 9 + [0, 1, 0, 1, 0], False),
        # Four folds, and three different texts but for class 0, whose copies alone are parted.
        ([0] * 6 + [1] * 6, [0] * 6 + [1, 1, 2, 2, 3, 3], [0, 1, 2, 3, 0, 1, 2, 2, 3, 3, 0, 0], True),
        # Parting helps nobody.
        ([0, 0, 1, 1], [0, 0, 1, 2], [-1] * 4, False),
    ],
)
def test_no_more_copies_are_parted_than_folds_need(
    classes: list[int], groups: list[int], folds: list[int], parted: bool
) -> None:
    order, labels_NC = np.arange(len(classes)), np.eye(2, dtype=np.int64)[classes]
    folds_N, are_parted = folds_of(labels_NC, np.array(groups), order, 4 if parted else 2, needed=2)
    assert (folds_N.tolist(), are_parted) == (folds, parted)


def few_different() -> tuple[list[str], np.ndarray]:
    """Forty copies of four texts."""
    return [str(number % 4) for number in range(40)], np.arange(40) % 2


def test_copies_are_told_by_one_of_the_runs_and_by_none_that_a_comparison_started(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Once, every trial and fold told them, each of a draw that it threw away, too.
    keys, classes_N = few_different()
    config = TaskConfig(test="given", folds=5, fold=0)
    draw_splits(config, classes_N, keys_of(keys))
    assert [text.split(":")[0] for text in caplog.messages] == ["folds"]
    caplog.clear()
    draw_splits(dataclasses.replace(config, fold=3), classes_N, keys_of(keys))
    alone, one_class = ["same"] * 20 + keys[20:], TaskConfig(test="given")
    monkeypatch.setenv(IN_POOL, "1")
    draw_splits(config, classes_N, keys_of(keys))
    draw_splits(one_class, np.arange(40) // 20, keys_of(alone))
    assert not caplog.messages
    monkeypatch.delenv(IN_POOL)
    draw_splits(one_class, np.arange(40) // 20, keys_of(alone))
    draw_texts(one_class, np.arange(40) // 20, keys=keys_of(alone), tell=False)
    assert [text.split(" can")[0] for text in caplog.messages] == ["validation: of 40 texts, none of class 0"]


def test_nothing_is_told_of_a_draw_that_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InputError, match="folds: of 4 labels, training and validation need all"):
        draw_splits(TaskConfig(test="given", folds=5), np.array([0, 0, 1, 1]), keys_of([*"aabc"]))
    assert not caplog.messages
