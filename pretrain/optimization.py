"""AdamW, the learning-rate schedule, and durations that carry their unit."""

import dataclasses
import re

import torch

from configs.errors import InputError
from pretrain.config import OptimizerConfig


def adamw(model: torch.nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) in one fused kernel; LayerNorm and biases are not decayed.

    The grouping is that of google-research/bert, optimization.py: embeddings are decayed.
    """
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    exempt = {id(parameter) for name, parameter in trained if parameter.ndim < 2 or "LayerNorm" in name}
    groups = [
        {
            "params": [parameter for _, parameter in trained if id(parameter) not in exempt],
            "weight_decay": config.weight_decay,
        },
        {"params": [parameter for _, parameter in trained if id(parameter) in exempt], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups,
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        eps=config.epsilon,
        fused=True,
    )


def learning_rate(progress: float, config: OptimizerConfig) -> float:
    """Linear warm-up from 0, then linear decay to 0, as a function of how much of the run is done.

    >>> config = OptimizerConfig(learning_rate=1.0, warmup=0.1)
    >>> [round(learning_rate(done, config), 6) for done in (0.05, 0.1, 0.55, 1)]
    [0.5, 1.0, 0.5, 0.0]
    """
    if progress < config.warmup:
        return config.learning_rate * progress / config.warmup
    return config.learning_rate * (1 - min(1.0, progress)) / max(1e-12, 1 - config.warmup)


@dataclasses.dataclass(frozen=True)
class Duration:
    """How long a run is: an amount of a unit, and perhaps a least number of steps."""

    amount: float
    unit: str
    minimum_steps: int = 0

    @classmethod
    def parse(cls, text: str) -> "Duration":
        """Read `2 epochs`, `1000 steps`, `50M tokens`, or `4 epochs, at least 300 steps`.

        Raises:
            InputError: not of that form.

        >>> Duration.parse("50M tokens")
        Duration(amount=50000000.0, unit='tokens', minimum_steps=0)
        >>> Duration.parse("1 epoch, at least 300 steps").minimum_steps
        300
        """
        found = re.fullmatch(
            r"\s*([\d._]+)\s*([kMG]?)\s*(epoch|step|token)s?(?:\s*,\s*at least\s+(\d+)\s+steps)?\s*", text
        )
        try:
            amount = float(found[1]) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[found[2]] if found else 0.0
        except ValueError:
            amount = 0.0
        if found is None or amount <= 0:
            raise InputError(
                f"training.duration: {text!r} is no duration; write `2 epochs`, `1000 steps`, `50M tokens` "
                "or `4 epochs, at least 300 steps`"
            )
        return cls(amount, f"{found[3]}s", int(found[4] or 0))

    def progress(self, epochs: float, steps: int, tokens: int) -> float:
        """The share of the run that is done, given what has been consumed; 1 or more at its end.

        >>> Duration.parse("2 epochs, at least 10 steps").progress(epochs=1.0, steps=2, tokens=0)
        0.2
        """
        done = {"epochs": epochs, "steps": float(steps), "tokens": float(tokens)}[self.unit] / self.amount
        return min(done, steps / self.minimum_steps) if self.minimum_steps else done
