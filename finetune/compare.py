"""`python -m finetune.compare`: every stage that is not finished yet, then the comparison and the report.

models × seeds × label budgets; each cell is one fine-tuning run, printed as the command a person would type.
"""

import dataclasses
import itertools
import logging
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.command_line import parse
from configs.errors import InputError, run_command
from configs.launch import ALLOCATOR, physical_cores
from configs.processes import in_processes
from configs.run_folder import RunFolder
from configs.terminal import progress, show_progress_lines
from finetune.classification.corpora import corpora_of
from finetune.comparison.config import CompareConfig, Overrides
from finetune.comparison.grid import Cell, cell_config, cells, planned_cells, stage_command, stage_configs
from finetune.comparison.subprocesses import run_stage
from finetune.config import check_model_name
from pretrain.config import PretrainConfig
from pretrain.run_paths import run_folder as pretrain_folder
from tokenizer.config import TokenizerConfig
from tokenizer.corpus.documents import read as read_documents
from tokenizer.run_paths import run_folder as tokenizer_folder

# Run as a command, this module is called `__main__`.
log = logging.getLogger("finetune.compare")

PROGRAM = "python -m finetune.compare"
MINIMUM_DOCUMENTS = 4


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


def summarised(config: CompareConfig, found: Sequence[Cell], pretrained: Mapping[str, RunFolder]) -> RunFolder:
    """The comparison's own folder: `result.json`, `report.html` and the pictures."""
    upstream = [folder.digest for folder in (*(cell.folder for cell in found), *pretrained.values())]
    folder = RunFolder.of("compare", config, upstream)
    if not (folder.finished and (folder.path / "report.html").is_file()):
        from finetune.comparison import report, summary

        folder.begin(config)
        comparison = summary.compare(found, config.confidence)
        report.write(folder, config, comparison, found, pretrained)
        folder.finish(dataclasses.asdict(comparison))
    return folder


def check_corpora(config: CompareConfig, tokenizer: TokenizerConfig, stages: Mapping[str, PretrainConfig]) -> None:
    """Look at the texts of the tokenizer and of pretraining before anything is trained.

    Raises:
        InputError: a corpus is missing, empty or too small.
    """
    if config.data_folder is not None and not Path(config.data_folder).is_dir():
        raise InputError(f"data_folder: no such folder: {config.data_folder!r}")
    for source in [tokenizer.corpus, *(stage.corpus for stage in stages.values())]:
        documents = list(itertools.islice(read_documents(source), MINIMUM_DOCUMENTS))
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
    from finetune.classification.labels import check

    found = {}
    for name, budget in itertools.product(config.models, config.label_budgets):
        task, _ = cell_config(config, name, budget, config.seeds[0], {}, {})
        check_model_name(task.model.name)
        found[repr((corpora_of(task), budget, task.validation_share))] = task
    for task in found.values():
        check(task)


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
    done = in_processes(_run_cell, [(cell, devices) for cell in missing], count)
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
