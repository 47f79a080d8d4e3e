"""The config of a comparison."""

import dataclasses
from typing import Any, Literal

from configs.bounds import require_at_least, require_between, require_different
from configs.errors import InputError
from configs.fields import added_later, outside_digest
from finetune.config import BAG_OF_WORDS

MINIMUM_SEEDS = 2


Overrides = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class StageOverrides:
    """Overrides for every run of a stage, such as `{training.duration: 1M tokens}`."""

    tokenizer: Overrides = dataclasses.field(default_factory=dict)
    """For `python -m tokenizer`."""
    pretrain: Overrides = dataclasses.field(default_factory=dict)
    """For the `python -m pretrain` run that `bert` starts from."""
    language_model: Overrides = dataclasses.field(default_factory=dict)
    """For the `python -m pretrain` run that `lm-lstm` starts from."""
    autoencoder: Overrides = dataclasses.field(default_factory=dict)
    """For the `python -m pretrain` run that `sa-lstm` starts from."""
    finetune: Overrides = dataclasses.field(default_factory=dict)
    """For `python -m finetune`, for all models."""


@dataclasses.dataclass(frozen=True)
class TuningConfig:
    """Random search, the same for every model."""

    trials: int = 0
    """Trials for each model and label budget, the first with the settings as they are; 0: no tuning. Each trains up to
    five times, on parts of the labels of the first seed; the best settings are those of all seeds."""
    ranges: str = "configs/tuning/ranges.yaml"
    """The file of ranges that settings are drawn from."""

    def __post_init__(self) -> None:
        """Validate the keys."""
        require_at_least(0, trials=self.trials)


@dataclasses.dataclass(frozen=True)
class CompareConfig:
    """Compare models on the same labels: models × seeds × label budgets, then intervals, a verdict and a report.
    `--labelled FILE` alone, with your own data, chooses everything else (`--labelled FILE --help` shows its keys).
    """

    name: str = "compare"
    """The run folder is `runs/compare/<name>-<digest>`."""
    tokenizer: str = "configs/tokenizer/demo.yaml"
    """The config file of the tokenizer stage."""
    pretrain: str = "configs/pretrain/demo.yaml"
    """The pretraining stage of `bert` and `bert-scratch`; run only if one of them is compared."""
    language_model: str = "configs/pretrain/demo-lm.yaml"
    """The pretraining stage of `lm-lstm` and `lm-lstm-scratch`."""
    autoencoder: str = "configs/pretrain/demo-autoencoder.yaml"
    """The pretraining stage of `sa-lstm` and `sa-lstm-scratch`."""
    finetune: str = "configs/finetune/demo.yaml"
    """The fine-tuning stage, shared by all models."""
    set: StageOverrides = dataclasses.field(default_factory=StageOverrides)
    """Overrides by stage, for all of its runs."""
    models: dict[str, Overrides] = dataclasses.field(
        default_factory=lambda: {
            name: {} for name in (BAG_OF_WORDS, "rnn", "lstm", "lstm-attention", "lm-lstm", "bert-scratch", "bert")
        }
    )
    """The models to compare: names in the table, each with overrides of the fine-tuning stage. `model.name` defaults to
    the name in the table."""
    seeds: list[int] = dataclasses.field(default_factory=lambda: [0, 1, 2])
    """Each seed draws its own labels, initial weights and order; at least two; the intervals of two are wide."""
    pretraining_seeds: list[int] | None = added_later(None)  # noqa: RUF009
    """Seeds of the pretraining stages; with several, every pretrained model is fine-tuned from each, and the intervals
    allow for the variance between them. null: one, that of the stage's file."""
    label_budgets: list[int] = dataclasses.field(default_factory=lambda: [200, 1000, 4000])
    """Numbers of training labels."""
    tuning: TuningConfig = added_later(TuningConfig())  # noqa: RUF009
    confidence: float = 0.95
    """Confidence level of all intervals."""
    margin: float = added_later(0.01)
    """Differences of the compared score within this share do not matter to you: 0.01 is a point."""
    score: Literal["accuracy", "macro_f1", "micro_f1", "subset_accuracy"] | None = added_later(None)
    """What is compared: on test texts, and on validation texts where something is chosen (the fine-tuning key
    `select_by`, unless `set.finetune` or a model sets it). `macro_f1` is the mean F1 over classes, for uneven ones.
    null: `accuracy`; where a text may have several labels, `micro_f1`; there, `subset_accuracy` is the share of texts
    of which every label is right."""
    quoted_texts: int = added_later(5)
    """The report quotes this many test texts on each side on which the two models of the verdict disagree most; 0
    quotes none, for texts that must not leave the machine."""
    data_folder: str | None = outside_digest(None)
    """Look for the data set `owner/name` in `<data_folder>/name` before asking the Hub."""
    processes: int | None = outside_digest(None)
    """Number of parallel runs, spread over the GPUs. null runs one per GPU or, without GPUs, physical cores divided by
    the fine-tuning stage's `training.threads`."""
    launcher: str = outside_digest("python")
    """The launcher of pretraining: `python`, or `accelerate launch` with its flags for several GPUs."""
    dry_run: bool = outside_digest(False)
    """Print the stages and runs that are not finished, with the time and disk they would take by a short measurement,
    and run none of them but the tokenizer's."""
    runs: str = outside_digest("runs")
    """The parent folder of all run folders."""

    def __post_init__(self) -> None:
        """Validate the keys."""
        require_at_least(MINIMUM_SEEDS, number_of_seeds=len(set(self.seeds)))
        if self.pretraining_seeds is not None:
            require_at_least(1, number_of_pretraining_seeds=len(self.pretraining_seeds))
            require_different(pretraining_seeds=self.pretraining_seeds)
        require_different(seeds=self.seeds, label_budgets=self.label_budgets)
        require_at_least(1, number_of_models=len(self.models), number_of_label_budgets=len(self.label_budgets))
        require_between(0.5, 0.999, confidence=self.confidence)
        require_between(0, 0.5, margin=self.margin)
        require_at_least(0, quoted_texts=self.quoted_texts)
        if self.processes is not None:
            require_at_least(1, processes=self.processes)
        if self.launcher != "python" and not self.launcher.startswith("accelerate launch"):
            raise InputError(f"launcher: {self.launcher!r} is neither `python` nor `accelerate launch` with its flags")
