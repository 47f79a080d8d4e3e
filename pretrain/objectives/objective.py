"""The record that describes an objective, and the types that its functions use.

Shapes: D documents.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from pretrain.data.config import MaskingConfig

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch

    from pretrain.data.loader import Batch, Epoch, Source
    from pretrain.data.masked_lm_dataset import TokenLayout
    from pretrain.data.store import TokenStore

Metrics = dict[str, "tuple[torch.Tensor, float]"]
"""Sums and counts by name."""


class LossOutput(NamedTuple):
    """What a loss function gives."""

    loss: "torch.Tensor"
    """The micro-batch's share of the step's loss, so that the shares of micro-batches and processes add up."""
    metrics: Metrics
    carry: Any = None
    """What a recurrent language model keeps for the next step."""


class SecondTask(NamedTuple):
    """What is learned beside masked-LM."""

    prefix: str
    """Of its metrics: `nsp` has `nsp_loss` and `nsp_accuracy`."""
    name: str
    classes: tuple[str, ...] = ()
    """Of pairs: what labels 0 and 1 mean."""


@dataclass(frozen=True)
class DataSettings:
    """What the training and held-out data of an objective are made from."""

    store: "TokenStore"
    documents: "np.ndarray"
    """[D] the documents to take part."""
    layout: "TokenLayout"
    sequence_length: int
    batch_size: int
    seed: int
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    pairs: str = "bert"
    """How `mlm_nsp` makes pairs: `bert` or `balanced`."""
    short_sequence_probability: float = 0.1
    bptt: int = 64
    """Of language models: tokens of a stream in a step."""
    bidirectional: bool = False
    """Of language models: whether streams are read from the end, too."""


@dataclass(frozen=True)
class EvaluationSettings:
    """What a hook of an evaluation works with."""

    model: Any
    """Of `transformers`, unwrapped."""
    tokenizer: Any
    held_out: Any
    """The epoch that is evaluated on."""
    sample_tokens: int
    """Of language models: tokens to generate at each evaluation."""
    samples_file: "Path | None"
    """Where generated texts are appended; None in processes that do not write."""
    seed: int


EvaluationHook = Callable[[dict[str, float]], dict[str, float]]
"""Takes the metrics of an evaluation, and gives them with more beside."""


def no_hook(settings: EvaluationSettings) -> EvaluationHook:
    """Adds nothing."""
    return lambda metrics: metrics


def no_baselines(held_out: "Epoch", measured: Mapping[str, float]) -> dict[str, float]:
    """Of objectives with no other baseline than the unigram entropy, which all have."""
    return {}


@dataclass(frozen=True)
class Objective:
    """An objective of pretraining."""

    name: str
    head: str
    """What stands on the encoder: a key of `HEAD_MODELS` or, of recurrent models, of `recurrent_lm`."""
    source: "Callable[[DataSettings], Source]"
    """The training data; its `held_out()` gives the evaluation data."""
    loss: Callable[..., Any]
    """`loss(model, batch) -> LossOutput` or, where `carries_state`, `loss(model, batch, carry) -> LossOutput`."""
    held_out_weights: Mapping[str, float]
    """The held-out metrics whose weighted sum is the held-out loss."""
    second_task: SecondTask | None = None
    baselines: "Callable[[Epoch, Mapping[str, float]], dict[str, float]]" = no_baselines
    """What a model reaches on the held-out data that knows nothing, given the epoch and the trained model's metrics."""
    evaluation_hook: Callable[[EvaluationSettings], EvaluationHook] = no_hook
    """Makes what is called with the metrics of each evaluation."""
    audits_pairs: bool = False
    """Whether the audit asks how many labels of its pairs can be told from lengths or shared words alone."""
    recurrent: bool = False
    """Whether the model is a recurrent one."""
    carries_state: bool = False
    """Whether a step goes on from the state of the step before."""

    def compute(self, model: Any, batch: "Batch", carry: Any = None) -> LossOutput:
        """The loss of a micro-batch, whatever the objective."""
        return self.loss(model, batch, carry) if self.carries_state else self.loss(model, batch)


def next_token_loss(
    name: str, logits_BTV: "torch.Tensor", labels_BT: "torch.Tensor", count: int
) -> "tuple[torch.Tensor, Metrics]":
    """The sum of cross-entropies over positions, in nats, and its metrics.

    Args:
        name: prefix of the metrics.
        logits_BTV: [B, T, V].
        labels_BT: [B, T]; positions with `IGNORED` do not count.
        count: of the positions that count.
    """
    import torch
    from torch.nn.functional import cross_entropy

    from pretrain.data.loader import IGNORED

    scores, labels = logits_BTV.flatten(0, 1).float(), labels_BT.flatten()
    loss = cross_entropy(scores, labels, reduction="sum", ignore_index=IGNORED)
    with torch.no_grad():
        correct = (scores.argmax(-1) == labels).sum()
    return loss, {f"{name}_loss": (loss.detach(), count), f"{name}_accuracy": (correct, count)}
