"""What each model was trained with, for the report."""

from collections.abc import Sequence

from configs.command_line import value_text
from finetune.comparison.config import CompareConfig
from finetune.comparison.reporting.sections import Section
from finetune.comparison.reporting.tables import Cell, Record, Table
from finetune.comparison.scores import Run


def settings_section(config: CompareConfig, runs: Sequence[Run]) -> Section:
    """How many steps each model took and which settings are its own: unequal care would be a reason for a lead.

    Args:
        config: the comparison's config.
        runs: the fine-tuning runs of the comparison.
    """
    taken: dict[tuple[str, int], list[int]] = {}
    for run in runs:
        taken.setdefault((run.model, run.label_budget), []).append(run.folder.result().get("steps") or 0)
    budgets = sorted({budget for _, budget in taken}, reverse=True)
    rows, records = [], []
    for model in dict.fromkeys(model for model, _ in taken):
        own = {key: value for key, value in config.models[model].items() if key != "model.name"}
        settings = ", ".join(f"{key} {value_text(value)}" for key, value in own.items())
        record: Record = {"model": model, "settings": settings}
        cells = []
        for budget in budgets:
            steps = taken.get((model, budget), [0])
            least, most = min(steps), max(steps)
            cells.append(Cell("–" if not most else f"{most:,}" if least == most else f"{least:,} to {most:,}", most))
            record |= {f"least_steps_at_{budget}": least, f"most_steps_at_{budget}": most}
        rows.append([Cell(model), *cells, Cell(settings or "–")])
        records.append(record)
    table = Table(
        "settings",
        "What the models were trained with",
        ["model", *(f"steps, {budget:,} labels" for budget in budgets), "settings of its own"],
        rows,
        records,
        note=f"All else is as in {config.finetune}. A model without steps is solved for, not trained.",
        folded=True,
    )
    return Section("settings", "Settings", [], tables=[table])
