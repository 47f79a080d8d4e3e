"""Steps that must not reach the weights, and losses worth a look."""

import math
from collections.abc import Iterable, Mapping

import torch
from accelerate import Accelerator

from pretrain.position import Position

# The running mean and variance of the loss forget by half in some 34 steps.
DECAY = 0.98
FIRST_STEPS = 50
DEVIATIONS = 6.0


def step_loss_and_norm(accelerator: Accelerator, loss: torch.Tensor, norm: torch.Tensor) -> tuple[float, float]:
    """The loss of a step and the norm of its gradient, the same numbers in all processes.

    A loss that is no number in one process is none in any, so that all of them skip the step.

    Args:
        accelerator: of the run.
        loss: this process's share.
        norm: of the gradient, whole.
    """
    pair = torch.stack([loss.detach().double(), norm.detach().double()])
    if accelerator.num_processes > 1:
        pair = accelerator.reduce(pair, reduction="sum")
        pair[1] /= accelerator.num_processes
    total, length = pair.tolist()
    return total, length


def is_sound(loss: float, norm: float, scaled: bool) -> bool:
    """Whether a step may reach the weights; where gradients are scaled (fp16), their scaler judges the norm.

    >>> is_sound(1.0, 2.0, False), is_sound(float("nan"), 1.0, False), is_sound(1.0, float("inf"), False)
    (True, False, False)
    >>> is_sound(1.0, float("inf"), scaled=True)
    True
    """
    return math.isfinite(loss) and (scaled or math.isfinite(norm))


def is_spike(position: Position, loss: float) -> bool:
    """Whether a loss lies six standard deviations above its running mean; the mean and variance take it in."""
    above = loss - position.loss_mean
    spike = position.step > FIRST_STEPS and above > DEVIATIONS * math.sqrt(position.loss_variance)
    if position.step == 0:
        position.loss_mean, position.loss_variance = loss, 0.0
    else:
        position.loss_mean += (1 - DECAY) * above
        position.loss_variance = DECAY * (position.loss_variance + (1 - DECAY) * above**2)
    return spike


def first_broken(tensors: Mapping[str, torch.Tensor]) -> str | None:
    """The name of a tensor that holds a number that is none, or None."""
    return next((name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())), None)


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice.

    >>> lacks_memory(RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory"))
    True
    >>> lacks_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    False
    """
    words = ("can't allocate memory", "not enough memory", "out of memory", "bad_alloc", "could not create a primitive")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(word in str(error) for word in words)


def as_text(values: Iterable[float]) -> list[str]:
    """Numbers for a JSON row, which knows no NaN.

    >>> as_text([1.5, float("nan"), float("inf")])
    ['1.5', 'nan', 'inf']
    """
    return [f"{value:g}" for value in values]
