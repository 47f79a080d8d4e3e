"""The config of a classification task: texts, labels, truncation, model."""

from dataclasses import dataclass, field
from typing import Literal

from configs.bounds import require_at_least, require_between
from configs.fields import renamed
from pretrain.models.config import ClassifierConfig
from tokenizer.corpus.config import CorpusConfig


@dataclass(frozen=True)
class TaskConfig:
    """Labelled text, and the model that classifies it."""

    corpus: CorpusConfig = field(default_factory=lambda: CorpusConfig(split="train"))
    validation: str | None = None
    """The validation texts: another split of the corpus, or a file or folder. null sets aside a share of the training
    labels, which then counts towards `label_budget`."""
    validation_share: float = 0.2
    """Share of the training labels set aside if `validation` is null."""
    maximum_validation_texts: int = 1000
    """Use at most this many validation texts."""
    test: str = "test"
    """The test texts: another split of the corpus, or a file or folder. Evaluated once, at the end."""
    label_budget: int | None = None
    """Use only this many training labels, a stratified sample for each seed; null uses all."""
    sequence_length: int = 128
    """Maximum tokens per text, special tokens included; longer texts lose their middle."""
    truncation_head_share: float = renamed(0.25, "head_share")
    """Share of `sequence_length` for the beginning of a longer text; the rest goes to its end."""
    model: ClassifierConfig = field(default_factory=ClassifierConfig)
    select_by: Literal["accuracy", "macro_f1", "matthews"] = "accuracy"
    """The validation score that selects the best checkpoint; ties go to the lower loss."""
    seed: int = 0
    """Seeds the initial weights, the labels drawn, the order and dropout."""

    def __post_init__(self) -> None:
        """Validate the keys."""
        require_at_least(8, sequence_length=self.sequence_length)
        require_at_least(1, maximum_validation_texts=self.maximum_validation_texts)
        require_between(0.01, 0.9, validation_share=self.validation_share)
        require_between(0, 1, truncation_head_share=self.truncation_head_share)
        if self.label_budget is not None:
            require_at_least(2, label_budget=self.label_budget)
