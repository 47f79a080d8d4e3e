"""What went wrong in a comparison, and what is missing from it, by name."""

import itertools
from collections.abc import Sequence

from finetune.comparison.analysis.words import count
from finetune.comparison.compared_score import has_failed
from finetune.comparison.scores import Run


def problems(runs: Sequence[Run], score: str) -> list[str]:
    """Runs not shown to have learned by the compared score, unsure, missing or with steps skipped, a sentence each."""
    found = []
    for run in runs:
        result, name = run.folder.result(), named(run)
        if has_failed(run.folder, score):
            folder = run.folder.path.name
            found.append(f"Perhaps stuck: {name} is not shown to be better than always giving one answer ({folder}).")
        if result.get("skipped_steps"):
            found.append(f"{name} left out {count(result['skipped_steps'], 'step')} with a loss that is no number.")
    found += missing(runs)
    # Not recorded by older runs, which is another thing than not known.
    if score == "accuracy" and any(run.folder.result().get("beats_majority", True) is None for run in runs):
        found.append("There are too few test texts to tell whether a run is better than the most frequent class.")
    return found


def missing(runs: Sequence[Run]) -> list[str]:
    """Combinations of model, label budget and seed without a run."""
    present = {(run.model, run.label_budget, run.seed) for run in runs}
    models, budgets, seeds = (sorted({cell[place] for cell in present}) for place in range(3))
    return [
        f"Missing: {model} at {budget:,} labels with seed {seed}."
        for model, budget, seed in itertools.product(models, budgets, seeds)
        if (model, budget, seed) not in present
    ]


def named(run: Run) -> str:
    """A run in words."""
    start = "" if run.pretraining_seed is None else f", pretraining seed {run.pretraining_seed}"
    return f"{run.model} at {run.label_budget:,} labels, seed {run.seed}{start}"
