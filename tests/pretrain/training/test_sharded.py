"""Weights in parts on two processes are written and read as if they were whole."""

import sys
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from safetensors.torch import load_file, save_file
from transformers import AutoModelForMaskedLM, BertConfig, BertForPreTraining

from pretrain.models.pretraining_models import PairModel
from pretrain.training import checkpoints, sharded
from pretrain.training.config import OptimizerConfig
from pretrain.training.engine import leave_process_group
from pretrain.training.optimizer import create_optimizer
from tests.helpers import forked

SIZES = BertConfig(
    vocab_size=30, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
    max_position_embeddings=12, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)  # fmt: skip


def fresh(seed=0):
    torch.manual_seed(seed)
    return PairModel(BertForPreTraining(SIZES))


def train_one_step(model, optimizer):
    """A step on a batch that is the same everywhere; the norm of its gradient."""
    ids_BT = torch.arange(20).view(4, 5)
    scores_MV, relations_B2 = model(ids_BT, torch.zeros_like(ids_BT), torch.ones_like(ids_BT), torch.tensor([0, 3, 11]))
    (scores_MV.square().sum() + relations_B2.square().sum()).backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return sharded.gathered(norm.detach())


def in_one_piece():
    model = fresh()
    optimizer = create_optimizer(model, OptimizerConfig())
    norms = [train_one_step(model, optimizer) for _ in range(3)]
    return model, optimizer, norms


def two_processes(folder):
    """What each of two processes does; the main one's files and norms are looked at by the test."""
    accelerator = Accelerator(cpu=True)
    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        transformer_cls_names_to_wrap=["BertLayer"],
        # The launcher's default. It moves the model to the meta device and back, which unties weights.
        cpu_ram_efficient_loading=True,
    )

    def spread(model):
        # accelerate offers FSDP on accelerators alone; its preparation works over gloo, too.
        accelerator.state.fsdp_plugin, accelerator.state.distributed_type = plugin, DistributedType.FSDP
        prepared, optimizer = accelerator.prepare(model, create_optimizer(model, OptimizerConfig()))
        return accelerator.unwrap_model(prepared), optimizer.optimizer

    model, optimizer = spread(fresh())
    norms = [train_one_step(model, optimizer) for _ in range(2)]
    is_main = accelerator.is_main_process
    weights = sharded.weights_of(model, is_main)
    means = sharded.whole(checkpoints.optimizer_tensors(optimizer), is_main)
    # Nothing is gathered where it is not kept.
    assert bool(weights) == bool(means) == is_main
    if is_main:
        checkpoints.save(folder, 2, weights, means, {"step": 2})
    accelerator.wait_for_everyone()
    # Another model, begun elsewhere, goes on from there.
    other, other_optimizer = spread(fresh(seed=1))
    assert checkpoints.load(checkpoints.path_of(folder, 2), other, other_optimizer) == {"step": 2}
    norms.append(train_one_step(other, other_optimizer))
    other.save(folder / "model", lambda *given: sharded.save_pretrained(accelerator, *given))
    if accelerator.is_main_process:
        save_file({"norms": torch.stack(norms)}, folder / "norms.safetensors")
    # Not `destroy_process_group` alone: gloo's threads that hold a tensor while the interpreter ends abort it.
    leave_process_group(accelerator)


def test_a_model_in_parts_trains_saves_and_goes_on_like_one_in_one_piece(tmp_path):
    words = ["-m", *forked.TORCHRUN, "2", "-m", "tests.pretrain.training.test_sharded", str(tmp_path)]
    ended = forked.run(words, **forked.GLOO)
    assert ended.returncode == 0, ended.stderr[-3000:]
    model, _, norms = in_one_piece()
    assert torch.allclose(load_file(tmp_path / "norms.safetensors")["norms"], torch.stack(norms), rtol=1e-5)
    loaded = AutoModelForMaskedLM.from_pretrained(tmp_path / "model").state_dict()
    expected = model.model.state_dict()
    assert {name for name in expected if not name.startswith("cls.seq") and "pooler" not in name} <= loaded.keys()
    for name in expected.keys() & loaded.keys():
        assert torch.allclose(loaded[name], expected[name], atol=1e-5), name


def test_a_run_in_one_piece_goes_on_from_there(tmp_path):
    model, optimizer, _ = in_one_piece()
    weights, means = sharded.weights_of(model), checkpoints.optimizer_tensors(optimizer)
    assert len(weights) == len(list(model.parameters()))
    place = checkpoints.save(tmp_path, 3, weights, means, {})
    other = fresh(seed=1)
    checkpoints.load(place, other)
    for expected, found in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(expected, found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop("2.bias"), "'2.bias' is missing"),
        (lambda weights: weights.update(extra=torch.zeros(1)), "no weight 'extra'"),
        (lambda weights: weights.update({"2.bias": torch.zeros(1)}), r"2.bias: the stored shape is \[1\], .* \[3\]"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change, message):
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 3))
    weights = sharded.weights_of(model)
    assert "1.running_mean" in weights
    sharded.load_weights(model, weights)
    change(weights)
    with pytest.raises(ValueError, match=message):
        sharded.load_weights(model, weights)


if __name__ == "__main__":
    two_processes(Path(sys.argv[1]))
