"""What a further point would take: more labels, or longer pretraining, as far as the measured curves tell.

Along a curve the score is taken as linear in the logarithm of labels, or of pretraining's seconds, as in `worth.py`.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from configs.run_folder import RunFolder
from finetune.comparison.analysis.costs import origin
from finetune.comparison.analysis.words import amount, briefly, capital, duration
from finetune.comparison.intervals import Interval, difference_interval
from finetune.comparison.scores import Run, Score
from finetune.comparison.summary import Evidence
from finetune.comparison.verdict import rounded
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
    """The amount to start from."""
    unit: str = "labels"

    @property
    def shown(self) -> bool:
        """Whether there was a gain beyond chance."""
        return self.gain.low > 0

    def more_for_a_point(self, gain: float) -> float:
        """How much more a point takes with a gain such as this."""
        if gain <= 0:
            return math.inf
        # Beyond the exponents of floats it is out of reach anyway.
        exponent = min(POINT * math.log(self.larger / self.smaller) / gain, 100.0)
        return self.here * math.expm1(exponent)

    @property
    def more(self) -> tuple[float, float, float]:
        """How much more a point takes: estimate, least, most."""
        gains = self.gain.estimate, self.gain.high, self.gain.low
        return self.more_for_a_point(gains[0]), self.more_for_a_point(gains[1]), self.more_for_a_point(gains[2])


def label_step(evidence: Evidence, model: str, budget: int) -> Step | None:
    """What a model gains from the next larger budget or, at the largest, gained from the one before; None with one."""
    budgets = [number for number in evidence.budgets if (model, number) in evidence.correct]
    if len(budgets) < 2 or budget not in budgets:
        return None
    index = min(budgets.index(budget), len(budgets) - 2)
    smaller, larger = budgets[index], budgets[index + 1]
    more_PSN, fewer_PSN = (evidence.correct[model, number] for number in (larger, smaller))
    return Step(model, budget, smaller, larger, difference_interval(more_PSN, fewer_PSN, evidence.confidence), budget)


def pretraining_step(evidence: Evidence, scores: Sequence[Score], budget: int) -> Step | None:
    """What longer pretraining brought, where a model was pretrained for two lengths of time; else None.

    Two models are one at two lengths if the configs of their pretraining runs differ in duration alone. The longest is
    compared with the next shorter one.
    """
    lengths: dict[str, list[tuple[float, str]]] = {}
    for score in scores:
        if score.label_budget == budget and score.pretrained and score.family == "encoder":
            folder = origin(evidence.runs[score.model, budget][0])
            if folder is not None and (seconds := folder.result().get("seconds")):
                lengths.setdefault(_but_for_duration(folder), []).append((seconds, score.model))
    for ladder in lengths.values():
        ladder.sort()
        for (shorter, lesser), (longer, model) in zip(ladder[-2::-1], ladder[:0:-1], strict=True):
            if longer / shorter >= LEAST_RATIO:
                longer_PSN, shorter_PSN = (evidence.correct[one, budget] for one in (model, lesser))
                gain = difference_interval(longer_PSN, shorter_PSN, evidence.confidence)
                return Step(model, budget, shorter, longer, gain, longer, "seconds of pretraining")
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
        sentences.append(label_sentence(step, evidence.budgets, is_first))
    longer = pretraining_step(evidence, scores, budget)
    if longer is not None:
        steps.append(longer)
        sentences.append(longer_sentence(longer))
    elif budget == evidence.budgets[-1] and (pretrained := [model for model in models if by_model[model].pretrained]):
        sentences.append(unknown_sentence(evidence.runs[pretrained[0], budget]))
    return [sentence for sentence in sentences if sentence], steps


def label_sentence(step: Step, budgets: Sequence[int], first: bool) -> str:
    """How many more labels a point takes with a model.

    >>> step = Step("bert", 500, 250, 500, Interval(0.078, 0.03, 0.126), 500)
    >>> label_sentence(step, [250, 500], True)
    'To gain a point with BERT, label about 46 more texts (28 to 130), if it goes on as from 250 to 500 labels.'
    >>> label_sentence(step._replace(model="lstm", gain=Interval(0.01, -0.01, 0.03)), [250, 500], False)
    'For the LSTM, no gain from more labels was shown: +1.0 [-1.0, +3.0] points from 250 to 500.'
    """
    name, span = briefly(step.model), f"from {step.smaller:,.0f} to {step.larger:,.0f}"
    if not step.shown:
        return f"For {name}, no gain from more labels was shown: {amount(step.gain)} points {span}."
    more, least, most = step.more
    if more > FARTHEST * step.here:
        gained = f"it gained {amount(step.gain)} points {span}"
        return f"For {name}, a point would take more than ten times the labels: {gained}."
    upper = f"{rounded(most):,}" if most <= FARTHEST * step.here else "far more"
    start = f"{GAIN} with {name}, label" if first else f"With {name} a point would take"
    texts = "more texts" if first else "more"
    condition = f", if it goes on as {span} labels" if step.here == max(budgets) else f", as measured {span} labels"
    return f"{start} about {rounded(more):,} {texts} ({rounded(least):,} to {upper}){condition}."


def longer_sentence(step: Step) -> str:
    """What longer pretraining takes for a point.

    >>> longer_sentence(Step("long", 500, 60.0, 120.0, Interval(0.02, 0.01, 0.03), 120.0))
    'Or pretrain about 50 seconds longer (31 seconds to 2.0 minutes), if it goes on as from 60 seconds to 2.0 minutes.'
    """
    span = f"from {duration(step.smaller)} to {duration(step.larger)}"
    if not step.shown:
        return f"Longer pretraining showed no gain: {amount(step.gain)} points {span}."
    more, least, most = step.more
    if more > FARTHEST * step.here:
        return f"Longer pretraining would have to be more than ten times as long: {amount(step.gain)} points {span}."
    upper = duration(most) if most <= FARTHEST * step.here else "far more"
    return f"Or pretrain about {duration(more)} longer ({duration(least)} to {upper}), if it goes on as {span}."


def unknown_sentence(runs: Sequence[Run]) -> str:
    """That one length of pretraining was tried, what its loss tells, and how to find out."""
    folder = origin(runs[0])
    if folder is None:
        return "Whether longer pretraining would help is unknown: the pretrained model comes from elsewhere."
    seconds = folder.result().get("seconds")
    length = "" if seconds is None else f", {duration(seconds)}"
    return (
        f"Whether longer pretraining would help is unknown: only one length of it was tried{length}.{_trend(folder)} "
        f"To find out, compare again with a longer set.pretrain: training.duration{_configured(folder)}; before that, "
        "python -m finetune.ladder foretells it from shorter runs."
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
        config = _config(folder)
        training = {**config["training"], "duration": None, "evaluations": None}
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return str(folder.path)
    return json.dumps({**config, "training": training, "name": None, "seed": None}, sort_keys=True)


def _config(folder: RunFolder) -> Mapping[str, Any]:
    return yaml.safe_load((folder.path / "config.yaml").read_text(encoding="utf-8"))
