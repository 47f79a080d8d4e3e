"""What a comparison measures: runs, the scores of models, gains by pretraining, and all of them together."""

import dataclasses
from typing import Protocol

from configs.run_folder import RunFolder
from finetune.comparison.statistics import Interval
from finetune.config import FinetuneConfig


class Run(Protocol):
    """One finished fine-tuning run of a comparison."""

    @property
    def model(self) -> str:
        """Its name in the table."""
        ...

    @property
    def label_budget(self) -> int:
        """Training labels."""
        ...

    @property
    def seed(self) -> int:
        """Its seed."""
        ...

    @property
    def config(self) -> FinetuneConfig:
        """What it was made of."""
        ...

    @property
    def folder(self) -> RunFolder:
        """Where it lies."""
        ...

    @property
    def command(self) -> str:
        """What a person would type to get it."""
        ...


@dataclasses.dataclass(frozen=True)
class Score:
    """What a model reached at a label budget, over the seeds."""

    model: str
    label_budget: int
    accuracies: list[float]
    accuracy: Interval
    spread: float
    """Standard deviation of the accuracy over the seeds."""
    macro_f1: float
    matthews: float
    validation_accuracy: float
    seconds: float
    """Of a run, on average."""
    parameters: int
    difference: Interval | None
    """Paired difference of accuracy against the best recurrent model; None for that one, or where there is none."""


@dataclasses.dataclass(frozen=True)
class Gain:
    """What starting from pretrained weights brought a model over the same one with fresh weights."""

    model: str
    label_budget: int
    difference: Interval
    """Paired, of accuracy."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """All scores of a comparison and what follows from them."""

    confidence: float
    seeds: list[int]
    scores: list[Score]
    best_recurrent: dict[int, str]
    """By label budget: the recurrent model with the best mean accuracy on validation texts."""
    gains: list[Gain]
    """Of every model that stands beside another of its name with `-scratch` behind it."""
    verdicts: list[str]
    verdict: str
