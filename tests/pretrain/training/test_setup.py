"""The accelerator of a run does what the config says, whatever the environment does."""

import torch

from configs.run_folder import RunFolder
from pretrain.training.config import TrainingConfig
from pretrain.training.setup import new_accelerator


def test_an_accumulation_in_the_environment_does_not_shrink_gradients(tmp_path, monkeypatch):
    # The engine weights micro-batches itself; accelerate would divide once more.
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    accelerator = new_accelerator(None, TrainingConfig(), RunFolder(tmp_path), {})
    weight = torch.ones(1, requires_grad=True)
    accelerator.backward(3 * weight.sum())
    assert weight.grad is not None
    assert weight.grad.item() == 3
