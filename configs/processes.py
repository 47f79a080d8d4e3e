"""A pool of worker processes on this machine."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, TypeVar

from configs.errors import InputError, Interrupted

# Enough for a training step and a checkpoint.
GRACE_SECONDS = 15.0

# Apple's libraries may not be used after a fork.
START_METHOD = "forkserver" if sys.platform == "linux" else "spawn"

# Set in the processes of a pool: a signal to their group comes again, from their parent.
IN_POOL = "BERTLET_IN_POOL"

Item = TypeVar("Item")
Result = TypeVar("Result")


class LostProcessError(InputError):
    """A process was killed, as when memory runs out."""


def in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], processes: int, imports: Sequence[str] = ()
) -> Generator[tuple[Item, Result]]:
    """Yield each item with the result of `work`, in order of completion.

    An error in any process, a signal or the end of this one ends all of them; no further item is begun.

    Args:
        work: a module-level function, so that other processes can import it.
        items: the arguments of `work`; started in this order.
        processes: the maximum number of processes.
        imports: the modules that `work` needs and that take long to import. On Linux, that is done once for all
            processes, which share their memory.

    Raises:
        InputError: raised by `work`.
        LostProcessError: a process was killed.
    """
    context = multiprocessing.get_context(START_METHOD)
    context.set_forkserver_preload(["configs.forkserver_signals", *imports])
    ending = context.Event()
    pool = ProcessPoolExecutor(
        min(processes, len(items)), mp_context=context, initializer=_Worker.begin, initargs=(ending,)
    )
    futures = {pool.submit(_Worker.work, work, item): item for item in items}
    try:
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BaseException as error:
        # Those that wait for a process are given back; one that is on its way to it is refused there.
        ending.set()
        pool.shutdown(wait=False, cancel_futures=True)
        _terminate(multiprocessing.active_children(), signalled=isinstance(error, KeyboardInterrupt))
        if isinstance(error, BrokenProcessPool):
            raise LostProcessError("a process was killed (out of memory?); finished work is kept: run again") from None
        raise
    pool.shutdown()


def _terminate(children: Sequence[BaseProcess], signalled: bool) -> None:
    """Terminate processes; training saves a checkpoint on its first signal and needs time for that.

    Args:
        children: the processes.
        signalled: they have received a signal already; Ctrl-C reaches the whole process group.
    """
    if signalled:
        _wait(children)
    for child in children:
        if child.is_alive():
            child.terminate()
    _wait(children)
    for child in children:
        if child.is_alive():
            child.kill()
            child.join()


def _wait(children: Sequence[BaseProcess]) -> None:
    """Wait until all have ended, `GRACE_SECONDS` at most."""
    until = time.monotonic() + GRACE_SECONDS
    for child in children:
        child.join(max(0.0, until - time.monotonic()))


class _Worker:
    """What a process of the pool knows."""

    ending: Any
    """An event: the pool ends, and no further item is begun."""
    is_working = False
    is_ending = False
    """A signal has come: the pool ends, of which its parent will tell in a moment."""

    @classmethod
    def begin(cls, ending: Any) -> None:
        """Called in each process when it starts."""
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        os.environ[IN_POOL] = "1"
        cls.ending = ending
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, cls._stop)
        threading.Thread(target=_exit_with_parent, daemon=True).start()

    @classmethod
    def work(cls, work: Callable[[Any], Any], item: Any) -> Any:
        """The result of an item.

        Raises:
            Interrupted: the pool ends.
        """
        cls.is_working = True
        try:
            if cls.is_ending or cls.ending.is_set():
                raise Interrupted(signal.SIGTERM)
            return work(item)
        finally:
            cls.is_working = False

    @classmethod
    def _stop(cls, number: int, frame: FrameType | None) -> None:
        """Handle a signal: end the work; a process that waits for some ends with its pool, silently."""
        cls.is_ending = True
        if cls.is_working:
            raise Interrupted(number)


def _exit_with_parent() -> None:
    """End this worker if its parent was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
