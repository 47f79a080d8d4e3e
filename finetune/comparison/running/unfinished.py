"""Which fine-tuning runs of a comparison are still to be done."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

from configs.run_folder import RunFolder
from finetune.comparison.config import CompareConfig, Overrides
from finetune.comparison.grid import Cell, cell_config, grid_cells, seeds_of_pretraining, stage_name
from finetune.comparison.tuning import Tuned, planned_trials, trials_of
from finetune.config import FinetuneConfig
from pretrain.config import PretrainConfig
from pretrain.models.config import stage_of
from pretrain.run_paths import run_folder as pretrain_folder

Run = tuple[str, FinetuneConfig]


def unfinished_runs(
    config: CompareConfig, tokenizer_run: RunFolder, stages: Mapping[str, PretrainConfig], cells: Sequence[Cell] | None
) -> list[Run]:
    """The model and config of each fine-tuning run that is still to be done, trials included.

    Args:
        config: of the comparison.
        tokenizer_run: its tokenizer.
        stages: the pretraining stages.
        cells: all runs, where they are known; None while a stage is not finished or settings are not tuned.
    """
    if cells is not None:
        return [(cell.model, cell.config) for cell in cells if not cell.folder.finished]
    pretrained = {key: pretrain_folder(stage) for key, stage in stages.items()}
    waiting = {stage_name(key) for key, folder in pretrained.items() if not folder.finished}
    names = {model: keys.get("model.name", model) for model, keys in config.models.items()}
    ready = {model: keys for model, keys in config.models.items() if stage_of(names[model]) not in waiting}
    others = {model: keys for model, keys in config.models.items() if model not in ready}
    left = _unfinished(dataclasses.replace(config, models=ready), tokenizer_run, pretrained) if ready else []
    return left + (_all_runs(dataclasses.replace(config, models=others)) if others else [])


def _all_runs(config: CompareConfig) -> list[Run]:
    """The runs of models whose pretraining is to be done: none of them is finished."""
    grid = itertools.product(config.models, config.label_budgets, config.seeds)
    runs = [
        (model, cell_config(config, model, budget, seed, {}, {})[0])
        for model, budget, seed in grid
        for _ in seeds_of_pretraining(config, model)
    ]
    return runs + planned_trials(config)


def _unfinished(config: CompareConfig, tokenizer_run: RunFolder, pretrained: Mapping[str, RunFolder]) -> list[Run]:
    """Those of models whose pretraining is finished, or that need none."""
    override: Overrides = {"tokenizer": str(tokenizer_run.path)}
    settings, waiting, trials = {}, set(), list[Cell]()
    for group in trials_of(config, override, pretrained) if config.tuning.trials else ():
        of_group = [cell for trial in group for cell in trial.cells if not cell.folder.finished]
        trials += of_group
        key = group[0].model, group[0].label_budget
        if of_group:
            waiting.add(key)
        else:
            settings[key] = Tuned.of(group, config).best_settings
    chosen = grid_cells(config, override, pretrained, settings)
    # Of those whose settings are not known yet, none is finished.
    left = [cell for cell in chosen if (cell.model, cell.label_budget) in waiting or not cell.folder.finished]
    return [(cell.model, cell.config) for cell in left + trials]
