"""Every key of a fine-tuning run."""

from dataclasses import dataclass, field
from pathlib import Path

from configs.bounds import require_at_least
from configs.command_line import suggestion
from configs.errors import InputError
from configs.fields import outside_digest
from finetune.classification.config import TaskConfig
from pretrain.models.config import RECURRENT, SCRATCH, STARTED
from pretrain.training.config import OptimizerConfig, TrainingConfig

BAG_OF_WORDS = "bag-of-words"


@dataclass(frozen=True)
class FinetuneConfig(TaskConfig):
    """Train a classifier on labelled text: a pretrained BERT, the same from scratch, a recurrent or a linear model."""

    name: str = "finetune"
    """The run folder is `runs/finetune/<name>-<digest>`."""
    tokenizer: str = outside_digest("configs/tokenizer/demo.yaml")
    """Of recurrent models: a tokenizer run's YAML file or folder, any folder with a tokenizer, or a Hub id."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    patience: int | None = 4
    """Stop after so many evaluations without a better one; null never stops early."""
    log_with: str | list[str] | None = outside_digest(None)  # noqa: RUF009
    """Trackers of accelerate beside `metrics.jsonl`, such as `tensorboard` or `[tensorboard, trackio]`."""
    runs: str = outside_digest("runs")
    """The folder that receives run folders."""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        super().__post_init__()
        if self.patience is not None:
            require_at_least(1, patience=self.patience)


def check_model_name(name: str) -> None:
    """Refuse a misspelt model before it is taken for a checkpoint.

    Raises:
        InputError: neither a known name, nor a file or folder, nor of the form `owner/name`.
    """
    known = (*STARTED, *(f"{started}{SCRATCH}" for started in STARTED), *RECURRENT, BAG_OF_WORDS)
    if name not in known and "/" not in name and not Path(name).exists():
        raise InputError(
            f"model.name: unknown model {name!r}{suggestion(name, known)} (known: {', '.join(known)}; "
            "or a checkpoint's folder, or its Hub id owner/name)"
        )
