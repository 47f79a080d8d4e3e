"""Timing, peak memory, runs in subprocesses, and the output format of benchmarks."""

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
from configs.launch import RESTARTED

# The rates in `metrics.jsonl`: RATES of pretrain/training/throughput.py, which would import torch.
RATES = ("tokens_per_second", "model_gflops", "mfu", "data_wait_share")
# Warm-up steps, not counted: they allocate memory and select kernels.
WARM_STEPS = 5
SAMPLING_INTERVAL = 0.05


def print_measurement(name: str, ours: float, peer: float | None, unit: str) -> None:
    """Print a measurement as a JSON line; `peer` is None if there is nothing to compare with."""
    ratio = None if peer is None else round(ours / peer, 3)
    rounded_peer = None if peer is None else round(peer, 3)
    print(
        json.dumps({"name": name, "ours": round(ours, 3), "peer": rounded_peer, "ratio": ratio, "unit": unit}),
        flush=True,
    )


def seconds(work: Callable[[], object]) -> float:
    """The duration of `work` in seconds."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def time_in_turn(rounds: int, *functions: Callable[[], object]) -> list[list[float]]:
    """The durations of `functions` in seconds, measured alternately, so that other load on the machine affects all."""
    durations: list[list[float]] = [[] for _ in functions]
    for number in range(rounds):
        for times, function in zip(durations, functions, strict=True):
            times.append(seconds(function))
        latest = ", ".join(f"{times[-1]:.1f} s" for times in durations)
        print(f"round {number + 1} of {rounds}: {latest}", file=sys.stderr, flush=True)
    return durations


def peak_megabytes(command: list[str]) -> float:
    """Peak resident memory of a command and its children, in MB; shared pages count once per process.

    Raises:
        subprocess.CalledProcessError: the command failed.
    """
    process = psutil.Popen(command)
    peak = 0
    stop = threading.Event()

    def sample() -> None:
        nonlocal peak
        while not stop.wait(SAMPLING_INTERVAL):
            peak = max(peak, _resident_bytes(process))

    sampler = threading.Thread(target=sample)
    sampler.start()
    status = process.wait()
    stop.set()
    sampler.join()
    if status:
        raise subprocess.CalledProcessError(status, command)
    return peak / 1e6


def _resident_bytes(process: psutil.Process) -> int:
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


def untuned_environment() -> dict[str, str]:
    """The environment without allocator settings, as in a user's shell."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_") and name != RESTARTED}


def measure_stage(
    stage: str, overrides: Mapping[str, Any], file: str, launcher: Sequence[str] = (), **environment: str
) -> dict[str, float]:
    """Run a stage as a user would, and return the mean of each rate in `metrics.jsonl` after the warm-up.

    Args:
        stage: `pretrain` or `finetune`.
        overrides: overrides of the file; `training.log_every` must be 1.
        file: the stage's YAML file.
        launcher: arguments between `python` and `-m stage`.
        environment: environment variables to set.

    Raises:
        subprocess.CalledProcessError: the command failed; its stderr is printed.
    """
    flags = [word for key, value in overrides.items() for word in (f"--{key}", value_text(value))]
    command = [sys.executable, *launcher, "-m", stage, "--config", file, *flags]
    folder = Path(str(overrides["runs"])) / stage
    for previous_run in folder.glob(f"{overrides['name']}-*"):
        shutil.rmtree(previous_run)
    process = subprocess.run(
        command, capture_output=True, text=True, check=False, env=untuned_environment() | environment
    )
    if process.returncode:
        print(process.stderr, file=sys.stderr)
        raise subprocess.CalledProcessError(process.returncode, command)
    (run,) = folder.glob(f"{overrides['name']}-*")
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return mean_rates(rows)


def mean_rates(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The mean of each rate over the steps after the warm-up, weighted by their duration.

    >>> steps = [{"step": n, "seconds": 2.0 * n, "tokens_per_second": 5.0} for n in range(1, WARM_STEPS + 3)]
    >>> mean_rates([*steps, {"step": 9, "eval_loss": 1.0}])
    {'tokens_per_second': 5.0}
    """
    steps = [row for row in rows if "tokens_per_second" in row]
    durations = [after["seconds"] - before["seconds"] for before, after in itertools.pairwise(steps)][WARM_STEPS - 1 :]
    rates = [name for name in RATES if name in steps[0]]
    return {
        name: sum(row[name] * weight for row, weight in zip(steps[WARM_STEPS:], durations, strict=True))
        / sum(durations)
        for name in rates
    }


def run_in_subprocess(module: str, config: Any, **overrides: Any) -> float:
    """Run a benchmark in a subprocess and return the number in its last line of output.

    Args:
        module: the benchmark's module.
        config: its config.
        overrides: keys to change in the config.

    Raises:
        subprocess.CalledProcessError: the command failed; its stderr is printed.
    """
    keys = {name: value for name, value in (dataclasses.asdict(config) | overrides).items() if value is not None}
    flags = [f"--{name}={value_text(value)}" for name, value in keys.items()]
    command = [sys.executable, "-m", module, *flags]
    process = subprocess.run(command, capture_output=True, text=True, check=False, env=untuned_environment())
    if process.returncode:
        print(process.stderr, file=sys.stderr)
        raise subprocess.CalledProcessError(process.returncode, command)
    return json.loads(process.stdout.splitlines()[-1])
