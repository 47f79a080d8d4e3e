"""The loss of classification.

Shapes: B sequences, C classes.
"""

from typing import Any

import torch
from torch.nn.functional import cross_entropy

from pretrain.data.loader import Batch
from pretrain.objectives.objective import LossOutput, Metrics


def classification_loss(
    model: Any, batch: Batch, carry: Any = None, weights_C: torch.Tensor | None = None
) -> LossOutput:
    """Cross-entropy in nats, and accuracy.

    Args:
        model: a `transformers` sequence classifier, possibly wrapped.
        batch: from `TextEpoch`.
        carry: unused; the engine passes it to every loss.
        weights_C: of the classes, one on average over the training texts; None if all weigh the same.
    """
    logits_BC = model(**batch.inputs).logits.float()
    weights_C = None if weights_C is None else weights_C.to(logits_BC)
    loss = cross_entropy(logits_BC, batch["labels"], weight=weights_C, reduction="sum")
    correct = (logits_BC.detach().argmax(-1) == batch["labels"]).sum()
    metrics: Metrics = {"accuracy": (correct, batch.counts["labels"])}
    return LossOutput(loss / batch.totals["labels"], metrics)
