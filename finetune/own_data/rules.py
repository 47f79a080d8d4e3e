"""The written rules: texts and time → every setting of a comparison. docs/your-own-data.md tells them in words.

The settings are those that the recipes of `configs/` were tuned to (docs/diary.md): the demo's for a tiny encoder,
IMDB's for a larger one.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from finetune.comparison.verdict import rounded
from finetune.config import BAG_OF_WORDS
from finetune.own_data.texts import TEST, TRAIN, UNLABELLED, Texts
from pretrain.models.config import is_recurrent

Settings = dict[str, Any]

MODELS = (BAG_OF_WORDS, "lstm", "lstm-attention", "lm-lstm", "frozen", "bert-scratch", "bert")
# (characters of text, entries): the smallest vocabulary whose bound the text exceeds.
VOCABULARIES = ((3e6, 8000), (5e5, 4000), (0, 2000))
# A text with more different characters is written in words of one or a few of them.
MANY_CHARACTERS, LARGE_VOCABULARY = 1500, 16000
SHORTEST, LONGEST = 32, 400
# From here on, the greatest value over a text's tokens tells more than their average, and hiding some of them helps.
LONG_TEXT = 80
PRETRAINING_LENGTHS = (128, 256)
# Minutes of pretraining from which a larger encoder is the better one.
LARGER_FROM = 8.0
# Times that a text is read at most, as BERT read its corpus (Devlin et al. 2019, appendix A.2).
MAXIMUM_PASSES = 40
# Shares of the time: fine-tuning may take the first, pretraining has at least the second.
FINETUNING_SHARE, PRETRAINING_SHARE = 0.55, 0.25
# Of the time of pretraining, that of the language model.
LANGUAGE_MODEL_SHARE = 0.25
SMALLEST_BUDGET, TEXTS_A_CLASS = 60, 10
# From here on, accuracy tells little of the smallest class (`unevenness`).
UNEVEN = 4
# (label budgets, seeds): the first that fits the time is taken.
DESIGNS = ((3, 5), (3, 3), (2, 3), (1, 3), (1, 2))

SPEED: Settings = {"precision": "fastest"}
# The best of four checkpoints by the validation texts, or the last, whose bias they fit.
CHOOSING: Settings = {"duration": "4 epochs, at least 300 steps", "evaluations": 4}
FITTING: Settings = {"duration": "4 epochs, at least 200 steps", "evaluations": 1}
SIZES: dict[str, dict[str, Settings]] = {
    "tiny": {
        "pretrain": {"muon_learning_rate": 0.02, "learning_rate": 2e-3},
        "finetune": {"muon_learning_rate": 5e-3, "learning_rate": 1e-3},
    },
    "mini": {
        "pretrain": {"muon_learning_rate": 0.015, "learning_rate": 1.5e-3},
        "finetune": {"muon_learning_rate": 4e-3, "learning_rate": 4e-4},
    },
}


@dataclasses.dataclass(frozen=True)
class Design:
    """What is compared at which sizes."""

    size: str
    vocabulary_size: int
    sequence_length: int
    long_texts: bool
    pretraining_length: int
    label_budgets: list[int]
    seeds: list[int]
    models: list[str]
    pretraining_tokens: int
    language_model_tokens: int
    score: str | None = None
    """What is compared; None: accuracy."""


def vocabulary_size(texts: Texts) -> int:
    """Entries of the vocabulary."""
    if texts.different_characters > MANY_CHARACTERS:
        return LARGE_VOCABULARY
    return next(size for bound, size in VOCABULARIES if texts.characters >= bound)


def lengths(tokens_N: Sequence[int]) -> tuple[int, bool, int]:
    """Tokens of a text in fine-tuning, whether texts are long, and tokens of a sequence in pretraining.

    Args:
        tokens_N: the tokens of training texts.

    >>> lengths([10] * 90 + [50] * 10), lengths([300] * 100)
    ((64, False, 128), (304, True, 256))
    """
    ordered = sorted(tokens_N)
    most = ordered[math.ceil(0.95 * len(ordered)) - 1] + 2
    median = ordered[len(ordered) // 2]
    length = min(LONGEST, max(SHORTEST, 16 * math.ceil(most / 16)))
    return length, median >= LONG_TEXT, PRETRAINING_LENGTHS[most > PRETRAINING_LENGTHS[0]]


def label_budgets(texts: Texts, count: int) -> list[int]:
    """Up to `count` numbers of labels, the largest being all there are, each a quarter of the next.

    >>> label_budgets(Texts(8000, 2000, 0, ["a", "b"], [4000, 4000], 1, 1), 3)
    [500, 2000, 8000]
    """
    smallest = max(SMALLEST_BUDGET, TEXTS_A_CLASS * len(texts.classes))
    budgets = [texts.train_texts]
    while len(budgets) < count and budgets[0] / 4 >= smallest:
        budgets.insert(0, rounded(budgets[0] / 4))
    return budgets


def unevenness(texts: Texts) -> float:
    """How many times as many texts the largest class has as the smallest; 1 where a text may have several labels.

    >>> unevenness(Texts(100, 20, 0, ["a", "b"], [90, 10], 1, 1))
    9.0
    """
    return 1.0 if texts.multi_label else max(texts.counts) / max(1, min(texts.counts))


def encoder_size(minutes_of_pretraining: float) -> str:
    """The size of the encoder: a larger one learns more from the same tokens, and sees fewer in the same time."""
    return "mini" if minutes_of_pretraining >= LARGER_FROM else "tiny"


def pretraining_tokens(seconds: float, tokens_per_second: float, corpus_tokens: int) -> int:
    """Tokens to pretrain on in a time, to two digits.

    >>> pretraining_tokens(600, 10_000, 1_000_000), pretraining_tokens(600, 10_000, 10_000)
    (6000000, 400000)
    """
    return max(20_000, rounded(min(seconds * tokens_per_second, MAXIMUM_PASSES * corpus_tokens)))


@dataclasses.dataclass(frozen=True)
class Places:
    """Where the texts and the files of the stages are."""

    data: str
    """The folder of the Parquet files."""
    stages: Mapping[str, str]
    """The file of each stage, by which they refer to each other."""
    corpus: Settings
    """How texts are read: language, and the column, which has the name it had in the given texts."""
    splits: str
    """Of the text for the tokenizer and for pretraining."""

    @classmethod
    def of(cls, texts: Texts, data: str, stages: Mapping[str, str], language: str) -> "Places":
        """The places of a plan."""
        corpus = {"source": data, "language": language, "text_column": texts.text_column}
        return cls(data, stages, corpus, f"{TRAIN}+{UNLABELLED}" if texts.unlabelled_texts else TRAIN)


def stage_settings(design: Design, places: Places, texts: Texts) -> dict[str, Settings]:
    """The settings of every stage, as their YAML files have them.

    Args:
        design: what is compared.
        places: of texts and files.
        texts: what the texts are.
    """
    stages = places.stages
    return {
        "tokenizer": {
            "name": "own",
            "corpus": places.corpus | {"split": places.splits},
            "vocabulary_size": design.vocabulary_size,
        },
        "pretrain": encoder_settings(design, places),
        "language_model": language_model_settings(design, places),
        "finetune": finetune_settings(design, places, texts),
        "compare": {
            "name": "own",
            "tokenizer": stages["tokenizer"],
            "pretrain": stages["pretrain"],
            "language_model": stages["language_model"],
            "finetune": stages["finetune"],
            "models": {model: model_settings(model, fits_bias(design, texts)) for model in design.models},
            "seeds": design.seeds,
            "label_budgets": design.label_budgets,
        }
        | ({} if design.score is None else {"score": design.score}),
    }


def _pretraining_settings(places: Places) -> Settings:
    """What the encoder and the language model have in common."""
    return {
        "tokenizer": places.stages["tokenizer"],
        "corpus": places.corpus | {"split": places.splits},
        "leakage": {"split": TEST, "drop": True},
        "audited_documents": 0,
    }


def encoder_settings(design: Design, places: Places) -> Settings:
    """Pretraining of the encoder."""
    return _pretraining_settings(places) | {
        "name": "own",
        "objective": "mlm",
        "sequence_length": design.pretraining_length,
        "masking": {"rate": 0.3},
        "model": {
            "architecture": "modernbert",
            "size": design.size,
            "dropout": 0.0,
            "initializer_range": None,
            "embedding_init": "cooccurrence",
        },
        "optimizer": {"name": "muon", "warmup": 0.05, "beta2": 0.98} | SIZES[design.size]["pretrain"],
        "training": {
            "duration": tokens_text(design.pretraining_tokens),
            "batch_size": 8192 // design.pretraining_length,
            "evaluations": 4,
            "save_every": 500,
            "speed": SPEED,
        },
    }


def language_model_settings(design: Design, places: Places) -> Settings:
    """Pretraining of the language model."""
    return _pretraining_settings(places) | {
        "name": "own-lm",
        "objective": "causal_lm",
        "recurrent": {"embedding_size": 128, "hidden_size": 256, "dropout": 0.1, "bptt": 64},
        "optimizer": {"learning_rate": 4e-3, "weight_decay": 0.0, "beta2": 0.99},
        "training": {
            "duration": tokens_text(design.language_model_tokens),
            "batch_size": 32,
            "evaluations": 4,
            "save_every": 1000,
        },
    }


def finetune_settings(design: Design, places: Places, texts: Texts) -> Settings:
    """Fine-tuning of the encoder; `model_settings` has what other models have instead."""
    columns: Settings = {"split": TRAIN, "label_column": texts.label_column}
    if texts.second_text_column is not None:
        columns["second_text_column"] = texts.second_text_column
    if texts.label_separator is not None:
        columns["label_separator"] = texts.label_separator
    return {
        "name": "own",
        "corpus": places.corpus | columns,
        "test": TEST,
        "tokenizer": places.stages["tokenizer"],
        "sequence_length": design.sequence_length,
        "token_masking": 0.15 if design.long_texts else 0.0,
        "model": {
            "name": "bert",
            "pretrained": places.stages["pretrain"],
            "dropout": 0.0,
            "pooling": "max" if design.long_texts else "mean",
            "classifier_init": "auto",
            "calibrated_bias": fits_bias(design, texts),
        },
        "optimizer": {"name": "muon", "beta2": 0.98} | SIZES[design.size]["finetune"],
        "training": (FITTING if fits_bias(design, texts) else CHOOSING)
        | {"batch_size": 16, "threads": 1, "speed": SPEED},
    }


def fits_bias(design: Design, texts: Texts) -> bool:
    """Whether validation texts fit the bias of the pretrained encoder's last weights, not choose among checkpoints.

    Fewer steps without a choice were better for reviews, and not for sentences (docs/diary.md).
    """
    return design.long_texts and not texts.multi_label


def model_settings(model: str, encoder_fits_bias: bool) -> Settings:
    """What a model has instead of the encoder's settings: those that were best for it on validation texts.

    Args:
        model: its name in the comparison.
        encoder_fits_bias: `fits_bias`; the other models choose among checkpoints whatever the texts.
    """
    if model in {BAG_OF_WORDS, "bert"}:
        return {}
    settings: Settings = {}
    if encoder_fits_bias:
        settings = {f"training.{key}": value for key, value in CHOOSING.items()} | {"model.calibrated_bias": False}
    if model == "frozen":
        return settings | {"model.pooling": "mean"}
    if not is_recurrent(model):
        return settings
    settings |= {
        "token_masking": 0.0,
        "model.pooling": "max",
        "model.dropout": 0.3,
        "model.embedding_dropout": 0.1,
        "optimizer.name": "adamw",
        "optimizer.learning_rate": 5e-3 if model == "lm-lstm" else 2e-3,
        "optimizer.weight_decay": 0.0,
        "optimizer.beta2": 0.99,
    }
    gradual = {"optimizer.layer_decay": 0.385, "optimizer.schedule": "slanted_triangular"}
    return settings | (gradual if model == "lm-lstm" else {})


def tokens_text(tokens: int) -> str:
    """A number of tokens as a duration.

    >>> tokens_text(2_500_000), tokens_text(40_000)
    ('2.5M tokens', '40k tokens')
    """
    return f"{tokens / 1e6:g}M tokens" if tokens >= 1_000_000 else f"{tokens / 1e3:g}k tokens"
