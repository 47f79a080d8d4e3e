"""AdamW, the learning-rate schedule, and durations that carry their unit."""

import dataclasses
import re
from collections.abc import Sequence

import torch

from configs.errors import InputError
from pretrain.config import OptimizerConfig


def adamw(model: torch.nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) in one fused kernel; LayerNorm and biases are not decayed.

    The grouping is that of google-research/bert, optimization.py: embeddings are decayed. Where layers learn at rates
    of their own (Howard and Ruder 2018, section 3.2) or one after another (3.3), each has groups of its own.
    """
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    exempt = {id(parameter) for name, parameter in trained if parameter.ndim < 2 or "LayerNorm" in name}
    apart = config.layer_decay < 1 or config.gradual_unfreezing
    places = depths([name for name, _ in trained]) if apart else dict.fromkeys((name for name, _ in trained), 0)
    groups = [
        {
            "params": [p for name, p in trained if places[name] == place and (id(p) in exempt) == bare],
            "weight_decay": 0.0 if bare else config.weight_decay,
            "decay": 0.0 if bare else config.weight_decay,
            "below_top": place,
        }
        for place in sorted(set(places.values()))
        for bare in (False, True)
    ]
    groups = [group for group in groups if group["params"] or not apart]
    return torch.optim.AdamW(
        groups,
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        eps=config.epsilon,
        fused=True,
    )


LAYER = re.compile(r"\blayers?\.(\d+)\.")


def depths(names: Sequence[str]) -> dict[str, int]:
    """How far below the top each parameter stands: classifiers and the highest layer at 0, word vectors the lowest.

    >>> depths(["m.embeddings.weight", "m.layers.0.w", "m.layers.1.w", "classifier.weight"])
    {'m.embeddings.weight': 2, 'm.layers.0.w': 1, 'm.layers.1.w': 0, 'classifier.weight': 0}
    """
    numbers = {name: int(found[1]) for name in names if (found := LAYER.search(name))}
    layers = max(numbers.values(), default=-1) + 1
    lowest = {name: layers for name in names if "embeddings" in name}
    return {name: lowest.get(name, layers - 1 - numbers[name] if name in numbers else 0) for name in names}


def freeze(optimizer: torch.optim.Optimizer, epochs: float, config: OptimizerConfig) -> None:
    """Forget the gradients of layers whose turn has not come: epoch k trains the k highest (Howard and Ruder 2018).

    To be called between the backward pass and the clipping of gradients.
    """
    if not config.gradual_unfreezing:
        return
    for group in optimizer.param_groups:
        if group["below_top"] > int(epochs):
            for parameter in group["params"]:
                parameter.grad = None


def set_rate(optimizer: torch.optim.Optimizer, rate: float, step: int, config: OptimizerConfig) -> None:
    """The learning rate of the next step, number `step` counted from 1; each lower layer's is `layer_decay` times it.

    Without bias correction (google-research/bert, optimization.py, AdamWeightDecayOptimizer) a step is
    rate * (m / (sqrt(v) + epsilon) + decay * w). torch's fused kernel always corrects, with c1 = 1 - beta1 ** step and
    c2 = 1 - beta2 ** step; rate, epsilon and decay are chosen so that the corrections cancel out.
    """
    for group in optimizer.param_groups:
        own = rate * config.layer_decay ** group["below_top"]
        group["lr"] = own
        if not config.bias_correction:
            root = (1 - config.beta2**step) ** 0.5
            group["lr"] = own * (1 - config.beta1**step) / root
            group["eps"] = config.epsilon / root
            group["weight_decay"] = group["decay"] * root / (1 - config.beta1**step)


def learning_rate(progress: float, config: OptimizerConfig) -> float:
    """Linear warm-up from 0, then linear decay to 0, as a function of how much of the run is done.

    The slanted triangle of Howard and Ruder (2018, equation 3) has the same corners, between a 32nd and the peak.

    >>> config = OptimizerConfig(learning_rate=1.0, warmup=0.1)
    >>> [round(learning_rate(done, config), 6) for done in (0.05, 0.1, 0.55, 1)]
    [0.5, 1.0, 0.5, 0.0]
    >>> config = OptimizerConfig(learning_rate=1.0, warmup=0.1, decay_from="start")
    >>> [round(learning_rate(done, config), 6) for done in (0.05, 0.1, 0.55, 1)]
    [0.5, 0.9, 0.45, 0.0]
    >>> config = OptimizerConfig(learning_rate=3.2, warmup=0.1, schedule="slanted_triangular")
    >>> [round(learning_rate(done, config), 6) for done in (0, 0.1, 0.55, 1)]
    [0.1, 3.2, 1.65, 0.1]
    """
    rate = _linear(progress, config)
    if config.schedule == "slanted_triangular":
        return (config.learning_rate + rate * (TRIANGLE - 1)) / TRIANGLE
    return rate


def _linear(progress: float, config: OptimizerConfig) -> float:
    if progress < config.warmup:
        return config.learning_rate * progress / config.warmup
    if config.decay_from == "start":
        return config.learning_rate * (1 - min(1.0, progress))
    return config.learning_rate * (1 - min(1.0, progress)) / max(1e-12, 1 - config.warmup)


# Howard and Ruder (2018), section 3.2: how much smaller the lowest rate is than the peak.
TRIANGLE = 32
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
