"""Masks: exact counts, the right shares, and nothing shared between rows."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain.data.config import MaskingConfig
from pretrain.data.loader import IGNORED, Batch
from pretrain.data.masking import (
    MaskDraw,
    MaskingRule,
    mask,
    span_lengths,
    target_counts,
    whole_words,
    word_spans,
    words_of,
)

MASK_ID, VOCABULARY, FIRST_WORD = 4, 1000, 5
GOLDEN = {
    "token": [1, 2, 10, 12, 17, 18, 22],
    "word": [1, 2, 8, 12, 17, 18, 22],
    "span": [1, 2, 3, 12, 17, 18, 22],
}


def rows_of(lengths, width=None, seed=0):
    """Ids, candidates and lengths of rows [CLS] words [SEP] words [SEP], padded with 0."""
    width = width or max(lengths)
    rng = np.random.default_rng(seed)
    ids_BT = np.zeros((len(lengths), width), dtype=np.int64)
    candidates_BT = np.zeros(ids_BT.shape, dtype=bool)
    for row, length in enumerate(lengths):
        ids_BT[row, :length] = rng.integers(FIRST_WORD, VOCABULARY, length)
        candidates_BT[row, :length] = True
        for place, special in ((0, 2), (length // 2, 3), (length - 1, 3)):
            ids_BT[row, place], candidates_BT[row, place] = special, False
    return ids_BT, candidates_BT, np.array(lengths)


def rule(config, seed=0, epoch=0):
    return MaskingRule(config, MASK_ID, VOCABULARY, seed, epoch)


def masked(lengths, config=None, samples=None, epoch=0, seed=0, width=None):
    ids_BT, candidates_BT, lengths_B = rows_of(lengths, width)
    samples_B = np.arange(len(lengths)) if samples is None else np.array(samples)
    found = mask(ids_BT, candidates_BT, lengths_B, samples_B, rule(config or MaskingConfig(), seed, epoch))
    return ids_BT, candidates_BT, found


LENGTHS = st.lists(st.integers(5, 60), min_size=1, max_size=6)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(LENGTHS, st.sampled_from([0.05, 0.15, 0.4]), st.sampled_from([None, 3]), st.integers(0, 3))
def test_the_count_of_masked_tokens_is_exact_in_every_row(lengths, rate, maximum, epoch):
    ids_BT, candidates_BT, found = masked(lengths, MaskingConfig(rate=rate, maximum_predictions=maximum), epoch=epoch)
    per_row = np.bincount(found.positions_M // ids_BT.shape[1], minlength=len(lengths))
    expected = []
    for length, candidates in zip(lengths, candidates_BT.sum(axis=1), strict=True):
        count = max(1, round(rate * length))
        expected.append(min(count, candidates, maximum or count))
    assert per_row.tolist() == expected


def test_at_least_one_token_is_predicted_and_never_more_than_there_are():
    assert target_counts(np.array([4, 20, 128]), MaskingConfig(rate=0.15)).tolist() == [1, 3, 19]
    assert target_counts(np.array([4, 20, 128]), MaskingConfig(rate=0.15, maximum_predictions=2)).tolist() == [1, 2, 2]
    _, _, found = masked([5], MaskingConfig(rate=0.9))
    assert len(found.positions_M) == 2, "five tokens, three of them special"


@settings(max_examples=80, deadline=None, derandomize=True)
@given(LENGTHS, st.sampled_from([0.15, 0.9]), st.integers(0, 3))
def test_special_tokens_and_padding_are_never_touched(lengths, rate, epoch):
    ids_BT, candidates_BT, found = masked(lengths, MaskingConfig(rate=rate), epoch=epoch, width=max(lengths) + 7)
    assert candidates_BT.reshape(-1)[found.positions_M].all()
    untouched = np.ones(ids_BT.size, dtype=bool)
    untouched[found.positions_M] = False
    assert np.array_equal(found.input_ids_BT.reshape(-1)[untouched], ids_BT.reshape(-1)[untouched])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(LENGTHS, st.integers(0, 3))
def test_labels_are_the_original_ids_and_positions_do_not_repeat(lengths, epoch):
    ids_BT, _, found = masked(lengths, epoch=epoch)
    assert np.array_equal(found.labels_M, ids_BT.reshape(-1)[found.positions_M])
    assert len(set(found.positions_M.tolist())) == len(found.positions_M)


def within(count, total, share):
    """Five standard deviations of a binomial count."""
    return abs(count - total * share) <= 5 * math.sqrt(total * share * (1 - share))


def test_80_10_10_within_the_bounds_of_chance():
    _, _, found = masked([128] * 1000)
    shown = found.input_ids_BT.reshape(-1)[found.positions_M]
    total = len(shown)
    assert total == 19_000
    assert within((shown == MASK_ID).sum(), total, 0.8 + 0.1 / VOCABULARY)
    assert within((shown == found.labels_M).sum(), total, 0.1 + 0.1 / VOCABULARY)
    assert within(((shown != MASK_ID) & (shown != found.labels_M)).sum(), total, 0.1 * (1 - 2 / VOCABULARY))


def test_random_entries_are_uniform_over_the_whole_vocabulary():
    _, _, found = masked([128] * 1000, MaskingConfig(mask_share=0.0, random_share=1.0))
    shown = found.input_ids_BT.reshape(-1)[found.positions_M]
    assert (shown.min(), shown.max()) == (0, VOCABULARY - 1)
    counts = np.bincount(shown // 100, minlength=10)
    assert all(within(count, len(shown), 0.1) for count in counts)


def test_chosen_places_are_uniform_over_the_candidates():
    ids_BT, candidates_BT, found = masked([23] * 4000, MaskingConfig(rate=0.15))
    counts_T = np.bincount(found.positions_M % ids_BT.shape[1], minlength=23)
    candidates_T = candidates_BT[0]
    assert counts_T[~candidates_T].sum() == 0
    assert all(within(count, 4000, 3 / 20) for count in counts_T[candidates_T])


@pytest.mark.parametrize(("config", "expected"), [((1.0, 0.0), "masked"), ((0.0, 0.0), "kept")])
def test_shares_of_one_and_of_nothing_are_exact(config, expected):
    _, _, found = masked([40] * 20, MaskingConfig(mask_share=config[0], random_share=config[1]))
    shown = found.input_ids_BT.reshape(-1)[found.positions_M]
    assert np.array_equal(shown, np.full_like(shown, MASK_ID) if expected == "masked" else found.labels_M)


def test_a_rows_mask_depends_neither_on_its_companions_nor_on_padding():
    lengths, samples = [31, 12, 47, 20], [9, 4, 400, 0]
    ids_BT, candidates_BT, lengths_B = rows_of(lengths)
    of_epoch = rule(MaskingConfig(), seed=3, epoch=5)
    together = mask(ids_BT, candidates_BT, lengths_B, np.array(samples), of_epoch)
    for row, length in enumerate(lengths):
        alone = mask(
            ids_BT[row : row + 1, :length],
            candidates_BT[row : row + 1, :length],
            lengths_B[row : row + 1],
            np.array(samples[row : row + 1]),
            of_epoch,
        )
        assert np.array_equal(alone.input_ids_BT[0], together.input_ids_BT[row, :length])
        here = together.positions_M // ids_BT.shape[1] == row
        assert np.array_equal(alone.positions_M, together.positions_M[here] % ids_BT.shape[1])
        assert np.array_equal(alone.labels_M, together.labels_M[here])


def test_another_sample_epoch_or_seed_is_masked_elsewhere():
    found = [
        masked([60], samples=[sample], epoch=epoch, seed=seed)[2].positions_M.tolist()
        for sample, epoch, seed in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, "held-out", 0)]
    ]
    assert len({tuple(positions) for positions in found}) == 5
    assert masked([60])[2].positions_M.tolist() == found[0]


# ---------------------------------------------------------------------------- whole words and spans


def masked_words(lengths, config, epoch=0, seed=0):
    """As `masked`, with every third position the start of a word, and the words of each row."""
    ids_BT, candidates_BT, lengths_B = rows_of(lengths)
    starts_BT = np.broadcast_to(np.arange(ids_BT.shape[1]) % 3 == 1, ids_BT.shape)
    samples = np.arange(len(lengths))
    found = mask(ids_BT, candidates_BT, lengths_B, samples, rule(config, seed, epoch), word_starts_BT=starts_BT)
    words = [words_of(candidates, starts) for candidates, starts in zip(candidates_BT, starts_BT, strict=True)]
    chosen = [
        (found.positions_M[found.positions_M // ids_BT.shape[1] == row] % ids_BT.shape[1]).tolist()
        for row in range(len(lengths))
    ]
    return ids_BT, candidates_BT, found, words, chosen


@settings(max_examples=80, deadline=None, derandomize=True)
@given(LENGTHS, st.sampled_from([0.05, 0.15, 0.5]), st.sampled_from(["word", "span"]), st.integers(0, 3))
def test_no_unit_masks_more_than_its_count_or_what_is_special(lengths, rate, unit, epoch):
    config = MaskingConfig(rate=rate, unit=unit)
    ids_BT, candidates_BT, found, words, chosen = masked_words(lengths, config, epoch)
    assert candidates_BT.reshape(-1)[found.positions_M].all()
    assert np.array_equal(found.labels_M, ids_BT.reshape(-1)[found.positions_M])
    counts = np.minimum(target_counts(np.array(lengths), config), candidates_BT.sum(axis=1))
    for row, positions in enumerate(chosen):
        assert 1 <= len(positions) <= counts[row]
        if unit == "span":
            assert len(positions) == counts[row], "spans are cut to the exact count"
        elif len(positions) >= max(map(len, words[row])):
            for word in words[row]:
                assert len(set(word) & set(positions)) in (0, len(word)), "all of a word or nothing"


def test_whole_words_fill_the_count_as_far_as_they_fit():
    _, _, _, words, chosen = masked_words([128] * 50, MaskingConfig(unit="word"))
    assert all(19 - 2 <= len(positions) <= 19 for positions in chosen), "words have three pieces"
    assert {len(word) for word in words[0]} >= {3}


def test_a_span_goes_all_one_way_and_words_piece_by_piece():
    config = MaskingConfig(unit="span", mask_share=0.5, random_share=0.0)
    _, _, found, _, _ = masked_words([128] * 200, config)
    shown = found.input_ids_BT.reshape(-1)[found.positions_M] == MASK_ID
    neighbours = np.diff(found.positions_M) == 1
    together = (shown[1:] == shown[:-1])[neighbours].mean()
    assert together > 0.9, "but for spans that touch"
    _, _, words, _, _ = masked_words([128] * 200, MaskingConfig(unit="word", mask_share=0.5, random_share=0.0))
    shown = words.input_ids_BT.reshape(-1)[words.positions_M] == MASK_ID
    assert abs((shown[1:] == shown[:-1])[np.diff(words.positions_M) == 1].mean() - 0.5) < 0.05


def test_span_lengths_are_geometric_and_cut_off_at_ten():
    drawn = span_lengths(np.random.default_rng(0).random(200_000), MaskingConfig())
    assert (drawn.min(), drawn.max()) == (1, 10)
    shares = 0.2 * 0.8 ** np.arange(10)
    shares /= shares.sum()
    for length, share in enumerate(shares, 1):
        assert within((drawn == length).sum(), len(drawn), share)
    # SpanBERT, section 3.1: a mean of 3.8 words.
    assert drawn.mean() == pytest.approx(3.8, abs=0.02)


def test_spans_are_made_of_neighbouring_words():
    spans = word_spans([[1, 2], [3], [4, 5], [8]], [1, 3, 0], np.array([0, 1, 0, 2, 0, 0, 0, 0, 4]), 6)
    assert spans == [[3, 4, 5], [8], [1, 2]]
    # Position 3 is a [SEP]: a span does not go on in the next document.
    assert word_spans([[1], [2], [4], [5]], [1, 2, 0], np.array([0, 1, 4, 0, 4, 0]), 4) == [[2], [4, 5], [1]]
    assert word_spans([[1, 2], [3], [4, 5]], [0], np.array([0, 9]), 4) == [[1, 2, 3, 4]], "the last is cut"


@pytest.mark.parametrize("unit", ["word", "span"])
def test_units_depend_on_the_sample_alone(unit):
    config = MaskingConfig(unit=unit)
    together = masked_words([60, 60, 60], config)[4]
    alone = masked_words([60], config)[4]
    assert together[0] == alone[0]
    assert len({tuple(positions) for positions in together}) == 3


def test_masks_drawn_on_the_device_have_places_without_a_label_after_the_last():
    ids_BT, candidates_BT, lengths_B = rows_of([12, 9, 5])
    rule_of_epoch = rule(MaskingConfig(rate=0.4))
    counts_B = np.minimum(target_counts(lengths_B, rule_of_epoch.config), candidates_BT.sum(axis=1))
    inputs = {
        "original_ids": torch.from_numpy(ids_BT),
        "candidates": torch.from_numpy(candidates_BT),
        "samples": torch.arange(3),
        "mask_counts": torch.from_numpy(counts_B),
    }
    count = int(counts_B.sum())
    expected = mask(ids_BT, candidates_BT, lengths_B, np.arange(3), rule_of_epoch)
    for size in (None, count + 4):
        drawn = MaskDraw(rule_of_epoch, count, size)(Batch(inputs, {}, {}))
        assert drawn.inputs.keys() == {"original_ids", "input_ids", "masked_positions"}
        assert drawn["input_ids"].tolist() == expected.input_ids_BT.tolist()
        spare = 0 if size is None else 4
        assert drawn["masked_positions"].tolist() == expected.positions_M.tolist() + [0] * spare
        assert drawn["masked_labels"].tolist() == expected.labels_M.tolist() + [IGNORED] * spare


def test_whole_words_may_fill_the_count_exactly_and_the_first_in_order_is_cut_if_none_fits():
    words = [[1, 2], [3, 4, 5], [6]]
    draws = np.linspace(0.9, 0.1, 10)
    assert whole_words(words, [1, 0, 2], 3, draws) == [3, 4, 5]
    assert whole_words(words, [0, 1, 2], 3, draws) == [1, 2, 6]
    # A word that is too long gives tokens in a row, from the lowest draw on.
    assert whole_words(words, [1, 0], 1, draws) == [5]
    assert whole_words([[1, 2, 3], [4, 5, 6]], [1, 0], 2, draws) == [5, 6]
    assert whole_words([[1, 2, 3], [4, 5, 6]], [1, 0], 2, draws[::-1]) == [4, 5]


def test_a_word_within_a_span_starts_none_and_the_next_in_order_does():
    words, lengths = [[0], [1], [2], [3]], np.array([2, 1, 1, 1])
    assert word_spans(words, [0, 1, 3], lengths, 3) == [[0, 1], [3]]


def test_span_lengths_invert_the_truncated_geometric_distribution():
    config = MaskingConfig(span_probability=0.5, maximum_span=3)
    # Shares 4/7, 2/7 and 1/7; a number on a boundary belongs to the longer span.
    assert span_lengths(np.array([0.0, 0.57, 0.572, 0.857, 0.858, 0.999]), config).tolist() == [1, 1, 2, 2, 3, 3]
    halves = MaskingConfig(span_probability=1.0, maximum_span=2)
    assert span_lengths(np.array([0.0, 0.999]), halves).tolist() == [1, 1]


@pytest.mark.parametrize("unit", ["token", "word", "span"])
def test_masks_do_not_change_from_one_version_to_the_next(unit):
    """A published run is given again by its config alone."""
    ids_BT, candidates_BT, lengths_B = rows_of([14, 10])
    starts_BT = np.arange(14) % 3 != 1
    found = mask(
        ids_BT, candidates_BT, lengths_B, np.arange(2), rule(MaskingConfig(rate=0.3, unit=unit), 1, 2),
        np.broadcast_to(starts_BT, ids_BT.shape),
    )  # fmt: skip
    assert found.positions_M.tolist() == GOLDEN[unit]
