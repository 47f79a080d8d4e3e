"""What a training step minimises: `objective(model, batch, carry) -> (loss, metrics, carry)`.

`batch["totals"]` holds the number of targets in the whole step, over all micro-batches and processes. Each
micro-batch's loss is its share of the step's, so that shares simply add up. Metrics are (sum, count) pairs.

Shapes: B sequences, T positions, M masked positions, V vocabulary, C classes.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from pretrain.batches import IGNORED, Batch

# Clark et al. 2020, table 6.
DISCRIMINATOR_WEIGHT = 50.0

Metrics = dict[str, tuple[torch.Tensor, float]]


class Objective(Protocol):
    """The contract of every objective; `carry` is what a recurrent language model keeps between steps."""

    def __call__(self, model: Any, batch: Batch, carry: Any) -> tuple[torch.Tensor, Metrics, Any]:
        """The loss's share, the metrics as sums and counts, and what to carry on."""
        ...


def mlm(model: Any, batch: Batch, carry: Any) -> tuple[torch.Tensor, Metrics, Any]:
    """Masked-LM loss alone (Liu et al. 2019)."""
    scores_MV = model(batch["input_ids"], batch["token_type_ids"], batch["attention_mask"], batch["masked_positions"])
    loss, metrics = _masked_lm(scores_MV, batch)
    return loss, metrics, carry


def mlm_nsp(model: Any, batch: Batch, carry: Any) -> tuple[torch.Tensor, Metrics, Any]:
    """Masked-LM plus next-sentence loss, 1 : 1 (Devlin et al. 2018, section 3.1 and appendix A.2)."""
    return *_masked_lm_and_relation("nsp", model, batch), carry


def mlm_sop(model: Any, batch: Batch, carry: Any) -> tuple[torch.Tensor, Metrics, Any]:
    """Masked-LM plus sentence-order loss, 1 : 1 (Lan et al. 2019, section 3.1)."""
    return *_masked_lm_and_relation("sop", model, batch), carry


def rtd(model: Any, batch: Batch, carry: Any) -> tuple[torch.Tensor, Metrics, Any]:
    """Replaced-token detection: the generator's masked-LM loss plus 50 times the discriminator's (Clark et al. 2020).

    The discriminator says of every token but padding whether it was replaced (section 3.1 and appendix A).
    """
    scores_MV, replaced_BT, is_replaced_BT = model(
        batch["input_ids"],
        batch["original_ids"],
        batch["token_type_ids"],
        batch["attention_mask"],
        batch["masked_positions"],
    )
    loss, metrics = _masked_lm(scores_MV, batch)
    count = batch["counts"]["tokens"]
    # A batch that does not count has tokens all the same.
    seen_BT = batch["attention_mask"].bool() & (count > 0)
    each_BT = binary_cross_entropy_with_logits(replaced_BT.float(), is_replaced_BT.float(), reduction="none")
    detection = (each_BT * seen_BT).sum()
    with torch.no_grad():
        right_BT = ((replaced_BT > 0) == is_replaced_BT) & seen_BT
        found = (right_BT & is_replaced_BT).sum()
    metrics |= {
        "rtd_loss": (detection.detach(), count),
        "rtd_accuracy": (right_BT.sum(), count),
        "rtd_replaced": ((is_replaced_BT & seen_BT).sum(), count),
        "rtd_found": (found, count),
    }
    return loss + DISCRIMINATOR_WEIGHT * detection / batch["totals"]["tokens"], metrics, carry


def _masked_lm(scores_MV: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, Metrics]:
    """The share of the masked-LM loss, and its metrics."""
    loss = cross_entropy(scores_MV.float(), batch["masked_labels"], reduction="sum")
    with torch.no_grad():
        right = (scores_MV.argmax(-1) == batch["masked_labels"]).sum()
    count = batch["counts"]["mlm"]
    return loss / batch["totals"]["mlm"], {"mlm_loss": (loss.detach(), count), "mlm_accuracy": (right, count)}


def _masked_lm_and_relation(name: str, model: Any, batch: Batch) -> tuple[torch.Tensor, Metrics]:
    scores_MV, relation_B2 = model(
        batch["input_ids"], batch["token_type_ids"], batch["attention_mask"], batch["masked_positions"]
    )
    masked, metrics = _masked_lm(scores_MV, batch)
    relation = cross_entropy(relation_B2.float(), batch["relation"], reduction="sum")
    with torch.no_grad():
        right = (relation_B2.argmax(-1) == batch["relation"]).sum()
    count = batch["counts"]["relation"]
    metrics |= {f"{name}_loss": (relation.detach(), count), f"{name}_accuracy": (right, count)}
    return masked + relation / batch["totals"]["relation"], metrics


def causal_lm(model: Any, batch: Batch, carry: Any) -> tuple[torch.Tensor, Metrics, Any]:
    """The next token's cross-entropy over streams; states are carried from step to step, gradients are not.

    Truncated backpropagation through time (Williams and Peng 1990). With two directions the losses of both add up.

    Args:
        model: a `RecurrentForCausalLM`, perhaps wrapped.
        batch: of `StreamEpoch`.
        carry: [all streams, layers, H] by name, or None; a fresh epoch begins with zeros.
    """
    columns_B = batch["columns"]
    begun = None if carry is None or batch["fresh"] else {name: value[columns_B] for name, value in carry.items()}
    output = model(input_ids=batch["input_ids"], state=begun, backward_ids=batch.get("backward_ids"))
    count = batch["counts"]["lm"]
    loss, metrics = _next_token("lm", output.logits, batch["labels"], count)
    if output.backward_logits is not None:
        other, more = _next_token("backward_lm", output.backward_logits, batch["backward_labels"], count)
        loss, metrics = loss + other, metrics | more
    after = {name: value.detach() for name, value in output.state.items()}
    if carry is None:
        carry = {name: value.new_zeros(batch["streams"], *value.shape[1:]) for name, value in after.items()}
    # An idle process reads a stream that is not its own.
    if count:
        carry = {name: value.index_copy(0, columns_B, after[name].to(value.dtype)) for name, value in carry.items()}
    return loss / batch["totals"]["lm"], metrics, carry


def autoencode(model: Any, batch: Batch, carry: Any) -> tuple[torch.Tensor, Metrics, Any]:
    """Read a passage, then write it again, given the right tokens so far (Dai and Le 2015, section 2)."""
    names = ("input_ids", "attention_mask", "decoder_input_ids")
    logits_BTV = model(**{name: batch[name] for name in names}).logits
    loss, metrics = _next_token("lm", logits_BTV, batch["labels"], batch["counts"]["lm"])
    return loss / batch["totals"]["lm"], metrics, carry


def _next_token(
    name: str, logits_BTV: torch.Tensor, labels_BT: torch.Tensor, count: int
) -> tuple[torch.Tensor, Metrics]:
    """The sum of cross-entropies, and metrics."""
    scores, labels = logits_BTV.flatten(0, 1).float(), labels_BT.flatten()
    loss = cross_entropy(scores, labels, reduction="sum", ignore_index=IGNORED)
    with torch.no_grad():
        right = (scores.argmax(-1) == labels).sum()
    return loss, {f"{name}_loss": (loss.detach(), count), f"{name}_accuracy": (right, count)}


def classification(model: Any, batch: Batch, carry: Any) -> tuple[torch.Tensor, Metrics, Any]:
    """Cross-entropy of the class scores."""
    inputs = {name: batch[name] for name in ("input_ids", "token_type_ids", "attention_mask") if name in batch}
    logits_BC = model(**inputs).logits.float()
    loss = cross_entropy(logits_BC, batch["labels"], reduction="sum")
    right = (logits_BC.detach().argmax(-1) == batch["labels"]).sum()
    count = batch["counts"]["labels"]
    metrics: Metrics = {"loss": (loss.detach(), count), "accuracy": (right, count)}
    return loss / batch["totals"]["labels"], metrics, carry


@dataclass(frozen=True)
class PretrainingObjective:
    """What an encoder is pretrained with."""

    step: Objective
    relation: str | None
    """What the second label of a pair is called in metrics; None where sequences are no pairs."""
    weights: dict[str, float]
    """The held-out measures whose weighted sum is the held-out loss."""


OBJECTIVES = {
    "mlm_nsp": PretrainingObjective(mlm_nsp, "nsp", {"mlm_loss": 1, "nsp_loss": 1}),
    "mlm": PretrainingObjective(mlm, None, {"mlm_loss": 1}),
    "mlm_sop": PretrainingObjective(mlm_sop, "sop", {"mlm_loss": 1, "sop_loss": 1}),
    "causal_lm": PretrainingObjective(causal_lm, None, {"lm_loss": 1}),
    "autoencode": PretrainingObjective(autoencode, None, {"lm_loss": 1}),
    "rtd": PretrainingObjective(rtd, None, {"mlm_loss": 1, "rtd_loss": DISCRIMINATOR_WEIGHT}),
}
