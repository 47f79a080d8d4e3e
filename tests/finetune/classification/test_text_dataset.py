"""Budgets, labels and truncation."""

import json
from pathlib import Path

import numpy as np
import pytest

from configs.errors import InputError
from finetune.classification.labels import check_labels, label_set
from finetune.classification.tokenization_head_tail import head_and_tail, share_budget
from finetune.config import FinetuneConfig
from tokenizer.corpus.config import CorpusConfig


def labelled(folder: Path, **splits: list[tuple[str, object]]) -> CorpusConfig:
    folder.mkdir(exist_ok=True)
    for split, rows in splits.items():
        lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
        (folder / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return CorpusConfig(source=str(folder), split="train")


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
    (tmp_path / "other.jsonl").write_text('{"text": "b", "label": 1}\n', encoding="utf-8")
    source = CorpusConfig(source=str(tmp_path / "train.jsonl"))
    with pytest.raises(InputError, match=r"no column 'label'.*did you mean 'lable'"):
        check_labels(FinetuneConfig(corpus=source, test=str(tmp_path / "other.jsonl")))


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    assert head_and_tail(np.arange(100), 8, 0.25).tolist() == [0, 1, 94, 95, 96, 97, 98, 99]
    assert head_and_tail(np.arange(100), 8, 0.0).tolist() == list(range(92, 100))
    assert head_and_tail(np.arange(100), 8, 1.0).tolist() == list(range(8))


def test_two_texts_share_the_room_and_none_is_wasted() -> None:
    for lengths in ([300, 20], [20, 300], [300, 300], [10, 10], [0, 300]):
        kept = share_budget(lengths, 125)
        assert sum(kept) == min(125, sum(lengths))
        assert all(0 <= keep <= length for keep, length in zip(kept, lengths, strict=True))
