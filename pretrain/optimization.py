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
            "decay": config.weight_decay,
        },
        {
            "params": [parameter for _, parameter in trained if id(parameter) in exempt],
            "weight_decay": 0.0,
            "decay": 0.0,
        },
    ]
    return torch.optim.AdamW(
        groups,
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        eps=config.epsilon,
        fused=True,
    )


def set_rate(optimizer: torch.optim.Optimizer, rate: float, step: int, config: OptimizerConfig) -> None:
    """The learning rate of the next step, number `step` counted from 1.

    Without bias correction (google-research/bert, optimization.py, AdamWeightDecayOptimizer) a step is
    rate * (m / (sqrt(v) + epsilon) + decay * w). torch's fused kernel always corrects, with c1 = 1 - beta1 ** step and
    c2 = 1 - beta2 ** step; rate, epsilon and decay are chosen so that the corrections cancel out.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate
        if not config.bias_correction:
            root = (1 - config.beta2**step) ** 0.5
            group["lr"] = rate * (1 - config.beta1**step) / root
            group["eps"] = config.epsilon / root
            group["weight_decay"] = group["decay"] * root / (1 - config.beta1**step)


def learning_rate(progress: float, config: OptimizerConfig) -> float:
    """Linear warm-up from 0, then linear decay to 0, as a function of how much of the run is done.

    >>> config = OptimizerConfig(learning_rate=1.0, warmup=0.1)
    >>> [round(learning_rate(done, config), 6) for done in (0.05, 0.1, 0.55, 1)]
    [0.5, 1.0, 0.5, 0.0]
    >>> config = OptimizerConfig(learning_rate=1.0, warmup=0.1, decay_from="start")
    >>> [round(learning_rate(done, config), 6) for done in (0.05, 0.1, 0.55, 1)]
    [0.5, 0.9, 0.45, 0.0]
    """
    if progress < config.warmup:
        return config.learning_rate * progress / config.warmup
    if config.decay_from == "start":
        return config.learning_rate * (1 - min(1.0, progress))
    return config.learning_rate * (1 - min(1.0, progress)) / max(1e-12, 1 - config.warmup)


SECONDS = {"second": 1, "minute": 60, "hour": 3600}


@dataclasses.dataclass(frozen=True)
class Duration:
    """How long a run is: an amount of a unit, and perhaps a least number of steps."""

    amount: float
    unit: str
    minimum_steps: int = 0

    @classmethod
    def parse(cls, text: str) -> "Duration":
        """Read `2 epochs`, `1000 steps`, `50M tokens`, `30 minutes`, or `4 epochs, at least 300 steps`.

        Raises:
            InputError: not of that form.

        >>> Duration.parse("50M tokens")
        Duration(amount=50000000.0, unit='tokens', minimum_steps=0)
        >>> Duration.parse("1.5 hours").amount
        5400.0
        >>> Duration.parse("1 epoch, at least 300 steps").minimum_steps
        300
        """
        found = re.fullmatch(
            r"\s*([\d._]+)\s*([kMG]?)\s*(epoch|step|token|second|minute|hour)s?(?:\s*,\s*at least\s+(\d+)\s+steps)?\s*",
            text,
        )
        try:
            amount = float(found[1]) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[found[2]] if found else 0.0
        except ValueError:
            amount = 0.0
        if found is None or amount <= 0:
            raise InputError(
                f"training.duration: {text!r} is no duration; write `2 epochs`, `1000 steps`, `50M tokens`, "
                "`30 minutes` or `4 epochs, at least 300 steps`"
            )
        if found[3] in SECONDS:
            return cls(amount * SECONDS[found[3]], "seconds", int(found[4] or 0))
        return cls(amount, f"{found[3]}s", int(found[4] or 0))

    def progress(self, epochs: float, steps: int, tokens: int, seconds: float) -> float:
        """The share of the run that is done, given what has been consumed; 1 or more at its end.

        >>> Duration.parse("2 epochs, at least 10 steps").progress(epochs=1.0, steps=2, tokens=0, seconds=9.0)
        0.2
        """
        consumed = {"epochs": epochs, "steps": float(steps), "tokens": float(tokens), "seconds": seconds}
        done = consumed[self.unit] / self.amount
        return min(done, steps / self.minimum_steps) if self.minimum_steps else done


def parse_phases(text: str) -> list[tuple[float, int]]:
    """Read `90% at 128, then 10% at 512`: where each phase ends, as a share of the run, and its sequence length.

    Raises:
        InputError: not of that form, or the shares do not add up to 100 %.

    >>> parse_phases("90% at 128, then 10% at 512")
    [(0.9, 128), (1.0, 512)]
    """
    found = [
        re.fullmatch(r"\s*([\d.]+)\s*%\s*at\s+(\d+)\s*", part) for part in re.split(r",\s*then\b|,|\bthen\b", text)
    ]
    phases = [(float(part[1]), int(part[2])) for part in found if part and part[1].count(".") <= 1 and part[1] != "."]
    if len(phases) < len(found) or abs(sum(share for share, _ in phases) - 100) > 1e-6 or min(phases)[0] <= 0:
        raise InputError(
            f"phases: {text!r}; write `90% at 128, then 10% at 512`, with shares above 0 that add up to 100%"
        )
    ends = [sum(share for share, _ in phases[: number + 1]) / 100 for number in range(len(phases) - 1)]
    return [(end, length) for end, (_, length) in zip([*ends, 1.0], phases, strict=True)]
