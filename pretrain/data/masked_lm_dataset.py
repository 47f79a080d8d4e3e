"""Plans + store + masks → the input tensors of an encoder.

Shapes: B sequences of a micro-batch, T positions, M masked positions, V vocabulary.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch

from pretrain.data.config import MaskingConfig
from pretrain.data.loader import IGNORED, Batch, Epoch, arithmetic_counts, length_grouped, padded_length, sorted_batches
from pretrain.data.masking import MaskDraw, MaskingRule, mask, target_counts
from pretrain.data.packing import packed_plan
from pretrain.data.pairs import SPECIAL_TOKENS_PER_PAIR, PairRule, epoch_plan
from pretrain.data.store import TokenStore
from tokenizer.vocabulary.word_starts import continues_word


@dataclasses.dataclass(frozen=True)
class TokenLayout:
    """The special ids and vocabulary needed to build [CLS] A [SEP] B [SEP]."""

    cls_id: int
    sep_id: int
    pad_id: int
    mask_id: int
    vocabulary_size: int
    continues_V: np.ndarray
    """Which vocabulary entries continue a word."""
    pair_separators: int = 1
    """How many [SEP] stand between two texts to classify: one in BERT's format, two in RoBERTa's."""

    @classmethod
    def of(cls, tokenizer: Any) -> "TokenLayout":
        """The layout of a loaded tokenizer."""
        return cls(
            tokenizer.cls_token_id,
            tokenizer.sep_token_id,
            tokenizer.pad_token_id,
            tokenizer.mask_token_id,
            len(tokenizer),
            continues_word(tokenizer.backend_tokenizer),
            # One [CLS] and one [SEP] at the end.
            max(1, tokenizer.num_special_tokens_to_add(pair=True) - 2),
        )


class Plan(Protocol):
    """The sequences of an epoch, as integers over the store."""

    lengths: np.ndarray
    """[P] tokens of each sequence, special tokens included."""
    relations: np.ndarray | None
    """[P] the class of the relation between the two segments; None for sequences without segments."""

    def pieces(self, sample: int) -> list[tuple[int, int]]:
        """The token spans [begin, end) of a sequence, each followed by [SEP]."""
        ...


class PairPlan:
    """Pairs of segments; `rows` as returned by `epoch_plan`."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows
        tokens = rows["a_end"] - rows["a_begin"] + rows["b_end"] - rows["b_begin"]
        self.lengths: np.ndarray = tokens + SPECIAL_TOKENS_PER_PAIR
        self.relations: np.ndarray | None = rows["next_sentence_label"]

    def pieces(self, sample: int) -> list[tuple[int, int]]:
        """A and B."""
        row = self.rows[sample]
        return [(row["a_begin"], row["a_end"]), (row["b_begin"], row["b_end"])]


class PackedPlan:
    """Packed full sentences, as returned by `packed_plan`."""

    def __init__(self, pieces: np.ndarray, firsts: np.ndarray) -> None:
        self.all_pieces, self.firsts = pieces, firsts
        ends = np.concatenate([[0], np.cumsum(pieces[:, 1] - pieces[:, 0] + 1)])
        self.lengths: np.ndarray = 1 + np.diff(ends[firsts])
        self.relations: np.ndarray | None = None

    def pieces(self, sample: int) -> list[tuple[int, int]]:
        """One piece per document."""
        return [tuple(piece) for piece in self.all_pieces[self.firsts[sample] : self.firsts[sample + 1]].tolist()]


@dataclasses.dataclass(frozen=True)
class MaskedLMEpoch:
    """One epoch of masked sequences."""

    store: TokenStore
    plan: Plan
    layout: TokenLayout
    masking: MaskingRule
    batches: list[np.ndarray]
    device_masks: bool = False
    """Draw masks of single tokens on the device, with the batch's `mask_draw`."""
    buckets: tuple[int, ...] = ()
    """If any: T is one of these, and M the maximum for sequences of this length; otherwise both are minimal."""
    rates: np.ndarray | None = None
    """[P] the masking rate of each sequence; None: the rule's."""

    def collate(self, samples_B: np.ndarray) -> Batch:
        """Inputs `input_ids`, `original_ids`, `token_type_ids`, `attention_mask` [B, T] and `masked_positions` [M];
        labels `masked_labels` [M] and, for pairs, `relation` [B]; T is the longest sequence's length or bucket.
        """
        length = padded_length(int(self.plan.lengths[samples_B].max()), self.buckets)
        ids_BT = np.full((len(samples_B), length), self.layout.pad_id, dtype=np.int64)
        types_BT, attention_BT = np.zeros_like(ids_BT), np.zeros_like(ids_BT)
        candidates_BT = np.zeros(ids_BT.shape, dtype=bool)
        for index, sample in enumerate(samples_B.tolist()):
            ids_BT[index, 0] = self.layout.cls_id
            end = 1
            for number, (first, last) in enumerate(self.plan.pieces(sample)):
                begin, end = end, end + last - first + 1
                ids_BT[index, begin : end - 1] = self.store.tokens(first, last)
                ids_BT[index, end - 1] = self.layout.sep_id
                candidates_BT[index, begin : end - 1] = True
                if self.plan.relations is not None:
                    types_BT[index, begin:end] = number
            attention_BT[index, :end] = 1
        lengths_B = attention_BT.sum(axis=1)
        inputs = {"original_ids": ids_BT, "token_type_ids": types_BT, "attention_mask": attention_BT}
        counts = arithmetic_counts(lengths_B)
        labels: dict[str, np.ndarray] = {}
        if self.plan.relations is not None:
            labels["relation"] = self.plan.relations[samples_B].copy()
            counts["relation"] = len(samples_B)
        if self.device_masks and self.masking.config.unit == "token":
            mask_draw, mask_inputs = self._deferred_masks(candidates_BT, lengths_B, samples_B)
            counts["mlm"] = mask_draw.count
        else:
            mask_draw, (mask_inputs, masked_labels) = None, self._masks(ids_BT, candidates_BT, lengths_B, samples_B)
            counts["mlm"] = int((masked_labels >= 0).sum())
            labels["masked_labels"] = masked_labels
        return Batch(_tensors(inputs | mask_inputs), _tensors(labels), counts, mask_draw=mask_draw)

    def _fixed_count(self, sequences: int, length: int) -> int:
        """M for this many sequences of a bucket's length, at the highest rate of the run."""
        config = self.masking.config
        highest = max(config.rate, config.final_rate or 0.0)
        return sequences * int(target_counts(np.array([length]), config, highest)[0])

    def _rates_of(self, samples_B: np.ndarray) -> np.ndarray | None:
        return None if self.rates is None else self.rates[samples_B]

    def _deferred_masks(
        self, candidates_BT: np.ndarray, lengths_B: np.ndarray, samples_B: np.ndarray
    ) -> tuple[MaskDraw, dict[str, np.ndarray]]:
        """The function that draws the masks later, and the inputs that it needs."""
        wanted_B = target_counts(lengths_B, self.masking.config, self._rates_of(samples_B))
        counts_B = np.minimum(wanted_B, candidates_BT.sum(axis=1))
        size = self._fixed_count(*candidates_BT.shape) if self.buckets else None
        mask_draw = MaskDraw(self.masking, int(counts_B.sum()), size)
        return mask_draw, {"candidates": candidates_BT, "samples": samples_B.astype(np.int64), "mask_counts": counts_B}

    def _masks(
        self, ids_BT: np.ndarray, candidates_BT: np.ndarray, lengths_B: np.ndarray, samples_B: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """The masked inputs, and `masked_labels` [M]."""
        starts_BT = None if self.masking.config.unit == "token" else ~self.layout.continues_V[ids_BT]
        masked = mask(ids_BT, candidates_BT, lengths_B, samples_B, self.masking, starts_BT, self._rates_of(samples_B))
        padding = (0, self._fixed_count(*ids_BT.shape) - len(masked.labels_M) if self.buckets else 0)
        inputs = {"input_ids": masked.input_ids_BT, "masked_positions": np.pad(masked.positions_M, padding)}
        return inputs, np.pad(masked.labels_M, padding, constant_values=IGNORED)


def _tensors(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


@dataclasses.dataclass(frozen=True)
class MaskedLMSource:
    """Sequences of a set of documents, drawn again each epoch."""

    store: TokenStore
    documents: np.ndarray
    layout: TokenLayout
    masking: MaskingConfig
    sequence_length: int
    arrangement: str
    """`bert`, `balanced` or `ordered` pairs, or `packed` full sentences."""
    short_probability: float
    batch_size: int
    seed: int
    device_masks: bool = False
    """For training epochs; see `MaskedLMEpoch`."""
    buckets: tuple[int, ...] = ()
    """For training epochs; see `MaskedLMEpoch`."""
    epochs: float | None = None
    """The length of the run in epochs, over which the masking rate becomes `masking.final_rate`."""

    def epoch(self, number: int) -> MaskedLMEpoch:
        """The shuffled sequences of a training epoch."""
        plan = self.plan(number)
        epoch = self._epoch(plan, number, length_grouped(plan.lengths, self.batch_size, self.seed, number))
        rates = self._rates(len(plan.lengths), epoch.batches, number)
        return dataclasses.replace(epoch, device_masks=self.device_masks, buckets=self.buckets, rates=rates)

    def _rates(self, count: int, batches: list[np.ndarray], number: int) -> np.ndarray | None:
        """The masking rate of each of `count` sequences: that of the moment when its batch is trained on."""
        if self.masking.final_rate is None or self.epochs is None:
            return None
        rates = np.full(count, self.masking.final_rate)
        for index, samples_B in enumerate(batches):
            done = min(1.0, (number + index / len(batches)) / self.epochs)
            rates[samples_B] = self.masking.rate + done * (self.masking.final_rate - self.masking.rate)
        return rates

    def held_out(self) -> MaskedLMEpoch:
        """The same sequences and masks on every call, so that evaluations are comparable."""
        plan = self.plan("held-out")
        epoch = self._epoch(plan, "held-out", sorted_batches(plan.lengths, self.batch_size))
        if self.masking.final_rate is None:
            return epoch
        return dataclasses.replace(epoch, rates=np.full(len(plan.lengths), self.masking.final_rate))

    def plan(self, number: int | str) -> Plan:
        """The sequences of an epoch."""
        if self.arrangement == "packed":
            return PackedPlan(*packed_plan(self.store, self.documents, self.sequence_length, self.seed, number))
        rule = PairRule(self.arrangement, self.sequence_length, self.short_probability)
        return PairPlan(epoch_plan(self.store, self.documents, rule, self.seed, number))

    def _epoch(self, plan: Plan, number: int | str, batches: list[np.ndarray]) -> MaskedLMEpoch:
        rule = MaskingRule(self.masking, self.layout.mask_id, self.layout.vocabulary_size, self.seed, number)
        return MaskedLMEpoch(self.store, plan, self.layout, rule, batches)


def targets_of(epoch: Epoch) -> Iterator[np.ndarray]:
    """The target tokens of each batch."""
    for samples_B in epoch.batches:
        batch = epoch.collate(samples_B)
        labels = batch["masked_labels" if "masked_labels" in batch else "labels"].numpy()
        yield labels[labels != IGNORED]
