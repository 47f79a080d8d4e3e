"""Every key of a comparison."""

import dataclasses
from typing import Any

from configs.bounds import require_at_least, require_between
from configs.errors import InputError
from configs.fields import outside_digest
from finetune.config import BAG_OF_WORDS

MINIMUM_SEEDS = 2


Overrides = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class StageOverrides:
    """Keys changed in every run of a stage, such as `{training.duration: 1M tokens}`."""

    tokenizer: Overrides = dataclasses.field(default_factory=dict)
    """For `python -m tokenizer`."""
    pretrain: Overrides = dataclasses.field(default_factory=dict)
    """For the `python -m pretrain` that `bert` starts from."""
    language_model: Overrides = dataclasses.field(default_factory=dict)
    """For that of `lm-lstm`."""
    autoencoder: Overrides = dataclasses.field(default_factory=dict)
    """For that of `sa-lstm`."""
    finetune: Overrides = dataclasses.field(default_factory=dict)
    """For `python -m finetune`, whatever the model."""


@dataclasses.dataclass(frozen=True)
class CompareConfig:
    """Compare models on the same labels: models × seeds × label budgets, then intervals, a verdict and a report."""

    name: str = "compare"
    """The run folder is `runs/compare/<name>-<digest>`."""
    tokenizer: str = "configs/tokenizer/demo.yaml"
    """The tokenizer stage."""
    pretrain: str = "configs/pretrain/demo.yaml"
    """The pretraining stage of `bert` and `bert-scratch`; run only if one of them is compared."""
    language_model: str = "configs/pretrain/demo-lm.yaml"
    """The pretraining stage of `lm-lstm` and `lm-lstm-scratch`."""
    autoencoder: str = "configs/pretrain/demo-autoencoder.yaml"
    """The pretraining stage of `sa-lstm` and `sa-lstm-scratch`."""
    finetune: str = "configs/finetune/demo.yaml"
    """The fine-tuning stage: what all models share."""
    set: StageOverrides = dataclasses.field(default_factory=StageOverrides)
    """Keys changed in a stage, for all of its runs."""
    models: dict[str, Overrides] = dataclasses.field(
        default_factory=lambda: {
            name: {} for name in (BAG_OF_WORDS, "rnn", "lstm", "lstm-attention", "lm-lstm", "bert-scratch", "bert")
        }
    )
    """What is compared: a name for the table and the keys of the fine-tuning stage that make it so. Where `model.name`
    is not among the keys, the name is also the model's."""
    seeds: list[int] = dataclasses.field(default_factory=lambda: [0, 1, 2])
    """Each draws its own labels, fresh weights and order; at least two, and three or more for intervals of any use."""
    label_budgets: list[int] = dataclasses.field(default_factory=lambda: [200, 1000, 4000])
    """Numbers of training labels."""
    confidence: float = 0.95
    """Of all intervals."""
    data_folder: str | None = outside_digest(None)
    """Look for the data set `owner/name` in `<data_folder>/name` before asking the Hub."""
    processes: int | None = outside_digest(None)
    """Runs at a time, each on a GPU in turn. Null takes one for every GPU, or, where there is none, as many as the
    physical cores hold of the fine-tuning stage's `training.threads`."""
    launcher: str = outside_digest("python")
    """What starts pretraining: `python`, or `accelerate launch` and its flags for several GPUs."""
    runs: str = outside_digest("runs")
    """The folder that receives run folders."""

    def __post_init__(self) -> None:
        """Refuse what cannot be compared."""
        require_at_least(MINIMUM_SEEDS, number_of_seeds=len(set(self.seeds)))
        require_at_least(1, number_of_models=len(self.models), number_of_label_budgets=len(self.label_budgets))
        require_between(0.5, 0.999, confidence=self.confidence)
        if self.processes is not None:
            require_at_least(1, processes=self.processes)
        if self.launcher != "python" and not self.launcher.startswith("accelerate launch"):
            raise InputError(f"launcher: {self.launcher!r} is neither `python` nor `accelerate launch` and its flags")
