"""The training engine: one loop for every objective.

Everything a step needs is a function of the configuration and of the `Position`; a run that is resumed is the
run that was not interrupted, to the last bit (CPU, fp32).
"""

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast

from configs.errors import InputError, Interrupted, RunError
from configs.run_folder import RunFolder
from pretrain import checkpoints, heartbeat, interruption, sharded, soundness, speed
from pretrain.batches import Batch, Source, drawn, steps_of
from pretrain.config import OptimizerConfig, TrainingConfig
from pretrain.journal import Journal
from pretrain.meter import Meter
from pretrain.objectives import Metrics, Objective
from pretrain.optimization import Duration, freeze, learning_rate, set_rate
from pretrain.position import Position
from pretrain.randomness import key

log = logging.getLogger(__name__)

PARTING_SECONDS = 1.0


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
    fingerprints: dict[str, str] = dataclasses.field(default_factory=dict)
    """Of config, tokenizer and data: a run goes on from a checkpoint that was made of the same."""
    carry: Any = None
    """What the objective keeps between steps."""
    batches: Generator[tuple[np.ndarray, list[Batch]]] = dataclasses.field(default_factory=lambda: (_ for _ in ()))
    """The samples of each step to come, and its micro-batches."""
    saved_step: int | None = None
    """The step of the newest checkpoint."""


def train(run: Training, description: str) -> Position:
    """Train to the end of the run's duration, from the newest checkpoint if there is one.

    Raises:
        InputError: the checkpoint was made with another precision, config, tokenizer or data.
        Interrupted: a signal asked for it; a checkpoint holds every step.
        RunError: a process was lost, the disk is full, or too many steps in a row had no finite loss or gradient.
    """
    with interruption.granted(), heartbeat.watched(run.accelerator, run.folder.path, run.config.timeout):
        position, journal = _begin(run, description)
        with contextlib.closing(journal):
            try:
                return _train(run, position, journal)
            except Interrupted:
                # Every safe point lies between two steps, so what there is now can be saved.
                _save(run, position, journal)
                raise
            finally:
                run.batches.close()


def _train(run: Training, position: Position, journal: Journal) -> Position:
    accelerator, model, optimizer, config = run.accelerator, run.model, run.optimizer, run.config
    duration = Duration.parse(config.duration)
    _begin_batches(run, position)
    while True:
        done = _progress(duration, position)
        if position.evaluation_due or (done >= 1 and position.evaluated_step != position.step):
            _evaluate(run, position, journal)
        ended = done >= 1 or _early(run, position)
        if ended or position.step % config.save_every == 0 or position.step == position.best_step:
            _save(run, position, journal)
        interruption.safe_point(accelerator)
        if ended:
            return position
        if done >= run.phases[position.phase][0]:
            position.begin_epoch(position.step_in_epoch / position.steps_in_epoch)
            position.phase += 1
            _begin_batches(run, position)
        started = time.monotonic()
        # ---------------------------------------------------------------------------------------- one step
        samples, micro_batches = next(run.batches)
        waited = time.monotonic() - started
        totals = step_totals(accelerator, micro_batches)
        torch.manual_seed(key("dropout", run.seed, position.step, accelerator.process_index))
        share, carry, measured = torch.zeros((), device=accelerator.device), run.carry, []
        model.train()
        try:
            for number, batch in enumerate(micro_batches):
                is_last = number == len(micro_batches) - 1
                with contextlib.nullcontext() if is_last else accelerator.no_sync(model):
                    with accelerator.autocast():
                        loss, metrics, carry = run.objective(model, batch | {"totals": totals}, carry)
                    # accelerate averages gradients over processes; the shares of the loss are to be added up.
                    accelerator.backward(loss * accelerator.num_processes)
                share += loss.detach()
                measured.append(metrics)
        except (RuntimeError, MemoryError) as error:
            _make_batches_smaller(run, position, len(samples), error)
            continue
        freeze(optimizer, position.epochs, run.optimization)
        norm = sharded.gathered(accelerator.clip_grad_norm_(model.parameters(), run.optimization.clip_norm).detach())
        rate = learning_rate(done, run.optimization)
        set_rate(optimizer, rate, position.step + 1, run.optimization)
        loss, length = soundness.step_loss_and_norm(accelerator, share, norm)
        if soundness.is_sound(loss, length, accelerator.scaler is not None):
            optimizer.step()
            run.carry = carry
            _take_in(position, journal, [*measured, {"loss": (share, 1 / accelerator.num_processes)}], loss, norm)
        else:
            _skip(run, position, journal, samples, (loss, length))
        optimizer.zero_grad()
        # -------------------------------------------------------------------------------------------------
        seconds = _shared(time.monotonic() - started, duration, accelerator)
        position.advance(totals["tokens"], seconds)
        run.meter.add(totals, seconds, waited)
        if position.step % config.log_every == 0:
            journal.write_means(position, done, {"lr": rate} | run.meter.rates())
        reached = min(1.0, _progress(duration, position))
        position.evaluation_due = int(reached * config.evaluations) > int(done * config.evaluations)


def _take_in(
    position: Position, journal: Journal, measured: Sequence[Metrics], loss: float, norm: torch.Tensor
) -> None:
    """Count what a step measured that reached the weights."""
    for metrics in [*measured, {"gradient_norm": (norm, 1.0)}]:
        journal.add(metrics)
    position.skipped_in_a_row = 0
    if soundness.is_spike(position, loss):
        log.warning("step %d: the loss jumps to %.4g from a mean of %.4g", position.step + 1, loss, position.loss_mean)
        journal.note(position, {"spike": loss})


def _skip(
    run: Training, position: Position, journal: Journal, samples: np.ndarray, measured: tuple[float, float]
) -> None:
    """Keep a step away from the weights, and say of which samples it was made.

    Raises:
        RunError: it is one too many in a row.
    """
    position.skipped, position.skipped_in_a_row = position.skipped + 1, position.skipped_in_a_row + 1
    loss, norm = soundness.as_text(measured)
    log.warning(
        "step %d: skipped, loss %s, gradient norm %s; metrics.jsonl has its samples", position.step + 1, loss, norm
    )
    if run.accelerator.scaler is not None:
        # What `optimizer.step` would have ended with; without it, the next step's gradients cannot be unscaled.
        run.accelerator.scaler.update()
    seen = {"epoch_number": position.epoch, "samples": samples.tolist()}
    journal.note(position, {"skipped": {"loss": loss, "gradient_norm": norm} | seen})
    if position.skipped_in_a_row >= run.config.maximum_skipped_steps:
        raise RunError(
            f"{position.skipped_in_a_row} steps in a row, up to step {position.step + 1}, had no finite loss or "
            f"gradient (training.maximum_skipped_steps); the last checkpoint stays. Try a lower optimizer.learning_rate"
        )


def _make_batches_smaller(run: Training, position: Position, samples: int, error: BaseException) -> None:
    """Go on from this step in twice as many micro-batches, after memory did not suffice.

    Raises:
        BaseException: the error that was met, where it is another one, or smaller batches are not to be had.
    """
    now = position.accumulation or run.config.gradient_accumulation_steps
    # With several processes, the others wait in a reduction for the one that failed.
    if not soundness.lacks_memory(error) or run.accelerator.num_processes > 1 or now >= samples:
        raise error
    run.optimizer.zero_grad()
    position.accumulation = min(samples, 2 * now)
    log.warning(
        "step %d: out of memory; from here on %d micro-batches a step instead of %d, the same global batch",
        position.step + 1, position.accumulation, now,
    )  # fmt: skip
    _begin_batches(run, position)


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
    if accelerator.num_processes > 1:
        # gloo's thread needs Python's lock to let go of the last reduction, and whoever deletes the group holds that
        # lock while it waits for the thread: without time in between, now and then both wait for ever.
        time.sleep(PARTING_SECONDS)
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


def _begin_batches(run: Training, position: Position) -> None:
    """From here on, batches come from `position`; workers that prepared others end."""
    run.batches.close()
    run.batches = _batches(run, position)


def _batches(run: Training, position: Position) -> Generator[tuple[np.ndarray, list[Batch]]]:
    """The samples of each step and its micro-batches, epoch after epoch, from `position` on."""
    accelerator = run.accelerator
    while True:
        epoch = run.phases[position.phase][1].epoch(position.epoch)
        position.steps_in_epoch = len(epoch.batches)
        first = position.step_in_epoch
        steps = steps_of(
            epoch,
            first,
            accelerator.process_index,
            accelerator.num_processes,
            position.accumulation or run.config.gradient_accumulation_steps,
            speed.workers(run.config.workers, accelerator.device.type),
            interruption.ignore_in_worker,
        )
        for samples, micro_batches in zip(epoch.batches[first:], steps, strict=True):
            yield samples, [on_device(batch, accelerator.device) for batch in micro_batches]
        position.begin_epoch(1.0)


def _begin(run: Training, description: str) -> tuple[Position, Journal]:
    """The position to start from, and the journal opened there; a new run first saves its initial weights.

    Raises:
        InputError: the checkpoint was made with another precision, or from something else.
    """
    accelerator = run.accelerator
    place = checkpoints.newest(run.folder.checkpoints)
    position = Position(precision=accelerator.mixed_precision, fingerprints=run.fingerprints)
    if place is not None:
        model = accelerator.unwrap_model(run.model)
        position = Position(**checkpoints.load(place, model, run.optimizer.optimizer))
        run.carry = checkpoints.carry_of(place, accelerator.device)
        run.saved_step = position.step
        log.info("%s: resuming from %s", description, place)
        checkpoints.check_fingerprints(place, position.fingerprints, run.fingerprints, run.config.accept_changes)
        position.fingerprints = run.fingerprints
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
    return position, Journal(run.folder.metrics, accelerator, description, position if place else None)


def _early(run: Training, position: Position) -> bool:
    return run.patience is not None and position.evaluations_without_gain >= run.patience


def _evaluate(run: Training, position: Position, journal: Journal) -> None:
    """Measure on held-out data, and tell whether the chosen metric is at its best so far."""
    measured = run.evaluate(run.model, position.phase)
    journal.write(position, {f"eval_{name}": value for name, value in measured.items()})
    position.evaluated_step, position.evaluation_due = position.step, False
    if run.best_metric is None:
        return
    position.evaluations_without_gain += 1
    found = [measured[run.best_metric], -measured["loss"]]
    if position.best is None or found > position.best:
        position.best, position.best_step = found, position.step
        position.evaluations_without_gain = 0


def _save(run: Training, position: Position, journal: Journal) -> None:
    """Write a checkpoint, unless there is one of this step, then delete those that are no longer kept.

    Raises:
        RunError: a weight is no number, or the disk is full.
    """
    if run.saved_step == position.step:
        return
    heartbeat.beat()
    run.accelerator.wait_for_everyone()
    weights = sharded.weights_of(run.accelerator.unwrap_model(run.model))
    optimizer = checkpoints.optimizer_tensors(run.optimizer.optimizer)
    carry = sharded.whole_carry(run.accelerator, run.carry)
    if broken := soundness.first_broken(weights | optimizer):
        raise RunError(f"step {position.step}: {broken} holds what is no finite number; nothing was saved of it")
    if run.accelerator.is_main_process:
        position.window = journal.window.state()
        state = dataclasses.asdict(position)
        checkpoints.save(run.folder.checkpoints, position.step, weights, optimizer, state, carry)
        checkpoints.prune(run.folder.checkpoints, run.config.keep_checkpoints, also=position.best_step)
    run.saved_step = position.step
    run.accelerator.wait_for_everyone()
    heartbeat.beat()
