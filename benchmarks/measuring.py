"""Clocks, peak memory, and what a measurement prints."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import psutil

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
