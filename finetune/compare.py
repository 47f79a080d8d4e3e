"""`python -m finetune.compare`: run every unfinished stage, then compare and write the report.

The grid is models × seeds × label budgets; each cell is one fine-tuning run, printed as the command that repeats it.
"""

import dataclasses
import itertools
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from configs.command_line import parse
from configs.errors import InputError, RunError, run_command
from configs.launch import ALLOCATOR, release_memory
from configs.run_folder import RunFolder
from configs.terminal import show_progress_lines
from finetune.classification.corpora import corpora_of
from finetune.comparison.config import CompareConfig, Overrides
from finetune.comparison.grid import (
    Cell,
    Failure,
    cell_config,
    grid_cells,
    grid_cells_if_ready,
    stage_command,
    stage_configs,
    stage_name,
    stage_overrides,
    with_tokenizer,
)
from finetune.comparison.running.cells import Outcome, Work, run_unfinished
from finetune.comparison.running.devices import runs_at_a_time, take_gpu
from finetune.comparison.running.subprocesses import run_stage
from finetune.comparison.running.unfinished import unfinished_runs
from finetune.comparison.tuning import FOLDS, Tuned, folds_judged, trials_of
from finetune.config import check_model_name
from finetune.own_data.config import OwnDataConfig
from pretrain.config import PretrainConfig
from pretrain.run_paths import minimum_documents
from pretrain.run_paths import run_folder as pretrain_folder
from tokenizer.config import TokenizerConfig
from tokenizer.corpus.documents import read as read_documents
from tokenizer.run_paths import run_folder as tokenizer_folder

if TYPE_CHECKING:
    from finetune.comparison.running.estimate import Rates

# `__name__` is `__main__` when this module runs as a command.
log = logging.getLogger("finetune.compare")

PROGRAM = "python -m finetune.compare"
# Of a budget.
FEW_LABELS = 200


class Begun(NamedTuple):
    """A comparison that was checked and whose tokenizer is trained."""

    tokenizer_run: RunFolder
    stages: dict[str, PretrainConfig]
    cells: list[Cell] | None
    """None while a pretraining stage is not finished."""


def begin(config: CompareConfig) -> Begun:
    """Check the texts of all stages and runs, and train the tokenizer.

    Raises:
        InputError: an invalid key, file or text.
        RunError: the stage failed.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in ALLOCATOR.items()})
    tokenizer, stages = stage_configs(config)
    check_corpora(config, tokenizer, stages)
    tokenizer_run = tokenizer_folder(tokenizer)
    stages = with_tokenizer(stages, tokenizer_run)
    cells = grid_cells_if_ready(config, tokenizer_run, stages)
    if cells is None or not all(cell.folder.finished for cell in cells):
        check_tasks(config)
    run_stage(
        stage_command("tokenizer", config.tokenizer, config.set.tokenizer, config, tokenizer.corpus), tokenizer_run
    )
    return Begun(tokenizer_run, stages, cells)


def run(config: CompareConfig) -> RunFolder:
    """Run every unfinished stage and cell, then compare and write the report.

    A model of which a run failed, and failed again, is left out; `failed` in the result names these runs.

    Raises:
        InputError: an invalid key, file or text, reported before anything is trained.
        RunError: a stage or every model failed.
    """
    tokenizer_run, stages, cells = begin(config)
    tokenizer_override: Overrides = {"tokenizer": str(tokenizer_run.path)}
    pretrained = {}
    for key, stage in stages.items():
        pretrained[key] = pretrain_folder(stage)
        overrides, file = stage_overrides(config, key) | tokenizer_override, getattr(config, stage_name(key))
        run_stage(stage_command("pretrain", file, overrides, config, stage.corpus), pretrained[key])
    tuned = tune(config, tokenizer_override, pretrained)
    settings = {(one.model, one.label_budget): one.best_settings for one in tuned}
    cells = cells or grid_cells(config, tokenizer_override, pretrained, settings)
    failures = run_unfinished(cells, config, run_cell)
    failed = {failure.cell.model for failure in failures}
    complete = [cell for cell in cells if cell.model not in failed]
    if not complete:
        raise RunError(f"runs of every model failed; the first with: {failures[0].reason}")
    return write_comparison(config, complete, pretrained, tuned, failures)


def tune(config: CompareConfig, tokenizer_override: Overrides, pretrained: Mapping[str, RunFolder]) -> list[Tuned]:
    """Run the trials of all models and label budgets; empty without tuning.

    Raises:
        InputError: the ranges are invalid.
    """
    if not config.tuning.trials:
        return []
    groups = trials_of(config, tokenizer_override, pretrained)
    print(
        f"tuning: {config.tuning.trials} trials for each model and label budget, by {config.tuning.ranges}", flush=True
    )
    cells = [cell for trials in groups for trial in trials for cell in trial.cells]
    # The parts of a trial apart from each other: at a rate that is too high they all fail.
    failures = run_unfinished(sorted(cells, key=lambda cell: cell.config.fold), config, run_cell)
    tuned = [Tuned.of(trials, config, failures) for trials in groups]
    for one in tuned:
        log.info("%s", one)
        for line in one.warnings():
            log.warning("%s", line)
    return tuned


def preview(config: CompareConfig, rates: "Rates | None" = None) -> None:
    """Print what is not finished, and what time and disk it would take.

    Args:
        config: of the comparison.
        rates: of this machine; None measures them.

    Raises:
        InputError: as `run`.
    """
    import rich

    from finetune.comparison.compared_score import compared_score, has_several_labels
    from finetune.comparison.running import estimate
    from finetune.comparison.summary import contenders, family_of
    from finetune.comparison.verdict import missing_side
    from finetune.run import run as fine_tune

    tokenizer_run, stages, cells = begin(config)
    unfinished = {name: stage for name, stage in stages.items() if not pretrain_folder(stage).finished}
    runs = unfinished_runs(config, tokenizer_run, stages, cells)
    if not runs and not unfinished:
        print("everything is finished; without dry_run, the report is written")
        return
    at_a_time = runs_at_a_time(config, runs[0][1]) if runs else 1
    rates = rates or estimate.measure(config, tokenizer_run, stages, at_a_time, fine_tune)
    rich.print(estimate.table(estimate.expected(unfinished, runs, rates), at_a_time, tuple(unfinished)))
    print(f"fine-tuning runs go {at_a_time} at a time; nothing was run but the tokenizer's stage and the measurement")
    if runs and compared_score(config, has_several_labels(runs[0][1])) == "accuracy":
        test_texts, seeds = estimate.text_counts(runs[0][1])[2], len(config.seeds)
        families = {model: family_of(keys.get("model.name", model)) for model, keys in config.models.items()}
        missing = missing_side(is_pretrained for _, is_pretrained in families.values())
        looks = len(contenders(families)) * len(config.label_budgets)
        print(foreseen(seeds, test_texts, config.confidence, looks) if missing is None else f"no verdict, as {missing}")


def foreseen(seeds: int, texts: int, confidence: float, looks: int) -> str:
    """The difference that a design would show, in a sentence.

    >>> foreseen(3, 25_000, 0.95, 1)[:98]
    '3 seeds and 25,000 test texts show a difference of 3.2 points in four of five comparisons, smaller'
    >>> foreseen(2, 500, 0.95, 40)
    '2 seeds and 500 test texts could show no difference four times in five, however large'
    """
    from finetune.comparison.analysis.words import count
    from finetune.comparison.intervals import DISAGREEMENT, SEED_DEVIATION, planned_detectable

    detectable = planned_detectable(seeds, texts, confidence, looks)
    design = f"{count(seeds, 'seed')} and {count(texts, 'test text')}"
    if detectable >= 1:
        return f"{design} could show no difference four times in five, however large"
    return (
        f"{design} show a difference of {100 * detectable:.1f} points in four of five comparisons, smaller ones less "
        f"often ({count(looks, 'verdict')}{' at once' if looks > 1 else ''}; of two models of which one alone is right "
        f"on {max(DISAGREEMENT, detectable):.0%} of the texts, and whose difference varies by "
        f"{100 * SEED_DEVIATION:g} point from seed to seed)"
    )


def write_comparison(
    config: CompareConfig,
    cells: Sequence[Cell],
    pretrained: Mapping[str, RunFolder],
    tuned: Sequence[Tuned] = (),
    failures: Sequence[Failure] = (),
) -> RunFolder:
    """Write `result.json` and the report to the comparison's run folder, unless they exist."""
    upstream = [folder.digest for folder in (*(cell.folder for cell in cells), *pretrained.values())]
    upstream += [text for one in tuned for text in one.upstream]
    folder = RunFolder.of("compare", config, upstream)
    # An earlier version wrote no report.md; its report is made anew.
    if not (folder.finished and all((folder.path / name).is_file() for name in ("report.html", "report.md"))):
        from finetune.comparison import report, summary
        from finetune.comparison.compared_score import compared_score, is_multi_label
        from finetune.comparison.page_command import page_command

        score = compared_score(config, is_multi_label(cells[0].folder.result()))
        folder.begin(config)
        comparison = summary.compare(cells, config.confidence, config.margin, score)
        beside = {
            "tuning": [dataclasses.asdict(one) for one in tuned],
            "failed": [failure.facts() for failure in failures],
            "page_command": page_command(cells, comparison),
        }
        folder.finish(report.write(folder, config, comparison, cells, pretrained, tuned, failures) | beside)
    return folder


def check_corpora(config: CompareConfig, tokenizer: TokenizerConfig, stages: Mapping[str, PretrainConfig]) -> None:
    """Check the corpora of the tokenizer and of pretraining before anything is trained.

    Raises:
        InputError: a corpus is missing, empty or too small.
    """
    if config.data_folder is not None and not Path(config.data_folder).is_dir():
        raise InputError(f"data_folder: no such folder: {config.data_folder!r}")
    needed = [(stage.corpus, minimum_documents(stage)) for stage in stages.values()]
    for corpus, minimum in [(tokenizer.corpus, 1), *needed]:
        documents = list(itertools.islice(read_documents(corpus), minimum))
        if len(documents) < minimum:
            raise InputError(
                f"corpus.source: {corpus.source!r} holds {len(documents)} document(s); next-sentence pairs need at "
                f"least {minimum} (one document per file, or blank lines between documents)"
            )


def check_tasks(config: CompareConfig) -> None:
    """Check the model names, the labelled texts of all cells and their score; each set of texts is read once.

    Raises:
        InputError: an unknown model; a file, column or label is missing or invalid; or the texts have no such score.
    """
    from finetune.classification.labels import check_labels
    from finetune.comparison.compared_score import compared_score, has_several_labels

    tasks, told = {}, set[str]()
    for name, budget in itertools.product(config.models, config.label_budgets):
        task, _ = cell_config(config, name, budget, config.seeds[0], {}, {})
        check_model_name(task.model.name)
        settings = budget, task.validation_share, task.class_weights, task.model.calibrated_bias
        tasks[repr((corpora_of(task), *settings))] = task
    for task in tasks.values():
        compared_score(config, has_several_labels(task))
        texts = repr(corpora_of(task))
        check_labels(task, tell=texts not in told)
        told.add(texts)
        if config.tuning.trials:
            budget = task.label_budget or FEW_LABELS
            # With few labels a class may need all of them for its parts; each fold reads the texts again.
            for fold in range(folds_judged(budget) if budget < FEW_LABELS else 1):
                check_labels(dataclasses.replace(task, folds=FOLDS, fold=fold), tell=False)


def run_cell(item: Work) -> Outcome:
    """Run a cell; returns its seconds, and the name and value of the compared score; or why it failed."""
    cell, devices, config = item
    take_gpu(devices)
    # In one piece: other processes print lines, too.
    print(f"$ {cell.command}\n", end="", flush=True)
    from finetune.comparison.compared_score import compared_score, is_multi_label, score_name
    from finetune.run import run as finetune

    try:
        result = finetune(cell.config).result()
    except (InputError, RuntimeError, OSError, MemoryError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    except Exception as error:
        # A defect of ours or of a library: the other runs go on, and its trace is told.
        log.exception("%s", cell)
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    finally:
        release_memory()
    score = compared_score(config, is_multi_label(result))
    return result["seconds"], score_name(score), result[f"test_{score}"]


def main() -> None:
    """Parse the command line, then compare."""
    show_progress_lines()
    if any(argument == "--labelled" or argument.startswith("--labelled=") for argument in sys.argv[1:]):
        from finetune.own_data import plan
        from finetune.run import run as fine_tune

        own = parse(OwnDataConfig, PROGRAM)
        folder = plan.run(own, fine_tune)
        runs = "" if own.runs == "runs" else f" --runs {own.runs}"
        print(f"plan: {folder.path} (again: {PROGRAM} --config {folder.path / 'compare.yaml'}{runs})", flush=True)
        config = plan.comparison_of(folder, own)
        rates = plan.rates_of(folder)
    else:
        config, rates = parse(CompareConfig, PROGRAM), None
    if config.dry_run:
        preview(config, rates)
        return
    folder = run(config)
    result = folder.result()
    print_table(result["scores"], result.get("majority"), result.get("score", "accuracy"))
    print(f"report: {folder.path / 'report.html'}")
    print("\n".join(result["verdicts"]))
    # Comparisons that were finished before there were pages have none.
    if (command := result.get("page_command")) is not None:
        print(f"page: {command}")
    if result.get("failed"):
        from finetune.comparison.analysis.words import count

        left_out = ", ".join(sorted({run["model"] for run in result["failed"]}))
        raise RunError(
            f"{count(len(result['failed']), 'run')} failed twice, and the comparison leaves out {left_out}: "
            f"{result['failed'][0]['reason']}; run the same command again for them alone"
        )


def print_table(scores: Sequence[Mapping[str, Any]], majority: float | None = None, compared: str = "accuracy") -> None:
    """Print the mean score and interval of each model at each label budget.

    Args:
        scores: of the comparison.
        majority: the score of always giving the same answer.
        compared: the score's key.
    """
    import rich
    from rich.table import Table

    from finetune.comparison.compared_score import score_name

    budgets = sorted({score["label_budget"] for score in scores})
    table = Table(f"test {score_name(compared)}, %", *(f"{budget:,} labels" for budget in budgets))
    for model in dict.fromkeys(score["model"] for score in scores):
        accuracies = {score["label_budget"]: score["accuracy"] for score in scores if score["model"] == model}
        percents = [
            {name: f"{100 * accuracies[budget][name]:.1f}" for name in ("estimate", "low", "high")}
            for budget in budgets
        ]
        failed = sum(score["failed_runs"] for score in scores if score["model"] == model)
        name = f"{model} ({failed} failed)" if failed else model
        table.add_row(name, *(f"{cell['estimate']} \\[{cell['low']}, {cell['high']}]" for cell in percents))
    if majority is not None:
        constant = "most frequent class" if compared == "accuracy" else "one answer for all texts"
        table.add_row(constant, *[f"{100 * majority:.1f}"] * len(budgets))
    rich.print(table)


if __name__ == "__main__":
    run_command(PROGRAM, main)
