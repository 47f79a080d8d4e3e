"""Setup of a training process: devices, precision, fast paths, trackers."""

import dataclasses
import json
import logging
import os
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from accelerate.tracking import get_available_trackers
from accelerate.utils import DistributedType, GradientAccumulationPlugin

from configs.command_line import dotted
from configs.errors import InputError
from configs.key_check import suggestion
from configs.launch import check_world_size, launched_precision
from configs.run_folder import RunFolder
from pretrain.models.layers import layer_numbers
from pretrain.models.pretraining_models import MaskedLanguageModel
from pretrain.training import checkpoints, fast_paths
from pretrain.training.config import OptimizerConfig, TrainingConfig
from pretrain.training.fast_paths import FastPaths
from pretrain.training.guards.collective import decided_by_main
from pretrain.training.optimizer import create_optimizer
from pretrain.training.products import onednn_is_exact
from pretrain.training.throughput import FlopCount, ThroughputMeter, matmul_rate

log = logging.getLogger(__name__)


def new_accelerator(
    trackers: str | list[str] | None, training: TrainingConfig, folder: RunFolder, config: dict[str, Any]
) -> Accelerator:
    """A new `Accelerator`, with its trackers started in the run folder.

    Raises:
        InputError: a tracker is unknown to accelerate or not installed, the hardware does not support the precision, or
            the number of processes differs from `training.processes`.
    """
    fast_paths.set_threads(training.threads)
    names = [trackers] if isinstance(trackers, str) else list(trackers or [])
    installed = [str(tracker) for tracker in get_available_trackers()]
    for name in names:
        if name not in installed:
            raise InputError(
                f"log_with: {name!r} is unknown to accelerate or not installed{suggestion(name, installed)}"
            )
    hardware = fast_paths.this_hardware()
    accelerator = Accelerator(
        log_with=list(names) or None,
        project_dir=str(folder.path),
        mixed_precision=fast_paths.precision(training.speed, hardware, launched_precision()),
        # Without this, accelerate treats several processes without a GPU as separate runs of one process each.
        cpu=hardware.device == "cpu",
        # The engine weights micro-batches itself; ACCELERATE_GRADIENT_ACCUMULATION_STEPS would divide gradients again.
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
    )
    check_world_size(training.processes, os.environ, accelerator.num_processes)
    accelerator.init_trackers("bertlet", config=flat(config))
    return accelerator


class Prepared(NamedTuple):
    """The parts of a `Training` that depend on the hardware."""

    model: torch.nn.Module
    optimizer: Any
    meter: ThroughputMeter
    fast_paths: FastPaths


def prepare_for_training(
    accelerator: Accelerator,
    model: torch.nn.Module,
    config: TrainingConfig,
    optimizer_config: OptimizerConfig,
    tokens_per_step: int,
    tokens_per_epoch: int,
    folder: RunFolder,
) -> Prepared:
    """Model and optimizer on their devices, the chosen fast paths, and the throughput meter.

    Args:
        accelerator: from `new_accelerator`.
        model: with its initial weights; fast paths are installed in place.
        config, optimizer_config: of the run.
        tokens_per_step, tokens_per_epoch: approximately, over all processes.
        folder: of the run, which may be resumed.
    """
    flops = FlopCount.of(model)
    hardware = fast_paths.this_hardware()
    workload = fast_paths.workload_of(
        model, flops, config, tokens_per_step, tokens_per_epoch, accelerator.num_processes
    )
    paths = fast_paths.choose(config.speed, hardware, workload)
    begun_with = decided_by_main(accelerator, lambda: saved_products(folder))
    if config.speed.products == "auto" and (begun_with != "onednn" or onednn_is_exact()):
        # By timing, the choice might be another one at another hour, and the run could not be resumed.
        paths = dataclasses.replace(paths, products=begun_with or paths.products)
    paths = dataclasses.replace(paths, products=agreed_products(accelerator, paths.products))
    fast_paths.apply(paths, model)
    rate = matmul_rate(hardware.device, fast_paths.PRECISIONS[paths.precision], torch.get_num_threads())
    rates = accelerator.reduce(torch.tensor(rate, dtype=torch.float32, device=accelerator.device), reduction="sum")
    log.info(
        "speed: %s; %d process(es) of %d thread(s); matrix products at %.0f GFLOP/s (switches: training.speed)",
        paths, accelerator.num_processes, torch.get_num_threads(), float(rates) / 1e9,
    )  # fmt: skip
    if accelerator.distributed_type == DistributedType.FSDP and optimizer_config.name == "muon":
        raise InputError(
            "optimizer.name: muon makes whole matrices orthogonal, and FSDP shards them; use adamw, or replicate the "
            "model (DDP)"
        )
    if accelerator.distributed_type == DistributedType.FSDP:
        shard_by_layers(accelerator, model)
    prepared, optimizer = accelerator.prepare(model, create_optimizer(model, optimizer_config))
    if paths.fast_layers and isinstance(model, MaskedLanguageModel):
        # accelerate converts outputs to fp32: a copy of the scores of the whole vocabulary, and of their gradient. The
        # loss converts a few rows at a time, and the engine has an autocast of its own.
        accelerator.unwrap_model(prepared, keep_fp32_wrapper=False)
    return Prepared(prepared, optimizer, ThroughputMeter(flops, float(rates)), paths)


def shard_by_layers(accelerator: Accelerator, model: torch.nn.Module) -> None:
    """Let FSDP gather one layer after the other, whatever the class of the model's layers, unless classes are given."""
    plugin: Any = accelerator.state.fsdp_plugin
    if plugin.transformer_cls_names_to_wrap is None:
        classes = {type(model.get_submodule(name)).__name__ for name in layer_numbers(model)}
        plugin.transformer_cls_names_to_wrap = sorted(classes)


def saved_products(folder: RunFolder) -> str | None:
    """The library that computed the fp32 products of a run until its newest checkpoint; None if there is none."""
    for checkpoint in reversed(checkpoints.list_checkpoints(folder.checkpoints)):
        try:
            state = json.loads((checkpoint / checkpoints.STATE).read_text(encoding="utf-8"))
            return state.get("fingerprints", {}).get("products")
        except (OSError, ValueError, AttributeError, RecursionError):
            # A damaged one, of which more is told when it is to be loaded.
            continue
    return None


def agreed_products(accelerator: Accelerator, library: str) -> str:
    """`onednn` if every process chose it: replicas that round differently would drift apart."""
    votes = torch.tensor(float(library == "onednn"), device=accelerator.device)
    return "onednn" if float(accelerator.reduce(votes, reduction="sum")) == accelerator.num_processes else "torch"


def flat(config: dict[str, Any]) -> dict[str, str | int | float | bool]:
    """A config with dotted keys, and as text where trackers do not support a type.

    >>> flat({"seed": 1, "model": {"size": "tiny", "layers": None}})
    {'seed': 1, 'model.size': 'tiny', 'model.layers': 'None'}
    """
    return {
        name: value if isinstance(value, str | int | float | bool) else str(value)
        for name, value in dotted(config).items()
    }


def describe(accelerator: Accelerator) -> dict[str, Any]:
    """The fields of `environment.json` that depend on the running process."""
    return {
        "device": accelerator.device.type,
        "threads": torch.get_num_threads(),
        "world_size": accelerator.num_processes,
        "mixed_precision": accelerator.mixed_precision,
    }
