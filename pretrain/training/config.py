"""Every key of training: optimizer, duration, batches, fast paths; shared by pretraining and fine-tuning."""

from dataclasses import dataclass
from typing import Literal

from configs.bounds import require_at_least, require_between
from configs.errors import InputError
from configs.fields import added_later, outside_digest


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimizer with decoupled weight decay, warm-up, and a learning-rate schedule."""

    name: Literal["adamw", "muon"] = added_later("adamw")
    """The update rule; `adamw`: Loshchilov and Hutter 2019; `muon`: Jordan et al. 2024, for the matrices of the layers,
    and AdamW for embeddings, heads, norms and biases."""
    muon_learning_rate: float = added_later(0.02)
    """For `muon`: the peak learning rate of the matrices; it follows the same schedule as `learning_rate`."""
    muon_momentum: float = added_later(0.95)
    """For `muon`: decay of the momentum of the matrices' gradients, with Nesterov's look-ahead."""
    learning_rate: float = 1e-3
    """Peak learning rate, at the end of the warm-up."""
    warmup: float = 0.1
    """Share of the run in which the learning rate rises from 0; afterwards it falls linearly to 0."""
    weight_decay: float = 0.01
    """Decoupled weight decay, of all parameters but LayerNorm and biases."""
    beta1: float = 0.9
    """Decay of the gradient's running mean."""
    beta2: float = 0.999
    """Decay of the squared gradient's running mean."""
    epsilon: float = 1e-6
    """Added to the denominator of the update."""
    bias_correction: bool = True
    """Correct the running means for their initialisation at zero. google-research/bert does not, which makes early
    steps up to 6.6 times as large and hurts fine-tuning on few labels (Zhang et al. 2021)."""
    decay_from: Literal["warmup_end", "start"] = "warmup_end"
    """Where the linear decay begins. With `start`, as in google-research/bert, the rate drops at the end of the warm-up
    to its value without warm-up."""
    schedule: Literal["linear", "cosine", "warmup_stable_decay", "slanted_triangular"] = "linear"
    """From 0 to the peak in a straight line, then: `linear`, straight back to 0; `cosine`, half a wave to 0;
    `warmup_stable_decay`, at the peak until the last `decay_share` of the run, and then to 0 (Hägele et al. 2024).
    `slanted_triangular`: `linear` from a 32nd of the peak and back to it, as ULMFiT does with `warmup: 0.1` (Howard and
    Ruder 2018, section 3.2)."""
    decay_share: float = added_later(0.2)
    """For `warmup_stable_decay`: the share of the run in which the rate falls, as one minus a square root."""
    ema_decay: float = added_later(0.0)
    """Evaluate and save an exponential moving average of the weights, with this decay a step (0.99, say); 0: the
    weights of the last step."""
    layer_decay: float = 1.0
    """Factor of the learning rate from each layer to the one below; 1 / 2.6 for ULMFiT's discriminative rates."""
    gradual_unfreezing: bool = False
    """The first epoch trains only the classifier and the top layer, each further epoch one more layer, the word vectors
    last (ULMFiT, section 3.3)."""
    clip_norm: float = 1.0
    """Maximum global gradient norm; larger gradients are scaled down."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        require_between(1e-9, 10, learning_rate=self.learning_rate, muon_learning_rate=self.muon_learning_rate)
        require_between(0, 0.999, muon_momentum=self.muon_momentum)
        require_between(0, 1, warmup=self.warmup, weight_decay=self.weight_decay)
        require_between(0.001, 1, decay_share=self.decay_share)
        require_between(0, 0.99999, ema_decay=self.ema_decay)
        if self.schedule in ("cosine", "warmup_stable_decay") and self.decay_from == "start":
            raise InputError(f"optimizer.decay_from: `start` is for schedule linear; {self.schedule} has no such decay")
        if self.schedule == "warmup_stable_decay" and self.warmup + self.decay_share > 1:
            raise InputError(
                "optimizer.decay_share: it and optimizer.warmup are shares of one run; make them at most 1"
            )
        require_between(1e-6, 1e6, clip_norm=self.clip_norm)
        require_between(0.01, 1, layer_decay=self.layer_decay)


@dataclass(frozen=True)
class SpeedConfig:
    """Fast paths, chosen for the hardware; each can be switched off. docs/performance.md has their measurements."""

    allocator: bool = outside_digest(True)
    """Restart the process with settings that make glibc's allocator keep its memory."""
    precision: Literal["auto", "fastest", "fp32", "bf16", "fp16"] = added_later("auto")
    """`auto`: that of `accelerate launch --mixed_precision`, else bf16 on a GPU that supports it, else fp32. `fastest`:
    the same, with bf16 on a CPU with instructions for it, too."""
    attention: Literal["auto", "torch"] = outside_digest("auto")
    """`auto`: on a CPU, attention that stores its scores; on a GPU, padding-free if `flash_attn` is installed."""
    layers: Literal["auto", "torch"] = outside_digest("auto")
    """`auto`: on a CPU, and with `attention: auto`, ModernBERT's layers with fewer passes over memory, and the last one
    where something is predicted."""
    dropout: Literal["auto", "torch"] = outside_digest("auto")
    """`auto`: on a CPU, dropout with cheaper random numbers."""
    compile: bool | None = outside_digest(None)
    """torch.compile with static shapes; null: on a GPU, for long enough runs."""
    products: Literal["auto", "torch", "onednn"] = outside_digest("auto")
    """Who computes fp32 matrix products on a CPU. `auto`: oneDNN where it is clearly faster than torch's default and as
    exact; on CPUs with AMX, `onednn` computes in bf16."""
    waiting: Literal["auto", "sleep", "torch"] = outside_digest("auto")
    """How CPU threads wait for each other. `torch`: they spin, as torch leaves it; `sleep`; `auto`: `sleep` where, at
    the start, other work leaves fewer processors than threads. OMP_WAIT_POLICY takes precedence."""
    tf32: bool = outside_digest(True)
    """On a GPU, TF32 for fp32 operations."""
    activation_checkpointing: bool | None = outside_digest(None)
    """Recompute activations instead of storing them; null: on a GPU, if they would not fit."""
    device_masks: bool | None = outside_digest(None)
    """Draw masks on the device; null: on a GPU. The masks are the same."""


@dataclass(frozen=True)
class TrainingConfig:
    """Duration, batches and checkpoints, for any objective."""

    duration: str = "3 epochs"
    """`2 epochs`, `1000 steps`, `50M tokens` (input tokens without padding) or `30 minutes` (of training steps, without
    evaluations and checkpoints). Warm-up and decay are shares of it."""
    batch_size: int = 32
    """Sequences per optimizer step, over all processes and micro-batches."""
    gradient_accumulation_steps: int = 1
    """Micro-batches per optimizer step; losses are weighted by counts, so the result does not depend on it."""
    evaluations: int = 10
    """Number of evaluations on held-out data, evenly spaced; the last is at the end of the run."""
    save_every: int = outside_digest(500)
    """Steps between checkpoints."""
    keep_checkpoints: int = outside_digest(2)
    """Number of newest checkpoints to keep, besides the best."""
    log_every: int = outside_digest(20)
    """Steps between rows of `metrics.jsonl`, each the mean since the previous row."""
    workers: int | None = outside_digest(None)
    """Processes that prepare batches; the batches do not depend on it. null: 0 on a CPU and in fine-tuning, up to 4 in
    pretraining on a GPU."""
    threads: int | None = None
    """CPU threads; null: one per physical core, divided among the processes of this machine. Another number may change
    results in the last bit."""
    processes: int | None = outside_digest(None)
    """Required number of training processes; a launch with another number is refused. null: any number."""
    maximum_skipped_steps: int = outside_digest(10)
    """Steps with a NaN or infinite loss or gradient are skipped; after this many in a row the run stops."""
    timeout: float = outside_digest(600.0)
    """Seconds after which a training process of this machine that makes no progress ends the run."""
    accept_changes: bool = outside_digest(False)
    """Resume from a checkpoint although config, tokenizer or data have changed."""
    speed: SpeedConfig = added_later(SpeedConfig())  # noqa: RUF009

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
