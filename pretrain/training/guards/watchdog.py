"""Training processes that watch each other: when one dies or hangs, all end, and say which one it was.

Without it, the others wait for it in a reduction until the process group's own time limit, which names nobody. The
processes of one machine share a small file in the run folder; across machines that time limit stays.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path

import numpy as np
import psutil
from accelerate import Accelerator

FILE = ".heartbeat"
INTERVAL = 0.25
# What a process that dies orderly may take to be gone.
GRACE = 1.0
PROCESS, ALIVE, MOVED, COUNT = range(4)


class Heartbeat:
    """A row a process: its number, when it last lived, when it last moved on, and how often. Clocks are monotonic."""

    def __init__(self, file: Path, rank: int, world_size: int, timeout: float) -> None:
        self.rows_W4 = np.memmap(file, np.float64, "r+", shape=(world_size, 4))
        self.rank, self.timeout = rank, timeout
        self.over = threading.Event()
        self.suspects: dict[int, float] = {}
        now = time.monotonic()
        self.rows_W4[rank] = (os.getpid(), now, now, 0)

    def beat(self) -> None:
        """Say that this process moves on."""
        self.rows_W4[self.rank, MOVED] = time.monotonic()
        self.rows_W4[self.rank, COUNT] += 1

    def leave(self) -> None:
        """Say that this process ends as it should."""
        self.over.set()
        self.rows_W4[self.rank, PROCESS] = 0

    def blamed(self) -> tuple[int, str] | None:
        """The process because of which the others wait, and what is wrong with it."""
        now, rows = time.monotonic(), np.array(self.rows_W4)
        for rank, row in enumerate(rows):
            if row[PROCESS] and rank != self.rank and _dead(int(row[PROCESS])):
                if now - self.suspects.setdefault(rank, now) >= GRACE:
                    return rank, "has died"
            elif row[PROCESS] and now - row[ALIVE] > self.timeout:
                return rank, f"has been stopped for {now - row[ALIVE]:.0f} s"
        here = rows[:, PROCESS] > 0
        if here.any() and (now - rows[here, MOVED]).max() > self.timeout:
            # Who waits for another has come further than the one that is waited for.
            behind = int(np.where(here, rows[:, COUNT], np.inf).argmin())
            return behind, f"has not moved on for {now - rows[behind, MOVED]:.0f} s (training.timeout)"
        return None

    def watch(self) -> None:
        """What a thread of every process does until the end."""
        while not self.over.wait(INTERVAL):
            self.rows_W4[self.rank, ALIVE] = time.monotonic()
            found = self.blamed()
            if found is not None:
                self.end(*found)

    def end(self, rank: int, reason: str) -> None:
        """End this process, and the one that is to blame."""
        process = int(self.rows_W4[rank, PROCESS])
        advice = "all end, the same command goes on from the last checkpoint"
        print(f"stopped: rank {rank} (process {process}) {reason}; {advice}", file=sys.stderr, flush=True)
        if rank != self.rank:
            # A stopped process takes no other signal.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        os._exit(1)


def _dead(process: int) -> bool:
    try:
        return psutil.Process(process).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


_current: Heartbeat | None = None


def beat() -> None:
    """Tell the others, if there are any, that this process moves on."""
    if _current is not None:
        _current.beat()


@contextlib.contextmanager
def watched(accelerator: Accelerator, folder: Path, timeout: float) -> Generator[None]:
    """Inside, the processes of this machine watch each other; nothing happens where there is but one."""
    global _current  # noqa: PLW0603
    alone = accelerator.num_processes == 1
    if alone or int(os.environ.get("LOCAL_WORLD_SIZE", "1")) != accelerator.num_processes:
        yield
        return
    file = folder / FILE
    if accelerator.is_main_process:
        file.write_bytes(bytes(8 * 4 * accelerator.num_processes))
    accelerator.wait_for_everyone()
    _current = Heartbeat(file, accelerator.process_index, accelerator.num_processes, timeout)
    accelerator.wait_for_everyone()
    thread = threading.Thread(target=_current.watch, daemon=True)
    thread.start()
    try:
        yield
        accelerator.wait_for_everyone()
    except RuntimeError:
        # If another process is the cause, this one is ended meanwhile, with a line that names it.
        time.sleep(2 * GRACE)
        raise
    finally:
        _current.leave()
        thread.join()
        _current = None
