"""What becomes of a step: it counts, or it was skipped and its samples are recorded."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from configs.errors import RunError
from pretrain.objectives.objective import Metrics
from pretrain.training.guards import nonfinite
from pretrain.training.train_state import TrainState

if TYPE_CHECKING:
    from pretrain.training.metric_logger import MetricLogger

log = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """A step whose loss and gradient norm may still be on their way from the device."""

    number: int
    """Steps before it."""
    epoch: int
    samples: np.ndarray
    """Sample numbers of the global batch."""
    metrics: Sequence[Metrics]
    loss_and_norm: torch.Tensor
    """[2], from `nonfinite.loss_and_norm`."""


def settle(outcome: Outcome, state: TrainState, logger: "MetricLogger", scaled: bool, maximum_skipped: int) -> bool:
    """Wait for the loss of a step and write what became of it; gives whether the step may update the weights.

    Args:
        outcome: of the step.
        state: of the run; skipped steps and the running mean of the loss are noted.
        logger: gets the metrics, or a row about the samples.
        scaled: whether there is a gradient scaler (fp16).
        maximum_skipped: after so many skipped steps in a row the run ends.

    Raises:
        RunError: too many steps in a row were skipped.
    """
    loss, norm = outcome.loss_and_norm.tolist()
    if not nonfinite.is_finite_step(loss, norm, scaled):
        _skip(outcome, state, logger, loss, norm)
        if state.skipped_in_a_row >= maximum_skipped:
            raise RunError(
                f"{state.skipped_in_a_row} steps in a row, up to step {outcome.number + 1}, had a NaN or infinite loss "
                "or gradient (training.maximum_skipped_steps); the last checkpoint is kept; lower "
                "optimizer.learning_rate"
            )
        return False
    for metrics in outcome.metrics:
        logger.add(metrics)
    state.skipped_in_a_row = 0
    if nonfinite.is_spike(state, outcome.number, loss):
        log.warning("step %d: loss spike, %.4g with a running mean of %.4g", outcome.number + 1, loss, state.loss_mean)
        logger.note(state, outcome.number + 1, {"spike": loss})
    return True


def _skip(outcome: Outcome, state: TrainState, logger: "MetricLogger", loss: float, norm: float) -> None:
    """Record the samples of a step that is skipped."""
    state.skipped, state.skipped_in_a_row = state.skipped + 1, state.skipped_in_a_row + 1
    log.warning(
        "step %d: skipped, loss %g, gradient norm %g; its samples are in metrics.jsonl", outcome.number + 1, loss, norm
    )
    # As text: JSON has no NaN.
    facts = {"loss": f"{loss:g}", "gradient_norm": f"{norm:g}", "epoch_number": outcome.epoch}
    logger.note(state, outcome.number + 1, {"skipped": facts | {"samples": outcome.samples.tolist()}})
