"""Texts of many requests → batches for one thread, which alone computes; the event loop never waits for it.

A batch is the text that is next in turn, and texts of like length among those that follow it: as many as are best for
all of them, since shorter ones cost padding, and each batch its start. Requests take turns: so a large one does not
keep small ones waiting.

Shapes: N texts of a request, B texts of a batch, C classes, E possible ends of a batch.
"""

import asyncio
import itertools
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from finetune.serving.wire_format import Pair, RequestError

log = logging.getLogger(__name__)

# A batch is chosen among the next texts in turn: as many as fill this number of batches, or as one holds at most.
WINDOW_BATCHES = 4
# Of the rate at which texts are classified, the weight of the newest batch.
NEWEST = 0.2
LONGEST_RETRY = 60


class ClassificationError(RuntimeError):
    """A text that the model has no scores for: it raised an error, or gave NaN."""


class BatchLimits(NamedTuple):
    """How large a batch is."""

    cost: float
    """The largest product of the number of texts and the highest cost: costs are lengths, and texts are padded."""
    start: float
    """What a batch costs beside its texts."""
    texts: int
    """Texts, at most."""
    wait: float
    """Seconds that it waits for requests which are on their way."""


class Job:
    """The texts of a request, on their way through batches."""

    def __init__(self, texts: Sequence[Pair], future: asyncio.Future[np.ndarray]) -> None:
        self.texts, self.future = texts, future
        self.costs: Sequence[float] = ()
        """How long each text is; empty until the thread has seen it."""
        self.waiting = dict.fromkeys(range(len(texts)))
        """The numbers of the texts that are in no batch yet, in order."""
        self.rows: list[np.ndarray | None] = [None] * len(texts)
        """The logits of each text."""
        self.error: Exception | None = None

    @property
    def is_done(self) -> bool:
        """Whether there is an answer."""
        return self.error is not None or all(row is not None for row in self.rows)


class Batcher:
    """A queue of texts, and the thread that classifies them."""

    def __init__(
        self,
        costs: Callable[[Sequence[Pair]], Sequence[float]],
        logits: Callable[[list[Pair]], np.ndarray],
        limits: BatchLimits,
        maximum_queue: int,
        observe: Callable[[int, float], None] = lambda texts, seconds: None,
    ) -> None:
        """Begin with an empty queue.

        Args:
            costs: texts → how long each is; called in the thread, once for the texts of each request.
            logits: texts → scores [B, C]; all texts of a call are pairs, or none.
            limits: of a batch.
            maximum_queue: texts that wait, at most.
            observe: called with the texts and seconds of every batch, in the thread.
        """
        self._costs, self._logits, self._observe = costs, logits, observe
        self._limits, self._maximum_queue = limits, maximum_queue
        self._changed = threading.Condition()
        self._current: Sequence[tuple[Job, int]] = ()
        # In the order of their turns.
        self._jobs: deque[Job] = deque()
        self._waiting_cost, self._oldest, self._being_read, self._closed = 0.0, 0.0, 0, False
        self._followers, self._follow_until, self._seconds_a_text = 0, 0.0, 0.0
        self._ended: str | None = None
        self.queued = 0
        """Texts that wait."""

    @contextmanager
    def expecting(self) -> Generator[None]:
        """While a request is read, a batch waits for it (`BatchLimits.wait` at most)."""
        with self._changed:
            self._being_read += 1
        try:
            yield
        finally:
            with self._changed:
                self._being_read -= 1
                self._changed.notify()

    def submit(self, texts: Sequence[Pair]) -> Job:
        """Put a request's texts into the queue; its future gets their logits, [N, C], or a `ClassificationError`.

        Raises:
            RequestError: the queue is full, or the thread has ended.
        """
        job = Job(texts, asyncio.get_running_loop().create_future())
        with self._changed:
            if self._ended is not None:
                raise RequestError(503, self._ended)
            if self.queued + len(texts) > self._maximum_queue:
                raise RequestError(503, f"{self.queued} texts are waiting already; try again later", self.retry_after())
            if not self._jobs:
                self._oldest = time.monotonic()
            self._jobs.append(job)
            self.queued += len(texts)
            self._changed.notify()
        return job

    @contextmanager
    def withdrawing(self, job: Job) -> Generator[None]:
        """Take those of a request's texts back that are in no batch yet when nobody waits for them any more."""
        try:
            yield
        finally:
            with self._changed:
                self._withdraw(job)

    def retry_after(self) -> int:
        """Whole seconds in which the texts that wait will be done."""
        return min(LONGEST_RETRY, max(1, math.ceil(self.queued * self._seconds_a_text)))

    def close(self) -> None:
        """Let the thread end once the queue is empty."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def run(self) -> None:
        """Classify batches until it is closed and empty; the body of the thread."""
        while batch := self._next_batch():
            self._current = batch
            started = time.monotonic()
            self._classify(batch)
            done, now = [job for job in dict.fromkeys(job for job, _ in batch) if job.is_done], time.monotonic()
            a_text = (now - started) / len(batch)
            self._seconds_a_text += (NEWEST if self._seconds_a_text else 1.0) * (a_text - self._seconds_a_text)
            # Clients that had company are likely to send their next request at once; those alone are not waited for.
            self._followers = len(dict.fromkeys(job for job, _ in batch))
            self._follow_until = now + self._limits.wait if self._followers > 1 else 0.0
            self._observe(len(batch), now - started)
            if done:
                _deliver(done)

    def fail(self, error: Exception) -> None:
        """Answer everything that waits, or is in a batch, with an error."""
        with self._changed:
            self._ended = str(error)
            jobs = list(dict.fromkeys([*(job for job, _ in self._current), *self._jobs]))
            for job in jobs:
                job.error = error
                self._withdraw(job)
        if jobs:
            _deliver(jobs)

    def _next_batch(self) -> list[tuple[Job, int]]:
        """Wait for texts, and take a batch of them out of the queue; empty when it is closed."""
        while True:
            with self._changed:
                unknown = [job for job in self._jobs if not job.costs]
                if not unknown and self._jobs:
                    patience = self._patience(time.monotonic())
                    if patience <= 0:
                        return self._take()
                    self._changed.wait(patience)
                elif not unknown:
                    if self._closed:
                        self._ended = "the service has ended"
                        return []
                    self._changed.wait()
            if unknown:
                # Without the lock: requests go on coming.
                self._measure(unknown)

    def _measure(self, jobs: Sequence[Job]) -> None:
        """Set what the texts of requests cost, all of them in one call."""
        try:
            costs = iter(self._costs([text for job in jobs for text in job.texts]))
        except Exception:  # noqa: BLE001
            # Whatever it is, classifying fails at it, too, and finds the text.
            costs = itertools.repeat(1.0)
        with self._changed:
            for job in jobs:
                job.costs = list(itertools.islice(costs, len(job.texts)))
                self._waiting_cost += sum(job.costs[number] for number in job.waiting)

    def _patience(self, now: float) -> float:
        """Seconds to wait for more texts; none if nobody else is coming, or if there are enough."""
        is_full = self._waiting_cost >= self._limits.cost or self.queued >= self._limits.texts
        if is_full or self._closed:
            return 0.0
        arriving = self._oldest + self._limits.wait if self._being_read else 0.0
        following = self._follow_until if len(self._jobs) < self._followers else 0.0
        return max(arriving, following) - now

    def _take(self) -> list[tuple[Job, int]]:
        candidates = self._in_turn()
        costs = [job.costs[number] for job, number in candidates]
        batch = [candidates[position] for position in first_batch(costs, self._limits)]
        served = dict.fromkeys(job for job, _ in batch)
        for job, number in batch:
            del job.waiting[number]
            self.queued -= 1
            self._waiting_cost -= job.costs[number]
        # Who was served is the last in turn.
        self._jobs = deque([job for job in self._jobs if job not in served] + [job for job in served if job.waiting])
        return batch

    def _in_turn(self) -> list[tuple[Job, int]]:
        """The next texts: the first of each request, the second of each, and so on; all are pairs, or none."""
        found: list[tuple[Job, int]] = []
        first_job = self._jobs[0]
        is_pair = first_job.texts[next(iter(first_job.waiting))][1] is not None
        turns = deque((job, iter(list(job.waiting))) for job in self._jobs)
        room = WINDOW_BATCHES * self._limits.cost
        while turns and room > 0 and len(found) < self._limits.texts:
            job, numbers = turns.popleft()
            number = next((n for n in numbers if (job.texts[n][1] is not None) == is_pair), None)
            if number is not None:
                found.append((job, number))
                room -= job.costs[number]
                turns.append((job, numbers))
        return found

    def _withdraw(self, job: Job) -> None:
        if job.waiting:
            self.queued -= len(job.waiting)
            self._waiting_cost -= sum(job.costs[number] for number in job.waiting) if job.costs else 0
            job.waiting.clear()
            self._jobs.remove(job)

    def _classify(self, batch: Sequence[tuple[Job, int]]) -> None:
        """Set the logits of a batch's texts; of those that the model fails at, an error."""
        try:
            logits_BC = self._logits([job.texts[number] for job, number in batch])
            if not np.isfinite(logits_BC).all():
                raise ClassificationError("the model gave NaN or infinity")
        except Exception as error:  # noqa: BLE001
            if len(batch) == 1:
                ((job, _),) = batch
                # The message of a library's error may hold the text.
                log.error("serve: a text could not be classified: %s at %s", type(error).__name__, _origin(error))
                job.error = ClassificationError("the model has no scores for this text")
                with self._changed:
                    self._withdraw(job)
                return
            # One text, or too many of them: the others are not to blame.
            half = len(batch) // 2
            self._classify(batch[:half])
            self._classify(batch[half:])
            return
        for (job, number), row_C in zip(batch, logits_BC, strict=True):
            job.rows[number] = row_C


def first_batch(costs: Sequence[float], limits: BatchLimits) -> list[int]:
    """The positions of a batch: the first one, and those that it is best computed with.

    Args:
        costs: of the candidates; earlier ones go before later ones of the same cost.
        limits: a text alone may cost more.

    >>> limits = BatchLimits(cost=100, start=5, texts=4, wait=0)
    >>> first_batch([5, 1, 6, 20, 5], limits), first_batch([300, 1], limits), first_batch([2] * 9, limits)
    ([1, 0, 4, 2], [0], [0, 1, 2, 3])
    """
    order = sorted(range(len(costs)), key=costs.__getitem__)
    padded = len(costs) * costs[order[-1]]
    # Whatever padding another batch would save, it costs a start.
    if padded - sum(costs) <= limits.start and padded <= limits.cost and len(costs) <= limits.texts:
        return order
    position, begin = order.index(0), 0
    ends = best_ends([costs[number] for number in order], limits)
    while ends[begin] <= position:
        begin = ends[begin]
    return order[begin : ends[begin]]


def best_ends(costs: Sequence[float], limits: BatchLimits) -> list[int]:
    """Where each batch ends if one begins at a position, so that all texts from there on cost the least together.

    A batch costs its start, and its longest text times their number. The best way from a position on is the best of
    each possible end with the best way from there on (dynamic programming).

    Args:
        costs: of texts, in ascending order.
        limits: of a batch; a text alone may cost more.

    >>> best_ends([20, 20, 21, 380, 390, 400], BatchLimits(cost=8192, start=128, texts=256, wait=0))
    [3, 3, 3, 6, 6, 6]
    """
    sorted_N, count = np.array(costs, dtype=float), len(costs)
    least, ends = np.zeros(count + 1), [count] * count
    for begin in range(count - 1, -1, -1):
        sizes_E = np.arange(1, min(limits.texts, count - begin) + 1)
        padded_E = sizes_E * sorted_N[begin : begin + len(sizes_E)]
        total_E = limits.start + padded_E + least[begin + 1 : begin + 1 + len(sizes_E)]
        total_E[1:][padded_E[1:] > limits.cost] = np.inf
        # Of equal ones the largest.
        best = len(sizes_E) - 1 - int(np.argmin(total_E[::-1]))
        least[begin], ends[begin] = total_E[best], begin + 1 + best
    return ends


def _deliver(jobs: Sequence[Job]) -> None:
    """Set the results of futures, in their event loop; all requests of a server have the same."""
    try:
        jobs[0].future.get_loop().call_soon_threadsafe(_resolve, jobs)
    except RuntimeError:
        log.warning("serve: %d answers came after the end", len(jobs))


def _resolve(jobs: Sequence[Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(np.stack([row for row in job.rows if row is not None]))


def _origin(error: BaseException) -> str:
    """The file and line of an error, without what it says."""
    trace: Any = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "?" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
