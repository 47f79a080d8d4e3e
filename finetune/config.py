"""The config of a fine-tuning run."""

from dataclasses import dataclass, field
from pathlib import Path

from configs.bounds import require_at_least
from configs.errors import InputError
from configs.fields import outside_digest
from configs.key_check import suggestion
from finetune.classification.config import TaskConfig
from pretrain.models.config import RECURRENT, SCRATCH, STAGES
from pretrain.training.config import OptimizerConfig, TrainingConfig

BAG_OF_WORDS = "bag-of-words"


@dataclass(frozen=True)
class FinetuneConfig(TaskConfig):
    """Train a classifier on labelled text: a BERT, pretrained or from scratch, a recurrent or a linear model."""

    name: str = "finetune"
    """The run folder is `runs/finetune/<name>-<digest>`."""
    tokenizer: str = outside_digest("configs/tokenizer/demo.yaml")
    """For recurrent models: a tokenizer run's YAML file or folder, any folder with a tokenizer, or a Hub id."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    patience: int | None = 4
    """Stop after this many evaluations without improvement; null disables early stopping."""
    log_with: str | list[str] | None = outside_digest(None)  # noqa: RUF009
    """Accelerate trackers to use in addition to `metrics.jsonl`, such as `tensorboard` or `[tensorboard, trackio]`."""
    runs: str = outside_digest("runs")
    """The parent folder of all run folders."""

    def __post_init__(self) -> None:
        """Validate the keys."""
        super().__post_init__()
        if self.patience is not None:
            require_at_least(1, patience=self.patience)
        if self.adversarial_step and self.training.speed.compile:
            raise InputError("training.speed.compile: a compiled model has no adversarial_step; leave one of them out")


def check_model_name(name: str) -> None:
    """Reject an unknown model name, which would otherwise be taken for a checkpoint.

    Raises:
        InputError: not a known name, an existing path, or of the form `owner/name`.
    """
    known = (*STAGES, *(f"{model}{SCRATCH}" for model in STAGES), *RECURRENT, BAG_OF_WORDS)
    if name not in known and "/" not in name and not Path(name).exists():
        raise InputError(
            f"model.name: unknown model {name!r}{suggestion(name, known)} (known: {', '.join(known)}; "
            "or a checkpoint folder, or a Hub id owner/name)"
        )
