"""Every key of a pretraining run; `TrainingConfig` is shared with fine-tuning."""

import logging
import os
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from configs.errors import InputError
from configs.run_folder import outside_digest
from pretrain.model_config import EncoderConfig, LanguageModelConfig
from tokenizer.config import CorpusConfig, require_at_least, require_between

log = logging.getLogger(__name__)

# What stands beside masked-LM in an objective, by the prefix of its measures.
SECOND_TASKS = {"nsp": "next-sentence", "sop": "sentence-order", "rtd": "replaced-token"}


@dataclass(frozen=True)
class MaskingConfig:
    """Which tokens are hidden (Devlin et al. 2018, section 3.1)."""

    rate: float = 0.15
    """Share of a sequence's tokens to predict; the count is exact, and at least one."""
    unit: Literal["token", "word", "span"] = "token"
    """What is hidden together: single tokens; whole words, all pieces of them; or spans of words, of a geometric
    length, which all become [MASK], random or stay (Joshi et al. 2020, SpanBERT, section 3.1)."""
    span_probability: float = 0.2
    """Of spans: the parameter of the geometric distribution of their length in words."""
    maximum_span: int = 10
    """Of spans: words in the longest."""
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
        require_between(0.001, 1, span_probability=self.span_probability)
        most = 1 if self.maximum_predictions is None else self.maximum_predictions
        require_at_least(1, maximum_span=self.maximum_span, maximum_predictions=most)


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
    bias_correction: bool = True
    """Correct the running means for their start at zero. google-research/bert does not: early steps are up to 6.6 times
    as large then, which harms fine-tuning on few labels (Zhang et al. 2021)."""
    decay_from: Literal["warmup_end", "start"] = "warmup_end"
    """Where the linear decay is measured from. `start`, as google-research/bert does it: at the end of the warm-up the
    rate falls to what it would be without one."""
    schedule: Literal["linear", "slanted_triangular"] = "linear"
    """`linear`: from 0 to the peak and back to 0; `slanted_triangular`: from a 32nd of the peak and back to it, as
    ULMFiT does with `warmup: 0.1` (Howard and Ruder 2018, section 3.2)."""
    layer_decay: float = 1.0
    """Each layer learns at so many times the rate of the one above it: ULMFiT's discriminative rates have 1 / 2.6."""
    gradual_unfreezing: bool = False
    """The first epoch trains the classifier and the top layer alone, each further epoch one layer more, the word
    vectors last (ULMFiT, section 3.3)."""
    clip_norm: float = 1.0
    """Gradients are scaled down to this global norm."""

    def __post_init__(self) -> None:
        """Refuse rates that cannot train."""
        require_between(1e-9, 10, learning_rate=self.learning_rate)
        require_between(0, 1, warmup=self.warmup, weight_decay=self.weight_decay)
        require_between(1e-6, 1e6, clip_norm=self.clip_norm)
        require_between(0.01, 1, layer_decay=self.layer_decay)


@dataclass(frozen=True)
class SpeedConfig:
    """Fast paths, chosen by what the machine has; each can be switched off. docs/performance.md has what they bring."""

    allocator: bool = True
    """Start the process once more with glibc's allocator told to keep its memory."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """`auto`: what `accelerate launch --mixed_precision` says, else bf16 on a GPU that has it, else fp32."""
    attention: Literal["auto", "torch"] = "auto"
    """`auto`: on a CPU one that keeps its scores, on a GPU one without padding where `flash_attn` is installed."""
    dropout: Literal["auto", "torch"] = "auto"
    """`auto`: on a CPU, dropout with cheaper random numbers."""
    compile: bool | None = None
    """torch.compile with static shapes; null: on a GPU, for runs that are long enough."""
    tf32: bool = True
    """On a GPU, TF32 for what stays in fp32."""
    activation_checkpointing: bool | None = None
    """Compute activations again instead of keeping them; null: on a GPU, where they would not fit."""
    device_masks: bool | None = None
    """Draw masks on the device; null: on a GPU. They are the same masks."""


@dataclass(frozen=True)
class TrainingConfig:
    """How long and how a model is trained, whatever it learns."""

    duration: str = "3 epochs"
    """`2 epochs`, `1000 steps`, `50M tokens` (input tokens, padding not counted) or `30 minutes` (of training steps;
    evaluations and checkpoints not counted). Warm-up and decay are shares of it."""
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
    workers: int | None = outside_digest(None)
    """Processes that prepare batches, the same ones whatever their number; null: 0 on a CPU, up to 4 on a GPU."""
    threads: int | None = None
    """CPU threads; null: one a physical core, shared among the processes of this machine. Another number may change
    results in the last bit."""
    processes: int | None = outside_digest(None)
    """How many processes train together; a run started with another number is refused. null takes what there is."""
    maximum_skipped_steps: int = outside_digest(10)
    """A step whose loss or gradient is no finite number is left out; after so many in a row the run stops."""
    timeout: float = outside_digest(600.0)
    """Seconds after which a training process of this machine that does not move on ends the run, named."""
    accept_changes: bool = outside_digest(False)
    """Go on from a checkpoint although config, tokenizer or data are no longer those that it was made of."""
    speed: SpeedConfig = outside_digest(SpeedConfig())  # noqa: RUF009

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
            maximum_skipped_steps=self.maximum_skipped_steps,
            timeout=self.timeout,
            threads=1 if self.threads is None else self.threads,
        )
        require_at_least(0, workers=self.workers or 0)
        require_at_least(1, processes=1 if self.processes is None else self.processes)
        if self.batch_size < self.gradient_accumulation_steps:
            raise InputError("training.gradient_accumulation_steps: more micro-batches than sequences in batch_size")


@dataclass(frozen=True)
class LeakageConfig:
    """The labelled test texts that pretraining should not have seen."""

    split: str | None = None
    """The split with the test texts, read like `corpus` but for the keys here; null looks for no leakage."""
    source: str | None = outside_digest(None)
    """Where the test texts lie; null takes the corpus's source. Recognised by what lies there, not by this path."""
    text_column: str | None = None
    """The column with the text; null takes the corpus's."""
    drop: bool = False
    """Leave out the documents that are test texts, or nearly so; else they are reported alone."""


@dataclass(frozen=True)
class PreparationConfig:
    """Who turns text into ids; the result does not depend on it."""

    backend: Literal["processes", "ray"] = "processes"
    """`processes` of this machine, or `ray`: Ray Data on a cluster that sees this folder (extra `ray`)."""
    processes: int | None = None
    """How many; null takes every core."""

    def __post_init__(self) -> None:
        """Refuse counts below one."""
        require_at_least(1, processes=self.count)

    @property
    def count(self) -> int:
        """How many processes."""
        return (os.cpu_count() or 1) if self.processes is None else self.processes


@dataclass(frozen=True)
class PretrainConfig:
    """Pretrain an encoder: masked-LM with next-sentence prediction, and other objectives."""

    name: str = "pretrain"
    """The run folder is `runs/pretrain/<name>-<digest>`."""
    tokenizer: str | None = outside_digest(None)
    """A tokenizer run's YAML file (the run must be finished), any folder with a tokenizer, or a Hub id. With
    `model.init_from`, one that adds words to the checkpoint's own; else the checkpoint's own is taken, as with null.
    Runs are recognised by what lies there, not by this path."""
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    objective: Literal["mlm_nsp", "mlm", "mlm_sop", "rtd", "causal_lm", "autoencode"] = "mlm_nsp"
    """`mlm_nsp`: masked-LM and next-sentence prediction (BERT); `mlm`: masked-LM on packed full sentences (RoBERTa);
    `mlm_sop`: masked-LM and sentence order (ALBERT); `rtd`: replaced-token detection (ELECTRA); `causal_lm`: a
    recurrent language model; `autoencode`: a recurrent sequence autoencoder (Dai and Le 2015). docs/pretraining.md and
    docs/recurrent.md tell which to choose."""
    pairs: Literal["faithful", "balanced"] = "faithful"
    """Of `mlm_nsp`: `faithful` draws pairs as google-research/bert does, where more than half are random; `balanced`
    makes exactly one half random, with the same lengths in both halves."""
    preparation: PreparationConfig = outside_digest(PreparationConfig())  # noqa: RUF009
    audited_documents: int = outside_digest(100_000)
    """How many documents are compared for near duplicates, drawn where there are more; 0 for no audit at all."""
    leakage: LeakageConfig = field(default_factory=LeakageConfig)
    sequence_length: int = 128
    """Tokens a sequence at the most, [CLS] and two [SEP] included; unused by `causal_lm`, see `recurrent.bptt`."""
    phases: str | None = None
    """Sequence lengths over the run, instead of `sequence_length`: `90% at 128, then 10% at 512`."""
    short_sequence_probability: float = 0.1
    """Share of documents whose pairs aim at a random shorter length; of pairs alone."""
    held_out_share: float = 0.02
    """Share of the documents kept from training, for evaluation."""
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    model: EncoderConfig = field(default_factory=EncoderConfig)
    recurrent: LanguageModelConfig = field(default_factory=LanguageModelConfig)
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
        require_at_least(0, audited_documents=self.audited_documents)
        require_between(0, 1, short_sequence_probability=self.short_sequence_probability)
        require_between(0.0001, 0.5, held_out_share=self.held_out_share)
        if self.recurs and (self.model.init_from is not None or self.phases is not None):
            raise InputError(f"objective: {self.objective} takes neither model.init_from nor phases")
        fresh = self.model.init_from is None and self.phases is None and not self.recurs
        if fresh and self.sequence_length > self.model.maximum_positions:
            raise InputError(
                f"sequence_length: {self.sequence_length} exceeds model.maximum_positions "
                f"({self.model.maximum_positions})"
            )

    @property
    def recurs(self) -> bool:
        """Whether the model is a recurrent one, of `recurrent`."""
        return self.objective in ("causal_lm", "autoencode")


class SecondTask(NamedTuple):
    """What was learned beside masked-LM."""

    prefix: str
    name: str
    accuracy: float
    majority: float


def second_tasks(result: dict[str, Any]) -> list[SecondTask]:
    """The tasks beside masked-LM that a pretraining result has measures of: one or none."""
    return [
        SecondTask(prefix, name, result[f"eval_{prefix}_accuracy"], result[f"eval_{prefix}_majority"])
        for prefix, name in SECOND_TASKS.items()
        if f"eval_{prefix}_accuracy" in result
    ]
