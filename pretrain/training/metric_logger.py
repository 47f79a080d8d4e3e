"""Metrics of a run: `metrics.jsonl`, trackers of accelerate, and a progress bar."""

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tqdm import tqdm

from configs.run_folder import json_text, write_atomically
from pretrain.objectives.objective import Metrics

if TYPE_CHECKING:
    from accelerate import Accelerator

    from pretrain.training.train_state import TrainState


log = logging.getLogger(__name__)

NO_FLOAT64 = ("mps",)


def sum_dtype(device: torch.device) -> torch.dtype:
    """The type of long sums on a device: float64, which Apple's GPUs lack."""
    return torch.float32 if device.type in NO_FLOAT64 else torch.float64


class MetricAccumulator:
    """Running sums and counts of metrics; the sums stay on the device until they are read."""

    def __init__(self) -> None:
        self.sums: dict[str, torch.Tensor] = {}
        self.counts: dict[str, float] = {}

    def add(self, metrics: Metrics) -> None:
        """Add the (sum, count) pairs of a micro-batch."""
        for name, (total, count) in metrics.items():
            self.sums[name] = self.sums.get(name, 0) + total.to(sum_dtype(total.device))
            self.counts[name] = self.counts.get(name, 0) + count

    def means(self, accelerator: "Accelerator") -> dict[str, float]:
        """The means over all processes."""
        if not self.sums:
            return {}
        return {name: total / count for name, (total, count) in self.state(accelerator).items()}

    def state(self, accelerator: "Accelerator") -> dict[str, list[float]]:
        """The sums and counts over all processes, which all have to call it; JSON keeps them to the last bit."""
        if not self.sums:
            return {}
        names = sorted(self.sums)
        pairs = torch.stack(
            [torch.stack([self.sums[name], torch.full_like(self.sums[name], self.counts[name])]) for name in names]
        )
        pairs = accelerator.reduce(pairs, reduction="sum")
        return dict(zip(names, pairs.tolist(), strict=True))

    @classmethod
    def restored(cls, state: Mapping[str, Sequence[float | None]], accelerator: "Accelerator") -> "MetricAccumulator":
        """An accumulator that goes on from `state`: the main process has the values, the others zeros to add to."""
        accumulator, share = cls(), float(accelerator.is_main_process)
        for name, (total, count) in state.items():
            # What was not finite is null in JSON.
            value = share * (float("nan") if total is None else total)
            dtype = sum_dtype(accelerator.device)
            accumulator.sums[name] = torch.tensor(value, dtype=dtype, device=accelerator.device)
            accumulator.counts[name] = share * (count or 0.0)
        return accumulator


class MetricLogger:
    """Collects metrics and writes them as JSON lines, to trackers and to a progress bar, from the main process only."""

    def __init__(self, file: Path, accelerator: "Accelerator", description: str, state: "TrainState | None") -> None:
        """Continue from `state` and drop later rows; None: start an empty file."""
        self.accelerator = accelerator
        self.window = MetricAccumulator.restored(state.window if state else {}, accelerator)
        quiet = not (accelerator.is_main_process and sys.stderr.isatty())
        self.bar = tqdm(total=1000, desc=description, disable=quiet, bar_format=BAR, leave=False)
        self.stream = None
        if accelerator.is_main_process:
            _rewind(file, state)
            self.stream = file.open("a", encoding="utf-8")

    def add(self, metrics: Metrics) -> None:
        """Add metrics to the next row."""
        self.window.add(metrics)

    def write_window(self, state: "TrainState", progress: float, rates: dict[str, float]) -> None:
        """Write a row: the means since the last row, and `rates`."""
        measured = self.window.means(self.accelerator) | rates
        self.write(state, measured)
        self.bar.n = min(1000, int(1000 * progress))
        names = ("loss", "mlm_loss", "nsp_accuracy", "accuracy", "tokens_per_second", "model_gflops", "mfu")
        self.bar.set_postfix({name: f"{measured[name]:,.4g}" for name in names if name in measured})
        self.window = MetricAccumulator()

    def write(self, state: "TrainState", measured: dict[str, float]) -> None:
        """Append a row with the progress and the measured values, and send it to the trackers."""
        self._append(state, state.step, measured)
        self.accelerator.log(measured, step=state.step)

    def note(self, state: "TrainState", step: int, facts: dict[str, Any]) -> None:
        """Append a row about a step, to the file only."""
        self._append(state, step, facts)

    def _append(self, state: "TrainState", step: int, facts: dict[str, Any]) -> None:
        row = {
            "step": step,
            "epoch": round(state.epochs, 4),
            "tokens": state.tokens,
            "seconds": round(state.seconds, 3),
        } | facts
        if self.stream is not None:
            self.stream.write(json_text(row) + "\n")
            self.stream.flush()

    def close(self) -> None:
        """Close the progress bar, the file and the trackers."""
        self.bar.close()
        if self.stream is not None:
            self.stream.close()
        # Not `end_training`, which would also destroy the process group, which is still needed.
        for tracker in self.accelerator.trackers:
            tracker.finish()


BAR = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"


def _rewind(file: Path, state: "TrainState | None") -> None:
    """Drop the rows after the step that a run resumes from, and those of its evaluation, if that is still to be done;
    they will be written again.
    """
    if not file.exists():
        return
    rows = [line for line, row in _rows(file) if state is not None and _is_before(row, state)]
    write_atomically(file, "".join(f"{line}\n" for line in rows))


def _is_before(row: dict[str, Any], state: "TrainState") -> bool:
    is_evaluation = any(name.startswith("eval_") for name in row)
    return row["step"] < state.step + (state.evaluated_step == state.step or not is_evaluation)


def _rows(file: Path) -> list[tuple[str, dict[str, Any]]]:
    """The lines of a `metrics.jsonl` and what they hold.

    A process that is killed leaves its last line torn, and a machine that loses power may leave more: such lines are
    left out, with a warning.
    """
    rows, torn = [], 0
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            rows.append((line, row))
        else:
            torn += 1
    if torn:
        log.warning("metrics: %s: %d damaged row(s) left out", file, torn)
    return rows


def read_metrics(file: Path) -> list[dict[str, Any]]:
    """The rows of a `metrics.jsonl`; null, for what was not finite, is NaN. Damaged rows are left out."""
    return [{name: float("nan") if value is None else value for name, value in row.items()} for _, row in _rows(file)]
