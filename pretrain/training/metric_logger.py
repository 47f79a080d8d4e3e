"""Metrics of a run: `metrics.jsonl`, any tracker of accelerate, and a progress bar."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tqdm import tqdm

from pretrain.objectives.objective import Metrics

if TYPE_CHECKING:
    from accelerate import Accelerator

    from pretrain.training.train_state import TrainState


class MetricAccumulator:
    """Running sums and counts of metrics; the sums stay on the device until somebody asks."""

    def __init__(self) -> None:
        self.sums: dict[str, torch.Tensor] = {}
        self.counts: dict[str, float] = {}

    def add(self, metrics: Metrics) -> None:
        """Add one micro-batch's (sum, count) pairs."""
        for name, (total, count) in metrics.items():
            self.sums[name] = self.sums.get(name, 0) + total.double()
            self.counts[name] = self.counts.get(name, 0) + count

    def means(self, accelerator: "Accelerator") -> dict[str, float]:
        """The means over all processes."""
        if not self.sums:
            return {}
        names = sorted(self.sums)
        pairs = torch.stack(
            [torch.stack([self.sums[name], torch.full_like(self.sums[name], self.counts[name])]) for name in names]
        )
        pairs = accelerator.reduce(pairs, reduction="sum")
        return {name: (total / count).item() for name, (total, count) in zip(names, pairs, strict=True)}

    def state(self) -> dict[str, list[float]]:
        """As JSON, to the last bit."""
        return {name: [self.sums[name].item(), self.counts[name]] for name in self.sums}

    @classmethod
    def restored(cls, state: dict[str, list[float]], device: torch.device) -> "MetricAccumulator":
        """Undo `state`."""
        means = cls()
        for name, (total, count) in state.items():
            means.sums[name] = torch.tensor(total, dtype=torch.float64, device=device)
            means.counts[name] = count
        return means


class MetricLogger:
    """Collects metrics and writes one JSON object a line; only the main process writes, draws and tracks."""

    def __init__(self, file: Path, accelerator: "Accelerator", description: str, state: "TrainState | None") -> None:
        """Continue at `state`, the rows behind it dropped; None starts the file afresh."""
        self.accelerator = accelerator
        self.window = MetricAccumulator.restored(state.window if state else {}, accelerator.device)
        quiet = not (accelerator.is_main_process and sys.stderr.isatty())
        self.bar = tqdm(total=1000, desc=description, disable=quiet, bar_format=BAR, leave=False)
        self.stream = None
        if accelerator.is_main_process:
            _rewind(file, state.step if state else None)
            self.stream = file.open("a", encoding="utf-8")

    def add(self, metrics: Metrics) -> None:
        """Count metrics towards the next row."""
        self.window.add(metrics)

    def write_window(self, state: "TrainState", progress: float, others: dict[str, float]) -> None:
        """Write the means since the last row, beside what else was measured."""
        measured = self.window.means(self.accelerator) | others
        self.write(state, measured)
        self.bar.n = min(1000, int(1000 * progress))
        shown = ("loss", "mlm_loss", "nsp_accuracy", "accuracy", "tokens_per_second", "model_gflops", "mfu")
        self.bar.set_postfix({name: f"{measured[name]:,.4g}" for name in shown if name in measured})
        self.window = MetricAccumulator()

    def write(self, state: "TrainState", measured: dict[str, float]) -> None:
        """Append a row: where the run stands and what was measured; hand it to the trackers."""
        self._append(state, state.step, measured)
        self.accelerator.log(measured, step=state.step)

    def note(self, state: "TrainState", facts: dict[str, Any]) -> None:
        """Append a row about the step that is being done, for people rather than trackers."""
        self._append(state, state.step + 1, facts)

    def _append(self, state: "TrainState", step: int, facts: dict[str, Any]) -> None:
        row = {
            "step": step,
            "epoch": round(state.epochs, 4),
            "tokens": state.tokens,
            "seconds": round(state.seconds, 3),
        } | facts
        if self.stream is not None:
            self.stream.write(json.dumps(row) + "\n")
            self.stream.flush()

    def close(self) -> None:
        """Take the bar away and close the file and the trackers."""
        self.bar.close()
        if self.stream is not None:
            self.stream.close()
        # Not `end_training`, which would also take the processes apart: there is more to do together.
        for tracker in self.accelerator.trackers:
            tracker.finish()


BAR = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"


def _rewind(file: Path, step: int | None) -> None:
    """Drop the rows after the step that a run resumes from: they will be written again."""
    if not file.exists():
        return
    # A kill in the middle of a write leaves half a line, always the last.
    whole = [line for line in file.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    kept = [f"{line}\n" for line in whole if step is not None and json.loads(line)["step"] <= step]
    file.write_text("".join(kept), encoding="utf-8")


def read_metrics(file: Path) -> list[dict[str, Any]]:
    """The rows of a `metrics.jsonl`."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
