"""A stage of a comparison as a process of its own."""

import contextlib
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence

from configs.errors import STOPPED, InputError, Interrupted
from configs.processes import PATIENCE
from configs.run_folder import RunFolder


def run_stage(command: str, folder: RunFolder) -> None:
    """Run a stage in a process of its own, unless it is finished.

    Raises:
        InputError: it failed; its own message stands above.
    """
    if folder.finished:
        print(f"finished: {folder.path}", flush=True)
        return
    print(f"$ {command}", flush=True)
    words = shlex.split(command)
    # The interpreter that runs this command, whatever `python` is on the path.
    program = [sys.executable] if words[0] == "python" else [sys.executable, "-m", "accelerate.commands.launch"]
    status = ended_as([*program, *words[1 if words[0] == "python" else 2 :]])
    if status == STOPPED:
        raise Interrupted(signal.SIGTERM)
    if status != 0 or not folder.finished:
        raise InputError(f"`{command}` ended with status {status}")


def ended_as(words: Sequence[str]) -> int:
    """The status of a command; what ends this process ends that one first, which saves a checkpoint on a signal."""
    child = subprocess.Popen(words)
    try:
        return child.wait()
    except KeyboardInterrupt:
        # Ctrl-C has reached the whole group, and a second signal would leave without saving.
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(PATIENCE)
        raise
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()
