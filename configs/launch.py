"""How a process starts: its memory allocator, its threads, and whether as many processes run as were asked for.

Nothing here imports torch: the allocator is settled before anything heavy is loaded.
"""

import logging
import os
import platform
import sys
from collections.abc import Mapping

import psutil

from configs.errors import InputError

log = logging.getLogger(__name__)

# glibc hands large buffers back to the kernel after every step, and fetching them again costs more than the step's
# mathematics saves. It reads these once, when a process starts.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 32),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
    "MALLOC_TOP_PAD_": str(1 << 28),
}
# tcmalloc and jemalloc keep large buffers themselves.
OTHER_ALLOCATORS = ("tcmalloc", "jemalloc", "mimalloc")
STARTED_AGAIN = "BERTLET_STARTED_AGAIN"


def allocator_settings(environment: Mapping[str, str], system: str, libc: str) -> dict[str, str]:
    """What a process should be started with that it was not; empty where nothing is to be gained.

    >>> list(allocator_settings({}, "Linux", "glibc"))
    ['MALLOC_MMAP_THRESHOLD_', 'MALLOC_TRIM_THRESHOLD_', 'MALLOC_TOP_PAD_']
    >>> allocator_settings({"MALLOC_TOP_PAD_": "0"}, "Linux", "glibc"), allocator_settings({}, "Darwin", "")
    ({}, {})
    >>> allocator_settings({"LD_PRELOAD": "/usr/lib/libtcmalloc_minimal.so.4"}, "Linux", "glibc")
    {}
    """
    preloaded = environment.get("LD_PRELOAD", "")
    chosen = any(name.startswith("MALLOC_") for name in environment) or STARTED_AGAIN in environment
    if system != "Linux" or libc != "glibc" or chosen or any(name in preloaded for name in OTHER_ALLOCATORS):
        return {}
    return dict(ALLOCATOR)


def tune_allocator(wanted: bool) -> None:
    """Start this very command once more with glibc's allocator told to keep its memory, and say so in a line."""
    settings = allocator_settings(os.environ, platform.system(), platform.libc_ver()[0])
    if not wanted or not settings:
        return
    shown = " ".join(f"{name}={value}" for name, value in settings.items())
    if os.environ.get("LOCAL_RANK", "0") == "0":
        log.info("allocator: started again with %s (off: --training.speed.allocator false)", shown)
    sys.stdout.flush()
    sys.stderr.flush()
    environment = {**os.environ, **settings, STARTED_AGAIN: "1"}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def default_threads(environment: Mapping[str, str], cores: int) -> int | None:
    """CPU threads of a process where no number is given; None leaves the choice to torch.

    One for every physical core, shared out among the processes of this machine. accelerate and torchrun set
    OMP_NUM_THREADS to 1 where nobody asked them to, so under them it does not count.

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
    """Cores that this process may use, each counted once however many threads it runs."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, psutil.cpu_count(logical=False) or allowed))


def check_world_size(asked: int | None, environment: Mapping[str, str], running: int) -> None:
    """Refuse to train with another number of processes than was asked for.

    `accelerate launch --num_processes 2` without a multi-process config starts a single one and says nothing; all that
    shows is that it named a place to meet. And processes that did not find each other would each train alone.

    Args:
        asked: `training.processes`.
        environment: what the launcher set.
        running: how many processes found each other.

    Raises:
        InputError: more or fewer than asked for.
    """
    advice = "`accelerate launch --config_file configs/accelerate/cpu-processes.yaml --num_processes N …`"
    if asked is not None and asked != running:
        raise InputError(f"training.processes: {asked} asked for, {running} running; start them with {advice}")
    started = int(environment.get("WORLD_SIZE", "1"))
    if started != running:
        raise InputError(f"WORLD_SIZE: {started} processes were started, but {running} found each other")
    launched_alone = "ACCELERATE_MIXED_PRECISION" in environment and "WORLD_SIZE" not in environment
    if launched_alone and "MASTER_PORT" in environment:
        raise InputError(
            "accelerate launch: several processes were asked for, but it started one; start them with "
            f"{advice}, or give it `--num_processes 1`"
        )
