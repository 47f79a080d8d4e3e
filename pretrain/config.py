"""Every key of a pretraining run; `TrainingConfig` is shared with fine-tuning."""

import functools
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from configs.command_line import load as load_config
from configs.errors import InputError
from configs.run_folder import RunFolder, outside_digest
from tokenizer import corpus
from tokenizer.config import CorpusConfig, require_at_least
from tokenizer.train import HUB_ID
from tokenizer.train import find as find_tokenizer

# The recurrent models by name: their cell, and whether a second one runs backwards.
RECURRENT = {"rnn": ("rnn", False), "lstm": ("lstm", False), "bilstm": ("lstm", True)}

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
    start: Literal["random", "cooccurrence"] = "random"
    """`cooccurrence` starts the tied word embeddings from the corpus's own PPMI-SVD vectors: still a standard BERT."""
    maximum_positions: int = 512
    """Rows of the position embedding: the longest input the model can ever read, in tokens."""

    def __post_init__(self) -> None:
        """Refuse what no encoder can have."""
        require_between(0, 0.9, dropout=self.dropout)


@dataclass(frozen=True)
class ClassifierConfig:
    """The model to fine-tune, by name, and what the recurrent and linear ones are made of."""

    name: str = "bert"
    """`bert`: the encoder of `pretrained`; `bert-scratch`: the same encoder with fresh weights; `rnn`, `lstm`,
    `bilstm`; `bag-of-words`: logistic regression on TF-IDF; else a checkpoint's folder or Hub id."""
    pretrained: str = outside_digest("configs/pretrain/demo.yaml")
    """A pretraining run's YAML file or folder, for `bert` and `bert-scratch`; recognised by what lies there."""
    dropout: float = 0.1
    """Dropout while fine-tuning; of a checkpoint, its hidden and attention dropout are set to this."""
    fresh_layers: int = 0
    """Of `bert` and other checkpoints: so many top layers, and with them the pooler, start afresh (Zhang et al. 2021,
    section 4). What they learned last, telling pairs of sentences apart, may stand in the way of few labels."""
    embedding_size: int = 128
    """Width of a recurrent model's word vectors."""
    hidden_size: int = 128
    """Width of a recurrent model's state, in each direction."""
    layers: int = 1
    """Recurrent layers."""
    pooling: Literal["last", "mean", "max"] = "mean"
    """How a recurrent model's states become one vector."""
    longest_word_sequence: int = 1
    """Of `bag-of-words`: words in the longest sequence that counts as a feature; 2 adds pairs of neighbours."""

    def __post_init__(self) -> None:
        """Refuse sizes below one."""
        require_at_least(
            1,
            embedding_size=self.embedding_size,
            hidden_size=self.hidden_size,
            layers=self.layers,
            longest_word_sequence=self.longest_word_sequence,
        )
        require_at_least(0, fresh_layers=self.fresh_layers)
        require_between(0, 0.9, dropout=self.dropout)


@dataclass(frozen=True)
class MaskingConfig:
    """Which tokens are hidden (Devlin et al. 2018, section 3.1)."""

    rate: float = 0.15
    """Share of a sequence's tokens to predict; the count is exact, and at least one."""
    maximum_predictions: int | None = None
    """At the most so many a sequence; null sets no bound."""
    mask_share: float = 0.8
    """Share of the chosen tokens that become [MASK]."""
    random_share: float = 0.1
    """Share of the chosen tokens that become a random entry of the vocabulary; the rest stays."""

    def __post_init__(self) -> None:
        """Refuse shares that do not add up."""
        require_between(0.001, 0.9, rate=self.rate)
        require_between(0, 1, mask_share=self.mask_share, random_share=self.random_share)
        require_between(0, 1, mask_share_plus_random_share=self.mask_share + self.random_share)


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with decoupled weight decay on all but LayerNorm and biases, warm-up, then linear decay."""

    learning_rate: float = 1e-3
    """Peak learning rate, at the end of the warm-up."""
    warmup: float = 0.1
    """Share of the run over which the learning rate rises from 0; afterwards it falls linearly to 0."""
    weight_decay: float = 0.01
    """Decoupled decay; embeddings are decayed, LayerNorm and biases are not."""
    beta1: float = 0.9
    """Decay of the gradient's running mean."""
    beta2: float = 0.999
    """Decay of the squared gradient's running mean."""
    epsilon: float = 1e-6
    """Added to the denominator."""
    clip_norm: float = 1.0
    """Gradients are scaled down to this global norm."""

    def __post_init__(self) -> None:
        """Refuse rates that cannot train."""
        require_between(1e-9, 10, learning_rate=self.learning_rate)
        require_between(0, 1, warmup=self.warmup, weight_decay=self.weight_decay)
        require_between(1e-6, 1e6, clip_norm=self.clip_norm)


@dataclass(frozen=True)
class TrainingConfig:
    """How long and how a model is trained, whatever it learns."""

    duration: str = "3 epochs"
    """`2 epochs`, `1000 steps` or `50M tokens` (input tokens, padding not counted)."""
    batch_size: int = 32
    """Sequences an optimizer step, over all processes and micro-batches."""
    gradient_accumulation_steps: int = 1
    """Micro-batches an optimizer step; losses are weighted by counts, so the result does not depend on it."""
    evaluations: int = 10
    """Evaluations on held-out data, spread evenly over the run; the last is at its end."""
    save_every: int = outside_digest(500)
    """Steps between checkpoints."""
    keep_checkpoints: int = outside_digest(2)
    """How many checkpoints stay on disk, beside the best."""
    log_every: int = outside_digest(20)
    """Steps between rows of `metrics.jsonl`, each the mean since the row before."""
    workers: int = outside_digest(0)
    """Processes that prepare batches; the batches do not depend on their number."""
    threads: int | None = None
    """CPU threads; null leaves the choice to torch. Another number may change results in the last bit."""

    def __post_init__(self) -> None:
        """Refuse counts below one."""
        require_at_least(
            1,
            batch_size=self.batch_size,
            gradient_accumulation_steps=self.gradient_accumulation_steps,
            evaluations=self.evaluations,
            save_every=self.save_every,
            keep_checkpoints=self.keep_checkpoints,
            log_every=self.log_every,
            threads=1 if self.threads is None else self.threads,
        )
        require_at_least(0, workers=self.workers)
        if self.batch_size < self.gradient_accumulation_steps:
            raise InputError("training.gradient_accumulation_steps: more micro-batches than sequences in batch_size")


@dataclass(frozen=True)
class PretrainConfig:
    """Pretrain a BERT encoder with masked-LM and next-sentence prediction."""

    name: str = "pretrain"
    """The run folder is `runs/pretrain/<name>-<digest>`."""
    tokenizer: str = outside_digest("configs/tokenizer/demo.yaml")
    """A tokenizer run's YAML file (the run must be finished), any folder with a tokenizer, or a Hub id.
    Runs are recognised by what lies there, not by this path."""
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    sequence_length: int = 128
    """Tokens a sequence at the most, [CLS] and two [SEP] included."""
    short_sequence_probability: float = 0.1
    """Share of documents whose pairs aim at a random shorter length."""
    held_out_share: float = 0.02
    """Share of the documents kept from training, for evaluation."""
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    model: EncoderConfig = field(default_factory=EncoderConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    seed: int = 0
    """Of initial weights, held-out documents, pairs, masks, order and dropout."""
    log_with: str | list[str] | None = outside_digest(None)  # noqa: RUF009
    """Trackers of accelerate beside `metrics.jsonl`, such as `tensorboard` or `[tensorboard, trackio]`."""
    runs: str = outside_digest("runs")
    """The folder that receives run folders."""

    def __post_init__(self) -> None:
        """Refuse lengths that leave no room for a pair."""
        require_at_least(8, sequence_length=self.sequence_length)
        require_between(0, 1, short_sequence_probability=self.short_sequence_probability)
        require_between(0.0001, 0.5, held_out_share=self.held_out_share)
        if self.sequence_length > self.model.maximum_positions:
            raise InputError(
                f"sequence_length: {self.sequence_length} exceeds model.maximum_positions "
                f"({self.model.maximum_positions})"
            )


def run_folder(config: PretrainConfig) -> RunFolder:
    """Where this config's run lies, finished or not.

    Raises:
        InputError: the tokenizer's run is not finished, or the corpus cannot be found.
    """
    _, tokenizer_digest = find_tokenizer(config.tokenizer, config.runs)
    return RunFolder.of("pretrain", config, [tokenizer_digest, corpus.fingerprint(config.corpus)])


def find(reference: str, runs: str) -> tuple[str, str]:
    """The folder of a pretrained model that `transformers` can load, and a digest of its content.

    Args:
        reference: a pretraining run's YAML file or folder, any folder with a `config.json`, or a Hub id.
        runs: the folder of runs in which a YAML file's run is looked for.

    Raises:
        InputError: nothing lies there, or the run is not finished.
    """
    path = Path(reference)
    if path.suffix in (".yaml", ".yml"):
        folder = run_folder(load_config(PretrainConfig, path, {"runs": runs}))
        if not folder.finished:
            raise InputError(f"model: {folder.path} is not finished; run `python -m pretrain --config {path}` first")
        path = folder.path
    if path.is_dir():
        path = path / "model" if (path / "model").is_dir() else path
        if not (path / "config.json").is_file():
            raise InputError(f"model: {path} holds no config.json (a run that is not finished?)")
        return str(path), _content(path)
    if not HUB_ID.fullmatch(reference):
        raise InputError(f"model: no such file or folder: {reference!r}")
    return reference, reference


@functools.cache
def _content(folder: Path) -> str:
    state = hashlib.sha256()
    for file in sorted([*folder.glob("*.json"), *folder.glob("*.safetensors")]):
        with file.open("rb") as stream:
            state.update(file.name.encode() + hashlib.file_digest(stream, "sha256").digest())
    return state.hexdigest()[:10]


def require_between(minimum: float, maximum: float, **values: float) -> None:
    """Refuse a value outside [minimum, maximum], NaN included.

    Raises:
        InputError: names the key, the value and the bounds.

    >>> require_between(0, 1, warmup=0.1)
    """
    for key, value in values.items():
        if not minimum <= value <= maximum:
            raise InputError(f"{key}: {value} is outside [{minimum:g}, {maximum:g}]")
