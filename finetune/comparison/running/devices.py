"""On which devices the runs of a comparison go, and how many at a time."""

import multiprocessing
import os
from collections.abc import Sequence

from configs.launch import physical_cores
from finetune.comparison.config import CompareConfig
from finetune.config import FinetuneConfig


def gpus() -> list[str]:
    """The CUDA identifiers of the GPUs that this process may use."""
    import torch

    if os.environ.get("ACCELERATE_USE_CPU", "false").lower() in ("1", "true"):
        return []
    count = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))
    return visible.split(",")[:count]


def gpu_of(process: str, devices: Sequence[str]) -> str:
    """The GPU for a worker process, by the number in its `multiprocessing` name.

    >>> [gpu_of(f"ForkServerProcess-{number}", ["2", "5"]) for number in (1, 2, 3)]
    ['2', '5', '2']
    """
    return devices[(int(process.rsplit("-", 1)[-1]) - 1) % len(devices)]


def take_gpu(devices: Sequence[str]) -> None:
    """Let this worker process use one of the GPUs; none if there are none."""
    if devices:
        # CUDA reads this variable once, when it is first used.
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu_of(multiprocessing.current_process().name, devices)


def runs_at_a_time(config: CompareConfig, run: FinetuneConfig) -> int:
    """The number of parallel runs: one per GPU or, without GPUs, physical cores divided by the threads of a run.

    Args:
        config: of the comparison; its `processes` decides if it is set.
        run: a run of it.
    """
    at_a_time = len(gpus()) or physical_cores() // (run.training.threads or physical_cores())
    return config.processes or max(1, at_a_time)
