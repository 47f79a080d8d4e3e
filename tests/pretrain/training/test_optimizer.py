"""Optimizers: update rules, parameter groups, layer-wise rates."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AlbertConfig, AlbertForMaskedLM

from configs.errors import InputError
from pretrain.models.builders import classifier, pretraining_model
from pretrain.models.config import ClassifierConfig, EncoderConfig
from pretrain.models.pretraining_models import PairModel
from pretrain.training import checkpoints, sharded
from pretrain.training.config import OptimizerConfig
from pretrain.training.optimizer import create_optimizer, freeze_lower_layers, layer_depths, set_lr
from pretrain.training.schedule import learning_rate
from tests.helpers.pretraining import new_encoder, small_tokenizer
from tokenizer.vocabulary.serialization import load as load_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return load_tokenizer(small_tokenizer(tmp_path_factory.mktemp("optimization")))


@pytest.fixture(scope="module")
def model(tokenizer):
    return PairModel(new_encoder(EncoderConfig(layers=1, hidden_size=16, heads=1), tokenizer, 0))


def names_by_decay(model, config):
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = create_optimizer(model, config).param_groups
    found = {group["weight_decay"]: {names[id(parameter)] for parameter in group["params"]} for group in groups}
    assert sum(len(group["params"]) for group in groups) == len(names), "each parameter once"
    return found


def test_layer_norm_and_biases_are_not_decayed_and_embeddings_are(model):
    decay = names_by_decay(model, OptimizerConfig(weight_decay=0.01))
    assert all("LayerNorm" in name or name.endswith("bias") for name in decay[0.0])
    assert not any("LayerNorm" in name or name.endswith("bias") for name in decay[0.01])
    assert {name for name in decay[0.01] if "embeddings" in name} == {
        f"model.bert.embeddings.{kind}_embeddings.weight" for kind in ("word", "position", "token_type")
    }
    assert decay[0.0] | decay[0.01] == {name for name, _ in model.named_parameters()}


def test_matrices_of_a_recurrent_model_are_decayed_and_its_biases_are_not(tokenizer):
    model = classifier(ClassifierConfig(name="bilstm"), "", tokenizer, ["a", "b"], 0)
    decay = names_by_decay(model, OptimizerConfig(weight_decay=0.5))
    assert decay[0.0] == {name for name, parameter in model.named_parameters() if parameter.ndim == 1}
    assert any("weight_hh" in name for name in decay[0.5])


def test_frozen_parameters_are_left_to_themselves():
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 2))
    model[0].requires_grad_(requires_grad=False)
    held = [
        parameter for group in create_optimizer(model, OptimizerConfig()).param_groups for parameter in group["params"]
    ]
    assert {id(parameter) for parameter in held} == {id(parameter) for parameter in model[1].parameters()}


def test_betas_epsilon_and_rate_are_those_of_the_config(model):
    config = OptimizerConfig(learning_rate=0.02, beta1=0.8, beta2=0.95, epsilon=1e-5)
    for group in create_optimizer(model, config).param_groups:
        assert (group["lr"], group["betas"], group["eps"]) == (0.02, (0.8, 0.95), 1e-5)


def test_decay_is_decoupled_from_the_gradient():
    model = torch.nn.Linear(2, 2)
    before = model.weight.detach().clone()
    optimizer = create_optimizer(model, OptimizerConfig(learning_rate=0.1, weight_decay=0.5))
    model(torch.zeros(1, 2)).sum().mul(0).backward()
    optimizer.step()
    torch.testing.assert_close(model.weight.detach(), before * (1 - 0.1 * 0.5))


# ---------------------------------------------------------------------------- as google-research/bert does it


def by_hand(weights, gradients, rates, config):
    """AdamWeightDecayOptimizer.apply_gradients, line by line: no bias correction, decay added to the update."""
    m, v, w = np.zeros_like(weights), np.zeros_like(weights), weights.astype(np.float64)
    for gradient, rate in zip(gradients, rates, strict=True):
        m = config.beta1 * m + (1 - config.beta1) * gradient
        v = config.beta2 * v + (1 - config.beta2) * gradient**2
        w = w - rate * (m / (np.sqrt(v) + config.epsilon) + config.weight_decay * w)
    return w


@pytest.mark.parametrize("corrected", [False, True])
def test_steps_without_bias_correction_are_those_of_the_original(corrected):
    config = OptimizerConfig(learning_rate=0.01, weight_decay=0.1, bias_correction=corrected)
    rng = np.random.default_rng(0)
    weights, gradients = rng.standard_normal((3, 4)), rng.standard_normal((20, 3, 4)) * 1e-3
    rates = [learning_rate(step / 20, config) for step in range(20)]
    layer = torch.nn.Linear(4, 3, bias=False)
    layer.weight.data = torch.tensor(weights, dtype=torch.float32)
    optimizer = create_optimizer(layer, config)
    for gradient, rate in zip(gradients, rates, strict=True):
        layer.weight.grad = torch.tensor(gradient, dtype=torch.float32)
        set_lr(optimizer.param_groups, rate, config)
        optimizer.step()
    difference = np.abs(layer.weight.detach().numpy() - by_hand(weights, gradients, rates, config)).max()
    assert (difference > 1e-3) if corrected else (difference < 2e-5)


def test_early_steps_without_correction_are_up_to_six_times_as_large():
    """6.6 times at the most, with the defaults; at step t it is (1 - b1^t) / sqrt(1 - b2^t) of the other."""
    moved = {}
    for corrected in (True, False):
        layer = torch.nn.Linear(1, 1, bias=False)
        optimizer = create_optimizer(layer, OptimizerConfig(weight_decay=0.0, bias_correction=corrected))
        steps = []
        for _ in range(200):
            before = layer.weight.item()
            layer.weight.grad = torch.ones(1, 1)
            optimizer.step()
            steps.append(before - layer.weight.item())
        moved[corrected] = np.array(steps)
    steps = np.arange(1, 201)
    expected = (1 - 0.9**steps) / np.sqrt(1 - 0.999**steps)
    assert moved[False] / moved[True] == pytest.approx(expected, rel=0.01)
    assert (moved[False] / moved[True]).max() == pytest.approx(6.6, abs=0.1)


def test_a_skipped_step_does_not_change_the_size_of_the_next():
    """Without bias correction a step depends on the gradients before it, not on the number of the run's steps."""
    config = OptimizerConfig(weight_decay=0.1, bias_correction=False)
    weights, gradients = np.ones((3, 4)), np.random.default_rng(0).standard_normal((3, 3, 4))
    layer = torch.nn.Linear(4, 3, bias=False)
    layer.weight.data = torch.tensor(weights, dtype=torch.float32)
    optimizer = create_optimizer(layer, config)
    for number, gradient in enumerate(gradients):
        set_lr(optimizer.param_groups, 0.01, config)
        layer.weight.grad = torch.tensor(gradient, dtype=torch.float32)
        if number != 1:
            optimizer.step()
        optimizer.zero_grad()
    expected = by_hand(weights, gradients[[0, 2]], [0.01, 0.01], config)
    np.testing.assert_allclose(layer.weight.detach().numpy(), expected, atol=1e-6)


# ----------------------------------------------------------------------------- ULMFiT (Howard and Ruder 2018)

ULMFIT = OptimizerConfig(learning_rate=0.01, layer_decay=1 / 2.6, gradual_unfreezing=True, bias_correction=True)


@pytest.fixture
def stacked(tokenizer):
    config = ClassifierConfig(name="lstm", layers=3, embedding_size=6, hidden_size=5)
    return classifier(config, "", tokenizer, ["a", "b"], 0)


def part_of(name):
    return next(part for part in ("embeddings", "layers.0", "layers.1", "layers.2", "classifier") if part in name)


def test_lower_layers_learn_at_smaller_rates(stacked):
    optimizer = create_optimizer(stacked, ULMFIT)
    set_lr(optimizer.param_groups, 0.01, ULMFIT)
    names = {id(parameter): name for name, parameter in stacked.named_parameters()}
    rates = {part_of(names[id(p)]): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    top = {"classifier": 0, "layers.2": 0, "layers.1": 1, "layers.0": 2, "embeddings": 3}
    assert rates == pytest.approx({part: 0.01 / 2.6**below for part, below in top.items()})
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert len(held) == len(names), "each parameter once"


def test_without_ulmfits_switches_there_are_the_two_groups_as_ever(stacked):
    assert len(create_optimizer(stacked, OptimizerConfig()).param_groups) == 2


def test_layers_are_unfrozen_one_an_epoch_from_the_top(stacked):
    moved = []
    optimizer = create_optimizer(stacked, ULMFIT)
    ids = torch.arange(1, 13).view(2, 6)
    for epochs in (0.0, 0.9, 1.0, 2.5, 3.0):
        before = {name: parameter.detach().clone() for name, parameter in stacked.named_parameters()}
        stacked(ids, labels=torch.tensor([0, 1])).loss.backward()
        freeze_lower_layers(optimizer.param_groups, epochs, ULMFIT)
        set_lr(optimizer.param_groups, 0.01, ULMFIT)
        optimizer.step()
        optimizer.zero_grad()
        found = {name for name, parameter in stacked.named_parameters() if not torch.equal(parameter, before[name])}
        moved.append({part_of(name) for name in found})
    top = {"classifier", "layers.2"}
    lower = top | {"layers.1", "layers.0"}
    assert moved == [top, top, top | {"layers.1"}, lower, lower | {"embeddings"}]


def test_nothing_is_frozen_unless_asked_for(stacked):
    optimizer = create_optimizer(stacked, OptimizerConfig())
    stacked(torch.arange(1, 7).view(1, 6), labels=torch.tensor([0])).loss.backward()
    freeze_lower_layers(optimizer.param_groups, 0.0, OptimizerConfig())
    assert all(parameter.grad is not None for parameter in stacked.parameters())


def muon_model(tokenizer):
    config = EncoderConfig(architecture="modernbert", layers=2, hidden_size=16, heads=1)
    model = pretraining_model("pair", config, tokenizer, None, 0)
    for number, parameter in enumerate(model.parameters()):
        parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
    return model


MUON = OptimizerConfig(name="muon", learning_rate=1e-3, muon_learning_rate=0.02, weight_decay=0.1, beta2=0.98)


def test_muon_has_the_matrices_of_the_layers_and_adamw_the_rest(tokenizer):
    model = muon_model(tokenizer)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    held = {
        is_muon: {
            names[id(parameter)]
            for group in create_optimizer(model, MUON).param_groups
            if group["muon"] == is_muon
            for parameter in group["params"]
        }
        for is_muon in (True, False)
    }
    layers = {name for name in names.values() if ".layers." in name and "norm" not in name}
    assert held[True] == layers
    assert held[False] == set(names.values()) - layers
    assert len(held[True]) == 2 * 4


def test_muon_is_refused_where_layers_share_their_weights():
    sizes: Any = {"hidden_size": 16, "embedding_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = AlbertForMaskedLM(AlbertConfig(vocab_size=20, intermediate_size=16, **sizes))
    with pytest.raises(InputError, match=r"optimizer\.name: no layers with weights of their own .* use adamw"):
        create_optimizer(model, MUON)
    assert create_optimizer(model, OptimizerConfig()).param_groups


def test_steps_of_muon_are_those_of_torch(tokenizer):
    model, other = muon_model(tokenizer), muon_model(tokenizer)
    optimizer = create_optimizer(model, dataclasses.replace(MUON, muon_momentum=0.9))
    matrices = [p for name, p in other.named_parameters() if ".layers." in name and p.ndim == 2]
    ids = {id(parameter) for parameter in matrices}
    rest = [p for p in other.parameters() if id(p) not in ids]
    muon = torch.optim.Muon(matrices, lr=0.01, weight_decay=0.1, momentum=0.9, adjust_lr_fn="original")
    decayed = [
        {"params": [p for p in rest if p.ndim > 1]},
        {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(decayed, lr=5e-4, weight_decay=0.1, betas=(0.9, 0.98), eps=MUON.epsilon, fused=True)
    for _ in range(3):
        set_lr(optimizer.param_groups, 5e-4, MUON)
        optimizer.step()
        muon.step()
        adamw.step()
    for (name, one), two in zip(model.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two), name


def test_layer_rates_go_for_both_parts_of_muon(tokenizer):
    config = dataclasses.replace(MUON, layer_decay=0.5)
    groups = create_optimizer(muon_model(tokenizer), config).param_groups
    set_lr(groups, 1e-3, config)
    rates = {(group["depth"], group["muon"]): group["lr"] for group in groups}
    assert rates[0, True] == pytest.approx(0.02)
    assert rates[1, True] == pytest.approx(0.01)
    assert rates[0, False] == pytest.approx(1e-3)
    assert rates[2, False] == pytest.approx(0.25e-3), "the word vectors"


def test_the_state_of_muon_comes_back_to_the_last_bit(tokenizer, tmp_path):
    model = muon_model(tokenizer)
    optimizer = create_optimizer(model, MUON)
    optimizer.step()
    place = checkpoints.save(
        tmp_path, 1, sharded.weights_of(model), checkpoints.optimizer_tensors(optimizer), {"step": 1}
    )
    other = muon_model(tokenizer)
    other_optimizer = create_optimizer(other, MUON)
    checkpoints.load(place, other, other_optimizer)
    for one in (optimizer, other_optimizer):
        one.step()
    for (name, one), two in zip(model.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two), name


def test_depths_count_layers_from_the_top():
    names = ["e.embeddings.weight", "e.layers.0.w", "e.layers.1.w", "e.layers.2.w", "classifier.weight"]
    assert list(layer_depths(names, {f"e.layers.{number}": number for number in range(3)}).values()) == [3, 2, 1, 0, 0]
    assert layer_depths(["e.embeddings.weight", "classifier.weight"], {}) == {
        "e.embeddings.weight": 0, "classifier.weight": 0,
    }  # fmt: skip
