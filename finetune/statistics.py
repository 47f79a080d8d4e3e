"""Intervals that count both sources of chance: the seeds, and the test texts.

Shapes: S seeds, N test texts.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import scipy.stats

from configs.errors import InputError
from configs.run_folder import RunFolder
from finetune.config import BAG_OF_WORDS, FinetuneConfig
from finetune.results import correct
from pretrain.model_config import SCRATCH, is_recurrent


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
class Interval:
    """An estimate with a confidence interval, as shares of 1."""

    estimate: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the sign is beyond doubt at this confidence."""
        return self.low > 0 or self.high < 0


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


def mean_interval(values_SN: np.ndarray, confidence: float) -> Interval:
    """The mean over seeds and test texts, both seen as samples, with its confidence interval.

    Two-way random effects without replication: x_sn = mean + seed_s + text_n + rest_sn. The variance of the mean is
    (MS_seed + max(0, MS_text - MS_rest)) / (S N), and Satterthwaite's degrees of freedom are those of Hillis (2007,
    "A comparison of denominator degrees of freedom methods for multiple observer ROC analysis", Statistics in
    Medicine 26), with seeds as readers and texts as cases: (S - 1) (MS_seed + max(0, ...))^2 / MS_seed^2.

    Args:
        values_SN: right or wrong answers, or differences of two models' answers.
        confidence: such as 0.95.

    Raises:
        ValueError: fewer than two seeds or two texts.
    """
    seeds, texts = values_SN.shape
    if min(seeds, texts) < 2:
        raise ValueError(f"an interval needs two seeds and two texts, not {seeds} and {texts}")
    mean = values_SN.mean()
    seed_means_S, text_means_N = values_SN.mean(1), values_SN.mean(0)
    seed_square = texts * ((seed_means_S - mean) ** 2).sum() / (seeds - 1)
    text_square = seeds * ((text_means_N - mean) ** 2).sum() / (texts - 1)
    rest_SN = values_SN - seed_means_S[:, None] - text_means_N[None] + mean
    rest_square = (rest_SN**2).sum() / ((seeds - 1) * (texts - 1))
    total = seed_square + max(0.0, text_square - rest_square)
    if total <= 0:
        return Interval(float(mean), float(mean), float(mean))
    freedom = math.inf if seed_square == 0 else (seeds - 1) * (total / seed_square) ** 2
    half = scipy.stats.t.ppf((1 + confidence) / 2, freedom) * math.sqrt(total / (seeds * texts))
    return Interval(float(mean), float(mean - half), float(mean + half))


def compare(runs: Sequence[Run], confidence: float) -> Comparison:
    """Scores, the best recurrent model, paired differences against it, and the verdict.

    Raises:
        InputError: two runs of a budget were not tested on the same texts.
    """
    budgets = sorted({run.label_budget for run in runs})
    models = list(dict.fromkeys(run.model for run in runs))
    seeds = list(dict.fromkeys(run.seed for run in runs))
    place = {(run.model, run.label_budget, run.seed): run for run in runs}
    scores, gains, best, cautions = [], [], {}, {}
    for budget in budgets:
        rows = {model: [place[model, budget, seed] for seed in seeds] for model in models}
        best_model = best_recurrent(rows)
        if best_model is not None:
            best[budget] = best_model
        answers = {model: np.stack([correct(run.folder) for run in found]) for model, found in rows.items()}
        if len({matrix.shape for matrix in answers.values()}) > 1:
            raise InputError(f"the runs at {budget} labels were tested on different numbers of texts")
        for model, found in rows.items():
            difference = None
            if best_model is not None and model != best_model:
                difference = mean_interval(answers[model] - answers[best_model], confidence)
            scores.append(score(model, budget, found, mean_interval(answers[model], confidence), difference))
            if (scratch := f"{model}{SCRATCH}") in answers:
                gains.append(Gain(model, budget, mean_interval(answers[model] - answers[scratch], confidence)))
        if {"bert", BAG_OF_WORDS} <= set(answers):
            cautions[budget] = caution(mean_interval(answers[BAG_OF_WORDS] - answers["bert"], confidence))
    verdicts = [
        verdict(scores, budget, best.get(budget))
        + cautions.get(budget, "")
        + "".join(f" {gained(gain)}" for gain in gains if gain.label_budget == budget)
        for budget in budgets
    ]
    return Comparison(confidence, seeds, scores, best, gains, verdicts, " ".join(verdicts))


def best_recurrent(rows: Mapping[str, Sequence[Run]]) -> str | None:
    """The recurrent model with the best mean accuracy on validation texts: the test texts must not choose it."""
    found = {
        model: float(np.mean([run.folder.result()["eval_accuracy"] for run in runs]))
        for model, runs in rows.items()
        if is_recurrent(runs[0].config.model.name)
    }
    return max(found, key=lambda model: found[model]) if found else None


def score(model: str, budget: int, runs: Sequence[Run], accuracy: Interval, difference: Interval | None) -> Score:
    """One row of the table."""
    results = [run.folder.result() for run in runs]
    accuracies = [result["test_accuracy"] for result in results]

    def mean(name: str) -> float:
        return float(np.mean([result[name] for result in results]))

    return Score(
        model=model,
        label_budget=budget,
        accuracies=accuracies,
        # With few seeds a t interval may leave what an accuracy can be.
        accuracy=Interval(accuracy.estimate, max(0.0, accuracy.low), min(1.0, accuracy.high)),
        spread=float(np.std(accuracies, ddof=1)),
        macro_f1=mean("test_macro_f1"),
        matthews=mean("test_matthews"),
        validation_accuracy=mean("eval_accuracy"),
        seconds=mean("seconds"),
        parameters=int(results[0]["parameters"]),
        difference=difference,
    )


def verdict(scores: Sequence[Score], budget: int, best: str | None) -> str:
    """One sentence on whether pretraining paid at a label budget, read off the interval alone."""
    labels = f"{budget:,} labels"
    pretrained = [score for score in scores if score.label_budget == budget and score.model == "bert"]
    if not pretrained or best is None:
        return f"At {labels}: no verdict, which needs `bert` and a recurrent model."
    difference = pretrained[0].difference
    assert difference is not None
    gain = f"{points(difference.estimate)} [{points(difference.low)}, {points(difference.high)}] points"
    if not difference.excludes_zero:
        return f"No difference shown at {labels}: pretraining's {gain} over the best recurrent baseline ({best})."
    outcome = "gains" if difference.estimate > 0 else "loses"
    return f"Pretraining {outcome} {gain} at {labels} over the best recurrent baseline ({best})."


def gained(gain: Gain) -> str:
    """One sentence on what a model's own pretraining brought it, read off the interval.

    >>> gained(Gain("lm-lstm", 250, Interval(0.1, 0.05, 0.15)))
    'lm-lstm gains +10.0 [+5.0, +15.0] points over the same model from scratch.'
    >>> gained(Gain("lm-lstm", 250, Interval(0.1, -0.05, 0.25)))
    'lm-lstm: no difference shown to the same model from scratch, +10.0 [-5.0, +25.0] points.'
    """
    found = gain.difference
    shown = f"{points(found.estimate)} [{points(found.low)}, {points(found.high)}] points"
    if not found.excludes_zero:
        return f"{gain.model}: no difference shown to the same model from scratch, {shown}."
    return f"{gain.model} {'gains' if found.estimate > 0 else 'loses'} {shown} over the same model from scratch."


def caution(lead: Interval) -> str:
    """What to add to a verdict where counting words does better than the pretrained model; nothing elsewhere.

    >>> caution(Interval(0.02, 0.01, 0.03))
    ' But bag-of-words is ahead of it by +2.0 [+1.0, +3.0] points.'
    >>> caution(Interval(0.02, -0.01, 0.05))
    ''
    """
    if lead.low <= 0:
        return ""
    return (
        f" But bag-of-words is ahead of it by {points(lead.estimate)} [{points(lead.low)}, {points(lead.high)}] points."
    )


def points(share: float) -> str:
    """A difference of shares in percentage points, with its sign.

    >>> points(0.0312), points(-0.004), points(0)
    ('+3.1', '-0.4', '+0.0')
    """
    return f"{100 * share:+.1f}"
