"""NaN and infinity in losses and gradients, loss spikes, and running out of memory."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType

from pretrain.training import sharded
from pretrain.training.train_state import TrainState

# The running mean and variance of the loss have a half-life of about 34 steps.
DECAY = 0.98
FIRST_STEPS = 50
DEVIATIONS = 6.0
# Devices that compute while the host goes on.
WORTH_GUARDING = ("cuda",)


def loss_and_norm(accelerator: Accelerator, loss: torch.Tensor, norm: torch.Tensor) -> torch.Tensor:
    """The loss and gradient norm of a step, [2], the same in all processes; they stay on the device.

    If the loss of one process is NaN, the result is NaN in all, so that all skip the step.

    Args:
        accelerator: of the run.
        loss: this process's share of the loss.
        norm: the norm of the full gradient.
    """
    pair = torch.stack([loss.detach().float(), norm.detach().float()])
    if accelerator.num_processes > 1:
        pair = accelerator.reduce(pair, reduction="sum")
        pair[1] /= accelerator.num_processes
    return pair


def guards_on_device(accelerator: Accelerator, optimizer: torch.optim.Optimizer, averages: bool) -> bool:
    """Whether the optimizer can skip its step by itself, so that the host need not wait for every loss.

    Fused AdamW can, as gradient scalers have it do; Muon, averages and what FSDP shards cannot. A CPU has nothing to
    gain: its losses are there when the step is done.
    """
    return (
        accelerator.device.type in WORTH_GUARDING
        and type(optimizer) is torch.optim.AdamW
        and accelerator.scaler is None
        and accelerator.distributed_type != DistributedType.FSDP
        and not averages
    )


def guard_on_device(optimizer: torch.optim.Optimizer, loss_and_norm: torch.Tensor) -> None:
    """Let a fused AdamW change nothing in its next step if the loss or the norm is not finite."""
    fused: Any = optimizer
    fused.grad_scale, fused.found_inf = None, (~torch.isfinite(loss_and_norm).all()).float()


def is_finite_step(loss: float, norm: float, scaled: bool) -> bool:
    """Whether a step may update the weights; with a gradient scaler (fp16), the scaler checks the norm.

    >>> is_finite_step(1.0, 2.0, scaled=False), is_finite_step(float("nan"), 1.0, scaled=False)
    (True, False)
    >>> is_finite_step(1.0, float("inf"), scaled=False)
    False
    >>> is_finite_step(1.0, float("inf"), scaled=True)
    True
    """
    return math.isfinite(loss) and (scaled or math.isfinite(norm))


def is_spike(state: TrainState, step: int, loss: float) -> bool:
    """Whether the loss of a step is six standard deviations above its running mean; `state` gets the new mean and
    variance.
    """
    above = loss - state.loss_mean
    spike = step > FIRST_STEPS and above > DEVIATIONS * math.sqrt(state.loss_variance)
    if step == 0:
        state.loss_mean, state.loss_variance = loss, 0.0
    else:
        state.loss_mean += (1 - DECAY) * above
        state.loss_variance = DECAY * (state.loss_variance + (1 - DECAY) * above**2)
    return spike


def first_nonfinite(accelerator: Accelerator, tensors: Mapping[str, torch.Tensor]) -> str | None:
    """The name of the first tensor with NaN or infinity in any process, or None; each looks at its own shards.

    Every process has to call it, with the same names.
    """
    finite = [torch.isfinite(sharded.local(tensor)).all().to(accelerator.device) for tensor in tensors.values()]
    if not finite:
        return None
    processes_finite = accelerator.reduce(torch.stack(finite).int(), reduction="sum").tolist()
    return next(
        (name for name, n in zip(tensors, processes_finite, strict=True) if n < accelerator.num_processes), None
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means out of memory, on CPU or GPU.

    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    True
    >>> is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    False
    """
    messages = (
        "can't allocate memory",
        "not enough memory",
        "out of memory",
        "bad_alloc",
        "could not create a primitive",
    )
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(message in str(error) for message in messages)
