"""Plans + store + masks → the tensors that an encoder reads.

Shapes: B sequences of a micro-batch, T positions, M masked positions, V vocabulary.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch

from pretrain.batches import IGNORED, Batch, Epoch, arithmetic_counts, bucketed, in_order, next_length
from pretrain.config import MaskingConfig
from pretrain.masking import MaskDraw, mask, target_counts
from pretrain.packing import packed_plan
from pretrain.pairs import SPECIAL_TOKENS_A_PAIR, epoch_plan
from pretrain.store import TokenStore
from tokenizer.words import continues_word


@dataclasses.dataclass(frozen=True)
class Encoding:
    """How a tokenizer lays out [CLS] A [SEP] B [SEP]."""

    cls_id: int
    sep_id: int
    pad_id: int
    mask_id: int
    vocabulary_size: int
    continues_V: np.ndarray
    """Which entries continue a word."""

    @classmethod
    def of(cls, tokenizer: Any) -> "Encoding":
        """The layout of a loaded tokenizer."""
        return cls(
            tokenizer.cls_token_id,
            tokenizer.sep_token_id,
            tokenizer.pad_token_id,
            tokenizer.mask_token_id,
            len(tokenizer),
            continues_word(tokenizer.backend_tokenizer),
        )


class Plan(Protocol):
    """The sequences of an epoch, as integers over the store."""

    lengths: np.ndarray
    """[P] tokens of each sequence, special ones included."""
    relations: np.ndarray | None
    """[P] what relates the two segments, as a class; None of sequences without segments."""

    def pieces(self, sample: int) -> list[tuple[int, int]]:
        """The stretches of tokens that make up a sequence, each followed by [SEP]."""
        ...


class PairPlan:
    """Pairs of segments; `rows` as `epoch_plan` gives them."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows
        tokens = rows["a_end"] - rows["a_begin"] + rows["b_end"] - rows["b_begin"]
        self.lengths: np.ndarray = tokens + SPECIAL_TOKENS_A_PAIR
        self.relations: np.ndarray | None = rows["next_sentence_label"]

    def pieces(self, sample: int) -> list[tuple[int, int]]:
        """A and B."""
        row = self.rows[sample]
        return [(row["a_begin"], row["a_end"]), (row["b_begin"], row["b_end"])]


class PackedPlan:
    """Full sentences, packed; as `packed_plan` gives them."""

    def __init__(self, pieces: np.ndarray, firsts: np.ndarray) -> None:
        self.all_pieces, self.firsts = pieces, firsts
        ends = np.concatenate([[0], np.cumsum(pieces[:, 1] - pieces[:, 0] + 1)])
        self.lengths: np.ndarray = 1 + np.diff(ends[firsts])
        self.relations: np.ndarray | None = None

    def pieces(self, sample: int) -> list[tuple[int, int]]:
        """A piece a document."""
        return [tuple(piece) for piece in self.all_pieces[self.firsts[sample] : self.firsts[sample + 1]].tolist()]


@dataclasses.dataclass(frozen=True)
class SequenceEpoch:
    """One epoch of masked sequences."""

    store: TokenStore
    plan: Plan
    encoding: Encoding
    masking: MaskingConfig
    seed: int
    number: int | str
    batches: list[np.ndarray]
    device_masks: bool = False
    """Leave masks of single tokens to be drawn where the batch will lie, under `draw`."""
    lengths: tuple[int, ...] = ()
    """T is one of these, and M the most that so long sequences can have; with none, both are as small as can be."""

    def collate(self, samples_B: np.ndarray) -> Batch:
        """`input_ids`, `original_ids`, `token_type_ids`, `attention_mask` [B, T], `masked_positions`, `masked_labels`
        [M] and, of pairs, `relation` [B]; T holds the longest of these sequences.
        """
        length = next_length(int(self.plan.lengths[samples_B].max()), self.lengths)
        ids_BT = np.full((len(samples_B), length), self.encoding.pad_id, dtype=np.int64)
        types_BT, attention_BT = np.zeros_like(ids_BT), np.zeros_like(ids_BT)
        candidates_BT = np.zeros(ids_BT.shape, dtype=bool)
        for index, sample in enumerate(samples_B.tolist()):
            ids_BT[index, 0] = self.encoding.cls_id
            end = 1
            for number, (first, last) in enumerate(self.plan.pieces(sample)):
                begin, end = end, end + last - first + 1
                ids_BT[index, begin : end - 1] = self.store.tokens(first, last)
                ids_BT[index, end - 1] = self.encoding.sep_id
                candidates_BT[index, begin : end - 1] = True
                if self.plan.relations is not None:
                    types_BT[index, begin:end] = number
            attention_BT[index, :end] = 1
        batch: Batch = {
            "original_ids": torch.from_numpy(ids_BT),
            "token_type_ids": torch.from_numpy(types_BT),
            "attention_mask": torch.from_numpy(attention_BT),
            "counts": arithmetic_counts(attention_BT.sum(1)),
        }
        batch |= self._masks(ids_BT, candidates_BT, attention_BT.sum(axis=1), samples_B)
        batch["counts"]["mlm"] = batch["draw"].count if "draw" in batch else int((batch["masked_labels"] >= 0).sum())
        if self.plan.relations is not None:
            batch["relation"] = torch.from_numpy(self.plan.relations[samples_B].copy())
            batch["counts"]["relation"] = len(samples_B)
        return batch

    def _masks(
        self, ids_BT: np.ndarray, candidates_BT: np.ndarray, lengths_B: np.ndarray, samples_B: np.ndarray
    ) -> Batch:
        """What is hidden: drawn, or all that it takes to draw it later."""
        fixed = len(lengths_B) * int(target_counts(np.array([ids_BT.shape[1]]), self.masking)[0])
        of_draw = self.encoding.mask_id, self.encoding.vocabulary_size, self.seed, self.number
        if self.device_masks and self.masking.unit == "token":
            counts_B = np.minimum(target_counts(lengths_B, self.masking), candidates_BT.sum(axis=1))
            return {
                "candidates": torch.from_numpy(candidates_BT),
                "samples": torch.from_numpy(samples_B.astype(np.int64)),
                "mask_counts": torch.from_numpy(counts_B),
                "draw": MaskDraw(self.masking, *of_draw, int(counts_B.sum()), fixed if self.lengths else None),
            }
        starts_BT = None if self.masking.unit == "token" else ~self.encoding.continues_V[ids_BT]
        masked = mask(ids_BT, candidates_BT, lengths_B, samples_B, self.masking, *of_draw, starts_BT)
        missing = (0, fixed - len(masked.labels_M) if self.lengths else 0)
        return {
            "input_ids": torch.from_numpy(masked.input_ids_BT),
            "masked_positions": torch.from_numpy(np.pad(masked.positions_M, missing)),
            "masked_labels": torch.from_numpy(np.pad(masked.labels_M, missing, constant_values=IGNORED)),
        }


@dataclasses.dataclass(frozen=True)
class SequenceSource:
    """Sequences of some documents, drawn anew each epoch."""

    store: TokenStore
    documents: np.ndarray
    encoding: Encoding
    masking: MaskingConfig
    sequence_length: int
    layout: str
    """`faithful`, `balanced` or `ordered` pairs, or `packed` full sentences."""
    short_probability: float
    batch_size: int
    seed: int
    device_masks: bool = False
    """Of training epochs: see `SequenceEpoch`."""
    lengths: tuple[int, ...] = ()
    """Of training epochs: see `SequenceEpoch`."""

    def epoch(self, number: int) -> SequenceEpoch:
        """The shuffled sequences of a training epoch."""
        plan = self.plan(number)
        made = self._epoch(plan, number, bucketed(plan.lengths, self.batch_size, self.seed, number))
        return dataclasses.replace(made, device_masks=self.device_masks, lengths=self.lengths)

    def held_out(self) -> SequenceEpoch:
        """The same sequences and masks at every call, for evaluations that can be compared."""
        plan = self.plan("held-out")
        return self._epoch(plan, "held-out", in_order(plan.lengths, self.batch_size))

    def plan(self, number: int | str) -> Plan:
        """The sequences of an epoch."""
        if self.layout == "packed":
            return PackedPlan(*packed_plan(self.store, self.documents, self.sequence_length, self.seed, number))
        return PairPlan(
            epoch_plan(
                self.store,
                self.documents,
                self.sequence_length,
                self.short_probability,
                self.seed,
                number,
                self.layout,
            )
        )

    def _epoch(self, plan: Plan, number: int | str, batches: list[np.ndarray]) -> SequenceEpoch:
        return SequenceEpoch(self.store, plan, self.encoding, self.masking, self.seed, number, batches)


def targets_of(epoch: Epoch) -> Iterator[np.ndarray]:
    """The tokens to predict, batch by batch."""
    for samples_B in epoch.batches:
        batch = epoch.collate(samples_B)
        labels = batch.get("masked_labels", batch.get("labels")).numpy()
        yield labels[labels != IGNORED]
