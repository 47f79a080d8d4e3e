"""What several processes do together in the campaign of faults; started through torchrun, prints JSON.

-m tests.faults.ranks few-texts [--sharded] COUNT …
-m tests.faults.ranks resume KILLS
"""

import argparse
import contextlib
import functools
import json
import multiprocessing
import os
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from transformers import BertConfig, BertForSequenceClassification

from configs.run_folder import RunFolder
from finetune.classification.config import TaskConfig
from finetune.classification.evaluation import evaluate, predict
from finetune.classification.objective import classification_loss
from pretrain.data.loader import Batch, arithmetic_counts
from pretrain.training import checkpoints
from pretrain.training.config import OptimizerConfig, SpeedConfig, TrainingConfig
from pretrain.training.engine import Training, leave_process_group, train
from pretrain.training.guards.collective import decided_by_main
from pretrain.training.setup import prepare_for_training
from tests.faults import store as faults_store
from tests.helpers.fsdp_stage import ShardingAccelerator

BATCH = 3
SIZES = BertConfig(
    vocab_size=30, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
    max_position_embeddings=12, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)  # fmt: skip


class Texts:
    """A training set, and its epochs, of made-up texts; BERT's positions are a buffer that DDP exchanges."""

    def __init__(self, count: int) -> None:
        self.batches = [np.arange(first, min(first + BATCH, count)) for first in range(0, count, BATCH)]

    def epoch(self, number: int) -> "Texts":
        """The same texts in every epoch."""
        return self

    def collate(self, samples_B: np.ndarray) -> Batch:
        """Texts of six tokens that follow from their indices."""
        ids_BT = torch.from_numpy((samples_B[:, None] * 7 + np.arange(6)) % 30)
        inputs = {"input_ids": ids_BT, "attention_mask": torch.ones_like(ids_BT)}
        counts = {"labels": len(samples_B)} | arithmetic_counts(np.full(len(samples_B), 6))
        return Batch(inputs, {"labels": torch.from_numpy(samples_B % 2)}, counts)


def few_texts(accelerator: Accelerator, count: int, folder: Path) -> list[float]:
    """Train on so many texts and answer them: the last loss, then a logit of each text."""
    torch.manual_seed(0)
    model = BertForSequenceClassification(SIZES)
    config = TrainingConfig(
        duration="4 steps", batch_size=BATCH, gradient_accumulation_steps=2, evaluations=2, save_every=2, log_every=3,
        threads=1, workers=0, speed=SpeedConfig(products="torch"),
    )  # fmt: skip
    optimizer_config = OptimizerConfig(learning_rate=1e-2)
    run = RunFolder(folder / f"few-{count}")
    prepared = prepare_for_training(accelerator, model, config, optimizer_config, BATCH * 6, count * 6, run)
    texts: Any = Texts(count)
    training = Training(
        accelerator=accelerator,
        **prepared._asdict(),
        phases=[(1.0, texts)],
        loss=classification_loss,
        evaluate=lambda trained, phase: evaluate(accelerator, texts, trained, TaskConfig()),
        config=config,
        optimizer_config=optimizer_config,
        folder=run,
        seed=0,
    )
    if accelerator.is_main_process:
        training.folder.path.mkdir(parents=True)
    accelerator.wait_for_everyone()
    train(training, "few")
    logits_NC, labels_N = predict(accelerator, texts, prepared.model)
    assert labels_N.tolist() == [number % 2 for number in range(count)]
    return [evaluate(accelerator, texts, prepared.model, TaskConfig())["loss"], *logits_NC[:, 0].tolist()]


def save_for_ever(folder: Path, first: int) -> None:
    """Save and replace checkpoints until killed."""
    rng, step = random.Random(first), first
    while True:
        step += rng.random() < 0.5
        faults_store.save(folder, step, size=2000)
        checkpoints.prune(folder, keep=2)


def resume(accelerator: Accelerator, folder: Path, kills: int) -> dict[str, int]:
    """Kill a process that saves, then let all processes resume together; how many of them failed, or differ."""
    failed, steps, rng = 0, [], random.Random(0)
    for number in range(kills):
        if accelerator.is_main_process:
            child = multiprocessing.get_context("fork").Process(target=save_for_ever, args=(folder, 10 * number))
            child.start()
            time.sleep(rng.uniform(0.0, 0.02))
            child.kill()
            child.join()
        accelerator.wait_for_everyone()
        try:
            newest = decided_by_main(accelerator, functools.partial(checkpoints.newest, folder))
            state = {} if newest is None else json.loads((newest / checkpoints.STATE).read_text(encoding="utf-8"))
            steps.append(state.get("step", -1))
        except Exception as error:  # noqa: BLE001
            print(f"rank {accelerator.process_index}: {type(error).__name__}: {error}", flush=True)
            failed += 1
            steps.append(-2)
        accelerator.wait_for_everyone()
    # The lowest of all processes times their number is the sum if they are equal.
    total = accelerator.reduce(torch.tensor(steps), reduction="sum")
    apart = int((total != torch.tensor(steps) * accelerator.num_processes).sum())
    failures = int(accelerator.reduce(torch.tensor(failed), reduction="sum"))
    return {"kills": kills, "tracebacks": failures, "ranks apart": apart}


def main() -> None:
    """Do what the command line says, and print what was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("few-texts", "resume"))
    parser.add_argument("counts", type=int, nargs="+")
    parser.add_argument("--sharded", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    accelerator = (ShardingAccelerator if arguments.sharded else Accelerator)(cpu=True)
    with contextlib.ExitStack() as stack:
        folder = Path(os.environ.get("FAULTS_FOLDER") or stack.enter_context(tempfile.TemporaryDirectory()))
        if arguments.what == "resume":
            found: Any = resume(accelerator, folder, arguments.counts[0])
        else:
            found = {count: few_texts(accelerator, count, folder) for count in arguments.counts}
        if accelerator.is_main_process:
            print(json.dumps(found))
        leave_process_group(accelerator)


if __name__ == "__main__":
    main()
