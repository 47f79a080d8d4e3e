"""Recurrent models: the cells' equations, padding, rows and order, dropout, and what travels with the weights."""

import ast
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from pretrain.models.modeling import configuration_recurrent, modeling_recurrent, modeling_recurrent_lm
from pretrain.models.modeling.configuration_recurrent import POOLINGS, RecurrentConfig
from pretrain.models.modeling.modeling_recurrent import (
    CELLS,
    RecurrentForSequenceClassification,
    VariationalDropout,
    run_direction,
)


def recurrent(cell="lstm", bidirectional=False, pooling="mean", layers=2, seed=0, **others):
    torch.manual_seed(seed)
    return RecurrentForSequenceClassification(
        RecurrentConfig(
            vocab_size=40,
            cell=cell,
            embedding_size=6,
            hidden_size=5,
            num_hidden_layers=layers,
            bidirectional=bidirectional,
            pooling=pooling,
            num_labels=3,
            **others,
        )
    ).eval()


@pytest.mark.parametrize(("cell", "bidirectional", "pooling"), list(itertools.product(CELLS, (False, True), POOLINGS)))
def test_padding_changes_no_score(cell, bidirectional, pooling):
    model = recurrent(cell, bidirectional, pooling)
    generator = torch.Generator().manual_seed(0)
    lengths = (7, 1, 4, 11)
    ids = torch.randint(1, 40, (4, 16), generator=generator)
    mask = (torch.arange(16) < torch.tensor(lengths).unsqueeze(1)).long()
    with torch.inference_mode():
        alone = torch.cat([model(ids[row : row + 1, :length]).logits for row, length in enumerate(lengths)])
        # Whatever stands in the padding, words included.
        together, zeros = model(ids, mask).logits, model(ids * mask, mask).logits
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(zeros, alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_two_directions_equal_those_of_torch(cell, pooling):
    model = recurrent(cell, bidirectional=True, pooling=pooling, layers=1)
    reference = CELLS[cell](6, 5, batch_first=True, bidirectional=True)
    with torch.no_grad():
        for name, parameter in model.recurrent.layers[0].forward_cell.named_parameters():
            reference.get_parameter(name).copy_(parameter)
        for name, parameter in model.recurrent.layers[0].backward_cell.named_parameters():
            reference.get_parameter(f"{name}_reverse").copy_(parameter)
    ids = torch.randint(1, 40, (2, 8), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        states, _ = reference(model.recurrent.embeddings(ids))
        last = torch.cat([states[:, -1, :5], states[:, 0, 5:]], dim=-1)
        pooled = {"mean": states.mean(1), "max": states.amax(1), "last": last}
        pooled["concat"] = torch.cat([last, states.mean(1), states.amax(1)], dim=-1)
        if pooling == "attention":
            # Luong et al. (2015): scores, softmax, weighted sum, concatenation, tanh.
            shares = torch.einsum("bth,bh->bt", states, last).softmax(1)
            context = torch.einsum("bt,bth->bh", shares, states)
            pooled["attention"] = torch.tanh(model.combined(torch.cat([context, last], dim=-1)))
        torch.testing.assert_close(model(ids).logits, model.classifier(pooled[pooling]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("cell", "bidirectional"), list(itertools.product(CELLS, (False, True))))
def test_recurrence_starts_orthogonal_and_forget_gates_open(cell, bidirectional):
    model = recurrent(cell, bidirectional)
    cells = [module for module in model.modules() if isinstance(module, torch.nn.RNNBase)]
    assert len(cells) == (4 if bidirectional else 2)
    for module in cells:
        for gate in module.weight_hh_l0.detach().split(5):
            torch.testing.assert_close(gate @ gate.T, torch.eye(5), rtol=0, atol=1e-5)
        biases = (module.bias_ih_l0 + module.bias_hh_l0).detach()
        expected = torch.zeros_like(biases)
        if cell == "lstm":
            expected[5:10] = 1
        assert torch.equal(biases, expected)


def test_word_vectors_and_classifier_keep_their_own_initialisation():
    torch.manual_seed(0)
    model = RecurrentForSequenceClassification(RecurrentConfig(vocab_size=2000, num_labels=2, initializer_range=0.1))
    assert model.get_parameter("recurrent.embeddings.weight").std().item() == pytest.approx(0.1, rel=0.02)
    assert not model.get_parameter("recurrent.embeddings.weight")[0].any(), "the padding's vector"
    bound = (6 / (128 + 2)) ** 0.5
    assert bound * 0.9 < model.classifier.weight.abs().max().item() <= bound
    assert not model.classifier.bias.any()
    bound = (6 / (128 + 128)) ** 0.5
    for gate in model.get_parameter("recurrent.layers.0.forward_cell.weight_ih_l0").split(128):
        assert gate.std().item() == pytest.approx(bound / 3**0.5, rel=0.03), "Glorot, each gate by itself"


@pytest.mark.parametrize(("cell", "bidirectional"), list(itertools.product(CELLS, (False, True))))
def test_weights_survive_saving_and_loading_to_the_last_bit(tmp_path, cell, bidirectional):
    model = recurrent(cell, bidirectional, "max")
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert isinstance(loaded, RecurrentForSequenceClassification)
    expected, found = model.state_dict(), loaded.state_dict()
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    ids = torch.arange(1, 9).view(2, 4)
    with torch.inference_mode():
        assert torch.equal(model(ids).logits, loaded.eval()(ids).logits)


def test_a_loss_is_given_with_labels_and_a_tuple_on_demand():
    model = recurrent()
    ids, labels = torch.arange(1, 9).view(2, 4), torch.tensor([0, 2])
    found = model(ids, labels=labels)
    torch.testing.assert_close(found.loss, torch.nn.functional.cross_entropy(found.logits, labels))
    assert model(ids).loss is None
    loss, logits = model(ids, labels=labels, return_dict=False)
    assert torch.equal(loss, found.loss)
    assert torch.equal(logits, found.logits)


@pytest.mark.parametrize(("key", "value"), [("cell", "elman"), ("pooling", "first")])
def test_an_unknown_cell_or_pooling_is_refused(key, value):
    with pytest.raises(ValueError, match=f"{key}: '{value}' is not one of"):
        RecurrentConfig(**{key: value})


@pytest.mark.parametrize("module", [configuration_recurrent, modeling_recurrent, modeling_recurrent_lm])
def test_the_files_that_travel_import_only_the_standard_library_torch_transformers_and_each_other(module):
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    found, neighbours = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            neighbours.add(node.module)
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    assert found <= {"torch", "transformers"} | sys.stdlib_module_names
    assert neighbours <= {"configuration_recurrent", "modeling_recurrent"}


# ------------------------------------------------------------------------------------------- equations


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def rnn_step(weights, x, state):
    (h,) = state
    return (np.tanh(weights["weight_ih"] @ x + weights["bias_ih"] + weights["weight_hh"] @ h + weights["bias_hh"]),)


def lstm_step(weights, x, state):
    h, c = state
    gates = weights["weight_ih"] @ x + weights["bias_ih"] + weights["weight_hh"] @ h + weights["bias_hh"]
    i, f, g, o = np.split(gates, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru_step(weights, x, state):
    (h,) = state
    r_x, z_x, n_x = np.split(weights["weight_ih"] @ x + weights["bias_ih"], 3)
    r_h, z_h, n_h = np.split(weights["weight_hh"] @ h + weights["bias_hh"], 3)
    r, z = sigmoid(r_x + r_h), sigmoid(z_x + z_h)
    n = np.tanh(n_x + r * n_h)
    return ((1 - z) * n + z * h,)


STEPS = {"rnn": rnn_step, "gru": gru_step, "lstm": lstm_step}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_each_cell_follows_its_equations_step_by_step(cell, packed):
    torch.manual_seed(0)
    module = CELLS[cell](4, 3, batch_first=True)
    torch.nn.init.normal_(module.get_parameter("bias_hh_l0"))
    inputs = torch.randn(2, 6, 4)
    lengths = torch.tensor([6, 3])
    begun = tuple(torch.randn(1, 2, 3) for _ in range(2 if cell == "lstm" else 1))
    with torch.no_grad():
        states, last = run_direction(module, inputs, begun, lengths if packed else None)
    weights = {name.removesuffix("_l0"): p.detach().double().numpy() for name, p in module.named_parameters()}
    for row in range(2):
        state = tuple(part[0, row].double().numpy() for part in begun)
        for position in range(int(lengths[row]) if packed else 6):
            state = STEPS[cell](weights, inputs[row, position].double().numpy(), state)
            np.testing.assert_allclose(states[row, position].numpy(), state[0], atol=1e-6)
        for found, expected in zip(last, state, strict=True):
            np.testing.assert_allclose(found[0, row].numpy(), expected, atol=1e-6)


# --------------------------------------------------------------------------------- rows, order, dropout


@pytest.mark.parametrize(("cell", "pooling"), list(itertools.product(CELLS, POOLINGS)))
def test_neither_the_other_rows_nor_their_order_change_a_score(cell, pooling):
    model = recurrent(cell, True, pooling)
    ids = torch.randint(1, 40, (5, 9), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(9) < torch.tensor([9, 2, 5, 7, 1]).unsqueeze(1)).long()
    order = torch.tensor([3, 0, 4])
    with torch.inference_mode():
        expected = model(ids, mask).logits[order]
        torch.testing.assert_close(model(ids[order], mask[order]).logits, expected, rtol=1e-5, atol=1e-6)


def test_attention_leaves_padding_out_and_adds_up_to_one():
    model = recurrent("lstm", True, "attention")
    ids = torch.randint(1, 40, (2, 6), generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1] * 6, [1, 1, 1, 0, 0, 0]])
    with torch.inference_mode():
        (weights,) = model(ids, mask, output_attentions=True).attentions
    assert not weights[1, 3:].any()
    torch.testing.assert_close(weights.sum(1), torch.ones(2))


def test_dropout_of_states_is_the_same_at_every_position():
    torch.manual_seed(0)
    values = VariationalDropout(0.5).train()(torch.ones(3, 7, 20))
    assert torch.equal(values, values[:, :1].expand(3, 7, 20))
    assert set(values.unique().tolist()) == {0.0, 2.0}
    assert not torch.equal(values[0], values[1])
    assert torch.equal(VariationalDropout(0.5).eval()(torch.ones(3, 7, 20)), torch.ones(3, 7, 20))


def test_dropout_of_word_vectors_drops_all_of_a_word_wherever_it_stands():
    model = recurrent(dropout=0.0, embedding_dropout=0.5).train().recurrent
    torch.manual_seed(0)
    vectors = model.embed(torch.arange(1, 40).repeat(2, 1)).detach()
    assert torch.equal(vectors[0], vectors[1])
    dropped = (vectors[0] == 0).all(1)
    assert 10 < dropped.sum() < 30
    torch.testing.assert_close(vectors[0][~dropped], 2 * model.embeddings.weight.detach()[1:][~dropped])


@pytest.mark.parametrize("cell", CELLS)
def test_dropout_of_recurrent_weights_is_drawn_once_a_sequence(cell):
    module = CELLS[cell](4, 3, batch_first=True).train()
    inputs = torch.randn(1, 5, 4)
    torch.manual_seed(3)
    states, _ = run_direction(module, inputs, weight_dropout=0.5)
    torch.manual_seed(3)
    dropped = torch.nn.functional.dropout(module.get_parameter("weight_hh_l0"), 0.5)
    assert 0 < (dropped == 0).sum() < dropped.numel()
    other = CELLS[cell](4, 3, batch_first=True)
    other.load_state_dict(module.state_dict() | {"weight_hh_l0": dropped.detach()})
    torch.testing.assert_close(states, other(inputs)[0])
    module.eval()
    torch.testing.assert_close(run_direction(module, inputs, weight_dropout=0.5)[0], module(inputs)[0])
    states.sum().backward()
    gradient = module.get_parameter("weight_hh_l0").grad
    assert gradient is not None
    assert not gradient[dropped == 0].any()


def test_separate_directions_do_not_see_each_other():
    model = recurrent("lstm", True, "last", separate_directions=True).recurrent
    ids = torch.randint(1, 40, (1, 6), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        both = model(ids).last_hidden_state
        ahead, _ = model.one_direction(ids, None, backward=False)
        back, _ = model.one_direction(ids.flip(1), None, backward=True)
    torch.testing.assert_close(both[..., :5], ahead)
    torch.testing.assert_close(both[..., 5:], back.flip(1))
