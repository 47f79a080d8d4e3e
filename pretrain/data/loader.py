"""Samples → batches of tensors, the same whatever the number of workers, processes or the point of resumption.

Shapes: B sequences of a micro-batch.
"""

import dataclasses
from collections.abc import Callable, Generator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from pretrain.data.randomness import permutation

BATCHES_PER_WINDOW = 64
IGNORED = -100
BUCKETS = 4

Tensors = dict[str, torch.Tensor]


class StreamSlice(NamedTuple):
    """Which part of an epoch's streams a batch of a language model holds."""

    streams: int
    """How many streams run side by side; the batch's own are `columns` of its inputs."""
    first: bool
    """Whether this is the beginning of each stream, where no state is carried over."""


@dataclasses.dataclass(frozen=True)
class Batch:
    """A micro-batch: tensors by name, and how many targets of each kind they hold."""

    inputs: Tensors
    """What the model reads."""
    labels: Tensors
    """What a loss compares with; IGNORED counts nothing."""
    counts: Mapping[str, int]
    """Targets of each kind, and what the arithmetic depends on (`arithmetic_counts`), in this micro-batch."""
    totals: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """The same of the whole step, over its micro-batches and all processes; token_budget_batches in by the engine."""
    mask_draw: "Callable[[Batch], Batch] | None" = None
    """Draws the masks, where that was left to the device."""
    stream_slice: StreamSlice | None = None
    """Of language models."""

    def __getitem__(self, name: str) -> torch.Tensor:
        """A tensor by name, of the inputs or of the labels."""
        return self.inputs[name] if name in self.inputs else self.labels[name]

    def __contains__(self, name: str) -> bool:
        """Whether there is a tensor of this name."""
        return name in self.inputs or name in self.labels

    def with_tensors(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Batch":
        """The batch with every tensor changed in the same way."""
        inputs = {name: change(tensor) for name, tensor in self.inputs.items()}
        labels = {name: change(tensor) for name, tensor in self.labels.items()}
        return dataclasses.replace(self, inputs=inputs, labels=labels)

    def with_totals(self, totals: Mapping[str, int]) -> "Batch":
        """The batch with the counts of the whole step."""
        return dataclasses.replace(self, totals=totals)

    def pin_memory(self) -> "Batch":
        """For a faster copy to a GPU; torch's loader calls it."""
        return self.with_tensors(torch.Tensor.pin_memory)

    def with_masks(self) -> "Batch":
        """The batch with its masks drawn where its tensors are, if they have not been drawn yet."""
        return self if self.mask_draw is None else self.mask_draw(self)

    def to(self, device: torch.device) -> "Batch":
        """The batch on a device, with its masks."""
        return self.with_tensors(lambda tensor: tensor.to(device, non_blocking=True)).with_masks()


class Epoch(Protocol):
    """The samples of one epoch, in batches."""

    @property
    def batches(self) -> list[np.ndarray]:
        """The sample numbers of each global batch."""
        ...

    def collate(self, samples_B: np.ndarray) -> Batch:
        """The tensors of these samples."""
        ...


class Source(Protocol):
    """A training set."""

    def epoch(self, number: int) -> Epoch:
        """The epoch with this number; a function of the seed and the number alone."""
        ...


def length_grouped(lengths: np.ndarray, batch_size: int, *purpose: str | int) -> list[np.ndarray]:
    """Shuffle samples into batches of similar lengths; the last batch may be smaller, none is dropped.

    Samples are shuffled, sorted by length within windows of 64 batches, cut, and the batches shuffled.
    """
    order = permutation(len(lengths), "order", *purpose)
    window = BATCHES_PER_WINDOW * batch_size
    batches = []
    for start in range(0, len(order), window):
        part = order[start : start + window]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches += [part[first : first + batch_size] for first in range(0, len(part), batch_size)]
    return [batches[place] for place in permutation(len(batches), "batches", *purpose)]


def sorted_batches(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Batches for evaluation: sorted by length, so that little is padded."""
    order = np.argsort(lengths, kind="stable")
    return [order[first : first + batch_size] for first in range(0, len(order), batch_size)]


def token_budget_batches(lengths: np.ndarray, tokens: int) -> list[np.ndarray]:
    """Batches for evaluation, sorted by length: as many as with their padding stay below `tokens`, and at least one.

    >>> [batch.tolist() for batch in token_budget_batches(np.array([9, 2, 3, 4, 40]), 12)]
    [[1, 2, 3], [0], [4]]
    """
    order = np.argsort(lengths, kind="stable")
    batches, first = [], 0
    for place, sample in enumerate(order):
        if place > first and lengths[sample] * (place - first + 1) > tokens:
            batches.append(order[first:place])
            first = place
    return [*batches, order[first:]] if len(order) else []


def length_buckets(longest: int) -> tuple[int, ...]:
    """The lengths that batches are padded to where shapes should be few, as compiled graphs want them.

    >>> length_buckets(128), length_buckets(50)
    ((32, 64, 96, 128), (13, 25, 38, 50))
    """
    return tuple(-(-longest * part // BUCKETS) for part in range(1, BUCKETS + 1))


def padded_length(length: int, buckets: tuple[int, ...]) -> int:
    """The smallest bucket that holds so many tokens; the length itself where there are no buckets.

    >>> padded_length(33, (32, 64)), padded_length(33, ())
    (64, 33)
    """
    return next((bucket for bucket in buckets if bucket >= length), length)


def arithmetic_counts(lengths_B: np.ndarray) -> dict[str, int]:
    """What the arithmetic of a batch depends on: sequences, tokens, and pairs of tokens that attend to each other.

    >>> arithmetic_counts(np.array([2, 3]))
    {'sequences': 2, 'tokens': 5, 'attended': 13}
    """
    return {"sequences": len(lengths_B), "tokens": int(lengths_B.sum()), "attended": int((lengths_B**2).sum())}


@dataclasses.dataclass(frozen=True)
class LoaderSettings:
    """How the batches of an epoch are shared out among processes and prepared."""

    rank: int = 0
    world_size: int = 1
    micro_batches: int = 1
    """Of a step, in each process."""
    workers: int = 0
    """Processes that prepare batches; 0 prepares them in this one."""
    begin_worker: Callable[[int], None] | None = None
    """Called once in each of them."""


class StepDataset(torch.utils.data.Dataset[list[Batch]]):
    """Item k: the micro-batches that one process works through in step k of an epoch.

    A global batch is dealt out in turn (sample i to process i mod W), then cut into micro-batches.
    """

    def __init__(self, epoch: Epoch, settings: LoaderSettings) -> None:
        self.epoch, self.settings = epoch, settings

    def __len__(self) -> int:
        """Steps of the epoch."""
        return len(self.epoch.batches)

    def __getitem__(self, index: int) -> list[Batch]:
        """The micro-batches of a step; a process that a small last batch leaves without samples gets an idle one."""
        samples = self.epoch.batches[index]
        mine = samples[self.settings.rank :: self.settings.world_size]
        if not len(mine):
            return [idle(self.epoch.collate(samples[:1]))]
        parts = min(self.settings.micro_batches, len(mine))
        return [self.epoch.collate(part) for part in np.array_split(mine, parts)]


def idle(batch: Batch) -> Batch:
    """A batch that takes part in a step without counting: cross-entropy ignores every label."""
    batch = batch.with_masks()
    ignored = {name: torch.full_like(label, IGNORED) for name, label in batch.labels.items()}
    return dataclasses.replace(batch, labels=ignored, counts=dict.fromkeys(batch.counts, 0))


def load_steps(epoch: Epoch, settings: LoaderSettings, first: int = 0) -> Generator[list[Batch]]:
    """The micro-batches of each step of an epoch, from step `first` on; nothing before it is prepared."""
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
        # Otherwise left to the garbage collector, which a traceback keeps from it.
        if settings.workers:
            steps._shutdown_workers()
