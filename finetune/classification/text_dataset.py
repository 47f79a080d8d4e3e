"""Labelled text → batches of ids.

Shapes: B texts of a micro-batch, T positions, N texts.
"""

import dataclasses
import itertools

import numpy as np
import torch

from pretrain.data.loader import Batch, arithmetic_counts, length_grouped, padded_length, token_budget_batches
from pretrain.data.masked_lm_dataset import TokenLayout
from pretrain.data.store import TokenStore


@dataclasses.dataclass(frozen=True)
class TextEpoch:
    """Labelled texts in batches, laid out as [CLS] text [SEP], or [CLS] text [SEP] second text [SEP]."""

    store: TokenStore
    classes_N: np.ndarray
    layout: TokenLayout
    sequence_length: int
    truncation_head_share: float
    batches: list[np.ndarray]
    buckets: tuple[int, ...] = ()
    """T is one of these; without any, it is minimal."""

    def collate(self, samples_B: np.ndarray) -> Batch:
        """Inputs `input_ids`, `token_type_ids`, `attention_mask` [B, T], labels `labels` [B]."""
        rows = [self.encoded(int(sample)) for sample in samples_B]
        length = padded_length(max(len(ids) for ids, _ in rows), self.buckets)
        ids_BT = np.full((len(rows), length), self.layout.pad_id, dtype=np.int64)
        types_BT, attention_BT = np.zeros_like(ids_BT), np.zeros_like(ids_BT)
        for index, (ids, second) in enumerate(rows):
            ids_BT[index, : len(ids)] = ids
            types_BT[index, second : len(ids)] = 1
            attention_BT[index, : len(ids)] = 1
        inputs = {"input_ids": ids_BT, "token_type_ids": types_BT, "attention_mask": attention_BT}
        return Batch(
            inputs={name: torch.from_numpy(array) for name, array in inputs.items()},
            labels={"labels": torch.from_numpy(self.classes_N[samples_B])},
            counts={"labels": len(rows)} | arithmetic_counts(attention_BT.sum(1)),
        )

    def encoded(self, sample: int) -> tuple[np.ndarray, int]:
        """The ids of a text, special ones included, and where its second text begins (its length if there is none)."""
        texts = texts_of(self.store, sample)
        kept = share_budget([len(ids) for ids in texts], self.sequence_length - 1 - len(texts))
        pieces: list[np.ndarray] = [np.array([self.layout.cls_id])]
        for ids, length in zip(texts, kept, strict=True):
            pieces += [head_and_tail(ids, length, self.truncation_head_share), np.array([self.layout.sep_id])]
        joined = np.concatenate(pieces).astype(np.int64)
        return joined, kept[0] + 2


def texts_of(store: TokenStore, document: int) -> list[np.ndarray]:
    """The ids of a labelled text, and of its second text where there is one."""
    first, last = store.document_offsets[document], store.document_offsets[document + 1]
    bounds = store.sentence_offsets[first : last + 1].tolist()
    return [store.tokens(begin, end) for begin, end in itertools.pairwise(bounds)]


def share_budget(lengths: list[int], budget: int) -> list[int]:
    """How many tokens each of one or two texts keeps: the longer one gives way first.

    >>> share_budget([300], 126), share_budget([300, 20], 125), share_budget([300, 200], 125), share_budget([5, 6], 125)
    ([126], [105, 20], [63, 62], [5, 6])
    """
    if len(lengths) == 1:
        return [min(lengths[0], budget)]
    first, second = lengths
    kept_second = min(second, max(budget // 2, budget - first))
    return [min(first, budget - kept_second), kept_second]


def head_and_tail(ids: np.ndarray, length: int, truncation_head_share: float) -> np.ndarray:
    """The beginning and the end of a text that is longer than `length` (Sun et al. 2019, section 5.3.1).

    >>> head_and_tail(np.arange(10), 4, 0.25)
    array([0, 7, 8, 9])
    """
    if len(ids) <= length:
        return ids
    head = round(truncation_head_share * length)
    return np.concatenate([ids[:head], ids[len(ids) - (length - head) :]])


@dataclasses.dataclass(frozen=True)
class TextSource:
    """The training texts, in another order each epoch."""

    texts: TextEpoch
    chosen: np.ndarray
    batch_size: int
    seed: int

    def epoch(self, number: int) -> TextEpoch:
        """The shuffled batches of an epoch."""
        lengths = lengths_of(self.texts.store, self.chosen)
        batches = length_grouped(lengths, self.batch_size, self.seed, number)
        return dataclasses.replace(self.texts, batches=[self.chosen[batch] for batch in batches])


def evaluation_epoch(texts: TextEpoch, chosen: np.ndarray, tokens: int) -> TextEpoch:
    """The chosen texts once, sorted by length, in batches of about so many tokens."""
    lengths = np.minimum(lengths_of(texts.store, chosen), texts.sequence_length)
    return dataclasses.replace(texts, batches=[chosen[batch] for batch in token_budget_batches(lengths, tokens)])


def lengths_of(store: TokenStore, documents: np.ndarray) -> np.ndarray:
    """Tokens of each text, second texts included."""
    bounds = store.sentence_offsets[store.document_offsets]
    return (bounds[1:] - bounds[:-1])[documents]
