"""A model whose weights lie in parts on several devices (FSDP2), read and written as if it were whole.

Everything here is called by every process alike, as parts are exchanged on the way; for a model in one piece it is
plain reading and copying. Checkpoints and `model/` therefore look the same however a run was spread out.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import PreTrainedModel


def gathered(tensor: torch.Tensor) -> torch.Tensor:
    """The whole tensor, whatever part of it lies here."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def like(whole: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
    """`whole` spread out as `part` is, the inverse of `gathered`; each process has all of it."""
    if not isinstance(part, DTensor) or whole.shape != part.shape:
        return whole
    return distribute_tensor(whole.to(part.device), part.device_mesh, part.placements)


def weights_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A model's whole weights and lasting buffers by name; of weights that are tied, the first name alone."""
    return {name: gathered(tensor.detach()).contiguous() for name, tensor in _lasting(model, every_name=False).items()}


def _lasting(model: torch.nn.Module, every_name: bool) -> dict[str, torch.Tensor]:
    """Parameters and buffers that are saved, as they lie here; of tied ones every name, or the first."""
    kept = model.state_dict().keys()
    found: dict[str, torch.Tensor] = dict(model.named_parameters(remove_duplicate=not every_name))
    buffers = model.named_buffers(remove_duplicate=not every_name)
    return found | {name: buffer for name, buffer in buffers if name in kept}


def load_weights(model: torch.nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Copy weights of `weights_of` into a model, in place; of tied weights any of the names will do.

    Raises:
        ValueError: a weight is missing, there is one too many, or one has another shape.
    """
    places = _lasting(model, every_name=True)
    if unknown := sorted(weights.keys() - places.keys()):
        raise ValueError(f"the model has no weight {unknown[0]!r}")
    filled = set()
    for name, whole in weights.items():
        place = places[name]
        if place.shape != whole.shape:
            raise ValueError(f"{name}: {list(whole.shape)} numbers for a weight of {list(place.shape)}")
        with torch.no_grad():
            place.copy_(like(whole, place))
        filled.add(id(place))
    if missing := [name for name, place in places.items() if id(place) not in filled]:
        raise ValueError(f"the weight {missing[0]!r} is missing")


def whole_carry(accelerator: Accelerator, carry: dict[str, torch.Tensor] | None) -> dict[str, torch.Tensor] | None:
    """What all streams carry, [streams, ...]; each process knows those of its own, every W-th."""
    if carry is None or accelerator.num_processes == 1:
        return carry
    mine, whole = slice(accelerator.process_index, None, accelerator.num_processes), {}
    for name, value in carry.items():
        own = torch.zeros_like(value)
        own[mine] = value[mine]
        whole[name] = accelerator.reduce(own, reduction="sum")
    return whole


def save_pretrained(accelerator: Accelerator, model: PreTrainedModel, folder: Path) -> None:
    """Write a model as `transformers` loads it, from the main process."""
    parts = any(isinstance(parameter, DTensor) for parameter in model.parameters())
    whole: dict[str, Any] = {"state_dict": weights_of(model)} if parts else {}
    if accelerator.is_main_process:
        model.save_pretrained(folder, **whole)
