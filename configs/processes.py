"""Work for several processes of this machine."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from typing import TypeVar

from configs.errors import InputError

# Seconds that a step and a checkpoint may take.
PATIENCE = 15.0

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], processes: int
) -> Iterator[tuple[Item, Result]]:
    """Each item with what `work` makes of it, as they are done.

    An error, or the end of this process, ends all of them.

    Args:
        work: a function of a module, so that other processes can import it.
        items: what to work on; started in this order.
        processes: how many, at the most.

    Raises:
        InputError: `work` raised it, or a process was killed.
    """
    pool = ProcessPoolExecutor(
        min(processes, len(items)), mp_context=multiprocessing.get_context("spawn"), initializer=_begin
    )
    waiting = {pool.submit(work, item): item for item in items}
    try:
        for ended in as_completed(waiting):
            yield waiting[ended], ended.result()
    except BaseException as error:
        # Nothing more is to start, and what is under way ends now.
        pool.shutdown(wait=False, cancel_futures=True)
        _end(multiprocessing.active_children(), informed=isinstance(error, KeyboardInterrupt))
        if isinstance(error, BrokenProcessPool):
            raise InputError("a process was killed (out of memory?); what is finished is kept: run again") from None
        raise
    pool.shutdown()


def _end(children: Sequence[BaseProcess], informed: bool) -> None:
    """End processes; those that train are given the time to save, which is what their first signal asks for.

    Args:
        children: of this process.
        informed: whether a signal has reached them already, as Ctrl-C reaches a whole group.
    """
    multiprocessing.connection.wait([child.sentinel for child in children], PATIENCE if informed else 0)
    for child in children:
        if child.is_alive():
            child.terminate()
    for child in children:
        child.join(PATIENCE)


def _begin() -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    # Ctrl-C reaches the whole group: the children end without a word, the parent speaks.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent must not leave processes behind that nobody waits for."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
