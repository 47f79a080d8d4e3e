"""The runs of a comparison: models × seeds × label budgets, each as a config and as the command a person would type."""

import dataclasses
import itertools
import shlex
from collections.abc import Mapping
from pathlib import Path

from configs.command_line import load, value_text
from configs.run_folder import RunFolder
from finetune.comparison.config import CompareConfig, Overrides
from finetune.config import FinetuneConfig
from finetune.run_paths import run_folder as finetune_folder
from pretrain.config import PretrainConfig
from pretrain.models.config import STARTED, stage_of
from pretrain.run_paths import run_folder as pretrain_folder
from tokenizer.config import TokenizerConfig
from tokenizer.corpus.config import CorpusConfig


@dataclasses.dataclass(frozen=True)
class Cell:
    """One fine-tuning run of a comparison."""

    model: str
    label_budget: int
    seed: int
    config: FinetuneConfig
    folder: RunFolder
    command: str


def planned_cells(
    config: CompareConfig, tokenizer_run: RunFolder, stages: Mapping[str, PretrainConfig]
) -> list[Cell] | None:
    """The runs of the comparison, or None while a stage before them is not finished."""
    if not tokenizer_run.finished:
        return None
    pretrained = {name: pretrain_folder(stage) for name, stage in stages.items()}
    if not all(folder.finished for folder in pretrained.values()):
        return None
    return cells(config, {"tokenizer": str(tokenizer_run.path)}, pretrained)


def stage_configs(config: CompareConfig) -> tuple[TokenizerConfig, dict[str, PretrainConfig]]:
    """The resolved configs of the tokenizer and of the stages of pretraining that any model starts from, by key.

    Fine-tuning's is resolved a cell at a time.

    Raises:
        InputError: a file, key or value of any of them cannot be used.
    """
    runs: Overrides = {"runs": config.runs}
    tokenizer = load(TokenizerConfig, config.tokenizer, config.set.tokenizer | runs)
    tokenizer = dataclasses.replace(tokenizer, corpus=with_local_source(tokenizer.corpus, config))
    stages = {}
    for name in stages_of(config):
        stage = load(PretrainConfig, getattr(config, name), getattr(config.set, name) | runs)
        stages[name] = dataclasses.replace(stage, corpus=with_local_source(stage.corpus, config))
    return tokenizer, stages


def with_local_source(source: CorpusConfig, config: CompareConfig) -> CorpusConfig:
    """The corpus with its data set's local copy in the place of its Hub id, where there is one."""
    if config.data_folder is None or Path(source.source).exists() or "/" not in source.source:
        return source
    local = Path(config.data_folder) / source.source.rsplit("/", 1)[-1]
    return dataclasses.replace(source, source=str(local)) if local.exists() else source


def stages_of(config: CompareConfig) -> list[str]:
    """The stages of pretraining that any of the models starts from, or takes its architecture from."""
    found = {stage_of(keys.get("model.name", name)) for name, keys in config.models.items()}
    return [stage for stage in STARTED.values() if stage in found]


def cell_config(
    config: CompareConfig,
    model: str,
    budget: int,
    seed: int,
    resolved: Overrides,
    pretrained: Mapping[str, RunFolder],
) -> tuple[FinetuneConfig, Overrides]:
    """The fine-tuning config of a cell, and the overrides that make it from the stage's file.

    Raises:
        InputError: a key or value cannot be used.
    """
    keys = config.models[model]
    overrides: Overrides = {"model.name": model} | config.set.finetune | keys
    overrides |= {"label_budget": budget, "seed": seed} | resolved
    stage = stage_of(overrides["model.name"])
    if stage is not None and stage in pretrained:
        overrides["model.pretrained"] = str(pretrained[stage].path)
    base = load(FinetuneConfig, config.finetune, overrides | {"runs": config.runs})
    source = with_local_source(base.corpus, config)
    if source.source != base.corpus.source:
        overrides["corpus.source"] = source.source
    return dataclasses.replace(base, corpus=source), overrides


def cells(config: CompareConfig, resolved: Overrides, pretrained: Mapping[str, RunFolder]) -> list[Cell]:
    """Every run of the comparison, the longest first so that the last to end is a short one."""
    grid = []
    for budget, seed, model in itertools.product(
        sorted(config.label_budgets, reverse=True), config.seeds, config.models
    ):
        cell, overrides = cell_config(config, model, budget, seed, resolved, pretrained)
        command = as_command("finetune", config.finetune, overrides, config)
        grid.append(Cell(model, budget, seed, cell, finetune_folder(cell), command))
    return grid


def as_command(stage: str, file: str, overrides: Overrides, config: CompareConfig) -> str:
    """A run as the command a person would type."""
    keys = overrides if config.runs == "runs" else overrides | {"runs": config.runs}
    flags = [part for key, value in keys.items() for part in (f"--{key}", value_text(value))]
    launcher = shlex.split(config.launcher) if stage == "pretrain" else ["python"]
    return shlex.join([*launcher, "-m", stage, "--config", file, *flags])


def stage_command(stage: str, file: str, overrides: Overrides, config: CompareConfig, source: CorpusConfig) -> str:
    """The command of a stage before fine-tuning."""
    if config.data_folder is not None and Path(source.source).is_relative_to(config.data_folder):
        overrides = overrides | {"corpus.source": source.source}
    return as_command(stage, file, overrides, config)
