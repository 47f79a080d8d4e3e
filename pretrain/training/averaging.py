"""An exponential moving average of the weights, kept in the optimizer's state, and so in every checkpoint."""

import contextlib
from collections.abc import Generator

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

AVERAGE = "average"


@torch.no_grad()
def update(optimizer: torch.optim.Optimizer, decay: float, steps: int) -> None:
    """Move the averages towards the weights.

    In early steps the decay is lower, so that the first weights do not count for long: (1 + steps) / (10 + steps), as
    in TensorFlow's `ExponentialMovingAverage`.

    Args:
        optimizer: after its step; parameters that it has never updated have no average.
        decay: of the average, a step.
        steps: that the run has taken.
    """
    averages, weights = [], []
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = optimizer.state.get(parameter)
            if not state:
                continue
            if AVERAGE not in state:
                state[AVERAGE] = parameter.detach().clone()
            averages.append(state[AVERAGE])
            weights.append(parameter.detach())
    if averages:
        get_ema_multi_avg_fn(min(decay, (1 + steps) / (10 + steps)))(averages, weights, steps)


@contextlib.contextmanager
def averaged_weights(optimizer: torch.optim.Optimizer) -> Generator[None]:
    """A context in which the model has the averages for weights; without averages it changes nothing."""
    _exchange(optimizer)
    try:
        yield
    finally:
        _exchange(optimizer)


@torch.no_grad()
def keep(optimizer: torch.optim.Optimizer) -> None:
    """Give the model the averages for good; without averages it changes nothing."""
    for parameter, average in _pairs(optimizer):
        parameter.copy_(average)


@torch.no_grad()
def _exchange(optimizer: torch.optim.Optimizer) -> None:
    for parameter, average in _pairs(optimizer):
        weights = parameter.detach().clone()
        parameter.copy_(average)
        average.copy_(weights)


def _pairs(optimizer: torch.optim.Optimizer) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(parameter, state[AVERAGE]) for parameter, state in optimizer.state.items() if AVERAGE in state]
