"""What a further point would take: more labels, or longer pretraining, as far as the measured curves tell.

Along a curve the score is taken as linear in the logarithm of labels, or of pretraining's tokens, and as never falling,
as in `worth.py`.
"""

import dataclasses
import itertools
import json
import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from configs.command_line import load
from configs.errors import InputError
from configs.run_folder import RunFolder
from finetune.comparison.analysis.costs import origin
from finetune.comparison.analysis.words import amount, briefly, capital, duration
from finetune.comparison.intervals import Interval, difference_interval
from finetune.comparison.scores import Run, Score
from finetune.comparison.summary import Evidence
from finetune.comparison.verdict import rounded
from pretrain.config import PretrainConfig
from pretrain.models.config import stage_of
from pretrain.training.metric_logger import read_metrics

POINT = 0.01
# More than so many times what there is: a guess far beyond the curve.
FARTHEST = 10.0
GAIN = "To gain a point"
# Two pretraining runs are two lengths if they differ by more.
LEAST_RATIO = 1.1


class Step(NamedTuple):
    """What a model gained between two amounts of labels, or of pretraining."""

    model: str
    label_budget: int
    """At which a further point is asked for."""
    smaller: float
    """Labels, or seconds."""
    larger: float
    gain: Interval
    here: float
    """The amount to start from: the smaller one, from where the gain is measured, or the larger one."""
    unit: str = "labels"
    between: tuple[tuple[float, Interval], ...] = ()
    """Amounts between the two, ascending, and the gain from the smaller one to each."""

    @property
    def gains(self) -> list[tuple[float, Interval]]:
        """All amounts above the smaller one, with the gain to each."""
        return [*self.between, (self.larger, self.gain)]

    @property
    def shown(self) -> bool:
        """Whether there was a gain beyond chance: one look, at the whole span; of several, one is found by chance."""
        return self.gain.low > 0

    @property
    def farthest(self) -> float:
        """How much more is still advice: as much as was measured, or ten times what there is."""
        return max(FARTHEST * self.here, self.larger - self.here)

    def more_for_a_point(self, of: Callable[[Interval], float]) -> float:
        """How much more a point takes, by one end of the gains: read off the curve and, beyond it, continued."""
        heights = itertools.accumulate((of(gain) for _, gain in self.gains), max, initial=0.0)
        amounts = [self.smaller, *(amount for amount, _ in self.gains)]
        curve = [(math.log(amount / self.smaller), height) for amount, height in zip(amounts, heights, strict=True)]
        if self.here < self.larger:
            for (place, height), (next_place, next_height) in itertools.pairwise(curve):
                if next_height >= POINT:
                    share = (POINT - height) / (next_height - height)
                    return self.here * math.expm1(place + share * (next_place - place))
        place, height = curve[-1]
        if height <= 0:
            return math.inf
        # Beyond the exponents of floats it is out of reach anyway.
        return self.here * math.expm1(min(POINT * place / height, 100.0))

    @property
    def more(self) -> tuple[float, float, float]:
        """How much more a point takes: estimate, least, most."""
        ends = (lambda gain: gain.estimate), (lambda gain: gain.high), (lambda gain: gain.low)
        return self.more_for_a_point(ends[0]), self.more_for_a_point(ends[1]), self.more_for_a_point(ends[2])


def label_step(evidence: Evidence, model: str, budget: int) -> Step | None:
    """What a model gains from larger budgets or, at the largest, gained from the one before; None with one budget."""
    budgets = [number for number in evidence.budgets if (model, number) in evidence.correct]
    if len(budgets) < 2 or budget not in budgets:
        return None
    smaller = budgets[min(budgets.index(budget), len(budgets) - 2)]
    fewer_PSN, confidence = evidence.correct[model, smaller], evidence.confidence
    *between, (larger, gain) = [
        (float(number), difference_interval(evidence.correct[model, number], fewer_PSN, confidence))
        for number in budgets[budgets.index(smaller) + 1 :]
    ]
    return Step(model, budget, smaller, larger, gain, budget, between=tuple(between))


def pretraining_step(evidence: Evidence, scores: Sequence[Score], budget: int) -> Step | None:
    """What longer pretraining brought, where a model was pretrained for two lengths; else None.

    Two models are one at two lengths if the configs of their pretraining runs differ in duration alone. The longest is
    compared with the next shorter one. Lengths are those of tokens, as seconds are other ones on another machine; they
    are told as seconds at the rate of the longest run.
    """
    lengths: dict[tuple[str, str], list[tuple[float, float, str]]] = {}
    for score in scores:
        if score.label_budget == budget and score.pretrained and score.family != "linear":
            folder = origin(evidence.runs[score.model, budget][0])
            result = {} if folder is None else folder.result()
            if folder is not None and result.get("seconds") and result.get("tokens"):
                length = result["tokens"], result["seconds"], score.model
                lengths.setdefault((score.family, _but_for_duration(folder)), []).append(length)
    for ladder in lengths.values():
        ladder.sort()
        for (shorter, _, lesser), (longer, seconds, model) in zip(ladder[-2::-1], ladder[:0:-1], strict=True):
            if longer / shorter >= LEAST_RATIO:
                longer_PSN, shorter_PSN = (evidence.correct[one, budget] for one in (model, lesser))
                gain = difference_interval(longer_PSN, shorter_PSN, evidence.confidence)
                rest = seconds * shorter / longer
                return Step(model, budget, rest, seconds, gain, seconds, "seconds of pretraining")
    return None


def decision(
    evidence: Evidence, scores: Sequence[Score], budget: int, models: Sequence[str]
) -> tuple[list[str], list[Step]]:
    """What a further point would take at a label budget, in sentences, and the steps they rest on.

    Args:
        evidence: the runs and answers.
        scores: of all models and budgets.
        budget: the label budget.
        models: to gain a point with; the first is the one to take.
    """
    by_model = {score.model: score for score in scores if score.label_budget == budget}
    sentences, steps = [], []
    for model in models:
        step = label_step(evidence, model, budget)
        if by_model[model].accuracy.estimate > 1 - POINT:
            sentences.append(f"{capital(briefly(model))} is less than a point from perfect.")
            continue
        if step is None:
            sentences.append(
                "What more labels would bring cannot be said: only one number of labels was compared. Give "
                "label_budgets two or more."
            )
            break
        steps.append(step)
        is_first = not any(text.startswith(GAIN) for text in sentences)
        sentences.append(label_sentence(step, is_first))
    longer = pretraining_step(evidence, scores, budget)
    if longer is not None:
        steps.append(longer)
        sentences.append(longer_sentence(longer))
    elif budget == evidence.budgets[-1] and (pretrained := [model for model in models if by_model[model].pretrained]):
        sentences.append(unknown_sentence(evidence.runs[pretrained[0], budget]))
    return [sentence for sentence in sentences if sentence], steps


def label_sentence(step: Step, first: bool) -> str:
    """How many more labels a point takes with a model.

    >>> step = Step("bert", 500, 250, 500, Interval(0.078, 0.03, 0.126), 500)
    >>> label_sentence(step, True)
    'To gain a point with BERT, label about 46 more texts (28 to 130), if it goes on as from 250 to 500 labels.'
    >>> label_sentence(step._replace(model="lstm", gain=Interval(0.01, -0.01, 0.03)), False)
    'For the LSTM, no gain from more labels was shown: +1.0 [-1.0, +3.0] points from 250 to 500.'
    >>> label_sentence(step._replace(here=250, gain=Interval(0.015, 0.008, 0.022)), True)
    'To gain a point with BERT, label about 150 more texts (93 to 340), as measured from 250 to 500 labels and \
continued beyond.'
    """
    name, span = briefly(step.model), f"from {step.smaller:,.0f} to {step.larger:,.0f}"
    if not step.shown:
        return f"For {name}, no gain from more labels was shown: {amount(step.gain)} points {span}."
    more, least, most = step.more
    if more > step.farthest:
        gained = f"it gained {amount(step.gain)} points {span}"
        return f"For {name}, a point would take more than ten times the labels: {gained}."
    upper = f"{rounded(most):,}" if most <= step.farthest else "far more"
    start = f"{GAIN} with {name}, label" if first else f"With {name} a point would take"
    texts = "more texts" if first else "more"
    return f"{start} about {rounded(more):,} {texts} ({rounded(least):,} to {upper}), {_condition(step, span)}."


def _condition(step: Step, span: str) -> str:
    """How far what a point takes was measured."""
    more, _, most = step.more
    if step.here + more > step.larger:
        return f"if it goes on as {span} labels"
    return f"as measured {span} labels" + (" and continued beyond" if step.here + most > step.larger else "")


def longer_sentence(step: Step) -> str:
    """What longer pretraining takes for a point.

    >>> longer_sentence(Step("long", 500, 60.0, 120.0, Interval(0.02, 0.01, 0.03), 120.0))
    'Or pretrain about 50 seconds longer (31 seconds to 2.0 minutes), if it goes on as from 60 seconds to 2.0 minutes.'
    """
    span = f"from {duration(step.smaller)} to {duration(step.larger)}"
    if not step.shown:
        return f"Longer pretraining showed no gain: {amount(step.gain)} points {span}."
    more, least, most = step.more
    if more > step.farthest:
        return f"Longer pretraining would have to be more than ten times as long: {amount(step.gain)} points {span}."
    upper = duration(most) if most <= step.farthest else "far more"
    return f"Or pretrain about {duration(more)} longer ({duration(least)} to {upper}), if it goes on as {span}."


def unknown_sentence(runs: Sequence[Run]) -> str:
    """That one length of pretraining was tried, what its loss tells, and how to find out."""
    folder, stage = origin(runs[0]), stage_of(runs[0].config.model.name)
    if folder is None:
        return "Whether longer pretraining would help is unknown: the pretrained model comes from elsewhere."
    seconds = folder.result().get("seconds")
    length = "" if seconds is None else f", {duration(seconds)}"
    start = (
        f"Whether longer pretraining would help is unknown: only one length of it was tried{length}.{_trend(folder)}"
    )
    if stage is None:
        return f"{start} To find out, compare with a model that was pretrained for longer{_configured(folder)}."
    return (
        f"{start} To find out, compare again with a longer set.{stage}: training.duration{_configured(folder)}; before "
        f"that, python -m finetune.ladder --comparison config.yaml --model {shlex.quote(runs[0].model)} foretells it "
        "from shorter runs (config.yaml: of this comparison's folder)."
    )


def _trend(folder: RunFolder) -> str:
    """What the held-out loss did in the last quarter of pretraining."""
    if not folder.metrics.is_file():
        return ""
    rows = [row for row in read_metrics(folder.metrics) if "eval_loss" in row and "step" in row]
    if len(rows) < 4:
        return ""
    last = rows[-1]
    before = max((row for row in rows if row["step"] <= 0.75 * last["step"]), key=lambda row: row["step"], default=None)
    if before is None:
        return ""
    fell = before["eval_loss"] > last["eval_loss"]
    change = f"from {before['eval_loss']:.2f} to {last['eval_loss']:.2f}"
    if not fell:
        return f" Its held-out loss no longer fell in the last quarter ({change})."
    return f" Its held-out loss still fell in the last quarter, {change}, which hints at more but does not show it."


def _configured(folder: RunFolder) -> str:
    try:
        return f" (it was {_config(folder)['training']['duration']})"
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return ""


def _but_for_duration(folder: RunFolder) -> str:
    """What two pretraining runs have in common that differ in length alone."""
    try:
        config = _config_with_defaults(folder)
        training = {**config["training"], "duration": None, "evaluations": None}
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return str(folder.path)
    return json.dumps({**config, "training": training, "name": None, "seed": None}, sort_keys=True)


def _config_with_defaults(folder: RunFolder) -> Mapping[str, Any]:
    """The config of a pretraining run, where a key that it lacks, as it is older, is at its default."""
    try:
        return dataclasses.asdict(load(PretrainConfig, folder.path / "config.yaml"))
    except InputError:
        # It has a key that this version does not have any more.
        return _config(folder)


def _config(folder: RunFolder) -> Mapping[str, Any]:
    return yaml.safe_load((folder.path / "config.yaml").read_text(encoding="utf-8"))
