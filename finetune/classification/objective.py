"""The loss of classification, of texts as they are or with their word vectors moved against the model.

Shapes: B sequences, T tokens, C classes or labels, E size of word vectors.
"""

import contextlib
from collections.abc import Callable, Generator
from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, pad

from configs.errors import InputError
from pretrain.data.loader import IGNORED, Batch
from pretrain.objectives.objective import LossOutput, Metrics

# fp16 would lose small gradients; a power of two changes nothing in the other precisions, and the norm is divided by.
FP16_SCALE = 1024.0


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


def adversarial_loss(
    model: Any, batch: Batch, carry: Any = None, weights_C: torch.Tensor | None = None, size: float = 0.0
) -> LossOutput:
    """The loss of texts whose word vectors are moved against the model; accuracy is of the texts as they are.

    Adversarial training of Miyato et al. 2017 (arXiv 1605.07725, equations 5 and 6), of the moved texts alone. The
    vectors of a text move along the gradient of its loss, by a step whose L2 norm is `size` times that of all these
    vectors together. (The paper makes vectors of unit variance instead, and has steps of norm 5: beside 240 words of
    256 dimensions, a `size` of 0.02.) Both passes have the same dropout.

    Args:
        model, batch, carry, weights_C: as of `classification_loss`.
        size: of the step; 0 moves nothing.

    Raises:
        InputError: a model whose word vectors are looked up in a way of its own.
    """
    device = batch["attention_mask"].device
    with (
        torch.random.fork_rng([] if device.type == "cpu" else [device], device_type=device.type),
        _changed_vectors(model, lambda vectors_BTE: vectors_BTE.detach().requires_grad_()) as changed,
    ):
        first = classification_loss(model, batch, carry, weights_C)
    (gradient_BTE,) = torch.autograd.grad(first.loss * FP16_SCALE, changed)
    # Longformer and BigBird read more padding than they are given.
    attention_BT = pad(batch["attention_mask"], (0, changed[0].shape[1] - batch["attention_mask"].shape[1]))
    step_BTE = adversarial_step(changed[0].detach(), gradient_BTE, attention_BT, size)
    with _changed_vectors(model, lambda vectors_BTE: vectors_BTE + step_BTE):
        return classification_loss(model, batch, carry, weights_C)._replace(metrics=first.metrics)


def adversarial_step(
    vectors_BTE: torch.Tensor, gradient_BTE: torch.Tensor, attention_BT: torch.Tensor, size: float
) -> torch.Tensor:
    """[B, T, E] how the word vectors of each text move: along the gradient, padding not at all.

    >>> vectors, gradient = torch.full((1, 3, 4), 0.5), torch.tensor([[[0.0, 3, 0, 0], [4, 0, 0, 0], [9, 9, 9, 9]]])
    >>> adversarial_step(vectors, gradient, torch.tensor([[1, 1, 0]]), size=0.1)[0, :, :2] / 2**0.5
    tensor([[0.0000, 0.0600],
            [0.0800, 0.0000],
            [0.0000, 0.0000]])
    """
    is_token_BT1 = attention_BT.to(vectors_BTE.dtype).unsqueeze(-1)
    along_BTE = gradient_BTE * is_token_BT1
    # The squares of a sure text's small gradients would be zero.
    along_BTE = along_BTE / _or_one(along_BTE.abs().amax((1, 2), keepdim=True))
    text_B11, along_B11 = (part.norm(dim=(1, 2), keepdim=True) for part in (vectors_BTE * is_token_BT1, along_BTE))
    return size * text_B11 / _or_one(along_B11) * along_BTE


def _or_one(numbers: torch.Tensor) -> torch.Tensor:
    return numbers.where(numbers > 0, 1.0)


@contextlib.contextmanager
def _changed_vectors(model: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Generator[list[torch.Tensor]]:
    """A context in which the word vectors [B, T, E] that a possibly wrapped model looks up are changed; gives these.

    Of a model that looks up others later, those of a decoder, only the first.

    Raises:
        InputError: nothing that could be changed was looked up.
    """
    changed: list[torch.Tensor] = []

    def once(module: torch.nn.Module, inputs: Any, vectors_BTE: Any) -> Any:
        if changed or not isinstance(vectors_BTE, torch.Tensor):
            return vectors_BTE
        changed.append(change(vectors_BTE))
        return changed[0]

    hooks = [module.register_forward_hook(once) for module in _word_embeddings(getattr(model, "module", model))]
    try:
        yield changed
    finally:
        for hook in hooks:
            hook.remove()
    if not changed:
        raise InputError("adversarial_step: the word vectors of this model cannot be moved; leave it out")


def _word_embeddings(model: Any) -> list[torch.nn.Module]:
    """The modules that look up word vectors: BART and T5 have several, of one weight; CANINE has none."""
    try:
        embeddings = model.get_input_embeddings()
    except NotImplementedError:
        return []
    weight = getattr(embeddings, "weight", None)
    return [module for module in model.modules() if weight is not None and getattr(module, "weight", None) is weight]
