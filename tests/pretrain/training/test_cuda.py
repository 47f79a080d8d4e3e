"""Training on a GPU: the curve of the CPU, every precision, compiled and sharded, to the last bit after a resume.

These tests skip where there is no GPU.
"""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from accelerate.state import AcceleratorState

from configs.command_line import as_dict
from configs.run_folder import RunFolder
from pretrain import run as pretraining
from pretrain.config import PretrainConfig
from pretrain.run_paths import run_folder as pretrain_folder
from pretrain.training.config import SpeedConfig
from tests.helpers.finetuning import finetune_config
from tests.helpers.paths import ROOT
from tests.helpers.pretraining import changed, losses, small_run

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

# Without TF32, a GPU's fp32 differs from a CPU's in the order of its sums alone.
EXACT = SpeedConfig(precision="fp32", tf32=False, compile=False)


@pytest.fixture(autouse=True)
def _new_state() -> Iterator[None]:
    """The next test's fixtures may train, too."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def pretrain(config: PretrainConfig) -> RunFolder:
    """Run in this process; accelerate would keep the first run's precision for good."""
    AcceleratorState._reset_state(reset_partial_state=True)
    return pretraining.run(config)


def on_gpu(folder: Path, speed: dict[str, Any], **changes: Any) -> PretrainConfig:
    training = {"duration": "40 steps", "speed": dataclasses.replace(EXACT, **speed)} | changes.pop("training", {})
    model = {"dropout": 0.0, "initializer_range": None} | changes.pop("model", {})
    return small_run(folder, training=training, model=model, **changes)


def on_cpu(config: PretrainConfig, folder: Path) -> list[float]:
    """The losses of the same run by a process that is told to use the CPU."""
    file = folder / "cpu.yaml"
    there = changed(config, runs=str(folder / "cpu"))
    file.write_text(yaml.safe_dump(as_dict(there)), encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "pretrain", "--config", str(file)],
        cwd=ROOT, env=os.environ | {"ACCELERATE_USE_CPU": "true"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]
    folder_of_run = pretrain_folder(there)
    environment = json.loads((folder_of_run.path / "environment.json").read_text(encoding="utf-8"))
    assert environment["device"] == "cpu"
    return losses(folder_of_run)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("architecture", ["bert", "modernbert"])
def test_a_gpu_has_the_curve_of_a_cpu(tmp_path, architecture, optimizer):
    config = on_gpu(tmp_path, {}, model={"architecture": architecture}, optimizer={"name": optimizer})
    expected = on_cpu(config, tmp_path)
    # Muon's iteration runs in bf16, whose rounding differs between devices.
    tolerance = 1e-3 if optimizer == "adamw" else 0.03
    assert losses(pretrain(config)) == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("objective", ["mlm", "mlm_nsp", "mlm_sop", "rtd", "causal_lm", "autoencode"])
def test_every_objective_learns_in_bf16(tmp_path, objective):
    config = on_gpu(tmp_path, {"precision": "bf16"}, objective=objective, training={"duration": "120 steps"})
    curve = losses(pretrain(config))
    assert sum(curve[-10:]) / 10 < 0.8 * curve[0]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_sixteen_bits_follow_the_curve_of_fp32(tmp_path, precision):
    exact = losses(pretrain(on_gpu(tmp_path, {})))
    half = losses(pretrain(on_gpu(tmp_path, {"precision": precision})))
    assert half == pytest.approx(exact, rel=0.02)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("architecture", ["bert", "modernbert"])
def test_a_compiled_run_has_the_curve_of_an_eager_one(tmp_path, architecture):
    eager = losses(pretrain(on_gpu(tmp_path, {}, model={"architecture": architecture})))
    compiled = on_gpu(
        tmp_path, {"compile": True}, model={"architecture": architecture}, runs=str(tmp_path / "compiled")
    )
    assert losses(pretrain(compiled)) == pytest.approx(eager, abs=2e-3)


def test_activations_computed_again_and_masks_drawn_on_the_cpu_change_nothing(tmp_path):
    plain = losses(pretrain(on_gpu(tmp_path, {})))
    speed = {"activation_checkpointing": True, "device_masks": False}
    assert losses(pretrain(on_gpu(tmp_path, speed, runs=str(tmp_path / "other")))) == pytest.approx(plain, abs=1e-3)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_run_goes_on_from_its_checkpoint(tmp_path, optimizer):
    config = on_gpu(tmp_path, {"precision": "bf16"}, optimizer={"name": optimizer})
    whole = losses(pretrain(config))
    folder = pretrain_folder(changed(config, runs=str(tmp_path / "again")))
    first = pretrain(changed(config, runs=str(tmp_path / "again")))
    newest = sorted(first.checkpoints.iterdir())
    assert len(newest) == 2
    # As if the run had been cut off between its last two checkpoints.
    for file in newest[-1].iterdir():
        file.unlink()
    newest[-1].rmdir()
    (folder.path / "result.json").unlink()
    again = losses(pretrain(changed(config, runs=str(tmp_path / "again"))))
    assert again == pytest.approx(whole, abs=1e-3)


@pytest.mark.parametrize("name", ["bert", "lstm", "bilstm-attention", "rnn"])
def test_classifiers_learn_and_answer(chain, tmp_path, name):
    from finetune.run import run as finetune

    AcceleratorState._reset_state(reset_partial_state=True)
    result = finetune(finetune_config(chain, name="gpu", model__name=name)).result()
    assert result["test_accuracy"] > 0.9


@pytest.mark.parametrize("kind", ["ddp", "fsdp", "gpu"])
def test_every_launch_file_for_gpus_trains(tmp_path, kind):
    config = on_gpu(tmp_path, {"precision": "bf16"}, runs=str(tmp_path / "launched"))
    file = tmp_path / "launched.yaml"
    file.write_text(yaml.safe_dump(as_dict(config)), encoding="utf-8")
    launcher = [
        "accelerate.commands.launch",
        "--config_file",
        f"configs/accelerate/{kind}.yaml",
        "--num_processes",
        "1",
    ]
    ended = subprocess.run(
        [sys.executable, "-m", *launcher, "-m", "pretrain", "--config", str(file)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]
    alone = losses(pretrain(changed(config, runs=str(tmp_path / "alone"))))
    assert losses(pretrain_folder(config)) == pytest.approx(alone, rel=0.02)
