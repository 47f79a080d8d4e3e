"""Text as recurrent models read it: long streams side by side for language models, passages for autoencoders.

Shapes: B streams or passages of a micro-batch, T positions, L tokens of a stream.
"""

import dataclasses
from functools import cached_property

import numpy as np
import torch

from pretrain.batches import IGNORED, Batch, arithmetic_counts, bucketed, in_order
from pretrain.packing import packed_plan
from pretrain.randomness import permutation
from pretrain.sequences import Encoding, PackedPlan
from pretrain.store import TokenStore


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
        """`input_ids` and `labels` [B, T], each label the token after its input; the same of the other direction under
        `backward_ids` and `backward_labels`; `columns` [B], which of `streams` these are; `fresh` at their start.
        """
        count, length = self.streams_SL.shape
        step, columns_B = int(samples_B[0]) // count, samples_B % count
        begin = step * self.bptt
        end = min(begin + self.bptt, length - 1)
        batch: Batch = {"columns": torch.from_numpy(columns_B), "streams": count, "fresh": step == 0}
        batch |= self._read(self.streams_SL, columns_B, begin, end, ("input_ids", "labels"))
        if self.backward:
            batch |= self._read(self.streams_SL[:, ::-1], columns_B, begin, end, ("backward_ids", "backward_labels"))
        tokens = len(samples_B) * (end - begin)
        batch["counts"] = {
            "lm": tokens,
            "backward_lm": tokens * self.backward,
            "tokens": tokens,
            "attended": 0,
            "sequences": 0,
        }
        return batch

    def _read(self, streams: np.ndarray, columns: np.ndarray, begin: int, end: int, names: tuple[str, str]) -> Batch:
        stretch = streams[columns, begin : end + 1].astype(np.int64)
        return dict(zip(names, map(torch.from_numpy, (stretch[:, :-1].copy(), stretch[:, 1:].copy())), strict=True))


@dataclasses.dataclass(frozen=True)
class StreamSource:
    """Streams of some documents, in another order each epoch."""

    store: TokenStore
    documents: np.ndarray
    encoding: Encoding
    bptt: int
    streams: int
    backward: bool
    seed: int

    def epoch(self, number: int | str) -> StreamEpoch:
        """The streams of a training epoch, or by a name those of an evaluation."""
        order = self.documents[permutation(len(self.documents), "streams", self.seed, number)]
        flat = text_of(self.store, order, self.encoding.sep_id)
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
    encoding: Encoding
    batches: list[np.ndarray]

    def collate(self, samples_B: np.ndarray) -> Batch:
        """`input_ids`, `attention_mask` and `decoder_input_ids`, `labels` [B, T]; T holds the longest passage."""
        lengths_B = self.plan.lengths[samples_B] - 1
        read_BT = np.full((len(samples_B), int(lengths_B.max())), self.encoding.pad_id, dtype=np.int64)
        labels_BT = np.full_like(read_BT, IGNORED)
        for index, sample in enumerate(samples_B.tolist()):
            end = 0
            for first, last in self.plan.pieces(sample):
                read_BT[index, end : end + last - first] = self.store.tokens(first, last)
                end += last - first + 1
                read_BT[index, end - 1] = self.encoding.sep_id
            labels_BT[index, :end] = read_BT[index, :end]
        written_BT = np.full_like(read_BT, self.encoding.pad_id)
        written_BT[:, 0] = self.encoding.cls_id
        written_BT[:, 1:] = read_BT[:, :-1]
        return {
            "input_ids": torch.from_numpy(read_BT),
            "attention_mask": torch.from_numpy((labels_BT != IGNORED).astype(np.int64)),
            "decoder_input_ids": torch.from_numpy(written_BT),
            "labels": torch.from_numpy(labels_BT),
            "counts": arithmetic_counts(lengths_B) | {"lm": int(lengths_B.sum())},
        }


@dataclasses.dataclass(frozen=True)
class PassageSource:
    """Passages of some documents, drawn anew each epoch."""

    store: TokenStore
    documents: np.ndarray
    encoding: Encoding
    sequence_length: int
    batch_size: int
    seed: int

    def epoch(self, number: int) -> PassageEpoch:
        """The shuffled passages of a training epoch."""
        plan = self._plan(number)
        batches = bucketed(plan.lengths, self.batch_size, self.seed, number)
        return PassageEpoch(self.store, plan, self.encoding, batches)

    def held_out(self) -> PassageEpoch:
        """The same passages at every call."""
        plan = self._plan("held-out")
        return PassageEpoch(self.store, plan, self.encoding, in_order(plan.lengths, self.batch_size))

    def _plan(self, number: int | str) -> PackedPlan:
        return PackedPlan(*packed_plan(self.store, self.documents, self.sequence_length, self.seed, number))
