"""Work for several processes of this machine."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from configs.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(
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
        for child in multiprocessing.active_children():
            child.terminate()
        if isinstance(error, BrokenProcessPool):
            raise InputError("a process was killed (out of memory?); what is finished is kept: run again") from None
        raise
    pool.shutdown()


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
