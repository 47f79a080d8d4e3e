"""`python -m finetune.compare`: every stage that is not finished yet, then the comparison and the report.

models × seeds × label budgets; each cell is one fine-tuning run, printed as the command a person would type.
"""

import dataclasses
import itertools
import logging
import multiprocessing
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.command_line import load, parse, value_text
from configs.errors import InputError, run_command
from configs.launch import ALLOCATOR, physical_cores
from configs.processes import side_by_side
from configs.run_folder import RunFolder, outside_digest
from configs.terminal import progress, show_progress_lines
from finetune.config import BAG_OF_WORDS, FinetuneConfig, check_model_name, parts
from finetune.config import run_folder as finetune_folder
from finetune.stages import run_stage
from pretrain.config import PretrainConfig
from pretrain.folders import run_folder as pretrain_folder
from pretrain.model_config import STARTED, stage_of
from tokenizer import corpus
from tokenizer.config import CorpusConfig, TokenizerConfig, require_at_least, require_between
from tokenizer.train import run_folder as tokenizer_folder

# Run as a command, this module is called `__main__`.
log = logging.getLogger("finetune.compare")

PROGRAM = "python -m finetune.compare"
MINIMUM_SEEDS = 2
MINIMUM_DOCUMENTS = 4

Overrides = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class StageOverrides:
    """Keys changed in every run of a stage, such as `{training.duration: 1M tokens}`."""

    tokenizer: Overrides = dataclasses.field(default_factory=dict)
    """For `python -m tokenizer`."""
    pretrain: Overrides = dataclasses.field(default_factory=dict)
    """For the `python -m pretrain` that `bert` starts from."""
    language_model: Overrides = dataclasses.field(default_factory=dict)
    """For that of `lm-lstm`."""
    autoencoder: Overrides = dataclasses.field(default_factory=dict)
    """For that of `sa-lstm`."""
    finetune: Overrides = dataclasses.field(default_factory=dict)
    """For `python -m finetune`, whatever the model."""


@dataclasses.dataclass(frozen=True)
class CompareConfig:
    """Compare models on the same labels: models × seeds × label budgets, then intervals, a verdict and a report."""

    name: str = "compare"
    """The run folder is `runs/compare/<name>-<digest>`."""
    tokenizer: str = "configs/tokenizer/demo.yaml"
    """The tokenizer stage."""
    pretrain: str = "configs/pretrain/demo.yaml"
    """The pretraining stage of `bert` and `bert-scratch`; run only if one of them is compared."""
    language_model: str = "configs/pretrain/demo-lm.yaml"
    """The pretraining stage of `lm-lstm` and `lm-lstm-scratch`."""
    autoencoder: str = "configs/pretrain/demo-autoencoder.yaml"
    """The pretraining stage of `sa-lstm` and `sa-lstm-scratch`."""
    finetune: str = "configs/finetune/demo.yaml"
    """The fine-tuning stage: what all models share."""
    set: StageOverrides = dataclasses.field(default_factory=StageOverrides)
    """Keys changed in a stage, for all of its runs."""
    models: dict[str, Overrides] = dataclasses.field(
        default_factory=lambda: {
            name: {} for name in (BAG_OF_WORDS, "rnn", "lstm", "lstm-attention", "lm-lstm", "bert-scratch", "bert")
        }
    )
    """What is compared: a name for the table and the keys of the fine-tuning stage that make it so. Where `model.name`
    is not among the keys, the name is also the model's."""
    seeds: list[int] = dataclasses.field(default_factory=lambda: [0, 1, 2])
    """Each draws its own labels, fresh weights and order; at least two, and three or more for intervals of any use."""
    label_budgets: list[int] = dataclasses.field(default_factory=lambda: [200, 1000, 4000])
    """Numbers of training labels."""
    confidence: float = 0.95
    """Of all intervals."""
    data_folder: str | None = outside_digest(None)
    """Look for the data set `owner/name` in `<data_folder>/name` before asking the Hub."""
    processes: int | None = outside_digest(None)
    """Runs at a time, each on a GPU in turn. Null takes one for every GPU, or, where there is none, as many as the
    physical cores hold of the fine-tuning stage's `training.threads`."""
    launcher: str = outside_digest("python")
    """What starts pretraining: `python`, or `accelerate launch` and its flags for several GPUs."""
    runs: str = outside_digest("runs")
    """The folder that receives run folders."""

    def __post_init__(self) -> None:
        """Refuse what cannot be compared."""
        require_at_least(MINIMUM_SEEDS, number_of_seeds=len(set(self.seeds)))
        require_at_least(1, number_of_models=len(self.models), number_of_label_budgets=len(self.label_budgets))
        require_between(0.5, 0.999, confidence=self.confidence)
        if self.processes is not None:
            require_at_least(1, processes=self.processes)
        if self.launcher != "python" and not self.launcher.startswith("accelerate launch"):
            raise InputError(f"launcher: {self.launcher!r} is neither `python` nor `accelerate launch` and its flags")


@dataclasses.dataclass(frozen=True)
class Cell:
    """One fine-tuning run of a comparison."""

    model: str
    label_budget: int
    seed: int
    config: FinetuneConfig
    folder: RunFolder
    command: str


def run(config: CompareConfig) -> RunFolder:
    """Run what is missing, then compare and write the report.

    Raises:
        InputError: something given cannot be used; nothing has been trained then, or a stage failed.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in ALLOCATOR.items()})
    tokenizer, stages = stage_configs(config)
    check_corpora(config, tokenizer, stages)
    tokenizer_run = tokenizer_folder(tokenizer)
    resolved: Overrides = {"tokenizer": str(tokenizer_run.path)}
    stages = {name: dataclasses.replace(stage, **resolved) for name, stage in stages.items()}
    planned = planned_cells(config, tokenizer_run, stages)
    if planned is None or not all(cell.folder.finished for cell in planned):
        check_tasks(config)
    run_stage(
        stage_command("tokenizer", config.tokenizer, config.set.tokenizer, config, tokenizer.corpus), tokenizer_run
    )
    pretrained = {}
    for name, stage in stages.items():
        pretrained[name] = pretrain_folder(stage)
        overrides = getattr(config.set, name) | resolved
        run_stage(stage_command("pretrain", getattr(config, name), overrides, config, stage.corpus), pretrained[name])
    found = planned or cells(config, resolved, pretrained)
    run_cells([cell for cell in found if not cell.folder.finished], config)
    return summarised(config, found, pretrained)


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


def summarised(config: CompareConfig, found: Sequence[Cell], pretrained: Mapping[str, RunFolder]) -> RunFolder:
    """The comparison's own folder: `result.json`, `report.html` and the pictures."""
    upstream = [folder.digest for folder in (*(cell.folder for cell in found), *pretrained.values())]
    folder = RunFolder.of("compare", config, upstream)
    if not (folder.finished and (folder.path / "report.html").is_file()):
        from finetune import report, statistics

        folder.begin(config)
        comparison = statistics.compare(found, config.confidence)
        report.write(folder, config, comparison, found, pretrained)
        folder.finish(dataclasses.asdict(comparison))
    return folder


def stage_configs(config: CompareConfig) -> tuple[TokenizerConfig, dict[str, PretrainConfig]]:
    """The resolved configs of the tokenizer and of the stages of pretraining that any model starts from, by key.

    Fine-tuning's is resolved a cell at a time.

    Raises:
        InputError: a file, key or value of any of them cannot be used.
    """
    runs: Overrides = {"runs": config.runs}
    tokenizer = load(TokenizerConfig, config.tokenizer, config.set.tokenizer | runs)
    tokenizer = dataclasses.replace(tokenizer, corpus=located(tokenizer.corpus, config))
    stages = {}
    for name in stages_of(config):
        stage = load(PretrainConfig, getattr(config, name), getattr(config.set, name) | runs)
        stages[name] = dataclasses.replace(stage, corpus=located(stage.corpus, config))
    return tokenizer, stages


def located(source: CorpusConfig, config: CompareConfig) -> CorpusConfig:
    """The corpus with its data set's local copy in the place of its Hub id, where there is one."""
    if config.data_folder is None or Path(source.source).exists() or "/" not in source.source:
        return source
    local = Path(config.data_folder) / source.source.rsplit("/", 1)[-1]
    return dataclasses.replace(source, source=str(local)) if local.exists() else source


def check_corpora(config: CompareConfig, tokenizer: TokenizerConfig, stages: Mapping[str, PretrainConfig]) -> None:
    """Look at the texts of the tokenizer and of pretraining before anything is trained.

    Raises:
        InputError: a corpus is missing, empty or too small.
    """
    if config.data_folder is not None and not Path(config.data_folder).is_dir():
        raise InputError(f"data_folder: no such folder: {config.data_folder!r}")
    for source in [tokenizer.corpus, *(stage.corpus for stage in stages.values())]:
        documents = list(itertools.islice(corpus.read(source), MINIMUM_DOCUMENTS))
        if source is not tokenizer.corpus and len(documents) < MINIMUM_DOCUMENTS:
            raise InputError(
                f"corpus.source: {source.source!r} holds {len(documents)} document(s); next-sentence pairs need at "
                f"least {MINIMUM_DOCUMENTS} (one document a file, or blank lines between documents)"
            )


def check_tasks(config: CompareConfig) -> None:
    """Read the labelled texts of every model and budget once.

    Raises:
        InputError: a file, column or label is missing, or cannot be used.
    """
    from finetune.tasks import check

    found = {}
    for name, budget in itertools.product(config.models, config.label_budgets):
        task, _ = cell_config(config, name, budget, config.seeds[0], {}, {})
        check_model_name(task.model.name)
        found[repr((parts(task), budget, task.validation_share))] = task
    for task in found.values():
        check(task)


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
    source = located(base.corpus, config)
    if source.source != base.corpus.source:
        overrides["corpus.source"] = source.source
    return dataclasses.replace(base, corpus=source), overrides


def cells(config: CompareConfig, resolved: Overrides, pretrained: Mapping[str, RunFolder]) -> list[Cell]:
    """Every run of the comparison, the longest first so that the last to end is a short one."""
    found = []
    for budget, seed, model in itertools.product(
        sorted(config.label_budgets, reverse=True), config.seeds, config.models
    ):
        made, overrides = cell_config(config, model, budget, seed, resolved, pretrained)
        command = typed("finetune", config.finetune, overrides, config)
        found.append(Cell(model, budget, seed, made, finetune_folder(made), command))
    return found


def typed(stage: str, file: str, overrides: Overrides, config: CompareConfig) -> str:
    """A run as the command a person would type."""
    keys = overrides if config.runs == "runs" else overrides | {"runs": config.runs}
    flags = [part for key, value in keys.items() for part in (f"--{key}", value_text(value))]
    launcher = shlex.split(config.launcher) if stage == "pretrain" else ["python"]
    return shlex.join([*launcher, "-m", stage, "--config", file, *flags])


def stage_command(stage: str, file: str, overrides: Overrides, config: CompareConfig, source: CorpusConfig) -> str:
    """The command of a stage before fine-tuning."""
    if config.data_folder is not None and Path(source.source).is_relative_to(config.data_folder):
        overrides = overrides | {"corpus.source": source.source}
    return typed(stage, file, overrides, config)


def run_cells(missing: Sequence[Cell], config: CompareConfig) -> None:
    """Run cells side by side, each on its own threads, and where there are GPUs on one of them.

    Raises:
        InputError: a cell failed.
    """
    if not missing:
        return
    devices = gpus()
    at_a_time = len(devices) or physical_cores() // (missing[0].config.training.threads or physical_cores())
    count = min(len(missing), config.processes or max(1, at_a_time))
    print(f"{len(missing)} runs, {count} at a time", flush=True)
    done = side_by_side(_run_cell, [(cell, devices) for cell in missing], count)
    for (cell, _), (seconds, accuracy) in progress(done, "fine-tuning", "runs", total=len(missing)):
        log.info(
            "%s, %d labels, seed %d: test accuracy %.4f (%.0f s)",
            cell.model, cell.label_budget, cell.seed, accuracy, seconds,
        )  # fmt: skip


def gpus() -> list[str]:
    """What CUDA calls the GPUs that this process may use."""
    import torch

    if os.environ.get("ACCELERATE_USE_CPU", "false").lower() in ("1", "true"):
        return []
    count = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))
    return visible.split(",")[:count]


def gpu_of(process: str, devices: Sequence[str]) -> str:
    """The GPU of one of the processes that `multiprocessing` numbers in its names.

    >>> [gpu_of(f"SpawnProcess-{number}", ["2", "5"]) for number in (1, 2, 3)]
    ['2', '5', '2']
    """
    return devices[(int(process.rsplit("-", 1)[-1]) - 1) % len(devices)]


def _run_cell(given: tuple[Cell, Sequence[str]]) -> tuple[float, float]:
    """Seconds and test accuracy of a run."""
    cell, devices = given
    if devices:
        # Before CUDA is first asked anything, which is when it settles what it sees.
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu_of(multiprocessing.current_process().name, devices)
    print(f"$ {cell.command}", flush=True)
    from finetune.run import run as finetune

    result = finetune(cell.config).result()
    return result["seconds"], result["test_accuracy"]


def main() -> None:
    """Parse the command line, then compare."""
    config = parse(CompareConfig, PROGRAM)
    show_progress_lines()
    folder = run(config)
    result = folder.result()
    print_table(result["scores"])
    print(f"report: {folder.path / 'report.html'}")
    print("\n".join(result["verdicts"]))


def print_table(scores: Sequence[Mapping[str, Any]]) -> None:
    """Mean accuracy and interval of each model at each label budget."""
    import rich
    from rich.table import Table

    budgets = sorted({score["label_budget"] for score in scores})
    table = Table("test accuracy, %", *(f"{budget:,} labels" for budget in budgets))
    for model in dict.fromkeys(score["model"] for score in scores):
        found = {score["label_budget"]: score["accuracy"] for score in scores if score["model"] == model}
        shown = ({name: f"{100 * share:.1f}" for name, share in found[budget].items()} for budget in budgets)
        table.add_row(model, *(f"{cell['estimate']} \\[{cell['low']}, {cell['high']}]" for cell in shown))
    rich.print(table)


if __name__ == "__main__":
    run_command(PROGRAM, main)
