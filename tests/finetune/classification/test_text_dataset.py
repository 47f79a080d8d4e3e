"""Budgets, labels and truncation."""

import json
from pathlib import Path

import numpy as np
import pytest

from configs.errors import InputError
from finetune.classification.labels import check_labels, label_set
from finetune.classification.splits import draw_texts, draw_validation_texts, stratified_order
from finetune.classification.truncation import head_and_tail, share_budget
from finetune.config import FinetuneConfig
from tokenizer.corpus.config import CorpusConfig


def labelled(folder: Path, **splits: list[tuple[str, object]]) -> CorpusConfig:
    folder.mkdir(exist_ok=True)
    for split, rows in splits.items():
        lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
        (folder / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return CorpusConfig(source=str(folder), split="train")


def test_a_larger_budget_holds_the_texts_of_a_smaller_one() -> None:
    classes_N = np.array([0, 1] * 50)
    small, _ = draw_texts(FinetuneConfig(label_budget=10, validation="validation"), classes_N)
    large, _ = draw_texts(FinetuneConfig(label_budget=40, validation="validation"), classes_N)
    assert set(small) < set(large)
    assert len(small) == 10
    assert len(set(large)) == 40


def test_each_seed_draws_its_own_labels() -> None:
    classes_N = np.array([0, 1] * 50)
    draws = [draw_texts(FinetuneConfig(label_budget=20, validation="v", seed=seed), classes_N)[0] for seed in (0, 1)]
    assert set(draws[0]) != set(draws[1])


def test_classes_keep_their_proportions_in_every_beginning() -> None:
    classes_N = np.array([0] * 90 + [1] * 30)
    order = stratified_order(classes_N, seed=3)
    for budget in (4, 20, 60):
        assert abs((classes_N[order[:budget]] == 1).sum() - budget / 4) <= 1
    assert sorted(order) == list(range(120))


def test_validation_labels_count_towards_the_budget_and_are_not_trained_on() -> None:
    config = FinetuneConfig(label_budget=50, validation=None, validation_share=0.2)
    train, validation = draw_texts(config, np.array([0, 1] * 100))
    assert (len(train), len(validation)) == (40, 10)
    assert not set(train) & set(validation)


def test_given_validation_texts_are_capped_without_following_the_file_order() -> None:
    classes_N = np.array([0] * 100 + [1] * 100)
    chosen = draw_validation_texts(FinetuneConfig(maximum_validation_texts=20), classes_N)
    assert np.bincount(classes_N[chosen]).tolist() == [10, 10]


def test_a_budget_beyond_the_labels_is_refused() -> None:
    with pytest.raises(InputError, match="label_budget: 30 exceeds the 20 labels"):
        draw_texts(FinetuneConfig(label_budget=30), np.array([0, 1] * 10))


def test_integer_labels_are_numbered_by_value_and_named_by_the_second_column() -> None:
    found = label_set([10, 2, 2], {10: "good", 2: "bad"}, CorpusConfig())
    assert (found.values, found.names) == ([2, 10], ["bad", "good"])


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ([("a", "x"), ("b", "y")], [("c", "z")], "label 'z', which the training texts lack"),
        ([("a", "x"), ("b", "x")], [("c", "x")], "one label only"),
        ([("a", 1), ("b", "y")], [("c", 1)], "holds the string .y., but the first label is a number"),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    tmp_path: Path, train: list[tuple[str, object]], test: list[tuple[str, object]], message: str
) -> None:
    source = labelled(tmp_path, train=train, test=test)
    with pytest.raises(InputError, match=message):
        check_labels(FinetuneConfig(corpus=source, validation_share=0.5))


def test_an_absent_label_column_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"text": "a", "lable": 1}\n', encoding="utf-8")
    source = CorpusConfig(source=str(tmp_path / "train.jsonl"))
    with pytest.raises(InputError, match=r"no column 'label'.*did you mean 'lable'"):
        check_labels(FinetuneConfig(corpus=source, test=str(tmp_path / "train.jsonl")))


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    assert head_and_tail(np.arange(100), 8, 0.25).tolist() == [0, 1, 94, 95, 96, 97, 98, 99]
    assert head_and_tail(np.arange(100), 8, 0.0).tolist() == list(range(92, 100))
    assert head_and_tail(np.arange(100), 8, 1.0).tolist() == list(range(8))


def test_two_texts_share_the_room_and_none_is_wasted() -> None:
    for lengths in ([300, 20], [20, 300], [300, 300], [10, 10], [0, 300]):
        kept = share_budget(lengths, 125)
        assert sum(kept) == min(125, sum(lengths))
        assert all(0 <= keep <= length for keep, length in zip(kept, lengths, strict=True))
