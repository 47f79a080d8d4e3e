"""Samples → batches of tensors, the same whatever the number of workers, processes or the point of resumption.

Shapes: B sequences of a micro-batch, T positions, M masked positions.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch

from pretrain.config import MaskingConfig
from pretrain.masking import mask
from pretrain.pairs import SPECIAL_TOKENS_A_PAIR, epoch_plan
from pretrain.randomness import permutation
from pretrain.store import TokenStore

BATCHES_A_WINDOW = 64
LABELS = ("masked_labels", "next_sentence_label", "labels")
IGNORED = -100

Batch = dict[str, Any]


class Epoch(Protocol):
    """The samples of one epoch, in batches."""

    @property
    def batches(self) -> list[np.ndarray]:
        """The sample numbers of each global batch."""
        ...

    def collate(self, samples_B: np.ndarray) -> Batch:
        """The tensors of these samples, and under `counts` how many targets of each kind they hold."""
        ...


class Source(Protocol):
    """Where training data comes from."""

    def epoch(self, number: int) -> Epoch:
        """The epoch with this number; a function of the seed and the number alone."""
        ...


def bucketed(lengths: np.ndarray, batch_size: int, *purpose: str | int) -> list[np.ndarray]:
    """Shuffle samples into batches of like lengths; the last batch may be smaller, none is dropped.

    Samples are shuffled, sorted by length within windows of 64 batches, cut, and the batches shuffled.
    """
    order = permutation(len(lengths), "order", *purpose)
    window = BATCHES_A_WINDOW * batch_size
    batches = []
    for start in range(0, len(order), window):
        part = order[start : start + window]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches += [part[first : first + batch_size] for first in range(0, len(part), batch_size)]
    return [batches[place] for place in permutation(len(batches), "batches", *purpose)]


def in_order(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Batches for evaluation: sorted by length, so that little is padded."""
    order = np.argsort(lengths, kind="stable")
    return [order[first : first + batch_size] for first in range(0, len(order), batch_size)]


@dataclasses.dataclass(frozen=True)
class PairEncoding:
    """How a tokenizer lays out [CLS] A [SEP] B [SEP]."""

    cls_id: int
    sep_id: int
    pad_id: int
    mask_id: int
    vocabulary_size: int

    @classmethod
    def of(cls, tokenizer: Any) -> "PairEncoding":
        """The layout of a loaded tokenizer."""
        return cls(
            tokenizer.cls_token_id,
            tokenizer.sep_token_id,
            tokenizer.pad_token_id,
            tokenizer.mask_token_id,
            len(tokenizer),
        )


@dataclasses.dataclass(frozen=True)
class PairEpoch:
    """One epoch of masked sentence pairs."""

    store: TokenStore
    plan: np.ndarray
    encoding: PairEncoding
    masking: MaskingConfig
    seed: int
    number: int | str
    batches: list[np.ndarray]

    def collate(self, samples_B: np.ndarray) -> Batch:
        """`input_ids`, `token_type_ids`, `attention_mask` [B, T], `masked_positions`, `masked_labels` [M],
        `next_sentence_label` [B]; T is the longest of these pairs.
        """
        rows = self.plan[samples_B]
        length = int(pair_lengths(rows).max())
        ids_BT = np.full((len(rows), length), self.encoding.pad_id, dtype=np.int64)
        types_BT, attention_BT = np.zeros_like(ids_BT), np.zeros_like(ids_BT)
        candidates_BT = np.zeros(ids_BT.shape, dtype=bool)
        for index, row in enumerate(rows):
            a = self.store.tokens(row["a_begin"], row["a_end"])
            b = self.store.tokens(row["b_begin"], row["b_end"])
            second, end = len(a) + 2, len(a) + len(b) + 3
            ids_BT[index, 0], ids_BT[index, second - 1], ids_BT[index, end - 1] = (
                self.encoding.cls_id,
                self.encoding.sep_id,
                self.encoding.sep_id,
            )
            ids_BT[index, 1 : second - 1], ids_BT[index, second : end - 1] = a, b
            types_BT[index, second:end] = 1
            attention_BT[index, :end] = 1
            candidates_BT[index, 1:end] = True
            candidates_BT[index, [second - 1, end - 1]] = False
        masked = mask(
            ids_BT,
            candidates_BT,
            attention_BT.sum(axis=1),
            samples_B,
            self.masking,
            self.encoding.mask_id,
            self.encoding.vocabulary_size,
            self.seed,
            self.number,
        )
        return {
            "input_ids": torch.from_numpy(masked.input_ids_BT),
            "token_type_ids": torch.from_numpy(types_BT),
            "attention_mask": torch.from_numpy(attention_BT),
            "masked_positions": torch.from_numpy(masked.positions_M),
            "masked_labels": torch.from_numpy(masked.labels_M),
            "next_sentence_label": torch.from_numpy(rows["next_sentence_label"].copy()),
            "counts": {"mlm": len(masked.labels_M), "nsp": len(rows), "tokens": int(attention_BT.sum())},
        }


def pair_lengths(rows: np.ndarray) -> np.ndarray:
    """Tokens of each pair, special ones included."""
    return rows["a_end"] - rows["a_begin"] + rows["b_end"] - rows["b_begin"] + SPECIAL_TOKENS_A_PAIR


@dataclasses.dataclass(frozen=True)
class PairSource:
    """Sentence pairs of some documents, drawn anew each epoch."""

    store: TokenStore
    documents: np.ndarray
    encoding: PairEncoding
    masking: MaskingConfig
    sequence_length: int
    short_probability: float
    batch_size: int
    seed: int

    def epoch(self, number: int) -> PairEpoch:
        """The shuffled pairs of a training epoch."""
        plan = self.plan(number)
        return self._epoch(plan, number, bucketed(pair_lengths(plan), self.batch_size, self.seed, number))

    def held_out(self) -> PairEpoch:
        """The same pairs and masks at every call, for evaluations that can be compared."""
        plan = self.plan("held-out")
        return self._epoch(plan, "held-out", in_order(pair_lengths(plan), self.batch_size))

    def plan(self, number: int | str) -> np.ndarray:
        """The pairs of an epoch, in document order."""
        return epoch_plan(self.store, self.documents, self.sequence_length, self.short_probability, self.seed, number)

    def _epoch(self, plan: np.ndarray, number: int | str, batches: list[np.ndarray]) -> PairEpoch:
        return PairEpoch(self.store, plan, self.encoding, self.masking, self.seed, number, batches)


class MicroBatches(torch.utils.data.Dataset[list[Batch]]):
    """Item k: the micro-batches that one process works through in step k of an epoch.

    A global batch is dealt out in turn (sample i to process i mod W), then cut into micro-batches.
    """

    def __init__(self, epoch: Epoch, rank: int, world_size: int, accumulation: int) -> None:
        self.epoch, self.rank, self.world_size, self.accumulation = epoch, rank, world_size, accumulation

    def __len__(self) -> int:
        """Steps of the epoch."""
        return len(self.epoch.batches)

    def __getitem__(self, index: int) -> list[Batch]:
        """The micro-batches of a step; a process that a small last batch leaves without samples gets an idle one."""
        samples = self.epoch.batches[index]
        mine = samples[self.rank :: self.world_size]
        if not len(mine):
            return [idle(self.epoch.collate(samples[:1]))]
        return [self.epoch.collate(part) for part in np.array_split(mine, min(self.accumulation, len(mine)))]


def idle(batch: Batch) -> Batch:
    """A batch that takes part in a step without counting: every label is the one that cross-entropy passes over."""
    ignored = {name: torch.full_like(batch[name], IGNORED) for name in LABELS if name in batch}
    return batch | ignored | {"counts": dict.fromkeys(batch["counts"], 0)}


def steps_of(
    epoch: Epoch, first: int, rank: int, world_size: int, accumulation: int, workers: int
) -> Iterator[list[Batch]]:
    """The micro-batches of each step of an epoch, from step `first` on; nothing before it is prepared."""
    dataset = MicroBatches(epoch, rank, world_size, accumulation)
    return iter(
        torch.utils.data.DataLoader(
            dataset,
            batch_size=None,
            sampler=range(first, len(dataset)),
            num_workers=workers,
            pin_memory=torch.cuda.is_available(),
        )
    )
