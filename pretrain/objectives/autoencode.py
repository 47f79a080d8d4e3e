"""Recurrent sequence autoencoders (Dai and Le 2015, section 2)."""

from typing import TYPE_CHECKING, Any

from pretrain.objectives.objective import DataSettings, LossOutput, Objective, next_token_loss

if TYPE_CHECKING:
    from pretrain.data.language_model_dataset import PassageSource
    from pretrain.data.loader import Batch

INPUTS = ("input_ids", "attention_mask", "decoder_input_ids")


def autoencode_loss(model: Any, batch: "Batch") -> LossOutput:
    """Encode a passage, then reconstruct it with teacher forcing; cross-entropy in nats."""
    logits_BTV = model(**{name: batch[name] for name in INPUTS}).logits
    loss, metrics = next_token_loss("lm", logits_BTV, batch["labels"], batch.counts["lm"])
    return LossOutput(loss / batch.totals["lm"], metrics)


def passage_source(settings: DataSettings) -> "PassageSource":
    """Passages of full sentences."""
    from pretrain.data.language_model_dataset import PassageSource

    return PassageSource(
        store=settings.store,
        documents=settings.documents,
        layout=settings.layout,
        sequence_length=settings.sequence_length,
        batch_size=settings.batch_size,
        seed=settings.seed,
    )


AUTOENCODE = Objective(
    name="autoencode",
    head="sequence_to_sequence",
    source=passage_source,
    loss=autoencode_loss,
    held_out_weights={"lm_loss": 1},
    recurrent=True,
)
