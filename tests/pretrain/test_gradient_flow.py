"""Gradients on their way back: against the closed form, and what each kind of model does to them."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, GPT2Config, GPT2Model, ModernBertConfig, ModernBertForMaskedLM, T5Config, T5Model

from configs.errors import InputError
from pretrain.gradient_flow import GradientFlowConfig, fresh_flows, measure, run, trained_flows, unroll_cell
from pretrain.models.modeling.configuration_pooled import PooledConfig
from pretrain.models.modeling.modeling_pooled import PooledForSequenceClassification
from tests.helpers.pretraining import small_run


def small(folder: Path, **changes: Any) -> GradientFlowConfig:
    given: dict[str, Any] = {"to": str(folder), "length": 40, "width": 16, "sequences": 4}
    return GradientFlowConfig(**(given | changes))


def test_a_linear_recurrence_multiplies_gradients_by_its_singular_value(tmp_path):
    cell = torch.nn.RNNCell(16, 16)
    torch.nn.init.orthogonal_(cell.weight_hh, gain=0.9)
    config = small(tmp_path)
    # Inputs and biases of zero keep tanh where it is the identity.
    torch.nn.init.zeros_(cell.bias_ih)
    torch.nn.init.zeros_(cell.bias_hh)
    flow = measure("linear", cell, unroll_cell(cell), config, torch.zeros(4, 40, 16))
    assert flow.norms == pytest.approx([0.9**distance for distance in range(40)], rel=1e-4)


@pytest.mark.parametrize("cell", [torch.nn.RNNCell, torch.nn.GRUCell, torch.nn.LSTMCell])
def test_norms_are_those_of_the_gradient_with_respect_to_a_state(tmp_path, cell):
    torch.manual_seed(0)
    made, inputs = cell(3, 5), torch.randn(2, 6, 3)
    found = unroll_cell(made)(inputs)
    found.last_BH.square().sum().backward()
    # The same with the state of position 2 as what everything behind it is computed from.
    hidden, memory = torch.zeros(2, 5), torch.zeros(2, 5)

    def step(position, hidden, memory):
        if cell is torch.nn.LSTMCell:
            return made(inputs[:, position], (hidden, memory))
        return made(inputs[:, position], hidden), memory

    for position in range(3):
        hidden, memory = step(position, hidden, memory)
    leaf = hidden.detach().requires_grad_()
    carried = memory.detach().requires_grad_()
    hidden, memory = leaf, carried
    for position in range(3, 6):
        hidden, memory = step(position, hidden, memory)
    hidden.square().sum().backward()
    torch.testing.assert_close(found.hidden[2].grad, leaf.grad)
    if cell is torch.nn.LSTMCell:
        torch.testing.assert_close(found.memory[2].grad, carried.grad)


def test_each_kind_of_model_does_what_it_is_known_for(tmp_path):
    flows = {flow.model: flow for flow in fresh_flows(small(tmp_path, singular_values=[0.8, 2.5], length=60))}
    vanishing, exploding = flows["RNN, largest singular value 0.8"], flows["RNN, largest singular value 2.5"]
    closed, opened = flows["LSTM, forget-gate bias 0"], flows["LSTM, forget-gate bias 1"]
    attention, encoder = flows["LSTM with attention"], flows["Transformer encoder, 2 layers"]
    assert vanishing.norms[-1] < 1e-4
    assert exploding.norms[-1] > 10 * exploding.norms[0]
    assert opened.norms[-1] > 100 * closed.norms[-1]
    assert attention.norms[-1] > 10 * opened.norms[-1]
    assert encoder.norms[-1] > 0.3 * encoder.norms[5], "no further away than the neighbours"
    assert len(opened.memory_norms) == 60
    assert not vanishing.memory_norms
    for flow in flows.values():
        assert flow.clipping == pytest.approx(min(1.0, 1.0 / flow.parameter_norm))
    assert exploding.clipping < 1


def test_the_command_writes_json_and_a_picture_of_fresh_and_of_trained_models(tmp_path, monkeypatch):
    from pretrain.run import run as pretrain

    folder = run(small(tmp_path / "fresh"))
    told = json.loads((folder / "gradient_flow.json").read_text(encoding="utf-8"))
    assert len(told["flows"]) == 3 + 2 + 1 + 1
    assert all(len(flow["norms"]) == 40 for flow in told["flows"])
    assert (folder / "gradient_flow.png").stat().st_size > 10_000
    short = {"duration": "2 steps"}
    trained = pretrain(small_run(tmp_path, objective="causal_lm", recurrent={"cell": "gru"}, training=short))
    encoder = pretrain(small_run(tmp_path, training=short))
    folder = run(small(tmp_path / "trained", length=20, models=[str(trained.path), str(encoder.path)]))
    told = json.loads((folder / "gradient_flow.json").read_text(encoding="utf-8"))
    assert [flow["model"] for flow in told["flows"]] == [trained.path.name, encoder.path.name]
    assert all(flow["norms"][0] > 0 for flow in told["flows"])


def test_a_gradient_that_is_not_finite_leaves_json_that_every_reader_takes(tmp_path, monkeypatch):
    cell = torch.nn.RNNCell(16, 16)
    cell.weight_hh.data.fill_(torch.nan)
    flow = measure("broken", cell, unroll_cell(cell), small(tmp_path))
    assert math.isnan(flow.clipping), "what is not finite is clipped by no factor"
    monkeypatch.setattr("pretrain.gradient_flow.fresh_flows", lambda config: [flow])
    text = (run(small(tmp_path)) / "gradient_flow.json").read_text(encoding="utf-8")
    (told,) = json.loads(text, parse_constant=pytest.fail)["flows"]
    assert told["clipping"] is None
    assert None in told["norms"]


@pytest.mark.parametrize("width", [2, 97, 100])
def test_any_width_has_an_encoder(tmp_path, width):
    config = small(tmp_path, width=width, length=3, singular_values=[], forget_biases=[])
    assert fresh_flows(config)[-1].model == "Transformer encoder, 2 layers"


def saved(kind, folder):
    torch.manual_seed(0)
    sizes: Any = {
        "vocab_size": 20, "hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 16,
        "max_position_embeddings": 32, "pad_token_id": 0,
    }  # fmt: skip
    special: Any = {"cls_token_id": 1, "bos_token_id": 1, "eos_token_id": 2, "sep_token_id": 2}
    models = {
        "modernbert": lambda: ModernBertForMaskedLM(ModernBertConfig(**sizes, **special)),
        "pooled": lambda: PooledForSequenceClassification(PooledConfig(BertConfig(**sizes), "concat")),
        "gpt2": lambda: GPT2Model(GPT2Config(vocab_size=20, n_embd=16, n_layer=2, n_head=2, n_positions=32)),
        "t5": lambda: T5Model(T5Config(vocab_size=20, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)),
    }
    models[kind]().save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("kind", ["modernbert", "pooled"])
def test_encoders_of_every_kind_are_measured_up_to_their_length(tmp_path, kind):
    folder = saved(kind, tmp_path / kind)
    (flow,) = trained_flows(small(tmp_path, length=32, models=[folder]))
    assert len(flow.norms) == 32
    assert min(flow.norms) > 0
    with pytest.raises(InputError, match=r"length: 33 is too long for .*, which reads 32 tokens"):
        trained_flows(small(tmp_path, length=33, models=[folder]))


def test_a_model_of_another_kind_or_without_weights_is_refused(tmp_path):
    for kind in ("t5", "gpt2"):
        with pytest.raises(InputError, match="neither a recurrent model nor an encoder"):
            trained_flows(small(tmp_path, models=[saved(kind, tmp_path / kind)]))
    folder = saved("modernbert", tmp_path / "damaged")
    (tmp_path / "damaged" / "model.safetensors").unlink()
    with pytest.raises(InputError, match="cannot be loaded"):
        trained_flows(small(tmp_path, models=[folder]))


@pytest.mark.parametrize("changes", [{"length": 1}, {"clip_norm": 0.0}, {"sequences": 0}])
def test_what_cannot_be_measured_is_refused(tmp_path, changes):
    with pytest.raises(InputError):
        small(tmp_path, **changes)
    with pytest.raises(InputError, match="no such file or folder"):
        run(small(tmp_path, models=["no such model"]))
