"""Every key of a fine-tuning run."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from configs.command_line import suggestion
from configs.errors import InputError
from configs.run_folder import RunFolder, outside_digest
from pretrain.config import OptimizerConfig, TrainingConfig
from pretrain.folders import find as find_pretrained
from pretrain.model_config import RECURRENT, SCRATCH, STARTED, ClassifierConfig, stage_of
from tokenizer import shards
from tokenizer.config import CorpusConfig, require_at_least, require_between
from tokenizer.train import find as find_tokenizer

BAG_OF_WORDS = "bag-of-words"


@dataclass(frozen=True)
class FinetuneConfig:
    """Train a classifier on labelled text: a pretrained BERT, the same from scratch, a recurrent or a linear model."""

    name: str = "finetune"
    """The run folder is `runs/finetune/<name>-<digest>`."""
    corpus: CorpusConfig = field(default_factory=lambda: CorpusConfig(split="train"))
    validation: str | None = None
    """Where the validation texts lie: a split beside `corpus.split`, or a file or folder. null sets aside a share of
    the training labels, which then counts towards `label_budget`."""
    validation_share: float = 0.2
    """Share of the training labels set aside where `validation` is null."""
    maximum_validation_texts: int = 1000
    """No more validation texts than this are used."""
    test: str = "test"
    """Where the test texts lie: a split beside `corpus.split`, or a file or folder. Looked at once, at the end."""
    label_budget: int | None = None
    """Use only so many training labels, drawn anew for each seed with the classes in proportion; null uses all."""
    tokenizer: str = outside_digest("configs/tokenizer/demo.yaml")
    """Of recurrent models: a tokenizer run's YAML file or folder, any folder with a tokenizer, or a Hub id."""
    sequence_length: int = 128
    """Tokens a text at the most, special ones included; of longer texts the middle is left out."""
    head_share: float = 0.25
    """Share of `sequence_length` for the beginning of a longer text; the rest is for its end."""
    model: ClassifierConfig = field(default_factory=ClassifierConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    select_by: Literal["accuracy", "macro_f1", "matthews"] = "accuracy"
    """The validation score whose best checkpoint is kept; of equal ones the lower loss wins."""
    patience: int | None = 4
    """Stop after so many evaluations without a better one; null never stops early."""
    seed: int = 0
    """Of fresh weights, the labels drawn, order and dropout."""
    log_with: str | list[str] | None = outside_digest(None)  # noqa: RUF009
    """Trackers of accelerate beside `metrics.jsonl`, such as `tensorboard` or `[tensorboard, trackio]`."""
    runs: str = outside_digest("runs")
    """The folder that receives run folders."""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        require_at_least(8, sequence_length=self.sequence_length)
        require_at_least(1, maximum_validation_texts=self.maximum_validation_texts)
        require_between(0.01, 0.9, validation_share=self.validation_share)
        require_between(0, 1, head_share=self.head_share)
        if self.label_budget is not None:
            require_at_least(2, label_budget=self.label_budget)
        if self.patience is not None:
            require_at_least(1, patience=self.patience)


def part(config: FinetuneConfig, place: str) -> CorpusConfig:
    """The corpus behind `validation` or `test`: a file or folder if there is one, else another split."""
    if Path(place).exists():
        return dataclasses.replace(config.corpus, source=place)
    return dataclasses.replace(config.corpus, split=place)


def parts(config: FinetuneConfig) -> dict[str, CorpusConfig]:
    """The labelled corpora of a run: `train`, `test`, and `validation` where it is given."""
    found = {"train": config.corpus, "test": part(config, config.test)}
    return found if config.validation is None else found | {"validation": part(config, config.validation)}


def upstream(config: FinetuneConfig) -> tuple[str, str, str]:
    """What a model starts from: its checkpoint's folder or Hub id, its tokenizer's, and a digest of both.

    The checkpoint of a model that starts from nothing is `""`; of `bert-scratch` it gives the architecture.

    Raises:
        InputError: nothing lies where the config points.
    """
    name = config.model.name
    if name == BAG_OF_WORDS:
        return "", "", ""
    if name in RECURRENT:
        folder, digest = find_tokenizer(config.tokenizer, config.runs)
        return "", folder, digest
    check_model_name(name)
    reference = config.model.pretrained if stage_of(name) else name
    folder, digest = find_pretrained(reference, config.runs)
    return folder, folder, digest


def check_model_name(name: str) -> None:
    """Refuse a misspelt model before it is taken for a checkpoint.

    Raises:
        InputError: neither a known name, nor something on disk, nor of the form `owner/name`.
    """
    known = (*STARTED, *(f"{started}{SCRATCH}" for started in STARTED), *RECURRENT, BAG_OF_WORDS)
    if name not in known and "/" not in name and not Path(name).exists():
        raise InputError(
            f"model.name: unknown model {name!r}{suggestion(name, known)} (known: {', '.join(known)}; "
            "or a checkpoint's folder, or its Hub id owner/name)"
        )


def run_folder(config: FinetuneConfig) -> RunFolder:
    """Where this config's run lies, finished or not.

    Raises:
        InputError: a file, folder or finished run that the config points at is missing.
    """
    for key, place in {"validation": config.validation, "test": config.test}.items():
        if place is not None and "/" in place and not Path(place).exists():
            raise InputError(f"{key}: no such file or folder: {place!r}")
    corpora = [shards.fingerprint(found) for _, found in sorted(parts(config).items())]
    return RunFolder.of("finetune", config, [upstream(config)[2], *corpora])
