"""Process start: memory allocator, CPU threads, how they wait, and number of processes.

Nothing here imports torch: the allocator is set before anything heavy is loaded.
"""

import ctypes
import gc
import logging
import os
import platform
import sys
from collections.abc import Mapping

import psutil

from configs.errors import InputError

log = logging.getLogger(__name__)

# By default, glibc returns large buffers to the kernel after every step, and allocating them again is slow. glibc reads
# these variables only when a process starts.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 32),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
    "MALLOC_TOP_PAD_": str(1 << 28),
}
# Giving memory back and taking it again costs 2 % of twenty steps; at half more than these need, it is rarely done.
MOST_KEPT = 1.5
# These keep large buffers anyway.
OTHER_ALLOCATORS = ("tcmalloc", "jemalloc", "mimalloc")
RESTARTED = "BERTLET_STARTED_AGAIN"
# How OpenMP's threads wait for each other; its runtimes read these when torch is loaded.
WAIT_POLICY = "OMP_WAIT_POLICY"
OTHER_WAIT_POLICIES = ("GOMP_SPINCOUNT", "KMP_BLOCKTIME")
# Seconds in which other work is looked for, and how much of a processor it may take unheeded.
SECONDS_OF_LOOKING = 0.3
UNHEEDED = 0.25


def launched_precision() -> str:
    """The precision of `accelerate launch --mixed_precision`, or `no`."""
    return os.environ.get("ACCELERATE_MIXED_PRECISION", "no")


def launched_rank() -> int:
    """The number of this process among those that a launcher started; 0 for one that was started alone."""
    return int(os.environ.get("RANK", "0"))


def digested_precision(configured: str) -> list[str]:
    """The launched precision, for digests; empty for fp32 or if the config decides.

    Args:
        configured: `training.speed.precision`.
    """
    launched = launched_precision()
    return [launched] if configured == "auto" and launched != "no" else []


def allocator_settings(environment: Mapping[str, str], system: str, libc: str) -> dict[str, str]:
    """The environment variables to restart the process with; empty if a restart would not help.

    >>> list(allocator_settings({}, "Linux", "glibc"))
    ['MALLOC_MMAP_THRESHOLD_', 'MALLOC_TRIM_THRESHOLD_', 'MALLOC_TOP_PAD_']
    >>> allocator_settings({"MALLOC_TOP_PAD_": "0"}, "Linux", "glibc"), allocator_settings({}, "Darwin", "")
    ({}, {})
    >>> allocator_settings({"LD_PRELOAD": "/usr/lib/libtcmalloc_minimal.so.4"}, "Linux", "glibc")
    {}
    """
    preloaded = environment.get("LD_PRELOAD", "")
    chosen = any(name.startswith("MALLOC_") for name in environment) or RESTARTED in environment
    if system != "Linux" or libc != "glibc" or chosen or any(name in preloaded for name in OTHER_ALLOCATORS):
        return {}
    return dict(ALLOCATOR)


def tune_allocator(enabled: bool, switch: str = "--training.speed.allocator false") -> None:
    """Restart this command with a glibc allocator that keeps its memory, and log one line.

    Args:
        enabled: whether to.
        switch: the flag with which the command does without.
    """
    settings = allocator_settings(os.environ, platform.system(), platform.libc_ver()[0])
    if not enabled or not settings:
        return
    assignments = " ".join(f"{name}={value}" for name, value in settings.items())
    if os.environ.get("LOCAL_RANK", "0") == "0":
        log.info("allocator: restarted with %s (disable: %s)", assignments, switch)
    sys.stdout.flush()
    sys.stderr.flush()
    environment = {**os.environ, **settings, RESTARTED: "1"}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def release_memory() -> None:
    """Give the memory that glibc keeps (`ALLOCATOR`) back to the system, between the runs of a process."""
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


class KeptMemory:
    """Bounds what a long run holds: memory that glibc keeps falls into pieces, so that it keeps ever more."""

    def __init__(self) -> None:
        self._first: int | None = None

    def bound(self) -> None:
        """Give back what is kept if the process holds half more than when this was first called.

        Where more than that is in use, so that it cannot be given back, half more than it from then on.
        """
        held = held_memory()
        if self._first is None:
            self._first = held
        elif held > MOST_KEPT * self._first:
            release_memory()
            self._first = max(self._first, held_memory())


def held_memory() -> int:
    """The bytes of memory of this process, without pages of files that it reads, such as a token store."""
    memory = psutil.Process().memory_info()
    # macOS does not tell those apart.
    return memory.rss - getattr(memory, "shared", 0)


def waiting_settings(
    waiting: str, threads: int, environment: Mapping[str, str], processors: int, busy: float
) -> dict[str, str]:
    """The environment variables for threads that sleep while they wait for each other; empty to leave it to OpenMP.

    A thread that waits spins, which is the fastest where each has a processor of its own. Where other work has it for
    a while, the others spin until it is back, after each of thousands of operations a second.

    Args:
        waiting: `training.speed.waiting`.
        threads: of this process.
        environment: the environment variables, in which a choice of the user's stands.
        processors: that this process may use.
        busy: how many of them are at other work, such as 0.9.

    >>> waiting_settings("auto", 2, {}, 2, busy=0.9), waiting_settings("auto", 2, {}, 4, busy=0.9)
    ({'OMP_WAIT_POLICY': 'PASSIVE'}, {})
    >>> waiting_settings("auto", 2, {"OMP_WAIT_POLICY": "ACTIVE"}, 2, busy=0.9)
    {}
    """
    chosen = any(name in environment for name in (WAIT_POLICY, *OTHER_WAIT_POLICIES))
    crowded = threads + busy > processors + UNHEEDED
    if chosen or threads < 2 or waiting == "torch" or (waiting == "auto" and not crowded):
        return {}
    return {WAIT_POLICY: "PASSIVE"}


def tune_waiting(waiting: str, threads: int | None) -> None:
    """Have this process's threads sleep while they wait for each other if other work takes their processors.

    It is to be called before torch is loaded. Looking takes `SECONDS_OF_LOOKING`, and is left out where nothing hangs
    on it. The processes of a launcher would take each other for other work: of these, none looks.

    Args:
        waiting: `training.speed.waiting`.
        threads: `training.threads`.
    """
    given = os.environ.get("OMP_NUM_THREADS", "")
    threads = threads or default_threads(os.environ, physical_cores()) or (int(given) if given.isdecimal() else 2)
    alone = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) == 1
    allowed, busy = allowed_processors(), 0.0
    if waiting == "auto" and alone and waiting_settings("sleep", threads, os.environ, len(allowed), busy):
        shares = psutil.cpu_percent(SECONDS_OF_LOOKING, percpu=True)
        busy = sum(shares[processor] for processor in allowed if processor < len(shares)) / 100
    settings = waiting_settings(waiting, threads, os.environ, len(allowed), busy)
    os.environ.update(settings)
    if settings and waiting == "auto":
        number = len(allowed)
        reason = f"there are {threads} for {number}" if threads > number else f"other work has {busy:.1f} of {number}"
        log.info(
            "threads: they sleep while they wait for each other, as %s processors (disable: "
            "--training.speed.waiting torch)",
            reason,
        )


def default_threads(environment: Mapping[str, str], cores: int) -> int | None:
    """Default number of CPU threads per process; None leaves the choice to torch.

    The physical cores, divided by the number of processes on this machine. OMP_NUM_THREADS takes precedence, except
    under accelerate and torchrun, which set it to 1 by default.

    >>> default_threads({}, 8), default_threads({"OMP_NUM_THREADS": "3"}, 8)
    (8, None)
    >>> default_threads({"OMP_NUM_THREADS": "1", "ACCELERATE_MIXED_PRECISION": "no"}, 8)
    8
    >>> default_threads({"OMP_NUM_THREADS": "1", "LOCAL_WORLD_SIZE": "4"}, 8)
    2
    """
    launched = "ACCELERATE_MIXED_PRECISION" in environment or "LOCAL_WORLD_SIZE" in environment
    if "OMP_NUM_THREADS" in environment and not launched:
        return None
    return max(1, cores // int(environment.get("LOCAL_WORLD_SIZE", "1")))


def physical_cores() -> int:
    """The number of physical cores that this process may use."""
    allowed = len(allowed_processors())
    return max(1, min(allowed, psutil.cpu_count(logical=False) or allowed))


def allowed_processors() -> list[int]:
    """The numbers of the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def check_world_size(requested: int | None, environment: Mapping[str, str], running: int) -> None:
    """Check that the number of processes is the requested one.

    `accelerate launch --num_processes 2` without a multi-process config silently starts one process; the only sign is
    that MASTER_PORT is set. Processes that did not connect would each train alone.

    Args:
        requested: `training.processes`.
        environment: the environment variables set by the launcher.
        running: the number of connected processes.

    Raises:
        InputError: more or fewer processes than requested.
    """
    command = "`accelerate launch --config_file configs/accelerate/cpu-processes.yaml --num_processes N …`"
    if requested is not None and requested != running:
        raise InputError(f"training.processes: {requested} requested, {running} running; start them with {command}")
    started = int(environment.get("WORLD_SIZE", "1"))
    if started != running:
        raise InputError(f"WORLD_SIZE: {started} processes were started, but {running} are connected")
    launched_alone = "ACCELERATE_MIXED_PRECISION" in environment and "WORLD_SIZE" not in environment
    if launched_alone and "MASTER_PORT" in environment:
        raise InputError(
            "accelerate launch: several processes were requested, but it started one; start them with "
            f"{command}, or pass `--num_processes 1`"
        )
