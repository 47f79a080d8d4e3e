"""The loss of classification.

Shapes: B sequences, C classes.
"""

from typing import Any

from torch.nn.functional import cross_entropy

from pretrain.data.loader import Batch
from pretrain.objectives.objective import LossOutput, Metrics


def classification_loss(model: Any, batch: Batch, carry: Any = None) -> LossOutput:
    """Cross-entropy in nats, and accuracy.

    Args:
        model: a `transformers` sequence classifier, possibly wrapped.
        batch: from `TextEpoch`.
        carry: unused; the engine passes it to every loss.
    """
    logits_BC = model(**batch.inputs).logits.float()
    loss = cross_entropy(logits_BC, batch["labels"], reduction="sum")
    correct = (logits_BC.detach().argmax(-1) == batch["labels"]).sum()
    metrics: Metrics = {"accuracy": (correct, batch.counts["labels"])}
    return LossOutput(loss / batch.totals["labels"], metrics)
