"""Labelled text → batches of ids.

Shapes: B texts of a micro-batch, T positions, N texts.
"""

import dataclasses
import itertools

import numpy as np
import torch

from finetune.classification.tokenization_head_tail import head_and_tail, share_budget
from pretrain.data.loader import Batch, arithmetic_counts, length_grouped, padded_length, rounded_length
from pretrain.data.masked_lm_dataset import TokenLayout
from pretrain.data.randomness import uniform
from pretrain.data.store import TokenStore
from pretrain.data.token_budget import token_budget_batches


@dataclasses.dataclass(frozen=True)
class TextEpoch:
    """Batches of labelled texts, encoded as [CLS] text [SEP] or [CLS] text [SEP] second text [SEP]; between
    two texts, RoBERTa has two separators.
    """

    store: TokenStore
    classes_N: np.ndarray
    layout: TokenLayout
    sequence_length: int
    truncation_head_share: float
    batches: list[np.ndarray]
    buckets: tuple[int, ...] = ()
    """T is rounded up to one of these; without buckets, T is the longest text of the batch, and a little more."""
    token_types: bool = True
    """Whether the model takes `token_type_ids`; RoBERTa, DistilBERT and ModernBERT do not."""
    token_masking: float = 0.0
    """The probability that a token becomes [MASK]."""
    purpose: tuple[int, ...] = ()
    """Seed and epoch, on which the masked tokens depend."""

    def collate(self, samples_B: np.ndarray) -> Batch:
        """Inputs `input_ids`, `attention_mask` and, if the model takes them, `token_type_ids`, all [B, T]; labels
        `labels` [B], or [B, C] where a text may have several.
        """
        rows = [self.encode(int(sample)) for sample in samples_B]
        longest = max(len(ids) for ids, _ in rows)
        rounded = min(rounded_length(longest), self.sequence_length)
        length = padded_length(longest, self.buckets) if self.buckets else rounded
        ids_BT = np.full((len(rows), length), self.layout.pad_id, dtype=np.int64)
        types_BT, attention_BT = np.zeros_like(ids_BT), np.zeros_like(ids_BT)
        for index, (ids, second_start) in enumerate(rows):
            ids_BT[index, : len(ids)] = ids
            types_BT[index, second_start : len(ids)] = 1
            attention_BT[index, : len(ids)] = 1
        if self.token_masking:
            draws_BT = uniform(samples_B, length, "token masking", *self.purpose)
            special_BT = np.isin(ids_BT, (self.layout.cls_id, self.layout.sep_id, self.layout.pad_id))
            ids_BT[(draws_BT < self.token_masking) & ~special_BT] = self.layout.mask_id
        inputs = {"input_ids": ids_BT, "attention_mask": attention_BT}
        if self.token_types:
            inputs["token_type_ids"] = types_BT
        labels = torch.from_numpy(self.classes_N[samples_B])
        return Batch(
            inputs={name: torch.from_numpy(array) for name, array in inputs.items()},
            # What transformers wants of several labels.
            labels={"labels": labels.float() if labels.dim() == 2 else labels},
            counts={"labels": len(rows)} | arithmetic_counts(attention_BT.sum(1)),
        )

    def encode(self, sample: int) -> tuple[np.ndarray, int]:
        """Token ids with special tokens, and the start of the second text (the length, if there is none)."""
        texts = texts_of(self.store, sample)
        separators = [self.layout.pair_separators] * (len(texts) - 1) + [1]
        lengths = share_budget([len(ids) for ids in texts], self.sequence_length - 1 - sum(separators))
        pieces: list[np.ndarray] = [np.array([self.layout.cls_id])]
        for ids, length, count in zip(texts, lengths, separators, strict=True):
            pieces += [head_and_tail(ids, length, self.truncation_head_share), np.full(count, self.layout.sep_id)]
        joined = np.concatenate(pieces).astype(np.int64)
        return joined, lengths[0] + 1 + separators[0]


def texts_of(store: TokenStore, document: int) -> list[np.ndarray]:
    """The token ids of a labelled text and, if there is one, of its second text."""
    first, last = store.document_offsets[document], store.document_offsets[document + 1]
    bounds = store.sentence_offsets[first : last + 1].tolist()
    return [store.tokens(begin, end) for begin, end in itertools.pairwise(bounds)]


@dataclasses.dataclass(frozen=True)
class TextSource:
    """The training texts, reshuffled each epoch."""

    texts: TextEpoch
    indices: np.ndarray
    batch_size: int
    seed: int
    token_masking: float = 0.0
    """The probability that a token becomes [MASK]; the draws are new each epoch."""

    def epoch(self, number: int) -> TextEpoch:
        """The batches of an epoch, shuffled and grouped by length."""
        # As they are read: many long texts are cut to one length.
        lengths = np.minimum(lengths_of(self.texts.store, self.indices), self.texts.sequence_length)
        batches = length_grouped(lengths, self.batch_size, self.seed, number)
        return dataclasses.replace(
            self.texts,
            batches=[self.indices[batch] for batch in batches],
            token_masking=self.token_masking,
            purpose=(self.seed, number),
        )


def evaluation_epoch(texts: TextEpoch, indices: np.ndarray, tokens: int) -> TextEpoch:
    """The texts at `indices` once, sorted by length, in batches of about `tokens` tokens."""
    lengths = np.minimum(lengths_of(texts.store, indices), texts.sequence_length)
    return dataclasses.replace(texts, batches=[indices[batch] for batch in token_budget_batches(lengths, tokens)])


def lengths_of(store: TokenStore, documents: np.ndarray) -> np.ndarray:
    """The number of tokens of each text, second texts included."""
    bounds = store.sentence_offsets[store.document_offsets]
    return (bounds[1:] - bounds[:-1])[documents]
