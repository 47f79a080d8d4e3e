"""Full sentences, packed."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain.data.masked_lm_dataset import PackedPlan
from pretrain.data.packing import packed_plan
from tests.helpers.pretraining import store_of

STORES = st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=12), min_size=1, max_size=8)
QUICK = settings(max_examples=150, deadline=None, derandomize=True)


def packed(lengths, sequence_length, seed=0, epoch=0):
    store = store_of(lengths)
    pieces, firsts = packed_plan(store, np.arange(len(lengths)), sequence_length, seed, epoch)
    return store, pieces, firsts, PackedPlan(pieces, firsts)


@QUICK
@given(STORES, st.integers(8, 64), st.integers(0, 3))
def test_every_token_is_used_once_and_no_sequence_is_too_long(lengths, sequence_length, seed):
    store, pieces, firsts, plan = packed(lengths, sequence_length, seed)
    covered = np.zeros(store.token_count, dtype=int)
    for begin, end in pieces:
        covered[begin:end] += 1
    assert (covered == 1).all()
    assert plan.lengths.max() <= sequence_length
    assert plan.lengths.sum() == store.token_count + len(pieces) + len(firsts) - 1
    assert (np.diff(firsts) > 0).all(), "no sequence is empty"
    for sample in range(len(plan.lengths)):
        assert plan.lengths[sample] == 1 + sum(end - begin + 1 for begin, end in plan.pieces(sample))


@QUICK
@given(STORES, st.integers(8, 64))
def test_sentences_stay_whole_unless_they_are_longer_than_a_sequence(lengths, sequence_length):
    store, pieces, _, _ = packed(lengths, sequence_length)
    room = sequence_length - 2
    boundaries = set(store.sentence_offsets.tolist())
    long = [(begin, end) for begin, end in itertools.pairwise(store.sentence_offsets.tolist()) if end - begin > room]
    for cut in {int(place) for place in pieces.ravel()} - boundaries:
        assert any(begin < cut < end for begin, end in long)


@QUICK
@given(STORES, st.integers(8, 64))
def test_a_piece_lies_in_one_document(lengths, sequence_length):
    store, pieces, _, _ = packed(lengths, sequence_length)
    starts = store.sentence_offsets[store.document_offsets]
    assert (np.searchsorted(starts, pieces[:, 0], "right") == np.searchsorted(starts, pieces[:, 1] - 1, "right")).all()


def test_a_sequence_is_closed_only_when_the_next_sentence_does_not_fit():
    rng = np.random.default_rng(0)
    lengths = [rng.integers(3, 30, rng.integers(1, 12)).tolist() for _ in range(300)]
    _, _, _, plan = packed(lengths, 128)
    assert plan.lengths[:-1].min() > 128 - 32, "a sentence has 29 tokens at the most, and brings a [SEP] or two"
    assert plan.lengths.mean() > 110


def test_documents_come_in_another_order_each_epoch():
    plans = [packed([[4, 5]] * 50, 32, seed, epoch)[1].tobytes() for seed, epoch in [(0, 0), (0, 0), (0, 1), (1, 0)]]
    assert plans[0] == plans[1]
    assert len(set(plans)) == 3
