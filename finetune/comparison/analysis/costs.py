"""What a score cost: pretraining, fine-tuning and classification; who is on the Pareto front; when pretraining pays.

Reads run folders: `result.json`, `timings.json` and the sizes of weights.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from configs.run_folder import RunFolder
from finetune.classification.predictions import timings_of
from finetune.comparison.analysis.words import briefly, capital, count, duration
from finetune.comparison.scores import Run, Score
from finetune.comparison.verdict import rounded
from finetune.comparison.worth import Worth
from pretrain.models.config import is_from_scratch, stage_of

# Tasks on the same kind of text that may share one pretraining.
SHARED_BY = 10
WEIGHTS = ("*.safetensors", "*.bin")


class Cost(NamedTuple):
    """What a model cost at a label budget, means over its runs."""

    model: str
    label_budget: int
    score: float
    pretrained: bool
    family: str
    training_seconds: float
    pretraining_seconds: float | None
    """Of the run it starts from; 0 without one; None of a checkpoint from elsewhere, whose cost is not known."""
    classification_seconds: float | None
    """For the test texts; None of runs that did not take the time."""
    texts_per_second: float | None
    tokens_per_second: float | None
    """In training."""
    parameters: int
    weights_megabytes: float | None
    """On disk; None where the weights are gone."""
    latency_seconds: float | None = None
    """For a text alone: of networks from its tokens to its logits; counting words finds the tokens, too."""
    memory_megabytes: float | None = None
    """The most that the process of a run had."""
    joules: float | None = None
    """Of the whole processor while a run was made; None where it does not tell."""
    on_front: bool = False
    """No other model is as good for less, pretraining included."""
    on_shared_front: bool = False
    """The same, where pretraining was paid for by another task."""

    @property
    def total_seconds(self) -> float | None:
        """Pretraining and one fine-tuning run."""
        return None if self.pretraining_seconds is None else self.pretraining_seconds + self.training_seconds


def origin(run: Run) -> RunFolder | None:
    """The pretraining run that a run's weights come from, if it is one of ours and still there."""
    name, pretrained = run.config.model.name, run.config.model.pretrained
    if is_from_scratch(name):
        return None
    path = Path(pretrained if stage_of(name) is not None else name)
    for folder in (path, path.parent):
        if (folder / "result.json").is_file():
            return RunFolder(folder)
    return None


def cost(score: Score, runs: Sequence[Run]) -> Cost:
    """What a model cost at a label budget."""
    results = [run.folder.result() for run in runs]
    timings = [timings_of(run.folder) for run in runs]
    seconds = [one.get("test_seconds") for one in timings]
    memory = _mean(one.get("peak_memory_bytes") for one in timings)
    known = [value for value in seconds if value]
    classification = statistics.fmean(known) if len(known) == len(runs) else None
    return Cost(
        model=score.model,
        label_budget=score.label_budget,
        score=score.accuracy.estimate,
        pretrained=score.pretrained,
        family=score.family,
        training_seconds=score.seconds,
        pretraining_seconds=_pretraining_seconds(score, runs),
        classification_seconds=classification,
        texts_per_second=None if classification is None else results[0]["test_texts"] / classification,
        tokens_per_second=_mean(result.get("tokens_per_second") for result in results),
        parameters=score.parameters,
        weights_megabytes=_mean(_megabytes(run.folder) for run in runs),
        latency_seconds=_mean(one.get("latency_seconds") for one in timings),
        memory_megabytes=None if memory is None else memory / 1e6,
        joules=_mean(one.get("joules") for one in timings),
    )


def _pretraining_seconds(score: Score, runs: Sequence[Run]) -> float | None:
    """Seconds of one pretraining run, mean over those of several seeds."""
    if not score.pretrained:
        return 0.0
    folders = [origin(run) for run in runs]
    return _mean(None if folder is None else folder.result().get("seconds") for folder in folders)


def _mean(values: Iterable[float | None]) -> float | None:
    """The mean; None if a value is not known."""
    listed = list(values)
    known = [value for value in listed if value is not None]
    return statistics.fmean(known) if known and len(known) == len(listed) else None


def _megabytes(folder: RunFolder) -> float | None:
    sizes = [file.stat().st_size for pattern in WEIGHTS for file in folder.model.glob(pattern)]
    return sum(sizes) / 1e6 if sizes else None


def with_fronts(costs: Sequence[Cost]) -> list[Cost]:
    """The costs at one label budget, marked where no other model is as good for less.

    >>> cheap = Cost("a", 9, 0.8, False, "linear", 1.0, 0.0, None, None, None, 1, None)
    >>> dear, good = cheap._replace(model="b", training_seconds=2.0), cheap._replace(
    ...     model="c", score=0.9, training_seconds=0.5, pretraining_seconds=60.0)
    >>> [(cost.model, cost.on_front, cost.on_shared_front) for cost in with_fronts([cheap, dear, good])]
    [('a', True, False), ('b', False, False), ('c', True, True)]
    """
    whole = {cost.model: cost.total_seconds for cost in costs}
    tuning = {cost.model: cost.training_seconds for cost in costs}
    return [
        cost._replace(on_front=_is_on_front(cost, costs, whole), on_shared_front=_is_on_front(cost, costs, tuning))
        for cost in costs
    ]


def _is_on_front(cost: Cost, costs: Sequence[Cost], seconds: Mapping[str, float | None]) -> bool:
    own = seconds[cost.model]
    if own is None:
        return False
    for other in costs:
        theirs = seconds[other.model]
        if theirs is None or other.model == cost.model:
            continue
        if theirs <= own and other.score >= cost.score and (theirs, other.score) != (own, cost.score):
            return False
    return True


def break_even(model: Cost, rival: Cost, worth: Worth | None) -> str:
    """When pretraining pays, in a sentence, for a model that is ahead of its rival.

    Args:
        model: the pretrained one.
        rival: the best without pretraining, at the same label budget.
        worth: of the model in labels; None at the largest budget.
    """
    if model.total_seconds is None or rival.total_seconds is None:
        return "What its pretraining cost is not known, as it comes from elsewhere; so there is no break-even."
    extra = model.total_seconds - rival.total_seconds
    shared = ""
    if model.pretraining_seconds:
        each = duration(model.pretraining_seconds / SHARED_BY)
        shared = f" Pretraining is paid for once: shared by {SHARED_BY} tasks on such text it is {each} each."
    names = briefly(model.model), briefly(rival.model)
    # In the unit of pretraining, so that it is told alike at all label budgets.
    took = duration(extra, like=model.pretraining_seconds)
    start = f"Pretraining and fine-tuning {names[0]} took {took} more than training {names[1]}"
    if extra <= 0:
        return f"{capital(names[0])} took no more time than {names[1]}, pretraining included.{shared}"
    if worth is None:
        return (
            f"{start}. What that saves in labels cannot be read off at the largest number of labels compared.{shared}"
        )
    saved = rounded(worth.low if worth.estimate is None else worth.estimate)
    if saved < 1:
        return f"{start}, and saves no labels that can be told.{shared}"
    roughly = "at least" if worth.estimate is None else "about"
    return (
        f"{start} and saves {roughly} {count(saved, 'label')}: it pays where labelling a text costs more than "
        f"{duration(extra / saved)} of this machine.{shared}"
    )
