"""The loss of classification.

Shapes: B sequences, C classes or labels.
"""

from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from pretrain.data.loader import IGNORED, Batch
from pretrain.objectives.objective import LossOutput, Metrics


def classification_loss(
    model: Any, batch: Batch, carry: Any = None, weights_C: torch.Tensor | None = None
) -> LossOutput:
    """Cross-entropy in nats, and accuracy.

    With labels [B, C], of which a text may have several: the cross-entropy of a yes or no for each, as the mean over
    labels (that of `transformers` for `multi_label_classification`), and the share of right decisions at a half.

    Args:
        model: a `transformers` sequence classifier, possibly wrapped.
        batch: from `TextEpoch`.
        carry: unused; the engine passes it to every loss.
        weights_C: of the classes, one on average over the training texts, or of the texts that have a label; None if
            all weigh the same.
    """
    logits_BC = model(**batch.inputs).logits.float()
    weights_C = None if weights_C is None else weights_C.to(logits_BC)
    if batch["labels"].dim() == 2:
        labels_BC = batch["labels"].to(logits_BC)
        # Those of a process without texts, which takes part in the step all the same; cross-entropy knows of them.
        counts_BC = labels_BC != IGNORED
        loss_BC = binary_cross_entropy_with_logits(logits_BC, labels_BC, pos_weight=weights_C, reduction="none")
        right_BC = ((logits_BC.detach() > 0) == (labels_BC > 0)) & counts_BC
        return LossOutput(
            loss_BC.where(counts_BC, 0.0).sum() / labels_BC.shape[1] / batch.totals["labels"],
            {"label_accuracy": (right_BC.float().mean(1).sum(), batch.counts["labels"])},
        )
    loss = cross_entropy(logits_BC, batch["labels"], weight=weights_C, reduction="sum")
    correct = (logits_BC.detach().argmax(-1) == batch["labels"]).sum()
    metrics: Metrics = {"accuracy": (correct, batch.counts["labels"])}
    return LossOutput(loss / batch.totals["labels"], metrics)
