"""What each model was trained with, for the report."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from configs.command_line import as_dict, dotted, load, value_text
from finetune.comparison.config import CompareConfig
from finetune.comparison.grid import with_local_source
from finetune.comparison.reporting.sections import Section
from finetune.comparison.reporting.tables import Cell, Record, Table
from finetune.comparison.scores import Run
from finetune.config import FinetuneConfig

# What a comparison gives every run, and what models start from, which the report tells elsewhere.
OF_EACH_RUN = ("label_budget", "seed", "runs", "tokenizer", "model.pretrained")
# The settings of a model at each label budget, by key.
Settings = Mapping[int, Mapping[str, Any]]


def settings_section(config: CompareConfig, runs: Sequence[Run]) -> Section:
    """How many steps each model took and which settings are its own: unequal care would be a reason for a lead.

    Settings are those of the runs, whether a model, `set.finetune`, `score` or tuning gave them.

    Args:
        config: the comparison's config.
        runs: the fine-tuning runs of the comparison.

    Raises:
        InputError: the comparison's fine-tuning file is gone or invalid.
    """
    changed = changed_settings(config, runs)
    shared = shared_settings(changed)
    taken: dict[tuple[str, int], list[int]] = {}
    for run in runs:
        taken.setdefault((run.model, run.label_budget), []).append(run.folder.result().get("steps") or 0)
    budgets = sorted({budget for _, budget in taken}, reverse=True)
    rows, records = [], []
    for model in dict.fromkeys(model for model, _ in taken):
        settings = in_words(changed[model], shared)
        record: Record = {"model": model, "settings": settings}
        cells = []
        for budget in budgets:
            steps = taken.get((model, budget), [0])
            least, most = min(steps), max(steps)
            cells.append(Cell("–" if not most else f"{most:,}" if least == most else f"{least:,} to {most:,}", most))
            record |= {f"least_steps_at_{budget}": least, f"most_steps_at_{budget}": most}
        rows.append([Cell(model), *cells, Cell(settings or "–")])
        records.append(record)
    together = ", ".join(f"{key} {value_text(value)}" for key, value in shared.items())
    in_all_runs = f"All models: {together}. " if together else ""
    table = Table(
        "settings",
        "What the models were trained with",
        ["model", *(f"steps, {budget:,} labels" for budget in budgets), "settings of its own"],
        rows,
        records,
        note=f"{in_all_runs}All else is as in {config.finetune}, but for labels, seeds and what models start from. A "
        "model without steps is solved for, not trained.",
        folded=True,
    )
    return Section("settings", "Settings", [], tables=[table])


def changed_settings(config: CompareConfig, runs: Sequence[Run]) -> dict[str, Settings]:
    """By model, the settings that are not those of the comparison's fine-tuning file, at any of its label budgets.

    Raises:
        InputError: the file is gone or invalid.
    """
    base = load(FinetuneConfig, config.finetune)
    # A copy in `data_folder` is the same data set.
    of_file = dotted(as_dict(dataclasses.replace(base, corpus=with_local_source(base.corpus, config))))
    settings: dict[str, dict[int, dict[str, Any]]] = {}
    keys: dict[str, dict[str, None]] = {}
    for run in runs:
        # A row is called as its model, or tells it.
        expected = of_file | {"model.name": run.model}
        own = {key: value for key, value in dotted(as_dict(run.config)).items() if key not in OF_EACH_RUN}
        settings.setdefault(run.model, {})[run.label_budget] = own
        keys.setdefault(run.model, {}).update(dict.fromkeys(key for key in own if own[key] != expected[key]))
    return {
        model: {budget: {key: own[key] for key in keys[model]} for budget, own in of_budgets.items()}
        for model, of_budgets in settings.items()
    }


def shared_settings(changed: Mapping[str, Settings]) -> dict[str, Any]:
    """The settings that several models have, and all of them at every label budget."""
    runs = [settings for of_budgets in changed.values() for settings in of_budgets.values()]
    if len(changed) < 2:
        return {}
    return {
        key: value
        for key, value in runs[0].items()
        if all(key in settings and settings[key] == value for settings in runs)
    }


def in_words(settings: Settings, shared: Mapping[str, Any]) -> str:
    """The settings of a model but for the shared ones; for each label budget where they differ.

    >>> in_words({250: {"patience": 3, "seed": 1}, 1000: {"patience": 5, "seed": 1}}, {})
    'patience 3 (250 labels) or 5 (1,000 labels), seed 1'
    """
    texts = []
    for key in dict.fromkeys(key for own in settings.values() for key in own):
        by_budget = {budget: value_text(own[key]) for budget, own in sorted(settings.items())}
        if len(set(by_budget.values())) == 1:
            texts += [] if key in shared else [f"{key} {next(iter(by_budget.values()))}"]
        else:
            texts.append(f"{key} " + " or ".join(f"{text} ({budget:,} labels)" for budget, text in by_budget.items()))
    return ", ".join(texts)
