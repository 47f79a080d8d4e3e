"""Logistic regression on the features of a model that is not trained, as its output layer.

It is the yardstick `frozen`, and a start for fine-tuning (`model.classifier_init`).

Shapes: N texts, F features, C classes or labels.
"""

import contextlib
import functools
from collections.abc import Generator
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from configs.errors import InputError
from finetune.classification.config import TaskConfig
from finetune.classification.metrics import probability_scores
from finetune.classification.multi_label.one_versus_rest import OneVersusRest
from pretrain.training.sharded import like

# Inverse strengths of the L2 penalty, to be selected on the validation texts.
INVERSE_PENALTIES = (1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0)
MAXIMUM_ITERATIONS = 2000

Labelled = tuple[np.ndarray, np.ndarray]
"""Features [N, F] and class indices [N], or labels [N, C]."""


def output_layer(model: Any) -> tuple[Any, str]:
    """The module that holds the linear output layer of a sequence classifier, and the layer's name in it.

    Raises:
        InputError: the model has no linear layer with one output a class.
    """
    names = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module.out_features == len(model.config.id2label)
    ]
    if not names:
        raise InputError(f"model.classifier_init: {type(model).__name__} has no linear output layer to initialise")
    parent, _, name = names[-1].rpartition(".")
    return model.get_submodule(parent), name


@contextlib.contextmanager
def without_output_layer(model: Any) -> Generator[Any]:
    """Within this block, the model gives the inputs of its output layer, [B, F], in place of its logits."""
    parent, name = output_layer(model)
    layer = getattr(parent, name)
    setattr(parent, name, torch.nn.Identity())
    try:
        yield model
    finally:
        setattr(parent, name, layer)


def require_bias(model: Any) -> None:
    """Refuse a model whose output layer cannot be shifted, before it is trained.

    Raises:
        InputError: it has no linear output layer, or one without a bias.
    """
    parent, name = output_layer(model)
    if getattr(parent, name).bias is None:
        raise InputError(
            f"model.calibrated_bias: the output layer of {type(model).__name__} has no bias to shift; leave it out"
        )


def shift_logits(model: Any, shifts_C: np.ndarray) -> None:
    """Add to the bias of the output layer, in place, on however many devices it lies."""
    parent, name = output_layer(model)
    bias = getattr(parent, name).bias
    with torch.no_grad():
        bias.add_(like(torch.from_numpy(shifts_C).to(device=bias.device, dtype=bias.dtype), bias))


def fit_linear(
    classifier: torch.nn.Linear,
    train: Labelled,
    held_out: Labelled,
    config: TaskConfig,
    weights_C: np.ndarray | None = None,
    *,
    refit: bool = False,
    refit_weights_C: np.ndarray | None = None,
) -> float:
    """Fit a linear layer to features, in place; gives the inverse penalty that is best on the held-out texts.

    The features are standardised, and the layer takes the standardisation into its weights.

    Args:
        classifier: from F to C.
        train, held_out: features and classes.
        config: `select_by` and the seed.
        weights_C: of the classes, or of texts that have a label; None if all weigh the same.
        refit: fit with that penalty to the held-out texts as well.
        refit_weights_C: of the classes in both parts.
    """
    scaler, score = StandardScaler().fit(train[0]), config.score_of(train[1].ndim == 2)
    features_NF, held_out_NF = scaler.transform(train[0]), scaler.transform(held_out[0])
    best: tuple[float, float] | None = None
    for inverse_penalty in INVERSE_PENALTIES:
        model = _fitted(features_NF, train[1], inverse_penalty, config.seed, weights_C)
        values = probability_scores(model.predict_proba(held_out_NF), held_out[1], config)
        rank = values[score], -values["loss"]
        if best is None or rank > best:
            best, chosen, chosen_penalty = rank, model, inverse_penalty
    if refit:
        features_NF, labels_N = (np.concatenate(parts) for parts in zip(train, held_out, strict=True))
        scaler = StandardScaler().fit(features_NF)
        chosen = _fitted(scaler.transform(features_NF), labels_N, chosen_penalty, config.seed, refit_weights_C)
    weights_CF, bias_C = chosen.coef_ / scaler.scale_, chosen.intercept_ - chosen.coef_ @ (scaler.mean_ / scaler.scale_)
    if len(weights_CF) == 1:
        # Of two classes, scikit-learn has the difference of the logits.
        weights_CF, bias_C = np.concatenate([-weights_CF, weights_CF]) / 2, np.concatenate([-bias_C, bias_C]) / 2
    with torch.no_grad():
        classifier.weight.copy_(torch.from_numpy(weights_CF))
        classifier.bias.copy_(torch.from_numpy(bias_C))
    return chosen_penalty


def _fitted(
    features_NF: np.ndarray, labels_N: np.ndarray, inverse_penalty: float, seed: int, weights_C: np.ndarray | None
) -> Any:
    """A classifier of standardised features."""
    make = functools.partial(LogisticRegression, C=inverse_penalty, max_iter=MAXIMUM_ITERATIONS, random_state=seed)
    if labels_N.ndim == 2:
        return OneVersusRest(make).fit(features_NF, labels_N, weights_C)
    return make().fit(features_NF, labels_N, None if weights_C is None else weights_C[labels_N])
