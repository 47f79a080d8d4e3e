"""SIGINT and SIGTERM: training stops at the next safe point, after a step or during an evaluation.

The first signal requests a checkpoint and a stop; a second one ends the process immediately.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Generator
from types import FrameType

import torch
from accelerate import Accelerator

from configs.errors import Interrupted
from configs.processes import IN_POOL
from pretrain.training.guards import watchdog

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# A launcher, or the parent of a pool, forwards a signal that its whole process group has already received.
ECHO_SECONDS = 2.0


class StopRequest:
    """The signal that asked this process to stop, if any."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.since = 0.0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Signal handler."""
        now = time.monotonic()
        if self.number is None:
            self.number, self.since = number, now
            os.write(2, b"\nsaving a checkpoint, then ending; signal again to end immediately\n")
        elif not _may_hear_twice() or now - self.since > ECHO_SECONDS:
            os._exit(128 + number)


def _may_hear_twice() -> bool:
    """Whether the same signal may come twice: among the processes of a launcher or of a pool."""
    return "LOCAL_RANK" in os.environ or IN_POOL in os.environ


_request = StopRequest()


@contextlib.contextmanager
def handled() -> Generator[None]:
    """A context in which signals only request a stop at the next `safe_point`; previous handlers are restored after it.

    Only the main thread can handle signals; in other threads this does nothing.
    """
    _request.number = None
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, _request) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def safe_point(accelerator: Accelerator) -> None:
    """Stop here if requested; all processes call it between steps and between the batches of an evaluation.

    Raises:
        Interrupted: a signal has asked one of the processes to stop.
    """
    watchdog.beat()
    asked = _request.number is not None
    if accelerator.num_processes > 1:
        flag = torch.tensor(float(asked), device=accelerator.device)
        asked = bool(accelerator.reduce(flag, reduction="sum"))
    if asked:
        # If only another process received the signal, this one stops as if it had, too.
        raise Interrupted(_request.number or signal.SIGTERM)


def ignore_signals(number: int) -> None:
    """Make a data worker ignore signals to the process group; it ends with the training process."""
    for signal_number in SIGNALS:
        signal.signal(signal_number, signal.SIG_IGN)
