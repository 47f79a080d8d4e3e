"""Replaced-token detection (Clark et al. 2020, ELECTRA).

Shapes: B sequences, T positions, M masked positions, V vocabulary.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pretrain.objectives.masked_lm import masked_lm_loss, masked_lm_source
from pretrain.objectives.objective import LossOutput, Objective, SecondTask

if TYPE_CHECKING:
    from pretrain.data.loader import Batch, Epoch

# Clark et al. 2020, table 6.
DISCRIMINATOR_WEIGHT = 50.0


def rtd_loss(model: Any, batch: "Batch") -> LossOutput:
    """The generator's masked-LM loss plus 50 times the discriminator's.

    The discriminator predicts for every token except padding whether it was replaced (section 3.1 and appendix A).
    """
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    scores_MV, replaced_BT, is_replaced_BT = model(
        batch["input_ids"],
        batch["original_ids"],
        batch["token_type_ids"],
        batch["attention_mask"],
        batch["masked_positions"],
    )
    generator_loss, metrics = masked_lm_loss(scores_MV, batch)
    count = batch.counts["tokens"]
    # An idle batch still has tokens; they must not count.
    counted_BT = batch["attention_mask"].bool() & (count > 0)
    losses_BT = binary_cross_entropy_with_logits(replaced_BT.float(), is_replaced_BT.float(), reduction="none")
    discriminator_loss = (losses_BT * counted_BT).sum()
    with torch.no_grad():
        correct_BT = ((replaced_BT > 0) == is_replaced_BT) & counted_BT
        detected = (correct_BT & is_replaced_BT).sum()
    metrics |= {
        "rtd_loss": (discriminator_loss.detach(), count),
        "rtd_accuracy": (correct_BT.sum(), count),
        "rtd_replaced": ((is_replaced_BT & counted_BT).sum(), count),
        "rtd_found": (detected, count),
    }
    return LossOutput(generator_loss + DISCRIMINATOR_WEIGHT * discriminator_loss / batch.totals["tokens"], metrics)


def majority_of_tokens(held_out: "Epoch", metrics: Mapping[str, float]) -> dict[str, float]:
    """The share of held-out tokens that the generator did not replace."""
    return {"eval_rtd_majority": 1 - metrics["eval_rtd_replaced"]}


RTD = Objective(
    name="rtd",
    head="replaced_token",
    source=lambda settings: masked_lm_source(settings, "packed"),
    loss=rtd_loss,
    held_out_weights={"mlm_loss": 1, "rtd_loss": DISCRIMINATOR_WEIGHT},
    second_task=SecondTask("rtd", "replaced-token"),
    baselines=majority_of_tokens,
)
