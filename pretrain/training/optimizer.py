"""Optimizers by name, parameter groups, and the learning rate of each group."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from pretrain.models.architectures import architecture_of, encoders_of
from pretrain.training.config import OptimizerConfig

Groups = list[dict[str, Any]]


def create_optimizer(model: torch.nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """The optimizer named by the config, for the trainable parameters of a model."""
    return OPTIMIZERS[config.name](parameter_groups(model, config), config)


def adamw(groups: Groups, config: OptimizerConfig) -> torch.optim.Optimizer:
    """Fused AdamW (Loshchilov and Hutter 2019); without bias correction, `UncorrectedAdamW`."""
    if not config.bias_correction:
        return UncorrectedAdamW(groups, config)
    return torch.optim.AdamW(
        groups, lr=config.learning_rate, betas=(config.beta1, config.beta2), eps=config.epsilon, fused=True
    )


OPTIMIZERS: dict[str, Callable[[Groups, OptimizerConfig], torch.optim.Optimizer]] = {"adamw": adamw}


class UncorrectedAdamW(torch.optim.Optimizer):
    """AdamW without bias correction.

    google-research/bert, optimization.py, AdamWeightDecayOptimizer: w -= lr * (m / (sqrt(v) + epsilon) + decay * w).
    """

    def __init__(self, groups: Groups, config: OptimizerConfig) -> None:
        self.beta1, self.beta2, self.epsilon = config.beta1, config.beta2, config.epsilon
        super().__init__(groups, {"lr": config.learning_rate, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # ty: ignore[incompatible-method-override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
                mean, square = state["exp_avg"], state["exp_avg_sq"]
                mean.lerp_(parameter.grad, 1 - self.beta1)
                square.mul_(self.beta2).addcmul_(parameter.grad, parameter.grad, value=1 - self.beta2)
                update = mean / square.sqrt().add_(self.epsilon) + group["weight_decay"] * parameter
                parameter.sub_(update, alpha=group["lr"])


def parameter_groups(model: torch.nn.Module, config: OptimizerConfig) -> Groups:
    """Parameter groups with and without weight decay; LayerNorm and biases are not decayed, embeddings are.

    The grouping is that of google-research/bert, optimization.py. With layer-wise learning rates (Howard and Ruder
    2018, section 3.2) or gradual unfreezing (3.3), each layer has two groups.
    """
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    no_decay = {id(parameter) for name, parameter in trained if parameter.ndim < 2 or "LayerNorm" in name}
    by_layer = config.layer_decay < 1 or config.gradual_unfreezing
    if by_layer:
        patterns = [architecture_of(encoder.config).layer_pattern for encoder in encoders_of(model)[:1]]
        depths = layer_depths([name for name, _ in trained], *patterns)
    else:
        depths = dict.fromkeys((name for name, _ in trained), 0)
    groups = [
        {
            "params": [p for name, p in trained if depths[name] == depth and (id(p) not in no_decay) == decayed],
            "weight_decay": config.weight_decay if decayed else 0.0,
            "depth": depth,
        }
        for depth in sorted(set(depths.values()))
        for decayed in (True, False)
    ]
    return [group for group in groups if group["params"] or not by_layer]


def layer_depths(names: Sequence[str], pattern: str = r"\blayers?\.(\d+)\.") -> dict[str, int]:
    """The depth of each parameter: 0 for classifiers and the top layer, the highest for word vectors.

    >>> layer_depths(["m.embeddings.weight", "m.layers.0.w", "m.layers.1.w", "classifier.weight"])
    {'m.embeddings.weight': 2, 'm.layers.0.w': 1, 'm.layers.1.w': 0, 'classifier.weight': 0}
    """
    numbers = {name: int(match[1]) for name in names if (match := re.search(pattern, name))}
    layers = max(numbers.values(), default=-1) + 1
    embeddings = {name: layers for name in names if "embeddings" in name}
    return {name: embeddings.get(name, layers - 1 - numbers[name] if name in numbers else 0) for name in names}


def freeze_lower_layers(groups: Iterable[dict[str, Any]], epochs: float, config: OptimizerConfig) -> None:
    """Drop the gradients of frozen layers: epoch k trains the top k layers (Howard and Ruder 2018).

    Call it between the backward pass and gradient clipping.
    """
    if not config.gradual_unfreezing:
        return
    for group in groups:
        if group["depth"] > int(epochs):
            for parameter in group["params"]:
                parameter.grad = None


def set_lr(groups: Iterable[dict[str, Any]], lr: float, config: OptimizerConfig) -> None:
    """Set the learning rate of each group; each layer's is `layer_decay` times that of the layer above."""
    for group in groups:
        group["lr"] = lr * config.layer_decay ** group["depth"]
