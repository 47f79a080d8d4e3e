"""Batches: every sample once, the same for any number of workers, processes and micro-batches."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain.data.config import MaskingConfig
from pretrain.data.loader import (
    IGNORED,
    Batch,
    LoaderSettings,
    StepDataset,
    idle,
    length_buckets,
    length_grouped,
    load_steps,
    sorted_batches,
)
from pretrain.data.masked_lm_dataset import MaskedLMSource, TokenLayout
from pretrain.data.masking import target_counts
from pretrain.data.pairs import SPECIAL_TOKENS_PER_PAIR
from pretrain.models.config import EncoderConfig
from pretrain.models.pretraining_models import PairModel
from pretrain.objectives.masked_lm import mlm_nsp_loss
from tests.helpers.pretraining import new_encoder, small_tokenizer, store_of
from tokenizer.vocabulary.serialization import load as load_tokenizer

VOCABULARY = 50
LAYOUT = TokenLayout(
    cls_id=2, sep_id=3, pad_id=0, mask_id=4, vocabulary_size=VOCABULARY, continues_V=np.arange(VOCABULARY) % 3 == 0
)

TWO = LoaderSettings(micro_batches=2)
GOLDEN_ORDER = [[11, 19, 8], [26, 1, 6], [23, 9, 20], [28, 17, 25]]


@pytest.fixture(scope="module")
def source():
    rng = np.random.default_rng(0)
    documents = [rng.integers(1, 12, rng.integers(1, 9)).tolist() for _ in range(30)]
    store = store_of(documents, rng.integers(5, VOCABULARY, sum(map(sum, documents))))
    return MaskedLMSource(
        store=store,
        documents=np.arange(30),
        layout=LAYOUT,
        masking=MaskingConfig(),
        sequence_length=32,
        arrangement="bert",
        short_probability=0.1,
        batch_size=8,
        seed=0,
    )


def same(left, right):
    """Whether two batches are equal, tensor for tensor."""
    assert (left.inputs.keys(), left.labels.keys()) == (right.inputs.keys(), right.labels.keys())
    assert left.counts == right.counts
    return all(torch.equal(value, right[name]) for name, value in (left.inputs | left.labels).items())


def rows_of(batch):
    """Each sequence without its padding, with its masked places, labels and pair label."""
    width = batch["input_ids"].shape[1]
    found = []
    for row in range(len(batch["input_ids"])):
        length = int(batch["attention_mask"][row].sum())
        here = batch["masked_positions"] // width == row
        found.append(
            (
                tuple(batch["input_ids"][row, :length].tolist()),
                tuple(batch["token_type_ids"][row, :length].tolist()),
                tuple((batch["masked_positions"][here] % width).tolist()),
                tuple(batch["masked_labels"][here].tolist()),
                int(batch["relation"][row]),
            )
        )
    return found


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 700), st.integers(1, 9), st.integers(0, 3))
def test_length_grouped_batches_hold_every_sample_once(count, batch_size, seed):
    lengths = np.random.default_rng(seed).integers(3, 128, count)
    batches = length_grouped(lengths, batch_size, seed, 0)
    assert sorted(np.concatenate(batches).tolist()) == list(range(count))
    sizes = [len(batch) for batch in batches]
    assert sizes.count(batch_size) >= len(batches) - 1, "only one batch may be smaller"
    assert max(sizes) <= batch_size


def test_length_grouped_batches_hold_like_lengths_in_another_order_each_epoch():
    lengths = np.random.default_rng(0).integers(3, 129, 1000)
    batches = length_grouped(lengths, 10, 0, 0)
    assert np.mean([np.ptp(lengths[batch]) for batch in batches]) < 20
    means = [lengths[batch].mean() for batch in batches]
    assert means != sorted(means)
    again, other = length_grouped(lengths, 10, 0, 0), length_grouped(lengths, 10, 0, 1)
    assert all(np.array_equal(left, right) for left, right in zip(batches, again, strict=True))
    assert {frozenset(batch.tolist()) for batch in batches} != {frozenset(batch.tolist()) for batch in other}


def batch_mates(lengths, batch_size, epoch):
    """Which samples share a batch, [N, N] booleans."""
    together = np.zeros((len(lengths), len(lengths)), dtype=bool)
    for batch in length_grouped(lengths, batch_size, 0, epoch):
        together[np.ix_(batch, batch)] = True
    np.fill_diagonal(together, val=False)
    return together


@pytest.mark.parametrize(("count", "batch_size"), [(200, 32), (250, 32), (2000, 32), (100, 8), (700, 16)])
@pytest.mark.parametrize("longest", [60, 400])
def test_batches_are_made_of_other_samples_each_epoch(count, batch_size, longest):
    lengths = np.minimum(np.random.default_rng(0).lognormal(5, 0.8, count).astype(int) + 3, longest)
    first, second = (batch_mates(lengths, batch_size, epoch) for epoch in (0, 1))
    kept = (first & second).sum() / first.sum()
    chance = (batch_size - 1) / (count - 1)
    assert kept < max(0.2, 1.5 * chance), "almost all stay together where windows are as large as the data"


def test_the_smaller_batch_holds_samples_of_any_length():
    lengths = np.arange(3, 1003)
    means = []
    for epoch in range(40):
        (small,) = (batch for batch in length_grouped(lengths, 48, 0, epoch) if len(batch) < 48)
        assert len(small) == 1000 % 48
        means.append(lengths[small].mean())
    assert abs(np.mean(means) - lengths.mean()) < 30
    assert np.ptp(means) > 50


def test_batches_for_evaluation_are_sorted_by_length_and_complete():
    lengths = np.array([5, 3, 9, 3, 7])
    assert [batch.tolist() for batch in sorted_batches(lengths, 2)] == [[1, 3], [0, 4], [2]]


def test_a_batch_holds_the_pairs_as_cls_a_sep_b_sep(source):
    epoch = source.epoch(0)
    samples = epoch.batches[0]
    batch = epoch.collate(samples)
    plan = epoch.plan.rows[samples]
    width = int(epoch.plan.lengths[samples].max())
    assert batch["input_ids"].shape == (len(samples), width)
    flat = batch["input_ids"].reshape(-1).clone()
    flat[batch["masked_positions"]] = batch["masked_labels"]
    for row, ids, types, attention in zip(
        plan, flat.view(-1, width), batch["token_type_ids"], batch["attention_mask"], strict=True
    ):
        a = source.store.tokens(row["a_begin"], row["a_end"]).tolist()
        b = source.store.tokens(row["b_begin"], row["b_end"]).tolist()
        padding = [0] * (width - len(a) - len(b) - 3)
        assert ids.tolist() == [2, *a, 3, *b, 3, *padding]
        assert types.tolist() == [0] * (len(a) + 2) + [1] * (len(b) + 1) + padding
        assert attention.tolist() == [1] * (len(a) + len(b) + 3) + padding
    assert batch["relation"].tolist() == plan["next_sentence_label"].tolist()
    lengths = epoch.plan.lengths[samples]
    assert batch.counts == {
        "mlm": len(batch["masked_labels"]),
        "relation": len(samples),
        "sequences": len(samples),
        "tokens": int(lengths.sum()),
        "attended": int((lengths**2).sum()),
    }


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("accumulation", [1, 2, 5])
def test_ranks_and_micro_batches_together_make_the_global_batch(source, world_size, accumulation):
    epoch = source.epoch(0)
    dealt = [StepDataset(epoch, LoaderSettings(rank, world_size, accumulation)) for rank in range(world_size)]
    for step, samples in enumerate(epoch.batches):
        whole = epoch.collate(samples)
        parts = [batch for rank in dealt for batch in rank[step]]
        rows = [row for part in parts if part.counts["relation"] for row in rows_of(part)]
        assert sorted(rows) == sorted(rows_of(whole))
        for kind, count in whole.counts.items():
            assert sum(part.counts[kind] for part in parts) == count
        # A process that ran its model less often would leave the others waiting under FSDP.
        assert len({len(rank[step]) for rank in dealt}) == 1
    assert all(len(rank) == len(epoch.batches) for rank in dealt)


def test_a_process_without_samples_gets_an_idle_batch(source):
    epoch = source.epoch(0)
    small = next(step for step, samples in enumerate(epoch.batches) if len(samples) < 8)
    world_size = len(epoch.batches[small]) + 1
    (batch,) = StepDataset(epoch, LoaderSettings(world_size - 1, world_size, 2))[small]
    assert batch.counts == dict.fromkeys(("mlm", "relation", "sequences", "tokens", "attended"), 0)
    assert (batch["masked_labels"] == IGNORED).all()
    assert (batch["relation"] == IGNORED).all()


def test_an_idle_batch_adds_no_loss_no_gradient_and_no_counts(source, tmp_path):
    tokenizer = load_tokenizer(small_tokenizer(tmp_path))
    size = EncoderConfig(layers=1, hidden_size=16, heads=1, maximum_positions=32, dropout=0.0)
    model = PairModel(new_encoder(size, tokenizer, 0))
    epoch = source.epoch(0)
    batch = epoch.collate(epoch.batches[0])
    loss, metrics, _ = mlm_nsp_loss(model, idle(batch).with_totals(batch.counts))
    loss.backward()
    assert loss.item() == 0
    assert all(total.item() == 0 and count == 0 for total, count in metrics.values())
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(gradient is not None and not gradient.any() for gradient in gradients), "each takes part, with zero"
    busy, metrics, _ = mlm_nsp_loss(model, batch.with_totals(batch.counts))
    assert busy.item() > 0
    assert metrics["mlm_loss"][1] == batch.counts["mlm"]


def test_steps_from_the_middle_equal_the_tail_of_all_steps(source):
    epoch = source.epoch(1)
    every = list(load_steps(epoch, TWO))
    tail = list(load_steps(source.epoch(1), TWO, 3))
    assert len(every) == len(epoch.batches) > 4
    assert len(tail) == len(every) - 3
    for left, right in zip(every[3:], tail, strict=True):
        assert len(left) == len(right)
        assert all(same(*pair) for pair in zip(left, right, strict=True))
    assert list(load_steps(epoch, TWO, len(every))) == []


def test_two_workers_give_the_same_batches_as_none(source):
    alone = list(load_steps(source.epoch(0), TWO))
    helped = list(load_steps(source.epoch(0), dataclasses.replace(TWO, workers=2)))
    assert len(alone) == len(helped)
    for left, right in zip(alone, helped, strict=True):
        assert all(same(*pair) for pair in zip(left, right, strict=True))


def test_held_out_batches_are_the_same_at_every_call_and_epochs_are_not(source):
    first, second = source.held_out(), source.held_out()
    assert len(first.batches) == len(second.batches)
    for left, right in zip(first.batches, second.batches, strict=True):
        assert same(first.collate(left), second.collate(right))
    assert not np.array_equal(source.epoch(0).plan.rows, source.epoch(1).plan.rows)
    assert not np.array_equal(source.epoch(0).plan.rows, first.plan.rows)


@pytest.mark.parametrize("rate", [0.15, 0.9])
def test_masks_drawn_on_the_device_are_the_very_same(source, rate):
    source = dataclasses.replace(source, masking=MaskingConfig(rate=rate))
    there = dataclasses.replace(source, device_masks=True)
    for number in (0, 3):
        here = source.epoch(number)
        for samples in here.batches[:4]:
            expected, found = here.collate(samples), there.epoch(number).collate(samples)
            assert "masked_positions" not in found
            found = found.with_masks()
            assert found.counts == expected.counts
            assert (set(found.inputs), set(found.labels)) == (set(expected.inputs), set(expected.labels))
            for name in ("input_ids", "original_ids", "masked_positions", "masked_labels"):
                assert found[name].equal(expected[name]), name


def test_an_idle_batch_whose_masks_were_not_drawn_counts_nothing_either(source):
    epoch = dataclasses.replace(source, device_masks=True).epoch(0)
    batch = idle(epoch.collate(epoch.batches[0][:1]))
    assert set(batch["masked_labels"].tolist()) == {-100}
    assert batch.mask_draw is None


@pytest.mark.parametrize("device_masks", [False, True])
def test_few_shapes_hold_the_same_sequences_and_masks(source, device_masks):
    lengths = length_buckets(source.sequence_length)
    plain = source.epoch(0)
    shaped = dataclasses.replace(source, buckets=lengths, device_masks=device_masks).epoch(0)
    shapes = set()
    for samples in plain.batches:
        expected, found = plain.collate(samples), shaped.collate(samples).with_masks()
        width, most = expected["input_ids"].shape[1], len(expected["masked_labels"])
        shapes.add((*found["input_ids"].shape, len(found["masked_labels"])))
        assert found.counts == expected.counts
        assert found["input_ids"][:, :width].equal(expected["input_ids"])
        assert not found["attention_mask"][:, width:].any()
        assert found["masked_labels"][:most].equal(expected["masked_labels"])
        assert set(found["masked_labels"][most:].tolist()) <= {IGNORED}
        there = found["input_ids"].shape[1]
        rows, columns = found["masked_positions"][:most] // there, found["masked_positions"][:most] % there
        assert (rows * width + columns).equal(expected["masked_positions"])
    whole = {shape for shape in shapes if shape[0] == source.batch_size}
    assert len(whole) <= len(lengths), "as many shapes as lengths"


@pytest.mark.parametrize("unit", ["token", "word"])
@pytest.mark.parametrize("device_masks", [False, True])
def test_the_masking_rate_moves_to_its_final_value(source, unit, device_masks):
    masking = MaskingConfig(rate=0.4, final_rate=0.1, unit=unit)
    moving = dataclasses.replace(source, masking=masking, epochs=2.0, device_masks=device_masks)
    shares = []
    for number in (0, 1, 2):
        epoch = moving.epoch(number)
        for index, samples_B in enumerate(epoch.batches):
            rate = 0.4 + min(1.0, (number + index / len(epoch.batches)) / 2) * (0.1 - 0.4)
            batch = epoch.collate(samples_B)
            lengths = epoch.plan.lengths[samples_B]
            wanted = target_counts(lengths, masking, np.full(len(lengths), rate))
            limit = int(np.minimum(wanted, lengths - SPECIAL_TOKENS_PER_PAIR).sum())
            # Whole words stop before they exceed the count.
            assert batch.counts["mlm"] == limit or (unit == "word" and limit / 2 <= batch.counts["mlm"] <= limit)
            shares.append(batch.counts["mlm"] / lengths.sum())
    assert shares[0] > 2 * shares[-1]
    held_out = moving.held_out()
    tokens = sum(int(held_out.plan.lengths[samples_B].sum()) for samples_B in held_out.batches)
    count = sum(held_out.collate(samples_B).counts["mlm"] for samples_B in held_out.batches)
    assert count / tokens == pytest.approx(0.1, abs=0.03)


def test_a_moving_rate_leaves_room_for_the_highest_in_static_shapes(source):
    masking = MaskingConfig(rate=0.1, final_rate=0.4)
    epoch = dataclasses.replace(source, masking=masking, epochs=1.0, buckets=(16, 32)).epoch(0)
    sizes = {}
    for samples_B in epoch.batches:
        batch = epoch.collate(samples_B)
        sizes.setdefault(tuple(batch["input_ids"].shape), set()).add(len(batch["masked_positions"]))
    assert all(len(found) == 1 for found in sizes.values())


def test_a_batch_moves_with_all_its_tensors():
    batch = Batch({"input_ids": torch.ones(2, 3)}, {"labels": torch.ones(2)}, {"labels": 2})
    doubled = batch.with_tensors(lambda tensor: 2 * tensor)
    assert doubled["input_ids"].tolist() == [[2.0] * 3] * 2
    assert doubled["labels"].tolist() == [2.0, 2.0]
    moved = batch.to(torch.device("meta"))
    assert {moved["input_ids"].device.type, moved["labels"].device.type} == {"meta"}
    assert batch["labels"].tolist() == [1.0, 1.0]


def test_buckets_are_quarters_rounded_up():
    assert length_buckets(128) == (32, 64, 96, 128)
    assert length_buckets(50) == (13, 25, 38, 50)


def test_the_order_of_batches_does_not_change_from_one_version_to_the_next():
    """A published run is given again by its config alone."""
    lengths = np.arange(30) * 7 % 11
    assert [batch.tolist() for batch in length_grouped(lengths, 3, 5, 1)][:4] == GOLDEN_ORDER
