"""Which fast paths a run takes: chosen from the machine, told in a line, each with its off switch.

`choose` is a pure function of what is asked for, what the machine has and what the run holds; `apply` puts the choice
into a model. None of the paths changes what is computed but for rounding (and, of dropout, which elements drop).
"""

import importlib.util
import os
import shutil
from dataclasses import dataclass
from typing import Any

import torch

from configs.errors import InputError
from configs.launch import default_threads, physical_cores
from pretrain.models.architectures import architecture_of, encoders_of
from pretrain.models.cpu_kernels import install_attention, install_dropout
from pretrain.training.config import SpeedConfig, TrainingConfig
from pretrain.training.schedule import Duration
from pretrain.training.throughput import FORWARD_AND_BACKWARD, FlopCount

# Compilation takes a minute or so; a run on a GPU earns that back within some ten minutes of work.
WORTH_COMPILING = 3e16
SECONDS_WORTH_COMPILING = 600
# Graphs of fixed shapes: of each length bucket, in training and evaluation, and of the last, smaller batches.
GRAPHS = 32
# Of a layer's activations, bytes a token and unit of width in 16 bits (Korthikanti et al. 2022, section 4.1, without
# the scores that fused attention does not keep).
BYTES_KEPT = 34
MEMORY_FOR_ACTIVATIONS = 0.6
PRECISIONS = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Hardware:
    """What the choice depends on."""

    device: str
    bf16: bool
    """Whether it has instructions for bfloat16."""
    flash_attention: bool = False
    """Whether the package `flash_attn` is here, which attends without padding."""
    compiler: bool = True
    """Whether something can compile what torch.compile writes."""
    memory: float = float("inf")
    """Bytes of the device."""


@dataclass(frozen=True)
class Workload:
    """What a run asks of the machine."""

    padding_mask_only: bool = False
    """Whether attention in every encoder depends on the padding mask alone."""
    operations: float = 0.0
    """Floating-point operations of the whole run, as far as its duration tells."""
    tokens: int = 0
    """Of a micro-batch on one device."""
    layers: int = 0
    width: int = 0
    launched_precision: str = "no"
    """What `accelerate launch --mixed_precision` says."""


def workload_of(
    model: torch.nn.Module,
    arithmetic: FlopCount,
    config: TrainingConfig,
    tokens_per_step: int,
    tokens_per_epoch: int,
    processes: int,
) -> Workload:
    """What a run asks of each of its devices."""
    duration = Duration.parse(config.duration)
    tokens = duration.amount * {"steps": tokens_per_step, "tokens": 1, "epochs": tokens_per_epoch}.get(duration.unit, 0)
    operations = FORWARD_AND_BACKWARD * arithmetic.token * tokens / processes
    if duration.unit == "seconds":
        operations = WORTH_COMPILING * duration.amount / SECONDS_WORTH_COMPILING
    encoders: list[Any] = encoders_of(model)
    model_config = encoders[0].config if encoders else None
    return Workload(
        padding_mask_only=attends_by_padding_alone(model),
        operations=operations,
        tokens=tokens_per_step // config.gradient_accumulation_steps // processes,
        layers=getattr(model_config, "num_hidden_layers", 0),
        width=getattr(model_config, "hidden_size", 0),
        launched_precision=launched_precision(),
    )


def attends_by_padding_alone(model: torch.nn.Module) -> bool:
    """Whether every encoder in a model lets another implementation of attention take its place."""
    encoders = encoders_of(model)
    return bool(encoders) and all(architecture_of(encoder.config).padding_mask_only for encoder in encoders)


def launched_precision() -> str:
    """What `accelerate launch` was told."""
    return os.environ.get("ACCELERATE_MIXED_PRECISION", "no")


def worker_count(configured: int | None, device: str) -> int:
    """Processes that prepare batches.

    On a CPU they would take the cores that training needs; a GPU is not to wait for its batches.
    """
    if configured is not None:
        return configured
    return min(4, max(1, physical_cores() - 1)) if device == "cuda" else 0


@dataclass(frozen=True)
class FastPaths:
    """The choice."""

    device: str
    precision: str
    """`no` (fp32), `bf16` or `fp16`, as accelerate calls it."""
    attention: str
    """`kept` (pretrain/models/cpu_kernels.py), `sdpa` or `flash_attention_2`."""
    fast_dropout: bool
    compiled: bool
    tf32: bool
    activation_checkpointing: bool
    device_masks: bool

    def __str__(self) -> str:
        """For a person, in a line."""
        names = {
            "kept": "attention with kept scores",
            "sdpa": "torch's fused attention",
            "flash_attention_2": "flash attention without padding",
        }
        said = [self.device, {"no": "fp32"}.get(self.precision, self.precision), names[self.attention]]
        said += ["cheap dropout"] * self.fast_dropout + ["compiled"] * self.compiled + ["TF32"] * self.tf32
        said += ["activations computed again"] * self.activation_checkpointing
        return ", ".join(said + ["masks drawn on the device"] * self.device_masks)


def choose(asked: SpeedConfig, machine: Hardware, work: Workload) -> FastPaths:
    """The fastest paths that this machine has for this work, but for those that are switched off.

    Raises:
        InputError: a path is asked for that the machine does not have.
    """
    on_gpu = machine.device == "cuda"
    chosen = precision(asked, machine, work.launched_precision)
    replaceable = work.padding_mask_only
    attention = "sdpa"
    if asked.attention == "auto" and replaceable:
        if on_gpu and machine.flash_attention and chosen != "no":
            attention = "flash_attention_2"
        if machine.device == "cpu" and chosen == "no":
            attention = "kept"
    pays = on_gpu and machine.compiler and work.operations >= WORTH_COMPILING and attention == "sdpa" and replaceable
    if asked.compile and not machine.compiler:
        raise InputError("training.speed.compile: torch.compile needs a C++ compiler, and there is none on the path")
    recomputed = asked.activation_checkpointing
    if recomputed is None:
        kept = work.tokens * work.layers * work.width * BYTES_KEPT * (1 if chosen != "no" else 2)
        recomputed = on_gpu and kept > MEMORY_FOR_ACTIVATIONS * machine.memory
    return FastPaths(
        device=machine.device,
        precision=chosen,
        attention=attention,
        fast_dropout=machine.device == "cpu" and asked.dropout == "auto",
        compiled=pays if asked.compile is None else asked.compile,
        tf32=on_gpu and asked.tf32,
        activation_checkpointing=recomputed,
        device_masks=on_gpu if asked.device_masks is None else asked.device_masks,
    )


def precision(asked: SpeedConfig, machine: Hardware, launched: str) -> str:
    """`no` (fp32), `bf16` or `fp16`: what is asked for, else accelerate's, else the best of the machine.

    Raises:
        InputError: a precision that the device does not have, or would be slower with.
    """
    if asked.precision == "auto":
        wanted = launched
        if wanted == "no" and machine.device == "cuda" and machine.bf16:
            return "bf16"
    else:
        wanted = {"fp32": "no"}.get(asked.precision, asked.precision)
    if wanted == "bf16" and not machine.bf16:
        reason = "AVX512-BF16 or AMX on a CPU; without them it is some seventy times slower than fp32"
        raise InputError(
            f"training.speed.precision: this {machine.device} has no instructions for bf16 ({reason}); use fp32"
        )
    if wanted == "fp16" and machine.device == "cpu":
        raise InputError("training.speed.precision: fp16 needs a GPU; use fp32")
    return wanted


def this_hardware() -> Hardware:
    """What there is: CUDA or MPS if torch finds it and accelerate is not told otherwise, else the CPU."""
    cpu_alone = os.environ.get("ACCELERATE_USE_CPU", "false").lower() in ("1", "true")
    if torch.backends.mps.is_available() and not cpu_alone:
        return Hardware(device="mps", bf16=False, compiler=False)
    if torch.cuda.is_available() and not cpu_alone:
        return Hardware(
            device="cuda",
            bf16=torch.cuda.is_bf16_supported(),
            flash_attention=importlib.util.find_spec("flash_attn") is not None,
            compiler=importlib.util.find_spec("triton") is not None,
            memory=torch.cuda.get_device_properties(0).total_memory,
        )
    bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    compiler = any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "g++", "clang++"))
    return Hardware(device="cpu", bf16=bf16, compiler=compiler)


def set_threads(given: int | None) -> None:
    """Give torch as many threads as asked for, else one for every physical core of this process's share."""
    threads = default_threads(os.environ, physical_cores()) if given is None else given
    if threads is not None:
        torch.set_num_threads(threads)


def apply(paths: FastPaths, model: torch.nn.Module) -> None:
    """Put the chosen paths into a model, in place; its weights, and how it is saved, stay as they are."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = paths.tf32
    for encoder in encoders_of(model):
        if paths.attention == "kept":
            install_attention(encoder)
        elif paths.attention == "flash_attention_2":
            encoder.set_attn_implementation(paths.attention)
        if paths.activation_checkpointing and encoder.supports_gradient_checkpointing:
            encoder.activation_checkpointing_enable()
    if paths.fast_dropout:
        install_dropout(model)
    if paths.compiled:
        dynamo: Any = torch._dynamo.config
        dynamo.recompile_limit = GRAPHS
        # In place, so that the names of the weights stay as they are.
        model.compile(dynamic=False)
