"""Runs of two processes: the curve of one, and an orderly end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from configs.command_line import as_dict
from configs.run_folder import RunFolder
from finetune.config import run_folder as finetune_folder
from pretrain.folders import run_folder as pretrain_folder
from pretrain.journal import read_rows
from tests.finetuning import finetune_config
from tests.pretraining import changed, small_run
from tokenizer.train import find as find_tokenizer

ROOT = Path(__file__).resolve().parent.parent


def launched(stage: str, config, folder: Path) -> None:
    """Run a stage in two processes that talk over gloo."""
    file = folder / f"{stage}.yaml"
    file.write_text(yaml.safe_dump(as_dict(config)), encoding="utf-8")
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", stage]
    ended = subprocess.run(
        [*command, "--config", str(file)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-2000:]


def losses(folder: RunFolder) -> list[float]:
    return [row[name] for row in read_rows(folder.metrics) for name in ("loss", "eval_loss") if name in row]


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
    assert losses(folder) == pytest.approx(losses(alone), abs=1e-4 if objective == "mlm_nsp" else 3)
    assert folder.result()["tokens"] == alone.result()["tokens"]


def test_two_fine_tuning_processes_end_well_and_answer_every_test_text(chain, tmp_path):
    from finetune.run import run

    tokenizer, _ = find_tokenizer(str(chain / "tokenizer.yaml"), str(chain / "runs"))
    one, two = (
        finetune_config(chain, model__name="lstm", tokenizer=tokenizer, runs=str(tmp_path / name))
        for name in ("one", "two")
    )
    alone = run(one)
    launched("finetune", two, tmp_path)
    folder = finetune_folder(two)
    assert folder.result()["test_texts"] == alone.result()["test_texts"]
    assert folder.result()["test_accuracy"] == pytest.approx(alone.result()["test_accuracy"], abs=0.1)
