"""Averaged weights: the mean by hand, kept in checkpoints, evaluated and saved."""

import shutil

import pytest
import torch
from safetensors.torch import load_file

from pretrain.run import run
from pretrain.training import averaging, checkpoints
from pretrain.training.config import OptimizerConfig
from pretrain.training.metric_logger import read_metrics
from pretrain.training.optimizer import create_optimizer
from tests.helpers.finetuning import finetune_config
from tests.helpers.pretraining import changed, small_run

DECAY = 0.9


def steps_of(model, optimizer, count, decay=DECAY):
    """Train; gives the weights after each step."""
    weights = []
    for step in range(count):
        model(torch.full((2, 3), 1.0 + step)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        averaging.update(optimizer, decay, step)
        weights.append(model.weight.detach().clone())
    return weights


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_the_average_is_that_of_the_formula(name):
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    # Muon is for models that have layers.
    layers = torch.nn.ModuleDict({"layers": torch.nn.ModuleList([model])})
    optimizer = create_optimizer(layers, OptimizerConfig(name=name, learning_rate=0.1))
    assert any(group["muon"] for group in optimizer.param_groups if group["params"]) is (name == "muon")
    weights = steps_of(model, optimizer, 40)
    expected = weights[0]
    for step, latest in enumerate(weights):
        decay = min(DECAY, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * latest
    torch.testing.assert_close(optimizer.state[model.weight][averaging.AVERAGE], expected)
    before = model.weight.detach().clone()
    with averaging.averaged_weights(optimizer):
        torch.testing.assert_close(model.weight.detach(), expected)
    assert torch.equal(model.weight.detach(), before)
    averaging.keep(optimizer)
    torch.testing.assert_close(model.weight.detach(), expected)


def test_without_averages_nothing_changes():
    model = torch.nn.Linear(3, 2)
    optimizer = create_optimizer(model, OptimizerConfig())
    before = model.weight.detach().clone()
    averaging.keep(optimizer)
    with averaging.averaged_weights(optimizer):
        assert torch.equal(model.weight.detach(), before)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_a_run_saves_its_averages_and_resumes_to_the_last_bit(tmp_path, name):
    config = small_run(
        tmp_path,
        optimizer={"ema_decay": DECAY, "name": name},
        training={"duration": "12 steps", "save_every": 4, "keep_checkpoints": 3},
    )
    folder = run(config)
    rows = [row for row in read_metrics(folder.metrics) if "eval_loss" in row]
    saved = load_file(folder.model / "model.safetensors")
    checkpoint = checkpoints.path_of(folder.checkpoints, 12)
    weights = load_file(checkpoint / "model.safetensors")
    name_of_embeddings = "bert.embeddings.position_embeddings.weight"
    assert not torch.equal(saved[name_of_embeddings], weights[f"model.{name_of_embeddings}"])
    averages = [tensor for key, tensor in load_file(checkpoint / "optimizer.safetensors").items() if "average" in key]
    assert any(torch.equal(saved[name_of_embeddings], average) for average in averages)
    # As if the run had been cut off after its eighth step.
    again = changed(config, runs=str(tmp_path / "again"))
    second = run(changed(again, training={"duration": "12 steps"}))
    shutil.rmtree(checkpoints.path_of(second.checkpoints, 12))
    (second.path / "result.json").unlink()
    shutil.rmtree(second.model)
    resumed = run(again)
    assert [row for row in read_metrics(resumed.metrics) if "eval_loss" in row][-1]["eval_loss"] == rows[-1][
        "eval_loss"
    ]
    for key, tensor in load_file(resumed.model / "model.safetensors").items():
        assert torch.equal(tensor, saved[key]), key


def test_fine_tuning_tests_the_averages_of_the_best_checkpoint(chain):
    from finetune.run import run as finetune

    plain = finetune(finetune_config(chain, model__name="lstm")).result()
    folder = finetune(finetune_config(chain, model__name="lstm", optimizer__ema_decay=0.95))
    result = folder.result()
    last = {row["step"]: row["eval_loss"] for row in read_metrics(folder.metrics) if "eval_loss" in row}
    assert result["eval_loss"] == pytest.approx(last[result["best_step"]], abs=1e-6)
    assert result["eval_loss"] != pytest.approx(plain["eval_loss"], abs=1e-6)
    assert result["test_accuracy"] > 0.9
