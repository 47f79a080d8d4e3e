"""How a training process is set up: devices, precision, fast paths, trackers."""

import logging
import os
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.tracking import get_available_trackers

from configs.command_line import suggestion
from configs.errors import InputError
from configs.launch import check_world_size
from configs.run_folder import RunFolder
from pretrain import speed
from pretrain.config import OptimizerConfig, TrainingConfig
from pretrain.meter import Arithmetic, Meter, matrix_rate
from pretrain.optimization import adamw

log = logging.getLogger(__name__)


def new_accelerator(
    trackers: str | list[str] | None, training: TrainingConfig, folder: RunFolder, config: dict[str, Any]
) -> Accelerator:
    """Accelerate's view of the devices, with the trackers started in the run folder.

    Raises:
        InputError: a tracker is unknown to accelerate or not installed, the precision is not to be had here, or another
            number of processes runs than was asked for.
    """
    speed.set_threads(training.threads)
    names = [trackers] if isinstance(trackers, str) else list(trackers or [])
    installed = [str(tracker) for tracker in get_available_trackers()]
    for name in names:
        if name not in installed:
            raise InputError(
                f"log_with: {name!r} is unknown to accelerate or not installed{suggestion(name, installed)}"
            )
    machine = speed.this_machine()
    accelerator = Accelerator(
        log_with=list(names) or None,
        project_dir=str(folder.path),
        mixed_precision=speed.precision(training.speed, machine, speed.launched_precision()),
        # Without it, accelerate takes several processes without a GPU for as many runs of one process each.
        cpu=machine.device == "cpu",
    )
    check_world_size(training.processes, os.environ, accelerator.num_processes)
    accelerator.init_trackers("bertlet", config=flat(config))
    return accelerator


def prepared(
    accelerator: Accelerator,
    model: torch.nn.Module,
    config: TrainingConfig,
    optimization: OptimizerConfig,
    tokens_a_step: int,
    tokens_an_epoch: int,
) -> dict[str, Any]:
    """The parts of a `Training` that make it fast: model and optimizer on their devices, chosen paths, and the meter.

    Args:
        accelerator: of `new_accelerator`.
        model: its weights as they start; fast paths are put into it.
        config, optimization: of the run.
        tokens_a_step, tokens_an_epoch: about so many, over all processes.
    """
    arithmetic = Arithmetic.of(model)
    machine = speed.this_machine()
    work = speed.work_of(model, arithmetic, config, tokens_a_step, tokens_an_epoch, accelerator.num_processes)
    paths = speed.choose(config.speed, machine, work)
    speed.apply(paths, model)
    rate = matrix_rate(machine.device, speed.PRECISIONS[paths.precision], torch.get_num_threads())
    rates = accelerator.reduce(torch.tensor(rate, dtype=torch.float32, device=accelerator.device), reduction="sum")
    log.info(
        "speed: %s; %d process(es) of %d thread(s); matrix products at %.0f GFLOP/s (switches: training.speed)",
        paths, accelerator.num_processes, torch.get_num_threads(), float(rates) / 1e9,
    )  # fmt: skip
    on_devices, optimizer = accelerator.prepare(model, adamw(model, optimization))
    return {"model": on_devices, "optimizer": optimizer, "meter": Meter(arithmetic, float(rates)), "paths": paths}


def flat(config: dict[str, Any]) -> dict[str, str | int | float | bool]:
    """Nested keys dotted, and whatever no tracker can show as text.

    >>> flat({"seed": 1, "model": {"size": "tiny", "layers": None}})
    {'seed': 1, 'model.size': 'tiny', 'model.layers': 'None'}
    """
    found: dict[str, str | int | float | bool] = {}
    for name, value in config.items():
        if isinstance(value, dict):
            found |= {f"{name}.{inner_name}": inner for inner_name, inner in flat(value).items()}
        else:
            found[name] = value if isinstance(value, str | int | float | bool) else str(value)
    return found


def describe(accelerator: Accelerator) -> dict[str, Any]:
    """The part of `environment.json` that only a running process knows."""
    return {
        "device": accelerator.device.type,
        "threads": torch.get_num_threads(),
        "world_size": accelerator.num_processes,
        "mixed_precision": accelerator.mixed_precision,
    }
