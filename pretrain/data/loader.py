"""Samples → batches of tensors, independent of the number of workers and processes and of where a run resumes.

Shapes: B sequences of a micro-batch.
"""

import dataclasses
from collections.abc import Callable, Generator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from pretrain.data.randomness import permutation

MAXIMUM_WINDOW_BATCHES = 50
IGNORED = -100
BUCKETS = 4

Tensors = dict[str, torch.Tensor]


class StreamSlice(NamedTuple):
    """The position of a language-model batch in the streams of an epoch."""

    streams: int
    """Number of parallel streams; the input `columns` lists those of this batch."""
    first: bool
    """Whether this is the start of each stream, where no state is carried over."""


@dataclasses.dataclass(frozen=True)
class Batch:
    """A micro-batch: tensors by name, and the number of targets of each kind."""

    inputs: Tensors
    """The model's inputs."""
    labels: Tensors
    """The targets of the loss; IGNORED positions do not count."""
    counts: Mapping[str, int]
    """Number of targets of each kind, and `arithmetic_counts`, in this micro-batch."""
    totals: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """The same counts for the whole step, over its micro-batches and all processes; set by the engine."""
    mask_draw: "Callable[[Batch], Batch] | None" = None
    """Draws the masks on the device, if they are drawn there."""
    stream_slice: StreamSlice | None = None
    """For language models."""

    def __getitem__(self, name: str) -> torch.Tensor:
        """A tensor by name, from the inputs or the labels."""
        return self.inputs[name] if name in self.inputs else self.labels[name]

    def __contains__(self, name: str) -> bool:
        """Whether there is a tensor of this name."""
        return name in self.inputs or name in self.labels

    def with_tensors(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Batch":
        """The batch with `change` applied to every tensor."""
        inputs = {name: change(tensor) for name, tensor in self.inputs.items()}
        labels = {name: change(tensor) for name, tensor in self.labels.items()}
        return dataclasses.replace(self, inputs=inputs, labels=labels)

    def with_totals(self, totals: Mapping[str, int]) -> "Batch":
        """The batch with the counts of the whole step."""
        return dataclasses.replace(self, totals=totals)

    def pin_memory(self) -> "Batch":
        """Pin the tensors for a faster copy to a GPU; torch's loader calls this."""
        return self.with_tensors(torch.Tensor.pin_memory)

    def with_masks(self) -> "Batch":
        """The batch with its masks drawn on the device of its tensors, unless they already are."""
        return self if self.mask_draw is None else self.mask_draw(self)

    def to(self, device: torch.device) -> "Batch":
        """The batch on a device, with its masks."""
        return self.with_tensors(lambda tensor: tensor.to(device, non_blocking=True)).with_masks()


class Epoch(Protocol):
    """The samples of one epoch, in batches."""

    @property
    def batches(self) -> list[np.ndarray]:
        """The sample indices of each global batch."""
        ...

    def collate(self, samples_B: np.ndarray) -> Batch:
        """The tensors of these samples."""
        ...


class Source(Protocol):
    """A training set."""

    def epoch(self, number: int) -> Epoch:
        """The epoch with this number; depends only on the seed and the number."""
        ...


def length_grouped(lengths: np.ndarray, batch_size: int, *purpose: str | int) -> list[np.ndarray]:
    """Shuffle samples into batches of similar lengths; at most one batch is smaller, no sample is dropped.

    Samples are shuffled; those of the smaller batch are set aside, whatever their lengths; the others are sorted by
    length within windows, cut, and the batches shuffled. A window has at most 50 batches and at most a quarter of the
    epoch, as in `get_length_grouped_indices` of transformers, so that small data sets are batched anew each epoch.
    """
    order = permutation(len(lengths), "order", *purpose)
    full = len(order) // batch_size * batch_size
    window = batch_size * max(1, min(full // (4 * batch_size), MAXIMUM_WINDOW_BATCHES))
    batches = [order[full:]] if full < len(order) else []
    for start in range(0, full, window):
        samples = order[start : min(start + window, full)]
        samples = samples[np.argsort(lengths[samples], kind="stable")]
        batches += [samples[first : first + batch_size] for first in range(0, len(samples), batch_size)]
    return [batches[index] for index in permutation(len(batches), "batches", *purpose)]


def sorted_batches(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Batches for evaluation, sorted by length to minimise padding."""
    order = np.argsort(lengths, kind="stable")
    return [order[first : first + batch_size] for first in range(0, len(order), batch_size)]


def length_buckets(longest: int) -> tuple[int, ...]:
    """The lengths that batches are padded to when there should be few shapes, as for compiled graphs.

    >>> length_buckets(128), length_buckets(50)
    ((32, 64, 96, 128), (13, 25, 38, 50))
    """
    return tuple(-(-longest * number // BUCKETS) for number in range(1, BUCKETS + 1))


def padded_length(length: int, buckets: tuple[int, ...]) -> int:
    """The smallest bucket that holds `length` tokens; `length` itself without buckets.

    >>> padded_length(33, (32, 64)), padded_length(33, ())
    (64, 33)
    """
    return next((bucket for bucket in buckets if bucket >= length), length)


def rounded_length(length: int) -> int:
    """A length rounded up so that there are at most 16 between a power of two and the next, 2 % longer on average.

    On a CPU, oneDNN compiles products for each shape that it meets, and keeps them: with a shape for every length,
    fine-tuning on reviews of up to 400 tokens grew by half a gigabyte of them, and by as much of gaps between them.

    >>> [rounded_length(length) for length in (9, 31, 33, 130, 257, 400)]
    [9, 31, 34, 136, 272, 400]
    """
    unit = max(1, 1 << max(0, length.bit_length() - 5))
    return -(-length // unit) * unit


def arithmetic_counts(lengths_B: np.ndarray) -> dict[str, int]:
    """The counts that determine the FLOPs of a batch: sequences, tokens, and pairs of tokens that attend to each other.

    >>> arithmetic_counts(np.array([2, 3]))
    {'sequences': 2, 'tokens': 5, 'attended': 13}
    """
    return {"sequences": len(lengths_B), "tokens": int(lengths_B.sum()), "attended": int((lengths_B**2).sum())}


@dataclasses.dataclass(frozen=True)
class LoaderSettings:
    """How the batches of an epoch are split among processes and prepared."""

    rank: int = 0
    world_size: int = 1
    micro_batches: int = 1
    """Micro-batches per step in each process."""
    workers: int = 0
    """Worker processes that prepare batches; with 0, this process does."""
    begin_worker: Callable[[int], None] | None = None
    """Called once in each worker."""


class StepDataset(torch.utils.data.Dataset[list[Batch]]):
    """Item k: the micro-batches of one process in step k of an epoch.

    Sample i of a global batch goes to process i mod W; each process's share is then cut into micro-batches.
    """

    def __init__(self, epoch: Epoch, settings: LoaderSettings) -> None:
        self.epoch, self.settings = epoch, settings

    def __len__(self) -> int:
        """Number of steps in the epoch."""
        return len(self.epoch.batches)

    def __getitem__(self, index: int) -> list[Batch]:
        """The micro-batches of a step, as many in every process: those that lack samples get idle batches.

        A process that ran its model less often than the others would leave them waiting for ever: DDP exchanges buffers
        in every forward pass, FSDP weights.
        """
        samples, settings = self.epoch.batches[index], self.settings
        local_samples = samples[settings.rank :: settings.world_size]
        most = -(-len(samples) // settings.world_size)
        micro_batches = np.array_split(local_samples, min(settings.micro_batches, most))
        return [
            self.epoch.collate(micro_batch) if len(micro_batch) else idle(self.epoch.collate(samples[:1]))
            for micro_batch in micro_batches
        ]


def idle(batch: Batch) -> Batch:
    """A batch that contributes nothing to a step: cross-entropy ignores every label."""
    batch = batch.with_masks()
    ignored = {name: torch.full_like(label, IGNORED) for name, label in batch.labels.items()}
    return dataclasses.replace(batch, labels=ignored, counts=dict.fromkeys(batch.counts, 0))


def load_steps(epoch: Epoch, settings: LoaderSettings, first: int = 0) -> Generator[list[Batch]]:
    """The micro-batches of each step of an epoch, from step `first` on; earlier steps are not prepared."""
    dataset = StepDataset(epoch, settings)
    steps: Any = iter(
        torch.utils.data.DataLoader(
            dataset,
            batch_size=None,
            sampler=range(first, len(dataset)),
            num_workers=settings.workers,
            worker_init_fn=settings.begin_worker,
            pin_memory=torch.cuda.is_available(),
        )
    )
    try:
        yield from steps
    finally:
        # The garbage collector would not do it while a traceback holds a reference.
        if settings.workers:
            steps._shutdown_workers()
