"""`python -m finetune.ladder`: how far would more pretraining help? Short runs of it, before the whole is paid for."""

import dataclasses
import logging
from collections.abc import Sequence
from typing import NamedTuple

from configs.command_line import parse
from configs.errors import RunError, run_command
from configs.run_folder import RunFolder
from configs.terminal import show_progress_lines
from finetune.compare import begin, run_cell
from finetune.comparison.config import CompareConfig, Overrides
from finetune.comparison.grid import Cell, stage_command, stage_configs, stage_name, stage_overrides, with_tokenizer
from finetune.comparison.running.cells import run_unfinished
from finetune.comparison.running.subprocesses import run_stage
from finetune.ladders.config import LadderConfig
from finetune.ladders.rungs import Rung, cells_of, documents_of, one_model, rungs_of, stage_of_model
from pretrain.config import PretrainConfig
from pretrain.run_paths import run_folder as pretrain_folder

# `__name__` is `__main__` when this module runs as a command.
log = logging.getLogger("finetune.ladder")

PROGRAM = "python -m finetune.ladder"


class Planned(NamedTuple):
    """A rung with its pretraining stages, by their keys."""

    rung: Rung
    stages: dict[str, PretrainConfig]

    def pretrained(self) -> dict[str, RunFolder]:
        """The run folders of its pretraining, finished or not."""
        return {key: pretrain_folder(stage) for key, stage in self.stages.items()}

    def cells(self, tokenizer_override: Overrides) -> list[Cell] | None:
        """Its fine-tuning runs; None while its pretraining is not finished."""
        pretrained = self.pretrained()
        if not all(folder.finished for folder in pretrained.values()):
            return None
        return cells_of(self.rung, tokenizer_override, pretrained)


def plan(config: LadderConfig) -> tuple[CompareConfig, Overrides, list[Planned]]:
    """The comparison of the one model, the tokenizer's folder and the rungs; texts are checked, the tokenizer trained.

    Raises:
        InputError: an invalid key, file or text.
        RunError: the tokenizer's stage failed.
    """
    one = one_model(config)
    begun = begin(one)
    stage = begun.stages[stage_of_model(one)]
    documents = documents_of(stage, config.corpus_shares) if config.corpus_shares else {}
    planned = [
        Planned(rung, with_tokenizer(stage_configs(rung.comparison)[1], begun.tokenizer_run))
        for rung in rungs_of(config, one, stage, documents)
    ]
    return one, {"tokenizer": str(begun.tokenizer_run.path)}, planned


def run(config: LadderConfig) -> RunFolder:
    """Run every rung that is not finished, and write what they tell.

    Raises:
        InputError: an invalid key, file or text, reported before anything is trained.
        RunError: a stage or run failed.
    """
    one, tokenizer_override, planned = plan(config)
    for number, (rung, stages) in enumerate(planned, start=1):
        print(f"rung {number} of {len(planned)}: {rung}", flush=True)
        for key, stage in stages.items():
            file = getattr(rung.comparison, stage_name(key))
            overrides = stage_overrides(rung.comparison, key) | tokenizer_override
            run_stage(stage_command("pretrain", file, overrides, rung.comparison, stage.corpus), pretrain_folder(stage))
    cells = [cells_of(rung.rung, tokenizer_override, rung.pretrained()) for rung in planned]
    failures = run_unfinished([cell for of_rung in cells for cell in of_rung], one, run_cell)
    if failures:
        from finetune.comparison.analysis.words import count

        raise RunError(
            f"{count(len(failures), 'run')} failed twice: {failures[0].reason}; run the same command again for them "
            "alone"
        )
    return write_forecast(config, planned, cells)


def write_forecast(config: LadderConfig, planned: Sequence[Planned], cells: Sequence[Sequence[Cell]]) -> RunFolder:
    """Write `result.json`, the report and the picture to the ladder's run folder, unless they exist."""
    # Which score is compared may change no run.
    upstream = [cell.folder.digest for of_rung in cells for cell in of_rung] + [str(planned[0].rung.comparison.score)]
    folder = RunFolder.of("ladder", config, upstream)
    if not folder.finished:
        from finetune.ladders import report
        from finetune.ladders.forecast import Finished, forecast

        folder.begin(config)
        finished = [
            Finished(one.rung, list(one.pretrained().values()), list(own))
            for one, own in zip(planned, cells, strict=True)
        ]
        found = forecast(config, finished)
        folder.finish(dataclasses.asdict(found) | report.write(folder, config, found, finished))
    return folder


def preview(config: LadderConfig) -> None:
    """Print the rungs, and what of them is not finished.

    Raises:
        InputError: as `plan`.
    """
    _, tokenizer_override, planned = plan(config)
    left_shares, left_runs = 0.0, 0
    for one in planned:
        pretrained, cells = one.pretrained(), one.cells(tokenizer_override)
        stages = sum(not folder.finished for folder in pretrained.values())
        of_each = len(one.rung.comparison.seeds) * len(pretrained)
        runs = of_each if cells is None else sum(not cell.folder.finished for cell in cells)
        left_shares, left_runs = left_shares + stages * one.rung.step_share, left_runs + runs
        state = "finished" if stages == runs == 0 else f"{stages} pretraining and {runs} fine-tuning runs not finished"
        print(f"{one.rung}: {state}")
    print(
        f"together {left_shares:.3g} times the whole pretraining and {left_runs} fine-tuning runs; nothing was run but "
        "the tokenizer's stage"
    )


def main() -> None:
    """Parse the command line, then climb."""
    show_progress_lines()
    config = parse(LadderConfig, PROGRAM)
    if config.dry_run:
        preview(config)
        return
    folder = run(config)
    print("\n".join(folder.result()["sentences"]))
    print(f"report: {folder.path / 'report.md'}")


if __name__ == "__main__":
    run_command(PROGRAM, main)
