"""Runs of two processes, on one machine or two: the curve of one, and an orderly end."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import BertConfig, BertForMaskedLM, DistilBertConfig, DistilBertForMaskedLM

from configs.command_line import as_dict
from finetune.run_paths import run_folder as finetune_folder
from pretrain.run_paths import run_folder as pretrain_folder
from pretrain.training.setup import shard_by_layers
from tests.helpers import forked
from tests.helpers.finetuning import finetune_config
from tests.helpers.fsdp_stage import plugin
from tests.helpers.paths import ROOT
from tests.helpers.pretraining import changed, losses, small_run
from tokenizer.run_paths import find as find_tokenizer

TORCHRUN = [*forked.TORCHRUN, "2"]


def command(stage: str, config, folder: Path, launcher: list[str]) -> list[str]:
    """The command that starts a stage with this config; a launcher may end in a module that takes its name."""
    file = folder / f"{stage}.yaml"
    file.write_text(yaml.safe_dump(as_dict(config)), encoding="utf-8")
    module = [stage] if launcher == FSDP else ["-m", stage]
    return ["-m", *launcher, *module, "--config", str(file)]


ENVIRONMENT = {"HF_HUB_OFFLINE": "1"} | forked.GLOO


def typed(words: list[str]) -> "subprocess.CompletedProcess[str]":
    """A command whose launcher and processes start as a person's do."""
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=os.environ | ENVIRONMENT, capture_output=True, text=True, check=False
    )


def launched(stage: str, config, folder: Path, launcher: list[str] = TORCHRUN) -> None:
    """Run a stage in two processes that talk over gloo."""
    ended = forked.run(command(stage, config, folder, launcher), **ENVIRONMENT)
    assert ended.returncode == 0, ended.stderr[-2000:]


@pytest.mark.parametrize("objective", ["mlm_nsp", "rtd"])
def test_two_pretraining_processes_give_the_curve_of_one_and_end_well(objective, tmp_path):
    from pretrain.run import run

    # An odd batch, and a tail: one process has less to do than the other.
    training = {"duration": "9 steps", "batch_size": 7, "gradient_accumulation_steps": 2}
    config = small_run(tmp_path, objective=objective, training=training, model={"dropout": 0.0})
    alone = run(config)
    together = changed(config, runs=str(tmp_path / "two"))
    launched("pretrain", together, tmp_path)
    folder = pretrain_folder(together)
    assert folder.finished
    # What ELECTRA's generator puts into masks is drawn by each process for itself.
    expected = losses(alone, "loss", "eval_loss")
    assert losses(folder, "loss", "eval_loss") == pytest.approx(
        expected, abs=1e-4 if objective == "mlm_nsp" else 0.02 * max(expected)
    )
    assert folder.result()["tokens"] == alone.result()["tokens"]


def test_two_fine_tuning_processes_end_well_and_answer_every_test_text(chain, tmp_path):
    from finetune.run import run

    tokenizer, _ = find_tokenizer(str(chain / "tokenizer.yaml"), str(chain / "runs"))
    one, two = (
        finetune_config(
            chain, model__name="lstm", adversarial_step=0.02, tokenizer=tokenizer, runs=str(tmp_path / name)
        )
        for name in ("one", "two")
    )
    alone = run(one)
    launched("finetune", two, tmp_path)
    folder = finetune_folder(two)
    assert folder.result()["test_texts"] == alone.result()["test_texts"]
    shares = [
        np.array(pyarrow.parquet.read_table(run_folder.path / "predictions.parquet")["probabilities"].to_pylist())
        for run_folder in (folder, alone)
    ]
    assert np.allclose(*shares, atol=1e-3), "the same model, up to rounding"


FSDP = [*TORCHRUN, "-m", "tests.helpers.fsdp_stage"]


def test_a_sharded_pretraining_run_has_the_curve_of_one_process_and_resumes(tmp_path):
    from pretrain.run import run

    # An odd batch, micro-batches that not every process has, rows that are means of steps, and a run that was cut off.
    training = {"batch_size": 7, "gradient_accumulation_steps": 3, "log_every": 2, "save_every": 4}
    config = small_run(tmp_path, training=training | {"duration": "9 steps"}, model={"dropout": 0.0})
    alone = run(config)
    sharded = changed(config, runs=str(tmp_path / "sharded"))
    folder = pretrain_folder(sharded)
    launched("pretrain", sharded, tmp_path, FSDP)
    expected = losses(alone, "loss", "eval_loss")
    assert losses(folder, "loss", "eval_loss") == pytest.approx(expected, abs=1e-5)
    # Back to step 8, with what a killed save leaves.
    (folder.path / "result.json").unlink()
    shutil.rmtree(folder.checkpoints / "step-00000009")
    (folder.checkpoints / ".step-00000009").mkdir()
    shutil.rmtree(folder.model)
    launched("pretrain", sharded, tmp_path, FSDP)
    assert losses(folder, "loss", "eval_loss") == pytest.approx(expected, abs=1e-5)
    weights, found = (load_file(place.model / "model.safetensors") for place in (alone, folder))
    assert weights.keys() == found.keys()
    assert all(torch.allclose(weights[name], found[name], atol=1e-4) for name in weights)


@pytest.mark.parametrize(("name", "launcher"), [("bert", FSDP), ("bag-of-words", TORCHRUN)])
def test_sharded_fine_tuning_with_fewer_texts_than_processes_is_that_of_one_process(chain, tmp_path, name, launcher):
    from finetune.run import run

    for split, count in (("validation", 2), ("test", 1)):
        rows = (chain / "labelled" / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
        (tmp_path / f"{split}.jsonl").write_text("\n".join(rows[:count]), encoding="utf-8")
    shutil.copy(chain / "labelled" / "train.jsonl", tmp_path)
    keys = {
        "model__classifier_init": "linear_probe", "model__pooling": "max", "model__calibrated_bias": True,
        "adversarial_step": 0.02,
    }  # fmt: skip
    keys = keys if name == "bert" else {}
    one, two = (
        finetune_config(
            chain, model__name=name, corpus__source=str(tmp_path), training__duration="6 steps",
            training__batch_size=7, training__gradient_accumulation_steps=3, runs=str(tmp_path / runs), **keys,
            model__pretrained=str(next((chain / "runs" / "pretrain").iterdir())),
        )
        for runs in ("one", "two")
    )  # fmt: skip
    launched("finetune", two, tmp_path, launcher)
    alone, together = run(one).result(), finetune_folder(two).result()
    assert together["eval_loss"] == pytest.approx(alone["eval_loss"], abs=1e-4)
    assert together["test_texts"] == 1
    assert together["beats_majority"] is None
    if name == "bert":
        # Where the weights lie on two devices, too, the bias is shifted.
        assert np.abs(together["bias_shift"]).max() > 1e-3
        assert together["bias_shift"] == pytest.approx(alone["bias_shift"], abs=1e-4)
        biases = [
            load_file(finetune_folder(config).model / "model.safetensors")["classifier.bias"] for config in (one, two)
        ]
        assert biases[0].tolist() == pytest.approx(biases[1].tolist(), abs=1e-4)


def test_the_layers_of_any_encoder_are_sharded_by_the_shipped_file():
    names = {
        "BertLayer": BertForMaskedLM(BertConfig(hidden_size=8, num_attention_heads=1, num_hidden_layers=2)),
        "TransformerBlock": DistilBertForMaskedLM(DistilBertConfig(dim=8, n_heads=1, n_layers=2)),
    }
    for name, model in names.items():
        accelerator: Any = SimpleNamespace(state=SimpleNamespace(fsdp_plugin=plugin()))
        shard_by_layers(accelerator, model)
        assert accelerator.state.fsdp_plugin.transformer_cls_names_to_wrap == [name]


def accelerate(name: str, *flags: str) -> list[str]:
    return ["accelerate.commands.launch", "--config_file", str(CONFIGS / f"{name}.yaml"), *flags]


CONFIGS = ROOT / "configs" / "accelerate"


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda file: file.stem)
def test_accelerate_reads_every_file_and_no_key_is_unknown_to_it(file):
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(file))
    keys = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert {"num_processes", "num_machines", "distributed_type"} <= keys.keys()
    for key, value in keys.items():
        assert getattr(config, key) == value


def test_two_processes_give_the_losses_of_one_over_fifty_steps_to_rounding(tmp_path):
    from pretrain.run import run

    config = small_run(
        tmp_path,
        training={"duration": "50 steps", "processes": None},
        optimizer={"learning_rate": 1e-3},
        model={"dropout": 0.0},
    )
    alone = run(config)
    together = changed(config, runs=str(tmp_path / "two"), training={"processes": 2})
    ended = typed(command("pretrain", together, tmp_path, accelerate("cpu-processes")))
    assert ended.returncode == 0, ended.stderr[-2000:]
    found = losses(pretrain_folder(together), "loss", "eval_loss")
    assert len(found) == 50 + 4
    assert found == pytest.approx(losses(alone, "loss", "eval_loss"), abs=1e-5)


def test_a_run_of_one_process_goes_on_in_two(tmp_path, monkeypatch):
    from pretrain.run import run
    from pretrain.training import checkpoints

    config = small_run(tmp_path, training={"duration": "9 steps", "save_every": 4}, model={"dropout": 0.0})
    unbroken = run(config)
    broken, save = changed(config, runs=str(tmp_path / "two")), checkpoints.save

    def cut_off(folder, step, *others):
        save(folder, step, *others)
        if step == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "save", cut_off)
        with pytest.raises(KeyboardInterrupt):
            run(broken)
    launched("pretrain", broken, tmp_path)
    assert losses(pretrain_folder(broken), "loss", "eval_loss") == pytest.approx(
        losses(unbroken, "loss", "eval_loss"), abs=1e-5
    )
    assert pretrain_folder(broken).result()["steps"] == 9


def test_two_processes_predict_fewer_texts_than_they_are_and_resume_a_metric_at_its_mean():
    # Once, evaluation of one text waited for ever, and a resume counted the main process's sums twice.
    ended = forked.run(["-m", *TORCHRUN, "-m", "tests.helpers.two_ranks"], **ENVIRONMENT)
    assert ended.returncode == 0, ended.stderr[-2000:]
    found = json.loads(ended.stdout.strip().splitlines()[-1])
    assert found == {"processes": 2, "one text": [0], "odd": [0, 1, 2, 3], "unbroken": 4.0, "resumed": 4.0}


@pytest.mark.parametrize(
    ("flags", "processes", "message"),
    [
        (["--num_processes", "2", "--cpu"], None, "several processes were requested, but it started one"),
        (["--config_file", str(CONFIGS / "cpu.yaml")], 2, "training.processes: 2 requested, 1 running"),
    ],
)
def test_another_number_of_processes_than_asked_for_is_refused(tmp_path, flags, processes, message):
    config = small_run(tmp_path, training={"processes": processes})
    ended = typed(command("pretrain", config, tmp_path, ["accelerate.commands.launch", *flags]))
    assert ended.returncode != 0
    assert message in ended.stderr
    assert not pretrain_folder(config).finished


@contextlib.contextmanager
def two_machines():
    """For each of two machines what stands before its commands, what its environment needs, and the first's address.

    Network namespaces, each with an address of its own, where they can be made; else this machine's loopback twice.
    """
    names = [f"bertlet-{os.getpid()}-{number}" for number in range(2)]
    links = [f"bv{os.getpid() % 100_000}n{number}" for number in range(2)]
    steps = [["ip", "netns", "add", name] for name in names]
    steps.append(["ip", "link", "add", links[0], "type", "veth", "peer", "name", links[1]])
    for number, (name, link) in enumerate(zip(names, links, strict=True)):
        steps.append(["ip", "link", "set", link, "netns", name])
        steps.append(["ip", "-n", name, "address", "add", f"10.203.7.{number + 1}/24", "dev", link])
        steps += [["ip", "-n", name, "link", "set", device, "up"] for device in (link, "lo")]
    made = shutil.which("ip") is not None and all(
        subprocess.run(step, capture_output=True, check=False).returncode == 0 for step in steps
    )
    try:
        if made:
            before = [["ip", "netns", "exec", name] for name in names]
            yield before, [{"GLOO_SOCKET_IFNAME": link} for link in links], "10.203.7.1"
        else:
            yield [[], []], [{}, {}], "127.0.0.1"
    finally:
        for name in names if shutil.which("ip") else []:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def test_two_machines_train_together(tmp_path):
    from pretrain.run import run

    config = small_run(tmp_path, training={"duration": "5 steps"}, model={"dropout": 0.0})
    alone = run(config)
    together = changed(config, runs=str(tmp_path / "two"), training={"processes": 2})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with two_machines() as (before, settings, address):
        machines = []
        output: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        for rank in range(2):
            flags = ["--machine_rank", str(rank), "--main_process_ip", address, "--main_process_port", str(port)]
            words = command("pretrain", together, tmp_path, accelerate("machines", *flags))
            words = [*before[rank], sys.executable, *words]
            surroundings = os.environ | ENVIRONMENT | settings[rank]
            machines.append(subprocess.Popen(words, cwd=ROOT, env=surroundings, **output))
        printed = [machine.communicate(timeout=240)[0] for machine in machines]
        assert [machine.returncode for machine in machines] == [0, 0], printed
    folder = pretrain_folder(together)
    assert losses(folder, "loss", "eval_loss") == pytest.approx(losses(alone, "loss", "eval_loss"), abs=1e-5)
    assert json.loads((folder.path / "environment.json").read_text(encoding="utf-8"))["world_size"] == 2
