"""Budgets, labels and truncation."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from configs.errors import InputError
from finetune.classification import text_dataset
from finetune.classification.labels import check_labels, label_set
from finetune.classification.text_dataset import TextEpoch, TextSource, evaluation_epoch, lengths_of, texts_of
from finetune.classification.tokenization_head_tail import head_and_tail, share_budget
from finetune.config import FinetuneConfig
from pretrain.data.masked_lm_dataset import TokenLayout
from tests.helpers.pretraining import store_of
from tokenizer.corpus.config import CorpusConfig


def labelled(folder: Path, **splits: list[tuple[str, object]]) -> CorpusConfig:
    folder.mkdir(exist_ok=True)
    for split, rows in splits.items():
        lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
        (folder / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return CorpusConfig(source=str(folder), split="train")


def test_integer_labels_are_numbered_by_value_and_named_by_the_second_column() -> None:
    found = label_set([10, 2, 2], {10: "good", 2: "bad"}, CorpusConfig())
    assert (found.keys, found.names) == (["2", "10"], ["bad", "good"])


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


# ---------------------------------------------------------------------------------------------- batches

LAYOUT = TokenLayout(cls_id=2, sep_id=3, pad_id=0, mask_id=4, vocabulary_size=50, continues_V=np.zeros(50, dtype=bool))
# Three texts: four tokens, three tokens with a second text of two, ten tokens.
STORE = store_of([[4], [3, 2], [10]], np.arange(10, 29))


def texts(**changes: Any) -> TextEpoch:
    return dataclasses.replace(TextEpoch(STORE, np.array([1, 0, 1]), LAYOUT, 9, 0.5, []), **changes)


def test_texts_are_between_special_tokens_and_long_ones_lose_their_middle() -> None:
    batch = texts().collate(np.array([0, 1, 2]))
    assert batch["input_ids"].tolist() == [
        [2, 10, 11, 12, 13, 3, 0, 0, 0],
        [2, 14, 15, 16, 3, 17, 18, 3, 0],
        [2, 19, 20, 21, 22, 26, 27, 28, 3],
    ]
    assert batch["attention_mask"].tolist() == [[1] * 6 + [0] * 3, [1] * 8 + [0], [1] * 9]
    assert batch["token_type_ids"].tolist() == [[0] * 9, [0] * 5 + [1] * 3 + [0], [0] * 9]
    assert batch["labels"].tolist() == [1, 0, 1]
    assert {batch[name].dtype for name in ("input_ids", "attention_mask", "labels")} == {torch.int64}
    assert (batch.counts["labels"], batch.counts["tokens"], batch.counts["sequences"]) == (3, 23, 3)


def test_models_without_token_types_get_none_and_roberta_has_two_separators() -> None:
    layout = dataclasses.replace(LAYOUT, pair_separators=2)
    batch = texts(layout=layout, token_types=False).collate(np.array([1]))
    assert batch["input_ids"].tolist() == [[2, 14, 15, 16, 3, 3, 17, 18, 3]]
    assert "token_type_ids" not in batch.inputs
    ids, second_start = texts(layout=layout).encode(1)
    assert (len(ids), second_start) == (9, 6)
    # With one token less, the longer text gives it up.
    assert texts(layout=layout, sequence_length=8, truncation_head_share=0.0).encode(1)[0].tolist() == [
        2, 15, 16, 3, 3, 17, 18, 3,
    ]  # fmt: skip


def test_lengths_go_up_to_a_bucket() -> None:
    assert texts(buckets=(7, 9)).collate(np.array([0]))["input_ids"].shape == (1, 7)
    assert texts(buckets=(7, 9)).collate(np.array([2]))["input_ids"].shape == (1, 9)


def test_lengths_take_few_values_and_none_beyond_the_maximum() -> None:
    many = store_of([[count] for count in range(1, 260)])
    epoch = TextEpoch(many, np.zeros(259, dtype=np.int64), LAYOUT, 250, 0.0, [])
    lengths = [epoch.collate(np.array([number]))["input_ids"].shape[1] for number in range(259)]
    exact = [min(count + 2, 250) for count in range(1, 260)]
    assert all(0 <= length - needed <= needed / 16 for length, needed in zip(lengths, exact, strict=True))
    assert max(lengths) == 250
    assert len(set(lengths)) <= 80


def test_every_text_is_read_once_an_epoch_in_an_order_of_its_own() -> None:
    many = store_of([[3 + number % 7] for number in range(40)])
    epoch = TextEpoch(many, np.zeros(40, dtype=np.int64), LAYOUT, 6, 0.0, [])
    source = TextSource(epoch, np.arange(5, 40), batch_size=4, seed=3)
    first, second = (source.epoch(number).batches for number in (0, 1))
    for batches in (first, second):
        assert sorted(np.concatenate(batches).tolist()) == list(range(5, 40))
        assert max(map(len, batches)) == 4
    assert [batch.tolist() for batch in first] != [batch.tolist() for batch in second]
    assert [batch.tolist() for batch in source.epoch(0).batches] == [batch.tolist() for batch in first]


def test_masked_tokens_are_drawn_anew_each_epoch_and_never_special_ones() -> None:
    many = store_of([[30]] * 40, np.arange(10, 1210))
    plain = TextEpoch(many, np.zeros(40, dtype=np.int64), LAYOUT, 32, 0.0, [])
    source = TextSource(plain, np.arange(40), batch_size=40, seed=3, token_masking=0.25)
    original = plain.collate(np.arange(40))["input_ids"]
    first, again, second = (source.epoch(number).collate(np.arange(40))["input_ids"] for number in (0, 0, 1))
    assert torch.equal(first, again)
    for ids in (first, second):
        is_masked = ids == LAYOUT.mask_id
        assert torch.equal(ids[~is_masked], original[~is_masked])
        assert not is_masked[:, [0, -1]].any()
        assert 0.2 < is_masked.double().mean() < 0.3
    assert not torch.equal(first, second)
    # Each text has draws of its own, whatever batch it is in.
    assert torch.equal(source.epoch(0).collate(np.array([7]))["input_ids"][0], first[7])
    evaluated = evaluation_epoch(plain, np.arange(40), tokens=10_000)
    assert not (evaluated.collate(np.arange(40))["input_ids"] == LAYOUT.mask_id).any()


def test_lengths_count_as_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(
        text_dataset,
        "length_grouped",
        lambda lengths, *given: seen.append((lengths.tolist(), *given)) or [np.array([0, 1])],
    )
    source = TextSource(texts(sequence_length=6), np.array([2, 0]), batch_size=2, seed=7)
    (batch,) = source.epoch(5).batches
    assert batch.tolist() == [2, 0]
    assert seen == [([6, 4], 2, 7, 5)]


def test_evaluation_reads_each_text_once_shortest_first_in_batches_of_so_many_tokens() -> None:
    epoch = evaluation_epoch(texts(), np.array([0, 1, 2]), tokens=14)
    assert [batch.tolist() for batch in epoch.batches] == [[0, 1], [2]]
    assert [batch.tolist() for batch in evaluation_epoch(texts(), np.array([2, 0]), 100).batches] == [[0, 2]]
    assert lengths_of(STORE, np.array([2, 0, 1])).tolist() == [10, 4, 5]
    assert [ids.tolist() for ids in texts_of(STORE, 1)] == [[14, 15, 16], [17, 18]]


def test_labels_become_the_numbers_of_their_classes() -> None:
    classes = label_set(["b", "a", "b"], {"a": "A", "b": "B"}, CorpusConfig())
    encoded = classes.encode(iter(["b", "a", "a"]), CorpusConfig())
    assert encoded.tolist() == [1, 0, 0]
    assert encoded.dtype == np.int64
    assert label_set([10, 9], {9: "nine", 10: "ten"}, CorpusConfig()).keys == ["9", "10"], "by number"


def test_numbers_and_strings_are_not_mixed() -> None:
    with pytest.raises(InputError, match=r"mixes numbers and strings as labels: 1, 'b'"):
        label_set([1, "b", 1], {1: "1", "b": "b"}, CorpusConfig())


def test_labels_are_checked_as_the_run_will_draw_them(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"

    def check(rows: Sequence[tuple[str, str]], **keys: Any) -> list[str]:
        file.write_text("\n".join(json.dumps({"text": t, "label": label}) for t, label in rows), encoding="utf-8")
        return check_labels(FinetuneConfig(corpus=CorpusConfig(source=str(file)), **keys)).names

    rows = [(f"text {number}", "xy"[number % 2]) for number in range(12)]
    assert check(rows) == ["x", "y"]
    with pytest.raises(InputError, match=r"class 'z' has 1 text"):
        check([*rows, ("odd", "z"), ("even", "z")])
    # Copies of one text cannot be on both sides.
    with pytest.raises(InputError, match=r"class 'z' has 1 different text"):
        check([*rows, ("odd", "z"), ("ODD", "z")])
    with pytest.raises(InputError, match=r"label_budget: 50 exceeds the"):
        check(rows, label_budget=50)
