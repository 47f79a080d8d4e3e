"""Commands in processes of their own that need not import everything again: they are forked from one that has.

Where a test is about the start of a process, or about code that is not this project's, it starts one with `subprocess`.
"""

import argparse
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from contextlib import chdir
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import psutil

from configs.launch import RESTARTED
from tests.helpers.paths import ROOT

CONTEXT = multiprocessing.get_context("forkserver")
# Before the number of processes and what each of them runs; they talk over gloo.
TORCHRUN = ["torch.distributed.run", "--standalone", "--nproc_per_node"]
GLOO = {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
PRELOADED = ["finetune.run", "pretrain.run", "accelerate", "torch.distributed.run", "transformers.models.bert"]


class Command:
    """A command that runs; `stdout` and `stderr` are what it has printed so far."""

    def __init__(self, words: Sequence[str], **environment: str) -> None:
        """Start it.

        Args:
            words: what follows `python`: `-m`, a module and its arguments, or the same behind
                `-m torch.distributed.run --standalone --nproc_per_node N`.
            environment: variables beside those of this process.
        """
        self.words = list(words)
        self.folder = tempfile.TemporaryDirectory(prefix="forked-")
        surroundings = os.environ | {RESTARTED: "1"} | environment
        self.process: ForkServerProcess = CONTEXT.Process(
            target=_begin, args=(self.words, surroundings, Path(self.folder.name))
        )
        # The server imports what it finds from the folder in which it is started.
        with chdir(ROOT):
            CONTEXT.set_forkserver_preload(PRELOADED)
            self.process.start()

    def printed(self, name: str) -> str:
        """What it has printed to `stdout` or `stderr`."""
        file = Path(self.folder.name) / name
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    def wait(self, seconds: float = 240) -> subprocess.CompletedProcess[str]:
        """Its end; what it has started ends with it.

        Raises:
            subprocess.TimeoutExpired: it was not done in time, and was killed.
        """
        pid = self.process.pid
        assert pid is not None
        self.process.join(seconds)
        if late := self.process.is_alive():
            os.killpg(pid, signal.SIGKILL)
            self.process.join()
        output, errors = (self.printed(name) for name in ("stdout", "stderr"))
        self.folder.cleanup()
        if late:
            raise subprocess.TimeoutExpired(self.words, seconds, output, errors)
        status = self.process.exitcode
        assert status is not None
        return subprocess.CompletedProcess(self.words, status, output, errors)


def run(words: Sequence[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; see `Command`."""
    return Command(words, **environment).wait()


def is_alive(process: psutil.Process) -> bool:
    """Whether a process has not ended; one that nobody has waited for is a zombie."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _begin(words: list[str], environment: Mapping[str, str], folder: Path) -> None:
    """Become the command, in the checkout's root: its variables, output and arguments."""
    os.setsid()
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    for number, name in ((1, "stdout"), (2, "stderr")):
        with (folder / name).open("wb") as stream:
            os.dup2(stream.fileno(), number)
    # The server ignores it, and what it forks inherits that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _set_threads()
    assert words[0] == "-m", words
    if words[1] == TORCHRUN[0]:
        _as_command(_elastic, words[2:])
    else:
        _as_command(_as_main, words[1], words[2:])


def _set_threads() -> None:
    """OpenMP has read this variable already, when torch was imported."""
    import torch

    if threads := os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(int(threads))


def _as_command(call: Any, *arguments: Any) -> None:
    """Call, and leave as an interpreter does: a traceback on stderr, or the status that was asked for."""
    status = 0
    try:
        call(*arguments)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # `multiprocessing` takes the status of an exit that it catches itself.
    sys.exit(status)


def _as_main(module: str, arguments: list[str]) -> None:
    """Run a module as `python -m` does."""
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _elastic(words: list[str]) -> None:
    """`torch.distributed.run`, whose workers are forked, too."""
    from torch.distributed.launcher.api import elastic_launch
    from torch.distributed.run import config_from_args, get_args_parser

    arguments: argparse.Namespace = get_args_parser().parse_args(words)
    arguments.rdzv_backend, arguments.rdzv_endpoint, arguments.rdzv_id = "c10d", "localhost:0", str(os.getpid())
    config, _, _ = config_from_args(arguments)
    config.start_method = "fork"
    elastic_launch(config, _worker)(arguments.training_script, arguments.training_script_args)


def _worker(module: str, arguments: list[str]) -> None:
    _set_threads()
    _as_main(module, arguments)
