"""Finished runs → scores, the best recurrent model, paired differences, verdicts."""

from collections.abc import Mapping, Sequence

import numpy as np

from configs.errors import InputError
from finetune.classification.predictions import correctness
from finetune.comparison.intervals import Interval, mean_interval
from finetune.comparison.scores import Comparison, Gain, Run, Score
from finetune.comparison.verdict import caution, gain_sentence, verdict
from finetune.config import BAG_OF_WORDS
from pretrain.models.config import SCRATCH, is_recurrent


def compare(runs: Sequence[Run], confidence: float) -> Comparison:
    """Scores, the best recurrent model, paired differences from it, and the verdicts.

    Raises:
        InputError: two runs at a budget have different numbers of test texts.
    """
    budgets = sorted({run.label_budget for run in runs})
    models = list(dict.fromkeys(run.model for run in runs))
    seeds = list(dict.fromkeys(run.seed for run in runs))
    by_cell = {(run.model, run.label_budget, run.seed): run for run in runs}
    scores, gains, best, cautions = [], [], {}, {}
    for budget in budgets:
        runs_by_model = {model: [by_cell[model, budget, seed] for seed in seeds] for model in models}
        best_model = best_recurrent(runs_by_model)
        if best_model is not None:
            best[budget] = best_model
        correct = {
            model: np.stack([correctness(run.folder) for run in seed_runs])
            for model, seed_runs in runs_by_model.items()
        }
        if len({matrix.shape for matrix in correct.values()}) > 1:
            raise InputError(f"the runs at {budget} labels were tested on different numbers of texts")
        for model, seed_runs in runs_by_model.items():
            difference = None
            if best_model is not None and model != best_model:
                difference = mean_interval(correct[model] - correct[best_model], confidence)
            scores.append(score(model, budget, seed_runs, mean_interval(correct[model], confidence), difference))
            if (scratch := f"{model}{SCRATCH}") in correct:
                gains.append(Gain(model, budget, mean_interval(correct[model] - correct[scratch], confidence)))
        if {"bert", BAG_OF_WORDS} <= set(correct):
            cautions[budget] = caution(mean_interval(correct[BAG_OF_WORDS] - correct["bert"], confidence))
    verdicts = [
        verdict(scores, budget, best.get(budget))
        + cautions.get(budget, "")
        + "".join(f" {gain_sentence(gain)}" for gain in gains if gain.label_budget == budget)
        for budget in budgets
    ]
    return Comparison(confidence, seeds, scores, best, gains, verdicts, " ".join(verdicts))


def best_recurrent(runs_by_model: Mapping[str, Sequence[Run]]) -> str | None:
    """The recurrent model with the best mean validation accuracy; selection by test accuracy would bias the verdict."""
    accuracies = {
        model: float(np.mean([run.folder.result()["eval_accuracy"] for run in runs]))
        for model, runs in runs_by_model.items()
        if is_recurrent(runs[0].config.model.name)
    }
    return max(accuracies, key=lambda model: accuracies[model]) if accuracies else None


def score(model: str, budget: int, runs: Sequence[Run], accuracy: Interval, difference: Interval | None) -> Score:
    """The scores of a model at a budget: a row of the table."""
    results = [run.folder.result() for run in runs]
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
    )
