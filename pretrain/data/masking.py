"""Which tokens are masked for a masked language model (google-research/bert, create_masked_lm_predictions).

Shapes: B sequences, T positions, M masked positions of the whole batch.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from pretrain.data.config import MaskingConfig
from pretrain.data.loader import IGNORED, Batch
from pretrain.data.randomness import uniform, uniform_on_device

# Inputs of a batch whose masks are not drawn yet.
DEFERRED_INPUTS = ("candidates", "samples", "mask_counts")


class Masked(NamedTuple):
    """A masked batch."""

    input_ids_BT: np.ndarray
    positions_M: np.ndarray
    """Indices into the flattened [B * T]."""
    labels_M: np.ndarray
    """The original ids at the masked positions."""


def target_counts(
    lengths_B: np.ndarray, config: MaskingConfig, rates_B: np.ndarray | float | None = None
) -> np.ndarray:
    """The number of predictions per sequence: a share of its length, special tokens included, and at least one.

    The shares are `rates_B`, by default `config.rate`.

    >>> target_counts(np.array([4, 20, 128]), MaskingConfig(rate=0.15))
    array([ 1,  3, 19])
    """
    rates_B = config.rate if rates_B is None else rates_B
    counts_B = np.maximum(1, np.rint(rates_B * lengths_B).astype(np.int64))
    return counts_B if config.maximum_predictions is None else np.minimum(counts_B, config.maximum_predictions)


@dataclass(frozen=True)
class MaskingRule:
    """How the sequences of an epoch are masked."""

    config: MaskingConfig
    mask_id: int
    """The id of [MASK]."""
    vocabulary_size: int
    """Random replacements are uniform over the whole vocabulary, as in the reference code."""
    seed: int
    epoch: int | str
    """The draws depend on seed and epoch; an epoch may have a name, such as `held-out`."""

    @property
    def purpose(self) -> tuple[int, int | str]:
        """The purpose of the random numbers."""
        return self.seed, self.epoch


def mask(
    input_ids_BT: np.ndarray,
    candidates_BT: np.ndarray,
    lengths_B: np.ndarray,
    samples_B: np.ndarray,
    rule: MaskingRule,
    word_starts_BT: np.ndarray | None = None,
    rates_B: np.ndarray | None = None,
) -> Masked:
    """Mask an exact number of tokens per sequence; by default 80 % become [MASK], 10 % random, 10 % stay.

    Args:
        input_ids_BT: token ids, padded.
        candidates_BT: where a token may be masked: neither padding nor special.
        lengths_B: tokens of each sequence, special tokens included.
        samples_B: the sequences' indices within the epoch; each row's draws depend only on its own index.
        rule: rate, unit, shares, seed and epoch.
        word_starts_BT: where a word begins; needed for whole words and spans.
        rates_B: the share of each sequence to mask; None: the rule's.
    """
    config, purpose, length = rule.config, rule.purpose, input_ids_BT.shape[1]
    order_BT = np.where(candidates_BT, uniform(samples_B, length, "mask", *purpose), 2.0)
    counts_B = np.minimum(target_counts(lengths_B, config, rates_B), candidates_BT.sum(axis=1))
    action_BT = uniform(samples_B, length, "replace", *purpose)
    if config.unit == "token":
        rank_BT = order_BT.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
        chosen_BT = rank_BT < counts_B[:, None]
    else:
        assert word_starts_BT is not None
        span_BT = uniform(samples_B, length, "span", *purpose)
        chosen_BT = np.zeros_like(candidates_BT)
        for row in range(len(input_ids_BT)):
            words = words_of(candidates_BT[row], word_starts_BT[row])
            order = sorted(range(len(words)), key=lambda word, row=row, words=words: order_BT[row, words[word][0]])
            if config.unit == "word":
                chosen = whole_words(words, order, int(counts_B[row]), order_BT[row])
            else:
                lengths = span_lengths(span_BT[row], config)
                spans = word_spans(words, order, lengths, int(counts_B[row]))
                chosen = [position for span in spans for position in span]
                for span in spans:
                    action_BT[row, span] = action_BT[row, span[0]]
            chosen_BT[row, chosen] = True

    random_BT = (uniform(samples_B, length, "token", *purpose) * rule.vocabulary_size).astype(np.int64)
    masked_BT = np.where(chosen_BT & (action_BT < config.mask_share), rule.mask_id, input_ids_BT)
    is_random_BT = chosen_BT & (action_BT >= config.mask_share) & (action_BT < config.mask_share + config.random_share)
    masked_BT = np.where(is_random_BT, random_BT, masked_BT)
    positions_M = np.flatnonzero(chosen_BT)
    return Masked(masked_BT, positions_M, input_ids_BT.reshape(-1)[positions_M])


@dataclass(frozen=True)
class MaskDraw:
    """Draws masks of single tokens on the batch's device; the same masks as `mask` draws."""

    rule: MaskingRule
    count: int
    """Number of masked tokens."""
    size: int | None
    """M, if larger than `count`; the positions beyond `count` have no label."""

    def __call__(self, batch: Batch) -> Batch:
        """The batch with its masks.

        Args:
            batch: with inputs `original_ids` and `candidates` [B, T], `samples` and `mask_counts` [B]; the last three
                are dropped.

        Returns:
            The batch with inputs `input_ids` [B, T] and `masked_positions` [M], and labels `masked_labels` [M].
        """
        rule, config = self.rule, self.rule.config
        candidates_BT, samples_B, counts_B = (batch.inputs[name] for name in DEFERRED_INPUTS)
        ids_BT, length = batch["original_ids"], batch["original_ids"].shape[1]
        order_BT = uniform_on_device(samples_B, length, "mask", *rule.purpose).masked_fill(~candidates_BT, 2.0)
        rank_BT = order_BT.argsort(dim=1, stable=True).argsort(dim=1, stable=True)
        chosen_BT = rank_BT < counts_B[:, None]
        action_BT = uniform_on_device(samples_B, length, "replace", *rule.purpose)
        random_BT = (uniform_on_device(samples_B, length, "token", *rule.purpose) * rule.vocabulary_size).long()
        replacement_BT = torch.where(action_BT < config.mask_share, rule.mask_id, random_BT)
        is_replaced_BT = chosen_BT & (action_BT < config.mask_share + config.random_share)
        # The size is known beforehand, so there is no synchronisation with the device.
        size = self.count if self.size is None else self.size
        positions_M = torch.nonzero_static(chosen_BT.flatten(), size=size, fill_value=0).squeeze(1)
        has_label_M = torch.arange(size, device=ids_BT.device) < self.count
        inputs = {name: tensor for name, tensor in batch.inputs.items() if name not in DEFERRED_INPUTS}
        inputs |= {"input_ids": torch.where(is_replaced_BT, replacement_BT, ids_BT), "masked_positions": positions_M}
        labels_M = torch.where(has_label_M, ids_BT.flatten()[positions_M], IGNORED)
        return replace(batch, inputs=inputs, labels=batch.labels | {"masked_labels": labels_M}, mask_draw=None)


def words_of(candidates_T: np.ndarray, starts_T: np.ndarray) -> list[list[int]]:
    """The positions of each word; a special token ends a word, and the rest of a truncated word counts as a word.

    >>> words_of(np.array([False, True, True, True, False, True]), np.array([False, True, False, True, False, False]))
    [[1, 2], [3], [5]]
    """
    words: list[list[int]] = []
    for position in np.flatnonzero(candidates_T).tolist():
        if words and words[-1][-1] == position - 1 and not starts_T[position]:
            words[-1].append(position)
        else:
            words.append([position])
    return words


def whole_words(words: list[list[int]], order: list[int], count: int, draws_T: np.ndarray) -> list[int]:
    """Take words in `order` up to `count` tokens; a word that would exceed it is skipped, as in the reference code.

    If no word fits, as in a text without spaces, `count` tokens in a row of the first word are taken, from the position
    with the lowest draw on, so that there is something to predict and it is not always the beginning.

    >>> draws = np.array([0.9, 0.8, 0.1, 0.5, 0.0])
    >>> whole_words([[1, 2], [3], [5]], [0, 2, 1], 2, draws), whole_words([[1, 2, 3, 4]], [0], 2, draws)
    ([1, 2], [2, 3])
    """
    chosen: list[int] = []
    for number in order:
        if len(chosen) + len(words[number]) <= count:
            chosen += words[number]
    if chosen:
        return chosen
    longest = words[order[0]]
    first = int(np.argmin(draws_T[longest[: len(longest) - count + 1]]))
    return longest[first : first + count]


def word_spans(words: list[list[int]], order: list[int], lengths: np.ndarray, count: int) -> list[list[int]]:
    """Spans that start at the words in `order`, with `lengths[first token]` words each and `count` tokens in total.

    A masked word does not start a span, a span skips tokens that are already masked and ends before a special token,
    and the last span is cut.

    >>> word_spans([[1, 2], [3], [5]], [1, 0], np.array([0, 2, 2, 3, 1, 1]), 3)
    [[3], [1, 2]]
    """
    spans: list[list[int]] = []
    masked: set[int] = set()
    for number in order:
        first = words[number][0]
        if first in masked:
            continue
        neighbours = [words[number]]
        for word in words[number + 1 : number + lengths[first]]:
            if word[0] != neighbours[-1][-1] + 1:
                break
            neighbours.append(word)
        span = [position for word in neighbours for position in word if position not in masked]
        span = span[: count - len(masked)]
        spans.append(span)
        masked.update(span)
        if len(masked) == count:
            break
    return spans


def span_lengths(uniform_T: np.ndarray, config: MaskingConfig) -> np.ndarray:
    """Span lengths in words from a geometric distribution truncated at the maximum, by inverse-transform sampling.

    >>> span_lengths(np.array([0.0, 0.2, 0.5, 0.999]), MaskingConfig())
    array([ 1,  1,  3, 10])
    """
    lengths = np.arange(1, config.maximum_span + 1)
    shares = config.span_probability * (1 - config.span_probability) ** (lengths - 1)
    return 1 + np.searchsorted(np.cumsum(shares / shares.sum())[:-1], uniform_T, side="right")
