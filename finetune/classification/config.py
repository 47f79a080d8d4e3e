"""The config of a classification task: texts, labels, truncation, model."""

from dataclasses import dataclass, field
from typing import Literal

from configs.bounds import require_at_least, require_between
from configs.errors import InputError
from configs.fields import added_later, digested_as, renamed
from pretrain.models.config import ClassifierConfig
from tokenizer.corpus.config import CorpusConfig

# What transformers calls texts that may have several labels.
MULTI_LABEL = "multi_label_classification"


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
    """Use at most this many validation texts; of those set aside, one of each class, however, and a text with all its
    copies if every text of a class has more."""
    test: str | None = digested_as(None, "test")
    """The test texts: another split of the corpus, or a file or folder. Evaluated once, at the end. null: the split
    `test`, or `test_share` of the texts if the corpus has no splits, as a single file."""
    test_share: float = added_later(0.2)
    """Share of the texts set aside for testing if there are no others: the same ones for every seed and budget, with
    the classes in proportion and copies of a text kept together."""
    maximum_test_texts: int | None = added_later(None)
    """Test on this many of the test texts only, a stratified sample that is the same for every run; null tests on all.
    For trials."""
    folds: int | None = added_later(None)
    """Test on one part in so many of the training labels instead, as tuning does: no test text is read. The labels are
    those that a run with this budget and seed has; the other parts are trained and validated on."""
    fold: int = added_later(0)
    """Which of the `folds`, from 0."""
    refit: bool = added_later(False)
    """When everything is chosen on the validation texts (the best checkpoint, penalties, temperature, thresholds),
    train once more on all labels, those included, for the same share of `training.duration` with a whole schedule in
    it, and test that model. The run that chooses has a folder of its own. For validation texts that are set aside. No
    text is left to fit a bias to then (`model.calibrated_bias`), so it stays as it was trained."""
    label_budget: int | None = None
    """Use only this many training labels, a stratified sample for each seed; null uses all."""
    sequence_length: int = 128
    """Maximum tokens per text, special tokens included."""
    truncation_head_share: float = renamed(0.0, "head_share")
    """Share of the kept tokens that come from the beginning of a longer text; the others come from its end, where
    reviews conclude. Sun et al. 2019 (section 5.3.1) found 0 and 0.25 equally good on IMDB. With 0 and 1, the exported
    model needs no code of ours."""
    token_masking: float = added_later(0.0)
    """The probability that a token of a training text becomes [MASK], drawn anew each epoch. It keeps a model from
    relying on single words, and texts look as in masked-LM pretraining."""
    adversarial_step: float = added_later(0.0)
    """Adversarial training (Miyato et al. 2017, arXiv 1605.07725): models learn from texts whose word vectors are moved
    against them, by a step of this share of the norm of all these vectors, such as 0.006; 0 trains on the texts as
    they are. A step takes 5/3 of the arithmetic. For models that are trained, and not compiled."""
    adversarial_least_texts: int = added_later(0)
    """With fewer training texts, those of validation not counted, none is moved: it leads a model astray that knows few
    (docs/diary.md, "Word vectors moved against the model"). With `folds`, those of four fifths count."""
    model: ClassifierConfig = field(default_factory=ClassifierConfig)
    class_weights: Literal["balanced"] | list[float] | None = added_later(None)  # noqa: RUF009
    """The weight of each class in training, in the order of the classes: `balanced` gives every class the same in sum,
    as if it had as many texts as the others; null every text. Where a text may have several labels, the weight of a
    text that has the label; the others weigh 1. Scores are not weighted; see `select_by: macro_f1`."""
    select_by: Literal["accuracy", "macro_f1", "matthews", "micro_f1", "subset_accuracy"] | None = digested_as(
        None, "accuracy"
    )
    """The validation score that selects the best checkpoint; ties go to the lower loss. null: `accuracy`; where a text
    may have several labels, `micro_f1`, of all decisions about labels. `macro_f1` is the mean over classes or labels,
    `subset_accuracy` the share of texts of which every label is right."""
    threshold: Literal["shared", "per_label"] | float = added_later("shared")
    """Where a text may have several labels: the probability from which on a label applies. `shared`: one for all
    labels, `per_label`: one for each label with at least ten validation texts, chosen for the best `select_by` on the
    validation texts; a number: that one, of calibrated probabilities (while checkpoints and penalties are chosen, of
    probabilities as they are)."""
    seed: int = 0
    """Seeds the initial weights, the labels drawn, the order and dropout."""

    def __post_init__(self) -> None:
        """Validate the keys."""
        if self.refit and self.validation is not None:
            raise InputError("refit: validation texts with a place of their own (`validation`) are not trained on")
        require_at_least(8, sequence_length=self.sequence_length)
        require_at_least(1, maximum_validation_texts=self.maximum_validation_texts)
        require_between(0.01, 0.9, validation_share=self.validation_share, test_share=self.test_share)
        require_between(0, 1, truncation_head_share=self.truncation_head_share)
        require_between(0, 0.9, token_masking=self.token_masking)
        require_between(0, 10, adversarial_step=self.adversarial_step)
        require_at_least(0, adversarial_least_texts=self.adversarial_least_texts)
        if isinstance(self.class_weights, list) and (not self.class_weights or min(self.class_weights) <= 0):
            raise InputError(f"class_weights: {self.class_weights} must be numbers above 0, one a class")
        if not isinstance(self.threshold, str):
            require_between(0, 1, threshold=self.threshold)
        if self.label_budget is not None:
            require_at_least(2, label_budget=self.label_budget)
        if self.folds is not None:
            require_at_least(2, folds=self.folds)
            require_between(0, self.folds - 1, fold=self.fold)
        if self.maximum_test_texts is not None:
            require_at_least(2, maximum_test_texts=self.maximum_test_texts)

    def step_of(self, train_texts: int) -> float:
        """The `adversarial_step` of a run with so many training texts."""
        return self.adversarial_step if train_texts >= self.adversarial_least_texts else 0.0

    def step_arithmetic(self, train_texts: int) -> float:
        """Arithmetic of a training step beside one with texts as they are, of three passes: with moved word vectors it
        takes two forward, one back to the word vectors, and a whole one back, which counts as two.
        """
        return 5 / 3 if self.step_of(train_texts) else 1.0

    def score_of(self, multi_label: bool) -> str:
        """The score that selects, of texts with one class or several labels.

        Raises:
            InputError: `select_by` is a score of the others, or `model.calibrated_bias` is set for several labels.
        """
        if multi_label and self.model.calibrated_bias:
            raise InputError(
                "model.calibrated_bias: is for texts of one class each; where a text may have several labels, "
                "`threshold` chooses from which probability on each label applies; set it to false"
            )
        others, instead = ("accuracy", "subset_accuracy") if multi_label else ("micro_f1", "accuracy")
        if self.select_by == others or (self.select_by == "subset_accuracy" and not multi_label):
            kind = "a text may have several labels" if multi_label else "a text has one class"
            raise InputError(f"select_by: there is no {self.select_by} where {kind}; use {instead} or macro_f1")
        return self.select_by or ("micro_f1" if multi_label else "accuracy")
