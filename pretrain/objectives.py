"""What a training step minimises: `objective(model, batch, carry) -> (loss, metrics, carry)`.

`batch["totals"]` holds the number of targets in the whole step, over all micro-batches and processes. Each
micro-batch's loss is its share of the step's, so that shares simply add up. Metrics are (sum, count) pairs.

Shapes: B sequences, M masked positions, C classes.
"""

from typing import Any, Protocol

import torch
from torch.nn.functional import cross_entropy

from pretrain.batches import Batch

Metrics = dict[str, tuple[torch.Tensor, float]]


class Objective(Protocol):
    """The contract of every objective; `carry` is what a recurrent language model keeps between steps."""

    def __call__(self, model: Any, batch: Batch, carry: Any) -> tuple[torch.Tensor, Metrics, Any]:
        """The loss's share, the metrics as sums and counts, and what to carry on."""
        ...


def mlm_nsp(model: Any, batch: Batch, carry: Any) -> tuple[torch.Tensor, Metrics, Any]:
    """Masked-LM plus next-sentence loss, 1 : 1 (Devlin et al. 2018, section 3.1 and appendix A.2)."""
    scores_MV, relation_B2 = model(
        batch["input_ids"], batch["token_type_ids"], batch["attention_mask"], batch["masked_positions"]
    )
    mlm = cross_entropy(scores_MV.float(), batch["masked_labels"], reduction="sum")
    nsp = cross_entropy(relation_B2.float(), batch["next_sentence_label"], reduction="sum")
    totals, counts = batch["totals"], batch["counts"]
    loss = mlm / totals["mlm"] + nsp / totals["nsp"]
    with torch.no_grad():
        mlm_right = (scores_MV.argmax(-1) == batch["masked_labels"]).sum()
        nsp_right = (relation_B2.argmax(-1) == batch["next_sentence_label"]).sum()
    metrics: Metrics = {
        "mlm_loss": (mlm.detach(), counts["mlm"]),
        "nsp_loss": (nsp.detach(), counts["nsp"]),
        "mlm_accuracy": (mlm_right, counts["mlm"]),
        "nsp_accuracy": (nsp_right, counts["nsp"]),
    }
    return loss, metrics, carry


def classification(model: Any, batch: Batch, carry: Any) -> tuple[torch.Tensor, Metrics, Any]:
    """Cross-entropy of the class scores."""
    inputs = {name: batch[name] for name in ("input_ids", "token_type_ids", "attention_mask") if name in batch}
    logits_BC = model(**inputs).logits.float()
    loss = cross_entropy(logits_BC, batch["labels"], reduction="sum")
    right = (logits_BC.detach().argmax(-1) == batch["labels"]).sum()
    count = batch["counts"]["labels"]
    metrics: Metrics = {"loss": (loss.detach(), count), "accuracy": (right, count)}
    return loss / batch["totals"]["labels"], metrics, carry
