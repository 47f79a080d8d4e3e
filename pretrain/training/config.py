"""Every key of training: optimizer, duration, batches, fast paths; shared by pretraining and fine-tuning."""

from dataclasses import dataclass
from typing import Literal

from configs.bounds import require_at_least, require_between
from configs.errors import InputError
from configs.fields import added_later, outside_digest


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimizer with decoupled weight decay on all but LayerNorm and biases, warm-up, then linear decay."""

    name: Literal["adamw"] = added_later("adamw")
    """The update rule (Loshchilov and Hutter 2019)."""
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
