"""Finished runs → scores, the best recurrent model, paired differences, verdicts."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from configs.errors import InputError
from finetune.classification.predictions import correctness, digest_of_test_texts
from finetune.comparison.intervals import Interval, mean_interval
from finetune.comparison.scores import Comparison, Gain, Run, Score
from finetune.comparison.verdict import (
    caution,
    failures,
    gain_sentence,
    is_pretrained_encoder,
    is_pretrained_recurrent,
    verdict,
)
from finetune.config import BAG_OF_WORDS
from pretrain.models.config import RECURRENT, SCRATCH, is_frozen, is_recurrent, stage_of


def compare(runs: Sequence[Run], confidence: float) -> Comparison:
    """Scores, the recurrent baseline, paired differences from it, and the verdicts.

    Raises:
        InputError: two runs at a budget were tested on different texts.
    """
    budgets = sorted({run.label_budget for run in runs})
    models = list(dict.fromkeys(run.model for run in runs))
    seeds = list(dict.fromkeys(run.seed for run in runs))
    by_cell = {(run.model, run.label_budget, run.seed): run for run in runs}
    scores, gains, best, cautions = [], [], {}, {}
    for budget in budgets:
        runs_by_model = {model: [by_cell[model, budget, seed] for seed in seeds] for model in models}
        if len({digest_of_test_texts(run.folder) for seed_runs in runs_by_model.values() for run in seed_runs}) > 1:
            raise InputError(
                f"the runs at {budget} labels were tested on different texts, so that they cannot be compared; delete "
                "the folders of those made with other test texts"
            )
        best_model = best_recurrent(runs_by_model)
        if best_model is not None:
            best[budget] = best_model
        correct = {
            model: np.stack([correctness(run.folder) for run in seed_runs])
            for model, seed_runs in runs_by_model.items()
        }
        for model, seed_runs in runs_by_model.items():
            difference = None
            if best_model is not None and model != best_model:
                difference = mean_interval(correct[model] - correct[best_model], confidence)
            scores.append(score(model, budget, seed_runs, mean_interval(correct[model], confidence), difference))
            if (scratch := f"{model}{SCRATCH}") in correct:
                gains.append(Gain(model, budget, mean_interval(correct[model] - correct[scratch], confidence)))
        encoders = [score.model for score in scores if score.label_budget == budget and is_pretrained_encoder(score)]
        rivals = [
            score.model
            for score in scores
            if score.label_budget == budget and (score.family == "linear" or is_pretrained_recurrent(score))
        ]
        for encoder, rival in itertools.product(encoders, rivals):
            lead = mean_interval(correct[rival] - correct[encoder], confidence)
            cautions[budget] = cautions.get(budget, "") + caution(encoder, rival, lead)
    verdicts = [
        verdict(scores, budget, best.get(budget))
        + failures(scores, budget)
        + cautions.get(budget, "")
        + "".join(f" {gain_sentence(gain)}" for gain in gains if gain.label_budget == budget)
        for budget in budgets
    ]
    return Comparison(confidence, seeds, scores, best, gains, verdicts, " ".join(verdicts))


def best_recurrent(runs_by_model: Mapping[str, Sequence[Run]]) -> str | None:
    """Of the recurrent models without pretraining, the one with the best mean validation accuracy.

    Selection by test accuracy would bias the verdict; so may validation accuracy on few texts, and the verdict tells
    how many there were.
    """
    accuracies = {
        model: float(np.mean([run.folder.result()["eval_accuracy"] for run in runs]))
        for model, runs in runs_by_model.items()
        if family_of(runs[0].config.model.name) == ("recurrent", False)
    }
    return max(accuracies, key=lambda model: accuracies[model]) if accuracies else None


def family_of(name: str) -> tuple[Literal["encoder", "recurrent", "linear"], bool]:
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
        return "linear", not name.endswith(SCRATCH)
    pretrained = name not in RECURRENT and not (name.endswith(SCRATCH) and stage_of(name) is not None)
    return "recurrent" if is_recurrent(name) else "encoder", pretrained


def score(model: str, budget: int, runs: Sequence[Run], accuracy: Interval, difference: Interval | None) -> Score:
    """The scores of a model at a budget: a row of the table."""
    results = [run.folder.result() for run in runs]
    family, pretrained = family_of(runs[0].config.model.name)
    accuracies = [result["test_accuracy"] for result in results]

    def mean(name: str) -> float:
        return float(np.mean([result[name] for result in results]))

    return Score(
        model=model,
        label_budget=budget,
        accuracies=accuracies,
        # With few seeds, a t interval may exceed [0, 1].
        accuracy=Interval(accuracy.estimate, max(0.0, accuracy.low), min(1.0, accuracy.high)),
        spread=float(np.std(accuracies, ddof=1)),
        macro_f1=mean("test_macro_f1"),
        matthews=mean("test_matthews"),
        validation_accuracy=mean("eval_accuracy"),
        seconds=mean("seconds"),
        parameters=int(results[0]["parameters"]),
        difference=difference,
        family=family,
        pretrained=pretrained,
        validation_texts=int(results[0]["validation_texts"]),
        # Runs made before this was recorded count as successes.
        failed_runs=sum(result.get("beats_majority") is False for result in results),
    )
