"""Clocks, peak memory, and what a measurement prints."""

import dataclasses
import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from configs.command_line import value_text
from configs.launch import STARTED_AGAIN

# What a run's meter tells (pretrain/meter.py, which would bring torch with it).
RATES = ("tokens_per_second", "model_gflops", "mfu", "data_wait_share")
# Steps that do not count: the first allocate memory and choose kernels.
WARM_STEPS = 5
SECONDS_BETWEEN_LOOKS = 0.05


def line(name: str, ours: float, peer: float | None, unit: str) -> None:
    """Print a measurement as one line of JSON; `peer` is None where there is nothing to compare with."""
    ratio = None if peer is None else round(ours / peer, 3)
    rounded = None if peer is None else round(peer, 3)
    print(json.dumps({"name": name, "ours": round(ours, 3), "peer": rounded, "ratio": ratio, "unit": unit}), flush=True)


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def in_turn(rounds: int, *works: Callable[[], object]) -> list[list[float]]:
    """The seconds of each of `works`, round after round, so that whatever else the machine does hits all of them."""
    found: list[list[float]] = [[] for _ in works]
    for number in range(rounds):
        for times, work in zip(found, works, strict=True):
            times.append(seconds(work))
        shown = ", ".join(f"{times[-1]:.1f} s" for times in found)
        print(f"round {number + 1} of {rounds}: {shown}", file=sys.stderr, flush=True)
    return found


def peak_megabytes(command: list[str]) -> float:
    """The largest resident memory of a command and its children together, in MB; shared pages count for each.

    Raises:
        subprocess.CalledProcessError: the command failed.
    """
    process = psutil.Popen(command)
    peak = 0
    stop = threading.Event()

    def look() -> None:
        nonlocal peak
        while not stop.wait(SECONDS_BETWEEN_LOOKS):
            peak = max(peak, _resident(process))

    watcher = threading.Thread(target=look)
    watcher.start()
    status = process.wait()
    stop.set()
    watcher.join()
    if status:
        raise subprocess.CalledProcessError(status, command)
    return peak / 1e6


def _resident(process: psutil.Process) -> int:
    total = 0
    try:
        for member in [process, *process.children(recursive=True)]:
            try:
                total += member.memory_info().rss
            except psutil.NoSuchProcess:
                continue
    except psutil.NoSuchProcess:
        pass
    return total


def alone() -> dict[str, str]:
    """The environment without what tunes the allocator: a command is to find what a user's shell has."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith("MALLOC_") and name != STARTED_AGAIN
    }


def metered(
    stage: str, overrides: Mapping[str, Any], file: str, launcher: Sequence[str] = (), **environment: str
) -> dict[str, float]:
    """Run a stage as the command a person would type, and read its meter: means over the steps after the first few.

    Args:
        stage: `pretrain` or `finetune`.
        overrides: keys that depart from the file; `training.log_every` is 1.
        file: the stage's YAML.
        launcher: what stands between `python` and `-m stage`.
        environment: variables to set.

    Raises:
        subprocess.CalledProcessError: the command failed; its output is shown.
    """
    flags = [part for key, value in overrides.items() for part in (f"--{key}", value_text(value))]
    command = [sys.executable, *launcher, "-m", stage, "--config", file, *flags]
    folder = Path(str(overrides["runs"])) / stage
    for old in folder.glob(f"{overrides['name']}-*"):
        shutil.rmtree(old)
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=alone() | environment)
    if ended.returncode:
        print(ended.stderr, file=sys.stderr)
        raise subprocess.CalledProcessError(ended.returncode, command)
    (made,) = folder.glob(f"{overrides['name']}-*")
    rows = [json.loads(text) for text in (made / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return measured(rows)


def measured(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Means over the rows of steps after the first few, weighted by their seconds.

    >>> steps = [{"step": n, "seconds": 2.0 * n, "tokens_per_second": 5.0} for n in range(1, WARM_STEPS + 3)]
    >>> measured([*steps, {"step": 9, "eval_loss": 1.0}])
    {'tokens_per_second': 5.0}
    """
    steps = [row for row in rows if "tokens_per_second" in row]
    seconds = [after["seconds"] - before["seconds"] for before, after in itertools.pairwise(steps)][WARM_STEPS - 1 :]
    names = [name for name in ("tokens_per_second", "model_gflops", "mfu", "data_wait_share") if name in steps[0]]
    return {
        name: sum(row[name] * weight for row, weight in zip(steps[WARM_STEPS:], seconds, strict=True)) / sum(seconds)
        for name in names
    }


def in_its_own_process(module: str, config: Any, **changes: Any) -> float:
    """The number that a benchmark's command prints last, run with this config but for `changes`.

    Raises:
        subprocess.CalledProcessError: the command failed; its output is shown.
    """
    given = {name: value for name, value in (dataclasses.asdict(config) | changes).items() if value is not None}
    flags = [f"--{name}={value_text(value)}" for name, value in given.items()]
    command = [sys.executable, "-m", module, *flags]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=alone())
    if ended.returncode:
        print(ended.stderr, file=sys.stderr)
        raise subprocess.CalledProcessError(ended.returncode, command)
    return json.loads(ended.stdout.splitlines()[-1])
