"""NaN and infinity in losses and gradients, loss spikes, and lack of memory."""

import math
from collections.abc import Mapping

import torch
from accelerate import Accelerator

from pretrain.training.train_state import TrainState

# The running mean and variance of the loss forget by half in some 34 steps.
DECAY = 0.98
FIRST_STEPS = 50
DEVIATIONS = 6.0


def step_loss_and_norm(accelerator: Accelerator, loss: torch.Tensor, norm: torch.Tensor) -> tuple[float, float]:
    """The loss of a step and the norm of its gradient, the same numbers in all processes.

    Where the loss of one process is NaN, it is in all of them, so that all skip the step.

    Args:
        accelerator: of the run.
        loss: this process's share.
        norm: of the gradient, whole.
    """
    pair = torch.stack([loss.detach().double(), norm.detach().double()])
    if accelerator.num_processes > 1:
        pair = accelerator.reduce(pair, reduction="sum")
        pair[1] /= accelerator.num_processes
    total, gradient_norm = pair.tolist()
    return total, gradient_norm


def is_finite_step(loss: float, norm: float, scaled: bool) -> bool:
    """Whether a step may reach the weights; where gradients are scaled (fp16), the scaler judges the norm.

    >>> is_finite_step(1.0, 2.0, scaled=False), is_finite_step(float("nan"), 1.0, scaled=False)
    (True, False)
    >>> is_finite_step(1.0, float("inf"), scaled=False)
    False
    >>> is_finite_step(1.0, float("inf"), scaled=True)
    True
    """
    return math.isfinite(loss) and (scaled or math.isfinite(norm))


def is_spike(state: TrainState, loss: float) -> bool:
    """Whether a loss lies six standard deviations above its running mean; the mean and variance take it in."""
    above = loss - state.loss_mean
    spike = state.step > FIRST_STEPS and above > DEVIATIONS * math.sqrt(state.loss_variance)
    if state.step == 0:
        state.loss_mean, state.loss_variance = loss, 0.0
    else:
        state.loss_mean += (1 - DECAY) * above
        state.loss_variance = DECAY * (state.loss_variance + (1 - DECAY) * above**2)
    return spike


def first_nonfinite(tensors: Mapping[str, torch.Tensor]) -> str | None:
    """The name of the first tensor that holds NaN or infinity, or None."""
    return next((name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())), None)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice.

    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    True
    >>> is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    False
    """
    words = ("can't allocate memory", "not enough memory", "out of memory", "bad_alloc", "could not create a primitive")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(word in str(error) for word in words)
