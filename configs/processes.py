"""A pool of worker processes on this machine."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from typing import TypeVar

from configs.errors import InputError

# Enough for a training step and a checkpoint.
GRACE_SECONDS = 15.0

# Apple's libraries may not be used after a fork.
START_METHOD = "forkserver" if sys.platform == "linux" else "spawn"

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], processes: int, imports: Sequence[str] = ()
) -> Generator[tuple[Item, Result]]:
    """Yield each item with the result of `work`, in order of completion.

    An error in any process, or the end of this one, ends all of them.

    Args:
        work: a module-level function, so that other processes can import it.
        items: the arguments of `work`; started in this order.
        processes: the maximum number of processes.
        imports: the modules that `work` needs and that take long to import. On Linux, that is done once for all
            processes, which share their memory.

    Raises:
        InputError: raised by `work`, or a process was killed.
    """
    context = multiprocessing.get_context(START_METHOD)
    context.set_forkserver_preload(list(imports))
    pool = ProcessPoolExecutor(min(processes, len(items)), mp_context=context, initializer=_initialize_worker)
    futures = {pool.submit(work, item): item for item in items}
    try:
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BaseException as error:
        # Cancel the pending items and end the running ones.
        pool.shutdown(wait=False, cancel_futures=True)
        _terminate(multiprocessing.active_children(), signalled=isinstance(error, KeyboardInterrupt))
        if isinstance(error, BrokenProcessPool):
            raise InputError("a process was killed (out of memory?); finished work is kept: run again") from None
        raise
    pool.shutdown()


def _terminate(children: Sequence[BaseProcess], signalled: bool) -> None:
    """Terminate processes; training saves a checkpoint on its first signal and needs time for that.

    Args:
        children: the processes.
        signalled: they have received a signal already; Ctrl-C reaches the whole process group.
    """
    multiprocessing.connection.wait([child.sentinel for child in children], GRACE_SECONDS if signalled else 0)
    for child in children:
        if child.is_alive():
            child.terminate()
    for child in children:
        child.join(GRACE_SECONDS)


def _initialize_worker() -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    # Ctrl-C reaches the whole process group: the workers end silently, the parent prints the message.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    """End this worker if its parent was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
