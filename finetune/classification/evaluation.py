"""Predictions and scores on labelled texts, over all processes.

Shapes: B texts of a batch, N texts, C classes.
"""

import dataclasses

import numpy as np
import scipy.special
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from finetune.classification.config import TaskConfig
from finetune.classification.metrics import label_loss, scores, scores_at_best
from finetune.classification.predictions import latency, spread
from finetune.classification.text_dataset import TextEpoch
from pretrain.data.loader import LoaderSettings, load_steps
from pretrain.training.fast_paths import uncompiled
from pretrain.training.guards.signals import safe_point

# Tokens per evaluation batch: a CPU is fastest if the batch fits its caches, a GPU if the batch fills it.
EVALUATION_TOKENS = {"cpu": 8192, "cuda": 1 << 17}


def latency_alone(accelerator: Accelerator, epoch: TextEpoch, model: torch.nn.Module) -> float:
    """Seconds for a text alone, from its tokens to its logits: the median over texts spread over the epoch."""
    model.eval()
    indices = np.concatenate(epoch.batches)
    alone = dataclasses.replace(epoch, batches=list(indices[spread(len(indices)), None]))

    def classify(number: int) -> None:
        (batch,) = batches[number]
        with accelerator.autocast():
            model(**batch.to(accelerator.device).inputs).logits.float().cpu()

    with torch.inference_mode(), uncompiled(model):
        batches = list(load_steps(alone, LoaderSettings(0, 1)))
        return latency(classify, len(batches))


def predict(accelerator: Accelerator, epoch: TextEpoch, model: torch.nn.Module) -> tuple[np.ndarray, np.ndarray]:
    """Logits [N, C] and labels, [N] or [N, C], of the texts of an epoch, in the order of their indices."""
    model.eval()
    rows: list[tuple[int, np.ndarray, int | list[int]]] = []
    settings = LoaderSettings(accelerator.process_index, accelerator.num_processes)
    with torch.inference_mode(), uncompiled(model):
        for samples, batches in zip(epoch.batches, load_steps(epoch, settings), strict=True):
            rank_samples = samples[settings.rank :: settings.world_size]
            # A process without texts runs its idle batch, too: DDP's forward waits for all processes.
            for batch in batches:
                on_device = batch.to(accelerator.device)
                with accelerator.autocast():
                    logits_BC = model(**on_device.inputs).logits.float().cpu().numpy()
                if len(rank_samples):
                    rows += zip(rank_samples.tolist(), logits_BC, batch["labels"].long().tolist(), strict=True)
            safe_point(accelerator)
    rows = sorted(gather_object(rows), key=lambda row: row[0])
    return np.stack([row[1] for row in rows]), np.array([row[2] for row in rows])


def evaluate(
    accelerator: Accelerator, epoch: TextEpoch, model: torch.nn.Module, config: TaskConfig
) -> dict[str, float]:
    """Loss in nats, and scores, on held-out texts."""
    return logit_scores(*predict(accelerator, epoch, model), config)


def logit_scores(logits_NC: np.ndarray, labels_N: np.ndarray, config: TaskConfig) -> dict[str, float]:
    """Loss in nats, and scores; of several labels a text as in `metrics.probability_scores`."""
    if labels_N.ndim == 2:
        wide_NC = logits_NC.astype(np.float64)
        return {"loss": label_loss(wide_NC, labels_N)} | scores_at_best(scipy.special.expit(wide_NC), labels_N, config)
    loss = torch.nn.functional.cross_entropy(torch.from_numpy(logits_NC), torch.from_numpy(labels_N))
    return {"loss": float(loss)} | scores(logits_NC.argmax(1), labels_N)
