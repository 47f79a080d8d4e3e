"""Equal tuning: the same number of random-search trials for each model and label budget, judged by cross-validation.

Source: Dodge et al., Show Your Work (arXiv 1909.03004), section 3, for the expected validation performance.

A trial trains on the labels of the comparison's first seed and is judged on parts of them that it was neither trained
on nor stopped by. No test text is read. The best settings are those of all seeds.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from configs.command_line import load
from configs.errors import InputError
from configs.run_folder import RunFolder
from finetune.comparison.config import CompareConfig, Overrides
from finetune.comparison.grid import Cell, Failure, cell_config, cell_of, seeds_of_pretraining
from finetune.config import BAG_OF_WORDS, FinetuneConfig
from pretrain.data.randomness import python_random
from pretrain.models.config import is_frozen, is_recurrent

# The labels are judged in parts of a fifth: all of them where there are few, fewer parts once this many are judged.
FOLDS = 5
ENOUGH_TEXTS = 1000
# Of a drawn number, so that it reads well and is the same in every file.
SIGNIFICANT_DIGITS = 3
# Draws for a trial until its settings are new; where there are few choices, so many hardly ever miss one.
ATTEMPTS = 1000
# Drawn where it is used.
MUON_RATE = "optimizer.muon_learning_rate"


@dataclasses.dataclass(frozen=True)
class RangesConfig:
    """What random search draws, by kind of model: `KEY, KEY: {times: [low, high]}`, `{between: [low, high]}` or
    `{choices: [...]}`.
    """

    encoder: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    """For models with an encoder that is trained."""
    recurrent: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    """For recurrent models, pretrained or not."""
    bag_of_words: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    """For bag-of-words."""

    def __post_init__(self) -> None:
        """Validate the ranges."""
        for kind, keys, how in self._lines():
            name, values = next(iter(how.items())) if len(how) == 1 else ("", None)
            is_pair = isinstance(values, list) and len(values) == 2
            if name == "choices" and isinstance(values, list) and values:
                continue
            if name not in ("times", "between") or not is_pair or not values[0] <= values[1]:
                raise InputError(
                    f"{kind}: {keys}: {how} is none of {{times: [low, high]}}, {{between: [low, high]}}, "
                    "{choices: [one, ...]}"
                )
            if name == "times" and values[0] <= 0:
                raise InputError(f"{kind}: {keys}: {how}: factors are above 0")

    def _lines(self) -> list[tuple[str, str, dict[str, Any]]]:
        kinds = dataclasses.asdict(self)
        return [(kind, keys, how) for kind, ranges in kinds.items() for keys, how in ranges.items()]

    def of(self, model_name: str) -> dict[str, dict[str, Any]]:
        """The ranges for a model; none for one whose only settings are chosen within its run."""
        if model_name == BAG_OF_WORDS:
            return self.bag_of_words
        if is_frozen(model_name):
            return {}
        return self.recurrent if is_recurrent(model_name) else self.encoder


class Trial(NamedTuple):
    """Settings of a model at a label budget, and the runs that judge them, one for each part of the labels."""

    model: str
    label_budget: int
    settings: Overrides
    cells: list[Cell]

    def score(self, config: CompareConfig) -> float:
        """The compared score, the mean over the parts by their texts; 0 if a run failed, as at too high a rate.

        Whether it did so by itself or was killed, its settings are not known to work; see `Tuned.failed`.
        """
        from finetune.comparison.compared_score import compared_score, is_multi_label

        if not all(cell.folder.finished for cell in self.cells):
            return 0.0
        results = [cell.folder.result() for cell in self.cells]
        name = compared_score(config, is_multi_label(results[0]))
        texts = sum(result["test_texts"] for result in results)
        return sum(result[f"test_{name}"] * result["test_texts"] for result in results) / texts


@dataclasses.dataclass(frozen=True)
class Tuned:
    """The trials of a model at a label budget."""

    model: str
    label_budget: int
    settings: list[Overrides]
    """Of each trial; of the first, as given."""
    scores: list[float]
    best: int
    """The trial of the highest score; of equal ones, the first."""
    expected_best: list[float]
    """The highest score that is to be expected of 1, 2, … trials."""
    failed: dict[int, str] = dataclasses.field(default_factory=dict)
    """The trials of which a run failed, whose score is 0, and why."""
    digests: list[str] = dataclasses.field(default_factory=list)
    """Of the runs of all trials."""

    @classmethod
    def of(cls, trials: Sequence[Trial], config: CompareConfig, failures: Sequence[Failure] = ()) -> "Tuned":
        """From the trials and those of their runs that failed."""
        scores = [trial.score(config) for trial in trials]
        settings = [trial.settings for trial in trials]
        best = scores.index(max(scores))
        reasons = {failure.cell.folder.path: failure.reason for failure in failures}
        failed = {
            number: reasons.get(cell.folder.path, "not finished")
            for number, trial in enumerate(trials)
            # Of several, the first one's reason.
            for cell in reversed(trial.cells)
            if not cell.folder.finished
        }
        digests = [cell.folder.digest for trial in trials for cell in trial.cells]
        own = trials[0]
        return cls(own.model, own.label_budget, settings, scores, best, expected_best(scores), failed, digests)

    @property
    def upstream(self) -> list[str]:
        """What a comparison's result hangs on: other trials or scores make another one, though the best be the same."""
        return [*self.digests, *(f"{score:.6f}" for score in self.scores)]

    @property
    def best_settings(self) -> Overrides:
        """Those of the best trial."""
        return self.settings[self.best]

    def settings_of(self, trial: int) -> str:
        """The settings of a trial in words."""
        return ", ".join(f"{key} {value}" for key, value in self.settings[trial].items()) or "as given"

    def __str__(self) -> str:
        """One line for a person."""
        best, given = (f"{100 * self.scores[trial]:.1f}" for trial in (self.best, 0))
        return (
            f"tuning: {self.model}, {self.label_budget:,} labels: {self.settings_of(self.best)} ({best} %, as given "
            f"{given} %; {len(self.scores)} trials)"
        )

    def warnings(self) -> list[str]:
        """A line for each trial that failed."""
        return [
            f"tuning: {self.model}, {self.label_budget:,} labels: trial {number + 1} ({self.settings_of(number)}) "
            f"failed and counts as the worst, so the model had a trial less: {reason}"
            for number, reason in self.failed.items()
        ]


def trials_of(
    config: CompareConfig, tokenizer_override: Overrides, pretrained: Mapping[str, RunFolder]
) -> list[list[Trial]]:
    """All trials, a list for each model and label budget.

    Raises:
        InputError: the file of ranges names an unknown key, or cannot be read.
    """
    ranges = load(RangesConfig, config.tuning.ranges)
    groups = []
    for budget, model in itertools.product(sorted(config.label_budgets, reverse=True), config.models):
        first = seeds_of_pretraining(config, model)[0]
        cell = functools.partial(cell_of, config, model, budget, config.seeds[0], tokenizer_override, pretrained, first)
        as_given = cell({}).config
        if not (own := ranges.of(as_given.model.name)):
            continue
        trials = []
        for settings in different_settings(own, as_given, model, config.tuning.trials):
            parts = [{"folds": FOLDS, "fold": fold, "refit": False} for fold in range(folds_judged(budget))]
            trials.append(Trial(model, budget, settings, [cell(settings | part) for part in parts]))
        groups.append(trials)
    return groups


def planned_trials(config: CompareConfig) -> list[tuple[str, FinetuneConfig]]:
    """The model and a config of each run of tuning, before there are pretrained models.

    Raises:
        InputError: as `trials_of`.
    """
    ranges = load(RangesConfig, config.tuning.ranges) if config.tuning.trials else RangesConfig()
    planned = []
    for model, budget in itertools.product(config.models, config.label_budgets):
        cell = functools.partial(cell_config, config, model, budget, config.seeds[0], {}, {})
        as_given, _ = cell()
        if own := ranges.of(as_given.model.name):
            for settings in different_settings(own, as_given, model, config.tuning.trials):
                trial, _ = cell(settings=settings | {"folds": FOLDS, "refit": False})
                planned += [(model, trial)] * folds_judged(budget)
    return planned


def different_settings(
    ranges: Mapping[str, Mapping[str, Any]], config: FinetuneConfig, model: str, count: int
) -> list[Overrides]:
    """The settings of `count` trials, all different, the first as given; fewer where no more are found.

    Args:
        ranges, config, model: as of `drawn`.
        count: of trials.

    Raises:
        InputError: as `drawn`.
    """
    found: list[Overrides] = [{}]
    seen = [{key: value_of(config, key) for key in drawn(ranges, config, model, 1)}]
    for number in range(1, count):
        attempts = (drawn(ranges, config, model, number, attempt) for attempt in range(ATTEMPTS))
        settings = next((one for one in attempts if one not in seen), None)
        if settings is None:
            break
        found.append(settings)
        seen.append(settings)
    return found


def folds_judged(budget: int) -> int:
    """How many of the fifths of a budget's labels a trial is judged on.

    >>> [folds_judged(budget) for budget in (250, 1000, 2500, 25_000)]
    [5, 5, 2, 1]
    """
    return max(1, min(FOLDS, math.ceil(ENOUGH_TEXTS / (budget / FOLDS))))


def drawn(
    ranges: Mapping[str, Mapping[str, Any]], config: FinetuneConfig, model: str, number: int, attempt: int = 0
) -> Overrides:
    """The settings of a trial: a function of the model and the numbers of trial and attempt.

    Args:
        ranges: of the model's kind.
        config: the model's settings as given.
        model: its name in the comparison.
        number: of the trial, from 1.
        attempt: others than those that were there before.

    Raises:
        InputError: an unknown key.
    """
    settings: Overrides = {}
    for keys, how in ranges.items():
        name, values = next(iter(how.items()))
        for key in keys.replace(" ", "").split(","):
            given = value_of(config, key)
            if key == MUON_RATE and config.optimizer.name != "muon":
                continue
            if key == "adversarial_step" and config.training.speed.compile:
                continue
            # Begun anew for each key: all of a line get the same draw.
            random = python_random("tuning", model, keys, number, *([attempt] if attempt else []))
            if name == "choices":
                settings[key] = random.choice(values)
            elif name == "between":
                settings[key] = _rounded(random.uniform(*values))
            else:
                settings[key] = _rounded(given * math.exp(random.uniform(*map(math.log, values))))
    return settings


def value_of(config: Any, key: str) -> Any:
    """The value of a dotted key.

    Raises:
        InputError: there is no such key.
    """
    for part in key.split("."):
        if not hasattr(config, part):
            raise InputError(f"{key}: no such key of the fine-tuning stage")
        config = getattr(config, part)
    return config


def expected_best(scores: Sequence[float]) -> list[float]:
    """The expected highest of 1, 2, … n scores drawn with replacement from the n there are.

    >>> [round(value, 3) for value in expected_best([0.5, 0.9])]
    [0.7, 0.8]
    """
    ordered, count = sorted(scores), len(scores)
    return [
        sum(
            score * ((rank / count) ** draws - ((rank - 1) / count) ** draws)
            for rank, score in enumerate(ordered, start=1)
        )
        for draws in range(1, count + 1)
    ]


def _rounded(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
