"""The runs of a comparison: models × seeds × label budgets, each as a config and as a shell command."""

import dataclasses
import itertools
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from configs.command_line import load, value_text
from configs.run_folder import RunFolder
from finetune.comparison.config import CompareConfig, Overrides
from finetune.config import FinetuneConfig
from finetune.run_paths import run_folder as finetune_folder
from pretrain.config import PretrainConfig
from pretrain.models.config import STAGES, is_from_scratch, stage_of
from pretrain.run_paths import run_folder as pretrain_folder
from tokenizer.config import TokenizerConfig
from tokenizer.corpus.config import CorpusConfig

# Between the name of a stage and its seed.
SEED_MARK = "#"


@dataclasses.dataclass(frozen=True)
class Cell:
    """One fine-tuning run of a comparison."""

    model: str
    label_budget: int
    seed: int
    pretraining_seed: int | None
    """None for a model without pretraining, or if the comparison names no such seeds."""
    config: FinetuneConfig
    folder: RunFolder
    command: str

    def __str__(self) -> str:
        """As progress lines name it."""
        start = "" if self.pretraining_seed is None else f" of pretraining seed {self.pretraining_seed}"
        fold = "" if self.config.folds is None else f", fold {self.config.fold}"
        return f"{self.model}, {self.label_budget} labels, seed {self.seed}{start}{fold}"


class Failure(NamedTuple):
    """A cell that could not be run, and why."""

    cell: Cell
    reason: str

    def facts(self) -> dict[str, Any]:
        """For a comparison's result."""
        cell = self.cell
        place = {"model": cell.model, "label_budget": cell.label_budget, "seed": cell.seed}
        return place | {"reason": self.reason, "command": cell.command}


def grid_cells_if_ready(
    config: CompareConfig, tokenizer_run: RunFolder, stages: Mapping[str, PretrainConfig]
) -> list[Cell] | None:
    """All cells, or None while the tokenizer or a pretraining stage is unfinished, or settings are not tuned yet."""
    if not tokenizer_run.finished or config.tuning.trials:
        return None
    pretrained = {name: pretrain_folder(stage) for name, stage in stages.items()}
    if not all(folder.finished for folder in pretrained.values()):
        return None
    return grid_cells(config, {"tokenizer": str(tokenizer_run.path)}, pretrained)


def stage_configs(config: CompareConfig) -> tuple[TokenizerConfig, dict[str, PretrainConfig]]:
    """The config of the tokenizer, and those of the pretraining stages that the models need, by their keys.

    The fine-tuning config is resolved per cell, by `cell_config`.

    Raises:
        InputError: a file, key or value is missing or invalid.
    """
    runs: Overrides = {"runs": config.runs}
    tokenizer = load(TokenizerConfig, config.tokenizer, config.set.tokenizer | runs)
    tokenizer = dataclasses.replace(tokenizer, corpus=with_local_source(tokenizer.corpus, config))
    stages = {}
    for name, seed in itertools.product(pretraining_stages(config), config.pretraining_seeds or [None]):
        key = stage_key(config, name, seed)
        stage = load(PretrainConfig, getattr(config, name), stage_overrides(config, key) | runs)
        stages[key] = dataclasses.replace(stage, corpus=with_local_source(stage.corpus, config))
    return tokenizer, stages


def with_tokenizer(stages: Mapping[str, PretrainConfig], tokenizer_run: RunFolder) -> dict[str, PretrainConfig]:
    """The pretraining stages, with the folder of their tokenizer."""
    return {key: dataclasses.replace(stage, tokenizer=str(tokenizer_run.path)) for key, stage in stages.items()}


def stage_key(config: CompareConfig, name: str, seed: int | None) -> str:
    """The key of a pretraining stage with a seed: its name, with the first or only seed; else with the seed added.

    >>> config = CompareConfig(pretraining_seeds=[3, 4])
    >>> stage_key(config, "pretrain", 3), stage_key(config, "pretrain", 4), stage_key(CompareConfig(), "pretrain", None)
    ('pretrain', 'pretrain#4', 'pretrain')
    """
    is_first = seed is None or config.pretraining_seeds is None or seed == config.pretraining_seeds[0]
    return name if is_first else f"{name}{SEED_MARK}{seed}"


def stage_name(key: str) -> str:
    """The name of a stage, which is the comparison's key for its file.

    >>> stage_name("pretrain"), stage_name("language_model#2")
    ('pretrain', 'language_model')
    """
    return key.partition(SEED_MARK)[0]


def stage_overrides(config: CompareConfig, key: str) -> Overrides:
    """The overrides of a pretraining stage's file."""
    name, _, seed = key.partition(SEED_MARK)
    overrides = getattr(config.set, name)
    if config.pretraining_seeds is None:
        return overrides
    return overrides | {"seed": int(seed) if seed else config.pretraining_seeds[0]}


def with_local_source(corpus: CorpusConfig, config: CompareConfig) -> CorpusConfig:
    """The corpus, with its Hub id replaced by the local copy in `data_folder` if there is one."""
    if config.data_folder is None or Path(corpus.source).exists() or "/" not in corpus.source:
        return corpus
    local = Path(config.data_folder) / corpus.source.rsplit("/", 1)[-1]
    return dataclasses.replace(corpus, source=str(local)) if local.exists() else corpus


def pretraining_stages(config: CompareConfig) -> list[str]:
    """The pretraining stages that the models take their weights or architecture from."""
    needed = {stage_of(keys.get("model.name", name)) for name, keys in config.models.items()}
    return [stage for stage in dict.fromkeys(STAGES.values()) if stage in needed]


def cell_config(
    config: CompareConfig,
    model: str,
    budget: int,
    seed: int,
    tokenizer_override: Overrides,
    pretrained: Mapping[str, RunFolder],
    pretraining_seed: int | None = None,
    settings: Overrides | None = None,
) -> tuple[FinetuneConfig, Overrides]:
    """The fine-tuning config of a cell, and its overrides of the stage's file.

    Raises:
        InputError: a key or value is invalid.
    """
    keys = config.models[model]
    selection: Overrides = {} if config.score is None else {"select_by": config.score}
    overrides: Overrides = {"model.name": model} | selection | config.set.finetune | keys
    overrides |= (settings or {}) | {"label_budget": budget, "seed": seed} | tokenizer_override
    stage = stage_of(overrides["model.name"])
    if stage is not None and (key := stage_key(config, stage, pretraining_seed)) in pretrained:
        overrides["model.pretrained"] = str(pretrained[key].path)
    base = load(FinetuneConfig, config.finetune, overrides | {"runs": config.runs})
    corpus = with_local_source(base.corpus, config)
    if corpus.source != base.corpus.source:
        overrides["corpus.source"] = corpus.source
    return dataclasses.replace(base, corpus=corpus), overrides


def grid_cells(
    config: CompareConfig,
    tokenizer_override: Overrides,
    pretrained: Mapping[str, RunFolder],
    settings: Mapping[tuple[str, int], Overrides] | None = None,
) -> list[Cell]:
    """All cells, largest label budget first, so that a short run ends last.

    Args:
        config: of the comparison.
        tokenizer_override: the tokenizer's folder.
        pretrained: the run folders of the pretraining stages.
        settings: of a model at a label budget, beside those that the comparison gives it.
    """
    cells = []
    for budget, seed, model in itertools.product(
        sorted(config.label_budgets, reverse=True), config.seeds, config.models
    ):
        for first in seeds_of_pretraining(config, model):
            own = (settings or {}).get((model, budget))
            cells.append(cell_of(config, model, budget, seed, tokenizer_override, pretrained, first, own))
    return cells


def cell_of(
    config: CompareConfig,
    model: str,
    budget: int,
    seed: int,
    tokenizer_override: Overrides,
    pretrained: Mapping[str, RunFolder],
    pretraining_seed: int | None,
    settings: Overrides | None = None,
) -> Cell:
    """A cell; the arguments are those of `cell_config`.

    Raises:
        InputError: as `cell_config`.
    """
    own, overrides = cell_config(
        config, model, budget, seed, tokenizer_override, pretrained, pretraining_seed, settings
    )
    command = shell_command("finetune", config.finetune, overrides, config)
    return Cell(model, budget, seed, pretraining_seed, own, finetune_folder(own), command)


def seeds_of_pretraining(config: CompareConfig, model: str) -> list[int | None]:
    """The pretraining seeds that a model is fine-tuned from."""
    name = config.models[model].get("model.name", model)
    starts_from_weights = stage_of(name) is not None and not is_from_scratch(name)
    return list(config.pretraining_seeds or [None]) if starts_from_weights else [None]


def shell_command(stage: str, file: str, overrides: Overrides, config: CompareConfig) -> str:
    """The shell command of a run."""
    keys = overrides if config.runs == "runs" else overrides | {"runs": config.runs}
    flags = [word for key, value in keys.items() for word in (f"--{key}", value_text(value))]
    launcher = shlex.split(config.launcher) if stage == "pretrain" else ["python"]
    return shlex.join([*launcher, "-m", stage, "--config", file, *flags])


def stage_command(stage: str, file: str, overrides: Overrides, config: CompareConfig, corpus: CorpusConfig) -> str:
    """The shell command of the tokenizer or of a pretraining stage."""
    if config.data_folder is not None and Path(corpus.source).is_relative_to(config.data_folder):
        overrides = overrides | {"corpus.source": corpus.source}
    return shell_command(stage, file, overrides, config)
