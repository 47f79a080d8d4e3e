"""Every key of a model: encoders, classifiers by name, recurrent language models."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from configs.bounds import require_at_least, require_between
from configs.fields import outside_digest, renamed
from pretrain.models.safe_loading import check_commit

Cell = Literal["rnn", "gru", "lstm"]
Pooling = Literal["last", "mean", "max", "concat", "attention"]


class Recurrent(NamedTuple):
    """What the name of a recurrent classifier stands for."""

    cell: Cell
    bidirectional: bool = False
    pooling: Pooling | None = None
    """None leaves it to `model.pooling`."""


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

# Models that start from a stage of their own: its key in a comparison. `-scratch` takes its architecture alone.
STARTED = {"bert": "pretrain", "lm-lstm": "language_model", "sa-lstm": "autoencoder"}
SCRATCH = "-scratch"


def stage_of(name: str) -> str | None:
    """The stage of pretraining that a model of this name starts from, or takes its architecture from.

    >>> stage_of("bert"), stage_of("lm-lstm-scratch"), stage_of("lstm")
    ('pretrain', 'language_model', None)
    """
    return STARTED.get(name.removesuffix(SCRATCH))


def is_recurrent(name: str) -> bool:
    """Whether a model of this name is a recurrent one.

    >>> is_recurrent("bigru"), is_recurrent("sa-lstm"), is_recurrent("bert-scratch")
    (True, True, False)
    """
    return name in RECURRENT or stage_of(name) in ("language_model", "autoencoder")


Size = Literal["tiny", "mini", "small", "medium", "base"]


@dataclass(frozen=True)
class EncoderConfig:
    """The BERT encoder: a named size, and what departs from it."""

    size: Size = "mini"
    """Layers x width: tiny 2 x 128, mini 4 x 256, small 4 x 512, medium 8 x 512, base 12 x 768."""
    layers: int | None = None
    """Encoder layers, instead of the size's."""
    hidden_size: int | None = None
    """Width, instead of the size's."""
    heads: int | None = None
    """Attention heads, instead of one for every 64 of the width."""
    dropout: float = 0.1
    """Dropout on hidden states and attention. In a single pass over little text, 0 learns much faster."""
    initializer_range: float | None = 0.02
    """Standard deviation of the initial weights; null scales it to the width: 1 / sqrt(hidden_size)."""
    embedding_init: Literal["random", "cooccurrence"] = renamed("random", "start")
    """`cooccurrence` initialises the tied word embeddings with the corpus's own PPMI-SVD vectors; the model stays a
    standard BERT."""
    maximum_positions: int = 512
    """Rows of the position embedding: the longest input the model can ever read, in tokens."""
    gelu: Literal["erf", "tanh"] = "erf"
    """The form of GELU: exact, as in transformers, or the approximation of google-research/bert."""
    generator_share: float = 0.25
    """Of objective `rtd`: the generator's width, as a share of the encoder's; at least one head."""
    init_from: str | None = outside_digest(None)
    """Continue this checkpoint, a pretraining run's YAML file or folder, any folder with a `config.json`, or a Hub id,
    with its sizes and its own tokenizer; of the keys here, only `dropout` is applied to it. Recognised by what lies
    there, not by this path."""
    trust_remote_code: str | None = None
    """Of a Hub id: run the Python code that the repository carries, as of this commit (40 hexadecimal digits) and of no
    other; null runs none."""

    def __post_init__(self) -> None:
        """Refuse what no encoder can have."""
        check_commit(self.trust_remote_code)
        require_between(0, 0.9, dropout=self.dropout)
        require_between(0.01, 1, generator_share=self.generator_share)


@dataclass(frozen=True)
class RecurrentSizes:
    """What recurrent classifiers and recurrent language models are made of alike."""

    embedding_size: int = 128
    """Size of a recurrent model's word vectors."""
    hidden_size: int = 128
    """Size of a recurrent model's state, in each direction."""
    layers: int = 1
    """Recurrent layers."""
    dropout: float = 0.1
    """Of recurrent models: on word vectors, between layers and before the output, the same elements at every
    position."""
    embedding_dropout: float = 0.0
    """Of recurrent models: the share of vocabulary entries that are set to zero in a step (Gal and Ghahramani 2016)."""
    weight_dropout: float = 0.0
    """Of recurrent models: dropout on the hidden-to-hidden matrices (Merity et al. 2018)."""

    def __post_init__(self) -> None:
        """Refuse sizes below one, and impossible dropout."""
        require_at_least(1, embedding_size=self.embedding_size, hidden_size=self.hidden_size, layers=self.layers)
        dropouts = {"embedding_dropout": self.embedding_dropout, "weight_dropout": self.weight_dropout}
        require_between(0, 0.9, dropout=self.dropout, **dropouts)


@dataclass(frozen=True)
class ClassifierConfig(RecurrentSizes):
    """The model to fine-tune, by name, and what the recurrent and linear ones are made of."""

    name: str = "bert"
    """`bert`: the encoder of `pretrained`; `lm-lstm`, `sa-lstm`: an LSTM initialised from a language model or sequence
    autoencoder; with `-scratch` behind it, the same with fresh weights; `rnn`, `gru`, `lstm`, `birnn`, `bigru`,
    `bilstm`, `lstm-attention`, `bilstm-attention`; `bag-of-words`: logistic regression on TF-IDF; else a checkpoint's
    folder or Hub id."""
    pretrained: str = outside_digest("configs/pretrain/demo.yaml")
    """A pretraining run's YAML file or folder, for `bert`, `lm-lstm`, `sa-lstm` and the same from scratch; recognised
    by its content."""
    dropout: float = 0.1
    """Dropout while fine-tuning. Of a checkpoint, hidden and attention dropout are set to this; of recurrent models, on
    word vectors, between layers (the same elements at every position) and before the classifier."""
    reinitialized_layers: int = renamed(0, "fresh_layers")
    """Of `bert` and other checkpoints: so many top layers, and the pooler with them, are initialised anew (Zhang et al.
    2021, section 4). What they learned last, to tell pairs of sentences apart, may stand in the way of few labels."""
    pooling: Pooling = "mean"
    """How a recurrent model's states become one vector: the last state, the mean, the maximum, all three (`concat`), or
    what the last state attends to by dot products (`attention`)."""
    longest_word_sequence: int = 1
    """Of `bag-of-words`: words in the longest n-gram that counts as a feature."""
    trust_remote_code: str | None = None
    """Of a Hub id: run the Python code in the repository as of this commit (40 hexadecimal digits) and no other; null
    runs none."""

    def __post_init__(self) -> None:
        """Refuse sizes below one."""
        super().__post_init__()
        check_commit(self.trust_remote_code)
        require_at_least(1, longest_word_sequence=self.longest_word_sequence)
        require_at_least(0, reinitialized_layers=self.reinitialized_layers)


@dataclass(frozen=True)
class RecurrentLMConfig(RecurrentSizes):
    """The recurrent model of objectives `causal_lm` and `autoencode`."""

    embedding_size: int = 256
    """Size of the word vectors, which are the output matrix, too."""
    hidden_size: int = 512
    """Size of the state, in each direction."""
    cell: Cell = "lstm"
    """Vanilla RNN, GRU or LSTM."""
    bidirectional: bool = False
    """Of `causal_lm`: a second model over the same word vectors reads from the end; of `autoencode`: the encoder reads
    in both directions."""
    bptt: int = 64
    """Of `causal_lm`: tokens of each stream in a step, through which gradients flow back; the state is carried on."""
    attention: bool = False
    """Of `autoencode`: let the decoder attend to the encoder, which makes copying easy and the encoder lazy."""
    sample: int = 0
    """Of `causal_lm`: tokens to generate at each evaluation, into the log and `samples.jsonl`."""

    def __post_init__(self) -> None:
        """Refuse sizes below one."""
        super().__post_init__()
        require_at_least(1, bptt=self.bptt)
        require_at_least(0, sample=self.sample)
