"""Text as recurrent models read it: long streams side by side for language models, passages for autoencoders.

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


@dataclasses.dataclass(frozen=True)
class StreamEpoch:
    """All documents in a row, a [SEP] behind each, cut into equal streams; a step goes on by `bptt` tokens in each.

    Sample k * streams + i is the k-th stretch of stream i: truncated backpropagation through time (Williams and Peng
    1990) wants consecutive stretches in consecutive steps.
    """

    streams_SL: np.ndarray
    bptt: int
    backward: bool
    """Whether each stream is read from its end, too."""

    @cached_property
    def batches(self) -> list[np.ndarray]:
        """The stretches of each step, all streams in order."""
        count, length = self.streams_SL.shape
        steps = -(-(length - 1) // self.bptt)
        return [np.arange(step * count, (step + 1) * count) for step in range(steps)]

    def collate(self, samples_B: np.ndarray) -> Batch:
        """Input `input_ids` and label `labels` [B, T], each label the token after its input; of the other direction
        `backward_ids` and `backward_labels`; input `columns` [B], the numbers of these streams.
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
    """Tokens [B, T + 1] as what is read and what comes next, both [B, T]."""
    ids_BT = slice_BT.astype(np.int64)
    return torch.from_numpy(ids_BT[:, :-1].copy()), torch.from_numpy(ids_BT[:, 1:].copy())


@dataclasses.dataclass(frozen=True)
class StreamSource:
    """Streams of some documents, in another order each epoch."""

    store: TokenStore
    documents: np.ndarray
    layout: TokenLayout
    bptt: int
    streams: int
    backward: bool
    seed: int

    def epoch(self, number: int | str) -> StreamEpoch:
        """The streams of a training epoch, or by a name those of an evaluation."""
        order = self.documents[permutation(len(self.documents), "streams", self.seed, number)]
        flat = text_of(self.store, order, self.layout.sep_id)
        # A stream needs a token to tell after its first.
        count = max(1, min(self.streams, len(flat) // 2))
        length = len(flat) // count
        return StreamEpoch(flat[: count * length].reshape(count, length), self.bptt, self.backward)

    def held_out(self) -> StreamEpoch:
        """The same streams at every call."""
        return self.epoch("held-out")


def text_of(store: TokenStore, documents: np.ndarray, sep_id: int) -> np.ndarray:
    """The tokens of documents in a row, a [SEP] behind each."""
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
    """Passages of full sentences, to be read and written again (Dai and Le 2015)."""

    store: TokenStore
    plan: PackedPlan
    layout: TokenLayout
    batches: list[np.ndarray]

    def collate(self, samples_B: np.ndarray) -> Batch:
        """Inputs `input_ids`, `attention_mask`, `decoder_input_ids`, label `labels`, all [B, T]."""
        lengths_B = self.plan.lengths[samples_B] - 1
        read_BT = np.full((len(samples_B), int(lengths_B.max())), self.layout.pad_id, dtype=np.int64)
        labels_BT = np.full_like(read_BT, IGNORED)
        for index, sample in enumerate(samples_B.tolist()):
            end = 0
            for first, last in self.plan.pieces(sample):
                read_BT[index, end : end + last - first] = self.store.tokens(first, last)
                end += last - first + 1
                read_BT[index, end - 1] = self.layout.sep_id
            labels_BT[index, :end] = read_BT[index, :end]
        decoder_BT = np.full_like(read_BT, self.layout.pad_id)
        decoder_BT[:, 0] = self.layout.cls_id
        decoder_BT[:, 1:] = read_BT[:, :-1]
        inputs: Tensors = {
            "input_ids": torch.from_numpy(read_BT),
            "attention_mask": torch.from_numpy((labels_BT != IGNORED).astype(np.int64)),
            "decoder_input_ids": torch.from_numpy(decoder_BT),
        }
        counts = arithmetic_counts(lengths_B) | {"lm": int(lengths_B.sum())}
        return Batch(inputs, {"labels": torch.from_numpy(labels_BT)}, counts)


@dataclasses.dataclass(frozen=True)
class PassageSource:
    """Passages of some documents, drawn anew each epoch."""

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
        """The same passages at every call."""
        plan = self._plan("held-out")
        return PassageEpoch(self.store, plan, self.layout, sorted_batches(plan.lengths, self.batch_size))

    def _plan(self, number: int | str) -> PackedPlan:
        return PackedPlan(*packed_plan(self.store, self.documents, self.sequence_length, self.seed, number))
