"""SIGINT and SIGTERM: training ends at its next safe point, after the step or inside an evaluation.

The first signal asks for a checkpoint and the end; a second one ends the process at once.
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
from pretrain.training.guards import watchdog

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# A launcher hands on a signal that its whole group has received already.
ECHO_SECONDS = 2.0


class StopRequest:
    """Whether a signal has asked this process to stop, and which."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.since = 0.0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """The handler of the signals."""
        now = time.monotonic()
        if self.number is None:
            self.number, self.since = number, now
            os.write(2, b"\nsaving a checkpoint, then ending; once more to end at once\n")
        elif "LOCAL_RANK" not in os.environ or now - self.since > ECHO_SECONDS:
            os._exit(128 + number)


_request = StopRequest()


@contextlib.contextmanager
def handled() -> Generator[None]:
    """Inside, a signal is a request to stop that `safe_point` answers; the former handlers come back afterwards.

    Only the main thread can hear signals; in another one nothing changes.
    """
    _request.number = None
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _request) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def safe_point(accelerator: Accelerator) -> None:
    """To be called by all processes alike where nothing would be lost: between steps, between batches of an evaluation.

    Raises:
        Interrupted: a signal has asked one of the processes to end.
    """
    watchdog.beat()
    asked = _request.number is not None
    if accelerator.num_processes > 1:
        flag = torch.tensor(float(asked), device=accelerator.device)
        asked = bool(accelerator.reduce(flag, reduction="sum"))
    if asked:
        # Where another process was asked, this one ends as if it had been.
        raise Interrupted(_request.number or signal.SIGTERM)


def ignore_signals(number: int) -> None:
    """Of a process that prepares batches: it ends when the training process does, not by a signal to the group."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
