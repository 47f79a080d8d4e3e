"""Evaluation on held-out data, and trivial baselines there."""

import numpy as np
import torch
from accelerate import Accelerator

from pretrain.data.loader import Epoch, LoaderSettings, load_steps
from pretrain.data.masked_lm_dataset import targets_of
from pretrain.data.randomness import key
from pretrain.objectives.objective import Objective
from pretrain.training.fast_paths import uncompiled
from pretrain.training.guards.signals import safe_point
from pretrain.training.metric_logger import MetricAccumulator


def evaluate(
    accelerator: Accelerator, model: torch.nn.Module, held_out: Epoch, objective: Objective
) -> dict[str, float]:
    """Losses and accuracies on held-out data, with the same masks every time."""
    model.eval()
    metrics, carry = MetricAccumulator(), None
    devices = [accelerator.device] if accelerator.device.type == "cuda" else []
    settings = LoaderSettings(accelerator.process_index, accelerator.num_processes)
    with torch.inference_mode(), uncompiled(model), torch.random.fork_rng(devices=devices):
        # An ELECTRA generator samples the same tokens every time, too.
        torch.manual_seed(key("held-out", accelerator.process_index))
        for batches in load_steps(held_out, settings):
            for batch in batches:
                with accelerator.autocast():
                    on_device = batch.to(accelerator.device).with_totals(batch.counts)
                    output = objective.compute(model, on_device, carry)
                carry = output.carry
                metrics.add(output.metrics)
            safe_point(accelerator)
    means = metrics.means(accelerator)
    loss = sum(weight * means[name] for name, weight in objective.held_out_weights.items() if name in means)
    return means | {"loss": loss}


def held_out_baselines(held_out: Epoch, objective: Objective, measured: dict[str, float]) -> dict[str, float]:
    """Trivial baselines on the held-out data.

    Args:
        held_out: the data.
        objective: adds its own baselines.
        measured: the trained model's held-out metrics, with the prefix `eval_`.

    Returns:
        `eval_unigram_entropy`, the entropy in nats of the unigram distribution of the target tokens; `eval_sequences`;
        and for a second task the share of the majority label, such as `eval_nsp_majority`.
    """
    labels = np.concatenate(list(targets_of(held_out)))
    shares = np.bincount(labels) / len(labels)
    shares = shares[shares > 0]
    baselines = {
        "eval_unigram_entropy": float(-(shares * np.log(shares)).sum()),
        "eval_sequences": sum(map(len, held_out.batches)),
    }
    return baselines | objective.baselines(held_out, measured)
