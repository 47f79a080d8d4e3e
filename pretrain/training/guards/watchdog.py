"""Training processes that monitor each other: when one dies or hangs, all end and report which one it was.

Otherwise the others would wait in a reduction until the timeout of the process group, which does not name the cause.
The processes of one machine share a small file in the run folder; across machines only that timeout applies.
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
# Seconds that a process may take to exit normally.
GRACE = 1.0
PROCESS, ALIVE, MOVED, COUNT = range(4)


class Heartbeat:
    """The shared file, one row per process: process id, time last alive, time of last progress, and progress count."""

    def __init__(self, file: Path, rank: int, world_size: int, timeout: float) -> None:
        self.rows_W4 = np.memmap(file, np.float64, "r+", shape=(world_size, 4))
        self.rank, self.timeout = rank, timeout
        self.over = threading.Event()
        self.suspects: dict[int, float] = {}
        now = time.monotonic()
        self.rows_W4[rank] = (os.getpid(), now, now, 0)

    def beat(self) -> None:
        """Record progress of this process."""
        self.rows_W4[self.rank, MOVED] = time.monotonic()
        self.rows_W4[self.rank, COUNT] += 1

    def leave(self) -> None:
        """Record that this process ends normally."""
        self.over.set()
        self.rows_W4[self.rank, PROCESS] = 0

    def blamed(self) -> tuple[int, str] | None:
        """The rank of the process that the others wait for, and the reason, or None."""
        now, rows = time.monotonic(), np.array(self.rows_W4)
        for rank, row in enumerate(rows):
            if row[PROCESS] and rank != self.rank and _dead(int(row[PROCESS])):
                if now - self.suspects.setdefault(rank, now) >= GRACE:
                    return rank, "has died"
            elif row[PROCESS] and now - row[ALIVE] > self.timeout:
                return rank, f"has been stopped for {now - row[ALIVE]:.0f} s"
        active = rows[:, PROCESS] > 0
        if active.any() and (now - rows[active, MOVED]).max() > self.timeout:
            # The process that the others wait for has the lowest count.
            behind = int(np.where(active, rows[:, COUNT], np.inf).argmin())
            return behind, f"has made no progress for {now - rows[behind, MOVED]:.0f} s (training.timeout)"
        return None

    def watch(self) -> None:
        """Body of the monitoring thread of each process."""
        while not self.over.wait(INTERVAL):
            self.rows_W4[self.rank, ALIVE] = time.monotonic()
            blamed = self.blamed()
            if blamed is not None:
                self.end(*blamed)

    def end(self, rank: int, reason: str) -> None:
        """End this process and the blamed one."""
        process = int(self.rows_W4[rank, PROCESS])
        advice = "all processes end; rerun the command to resume from the last checkpoint"
        print(f"stopped: rank {rank} (process {process}) {reason}; {advice}", file=sys.stderr, flush=True)
        if rank != self.rank:
            # A stopped process handles no other signal.
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
    """Record progress of this process, if processes are being monitored."""
    if _current is not None:
        _current.beat()


@contextlib.contextmanager
def watched(accelerator: Accelerator, folder: Path, timeout: float) -> Generator[None]:
    """A context in which the processes of this machine monitor each other; no effect with a single process."""
    global _current  # noqa: PLW0603
    single = accelerator.num_processes == 1
    if single or int(os.environ.get("LOCAL_WORLD_SIZE", "1")) != accelerator.num_processes:
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
        # If another process is the cause, the monitoring thread ends this one meanwhile and reports it.
        time.sleep(2 * GRACE)
        raise
    finally:
        _current.leave()
        thread.join()
        _current = None
