"""Data for recurrent models: long parallel streams for language models, passages for autoencoders.

Shapes: B streams or passages of a micro-batch, T positions, L tokens of a stream.
"""

import dataclasses
from functools import cached_property

import numpy as np
import torch

from pretrain.data.loader import IGNORED, Batch, StreamSlice, Tensors, arithmetic_counts, length_grouped, sorted_batches
from pretrain.data.masked_lm_dataset import PackedPlan, TokenLayout
from pretrain.data.packing import packed_plan
from pretrain.data.randomness import permutation
from pretrain.data.store import TokenStore

EVALUATION_STREAMS = 16


@dataclasses.dataclass(frozen=True)
class StreamEpoch:
    """All documents, each followed by [SEP], cut into equal streams; a step reads `bptt` tokens of each.

    Sample k * streams + i is the k-th segment of stream i: truncated backpropagation through time (Williams and Peng
    1990) needs consecutive segments in consecutive steps.
    """

    streams_SL: np.ndarray
    bptt: int
    backward: bool
    """Whether each stream is also read backwards."""
    characters_per_token: float
    """Characters of the documents per token, a document's end counting as one of each."""

    @cached_property
    def batches(self) -> list[np.ndarray]:
        """The segments of each step, all streams in order."""
        count, length = self.streams_SL.shape
        steps = -(-(length - 1) // self.bptt)
        return [np.arange(step * count, (step + 1) * count) for step in range(steps)]

    def collate(self, samples_B: np.ndarray) -> Batch:
        """Input `input_ids` and label `labels` [B, T], each label the token after its input; for the backward
        direction `backward_ids` and `backward_labels`; input `columns` [B], the indices of these streams.
        """
        count, length = self.streams_SL.shape
        step, columns_B = int(samples_B[0]) // count, samples_B % count
        begin = step * self.bptt
        end = min(begin + self.bptt, length - 1)
        inputs, labels = {"columns": torch.from_numpy(columns_B)}, {}
        inputs["input_ids"], labels["labels"] = _shifted(self.streams_SL[columns_B, begin : end + 1])
        if self.backward:
            reversed_SL = self.streams_SL[:, ::-1]
            inputs["backward_ids"], labels["backward_labels"] = _shifted(reversed_SL[columns_B, begin : end + 1])
        tokens = len(samples_B) * (end - begin)
        counts = {"lm": tokens, "backward_lm": tokens * self.backward, "tokens": tokens, "attended": 0, "sequences": 0}
        return Batch(inputs, labels, counts, stream_slice=StreamSlice(count, first=step == 0))


def _shifted(slice_BT: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Split tokens [B, T + 1] into inputs and next-token labels, both [B, T]."""
    ids_BT = slice_BT.astype(np.int64)
    return torch.from_numpy(ids_BT[:, :-1].copy()), torch.from_numpy(ids_BT[:, 1:].copy())


@dataclasses.dataclass(frozen=True)
class StreamSource:
    """Streams of a set of documents, shuffled each epoch."""

    store: TokenStore
    documents: np.ndarray
    layout: TokenLayout
    bptt: int
    streams: int
    backward: bool
    seed: int

    def epoch(self, number: int) -> StreamEpoch:
        """The streams of a training epoch."""
        return self._epoch(number, self.streams)

    def held_out(self) -> StreamEpoch:
        """The same streams on every call, and for every batch size: more streams would mean more cold starts."""
        return self._epoch("held-out", EVALUATION_STREAMS)

    def _epoch(self, number: int | str, streams: int) -> StreamEpoch:
        order = self.documents[permutation(len(self.documents), "streams", self.seed, number)]
        flat = concatenated(self.store, order, self.layout.sep_id)
        # A stream needs at least two tokens: an input and its label.
        count = max(1, min(streams, len(flat) // 2))
        length = len(flat) // count
        characters = int(self.store.characters[order].sum()) + len(order)
        rows_SL = flat[: count * length].reshape(count, length)
        return StreamEpoch(rows_SL, self.bptt, self.backward, characters / len(flat))


def concatenated(store: TokenStore, documents: np.ndarray, sep_id: int) -> np.ndarray:
    """The tokens of documents, each followed by [SEP], in one array."""
    bounds = store.sentence_offsets[store.document_offsets]
    lengths = (bounds[1:] - bounds[:-1])[documents] + 1
    flat = np.full(int(lengths.sum()), sep_id, dtype=store.buffers[0].dtype)
    end = 0
    for document, length in zip(documents.tolist(), lengths.tolist(), strict=True):
        flat[end : end + length - 1] = store.tokens(int(bounds[document]), int(bounds[document + 1]))
        end += length
    return flat


@dataclasses.dataclass(frozen=True)
class PassageEpoch:
    """Passages of full sentences that an autoencoder reconstructs (Dai and Le 2015)."""

    store: TokenStore
    plan: PackedPlan
    layout: TokenLayout
    batches: list[np.ndarray]

    def collate(self, samples_B: np.ndarray) -> Batch:
        """Inputs `input_ids`, `attention_mask`, `decoder_input_ids`, label `labels`, all [B, T]."""
        lengths_B = self.plan.lengths[samples_B] - 1
        input_ids_BT = np.full((len(samples_B), int(lengths_B.max())), self.layout.pad_id, dtype=np.int64)
        labels_BT = np.full_like(input_ids_BT, IGNORED)
        for index, sample in enumerate(samples_B.tolist()):
            end = 0
            for first, last in self.plan.pieces(sample):
                input_ids_BT[index, end : end + last - first] = self.store.tokens(first, last)
                end += last - first + 1
                input_ids_BT[index, end - 1] = self.layout.sep_id
            labels_BT[index, :end] = input_ids_BT[index, :end]
        decoder_BT = np.full_like(input_ids_BT, self.layout.pad_id)
        decoder_BT[:, 0] = self.layout.cls_id
        decoder_BT[:, 1:] = input_ids_BT[:, :-1]
        inputs: Tensors = {
            "input_ids": torch.from_numpy(input_ids_BT),
            "attention_mask": torch.from_numpy((labels_BT != IGNORED).astype(np.int64)),
            "decoder_input_ids": torch.from_numpy(decoder_BT),
        }
        counts = arithmetic_counts(lengths_B) | {"lm": int(lengths_B.sum())}
        return Batch(inputs, {"labels": torch.from_numpy(labels_BT)}, counts)


@dataclasses.dataclass(frozen=True)
class PassageSource:
    """Passages of a set of documents, drawn again each epoch."""

    store: TokenStore
    documents: np.ndarray
    layout: TokenLayout
    sequence_length: int
    batch_size: int
    seed: int

    def epoch(self, number: int) -> PassageEpoch:
        """The shuffled passages of a training epoch."""
        plan = self._plan(number)
        batches = length_grouped(plan.lengths, self.batch_size, self.seed, number)
        return PassageEpoch(self.store, plan, self.layout, batches)

    def held_out(self) -> PassageEpoch:
        """The same passages on every call."""
        plan = self._plan("held-out")
        return PassageEpoch(self.store, plan, self.layout, sorted_batches(plan.lengths, self.batch_size))

    def _plan(self, number: int | str) -> PackedPlan:
        return PackedPlan(*packed_plan(self.store, self.documents, self.sequence_length, self.seed, number))
