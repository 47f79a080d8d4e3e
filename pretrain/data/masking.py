"""Which tokens a masked language model has to predict (google-research/bert, create_masked_lm_predictions).

Shapes: B sequences, T positions, M masked positions of the whole batch.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from pretrain.data.config import MaskingConfig
from pretrain.data.loader import IGNORED, Batch
from pretrain.data.randomness import uniform, uniform_on_device

# Inputs of a batch whose masks are still to be drawn.
NEEDED_TO_DRAW = ("candidates", "samples", "mask_counts")


class Masked(NamedTuple):
    """A batch with hidden tokens."""

    input_ids_BT: np.ndarray
    positions_M: np.ndarray
    """Indices into the flattened [B * T]."""
    labels_M: np.ndarray
    """The hidden ids."""


def target_counts(lengths_B: np.ndarray, config: MaskingConfig) -> np.ndarray:
    """How many tokens of each sequence are predicted: an exact share of its length, special tokens counted in.

    >>> target_counts(np.array([4, 20, 128]), MaskingConfig(rate=0.15))
    array([ 1,  3, 19])
    """
    counts_B = np.maximum(1, np.rint(config.rate * lengths_B).astype(np.int64))
    return counts_B if config.maximum_predictions is None else np.minimum(counts_B, config.maximum_predictions)


@dataclass(frozen=True)
class MaskingRule:
    """How the sequences of an epoch are masked."""

    config: MaskingConfig
    mask_id: int
    """The id of [MASK]."""
    vocabulary_size: int
    """A random entry is uniform over all of the vocabulary, as in the original."""
    seed: int
    epoch: int | str
    """The draws are a function of seed and epoch; an epoch may have a name, such as `held-out`."""

    @property
    def purpose(self) -> tuple[int, int | str]:
        """What random numbers are drawn for."""
        return self.seed, self.epoch


def mask(
    input_ids_BT: np.ndarray,
    candidates_BT: np.ndarray,
    lengths_B: np.ndarray,
    samples_B: np.ndarray,
    rule: MaskingRule,
    word_starts_BT: np.ndarray | None = None,
) -> Masked:
    """Hide an exact number of tokens a sequence; 80 % become [MASK], 10 % a random entry, 10 % stay.

    Args:
        input_ids_BT: token ids, padded.
        candidates_BT: where a token may be hidden: neither padding nor special.
        lengths_B: tokens of each sequence, special ones included.
        samples_B: the sequences' numbers within the epoch; each row's draws depend on its own alone.
        rule: rate, unit, shares, and what the draws are a function of.
        word_starts_BT: where a word begins; needed for whole words and spans.
    """
    config, purpose, length = rule.config, rule.purpose, input_ids_BT.shape[1]
    order_BT = np.where(candidates_BT, uniform(samples_B, length, "mask", *purpose), 2.0)
    counts_B = np.minimum(target_counts(lengths_B, config), candidates_BT.sum(axis=1))
    how_BT = uniform(samples_B, length, "replace", *purpose)
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
                chosen = whole_words(words, order, int(counts_B[row]))
            else:
                lengths = span_lengths(span_BT[row], config)
                spans = word_spans(words, order, lengths, int(counts_B[row]))
                chosen = [position for span in spans for position in span]
                for span in spans:
                    how_BT[row, span] = how_BT[row, span[0]]
            chosen_BT[row, chosen] = True

    random_BT = (uniform(samples_B, length, "token", *purpose) * rule.vocabulary_size).astype(np.int64)
    masked_BT = np.where(chosen_BT & (how_BT < config.mask_share), rule.mask_id, input_ids_BT)
    is_random_BT = chosen_BT & (how_BT >= config.mask_share) & (how_BT < config.mask_share + config.random_share)
    masked_BT = np.where(is_random_BT, random_BT, masked_BT)
    positions_M = np.flatnonzero(chosen_BT)
    return Masked(masked_BT, positions_M, input_ids_BT.reshape(-1)[positions_M])


@dataclass(frozen=True)
class MaskDraw:
    """Masks of single tokens still to be drawn, on whatever device the batch will be; the same masks as `mask`'s."""

    rule: MaskingRule
    count: int
    """How many tokens are hidden."""
    size: int | None
    """M, if it is to be larger: the positions beyond `count` have no label."""

    def __call__(self, batch: Batch) -> Batch:
        """The batch with its masks.

        Args:
            batch: with inputs `original_ids` and `candidates` [B, T], `samples` and `mask_counts` [B]; the last three
                are dropped.

        Returns:
            It, with inputs `input_ids` [B, T] and `masked_positions` [M], and labels `masked_labels` [M].
        """
        rule, config = self.rule, self.rule.config
        candidates_BT, samples_B, counts_B = (batch.inputs[name] for name in NEEDED_TO_DRAW)
        ids_BT, length = batch["original_ids"], batch["original_ids"].shape[1]
        order_BT = uniform_on_device(samples_B, length, "mask", *rule.purpose).masked_fill(~candidates_BT, 2.0)
        rank_BT = order_BT.argsort(dim=1, stable=True).argsort(dim=1, stable=True)
        chosen_BT = rank_BT < counts_B[:, None]
        how_BT = uniform_on_device(samples_B, length, "replace", *rule.purpose)
        random_BT = (uniform_on_device(samples_B, length, "token", *rule.purpose) * rule.vocabulary_size).long()
        replaced_BT = torch.where(how_BT < config.mask_share, rule.mask_id, random_BT)
        hidden_BT = chosen_BT & (how_BT < config.mask_share + config.random_share)
        # The number is known, so that nothing has to wait for the device to count.
        size = self.count if self.size is None else self.size
        positions_M = torch.nonzero_static(chosen_BT.flatten(), size=size, fill_value=0).squeeze(1)
        real_M = torch.arange(size, device=ids_BT.device) < self.count
        inputs = {name: tensor for name, tensor in batch.inputs.items() if name not in NEEDED_TO_DRAW}
        inputs |= {"input_ids": torch.where(hidden_BT, replaced_BT, ids_BT), "masked_positions": positions_M}
        labels_M = torch.where(real_M, ids_BT.flatten()[positions_M], IGNORED)
        return replace(batch, inputs=inputs, labels=batch.labels | {"masked_labels": labels_M}, mask_draw=None)


def words_of(candidates_T: np.ndarray, starts_T: np.ndarray) -> list[list[int]]:
    """The positions of each word; what is special ends a word, and what remains of one that was cut is a word.

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


def whole_words(words: list[list[int]], order: list[int], count: int) -> list[int]:
    """Words in `order`, as many as fit `count` tokens; one that would overflow is passed over, as in the original.

    Where no word fits, the first in order gives its first `count` tokens, so that something is predicted.

    >>> whole_words([[1, 2], [3], [5]], [0, 2, 1], 2), whole_words([[1, 2, 3]], [0], 2)
    ([1, 2], [1, 2])
    """
    chosen: list[int] = []
    for number in order:
        if len(chosen) + len(words[number]) <= count:
            chosen += words[number]
    return chosen or words[order[0]][:count]


def word_spans(words: list[list[int]], order: list[int], lengths: np.ndarray, count: int) -> list[list[int]]:
    """Spans from the words in `order`, each as many words as `lengths` has at its first token, `count` tokens in all.

    A word that is hidden already starts no span; a span goes on over hidden words, and the last is cut.

    >>> word_spans([[1, 2], [3], [5]], [1, 0], np.array([0, 2, 2, 3, 1, 1]), 3)
    [[3, 5], [1]]
    """
    spans: list[list[int]] = []
    hidden: set[int] = set()
    for number in order:
        first = words[number][0]
        if first in hidden:
            continue
        neighbours = words[number : number + lengths[first]]
        span = [position for word in neighbours for position in word if position not in hidden]
        span = span[: count - len(hidden)]
        spans.append(span)
        hidden.update(span)
        if len(hidden) == count:
            break
    return spans


def span_lengths(uniform_T: np.ndarray, config: MaskingConfig) -> np.ndarray:
    """Lengths in words, geometric and cut off at the maximum, by inversion of their distribution.

    >>> span_lengths(np.array([0.0, 0.2, 0.5, 0.999]), MaskingConfig())
    array([ 1,  1,  3, 10])
    """
    lengths = np.arange(1, config.maximum_span + 1)
    shares = config.span_probability * (1 - config.span_probability) ** (lengths - 1)
    return 1 + np.searchsorted(np.cumsum(shares / shares.sum())[:-1], uniform_T, side="right")
