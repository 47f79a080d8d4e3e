"""What two processes find about the parts that talk to each other; started by `test_processes.py` through torchrun."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from finetune.classification.evaluation import predict
from pretrain.data.loader import Batch
from pretrain.training.engine import leave_process_group
from pretrain.training.metric_logger import MetricAccumulator


class Scorer(torch.nn.Module):
    """Logits that are the text's index in both classes."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(2))

    def forward(self, index: torch.Tensor) -> SimpleNamespace:
        """Logits [B, 2] of texts with these indices [B]."""
        return SimpleNamespace(logits=index.unsqueeze(1) * self.scale)


class Texts:
    """An epoch of texts that are their indices."""

    def __init__(self, *batches: list[int]) -> None:
        self.batches = [np.array(batch) for batch in batches]

    def collate(self, samples_B: np.ndarray) -> Batch:
        """The texts with these indices."""
        index_B = torch.from_numpy(samples_B)
        return Batch({"index": index_B.float()}, {"labels": index_B % 2}, {"labels": len(samples_B)})


def predictions(accelerator: Accelerator, *batches: list[int]) -> list[float]:
    model = accelerator.prepare(Scorer())
    texts: Any = Texts(*batches)
    return predict(accelerator, texts, model)[0][:, 0].tolist()


def mean_after_resume(accelerator: Accelerator, steps: int, resumed_at: int) -> float:
    """The mean of a loss of which one process has 1.0 and the other 3.0 in every step."""
    window = MetricAccumulator()
    for step in range(steps):
        if step == resumed_at:
            window = MetricAccumulator.restored(window.state(accelerator), accelerator)
        window.add({"loss": (torch.tensor(1.0 + 2 * accelerator.process_index), 1 / 2)})
    return window.means(accelerator)["loss"]


if __name__ == "__main__":
    both = Accelerator(cpu=True)
    found = {
        "processes": both.num_processes,
        "one text": predictions(both, [0]),
        "odd": predictions(both, [0, 1, 2], [3]),
        "unbroken": mean_after_resume(both, 4, 0),
        "resumed": mean_after_resume(both, 4, 3),
    }
    if both.is_main_process:
        print(json.dumps(found))
    leave_process_group(both)
