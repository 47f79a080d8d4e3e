"""The training engine: one loop for every objective.

Everything a step needs is a function of the configuration and of the `Position`; a run that is resumed is the
run that was not interrupted, to the last bit (CPU, fp32).
"""

import contextlib
import dataclasses
import logging
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import filelock
import torch
from accelerate import Accelerator
from accelerate.tracking import get_available_trackers
from accelerate.utils import broadcast

from configs.command_line import suggestion
from configs.errors import InputError
from configs.launch import check_world_size
from configs.run_folder import RunFolder
from pretrain import checkpoints, sharded, speed
from pretrain.batches import Batch, Source, drawn, steps_of
from pretrain.config import OptimizerConfig, TrainingConfig
from pretrain.journal import Journal
from pretrain.meter import Arithmetic, Meter, matrix_rate
from pretrain.objectives import Objective
from pretrain.optimization import Duration, adamw, freeze, learning_rate, set_rate
from pretrain.randomness import key

log = logging.getLogger(__name__)


@dataclasses.dataclass
class Position:
    """How far a run has come: all that a checkpoint holds beside the tensors."""

    step: int = 0
    epoch: int = 0
    step_in_epoch: int = 0
    steps_in_epoch: int = 1
    epochs_before: float = 0.0
    """Epochs consumed before this one; a change of phase ends an epoch early."""
    phase: int = 0
    tokens: int = 0
    seconds: float = 0.0
    """Spent on training steps; evaluations and checkpoints not counted."""
    evaluated_step: int = -1
    best: list[float] | None = None
    """The best value of the chosen metric so far; of equal ones the lower loss wins."""
    best_step: int | None = None
    evaluations_without_gain: int = 0
    window: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    """Metrics since the last row of the journal, as sums and counts."""
    precision: str = "no"
    """accelerate's `mixed_precision`; not to be changed within a run."""
    paths: str = ""
    """The fast paths of `speed.py`; others give the same results but for rounding and the draws of dropout."""

    @property
    def epochs(self) -> float:
        """Epochs consumed, with the fraction of the current one."""
        return self.epochs_before + self.step_in_epoch / self.steps_in_epoch

    def begin_epoch(self, consumed: float) -> None:
        """Go on to the next epoch, so much of this one consumed."""
        self.epochs_before += consumed
        self.epoch, self.step_in_epoch = self.epoch + 1, 0

    def facts(self) -> dict[str, Any]:
        """What a run's result tells of its course."""
        facts = {"steps": self.step, "epochs": round(self.epochs, 4), "tokens": self.tokens, "seconds": self.seconds}
        return facts if self.best_step is None else facts | {"best_step": self.best_step}


@dataclasses.dataclass
class Training:
    """What a run is made of."""

    accelerator: Accelerator
    model: torch.nn.Module
    optimizer: Any
    meter: Meter
    paths: speed.Paths
    phases: Sequence[tuple[float, Source]]
    """Where each phase ends, as a share of the run, and where its data comes from."""
    objective: Objective
    evaluate: Callable[[torch.nn.Module, int], dict[str, float]]
    """Measures on held-out data, given the phase."""
    config: TrainingConfig
    optimization: OptimizerConfig
    folder: RunFolder
    seed: int
    best_metric: str | None = None
    """The held-out metric (the higher the better) whose best checkpoint is kept; None keeps none."""
    patience: int | None = None
    """Stop after so many evaluations without a new best."""
    carry: Any = None
    """What the objective keeps between steps."""


def new_accelerator(
    trackers: str | list[str] | None, training: TrainingConfig, folder: RunFolder, config: dict[str, Any]
) -> Accelerator:
    """Accelerate's view of the devices, with the trackers started in the run folder.

    Raises:
        InputError: a tracker is unknown to accelerate or not installed, the precision is not to be had here, or another
            number of processes runs than was asked for.
    """
    speed.set_threads(training.threads)
    names = [trackers] if isinstance(trackers, str) else list(trackers or [])
    installed = [str(tracker) for tracker in get_available_trackers()]
    for name in names:
        if name not in installed:
            raise InputError(
                f"log_with: {name!r} is unknown to accelerate or not installed{suggestion(name, installed)}"
            )
    machine = speed.this_machine()
    accelerator = Accelerator(
        log_with=list(names) or None,
        project_dir=str(folder.path),
        mixed_precision=speed.precision(training.speed, machine, speed.launched_precision()),
        # Without it, accelerate takes several processes without a GPU for as many runs of one process each.
        cpu=machine.device == "cpu",
    )
    check_world_size(training.processes, os.environ, accelerator.num_processes)
    accelerator.init_trackers("bertlet", config=flat(config))
    return accelerator


def prepared(
    accelerator: Accelerator,
    model: torch.nn.Module,
    config: TrainingConfig,
    optimization: OptimizerConfig,
    tokens_a_step: int,
    tokens_an_epoch: int,
) -> dict[str, Any]:
    """The parts of a `Training` that make it fast: model and optimizer on their devices, chosen paths, and the meter.

    Args:
        accelerator: of `new_accelerator`.
        model: its weights as they start; fast paths are put into it.
        config, optimization: of the run.
        tokens_a_step, tokens_an_epoch: about so many, over all processes.
    """
    arithmetic = Arithmetic.of(model)
    machine = speed.this_machine()
    work = speed.work_of(model, arithmetic, config, tokens_a_step, tokens_an_epoch, accelerator.num_processes)
    paths = speed.choose(config.speed, machine, work)
    speed.apply(paths, model)
    rate = matrix_rate(machine.device, speed.PRECISIONS[paths.precision], torch.get_num_threads())
    rates = accelerator.reduce(torch.tensor(rate, dtype=torch.float32, device=accelerator.device), reduction="sum")
    log.info(
        "speed: %s; %d process(es) of %d thread(s); matrix products at %.0f GFLOP/s (switches: training.speed)",
        paths, accelerator.num_processes, torch.get_num_threads(), float(rates) / 1e9,
    )  # fmt: skip
    on_devices, optimizer = accelerator.prepare(model, adamw(model, optimization))
    return {"model": on_devices, "optimizer": optimizer, "meter": Meter(arithmetic, float(rates)), "paths": paths}


def flat(config: dict[str, Any]) -> dict[str, str | int | float | bool]:
    """Nested keys dotted, and whatever no tracker can show as text.

    >>> flat({"seed": 1, "model": {"size": "tiny", "layers": None}})
    {'seed': 1, 'model.size': 'tiny', 'model.layers': 'None'}
    """
    found: dict[str, str | int | float | bool] = {}
    for name, value in config.items():
        if isinstance(value, dict):
            found |= {f"{name}.{inner_name}": inner for inner_name, inner in flat(value).items()}
        else:
            found[name] = value if isinstance(value, str | int | float | bool) else str(value)
    return found


def describe(accelerator: Accelerator) -> dict[str, Any]:
    """The part of `environment.json` that only a running process knows."""
    return {
        "device": accelerator.device.type,
        "threads": torch.get_num_threads(),
        "world_size": accelerator.num_processes,
        "mixed_precision": accelerator.mixed_precision,
    }


def train(run: Training, description: str) -> Position:
    """Train to the end of the run's duration, from the newest checkpoint if there is one.

    Raises:
        InputError: another process is at work in the run folder, or the checkpoint has another precision.
    """
    with alone(run):
        position, journal = _begin(run, description)
        with contextlib.closing(journal):
            return _train(run, position, journal)


@contextlib.contextmanager
def alone(run: Training) -> Generator[None]:
    """Keep other processes from training in the same run folder.

    Raises:
        InputError: one does.
    """
    lock = filelock.FileLock(run.folder.path / ".lock")
    if run.accelerator.is_main_process:
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise InputError(f"{run.folder.path}: another process is training here; wait for it or end it") from None
    try:
        yield
    finally:
        lock.release()


def _train(run: Training, position: Position, journal: Journal) -> Position:
    accelerator, model, optimizer, config = run.accelerator, run.model, run.optimizer, run.config
    duration = Duration.parse(config.duration)
    batches = _batches(run, position)
    done = _progress(duration, position)
    while done < 1 and not _early(run, position):
        if done >= run.phases[position.phase][0]:
            position.begin_epoch(position.step_in_epoch / position.steps_in_epoch)
            position.phase, batches = position.phase + 1, _batches(run, position)
        started = time.monotonic()
        # ---------------------------------------------------------------------------------------- one step
        micro_batches = next(batches)
        waited = time.monotonic() - started
        totals = step_totals(accelerator, micro_batches)
        torch.manual_seed(key("dropout", run.seed, position.step, accelerator.process_index))
        step_loss = torch.zeros((), device=accelerator.device)
        model.train()
        for number, batch in enumerate(micro_batches):
            is_last = number == len(micro_batches) - 1
            with contextlib.nullcontext() if is_last else accelerator.no_sync(model):
                with accelerator.autocast():
                    loss, metrics, run.carry = run.objective(model, batch | {"totals": totals}, run.carry)
                # accelerate averages gradients over processes; the shares of the loss are to be added up.
                accelerator.backward(loss * accelerator.num_processes)
            step_loss += loss.detach()
            journal.add(metrics)
        freeze(optimizer, position.epochs, run.optimization)
        norm = accelerator.clip_grad_norm_(model.parameters(), run.optimization.clip_norm)
        rate = learning_rate(done, run.optimization)
        set_rate(optimizer, rate, position.step + 1, run.optimization)
        optimizer.step()
        optimizer.zero_grad()
        # -------------------------------------------------------------------------------------------------
        gradient_norm = sharded.gathered(norm.detach())
        journal.add({"loss": (step_loss, 1 / accelerator.num_processes), "gradient_norm": (gradient_norm, 1)})
        position.step, position.step_in_epoch = position.step + 1, position.step_in_epoch + 1
        position.tokens += totals["tokens"]
        seconds = _shared(time.monotonic() - started, duration, accelerator)
        position.seconds += seconds
        run.meter.add(totals, seconds, waited)
        if position.step % config.log_every == 0:
            journal.write_means(position, done, {"lr": rate} | run.meter.rates())
        reached = _progress(duration, position)
        if int(min(1.0, reached) * config.evaluations) > int(done * config.evaluations):
            _evaluate(run, position, journal)
        if position.step % config.save_every == 0:
            _save(run, position, journal)
        done = reached
    if position.evaluated_step != position.step:
        _evaluate(run, position, journal)
    _save(run, position, journal)
    return position


def _progress(duration: Duration, position: Position) -> float:
    return duration.progress(position.epochs, position.step, position.tokens, position.seconds)


def _shared(seconds: float, duration: Duration, accelerator: Accelerator) -> float:
    """The main process's clock, where the run's length depends on it: all have to stop at the same step."""
    if duration.unit != "seconds" or accelerator.num_processes == 1:
        return seconds
    return broadcast(torch.tensor(seconds, dtype=torch.float64, device=accelerator.device)).item()


def part(accelerator: Accelerator) -> None:
    """Let every process come to its end, then take them apart."""
    accelerator.wait_for_everyone()
    accelerator.state.destroy_process_group()


def step_totals(accelerator: Accelerator, micro_batches: list[Batch]) -> dict[str, int]:
    """The number of targets of each kind in a step, over its micro-batches and all processes."""
    names = sorted(micro_batches[0]["counts"])
    mine = [sum(batch["counts"][name] for batch in micro_batches) for name in names]
    if accelerator.num_processes > 1:
        mine = accelerator.reduce(torch.tensor(mine, device=accelerator.device), reduction="sum").tolist()
    return dict(zip(names, mine, strict=True))


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The batch with its tensors on the device, and what was left to be drawn there."""
    return drawn(
        {
            name: value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value
            for name, value in batch.items()
        }
    )


def _batches(run: Training, position: Position) -> Iterator[list[Batch]]:
    """The micro-batches of each step, epoch after epoch, from `position` on."""
    accelerator = run.accelerator
    while True:
        epoch = run.phases[position.phase][1].epoch(position.epoch)
        position.steps_in_epoch = len(epoch.batches)
        for micro_batches in steps_of(
            epoch,
            position.step_in_epoch,
            accelerator.process_index,
            accelerator.num_processes,
            run.config.gradient_accumulation_steps,
            speed.workers(run.config.workers, accelerator.device.type),
        ):
            yield [on_device(batch, accelerator.device) for batch in micro_batches]
        position.begin_epoch(1.0)


def _begin(run: Training, description: str) -> tuple[Position, Journal]:
    """The position to start from, and the journal opened there; a new run first saves its initial weights.

    Raises:
        InputError: the checkpoint was made with another precision.
    """
    accelerator = run.accelerator
    place = checkpoints.newest(run.folder.checkpoints)
    position = Position(precision=accelerator.mixed_precision)
    if place is not None:
        model = accelerator.unwrap_model(run.model)
        position = Position(**checkpoints.load(place, model, run.optimizer.optimizer))
        run.carry = checkpoints.carry_of(place, accelerator.device)
        log.info("%s: resuming from %s", description, place)
    if position.precision != accelerator.mixed_precision:
        raise InputError(
            f"{place} was made with mixed_precision {position.precision!r}, this run has "
            f"{accelerator.mixed_precision!r}; give accelerate the same precision, or delete the run folder"
        )
    if position.paths and position.paths != str(run.paths):
        log.info(
            "%s: begun with %s; equal from here on but for rounding and dropout's draws", description, position.paths
        )
    position.paths = str(run.paths)
    journal = Journal(run.folder.metrics, accelerator, description, position if place else None)
    if place is None:
        _save(run, position, journal)
    return position, journal


def _early(run: Training, position: Position) -> bool:
    return run.patience is not None and position.evaluations_without_gain >= run.patience


def _evaluate(run: Training, position: Position, journal: Journal) -> None:
    """Measure on held-out data; keep the checkpoint where the chosen metric is at its best so far."""
    measured = run.evaluate(run.model, position.phase)
    journal.write(position, {f"eval_{name}": value for name, value in measured.items()})
    position.evaluated_step = position.step
    if run.best_metric is None:
        return
    position.evaluations_without_gain += 1
    found = [measured[run.best_metric], -measured["loss"]]
    if position.best is None or found > position.best:
        position.best, position.best_step = found, position.step
        position.evaluations_without_gain = 0
        _save(run, position, journal)


def _save(run: Training, position: Position, journal: Journal) -> None:
    """Write a checkpoint, then delete those that are no longer kept."""
    run.accelerator.wait_for_everyone()
    weights = sharded.weights_of(run.accelerator.unwrap_model(run.model))
    optimizer = checkpoints.optimizer_tensors(run.optimizer.optimizer)
    carry = sharded.whole_carry(run.accelerator, run.carry)
    if run.accelerator.is_main_process:
        position.window = journal.window.state()
        state = dataclasses.asdict(position)
        checkpoints.save(run.folder.checkpoints, position.step, weights, optimizer, state, carry)
        checkpoints.prune(run.folder.checkpoints, run.config.keep_checkpoints, also=position.best_step)
    run.accelerator.wait_for_everyone()
