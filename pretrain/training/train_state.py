"""The training state: everything in a checkpoint besides tensors."""

import dataclasses
from typing import Any


@dataclasses.dataclass
class TrainState:
    """The progress of a run; a checkpoint stores these fields in `state.json`."""

    step: int = 0
    epoch: int = 0
    step_in_epoch: int = 0
    steps_in_epoch: int = 1
    epochs_before: float = 0.0
    """Epochs done before the current one; a change of phase ends an epoch early."""
    phase: int = 0
    tokens: int = 0
    seconds: float = 0.0
    """Time spent on training steps, without evaluations and checkpoints."""
    evaluated_step: int = -1
    best: list[float] | None = None
    """The best value of the chosen metric so far and its negated loss, which breaks ties."""
    best_step: int | None = None
    evaluations_without_gain: int = 0
    evaluation_due: bool = False
    """Whether an evaluation is due after the last step; an interruption may postpone it."""
    accumulation: int = 0
    """Micro-batches per step after running out of memory; 0: as configured."""
    skipped_in_a_row: int = 0
    """Skipped steps since the last one that updated the weights."""
    skipped: int = 0
    """All skipped steps."""
    loss_mean: float = 0.0
    """Running mean of the loss, to detect spikes."""
    loss_variance: float = 0.0
    fingerprints: dict[str, str] = dataclasses.field(default_factory=dict)
    """Fingerprints of config, tokenizer and data."""
    window: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    """Metrics since the last row of `metrics.jsonl`, as sums and counts."""
    precision: str = "no"
    """accelerate's `mixed_precision`, which must not change within a run."""
    paths: str = ""
    """The fast paths of `fast_paths.py`; others change only rounding and dropout masks."""

    @property
    def epochs(self) -> float:
        """Epochs done, including the fraction of the current one."""
        return self.epochs_before + self.step_in_epoch / self.steps_in_epoch

    def advance(self, tokens: int, seconds: float) -> None:
        """Count a finished step, its tokens and its seconds."""
        self.step, self.step_in_epoch = self.step + 1, self.step_in_epoch + 1
        self.tokens, self.seconds = self.tokens + tokens, self.seconds + seconds

    def enter_epoch(self, epoch: int, steps_in_epoch: int) -> None:
        """Move to the epoch of the next step, if it is a later one."""
        while self.epoch < epoch:
            self._begin_epoch(consumed=1.0)
        self.steps_in_epoch = steps_in_epoch

    def begin_phase(self) -> None:
        """Move to the next phase, in a new epoch."""
        self._begin_epoch(consumed=self.step_in_epoch / self.steps_in_epoch)
        self.phase += 1

    def _begin_epoch(self, consumed: float) -> None:
        """Move to the next epoch after this share of the current one."""
        self.epochs_before += consumed
        self.epoch, self.step_in_epoch = self.epoch + 1, 0

    def facts(self) -> dict[str, Any]:
        """The fields of a run's result that describe its progress."""
        facts: dict[str, Any] = {"steps": self.step, "epochs": round(self.epochs, 4), "tokens": self.tokens}
        facts["seconds"] = self.seconds
        if self.paths:
            facts["fast_paths"] = self.paths
        if self.best_step is not None:
            facts["best_step"] = self.best_step
        if self.skipped:
            facts["skipped_steps"] = self.skipped
        return facts
