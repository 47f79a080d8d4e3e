"""Samples → batches of tensors, the same whatever the number of workers, processes or the point of resumption.

Shapes: B sequences of a micro-batch.
"""

from collections.abc import Callable, Generator
from typing import Any, Protocol

import numpy as np
import torch

from pretrain.randomness import permutation

BATCHES_A_WINDOW = 64
LABELS = ("masked_labels", "relation", "labels", "backward_labels")
IGNORED = -100
LENGTHS = 4

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


def filled(lengths: np.ndarray, tokens: int) -> list[np.ndarray]:
    """Batches for evaluation, sorted by length: as many as with their padding stay below `tokens`, and at least one.

    >>> [batch.tolist() for batch in filled(np.array([9, 2, 3, 4, 40]), 12)]
    [[1, 2, 3], [0], [4]]
    """
    order = np.argsort(lengths, kind="stable")
    batches, first = [], 0
    for place, sample in enumerate(order):
        if place > first and lengths[sample] * (place - first + 1) > tokens:
            batches.append(order[first:place])
            first = place
    return [*batches, order[first:]] if len(order) else []


def few_lengths(longest: int) -> tuple[int, ...]:
    """The lengths that batches are filled up to where shapes should be few, as compiled graphs want them.

    >>> few_lengths(128), few_lengths(50)
    ((32, 64, 96, 128), (13, 25, 38, 50))
    """
    return tuple(-(-longest * part // LENGTHS) for part in range(1, LENGTHS + 1))


def next_length(length: int, allowed: tuple[int, ...]) -> int:
    """The smallest of the allowed lengths that holds so many tokens; the length itself where none is given.

    >>> next_length(33, (32, 64)), next_length(33, ())
    (64, 33)
    """
    return next((enough for enough in allowed if enough >= length), length)


def arithmetic_counts(lengths_B: np.ndarray) -> dict[str, int]:
    """What the arithmetic of a batch depends on: sequences, tokens, and pairs of tokens that attend to each other.

    >>> arithmetic_counts(np.array([2, 3]))
    {'sequences': 2, 'tokens': 5, 'attended': 13}
    """
    return {"sequences": len(lengths_B), "tokens": int(lengths_B.sum()), "attended": int((lengths_B**2).sum())}


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


def drawn(batch: Batch) -> Batch:
    """The batch with what was left to be drawn where it lies."""
    return batch["draw"]({name: value for name, value in batch.items() if name != "draw"}) if "draw" in batch else batch


def idle(batch: Batch) -> Batch:
    """A batch that takes part in a step without counting: every label is the one that cross-entropy passes over."""
    batch = drawn(batch)
    ignored = {name: torch.full_like(batch[name], IGNORED) for name in LABELS if name in batch}
    return batch | ignored | {"counts": dict.fromkeys(batch["counts"], 0)}


def steps_of(
    epoch: Epoch,
    first: int,
    rank: int,
    world_size: int,
    accumulation: int,
    workers: int,
    begin_worker: Callable[[int], None] | None = None,
) -> Generator[list[Batch]]:
    """The micro-batches of each step of an epoch, from step `first` on; nothing before it is prepared."""
    dataset = MicroBatches(epoch, rank, world_size, accumulation)
    found: Any = iter(
        torch.utils.data.DataLoader(
            dataset,
            batch_size=None,
            sampler=range(first, len(dataset)),
            num_workers=workers,
            worker_init_fn=begin_worker,
            pin_memory=torch.cuda.is_available(),
        )
    )
    try:
        yield from found
    finally:
        # Otherwise left to the garbage collector, which a traceback keeps from it.
        if workers:
            found._shutdown_workers()
