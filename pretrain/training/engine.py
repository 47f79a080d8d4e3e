"""The training engine: one loop for every objective.

Every step is a function of the configuration and the `TrainState`, so a resumed run equals an uninterrupted one to the
last bit (CPU, fp32).
"""

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast

from configs.errors import InputError, Interrupted, RunError
from configs.launch import KeptMemory
from configs.run_folder import RunFolder
from pretrain.data.loader import Batch, LoaderSettings, Source, load_steps
from pretrain.data.randomness import key
from pretrain.objectives.objective import LossOutput, Metrics
from pretrain.training import averaging, checkpoints, sharded
from pretrain.training.config import OptimizerConfig, TrainingConfig
from pretrain.training.fast_paths import FastPaths, worker_count
from pretrain.training.guards import nonfinite, outcomes, signals, watchdog
from pretrain.training.guards.collective import decided_by_main
from pretrain.training.guards.outcomes import Outcome
from pretrain.training.metric_logger import MetricLogger, sum_dtype
from pretrain.training.optimizer import freeze_lower_layers, set_lr
from pretrain.training.schedule import Duration, evaluations_due, learning_rate
from pretrain.training.throughput import ThroughputMeter
from pretrain.training.train_state import TrainState

log = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 1.0


@dataclasses.dataclass(frozen=True)
class Training:
    """The inputs of a training run; no field is replaced during it."""

    accelerator: Accelerator
    model: torch.nn.Module
    optimizer: Any
    meter: ThroughputMeter
    fast_paths: FastPaths
    phases: Sequence[tuple[float, Source]]
    """The end of each phase, as a share of the run, and its training data."""
    loss: Callable[[torch.nn.Module, Batch, Any], LossOutput]
    """The loss of a micro-batch, given the state carried over from the previous step."""
    evaluate: Callable[[torch.nn.Module, int], dict[str, float]] | None
    """Metrics on held-out data, given the phase; None if nothing is held out."""
    config: TrainingConfig
    optimizer_config: OptimizerConfig
    folder: RunFolder
    seed: int
    best_metric: str | None = None
    """The held-out metric (higher is better) whose best checkpoint is kept, if any."""
    patience: int | None = None
    """Stop after this many evaluations without a new best; None: never."""
    until: float = 1.0
    """The share of the duration at which training ends, with the whole schedule of the learning rate before it."""
    fingerprints: dict[str, str] = dataclasses.field(default_factory=dict)
    """Fingerprints of config, tokenizer and data, which have to match those of the checkpoint."""


class Step(NamedTuple):
    """The data of one step."""

    epoch: int
    steps_in_epoch: int
    samples: np.ndarray
    """Sample numbers of the global batch."""
    weight: float
    """Number of samples relative to the epoch's largest batch: a smaller batch makes a smaller step."""
    micro_batches: list[Batch]
    """Those of this process."""


@dataclasses.dataclass
class Session:
    """The mutable state of a training run."""

    state: TrainState
    logger: MetricLogger
    carry: Any = None
    """The state that a recurrent language model carries between steps."""
    saved_step: int | None = None
    """The step of the newest checkpoint."""
    guarded: bool = False
    """Whether the optimizer skips steps by itself that are not finite; see `nonfinite.guards_on_device`."""
    pending: Outcome | None = None
    """The last step, if the host has not heard yet what became of it."""
    memory: KeptMemory = dataclasses.field(default_factory=KeptMemory)
    """Bounded now and then."""
    steps: Generator[Step] = dataclasses.field(default_factory=lambda: (_ for _ in ()))
    """The remaining steps."""


def train(run: Training, description: str) -> TrainState:
    """Train to the end of the run's duration, starting from the newest checkpoint if there is one.

    Raises:
        InputError: the checkpoint was saved with another precision, config, tokenizer or data.
        Interrupted: on SIGINT or SIGTERM, after saving a checkpoint.
        RunError: a process was lost, the disk is full, or too many steps in a row had a NaN or infinite loss or
            gradient.
    """
    with signals.handled(), watchdog.watched(run.accelerator, run.folder.path, run.config.timeout):
        session = _begin(run, description)
        with contextlib.closing(session.logger):
            try:
                state = _train(run, session)
                averaging.keep(run.optimizer.optimizer)
                return state
            except Interrupted:
                # Safe points lie between two steps, so the current state is consistent.
                _save(run, session)
                raise
            finally:
                session.steps.close()


def _train(run: Training, session: Session) -> TrainState:
    accelerator, model, optimizer, config = run.accelerator, run.model, run.optimizer, run.config
    state, duration = session.state, Duration.parse(run.config.duration)
    _restart_loader(run, session)
    while True:
        done = _progress(duration, state)
        if _evaluate_and_save(run, session, done):
            return state
        if done >= run.phases[state.phase][0]:
            state.begin_phase()
            _restart_loader(run, session)
        started = time.monotonic()
        # ---------------------------------------------------------------------------------------- one step
        step = next(session.steps)
        state.enter_epoch(step.epoch, step.steps_in_epoch)
        waited = time.monotonic() - started
        totals = step_totals(accelerator, step.micro_batches)
        torch.manual_seed(key("dropout", run.seed, state.step, accelerator.process_index))
        loss_share, carry, metrics = torch.zeros((), device=accelerator.device), session.carry, []
        model.train()
        try:
            for number, batch in enumerate(step.micro_batches):
                is_last = number == len(step.micro_batches) - 1
                with contextlib.nullcontext() if is_last else accelerator.no_sync(model):
                    with accelerator.autocast():
                        output = run.loss(model, batch.with_totals(totals), carry)
                    # accelerate averages gradients over processes, but the loss shares have to be summed.
                    accelerator.backward(output.loss * step.weight * accelerator.num_processes)
                loss_share += output.loss.detach()
                metrics.append(output.metrics)
                carry = output.carry
        except (RuntimeError, MemoryError) as error:
            _use_smaller_micro_batches(run, session, len(step.samples), error)
            continue
        freeze_lower_layers(optimizer.param_groups, state.epochs, run.optimizer_config)
        norm = accelerator.clip_grad_norm_(model.parameters(), run.optimizer_config.clip_norm)
        norm = sharded.gathered(norm.detach())
        lr = learning_rate(done / run.until, run.optimizer_config)
        set_lr(optimizer.param_groups, lr, run.optimizer_config)
        loss_metrics: Metrics = {"loss": (loss_share, 1 / accelerator.num_processes), "gradient_norm": (norm, 1.0)}
        outcome = Outcome(
            state.step, state.epoch, step.samples, [*metrics, loss_metrics],
            nonfinite.loss_and_norm(accelerator, loss_share, norm),
        )  # fmt: skip
        _update_weights(run, session, outcome, carry)
        optimizer.zero_grad()
        # -------------------------------------------------------------------------------------------------
        seconds = _shared_clock(time.monotonic() - started, duration, accelerator)
        state.advance(totals["tokens"], seconds)
        run.meter.add(totals, seconds, waited)
        if state.step % config.log_every == 0:
            _settle(run, session)
            session.logger.write_window(state, done, {"lr": lr} | run.meter.rates())
            session.memory.bound()
        reached = min(1.0, _progress(duration, state))
        state.evaluation_due = evaluations_due(reached, config.evaluations) > evaluations_due(done, config.evaluations)


def _evaluate_and_save(run: Training, session: Session, done: float) -> bool:
    """Evaluate and save if due, at progress `done`; returns whether the run has ended."""
    state = session.state
    ended = done >= run.until
    if run.evaluate is not None and (state.evaluation_due or (ended and state.evaluated_step != state.step)):
        _evaluate(run, session)
    ended = ended or _out_of_patience(run, state)
    if ended or state.step % run.config.save_every == 0 or state.step == state.best_step:
        _save(run, session)
    signals.safe_point(run.accelerator)
    return ended


def _update_weights(run: Training, session: Session, outcome: Outcome, carry: Any) -> None:
    """Take the optimizer's step, unless the loss or the gradient of the step is not finite.

    Raises:
        RunError: too many steps in a row were skipped.
    """
    optimizer, ema_decay = run.optimizer, run.optimizer_config.ema_decay
    if session.guarded and carry is None:
        # The optimizer skips what is not finite; the host hears of it after the next step.
        nonfinite.guard_on_device(optimizer.optimizer, outcome.loss_and_norm)
        optimizer.step()
        _settle(run, session)
        session.pending = outcome
    elif _settle(run, session, outcome):
        optimizer.step()
        if ema_decay:
            averaging.update(optimizer.optimizer, ema_decay, session.state.step)
        session.carry = carry


def _settle(run: Training, session: Session, outcome: Outcome | None = None) -> bool:
    """Write what became of a step, by default of the last one, if that is still unknown; gives whether it counts.

    Raises:
        RunError: too many steps in a row were skipped.
    """
    outcome, session.pending = session.pending if outcome is None else outcome, None
    if outcome is None:
        return True
    scaler = run.accelerator.scaler
    counts = outcomes.settle(
        outcome, session.state, session.logger, scaler is not None, run.config.maximum_skipped_steps
    )
    if not counts and scaler is not None:
        # `optimizer.step` would have done this; without it, the next step's gradients cannot be unscaled.
        scaler.update()
    return counts


def _use_smaller_micro_batches(run: Training, session: Session, samples: int, error: BaseException) -> None:
    """Retry a step that ran out of memory, with twice as many micro-batches.

    Raises:
        BaseException: the error itself, if it is not about memory, or the micro-batches cannot be smaller.
    """
    state = session.state
    current = state.accumulation or run.config.gradient_accumulation_steps
    # With several processes, the others wait in a reduction for the failed one.
    if not nonfinite.is_out_of_memory(error) or run.accelerator.num_processes > 1 or current >= samples:
        raise error
    run.optimizer.zero_grad()
    state.accumulation = min(samples, 2 * current)
    log.warning(
        "step %d: out of memory; continuing with %d micro-batches per step instead of %d, the same global batch",
        state.step + 1, state.accumulation, current,
    )  # fmt: skip
    _restart_loader(run, session)


def _progress(duration: Duration, state: TrainState) -> float:
    return duration.progress(state.epochs, state.step, state.tokens, state.seconds)


def _shared_clock(seconds: float, duration: Duration, accelerator: Accelerator) -> float:
    """The main process's seconds, if the duration is in seconds: all processes have to stop at the same step."""
    if duration.unit != "seconds" or accelerator.num_processes == 1:
        return seconds
    return broadcast(torch.tensor(seconds, dtype=sum_dtype(accelerator.device), device=accelerator.device)).item()


def leave_process_group(accelerator: Accelerator) -> None:
    """Wait for every process, then leave the process group."""
    accelerator.wait_for_everyone()
    if accelerator.num_processes > 1:
        # gloo's thread needs the GIL to finish the last reduction, and deleting the group holds the GIL while it waits
        # for that thread: without a pause, they sometimes deadlock.
        time.sleep(SHUTDOWN_SECONDS)
    accelerator.state.destroy_process_group()


def step_totals(accelerator: Accelerator, micro_batches: list[Batch]) -> dict[str, int]:
    """The counts of a step by name, such as tokens and targets, over its micro-batches and all processes."""
    names = sorted(micro_batches[0].counts)
    counts = [sum(batch.counts[name] for batch in micro_batches) for name in names]
    if accelerator.num_processes > 1:
        counts = accelerator.reduce(torch.tensor(counts, device=accelerator.device), reduction="sum").tolist()
    return dict(zip(names, counts, strict=True))


def _restart_loader(run: Training, session: Session) -> None:
    """Load steps from the current state on, and stop the previous workers."""
    session.steps.close()
    session.steps = _steps_from(run, session.state)


def _steps_from(run: Training, state: TrainState) -> Generator[Step]:
    """The data of every step from a state on, epoch after epoch; the state is not modified."""
    accelerator, source = run.accelerator, run.phases[state.phase][1]
    settings = LoaderSettings(
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
        micro_batches=state.accumulation or run.config.gradient_accumulation_steps,
        workers=worker_count(run.config.workers, accelerator.device.type),
        begin_worker=signals.ignore_signals,
    )
    number, first = state.epoch, state.step_in_epoch
    while True:
        epoch = source.epoch(number)
        largest = max(map(len, epoch.batches), default=1)
        loaded = load_steps(epoch, settings, first)
        for samples, micro_batches in zip(epoch.batches[first:], loaded, strict=True):
            on_device = [batch.to(accelerator.device) for batch in micro_batches]
            yield Step(number, len(epoch.batches), samples, len(samples) / largest, on_device)
        number, first = number + 1, 0


def _begin(run: Training, description: str) -> Session:
    """The initial session, from the newest checkpoint if there is one.

    Raises:
        InputError: the checkpoint was saved with another precision, config, tokenizer or data.
    """
    accelerator = run.accelerator
    checkpoint = decided_by_main(accelerator, lambda: checkpoints.newest(run.folder.checkpoints))
    fingerprints = run.fingerprints | {"products": run.fast_paths.products, "end of training": f"{run.until:g}"}
    state = TrainState(precision=accelerator.mixed_precision, fingerprints=fingerprints)
    carry = None
    if checkpoint is not None:
        model = accelerator.unwrap_model(run.model)
        state = TrainState(**checkpoints.load(checkpoint, model, run.optimizer.optimizer))
        carry = checkpoints.load_carry(checkpoint, accelerator.device)
        log.info("%s: resuming from %s", description, checkpoint)
        checkpoints.check_fingerprints(checkpoint, state.fingerprints, fingerprints, run.config.accept_changes)
        state.fingerprints = fingerprints
        if state.best_step is not None:
            # Better now than after the rest of the training.
            checkpoints.check_best(run.folder.checkpoints, state.best_step)
    if state.precision != accelerator.mixed_precision:
        raise InputError(
            f"{checkpoint} was saved with mixed_precision {state.precision!r}, this run has "
            f"{accelerator.mixed_precision!r}; give accelerate the same precision, or delete the run folder"
        )
    if state.paths and state.paths != str(run.fast_paths):
        log.info("%s: started with %s; rounding and dropout masks differ from here on", description, state.paths)
    state.paths = str(run.fast_paths)
    logger = MetricLogger(run.folder.metrics, accelerator, description, state if checkpoint else None)
    averages = run.optimizer_config.ema_decay > 0
    guarded = nonfinite.guards_on_device(accelerator, run.optimizer.optimizer, averages)
    return Session(state, logger, carry, saved_step=state.step if checkpoint else None, guarded=guarded)


def _out_of_patience(run: Training, state: TrainState) -> bool:
    return run.patience is not None and state.evaluations_without_gain >= run.patience


def _evaluate(run: Training, session: Session) -> None:
    """Evaluate on held-out data, and record whether the chosen metric is the best so far."""
    _settle(run, session)
    state = session.state
    assert run.evaluate is not None
    with averaging.averaged_weights(run.optimizer.optimizer):
        metrics = run.evaluate(run.model, state.phase)
    session.logger.write(state, {f"eval_{name}": value for name, value in metrics.items()})
    state.evaluated_step, state.evaluation_due = state.step, False
    if run.best_metric is None:
        return
    state.evaluations_without_gain += 1
    score = [metrics[run.best_metric], -metrics["loss"]]
    if state.best is None or score > state.best:
        state.best, state.best_step = score, state.step
        state.evaluations_without_gain = 0


def _save(run: Training, session: Session) -> None:
    """Save a checkpoint unless this step has one, then delete those that are no longer kept.

    Raises:
        RunError: a weight is NaN or infinite, or the disk is full.
    """
    _settle(run, session)
    state = session.state
    if session.saved_step == state.step:
        return
    watchdog.beat()
    run.accelerator.wait_for_everyone()
    model, is_main = run.accelerator.unwrap_model(run.model), run.accelerator.is_main_process
    moments = checkpoints.optimizer_tensors(run.optimizer.optimizer)
    if name := nonfinite.first_nonfinite(run.accelerator, sharded.persistent(model) | moments):
        raise RunError(f"step {state.step}: {name} holds NaN or infinity; no checkpoint was saved")
    weights = sharded.weights_of(model, is_main)
    optimizer = sharded.whole(moments, is_main)
    carry = sharded.whole_carry(run.accelerator, session.carry)
    state.window = session.logger.window.state(run.accelerator)
    if is_main:
        checkpoints.save(run.folder.checkpoints, state.step, weights, optimizer, dataclasses.asdict(state), carry)
        checkpoints.prune(run.folder.checkpoints, run.config.keep_checkpoints, best_step=state.best_step)
    session.saved_step = state.step
    run.accelerator.wait_for_everyone()
    watchdog.beat()
