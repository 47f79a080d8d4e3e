"""What went wrong in a comparison, and what is missing from it, by name."""

from collections.abc import Sequence

from finetune.comparison.analysis.words import count
from finetune.comparison.scores import Run


def problems(runs: Sequence[Run]) -> list[str]:
    """Runs that are stuck, unsure, missing or had steps skipped, a sentence each."""
    found = []
    for run in runs:
        result, name = run.folder.result(), named(run)
        if result.get("beats_majority") is False:
            found.append(
                f"Stuck: {name} is no better than always answering the most frequent class "
                f"({100 * result['test_accuracy']:.1f} %, {run.folder.path.name})."
            )
        if result.get("skipped_steps"):
            found.append(f"{name} left out {count(result['skipped_steps'], 'step')} with a loss that is no number.")
    found += missing(runs)
    unsure = [
        run for run in runs if "beats_majority" in run.folder.result() and run.folder.result()["beats_majority"] is None
    ]
    if unsure:
        found.append("There are too few test texts to tell whether a run is better than the most frequent class.")
    return found


def missing(runs: Sequence[Run]) -> list[str]:
    """Combinations of model, label budget and seed without a run."""
    present = {(run.model, run.label_budget, run.seed) for run in runs}
    models, budgets, seeds = (
        (list(dict.fromkeys(values)) for values in zip(*present, strict=True)) if present else ([],) * 3
    )
    return [
        f"Missing: {model} at {budget:,} labels with seed {seed}."
        for model in sorted(models)
        for budget in sorted(budgets)
        for seed in sorted(seeds)
        if (model, budget, seed) not in present
    ]


def named(run: Run) -> str:
    """A run in words."""
    start = "" if run.pretraining_seed is None else f", pretraining seed {run.pretraining_seed}"
    return f"{run.model} at {run.label_budget:,} labels, seed {run.seed}{start}"
