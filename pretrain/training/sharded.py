"""Gathering and loading weights that are sharded over several devices (FSDP2).

Every process has to call these functions, because shards are exchanged; for an unsharded model they only read and
copy. Checkpoints and `model/` are therefore the same however a run is sharded.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import PreTrainedModel


def gathered(tensor: torch.Tensor) -> torch.Tensor:
    """The full tensor, gathered from its shards."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def like(full: torch.Tensor, template: torch.Tensor) -> torch.Tensor:
    """A full tensor sharded as `template` is, the inverse of `gathered`; every process passes the full tensor."""
    if not isinstance(template, DTensor) or full.shape != template.shape:
        return full
    return distribute_tensor(full.to(template.device), template.device_mesh, template.placements)


def local(tensor: torch.Tensor) -> torch.Tensor:
    """What this process has of a tensor: its shard, or all of one that is not sharded."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensors: Mapping[str, torch.Tensor], keep: bool) -> dict[str, torch.Tensor]:
    """The full tensors in the processes that keep them, nothing in the others, which have to call it, too.

    Sharded tensors are gathered one after the other and kept in the CPU's memory: a device whose share of the weights
    just fits never holds more than one tensor in full.
    """
    kept = {}
    for name, tensor in tensors.items():
        full = gathered(tensor.detach())
        if keep:
            kept[name] = (full.cpu() if isinstance(tensor, DTensor) else full).contiguous()
    return kept


def weights_of(model: torch.nn.Module, keep: bool = True) -> dict[str, torch.Tensor]:
    """The full weights and persistent buffers of a model by name, as `whole` gives them."""
    return whole(persistent(model), keep)


def persistent(model: torch.nn.Module, every_name: bool = False) -> dict[str, torch.Tensor]:
    """Parameters and persistent buffers, sharded or not; tied ones under every name, or only the first."""
    saved = model.state_dict().keys()
    parameters: dict[str, torch.Tensor] = dict(model.named_parameters(remove_duplicate=not every_name))
    buffers = model.named_buffers(remove_duplicate=not every_name)
    return parameters | {name: buffer for name, buffer in buffers if name in saved}


def load_weights(model: torch.nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Copy weights of `weights_of` into a model, in place; tied weights may have any of their names.

    Raises:
        ValueError: a weight is missing, unknown, or has another shape.
    """
    targets = persistent(model, every_name=True)
    if unknown := sorted(weights.keys() - targets.keys()):
        raise ValueError(f"the model has no weight {unknown[0]!r}")
    loaded = set()
    for name, full in weights.items():
        target = targets[name]
        if target.shape != full.shape:
            raise ValueError(f"{name}: the stored shape is {list(full.shape)}, the model's {list(target.shape)}")
        with torch.no_grad():
            target.copy_(like(full, target))
        loaded.add(id(target))
    if missing := [name for name, target in targets.items() if id(target) not in loaded]:
        raise ValueError(f"the weight {missing[0]!r} is missing")


def whole_carry(accelerator: Accelerator, carry: dict[str, torch.Tensor] | None) -> dict[str, torch.Tensor] | None:
    """The carried state of all streams, [streams, ...]; each of W processes holds every W-th."""
    if carry is None or accelerator.num_processes == 1:
        return carry
    own_rows, gathered_carry = slice(accelerator.process_index, None, accelerator.num_processes), {}
    for name, value in carry.items():
        own = torch.zeros_like(value)
        own[own_rows] = value[own_rows]
        gathered_carry[name] = accelerator.reduce(own, reduction="sum")
    return gathered_carry


def save_pretrained(accelerator: Accelerator, model: PreTrainedModel, folder: Path) -> None:
    """Write a model in the format of `transformers`, from the main process."""
    is_sharded = any(isinstance(parameter, DTensor) for parameter in model.parameters())
    options: dict[str, Any] = {}
    if is_sharded:
        options["state_dict"] = weights_of(model, accelerator.is_main_process)
    if accelerator.is_main_process:
        model.save_pretrained(folder, **options)
