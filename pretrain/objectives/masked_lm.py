"""Masked-LM alone, with next-sentence prediction, or with sentence-order prediction.

Shapes: M masked positions, V vocabulary, B sequences.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pretrain.objectives.objective import DataSettings, LossOutput, Metrics, Objective, SecondTask

if TYPE_CHECKING:
    import torch

    from pretrain.data.loader import Batch, Epoch
    from pretrain.data.masked_lm_dataset import MaskedLMSource


def masked_lm_loss(scores_MV: "torch.Tensor", batch: "Batch") -> "tuple[torch.Tensor, Metrics]":
    """The micro-batch's share of the step's mean cross-entropy over masked tokens, in nats, and its metrics."""
    import torch
    from torch.nn.functional import cross_entropy

    from pretrain.models import cpu_kernels

    labels_M, count = batch["masked_labels"], batch.counts["mlm"]
    if scores_MV.device.type == "cpu":
        loss, correct = cpu_kernels.cross_entropy(scores_MV, labels_M)
    else:
        loss = cross_entropy(scores_MV.float(), labels_M, reduction="sum")
        with torch.no_grad():
            correct = (scores_MV.argmax(-1) == labels_M).sum()
    return loss / batch.totals["mlm"], {"mlm_loss": (loss.detach(), count), "mlm_accuracy": (correct, count)}


def mlm_loss(model: Any, batch: "Batch") -> LossOutput:
    """Masked-LM loss alone (Liu et al. 2019)."""
    scores_MV = model(batch["input_ids"], batch["token_type_ids"], batch["attention_mask"], batch["masked_positions"])
    return LossOutput(*masked_lm_loss(scores_MV, batch))


def mlm_nsp_loss(model: Any, batch: "Batch", pair_weight: float = 1.0) -> LossOutput:
    """Masked-LM plus next-sentence loss, by default 1 : 1 (Devlin et al. 2018, section 3.1 and appendix A.2)."""
    return _masked_lm_and_pair_loss("nsp", model, batch, pair_weight)


def mlm_sop_loss(model: Any, batch: "Batch", pair_weight: float = 1.0) -> LossOutput:
    """Masked-LM plus sentence-order loss, by default 1 : 1 (Lan et al. 2019, section 3.1)."""
    return _masked_lm_and_pair_loss("sop", model, batch, pair_weight)


def _masked_lm_and_pair_loss(prefix: str, model: Any, batch: "Batch", pair_weight: float) -> LossOutput:
    import torch
    from torch.nn.functional import cross_entropy

    scores_MV, relation_B2 = model(
        batch["input_ids"], batch["token_type_ids"], batch["attention_mask"], batch["masked_positions"]
    )
    loss, metrics = masked_lm_loss(scores_MV, batch)
    pair_loss = cross_entropy(relation_B2.float(), batch["relation"], reduction="sum")
    with torch.no_grad():
        correct = (relation_B2.argmax(-1) == batch["relation"]).sum()
    count = batch.counts["relation"]
    metrics |= {f"{prefix}_loss": (pair_loss.detach(), count), f"{prefix}_accuracy": (correct, count)}
    return LossOutput(loss + pair_weight * pair_loss / batch.totals["relation"], metrics)


def masked_lm_source(settings: DataSettings, arrangement: str) -> "MaskedLMSource":
    """Masked sequences: `bert`, `balanced` or `ordered` pairs, or `packed` full sentences."""
    from pretrain.data.masked_lm_dataset import MaskedLMSource

    return MaskedLMSource(
        store=settings.store,
        documents=settings.documents,
        layout=settings.layout,
        masking=settings.masking,
        sequence_length=settings.sequence_length,
        arrangement=arrangement,
        short_probability=settings.short_sequence_probability,
        batch_size=settings.batch_size,
        seed=settings.seed,
    )


def majority_of_pairs(prefix: str, held_out: Any) -> dict[str, float]:
    """The accuracy of always predicting the majority label of the held-out pairs."""
    share = float(held_out.plan.relations.mean())
    return {f"eval_{prefix}_majority": max(share, 1 - share)}


def _nsp_majority(held_out: "Epoch", metrics: Mapping[str, float]) -> dict[str, float]:
    return majority_of_pairs("nsp", held_out)


def _sop_majority(held_out: "Epoch", metrics: Mapping[str, float]) -> dict[str, float]:
    return majority_of_pairs("sop", held_out)


MLM = Objective(
    name="mlm",
    head="masked_lm",
    source=lambda settings: masked_lm_source(settings, "packed"),
    loss=mlm_loss,
    held_out_weights={"mlm_loss": 1},
)
MLM_NSP = Objective(
    name="mlm_nsp",
    head="pair",
    source=lambda settings: masked_lm_source(settings, settings.pairs),
    loss=mlm_nsp_loss,
    held_out_weights={"mlm_loss": 1, "nsp_loss": 1},
    second_task=SecondTask("nsp", "next-sentence", ("B follows A", "B is random")),
    baselines=_nsp_majority,
    audits_pairs=True,
)
MLM_SOP = Objective(
    name="mlm_sop",
    head="pair",
    source=lambda settings: masked_lm_source(settings, "ordered"),
    loss=mlm_sop_loss,
    held_out_weights={"mlm_loss": 1, "sop_loss": 1},
    second_task=SecondTask("sop", "sentence-order", ("B follows A", "A follows B")),
    baselines=_sop_majority,
)
