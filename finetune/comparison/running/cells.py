"""Run the cells of a grid in parallel processes; a cell that fails costs no other."""

import contextlib
import logging
import time
from collections.abc import Callable, Generator, Sequence

from tqdm import tqdm

from configs.errors import RunError
from configs.processes import LostProcessError, in_processes
from configs.terminal import progress
from finetune.comparison.config import CompareConfig
from finetune.comparison.grid import Cell, Failure
from finetune.comparison.running.devices import gpus, runs_at_a_time

log = logging.getLogger("finetune.compare")

# Runs of so many models that may fail one after another; what is wrong with more is wrong with all.
MAXIMUM_FAILURES = 3

Work = tuple[Cell, Sequence[str], CompareConfig]
# Seconds, and the name and value of the compared score; or why it failed.
Outcome = tuple[float, str, float] | str
RunCell = Callable[[Work], Outcome]
# What each run needs and takes long to import.
IMPORTS = ("finetune.run",)


def run_unfinished(cells: Sequence[Cell], config: CompareConfig, run_cell: RunCell) -> list[Failure]:
    """Run the cells that are not finished, those that fail once more after all others; gives those that fail twice."""
    unfinished = [cell for cell in cells if not cell.folder.finished]
    if len(unfinished) < len(cells):
        print(f"{len(cells) - len(unfinished)} of {len(cells)} runs were finished before", flush=True)
    failures = run_cells(unfinished, config, run_cell)
    if not failures:
        return []
    log.warning("%d of %d runs failed; what failed is run again", len(failures), len(unfinished))
    # Others ended well in between: here, all of them failing says nothing about the rest.
    return run_cells([failure.cell for failure in failures], config, run_cell, maximum_in_a_row=None)


def run_cells(
    unfinished: Sequence[Cell],
    config: CompareConfig,
    run_cell: RunCell,
    maximum_in_a_row: int | None = MAXIMUM_FAILURES,
) -> list[Failure]:
    """Run cells in parallel processes, each with its own threads and, if there are GPUs, on one GPU; gives failures.

    Args:
        unfinished: the cells.
        config: of the comparison.
        run_cell: runs one; a module-level function.
        maximum_in_a_row: so many failures one after another, of so many models (or all), end it; None: it goes on
            whatever fails.

    Raises:
        RunError: too many in a row failed, as on a full disk.
    """
    if not unfinished:
        return []
    devices, failures, in_a_row = gpus(), list[Failure](), 0
    models = {cell.model for cell in unfinished}
    count = min(len(unfinished), runs_at_a_time(config, unfinished[0].config))
    print(f"{len(unfinished)} run{'s' * (len(unfinished) > 1)}, {count} at a time", flush=True)
    work = [(cell, devices, config) for cell in unfinished]
    started = time.monotonic()
    with contextlib.closing(_outcomes(run_cell, work, count)) as results:
        shown = progress(results, "fine-tuning", "runs", total=len(unfinished))
        for done, ((cell, *_), found) in enumerate(shown, start=1):
            if not isinstance(found, str):
                in_a_row = 0
                seconds, name, value = found
                left = (time.monotonic() - started) / done * (len(unfinished) - done)
                log.info(
                    "%s: test %s %.4f (%.0f s); %d of %d, about %s left",
                    cell, name, value, seconds, done, len(unfinished), tqdm.format_interval(left),
                )  # fmt: skip
                continue
            failures.append(Failure(cell, found))
            in_a_row += 1
            # The runs of a model stand together, and what ails one of them may ail no other model.
            of_models = len({failure.cell.model for failure in failures[-in_a_row:]})
            if maximum_in_a_row and in_a_row >= maximum_in_a_row and of_models >= min(maximum_in_a_row, len(models)):
                raise RunError(f"{in_a_row} runs in a row failed, the last with: {found}")
            log.warning("%s failed: %s", cell, found)
    return failures


def _outcomes(run_cell: RunCell, work: Sequence[Work], processes: int) -> Generator[tuple[Work, Outcome]]:
    """The outcome of each cell; those whose process is killed fail, and the others go on, one at a time."""
    waiting = {id(item): item for item in work}
    try:
        for item, found in in_processes(run_cell, work, processes, IMPORTS):
            del waiting[id(item)]
            yield item, found
    except LostProcessError as error:
        log.warning("%s; the runs that are left go one at a time, which takes less memory", error)
        for item in waiting.values():
            try:
                yield from in_processes(run_cell, [item], 1, IMPORTS)
            except LostProcessError:
                yield item, "its process was killed (out of memory?)"
