"""The training state: how far a run has come, and what a checkpoint holds beside tensors."""

import dataclasses
from typing import Any


@dataclasses.dataclass
class TrainState:
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
    evaluation_due: bool = False
    """The step just done asks for an evaluation, which an interruption may put off."""
    accumulation: int = 0
    """Micro-batches a step, where memory did not suffice for as many as the config says."""
    skipped_in_a_row: int = 0
    """Steps that did not reach the weights, since the last one that did."""
    skipped: int = 0
    """All of them."""
    loss_mean: float = 0.0
    """Running mean of the loss of a step, to tell a spike from."""
    loss_variance: float = 0.0
    fingerprints: dict[str, str] = dataclasses.field(default_factory=dict)
    """Of what the run is made of: config, tokenizer, data."""
    window: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    """Metrics since the last row of `metrics.jsonl`, as sums and counts."""
    precision: str = "no"
    """accelerate's `mixed_precision`; not to be changed within a run."""
    paths: str = ""
    """The fast paths of `fast_paths.py`; others give the same results but for rounding and the draws of dropout."""

    @property
    def epochs(self) -> float:
        """Epochs consumed, with the fraction of the current one."""
        return self.epochs_before + self.step_in_epoch / self.steps_in_epoch

    def advance(self, tokens: int, seconds: float) -> None:
        """One step is done, on so many tokens in so much time."""
        self.step, self.step_in_epoch = self.step + 1, self.step_in_epoch + 1
        self.tokens, self.seconds = self.tokens + tokens, self.seconds + seconds

    def enter_epoch(self, epoch: int, steps_in_epoch: int) -> None:
        """Go on to the epoch that the next step belongs to, if it is another one; epochs before it are over."""
        while self.epoch < epoch:
            self._begin_epoch(consumed=1.0)
        self.steps_in_epoch = steps_in_epoch

    def begin_phase(self) -> None:
        """Go on to the next phase, in a new epoch."""
        self._begin_epoch(consumed=self.step_in_epoch / self.steps_in_epoch)
        self.phase += 1

    def _begin_epoch(self, consumed: float) -> None:
        """Go on to the next epoch, having consumed this share of the present one."""
        self.epochs_before += consumed
        self.epoch, self.step_in_epoch = self.epoch + 1, 0

    def facts(self) -> dict[str, Any]:
        """What a run's result reports about its course."""
        facts: dict[str, Any] = {"steps": self.step, "epochs": round(self.epochs, 4), "tokens": self.tokens}
        facts["seconds"] = self.seconds
        if self.best_step is not None:
            facts["best_step"] = self.best_step
        if self.skipped:
            facts["skipped_steps"] = self.skipped
        return facts
