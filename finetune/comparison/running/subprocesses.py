"""Run a stage of a comparison in a separate process."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from configs.errors import STOPPED, USER_ERROR, InputError, Interrupted, RunError
from configs.processes import GRACE_SECONDS
from configs.run_folder import RunFolder

POLL_SECONDS = 0.05
# As long as torch's launcher gives the processes that it has started.
STAGE_SECONDS = 30.0 + GRACE_SECONDS


def run_stage(command: str, folder: RunFolder) -> None:
    """Run a stage in a separate process, unless it is finished.

    Raises:
        InputError: the stage has a user error; it has printed its own message.
        RunError: it failed in another way, such as by a full disk.
    """
    if folder.finished:
        print(f"finished: {folder.path}", flush=True)
        return
    print(f"$ {command}", flush=True)
    status = run_process(arguments_of(command))
    if status == STOPPED:
        raise Interrupted(signal.SIGTERM)
    if status != 0 or not folder.finished:
        raise _failure(status)(f"`{command}` exited with status {status}")


def arguments_of(command: str) -> list[str]:
    """The words of a stage's command, for this interpreter, not the `python` on the PATH.

    >>> arguments_of("accelerate launch --cpu -m pretrain")[1:]
    ['-m', 'accelerate.commands.launch', '--cpu', '-m', 'pretrain']
    """
    words = shlex.split(command)
    if words[0] == "python":
        return [sys.executable, *words[1:]]
    return [sys.executable, "-m", "accelerate.commands.launch", *words[2:]]


def run_quietly(command: str) -> None:
    """Run a stage in a separate process; of its output, only the last line of a failure is shown.

    Raises:
        InputError: it has a user error.
        RunError: it failed in another way.
    """
    done = subprocess.run(arguments_of(command), capture_output=True, text=True, check=False)
    if done.returncode:
        message = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise _failure(done.returncode)(f"`{command}` exited with status {done.returncode}: {message}")


def _failure(status: int) -> type[Exception]:
    """What a command has raised that ended with this status."""
    return InputError if status == USER_ERROR else RunError


def run_process(arguments: Sequence[str]) -> int:
    """Run a command and return its exit status.

    An interrupt of this process terminates the command first, with all that it started (a launcher's processes), and
    waits for it: training saves a checkpoint then.
    """
    # A group of its own: Ctrl-C reaches it through this process alone, so once.
    child = subprocess.Popen(arguments, start_new_session=True)
    try:
        return child.wait()
    except BaseException:
        _end_group(child)
        raise


def _end_group(child: "subprocess.Popen[bytes]") -> None:
    """Terminate a command and its group; kill what is left of it after `STAGE_SECONDS`, or when asked again.

    accelerate's launcher of one process ends at once, and the training that it started when it has saved.
    """
    until = time.monotonic() + STAGE_SECONDS
    with contextlib.suppress(ProcessLookupError):
        try:
            os.killpg(child.pid, signal.SIGTERM)
            while time.monotonic() < until:
                child.poll()
                # Raises when none is left.
                os.killpg(child.pid, 0)
                time.sleep(POLL_SECONDS)
        finally:
            os.killpg(child.pid, signal.SIGKILL)
    child.wait()
