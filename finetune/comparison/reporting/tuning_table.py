"""The trials of equal tuning, and runs that failed, for the report."""

from collections.abc import Sequence

from finetune.comparison.analysis.words import percent
from finetune.comparison.grid import Failure
from finetune.comparison.reporting.sections import Section
from finetune.comparison.reporting.tables import Cell, Record, Table
from finetune.comparison.tuning import Tuned


def tuning_sections(tuned: Sequence[Tuned]) -> list[Section]:
    """What tuning tried and chose; nothing without tuning."""
    if not tuned:
        return []
    rows, records = [], []
    for one in tuned:
        values = [one.scores[0], one.scores[one.best], one.expected_best[-1]]
        rows.append(
            [
                Cell(one.model),
                Cell(f"{one.label_budget:,}", one.label_budget),
                Cell(str(len(one.scores) - len(one.failed)), len(one.scores) - len(one.failed)),
                *(Cell(percent(value), value) for value in values),
                Cell(one.settings_of(one.best)),
            ]
        )
        for trial, (score, expected) in enumerate(zip(one.scores, one.expected_best, strict=True)):
            record: Record = {"model": one.model, "label_budget": one.label_budget, "trial": trial, "score": score}
            records.append(
                record
                | {
                    "expected_best_of_so_many": expected,
                    "settings": one.settings_of(trial),
                    "is_best": trial == one.best,
                    "failed": one.failed.get(trial),
                }
            )
    table = Table(
        "tuning_trials",
        "The trials of each model",
        ["model", "labels", "trials", "as given, %", "best, %", "expected best, %", "best settings"],
        rows,
        records,
        note="Scores of parts of the training labels that a trial was neither trained on nor stopped by. Expected "
        "best: what so many trials find on average, were they drawn anew. The CSV file has every trial.",
    )
    text = (
        "Every model had the same number of trials at every budget, all different, or as many as there are settings to "
        "try: the first with its settings as given, the others drawn from ranges that were written down before. (A "
        "frozen encoder has no trials: its only setting is chosen within each run.) The best of them were taken for "
        "all seeds; no test text was read for it."
    )
    failed = [line.removeprefix("tuning: ") for one in tuned for line in one.warnings()]
    return [Section("tuning", "Tuning", [text, *failed], tables=[table])]


def failed_lines(failures: Sequence[Failure]) -> list[str]:
    """A sentence for each run that failed twice."""
    return [
        f"Failed: {failure.cell}: {failure.reason.rstrip('.')}. No run of {failure.cell.model} is in this comparison."
        for failure in failures
    ]
