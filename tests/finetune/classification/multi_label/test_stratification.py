"""Parts of texts with several labels: disjoint, nested, in proportion, and every label where it can be."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from finetune.classification.config import TaskConfig
from finetune.classification.multi_label.stratification import part, rarest_labels, stratified_label_order
from finetune.classification.splits import draw_test_texts, draw_texts, draw_validation_texts, set_aside
from pretrain.data.randomness import permutation
from tests.helpers.several_labels import random_labels

FREQUENCIES = [0.5, 0.4, 0.25, 0.2, 0.1, 0.05, 0.03, 0.01]


def deviations(labels_NC: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """How many texts more or less than its share each label has in a part, [C]."""
    return labels_NC[chosen].sum(0) - labels_NC.sum(0) * len(chosen) / len(labels_NC)


def test_every_beginning_of_the_order_holds_the_labels_in_proportion() -> None:
    stratified, drawn = [], []
    for seed in range(5):
        labels_NC = random_labels(2000, FREQUENCIES, seed)
        orders = stratified_label_order(labels_NC, "labels", seed), permutation(2000, "labels", seed)
        assert sorted(orders[0].tolist()) == list(range(2000))
        for order, found in zip(orders, (stratified, drawn), strict=True):
            found += [np.abs(deviations(labels_NC, order[:budget])) for budget in (50, 200, 500, 1000)]
    # By chance, a label of half of 500 texts misses its share by ten.
    assert np.mean(stratified) < 0.4 * np.mean(drawn)
    assert np.max(stratified) < 12 < np.max(drawn)


def test_one_label_a_text_is_as_exact_as_with_classes() -> None:
    labels_NC = np.eye(3, dtype=np.int8)[np.repeat([0, 1, 2], [60, 30, 10])]
    order = stratified_label_order(labels_NC, "labels", 4)
    for budget in (10, 37, 50, 90):
        assert np.abs(deviations(labels_NC, order[:budget])).max() <= 1


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.lists(st.floats(0.02, 0.9), min_size=2, max_size=6),
    st.integers(12, 150),
    st.floats(0, 1),
    st.floats(0.05, 0.6),
    st.integers(0, 3),
)
def test_training_and_validation_share_the_budget_and_train_has_every_label(
    frequencies, texts, fraction, share, seed
) -> None:
    labels_NC = random_labels(texts, frequencies, seed)
    labels_NC[np.arange(len(frequencies)), np.arange(len(frequencies))] = 1
    config = TaskConfig(validation_share=share, seed=seed)
    budget = max(2, round(fraction * texts))
    try:
        train, validation = draw_texts(dataclasses.replace(config, label_budget=budget), labels_NC)
    except InputError as error:
        least = int(str(error).rsplit(" ", 1)[-1])
        assert budget < least <= 2 * len(frequencies)
        budget = least
        train, validation = draw_texts(dataclasses.replace(config, label_budget=least), labels_NC)
    assert len({*train.tolist(), *validation.tolist()}) == len(train) + len(validation) == budget
    assert labels_NC[train].sum(0).min() >= 1
    if texts == budget:
        assert (labels_NC[validation].sum(0) >= (labels_NC.sum(0) > 2 * len(frequencies))).all()
    whole = np.concatenate(draw_texts(config, labels_NC))
    assert {*train.tolist(), *validation.tolist()} <= {*whole.tolist()}


def test_budgets_are_nested_and_a_seed_draws_the_same_texts_again() -> None:
    labels_NC = random_labels(800, FREQUENCIES)
    drawn = [draw_texts(TaskConfig(label_budget=budget, seed=3), labels_NC) for budget in (50, 200, 800)]
    sets = [{*train.tolist(), *validation.tolist()} for train, validation in drawn]
    assert sets[0] < sets[1] < sets[2]
    assert len(drawn[1][1]) == 40
    again = draw_texts(TaskConfig(label_budget=200, seed=3), labels_NC)
    assert [part.tolist() for part in again] == [part.tolist() for part in drawn[1]]
    other = draw_texts(TaskConfig(label_budget=200, seed=4), labels_NC)
    assert {*other[0].tolist()} != {*again[0].tolist()}
    assert np.abs(deviations(labels_NC, drawn[1][1])).max() < 4


def test_a_label_of_one_text_is_trained_on_and_the_lack_of_it_told(caplog) -> None:
    labels_NC = np.eye(3, dtype=np.int8)[np.repeat([0, 1, 2], [50, 49, 1])]
    with caplog.at_level("INFO"):
        train, validation = draw_texts(TaskConfig(), labels_NC, ["a", "b", "rare"])
    assert labels_NC[train].sum(0)[2] == 1
    assert labels_NC[validation].sum(0).tolist() == [10, 10, 0]
    assert "no text of rare, of which there is one" in caplog.text


def test_test_texts_are_set_aside_in_proportion_with_their_copies() -> None:
    labels_NC = np.repeat(random_labels(400, FREQUENCIES), 2, axis=0)
    keys = [str(number // 2) for number in range(800)]
    chosen = set_aside(keys, labels_NC, 0.2)
    assert len(chosen) == 160
    assert {number // 2 for number in chosen} == {number // 2 for number in chosen if number % 2}
    assert np.abs(deviations(labels_NC, chosen)).max() <= 6
    assert (labels_NC[chosen].sum(0) > 0).all()
    assert chosen.tolist() == set_aside(keys, labels_NC, 0.2).tolist()


def test_of_given_texts_a_sample_in_proportion_is_used() -> None:
    labels_NC = random_labels(1000, FREQUENCIES)
    config = TaskConfig(maximum_validation_texts=100, maximum_test_texts=100)
    for chosen in (draw_validation_texts(config, labels_NC), draw_test_texts(config, labels_NC, np.arange(1000))):
        assert len(chosen) == 100
        assert np.abs(deviations(labels_NC, chosen)).max() < 5


def test_a_part_leaves_every_label_a_text_and_takes_no_group_that_is_too_large() -> None:
    labels_NC = np.array([[1, 0], [1, 0], [0, 1], [1, 0], [0, 0]])
    taken = part(labels_NC, np.array([1, 9, 1, 1, 1]), np.arange(5), 3)
    # The second is too large, and the third has the only one of its label.
    assert taken.tolist() == [True, False, False, True, True]


def test_the_stratum_of_a_text_is_its_rarest_label() -> None:
    labels_NC = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 0]])
    assert rarest_labels(labels_NC).tolist() == [0, 0, 2, 0, 1, 3]


def test_a_budget_that_cannot_hold_every_label_is_refused() -> None:
    labels_NC = np.eye(6, dtype=np.int8)[np.arange(60) % 6]
    with pytest.raises(
        InputError, match="label_budget: 7 texts cannot hold 2 of each of the 6 labels; give at least 12"
    ):
        draw_texts(TaskConfig(label_budget=7), labels_NC)
