"""The record that describes an objective, and the types that its functions use.

Shapes: D documents.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
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
    """The result of a loss function."""

    loss: "torch.Tensor"
    """The micro-batch's share of the step's loss; the shares of all micro-batches and processes sum to it."""
    metrics: Metrics
    carry: Any = None
    """The state that a recurrent language model passes to the next step."""


class SecondTask(NamedTuple):
    """A task learned in addition to masked-LM."""

    prefix: str
    """The prefix of its metrics: `nsp` has `nsp_loss` and `nsp_accuracy`."""
    name: str
    classes: tuple[str, ...] = ()
    """For pairs: the meaning of labels 0 and 1."""


@dataclass(frozen=True)
class DataSettings:
    """The settings of an objective's training and held-out data."""

    store: "TokenStore"
    documents: "np.ndarray"
    """[D] the documents to use."""
    layout: "TokenLayout"
    sequence_length: int
    batch_size: int
    seed: int
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    pairs: str = "bert"
    """How `mlm_nsp` makes pairs: `bert` or `balanced`."""
    short_sequence_probability: float = 0.1
    bptt: int = 64
    """For language models: tokens per stream and step."""
    bidirectional: bool = False
    """For language models: whether streams are also read backwards."""


@dataclass(frozen=True)
class EvaluationSettings:
    """The arguments of an evaluation hook."""

    model: Any
    """The unwrapped `transformers` model."""
    tokenizer: Any
    held_out: Any
    """The evaluation epoch."""
    sample_tokens: int
    """For language models: tokens to generate at each evaluation."""
    samples_file: "Path | None"
    """The file that generated texts are appended to; None in processes that do not write."""
    evaluations: Callable[[], int]
    """How many evaluations the log of the run has: a run that was killed after one, and resumes, repeats it."""
    seed: int


EvaluationHook = Callable[[dict[str, float]], dict[str, float]]
"""Takes the metrics of an evaluation and returns them with additional ones."""


def no_hook(settings: EvaluationSettings) -> EvaluationHook:
    """Adds nothing."""
    return lambda metrics: metrics


def no_baselines(held_out: "Epoch", metrics: Mapping[str, float]) -> dict[str, float]:
    """No baseline besides the unigram entropy, which every objective has."""
    return {}


@dataclass(frozen=True)
class Objective:
    """A pretraining objective."""

    name: str
    head: str
    """The head on the encoder: a key of `HEAD_MODELS` or, for recurrent models, of `recurrent_lm`."""
    source: "Callable[[DataSettings], Source]"
    """Makes the training data, whose `held_out()` returns the evaluation data."""
    loss: Callable[..., Any]
    """`loss(model, batch) -> LossOutput` or, with `carries_state`, `loss(model, batch, carry) -> LossOutput`."""
    held_out_weights: Mapping[str, float]
    """The held-out metrics whose weighted sum is the held-out loss; those that a model does not have are left out."""
    second_task: SecondTask | None = None
    baselines: "Callable[[Epoch, Mapping[str, float]], dict[str, float]]" = no_baselines
    """Trivial baselines on the held-out data, from the epoch and the trained model's metrics."""
    evaluation_hook: Callable[[EvaluationSettings], EvaluationHook] = no_hook
    """Makes the hook that receives the metrics of each evaluation."""
    audits_pairs: bool = False
    """Whether the audit measures how well lengths or shared words alone predict the labels of its pairs."""
    recurrent: bool = False
    """Whether the model is recurrent."""
    carries_state: bool = False
    """Whether a step continues from the state of the previous step."""

    def weighted(self, pair_weight: float) -> "Objective":
        """The same objective with another weight of the loss of its pairs, if it has any, in training and held out."""
        if self.second_task is None or not self.second_task.classes or pair_weight == 1:
            return self
        weights = dict(self.held_out_weights) | {f"{self.second_task.prefix}_loss": pair_weight}
        return replace(self, loss=functools.partial(self.loss, pair_weight=pair_weight), held_out_weights=weights)

    def compute(self, model: Any, batch: "Batch", carry: Any = None) -> LossOutput:
        """The loss of a micro-batch."""
        return self.loss(model, batch, carry) if self.carries_state else self.loss(model, batch)


def next_token_loss(
    name: str, logits_BTV: "torch.Tensor", labels_BT: "torch.Tensor", count: int
) -> "tuple[torch.Tensor, Metrics]":
    """The summed cross-entropy over positions, in nats, and its metrics.

    Args:
        name: prefix of the metrics.
        logits_BTV: [B, T, V].
        labels_BT: [B, T]; positions with `IGNORED` do not count.
        count: number of positions that count.
    """
    import torch
    from torch.nn.functional import cross_entropy

    from pretrain.data.loader import IGNORED

    scores, labels = logits_BTV.flatten(0, 1).float(), labels_BT.flatten()
    loss = cross_entropy(scores, labels, reduction="sum", ignore_index=IGNORED)
    with torch.no_grad():
        correct = (scores.argmax(-1) == labels).sum()
    return loss, {f"{name}_loss": (loss.detach(), count), f"{name}_accuracy": (correct, count)}
