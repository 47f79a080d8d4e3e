"""Pair plans: the rules of google-research/bert, create_pretraining_data.py."""

import itertools
import random
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pretrain.data import pairs
from pretrain.data.pairs import SPECIAL_TOKENS_PER_PAIR, PairRule, Span, epoch_plan, truncate_pair
from tests.helpers.pretraining import store_of

GOLDEN = {
    "bert": [(0, 5, 95, 99, 1), (5, 14, 74, 80, 1), (14, 18, 18, 30, 0)],
    "balanced": [(0, 5, 83, 91, 1), (30, 39, 40, 44, 0), (71, 80, 5, 13, 1)],
    "ordered": [(5, 14, 0, 5, 1), (14, 18, 18, 30, 0), (30, 39, 40, 48, 0)],
}
SENTENCES = st.lists(st.integers(1, 30), min_size=1, max_size=12)
STORES = st.lists(SENTENCES, min_size=2, max_size=8)
QUICK = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def planned(lengths, sequence_length, short_probability, seed, epoch=0, documents=None):
    """The plan, and each pair's spans before truncation."""
    store, before = store_of(lengths), []
    documents = np.arange(len(lengths)) if documents is None else documents

    def recorded(a, b, budget, rng):
        before.append((a, b))
        return truncate_pair(a, b, budget, rng)

    with mock.patch.object(pairs, "truncate_pair", recorded):
        plan = epoch_plan(store, documents, PairRule("bert", sequence_length, short_probability), seed, epoch)
    assert len(plan) == len(before)
    return store, plan, before


def document_of(store, token):
    sentence = int(np.searchsorted(store.sentence_offsets, token, side="right")) - 1
    return int(np.searchsorted(store.document_offsets, sentence, side="right")) - 1


@QUICK
@given(STORES, st.integers(8, 64), st.sampled_from([0.0, 0.1, 1.0]), st.integers(0, 5))
def test_every_sentence_is_used_once_as_part_of_a_or_of_a_b_that_follows(lengths, sequence_length, short, seed):
    store, plan, before = planned(lengths, sequence_length, short, seed)
    boundaries = set(store.sentence_offsets.tolist())
    used = []
    for row, (a, b) in zip(plan, before, strict=True):
        used.append(a)
        if row["next_sentence_label"] == 0:
            used.append(b)
        assert {a.begin, a.end, b.begin, b.end} <= boundaries
    # In order, without a gap and without an overlap, from the first token to the last.
    assert used[0].begin == 0
    assert used[-1].end == store.token_count
    assert all(left.end == right.begin for left, right in itertools.pairwise(used))


@QUICK
@given(STORES, st.integers(8, 64), st.sampled_from([0.0, 0.1, 1.0]), st.integers(0, 5))
def test_a_b_labelled_0_follows_a_in_its_document_and_one_labelled_1_is_of_another(
    lengths, sequence_length, short, seed
):
    store, plan, before = planned(lengths, sequence_length, short, seed)
    for row, (a, b) in zip(plan, before, strict=True):
        document_a, document_b = document_of(store, a.begin), document_of(store, b.begin)
        assert document_a == document_of(store, a.end - 1)
        assert document_b == document_of(store, b.end - 1)
        if row["next_sentence_label"] == 0:
            assert b.begin == a.end
            assert document_b == document_a
        else:
            assert row["next_sentence_label"] == 1
            assert document_b != document_a


@QUICK
@given(STORES, st.integers(8, 64), st.sampled_from([0.0, 0.1, 1.0]), st.integers(0, 5))
def test_truncation_keeps_a_piece_of_each_side_and_fills_the_budget(lengths, sequence_length, short, seed):
    _, plan, before = planned(lengths, sequence_length, short, seed)
    budget = sequence_length - SPECIAL_TOKENS_PER_PAIR
    for row, (a, b) in zip(plan, before, strict=True):
        kept_a, kept_b = row["a_end"] - row["a_begin"], row["b_end"] - row["b_begin"]
        assert a.begin <= row["a_begin"] < row["a_end"] <= a.end
        assert b.begin <= row["b_begin"] < row["b_end"] <= b.end
        assert kept_a + kept_b == min(budget, a.end - a.begin + b.end - b.begin)


@QUICK
@given(st.integers(1, 80), st.integers(1, 80), st.integers(2, 60), st.integers(0, 3))
def test_truncation_drops_from_the_longer_side_one_token_at_a_time(length_a, length_b, budget, seed):
    expected_a, expected_b = length_a, length_b
    while expected_a + expected_b > budget:
        if expected_a > expected_b:
            expected_a -= 1
        else:
            expected_b -= 1
    a, b = truncate_pair(Span(10, 10 + length_a), Span(200, 200 + length_b), budget, random.Random(seed))
    assert (a.end - a.begin, b.end - b.begin) == (expected_a, expected_b)


def test_truncation_takes_from_either_end_with_equal_chance():
    rng = random.Random(0)
    from_front = [truncate_pair(Span(0, 40), Span(50, 60), 30, rng)[0].begin for _ in range(2000)]
    assert np.mean(from_front) == pytest.approx(10, abs=0.2)
    assert np.var(from_front) == pytest.approx(5, rel=0.15), "twenty fair coins"


@QUICK
@given(STORES, st.integers(0, 3), st.integers(0, 3))
def test_seed_and_epoch_give_the_same_plan_again(lengths, seed, epoch):
    _, plan, _ = planned(lengths, 32, 0.1, seed, epoch)
    _, again, _ = planned(lengths, 32, 0.1, seed, epoch)
    assert np.array_equal(plan, again)


def test_another_epoch_another_seed_and_the_held_out_name_give_other_plans():
    lengths = [[7, 5, 9, 4]] * 12
    plans = [planned(lengths, 32, 0.1, *purpose)[1].tobytes() for purpose in [(0, 0), (0, 1), (1, 0), (0, "held-out")]]
    assert len(set(plans)) == 4


def test_only_the_documents_given_are_read():
    lengths = [[6, 6, 6]] * 10
    documents = np.array([1, 4, 7, 8])
    store, plan, _ = planned(lengths, 24, 0.1, 0, documents=documents)
    found = {document_of(store, int(begin)) for name in ("a_begin", "b_begin") for begin in plan[name]}
    assert found <= set(documents.tolist())
    assert {document_of(store, int(begin)) for begin in plan["a_begin"]} == set(documents.tolist())


def test_a_random_b_is_drawn_uniformly_over_the_other_documents():
    lengths = [[5]] * 5
    drawn = np.zeros((5, 5))
    for epoch in range(400):
        store, plan, _ = planned(lengths, 32, 0.0, 0, epoch)
        for row in plan:
            drawn[document_of(store, row["a_begin"]), document_of(store, row["b_begin"])] += 1
    others = drawn[~np.eye(5, dtype=bool)]
    assert drawn.trace() == 0
    assert others.min() > 60, "100 are expected"
    assert others.max() < 140


def test_the_plan_does_not_depend_on_documents_of_later_blocks(monkeypatch):
    monkeypatch.setattr(pairs, "DOCUMENTS_PER_BLOCK", 3)
    _, plan, _ = planned([[4, 4]] * 9, 16, 0.1, 0)
    blocks = [planned([[4, 4]] * 9, 16, 0.1, 0)[1].tobytes() for _ in range(2)]
    assert blocks == [plan.tobytes()] * 2
    assert plan["a_begin"].tolist() == sorted(plan["a_begin"].tolist())


def original_share(sentences, tokens, documents, sequence_length, short_probability, rng):
    """The share of random pairs, by create_instances_from_document's own loop over segments of equal length."""
    pairs_made = random_made = 0
    budget = sequence_length - SPECIAL_TOKENS_PER_PAIR
    for _ in range(documents):
        target = rng.randint(2, budget) if rng.random() < short_probability else budget
        chunk = place = 0
        while place < sentences:
            chunk += 1
            if place == sentences - 1 or chunk * tokens >= target:
                a_end = rng.randint(1, chunk - 1) if chunk >= 2 else 1
                if chunk == 1 or rng.random() < 0.5:
                    random_made += 1
                    place -= chunk - a_end
                pairs_made += 1
                chunk = 0
            place += 1
    return random_made / pairs_made


@pytest.mark.parametrize(("sentences", "share"), [(1, 1.0), (2, 0.67), (5, 0.59), (50, 0.54)])
def test_share_of_random_pairs_is_that_of_the_original_for_sentences_of_20_tokens(sentences, share):
    documents = max(1000, 6000 // sentences)
    store, numbers = store_of([[20] * sentences] * documents), np.arange(documents)
    rule = PairRule("bert", 128, 0.1)
    labels = np.concatenate([epoch_plan(store, numbers, rule, 0, epoch)["next_sentence_label"] for epoch in (0, 1)])
    assert labels.mean() == pytest.approx(share, abs=0.025)
    original = original_share(sentences, 20, 2 * documents, 128, 0.1, random.Random(0))
    assert labels.mean() == pytest.approx(original, abs=0.02)


def test_the_short_share_of_documents_has_shorter_pairs():
    lengths = [[10] * 30] * 200
    _, long, _ = planned(lengths, 64, 0.0, 0)
    _, short, _ = planned(lengths, 64, 1.0, 0)

    def mean_length(plan):
        return (plan["a_end"] - plan["a_begin"] + plan["b_end"] - plan["b_begin"]).mean()

    assert mean_length(long) > 55
    assert mean_length(short) < 45


# ---------------------------------------------------------------------------- balanced and ordered pairs


def spans_of(plan):
    return [((row["a_begin"], row["a_end"]), (row["b_begin"], row["b_end"])) for row in plan]


@QUICK
@given(STORES, st.integers(8, 64), st.sampled_from([0.0, 0.1, 1.0]), st.integers(0, 5))
def test_a_balanced_plan_is_half_random_and_lengths_do_not_tell_which(lengths, sequence_length, short, seed):
    store = store_of(lengths)
    plan = epoch_plan(store, np.arange(len(lengths)), PairRule("balanced", sequence_length, short), seed, 0)
    random_rows = plan["next_sentence_label"] == 1
    assert random_rows.sum() * 2 == len(plan)
    for (a_begin, a_end), (b_begin, b_end) in spans_of(plan):
        assert a_begin < a_end
        assert b_begin < b_end
        assert a_end - a_begin + b_end - b_begin <= sequence_length - SPECIAL_TOKENS_PER_PAIR
    for row in plan:
        documents = document_of(store, row["a_begin"]), document_of(store, row["b_begin"])
        assert (documents[0] == documents[1]) == (row["next_sentence_label"] == 0)
        if row["next_sentence_label"] == 0:
            assert row["b_begin"] >= row["a_end"], "behind A; truncation may leave a gap"
    # No token is in two pairs.
    begins = np.concatenate([plan["a_begin"], plan["b_begin"]])
    ends = np.concatenate([plan["a_end"], plan["b_end"]])
    order = np.argsort(begins)
    assert (begins[order][1:] >= ends[order][:-1]).all()


def test_a_balanced_plan_uses_nearly_everything_and_hides_the_label_from_lengths():
    rng = np.random.default_rng(0)
    lengths = [rng.integers(5, 40, rng.integers(1, 12)).tolist() for _ in range(600)]
    store = store_of(lengths)
    plan = epoch_plan(store, np.arange(600), PairRule("balanced", 128, 0.1), 0, 0)
    a, b = plan["a_end"] - plan["a_begin"], plan["b_end"] - plan["b_begin"]
    assert (a.sum() + b.sum()) > 0.85 * store.token_count
    random_rows = plan["next_sentence_label"] == 1
    for lengths_of in (a, b, a + b):
        left, right = lengths_of[random_rows], lengths_of[~random_rows]
        assert abs(left.mean() - right.mean()) < 5 * np.sqrt(left.var() / len(left) + right.var() / len(right))
    # Each length of B has as many pairs of one label as of the other, but for the couples that share it.
    for length in np.unique(b):
        counts = random_rows[b == length].sum(), (~random_rows)[b == length].sum()
        assert sum(counts) % 2 == 0


@QUICK
@given(STORES, st.integers(8, 64), st.sampled_from([0.0, 0.1, 1.0]), st.integers(0, 5))
def test_ordered_segments_are_neighbours_in_one_order_or_the_other(lengths, sequence_length, short, seed):
    store = store_of(lengths)
    plan = epoch_plan(store, np.arange(len(lengths)), PairRule("ordered", sequence_length, short), seed, 0)
    for row, ((a_begin, a_end), (b_begin, b_end)) in zip(plan, spans_of(plan), strict=True):
        first, second = ((a_begin, a_end), (b_begin, b_end))[:: 1 if row["next_sentence_label"] == 0 else -1]
        assert first[0] < first[1] <= second[0] < second[1]
        assert document_of(store, a_begin) == document_of(store, b_begin)
        assert first[1] - first[0] + second[1] - second[0] <= sequence_length - SPECIAL_TOKENS_PER_PAIR


@QUICK
@given(STORES, st.integers(0, 5))
def test_ordered_pairs_with_room_enough_use_every_token_once(lengths, seed):
    store = store_of(lengths)
    plan = epoch_plan(store, np.arange(len(lengths)), PairRule("ordered", 4096, 0.0), seed, 0)
    covered = np.zeros(store.token_count, dtype=int)
    for spans in spans_of(plan):
        for begin, end in spans:
            covered[begin:end] += 1
    single = [sum(document) == 1 for document in lengths]
    assert covered.max(initial=1) == 1
    assert (covered == 0).sum() == sum(single), "a document of one token makes no pair"


def test_half_of_the_ordered_pairs_are_swapped():
    plan = epoch_plan(store_of([[9, 8, 7, 6]] * 2000), np.arange(2000), PairRule("ordered", 64, 0.0), 0, 0)
    assert abs(plan["next_sentence_label"].mean() - 0.5) < 5 * 0.5 / np.sqrt(len(plan))


@pytest.mark.parametrize("kind", ["bert", "balanced", "ordered"])
def test_every_kind_of_plan_is_a_function_of_seed_and_epoch(kind):
    store, every = store_of([[7, 5, 9, 4]] * 30), np.arange(30)
    plans = [
        epoch_plan(store, every, PairRule(kind, 32, 0.1), seed, epoch).tobytes()
        for seed, epoch in [(0, 0), (0, 0), (0, 1), (1, 0), (0, "held-out")]
    ]
    assert plans[0] == plans[1]
    assert len(set(plans)) == 4


def test_consecutive_pairs_are_split_anywhere_between_sentences_and_are_labelled_0():
    store = store_of([[4, 3, 2], [5], [1]])
    documents, rule = np.arange(3), PairRule("balanced", 64, 0.0)
    middles = set()
    for seed in range(60):
        rows = pairs.consecutive_pairs(store, documents, 0, rule, random.Random(seed))
        ((a_begin, a_end, b_begin, b_end, label),) = rows
        assert (a_begin, b_end, label) == (0, 9, 0)
        assert a_end == b_begin
        middles.add(a_end)
    assert middles == {4, 7}, "after the first sentence or after the second"
    # A single sentence is split between two of its tokens, and a single token is no pair.
    cuts = {pairs.consecutive_pairs(store, documents, 1, rule, random.Random(seed))[0][1] for seed in range(60)}
    assert cuts == {10, 11, 12, 13}
    assert pairs.consecutive_pairs(store, documents, 2, rule, random.Random(0)) == []


def test_couples_of_one_document_exchange_with_their_nearest_neighbours():
    order = np.arange(8)
    # The second couple, 2 and 3, is of one document; so is the last, which finds nobody.
    document = np.array([0, 1, 2, 2, 3, 4, 5, 6])
    assert pairs._couples(order, document).tolist() == [[0, 1], [2, 5], [4, 3], [6, 7]]
    document = np.array([7, 7, 0, 1, 2, 3, 4, 5])
    assert pairs._couples(order, document).tolist() == [[0, 3], [2, 1], [4, 5], [6, 7]]
    document = np.array([2, 3, 0, 1, 2, 4, 2, 2])
    # The neighbour shares the document, too: the next but one takes over.
    assert pairs._couples(order, document).tolist() == [[0, 1], [2, 7], [4, 5], [6, 3]]
    assert pairs._couples(order, np.zeros(8, dtype=int)).tolist() == []
    assert pairs._couples(np.arange(3), np.array([0, 1, 2])).tolist() == [[0, 1]]


def test_plans_do_not_change_from_one_version_to_the_next():
    """A published run is given again by its config alone."""
    store = store_of([[5, 9, 4, 12], [7, 3, 8], [20, 6, 6, 2, 9], [4, 4]])
    plans = {
        kind: epoch_plan(store, np.arange(4), PairRule(kind, 20, 0.3), 1, 2).tolist()[:3]
        for kind in ("bert", "balanced", "ordered")
    }
    assert plans == GOLDEN
