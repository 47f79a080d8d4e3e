"""Recurrent language models by truncated backpropagation through time.

Shapes: B streams of a micro-batch, T positions, V vocabulary, H hidden size.
"""

from typing import TYPE_CHECKING, Any

from pretrain.objectives.lm_evaluation import lm_evaluation_hook
from pretrain.objectives.objective import DataSettings, LossOutput, Objective, next_token_loss

if TYPE_CHECKING:
    import torch

    from pretrain.data.language_model_dataset import StreamSource
    from pretrain.data.loader import Batch


def causal_lm_loss(model: Any, batch: "Batch", carry: "dict[str, torch.Tensor] | None") -> LossOutput:
    """Next-token cross-entropy over streams; states are carried from step to step, gradients are not.

    Truncated backpropagation through time (Williams and Peng 1990). With two directions, their losses are added.

    Args:
        model: a `RecurrentForCausalLM`, possibly wrapped.
        batch: from `StreamEpoch`.
        carry: states [streams, layers, H] by name, or None; a new epoch starts from zeros.
    """
    columns_B = batch["columns"]
    assert batch.stream_slice is not None
    is_first = carry is None or batch.stream_slice.first
    state = None if carry is None or is_first else {name: value[columns_B] for name, value in carry.items()}
    output = model(input_ids=batch["input_ids"], state=state, backward_ids=batch.inputs.get("backward_ids"))
    count = batch.counts["lm"]
    loss, metrics = next_token_loss("lm", output.logits, batch["labels"], count)
    if output.backward_logits is not None:
        backward_loss, backward_metrics = next_token_loss(
            "backward_lm", output.backward_logits, batch["backward_labels"], count
        )
        loss, metrics = loss + backward_loss, metrics | backward_metrics
    new_state = {name: value.detach() for name, value in output.state.items()}
    if carry is None:
        streams = batch.stream_slice.streams
        carry = {name: value.new_zeros(streams, *value.shape[1:]) for name, value in new_state.items()}
    # An idle process reads a stream of another process.
    if count:
        carry = {name: value.index_copy(0, columns_B, new_state[name].to(value.dtype)) for name, value in carry.items()}
    return LossOutput(loss / batch.totals["lm"], metrics, carry)


def stream_source(settings: DataSettings) -> "StreamSource":
    """All documents as parallel streams."""
    from pretrain.data.language_model_dataset import StreamSource

    return StreamSource(
        store=settings.store,
        documents=settings.documents,
        layout=settings.layout,
        bptt=settings.bptt,
        streams=settings.batch_size,
        backward=settings.bidirectional,
        seed=settings.seed,
    )


CAUSAL_LM = Objective(
    name="causal_lm",
    head="causal_lm",
    source=stream_source,
    loss=causal_lm_loss,
    # The second one only of models that read in both directions.
    held_out_weights={"lm_loss": 1, "backward_lm_loss": 1},
    evaluation_hook=lm_evaluation_hook,
    recurrent=True,
    carries_state=True,
)
