"""Every key of a model: encoders, classifiers by name, recurrent language models."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from configs.bounds import require_at_least, require_between
from configs.errors import InputError
from configs.fields import added_later, digested_as, outside_digest, renamed
from pretrain.models.safe_loading import check_commit

# The subfolder of an ELECTRA generator within its discriminator's folder.
GENERATOR = "generator"

Cell = Literal["rnn", "gru", "lstm"]
Pooling = Literal["cls", "last", "mean", "max", "concat", "attention"]


class Recurrent(NamedTuple):
    """A named recurrent classifier."""

    cell: Cell
    bidirectional: bool = False
    pooling: Pooling | None = None
    """None: `model.pooling` decides."""


RECURRENT = {
    "rnn": Recurrent("rnn"),
    "gru": Recurrent("gru"),
    "lstm": Recurrent("lstm"),
    "birnn": Recurrent("rnn", bidirectional=True),
    "bigru": Recurrent("gru", bidirectional=True),
    "bilstm": Recurrent("lstm", bidirectional=True),
    "lstm-attention": Recurrent("lstm", pooling="attention"),
    "bilstm-attention": Recurrent("lstm", bidirectional=True, pooling="attention"),
}

# Models that start from a pretraining stage, and the key of that stage in a comparison. With `-scratch`, only its
# architecture is used.
STAGES = {"bert": "pretrain", "frozen": "pretrain", "lm-lstm": "language_model", "sa-lstm": "autoencoder"}
SCRATCH = "-scratch"


def stage_of(name: str) -> str | None:
    """The pretraining stage that a model starts from, or takes its architecture from.

    >>> stage_of("bert"), stage_of("lm-lstm-scratch"), stage_of("lstm")
    ('pretrain', 'language_model', None)
    """
    return STAGES.get(name.removesuffix(SCRATCH))


def is_from_scratch(name: str) -> bool:
    """Whether a model takes its architecture from a pretraining stage, but no weights.

    >>> is_from_scratch("bert-scratch"), is_from_scratch("bert"), is_from_scratch("owner/from-scratch")
    (True, False, False)
    """
    return name.endswith(SCRATCH) and stage_of(name) is not None


def is_frozen(name: str) -> bool:
    """Whether a model of this name is a linear classifier on an encoder that is not trained.

    >>> is_frozen("frozen"), is_frozen("frozen-scratch"), is_frozen("bert")
    (True, True, False)
    """
    return name.removesuffix(SCRATCH) == "frozen"


def is_recurrent(name: str) -> bool:
    """Whether a model of this name is recurrent.

    >>> is_recurrent("bigru"), is_recurrent("sa-lstm"), is_recurrent("bert-scratch")
    (True, True, False)
    """
    return name in RECURRENT or stage_of(name) in ("language_model", "autoencoder")


Size = Literal["tiny", "mini", "small", "medium", "base"]


@dataclass(frozen=True)
class EncoderConfig:
    """The BERT encoder: a named size, and overrides of it."""

    architecture: Literal["bert", "modernbert"] = added_later("bert")
    """`bert`: Devlin et al. 2019, faithful; for objective `rtd`, ELECTRA. `modernbert`: Warner et al. 2024, with
    pre-norm, rotary positions and a gated MLP, which learns more from the same tokens; all layers attend globally."""
    size: Size = "mini"
    """Layers x width: tiny 2 x 128, mini 4 x 256, small 4 x 512, medium 8 x 512, base 12 x 768."""
    layers: int | None = None
    """Number of encoder layers; null: the size's."""
    hidden_size: int | None = None
    """Hidden size; null: the size's."""
    heads: int | None = None
    """Number of attention heads; null: hidden_size / 64."""
    dropout: float = 0.1
    """Dropout on hidden states and attention. For a single pass over little text, 0 learns much faster."""
    initializer_range: float | None = 0.02
    """Standard deviation of the initial weights; null: 1 / sqrt(hidden_size)."""
    embedding_init: Literal["random", "cooccurrence"] = renamed("random", "start")
    """`cooccurrence` initialises the tied word embeddings with PPMI-SVD vectors of the corpus; the model stays a
    standard BERT."""
    maximum_positions: int = 512
    """Rows of the position embedding: the maximum input length, in tokens."""
    gelu: Literal["erf", "tanh"] = "erf"
    """GELU: `erf`, the exact one, as in transformers; `tanh`, the approximation of google-research/bert."""
    generator_share: float = 0.25
    """For objective `rtd`: the generator's width, as a share of the encoder's; at least one head."""
    init_from: str | None = outside_digest(None)
    """Continue this checkpoint, with its sizes and its tokenizer: a pretraining run's YAML file or folder, any folder
    with a `config.json`, or a Hub id. Of the keys here, only `dropout` applies to it. Identified by its content, not by
    this path."""
    trust_remote_code: str | None = None
    """For a Hub id, run the Python code in the repository at this commit (40 hexadecimal digits); null runs none."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        check_commit(self.trust_remote_code)
        require_between(0, 0.9, dropout=self.dropout)
        require_between(0.01, 1, generator_share=self.generator_share)


@dataclass(frozen=True)
class RecurrentSizes:
    """Keys that recurrent classifiers and recurrent language models share."""

    embedding_size: int = 128
    """For recurrent models: size of the word vectors."""
    hidden_size: int = 128
    """For recurrent models: size of the state, in each direction."""
    layers: int = 1
    """Recurrent layers."""
    dropout: float = 0.1
    """For recurrent models: dropout on word vectors, between layers and before the output, the same elements at every
    position."""
    embedding_dropout: float = 0.0
    """For recurrent models: the share of vocabulary entries set to zero in each step (Gal and Ghahramani 2016)."""
    weight_dropout: float = 0.0
    """For recurrent models: dropout on the hidden-to-hidden matrices (Merity et al. 2018)."""

    def __post_init__(self) -> None:
        """Refuse sizes below one, and dropout out of range."""
        require_at_least(1, embedding_size=self.embedding_size, hidden_size=self.hidden_size, layers=self.layers)
        dropouts = {"embedding_dropout": self.embedding_dropout, "weight_dropout": self.weight_dropout}
        require_between(0, 0.9, dropout=self.dropout, **dropouts)


@dataclass(frozen=True)
class ClassifierConfig(RecurrentSizes):
    """The model to fine-tune, by name, and the sizes of recurrent and linear ones."""

    name: str = "bert"
    """`bert`: the encoder of `pretrained`; `frozen`: logistic regression on its pooled states; `lm-lstm`, `sa-lstm`: an
    LSTM initialised from a language model or sequence autoencoder; with the suffix `-scratch`, the same with random
    weights; `rnn`, `gru`, `lstm`, `birnn`, `bigru`, `bilstm`, `lstm-attention`, `bilstm-attention`; `bag-of-words`:
    logistic regression on words and pairs of them; otherwise a checkpoint's folder or Hub id."""
    pretrained: str = outside_digest("configs/pretrain/demo.yaml")
    """A pretraining run's YAML file or folder, for `bert`, `frozen`, `lm-lstm`, `sa-lstm` and their `-scratch`
    variants; identified by its content."""
    dropout: float = 0.1
    """Dropout while fine-tuning. For a checkpoint, on hidden states and attention; for recurrent models, on word
    vectors, between layers (the same elements at every position) and before the classifier."""
    reinitialized_layers: int = renamed(0, "fresh_layers")
    """For `bert` and other checkpoints: reinitialise this many top layers and the pooler (Zhang et al. 2021, section
    4). They specialise in the pretraining task, such as sentence pairs, which can hurt with few labels."""
    keep_classifier: bool = added_later(False)
    """For a checkpoint that is a classifier already: keep its classifier, whose classes must be the same. By default a
    new one is trained."""
    classifier_init: Literal["random", "linear_probe", "auto"] = added_later("random")
    """How the output layer of a checkpoint starts: at random, or by logistic regression on the features of the training
    texts before anything is trained, so that the first steps do not spoil pretrained layers (Kumar et al. 2022,
    arXiv 2202.10054). `auto`: by logistic regression in encoders, at random in recurrent models, which lose by it."""
    calibrated_bias: bool = added_later(False)
    """For neural models and `frozen`, where a text has one class: when training has ended, shift the output layer's
    bias to the least loss of the validation texts, weighted by `class_weights`, as far as these texts tell (Alexandari
    et al. 2020, arXiv 1901.06852). Once a model knows its few training texts by heart, nothing keeps it from leaning
    to one class on others. Scores on validation texts are of the shifted model, and so a little too good."""
    pooling: Pooling | None = digested_as(None, "mean", {"mean": "mean of tokens"})  # noqa: RUF009
    """How the states of a text become one vector: the `mean` or `max` over tokens; `last`, a recurrent model's last
    state, or `cls`, an encoder's first; all three (`concat`); or `attention`, of the last state to all states in a
    recurrent model, else learned. null: recurrent models take the mean, checkpoints what their architecture has: BERT
    a layer above [CLS], ModernBERT the mean. What an architecture lacks is saved with the code that computes it."""
    longest_word_sequence: int = 2
    """For `bag-of-words`: maximum n-gram length, in words."""
    trust_remote_code: str | None = None
    """For a Hub id, run the Python code in the repository at this commit (40 hexadecimal digits); null runs none."""

    def __post_init__(self) -> None:
        """Refuse sizes below one."""
        super().__post_init__()
        check_commit(self.trust_remote_code)
        if self.keep_classifier and self.classifier_init == "linear_probe":
            raise InputError("model.keep_classifier: a classifier that is kept cannot start anew by a linear_probe")
        require_at_least(1, longest_word_sequence=self.longest_word_sequence)
        require_at_least(0, reinitialized_layers=self.reinitialized_layers)

    @property
    def fits_output_layer(self) -> bool:
        """Whether logistic regression gives the output layer its first weights."""
        if self.classifier_init == "auto":
            return not self.keep_classifier and not is_recurrent(self.name)
        return self.classifier_init == "linear_probe"


@dataclass(frozen=True)
class RecurrentLMConfig(RecurrentSizes):
    """The recurrent model of objectives `causal_lm` and `autoencode`."""

    embedding_size: int = 256
    """Size of the word vectors, which are tied to the output matrix."""
    hidden_size: int = 512
    """Size of the state, in each direction."""
    cell: Cell = "lstm"
    """Vanilla RNN, GRU or LSTM."""
    bidirectional: bool = False
    """For `causal_lm`: a second language model with the same word vectors reads backwards; for `autoencode`: the
    encoder is bidirectional."""
    bptt: int = 64
    """For `causal_lm`: tokens of each stream in a step, and the length of backpropagation; the state is carried on."""
    attention: bool = False
    """For `autoencode`: let the decoder attend to the encoder; copying gets easy, and the encoder learns less."""
    sample: int = 0
    """For `causal_lm`: tokens to generate at each evaluation; they go to the log and `samples.jsonl`."""

    def __post_init__(self) -> None:
        """Refuse sizes below one."""
        super().__post_init__()
        require_at_least(1, bptt=self.bptt)
        require_at_least(0, sample=self.sample)
