"""The learning-rate schedule, durations with units, and phases."""

import dataclasses
import math
import re

from configs.errors import InputError
from pretrain.training.config import OptimizerConfig


def learning_rate(progress: float, config: OptimizerConfig) -> float:
    """Linear warm-up from 0, then the schedule's decay to 0, as a function of progress from 0 to 1.

    The slanted triangular schedule (Howard and Ruder 2018, equation 3) rises from and falls to a 32nd of the peak.

    >>> config = OptimizerConfig(learning_rate=1.0, warmup=0.1)
    >>> [round(learning_rate(done, config), 6) for done in (0.05, 0.1, 0.55, 1)]
    [0.5, 1.0, 0.5, 0.0]
    >>> config = OptimizerConfig(learning_rate=1.0, warmup=0.1, decay_from="start")
    >>> [round(learning_rate(done, config), 6) for done in (0.05, 0.1, 0.55, 1)]
    [0.5, 0.9, 0.45, 0.0]
    >>> config = OptimizerConfig(learning_rate=3.2, warmup=0.1, schedule="slanted_triangular")
    >>> [round(learning_rate(done, config), 6) for done in (0, 0.1, 0.55, 1)]
    [0.1, 3.2, 1.65, 0.1]
    >>> config = OptimizerConfig(learning_rate=1.0, warmup=0.1, schedule="cosine")
    >>> [round(learning_rate(done, config), 6) for done in (0.05, 0.1, 0.55, 1)]
    [0.5, 1.0, 0.5, 0.0]
    >>> config = OptimizerConfig(learning_rate=1.0, warmup=0.1, schedule="warmup_stable_decay", decay_share=0.4)
    >>> [round(learning_rate(done, config), 6) for done in (0.05, 0.6, 0.7, 1)]
    [0.5, 1.0, 0.5, 0.0]
    """
    if config.schedule == "slanted_triangular":
        return (config.learning_rate + _linear(progress, config) * (TRIANGLE - 1)) / TRIANGLE
    if config.schedule == "linear" or progress < config.warmup:
        return _linear(progress, config)
    if config.schedule == "cosine":
        decayed = min(1.0, (progress - config.warmup) / max(1e-12, 1 - config.warmup))
        return config.learning_rate * (1 + math.cos(math.pi * decayed)) / 2
    decayed = min(1.0, max(0.0, progress - (1 - config.decay_share)) / config.decay_share)
    return config.learning_rate * (1 - math.sqrt(decayed))


def _linear(progress: float, config: OptimizerConfig) -> float:
    if progress < config.warmup:
        return config.learning_rate * progress / config.warmup
    if config.decay_from == "start":
        return config.learning_rate * (1 - min(1.0, progress))
    return config.learning_rate * (1 - min(1.0, progress)) / max(1e-12, 1 - config.warmup)


# Howard and Ruder (2018), section 3.2: the ratio of the peak to the lowest rate.
TRIANGLE = 32


SECONDS = {"second": 1, "minute": 60, "hour": 3600}


@dataclasses.dataclass(frozen=True)
class Duration:
    """The length of a run: an amount, its unit, and optionally a least and a largest number of steps."""

    amount: float
    unit: str
    minimum_steps: int = 0
    maximum_steps: float = math.inf

    @classmethod
    def parse(cls, text: str) -> "Duration":
        """Read `2 epochs`, `1000 steps`, `5M tokens`, `9 minutes`, `4 epochs, at least 300 steps, at most 2000 steps`.

        Raises:
            InputError: the text has another form, or asks for more steps than it allows.

        >>> Duration.parse("50M tokens")
        Duration(amount=50000000.0, unit='tokens', minimum_steps=0, maximum_steps=inf)
        >>> Duration.parse("1.5 hours").amount
        5400.0
        >>> Duration.parse("1 epoch, at least 300 steps").minimum_steps
        300
        """
        match = re.fullmatch(
            r"\s*([\d._]+)\s*([kMG]?)\s*(epoch|step|token|second|minute|hour)s?"
            r"(?:\s*,\s*at least\s+(\d+)\s+steps)?(?:\s*,\s*at most\s+(\d+)\s+steps)?\s*",
            text,
        )
        try:
            amount = float(match[1]) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[match[2]] if match else 0.0
        except ValueError:
            amount = 0.0
        if match is None or amount <= 0:
            raise InputError(
                f"training.duration: {text!r} is not a duration; write `2 epochs`, `1000 steps`, `50M tokens`, "
                "`30 minutes` or `4 epochs, at least 300 steps, at most 2000 steps`"
            )
        least, most = int(match[4] or 0), int(match[5]) if match[5] else math.inf
        if most < max(1, least):
            raise InputError(f"training.duration: {text!r} has fewer steps at most than at least, or none")
        if match[3] in SECONDS:
            return cls(amount * SECONDS[match[3]], "seconds", least, most)
        return cls(amount, f"{match[3]}s", least, most)

    def times(self, factor: float) -> str:
        """The text of a duration so many times as long, its bounds of steps with it; steps and tokens stay whole.

        >>> Duration.parse("5M tokens").times(0.0625), Duration.parse("4 epochs, at least 300 steps").times(0.25)
        ('312500 tokens', '1 epochs, at least 75 steps')
        >>> Duration.parse("1.5 hours").times(0.1), Duration.parse("10 steps").times(0.01)
        ('540 seconds', '1 steps')
        """
        amount = self.amount * factor
        is_whole = self.unit in ("steps", "tokens")
        # Not as an exponent, which `parse` does not read.
        text = str(max(1, round(amount))) if is_whole else f"{amount:.6f}".rstrip("0").rstrip(".")
        minimum = f", at least {math.ceil(self.minimum_steps * factor)} steps" if self.minimum_steps else ""
        maximum = f", at most {math.ceil(self.maximum_steps * factor)} steps" if self.maximum_steps < math.inf else ""
        return f"{text} {self.unit}{minimum}{maximum}"

    def bounded(self, length: float, of_a_step: float) -> float:
        """A length of a run in any unit, within the bounds of steps.

        Args:
            length: without the bounds.
            of_a_step: the length of a step in the same unit.

        >>> duration = Duration.parse("4 epochs, at least 300 steps, at most 2000 steps")
        >>> [duration.bounded(tokens, of_a_step=10) for tokens in (100, 5000, 90_000)]
        [3000, 5000, 20000]
        """
        return min(max(length, self.minimum_steps * of_a_step), self.maximum_steps * of_a_step)

    def progress(self, epochs: float, steps: int, tokens: int, seconds: float) -> float:
        """The share of the run that is done; at least 1 at its end.

        >>> Duration.parse("2 epochs, at least 10 steps").progress(epochs=1.0, steps=2, tokens=0, seconds=9.0)
        0.2
        """
        consumed = {"epochs": epochs, "steps": float(steps), "tokens": float(tokens), "seconds": seconds}
        done = consumed[self.unit] / self.amount
        if self.minimum_steps:
            done = min(done, steps / self.minimum_steps)
        return max(done, steps / self.maximum_steps)


def evaluations_due(progress: float, evaluations: int) -> int:
    """How many of a run's evaluations are due once this share of it is done.

    >>> [evaluations_due(steps / 100, 100) for steps in (28, 29, 57, 58)]
    [28, 29, 57, 58]
    """
    # 0.29 * 100 is a little less than 29.
    return int(progress * evaluations + 1e-9)


def parse_phases(text: str) -> list[tuple[float, int]]:
    """Read `90% at 128, then 10% at 512`: the end of each phase, as a share of the run, and its sequence length.

    Raises:
        InputError: the text has another form, or the shares do not add up to 100 %.

    >>> parse_phases("90% at 128, then 10% at 512")
    [(0.9, 128), (1.0, 512)]
    """
    parts = re.split(r",\s*then\b|,|\bthen\b", text)
    matches = [re.fullmatch(r"\s*([\d.]+)\s*%\s*at\s+(\d+)\s*", part) for part in parts]
    phases = [(float(m[1]), int(m[2])) for m in matches if m and m[1].count(".") <= 1 and m[1] != "."]
    if len(phases) < len(parts) or abs(sum(share for share, _ in phases) - 100) > 1e-6 or min(phases)[0] <= 0:
        raise InputError(
            f"phases: {text!r}; write `90% at 128, then 10% at 512`, with shares above 0 that add up to 100%"
        )
    ends = [sum(share for share, _ in phases[: number + 1]) / 100 for number in range(len(phases) - 1)]
    return [(end, length) for end, (_, length) in zip([*ends, 1.0], phases, strict=True)]
