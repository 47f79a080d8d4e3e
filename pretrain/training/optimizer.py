"""Optimizers by name, parameter groups, and the learning rate of each group."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from configs.errors import InputError
from pretrain.models.layers import layer_numbers, layer_of
from pretrain.training.config import OptimizerConfig

Groups = list[dict[str, Any]]
# In a parameter's name; GPT-2 and its relatives call their embeddings `wte` and `wpe`.
EMBEDDING = re.compile(r"emb|\bw[tp]e\b")


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


def muon(groups: Groups, config: OptimizerConfig) -> torch.optim.Optimizer:
    """Muon for the groups of matrices, AdamW for the others."""
    return MuonAndAdamW(groups, config)


OPTIMIZERS: dict[str, Callable[[Groups, OptimizerConfig], torch.optim.Optimizer]] = {"adamw": adamw, "muon": muon}


class MuonAndAdamW(torch.optim.Optimizer):
    """`torch.optim.Muon` for the groups with `muon: True`, fused AdamW for the others, as one optimizer.

    The two share this optimizer's groups and state, so that learning rates, checkpoints and gradient clipping need to
    know only one. Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks": the update of a matrix
    is its momentum, made orthogonal by a Newton-Schulz iteration, times sqrt(max(1, rows / columns)).
    """

    def __init__(self, groups: Groups, config: OptimizerConfig) -> None:
        super().__init__(groups, {"lr": config.learning_rate, "weight_decay": 0.0})
        matrices = [group for group in self.param_groups if group["muon"]]
        others = [group for group in self.param_groups if not group["muon"]]
        betas = (config.beta1, config.beta2)
        self.parts: dict[bool, torch.optim.Optimizer] = {}
        if matrices:
            self.parts[True] = torch.optim.Muon(
                matrices, lr=config.muon_learning_rate, momentum=config.muon_momentum, adjust_lr_fn="original"
            )
        if others:
            self.parts[False] = torch.optim.AdamW(
                others, lr=config.learning_rate, betas=betas, eps=config.epsilon, fused=True
            )
        self._share()

    def _share(self) -> None:
        """Let both parts work on this optimizer's groups and state."""
        for is_muon, part in self.parts.items():
            part.param_groups = [group for group in self.param_groups if group["muon"] == is_muon]
            part.state = self.state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state; groups and state are new objects afterwards."""
        super().load_state_dict(state_dict)
        self._share()

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # ty: ignore[incompatible-method-override]
        """Update every parameter that has a gradient."""
        for part in self.parts.values():
            part.step()


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

    Raises:
        InputError: layers are to have rates or an optimizer of their own, and the model has none.
    """
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    no_decay = {id(parameter) for name, parameter in trained if parameter.ndim < 2 or "LayerNorm" in name}
    layers = layer_numbers(model)
    by_layer = config.layer_decay < 1 or config.gradual_unfreezing
    depths = dict.fromkeys((name for name, _ in trained), 0)
    if by_layer:
        if not layers:
            raise InputError(
                "optimizer.layer_decay, optimizer.gradual_unfreezing: the layers of this model share their weights, or "
                "it has none, so that none can have a rate of its own"
            )
        depths = layer_depths(depths, layers)
    # Whether a group is Muon's, and whether it is decayed.
    kinds = [(False, True), (False, False)]
    matrices: set[int] = set()
    if config.name == "muon":
        if not layers:
            raise InputError(
                "optimizer.name: no layers with weights of their own were found in this model, so that none of its "
                "matrices would be muon's; use adamw"
            )
        # Those that Muon is made for: the two-dimensional weights within an encoder's layers.
        matrices = {id(p) for name, p in trained if p.ndim == 2 and layer_of(name, layers) is not None}
        kinds = [(True, True), *kinds]
    groups = [
        {
            "params": [
                p
                for name, p in trained
                if depths[name] == depth and (id(p) not in no_decay) == decayed and (id(p) in matrices) == is_muon
            ],
            "weight_decay": config.weight_decay if decayed else 0.0,
            "depth": depth,
            "muon": is_muon,
        }
        for depth in sorted(set(depths.values()))
        for is_muon, decayed in kinds
    ]
    return [group for group in groups if group["params"] or not by_layer]


def layer_depths(names: Iterable[str], layers: Mapping[str, int]) -> dict[str, int]:
    """The depth of each parameter: 0 for classifiers and the top layer, the highest for word vectors.

    >>> names = ["m.embeddings.weight", "m.layers.0.w", "m.layers.1.w", "classifier.weight"]
    >>> layer_depths(names, {"m.layers.0": 0, "m.layers.1": 1})
    {'m.embeddings.weight': 2, 'm.layers.0.w': 1, 'm.layers.1.w': 0, 'classifier.weight': 0}
    """
    top, depths = max(layers.values(), default=-1), {}
    for name in names:
        number = layer_of(name, layers)
        depths[name] = top - number if number is not None else top + 1 if EMBEDDING.search(name) else 0
    return depths


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
        share = config.muon_learning_rate / config.learning_rate if group["muon"] else 1.0
        group["lr"] = lr * share * config.layer_decay ** group["depth"]
