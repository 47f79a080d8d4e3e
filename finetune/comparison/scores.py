"""The records of a comparison: runs, scores of models, gains from pretraining."""

import dataclasses
from typing import Literal, Protocol

from configs.run_folder import RunFolder
from finetune.comparison.intervals import Interval
from finetune.comparison.worth import Worth
from finetune.config import FinetuneConfig


class Run(Protocol):
    """A finished fine-tuning run of a comparison."""

    @property
    def model(self) -> str:
        """The name in the table."""
        ...

    @property
    def label_budget(self) -> int:
        """Number of training labels."""
        ...

    @property
    def seed(self) -> int:
        """The seed of the run."""
        ...

    @property
    def pretraining_seed(self) -> int | None:
        """The seed of the pretraining it starts from, if the comparison names such seeds."""
        ...

    @property
    def config(self) -> FinetuneConfig:
        """The fine-tuning config."""
        ...

    @property
    def folder(self) -> RunFolder:
        """The run folder."""
        ...

    @property
    def command(self) -> str:
        """The shell command that repeats the run."""
        ...


@dataclasses.dataclass(frozen=True)
class Score:
    """The scores of a model at a label budget, over the seeds.

    What is called accuracy here is the compared score (`Comparison.score`), which is accuracy unless another was asked.
    """

    model: str
    label_budget: int
    accuracies: list[float]
    """Of all runs: of one pretraining seed after the other."""
    accuracy: Interval
    spread: float
    """Standard deviation of the accuracy over the runs."""
    macro_f1: float
    matthews: float
    validation_accuracy: float
    seconds: float
    """Mean duration of a run."""
    parameters: int
    difference: Interval | None
    """Paired difference of accuracy from the best model without pretraining; None for itself, or if there is none."""
    family: Literal["encoder", "recurrent", "linear"] = "encoder"
    pretrained: bool = True
    """Whether it started from pretrained weights."""
    validation_texts: int = 0
    """Validation texts of each run."""
    failed_runs: int = 0
    """Runs that are not shown to be better than the majority label, or another constant answer."""
    calibration_error: float | None = None
    """Mean distance of the calibrated confidence from the accuracy; None of runs made before it was measured."""
    others: dict[str, float] = dataclasses.field(default_factory=dict)
    """Means of further scores by name, if another than accuracy is compared."""


@dataclasses.dataclass(frozen=True)
class Gain:
    """The gain of a pretrained model over the same model from scratch."""

    model: str
    label_budget: int
    difference: Interval
    """Paired difference of accuracy."""
    adjusted_p_value: float = 1.0
    """By Holm, for all gains and leads of the comparison."""
    is_shown: bool = False
    """Whether that is below the level; the interval is of this gain alone."""


@dataclasses.dataclass(frozen=True)
class Lead:
    """The lead of a model that the verdict is about over another than the best without pretraining."""

    model: str
    rival: str
    label_budget: int
    difference: Interval
    """Paired difference of accuracy."""
    adjusted_p_value: float = 1.0
    """By Holm, for all gains and leads of the comparison."""
    is_shown: bool = False
    """Whether that is below the level; the interval is of this lead alone."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """Whether a pretrained model is worth taking at a label budget, against the best model without pretraining."""

    model: str
    label_budget: int
    rival: str
    difference: Interval
    adjusted_p_value: float
    """By Holm, for all answers of the comparison."""
    outcome: Literal["ahead", "behind", "equal", "not shown"]
    """`equal`: the whole interval is within the margin that matters."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """All scores, gains and verdicts of a comparison."""

    confidence: float
    seeds: list[int]
    scores: list[Score]
    best_recurrent: dict[int, str]
    """For each label budget, the recurrent baseline: of the recurrent models without pretraining, the one with the best
    mean validation accuracy."""
    best_unpretrained: dict[int, str]
    """For each label budget, the same of all models without pretraining: recurrent, linear, or an encoder."""
    answers: list[Answer]
    """For every pretrained encoder and label budget; without encoders, for every other pretrained model."""
    worths: list[Worth]
    """What pretraining is worth in labels, for every answer but those at the largest label budget."""
    margin: float
    """Differences within it do not matter, as a share of 1."""
    gains: list[Gain]
    """For every model whose `-scratch` variant is compared too."""
    verdicts: list[str]
    verdict: str
    majority: float | None = None
    """The compared score of always answering the most frequent class of the test texts, or of the best constant answer
    where a text may have several labels; None of runs made before it was recorded."""
    score: str = "accuracy"
    """The name of the score that is compared: of `Score.accuracy`, all differences and the verdicts."""
    leads: list[Lead] = dataclasses.field(default_factory=list)
    """Over other models than the best without pretraining, for every answer."""
