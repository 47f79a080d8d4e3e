"""Texts of many requests are classified together, in turn, each for itself."""

import asyncio
import itertools
import threading
from contextlib import asynccontextmanager, contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.serving.batching import Batcher, BatchLimits, ClassificationError, best_ends, first_batch
from finetune.serving.wire_format import RequestError

# Longer than any test: a batch that waits in vain is told by the time limit of a test.
FOREVER = 1000.0
SOON = 60.0
# So much that a batch is as large as it may be, whatever the lengths of its texts.
START = 1e9


class Model:
    """The score of a text is its length; keeps the texts of every batch."""

    def __init__(self):
        self.batches, self.gate, self.entered = [], threading.Event(), threading.Semaphore(0)
        self.gate.set()

    def __call__(self, texts):
        self.batches.append([first for first, _ in texts])
        self.entered.release()
        assert self.gate.wait(SOON)
        if any("poison" in first for first, _ in texts):
            raise ValueError("poison")
        if any("nan" in first for first, _ in texts):
            return np.full((len(texts), 1), np.nan)
        return np.array([[float(len(first) + len(second or ""))] for first, second in texts])


@contextmanager
def batcher(model, cost=100.0, texts=8, wait=0.0, queue=500):
    found = Batcher(costs_of, model, BatchLimits(cost, START, texts, wait), queue)
    thread = threading.Thread(target=found.run)
    thread.start()
    try:
        yield found
    finally:
        model.gate.set()
        found.close()
        thread.join(SOON)
        assert not thread.is_alive()


def costs_of(texts):
    if any("unreadable" in first for first, _ in texts):
        raise ValueError("unreadable")
    return [len(first) for first, _ in texts]


def send(queue, *texts):
    return queue.submit([text if isinstance(text, tuple) else (text, None) for text in texts])


async def lengths(job):
    return (await asyncio.wait_for(job.future, SOON))[:, 0].tolist()


async def entered(model):
    await asyncio.to_thread(model.entered.acquire)


@asynccontextmanager
async def busy():
    """A model held in its first batch until its gate is set, and the queue before it."""
    model = Model()
    model.gate.clear()
    with batcher(model) as queue:
        send(queue, "busy")
        await entered(model)
        yield model, queue


def test_what_comes_while_a_batch_is_computed_is_classified_together():
    async def work():
        model = Model()
        model.gate.clear()
        with batcher(model) as queue:
            first = send(queue, "a")
            await entered(model)
            others = [send(queue, "b" * number) for number in (3, 1, 2)]
            assert queue.queued == 3
            model.gate.set()
            assert [await lengths(job) for job in (first, *others)] == [[1], [3], [1], [2]]
            assert queue.queued == 0
        assert [len(batch) for batch in model.batches] == [1, 3]

    asyncio.run(work())


def test_a_lone_request_waits_for_nobody():
    async def work():
        model = Model()
        with batcher(model, wait=FOREVER) as queue:
            assert await lengths(send(queue, "abc", "d")) == [3, 1]
            assert await lengths(send(queue, "e")) == [1]

    asyncio.run(work())


def test_requests_that_are_on_their_way_are_waited_for():
    async def work():
        model = Model()
        with batcher(model, wait=FOREVER) as queue:
            with queue.expecting():
                first = send(queue, "a")
                await asyncio.sleep(0.02)
                assert model.batches == []
                second = send(queue, "bb")
            assert [await lengths(first), await lengths(second)] == [[1], [2]]
        assert len(model.batches) == 1

    asyncio.run(work())


def test_clients_that_had_company_are_waited_for_once_more_and_a_full_batch_for_nobody():
    async def work():
        model = Model()
        model.gate.clear()
        with batcher(model, wait=FOREVER, texts=3) as queue:
            jobs = [send(queue, "alone")]
            await entered(model)
            jobs += [send(queue, "a"), send(queue, "b")]
            model.gate.set()
            for job in jobs:
                await lengths(job)
            again = send(queue, "a")
            await asyncio.sleep(0.02)
            assert len(model.batches) == 2
            assert await lengths(send(queue, "bb")) == [2]
            assert await lengths(again) == [1]
            send(queue, "c")
            assert await lengths(send(queue, "d", "e")) == [1, 1]
        assert [sorted(batch) for batch in model.batches] == [["alone"], ["a", "b"], ["a", "bb"], ["c", "d", "e"]]

    asyncio.run(work())


def test_a_large_request_does_not_keep_small_ones_waiting():
    async def work():
        model = Model()
        model.gate.clear()
        with batcher(model) as queue:
            large = send(queue, *(["large text"] * 200))
            await entered(model)
            small = [send(queue, "s"), send(queue, "a text that is much longer than others"), send(queue, "s")]
            model.gate.set()
            for job in (*small, large):
                await lengths(job)
        first_four = [text for batch in model.batches[:4] for text in batch]
        assert sum(text != "large text" for text in first_four) == 3
        assert sum(len(batch) for batch in model.batches) == 203

    asyncio.run(work())


def test_pairs_and_single_texts_are_never_in_one_batch():
    async def work():
        async with busy() as (model, queue):
            mixed = send(queue, "abc", ("abc", "d"), "e", ("f", ""))
            model.gate.set()
            assert await lengths(mixed) == [3, 4, 1, 1]
        assert sorted(map(sorted, model.batches)) == [["abc", "e"], ["abc", "f"], ["busy"]]

    asyncio.run(work())


@pytest.mark.parametrize("bad", ["poison", "nan", "unreadable poison"])
def test_a_text_that_the_model_fails_at_fails_its_own_request_alone(bad, caplog):
    async def work():
        async with busy() as (model, queue):
            good, failing, other = send(queue, "abc", "d"), send(queue, "a", bad, "b"), send(queue, "ef")
            model.gate.set()
            assert [await lengths(good), await lengths(other)] == [[3, 1], [2]]
            with pytest.raises(ClassificationError, match="no scores for this text"):
                await lengths(failing)
            assert await lengths(send(queue, "later")) == [5]
            assert queue.queued == 0

    asyncio.run(work())
    assert "could not be classified" in caplog.text
    assert "'poison'" not in caplog.text


def test_a_full_queue_refuses_and_says_when_to_come_again():
    async def work():
        model = Model()
        model.gate.clear()
        with batcher(model, queue=4) as queue:
            jobs = [send(queue, "busy")]
            await entered(model)
            jobs.append(send(queue, "a", "b", "c"))
            with pytest.raises(RequestError, match="3 texts are waiting already") as refused:
                send(queue, "d", "e")
            assert (refused.value.status, refused.value.retry_after) == (503, 1)
            jobs.append(send(queue, "d"))
            model.gate.set()
            assert [await lengths(job) for job in jobs] == [[4], [1, 1, 1], [1]]
            assert await lengths(send(queue, "d", "e")) == [1, 1]

    asyncio.run(work())


def test_texts_that_nobody_waits_for_are_taken_back():
    async def work():
        async with busy() as (model, queue):
            with queue.withdrawing(send(queue, *["given up"] * 20)):
                kept = send(queue, "kept")
                assert queue.queued == 21
            assert queue.queued == 1
            model.gate.set()
            assert await lengths(kept) == [4]
        assert model.batches == [["busy"], ["kept"]]

    asyncio.run(work())


def test_what_waits_is_answered_before_the_thread_ends_or_fails_with_it():
    async def work():
        model = Model()
        with batcher(model, wait=FOREVER) as queue, queue.expecting():
            job = send(queue, "a")
            queue.close()
            assert await lengths(job) == [1]
        # Nobody would take them out of the queue.
        with pytest.raises(RequestError, match="the service has ended") as refused:
            send(queue, "late")
        assert refused.value.status == 503
        idle = Batcher(costs_of, model, BatchLimits(1, 0, 1, 0), 9)
        waiting = send(idle, "b")
        idle.fail(ClassificationError("the end"))
        assert idle.queued == 0
        with pytest.raises(ClassificationError, match="the end"):
            await lengths(waiting)
        with pytest.raises(RequestError, match="the end") as refused:
            send(idle, "late")
        assert refused.value.status == 503

    asyncio.run(work())


@given(st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=12), min_size=1, max_size=12), st.integers(1, 9))
def test_every_text_gets_its_own_score_whatever_its_company(requests, texts):
    async def work():
        model = Model()
        with batcher(model, texts=texts) as queue:
            jobs = [send(queue, *("x" * length for length in request)) for request in requests]
            for job, request in zip(jobs, requests, strict=True):
                assert await lengths(job) == request
        assert all(len(batch) <= texts for batch in model.batches)
        assert all(len(batch) == 1 or len(batch) * max(map(len, batch)) <= 100 for batch in model.batches)
        assert queue.queued == 0

    asyncio.run(work())


COSTS = st.lists(st.integers(1, 50), min_size=1, max_size=9)


def total(costs, limits, ends):
    """What batches cost that end at these positions; infinite if one is too large."""
    batches = [costs[begin:end] for begin, end in itertools.pairwise([0, *ends])]
    if any(len(one) > 1 and (len(one) > limits.texts or len(one) * max(one) > limits.cost) for one in batches):
        return float("inf")
    return sum(limits.start + len(one) * max(one) for one in batches)


@given(COSTS, st.integers(1, 200), st.integers(0, 100), st.integers(1, 9))
def test_no_other_way_to_cut_texts_into_batches_costs_less(costs, budget, start, maximum):
    costs, limits = sorted(costs), BatchLimits(budget, start, maximum, 0)
    ends, found = best_ends(costs, limits), [0]
    while found[-1] < len(costs):
        found.append(ends[found[-1]])
    inner = range(1, len(costs))
    ways = [[*cuts, len(costs)] for count in range(len(costs)) for cuts in itertools.combinations(inner, count)]
    assert total(costs, limits, found[1:]) == min(total(costs, limits, way) for way in ways)


@given(COSTS, st.integers(1, 200), st.integers(0, 100), st.integers(1, 9))
def test_the_first_text_is_in_the_batch_with_others_of_like_length(costs, budget, start, maximum):
    batch = first_batch(costs, BatchLimits(budget, start, maximum, 0))
    assert 0 in batch
    assert len(set(batch)) == len(batch)
    low, high = min(costs[position] for position in batch), max(costs[position] for position in batch)
    assert {position for position, cost in enumerate(costs) if low < cost < high} <= set(batch)


def test_of_texts_that_are_alike_those_that_came_first_are_in_the_batch():
    assert first_batch([7] * 20, BatchLimits(35, 1, 9, 0)) == [0, 1, 2, 3, 4]


def test_short_texts_do_not_wait_for_the_padding_of_long_ones():
    limits = BatchLimits(8192, 128, 256, 0)
    assert sorted(first_batch([20, 400, 21, 390, 20, 380], limits)) == [0, 2, 4]
    assert sorted(first_batch([400, 20, 390, 21, 20, 380], limits)) == [0, 2, 5]
