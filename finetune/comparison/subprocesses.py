"""Run a stage of a comparison in a separate process."""

import contextlib
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence

from configs.errors import STOPPED, InputError, Interrupted
from configs.processes import GRACE_SECONDS
from configs.run_folder import RunFolder


def run_stage(command: str, folder: RunFolder) -> None:
    """Run a stage in a separate process, unless it is finished.

    Raises:
        InputError: the stage failed; it has printed its own message.
    """
    if folder.finished:
        print(f"finished: {folder.path}", flush=True)
        return
    print(f"$ {command}", flush=True)
    words = shlex.split(command)
    # This interpreter, not the `python` on the PATH.
    launcher = [sys.executable] if words[0] == "python" else [sys.executable, "-m", "accelerate.commands.launch"]
    status = run_process([*launcher, *words[1 if words[0] == "python" else 2 :]])
    if status == STOPPED:
        raise Interrupted(signal.SIGTERM)
    if status != 0 or not folder.finished:
        raise InputError(f"`{command}` exited with status {status}")


def run_process(arguments: Sequence[str]) -> int:
    """Run a command and return its exit status.

    An interrupt of this process terminates the command first and waits for it: training saves a checkpoint then.
    """
    child = subprocess.Popen(arguments)
    try:
        return child.wait()
    except KeyboardInterrupt:
        # Ctrl-C reaches the whole process group; a second signal would stop the command before it has saved.
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_SECONDS)
        raise
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()
