"""Finished runs → scores, the best models without pretraining, paired differences, verdicts.

Shapes: P pretraining seeds, S fine-tuning seeds, N test texts, R runs.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np

from configs.errors import InputError
from finetune.classification.predictions import digest_of_test_texts
from finetune.comparison.compared_score import NAMES, constant_score, has_failed, score_name, values_of
from finetune.comparison.intervals import Interval, difference_interval, holm, score_interval
from finetune.comparison.scores import Answer, Comparison, Gain, Lead, Run, Score
from finetune.comparison.verdict import is_pretrained_recurrent, verdict
from finetune.comparison.worth import labels_worth
from finetune.config import BAG_OF_WORDS
from pretrain.models.config import RECURRENT, SCRATCH, is_from_scratch, is_frozen, is_recurrent

# A family, and whether models of it start from pretrained weights.
Family: TypeAlias = tuple[Literal["encoder", "recurrent", "linear"], bool]
ENCODER: Family = ("encoder", True)
CALIBRATION = "test_calibrated_calibration_error"


@dataclasses.dataclass(frozen=True)
class Evidence:
    """The runs of a comparison, and what each test text adds to their scores."""

    runs: dict[tuple[str, int], list[Run]]
    """By model and label budget, in the order of the seeds."""
    correct: dict[tuple[str, int], np.ndarray]
    """The same; values whose mean is the score, [P, S, N], with P = 1 for models without pretraining: of accuracy, 1
    where a text was classified correctly; see `compared_score.values_of`."""
    confidence: float

    @classmethod
    def of(cls, runs: Sequence[Run], confidence: float, name: str = "accuracy") -> "Evidence":
        """Read the predictions of runs, for a score.

        Raises:
            InputError: two runs at a budget were tested on different texts.
        """
        by_cell: dict[tuple[str, int], list[Run]] = {}
        seeds = list(dict.fromkeys(run.seed for run in runs))
        first = list(dict.fromkeys(run.pretraining_seed for run in runs))
        for run in sorted(runs, key=lambda run: (first.index(run.pretraining_seed), seeds.index(run.seed))):
            by_cell.setdefault((run.model, run.label_budget), []).append(run)
        for budget in sorted({budget for _, budget in by_cell}):
            at_budget = [run for (_, other), group in by_cell.items() if other == budget for run in group]
            if len({digest_of_test_texts(run.folder) for run in at_budget}) > 1:
                raise InputError(
                    f"the runs at {budget} labels were tested on different texts, so that they cannot be compared; "
                    "delete the folders of those made with other test texts"
                )
        correct = {}
        for cell, group in by_cell.items():
            answers_RN = np.stack([values_of(run.folder, name) for run in group])
            correct[cell] = answers_RN.reshape(-1, len(seeds), answers_RN.shape[1])
        return cls(by_cell, correct, confidence)

    @property
    def budgets(self) -> list[int]:
        """The label budgets, ascending."""
        return sorted({budget for _, budget in self.runs})

    def at(self, budget: int) -> dict[str, list[Run]]:
        """The runs at a budget, by model."""
        return {model: runs for (model, other), runs in self.runs.items() if other == budget}

    def difference(self, model: str, rival: str | None, budget: int, looks: int = 1) -> Interval | None:
        """The paired difference between two models, of `looks` that are judged together.

        None if they are one, or there is no rival.
        """
        if rival is None or model == rival:
            return None
        return difference_interval(self.correct[model, budget], self.correct[rival, budget], self.confidence, looks)


def compare(runs: Sequence[Run], confidence: float, margin: float, name: str = "accuracy") -> Comparison:
    """Scores, the best models without pretraining, paired differences from them, and the verdicts.

    Args:
        runs: all runs: every model at every budget with every seed.
        confidence: of all intervals.
        margin: differences of the score that do not matter.
        name: of the score.

    Raises:
        InputError: two runs at a budget were tested on different texts.
    """
    evidence = Evidence.of(runs, confidence, name)
    budgets = evidence.budgets
    best = {budget: model for budget in budgets if (model := best_unpretrained(evidence.at(budget), name)) is not None}
    recurrent = {
        number: model for number in budgets if (model := best_recurrent(evidence.at(number), name)) is not None
    }
    looks = verdicts_of(evidence, best)
    scores = [
        score(
            model,
            budget,
            cell,
            score_interval(evidence.correct[model, budget], confidence),
            evidence.difference(model, best.get(budget), budget, looks),
            name,
        )
        for budget in budgets
        for model, cell in evidence.at(budget).items()
    ]
    gains, leads = judged(
        gains_over_scratch(evidence), leads_over_others(evidence, scores, best, recurrent), 1 - confidence
    )
    found = answers(scores, best, margin, 1 - confidence)
    worths = [
        labels_worth(
            answer.model,
            answer.label_budget,
            evidence.correct[answer.model, answer.label_budget],
            np.concatenate([evidence.correct[best[budget], budget] for budget in budgets]),
            budgets,
            confidence,
        )
        for answer in found
        if answer.label_budget < budgets[-1]
    ]
    verdicts = [
        verdict(scores, budget, found, worths, leads, gains, recurrent.get(budget), score_name(name))
        for budget in budgets
    ]
    majority, told = constant_score(runs[0].folder, name), " ".join(verdicts)
    seeds = list(dict.fromkeys(run.seed for run in runs))
    return Comparison(
        confidence, seeds, scores, recurrent, best, found, worths, margin, gains, verdicts, told, majority, name, leads
    )


def contenders(families: Mapping[str, Family]) -> list[str]:
    """The models that verdicts are about: pretrained encoders or, where none takes part, all other pretrained models.

    Args:
        families: of the models of a comparison, by name.

    >>> contenders({"bert": ("encoder", True), "lm-lstm": ("recurrent", True), "bag-of-words": ("linear", False)})
    ['bert']
    >>> contenders({"frozen": ("linear", True), "lm-lstm": ("recurrent", True), "bag-of-words": ("linear", False)})
    ['frozen', 'lm-lstm']
    """
    encoders = [model for model, family in families.items() if family == ENCODER]
    return encoders or [model for model, (_, is_pretrained) in families.items() if is_pretrained]


def gains_over_scratch(evidence: Evidence) -> list[Gain]:
    """What each pretrained model gains over itself from scratch, where both were run."""
    return [
        Gain(model, budget, gain)
        for budget in evidence.budgets
        for model in evidence.at(budget)
        if f"{model}{SCRATCH}" in evidence.at(budget)
        and (gain := evidence.difference(model, f"{model}{SCRATCH}", budget)) is not None
    ]


def verdicts_of(evidence: Evidence, best: Mapping[int, str]) -> int:
    """How many differences from the best models without pretraining are judged together, at least one."""
    names = contenders({model: family_of(runs[0].config.model.name) for (model, _), runs in evidence.runs.items()})
    return max(1, sum(model in names for budget in best for model in evidence.at(budget)))


def leads_over_others(
    evidence: Evidence, scores: Sequence[Score], best: Mapping[int, str], recurrent: Mapping[int, str]
) -> list[Lead]:
    """The leads of contenders over linear models, pretrained recurrent ones and the best recurrent one.

    That over the best model without pretraining is left out: it is the answer. So are those over other contenders,
    which have answers of their own.
    """
    leads, names = [], contenders(families_of(scores))
    for one, rival in itertools.product(scores, scores):
        budget = one.label_budget
        if rival.label_budget != budget or one.model not in names or rival.model in (*names, best.get(budget)):
            continue
        if rival.model == recurrent.get(budget) or rival.family == "linear" or is_pretrained_recurrent(rival):
            lead = evidence.difference(one.model, rival.model, budget)
            assert lead is not None
            leads.append(Lead(one.model, rival.model, budget, lead))
    return leads


def judged(gains: Sequence[Gain], leads: Sequence[Lead], level: float) -> tuple[list[Gain], list[Lead]]:
    """Gains and leads with what is shown of them, by Holm for all of them together.

    They are a family apart from the answers, which are what a comparison was made for: what is looked at beside them
    does not make the verdict harder to reach.

    Args:
        gains: of models over themselves from scratch.
        leads: over other models.
        level: of the whole family, such as 0.05.
    """
    adjusted = holm([part.difference.p_value for part in (*gains, *leads)])
    shown = [{"adjusted_p_value": p_value, "is_shown": p_value < level} for p_value in adjusted]
    return (
        [dataclasses.replace(gain, **values) for gain, values in zip(gains, shown[: len(gains)], strict=True)],
        [dataclasses.replace(lead, **values) for lead, values in zip(leads, shown[len(gains) :], strict=True)],
    )


def families_of(scores: Sequence[Score]) -> dict[str, Family]:
    """The family of each model, by name."""
    return {score.model: (score.family, score.pretrained) for score in scores}


def answers(scores: Sequence[Score], best: Mapping[int, str], margin: float, level: float) -> list[Answer]:
    """Whether each contender is ahead of the best model without pretraining, at each budget.

    Args:
        scores: of all models and budgets.
        best: the best model without pretraining at each budget.
        margin: differences that do not matter.
        level: of the whole family of answers, such as 0.05.
    """
    names = contenders(families_of(scores))
    compared = [
        (score, score.difference)
        for score in scores
        if score.model in names and score.label_budget in best and score.difference is not None
    ]
    adjusted = holm([difference.p_value for _, difference in compared])
    found = []
    for (row, difference), p_value in zip(compared, adjusted, strict=True):
        outcome: Literal["ahead", "behind", "equal", "not shown"] = "not shown"
        # Where nothing varies, nothing is known of what could.
        is_known = difference.p_value is not None
        if is_known and -margin <= difference.low and difference.high <= margin:
            outcome = "equal"
        elif p_value < level:
            outcome = "ahead" if difference.estimate > 0 else "behind"
        found.append(Answer(row.model, row.label_budget, best[row.label_budget], difference, p_value, outcome))
    return found


def best_unpretrained(runs_by_model: Mapping[str, Sequence[Run]], name: str = "accuracy") -> str | None:
    """Of all models without pretraining, the one with the best mean validation score.

    Selection by test scores would bias the verdict; so may validation scores on few texts, and the verdict tells how
    many there were.
    """
    return _best(runs_by_model, ("recurrent", "linear", "encoder"), name)


def best_recurrent(runs_by_model: Mapping[str, Sequence[Run]], name: str = "accuracy") -> str | None:
    """The same of the recurrent models alone."""
    return _best(runs_by_model, ("recurrent",), name)


def _best(runs_by_model: Mapping[str, Sequence[Run]], families: Sequence[str], name: str) -> str | None:
    accuracies = {
        model: float(np.mean([run.folder.result()[f"eval_{name}"] for run in runs]))
        for model, runs in runs_by_model.items()
        if (family := family_of(runs[0].config.model.name))[0] in families and not family[1]
    }
    return max(accuracies, key=lambda model: accuracies[model]) if accuracies else None


def family_of(name: str) -> Family:
    """The family of a model by its `model.name`, and whether it starts from pretrained weights.

    >>> family_of("lm-lstm"), family_of("lm-lstm-scratch"), family_of("gru")
    (('recurrent', True), ('recurrent', False), ('recurrent', False))
    >>> family_of("bert"), family_of("bert-scratch"), family_of("owner/roberta")
    (('encoder', True), ('encoder', False), ('encoder', True))
    >>> family_of("bag-of-words"), family_of("frozen")
    (('linear', False), ('linear', True))
    """
    if name == BAG_OF_WORDS:
        return "linear", False
    if is_frozen(name):
        return "linear", not is_from_scratch(name)
    pretrained = name not in RECURRENT and not is_from_scratch(name)
    return "recurrent" if is_recurrent(name) else "encoder", pretrained


def score(
    model: str,
    budget: int,
    runs: Sequence[Run],
    accuracy: Interval,
    difference: Interval | None,
    compared: str = "accuracy",
) -> Score:
    """The scores of a model at a budget: a row of the table.

    Args:
        model: the model.
        budget: its number of labels.
        runs: one for each seed.
        accuracy: of the compared score.
        difference: from the best model without pretraining.
        compared: the score's key.
    """
    results = [run.folder.result() for run in runs]
    family, pretrained = family_of(runs[0].config.model.name)
    accuracies = [result[f"test_{compared}"] for result in results]
    shown = () if compared == "accuracy" else [key for key in NAMES if key not in ("macro_f1", compared)]

    def mean(name: str) -> float:
        return float(np.mean([result[name] for result in results]))

    return Score(
        model=model,
        label_budget=budget,
        accuracies=accuracies,
        accuracy=accuracy,
        spread=float(np.std(accuracies, ddof=1)),
        macro_f1=mean("test_macro_f1"),
        matthews=mean("test_matthews"),
        validation_accuracy=mean(f"eval_{compared}"),
        seconds=mean("seconds"),
        parameters=int(results[0]["parameters"]),
        difference=difference,
        family=family,
        pretrained=pretrained,
        validation_texts=int(results[0]["validation_texts"]),
        failed_runs=sum(has_failed(run.folder, compared) for run in runs),
        calibration_error=mean(CALIBRATION) if all(CALIBRATION in result for result in results) else None,
        others={key: mean(f"test_{key}") for key in shown if f"test_{key}" in results[0]},
    )
