"""The fast paths of a run: chosen for the hardware, logged in one line, each with a switch.

`choose` is a pure function of config, hardware and workload; `apply` installs the choice in a model. The paths change
only rounding and, for dropout, the random draws.
"""

import contextlib
import importlib.util
import math
import os
import shutil
from dataclasses import dataclass
from typing import Any

import torch

from configs.errors import InputError
from configs.launch import default_threads, launched_precision, physical_cores
from pretrain.models.architectures import architecture_of, encoders_of
from pretrain.models.cpu_kernels import install_attention, install_dropout
from pretrain.models.cpu_modernbert import has_faster_layers, install_layers
from pretrain.training import products
from pretrain.training.config import SpeedConfig, TrainingConfig
from pretrain.training.schedule import Duration
from pretrain.training.throughput import FORWARD_AND_BACKWARD, FlopCount

# Compilation takes about a minute, which a run on a GPU regains within about ten minutes.
WORTH_COMPILING = 3e16
SECONDS_WORTH_COMPILING = 600
# Graphs of static shapes: one per length bucket, in training and evaluation, and for the last, smaller batches.
MAXIMUM_GRAPHS = 32
# Bytes of a layer's activations per token and unit of width, in 16 bits (Korthikanti et al. 2022, section 4.1, without
# the scores, which fused attention does not store).
ACTIVATION_BYTES = 34
MEMORY_FOR_ACTIVATIONS = 0.6
PRECISIONS = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Hardware:
    """The hardware facts that the choice depends on."""

    device: str
    bf16: bool
    """Whether it has bfloat16 instructions."""
    flash_attention: bool = False
    """Whether the package `flash_attn` is installed, whose attention skips padding."""
    compiler: bool = True
    """Whether the compiler that torch.compile needs is installed."""
    memory: float = float("inf")
    """Memory of the device, in bytes."""
    products: str = "torch"
    """The library that is fastest at fp32 matrix products; see `products.py`."""


@dataclass(frozen=True)
class Workload:
    """The facts of a run that the choice depends on."""

    padding_mask_only: bool = False
    """Whether attention in every encoder depends only on the padding mask."""
    operations: float = 0.0
    """Floating-point operations of the whole run on one device, estimated from its duration."""
    tokens: int = 0
    """Tokens of a micro-batch on one device."""
    layers: int = 0
    width: int = 0
    launched_precision: str = "no"
    """The precision of `accelerate launch --mixed_precision`."""
    has_faster_layers: bool = False
    """Whether pretrain/models/cpu_modernbert.py has layers for the model."""


def workload_of(
    model: torch.nn.Module,
    flops: FlopCount,
    config: TrainingConfig,
    tokens_per_step: int,
    tokens_per_epoch: int,
    processes: int,
) -> Workload:
    """The workload of a run on each of its devices."""
    duration = Duration.parse(config.duration)
    token_operations = FORWARD_AND_BACKWARD * flops.token / processes
    if duration.unit == "seconds":
        operations = WORTH_COMPILING * duration.amount / SECONDS_WORTH_COMPILING
    else:
        tokens = {"steps": tokens_per_step, "tokens": 1, "epochs": tokens_per_epoch}[duration.unit]
        operations = token_operations * duration.amount * tokens
    if duration.maximum_steps < math.inf:
        operations = min(operations, token_operations * tokens_per_step * duration.maximum_steps)
    encoders: list[Any] = encoders_of(model)
    model_config = encoders[0].config if encoders else None
    return Workload(
        padding_mask_only=attends_by_padding_alone(model),
        operations=operations,
        tokens=tokens_per_step // config.gradient_accumulation_steps // processes,
        layers=getattr(model_config, "num_hidden_layers", 0),
        width=getattr(model_config, "hidden_size", 0),
        launched_precision=launched_precision(),
        has_faster_layers=has_faster_layers(model),
    )


def attends_by_padding_alone(model: torch.nn.Module) -> bool:
    """Whether the attention of every encoder in a model can be replaced by a faster implementation."""
    encoders = encoders_of(model)
    return bool(encoders) and all(
        architecture_of(encoder.config).padding_mask_only(encoder.config) for encoder in encoders
    )


def uncompiled(model: torch.nn.Module) -> contextlib.AbstractContextManager[None]:
    """A context in which a compiled model runs eagerly.

    Evaluation has batches of many shapes, each run once: compiling a graph for each takes far longer than it saves.
    """
    compiled = any(getattr(module, "_compiled_call_impl", None) is not None for module in model.modules())
    return torch.compiler.set_stance("force_eager") if compiled else contextlib.nullcontext()


def worker_count(configured: int | None, device: str) -> int:
    """Number of processes that prepare batches.

    On a CPU they would compete with training for cores; a GPU should not wait for batches.
    """
    if configured is not None:
        return configured
    return min(4, max(1, physical_cores() - 1)) if device == "cuda" else 0


@dataclass(frozen=True)
class FastPaths:
    """The chosen fast paths."""

    device: str
    precision: str
    """`no` (fp32), `bf16` or `fp16`, as accelerate calls it."""
    attention: str
    """`cpu_kernel` (pretrain/models/cpu_kernels.py), `sdpa` or `flash_attention_2`."""
    fast_dropout: bool
    compiled: bool
    tf32: bool
    activation_checkpointing: bool
    device_masks: bool
    products: str = "torch"
    """`onednn`, or `torch` for its default library."""
    fast_layers: bool = False
    """Those of pretrain/models/cpu_modernbert.py."""

    def __str__(self) -> str:
        """One line for the log."""
        names = {
            "cpu_kernel": "attention with kept scores",
            "sdpa": "torch's fused attention",
            "flash_attention_2": "flash attention without padding",
        }
        parts = [self.device, {"no": "fp32"}.get(self.precision, self.precision), names[self.attention]]
        parts += ["layers in fewer passes"] * self.fast_layers
        parts += ["products by oneDNN"] * (self.products == "onednn")
        parts += ["cheap dropout"] * self.fast_dropout + ["compiled"] * self.compiled + ["TF32"] * self.tf32
        parts += ["activations computed again"] * self.activation_checkpointing
        return ", ".join(parts + ["masks drawn on the device"] * self.device_masks)


def choose(config: SpeedConfig, hardware: Hardware, work: Workload) -> FastPaths:
    """The fastest paths of the hardware for a workload, without those that are switched off.

    Raises:
        InputError: the config requests a path that the hardware does not support.
    """
    on_gpu = hardware.device == "cuda"
    chosen = precision(config, hardware, work.launched_precision)
    replaceable = work.padding_mask_only
    attention = "sdpa"
    if config.attention == "auto" and replaceable:
        if on_gpu and hardware.flash_attention and chosen != "no":
            attention = "flash_attention_2"
        if hardware.device == "cpu":
            attention = "cpu_kernel"
    worth_compiling = (
        on_gpu and hardware.compiler and work.operations >= WORTH_COMPILING and attention == "sdpa" and replaceable
    )
    if config.compile and not hardware.compiler:
        raise InputError("training.speed.compile: torch.compile needs a C++ compiler, and none is on the PATH")
    if config.device_masks and hardware.device == "mps":
        raise InputError("training.speed.device_masks: masks are drawn in float64, which Apple's GPUs lack")
    recompute = config.activation_checkpointing
    if recompute is None:
        activations = work.tokens * work.layers * work.width * ACTIVATION_BYTES * (1 if chosen != "no" else 2)
        recompute = on_gpu and activations > MEMORY_FOR_ACTIVATIONS * hardware.memory
    return FastPaths(
        device=hardware.device,
        precision=chosen,
        attention=attention,
        fast_dropout=hardware.device == "cpu" and config.dropout == "auto",
        compiled=worth_compiling if config.compile is None else config.compile,
        tf32=on_gpu and config.tf32,
        activation_checkpointing=recompute,
        device_masks=on_gpu if config.device_masks is None else config.device_masks,
        products=hardware.products if config.products == "auto" else config.products,
        fast_layers=attention == "cpu_kernel" and config.layers == "auto" and work.has_faster_layers,
    )


def precision(config: SpeedConfig, hardware: Hardware, launched: str) -> str:
    """`no` (fp32), `bf16` or `fp16`: that of the config, else accelerate's, else the hardware's fastest.

    Raises:
        InputError: the device does not support the precision, or would be slower with it.
    """
    if config.precision in ("auto", "fastest"):
        requested = launched
        if requested == "no" and hardware.bf16 and (hardware.device == "cuda" or config.precision == "fastest"):
            return "bf16"
    else:
        requested = {"fp32": "no"}.get(config.precision, config.precision)
    if requested == "bf16" and not hardware.bf16:
        reason = "AVX512-BF16 or AMX on a CPU; without them it is about 70 times slower than fp32"
        raise InputError(
            f"training.speed.precision: this {hardware.device} has no bf16 instructions ({reason}); use fp32"
        )
    if requested == "fp16" and hardware.device == "cpu":
        raise InputError("training.speed.precision: fp16 needs a GPU; use fp32")
    return requested


def this_hardware() -> Hardware:
    """CUDA or MPS if available, unless accelerate is set to use the CPU; else the CPU."""
    cpu_only = os.environ.get("ACCELERATE_USE_CPU", "false").lower() in ("1", "true")
    if torch.backends.mps.is_available() and not cpu_only:
        return Hardware(device="mps", bf16=False, compiler=False)
    if torch.cuda.is_available() and not cpu_only:
        return Hardware(
            device="cuda",
            bf16=torch.cuda.is_bf16_supported(),
            flash_attention=importlib.util.find_spec("flash_attn") is not None,
            compiler=importlib.util.find_spec("triton") is not None,
            memory=torch.cuda.get_device_properties(0).total_memory,
        )
    bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    compiler = any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "g++", "clang++"))
    return Hardware(device="cpu", bf16=bf16, compiler=compiler, products=products.fastest_library())


def set_threads(configured: int | None) -> None:
    """Set torch's number of threads; None: one per physical core of this process's share."""
    threads = default_threads(os.environ, physical_cores()) if configured is None else configured
    if threads is not None:
        torch.set_num_threads(threads)


def apply(paths: FastPaths, model: torch.nn.Module) -> None:
    """Install the chosen paths in a model, in place; its weights and its saved format do not change."""
    products.use(paths.products)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = paths.tf32
    for encoder in encoders_of(model):
        if paths.attention == "cpu_kernel":
            install_attention(encoder)
        elif paths.attention == "flash_attention_2":
            encoder.set_attn_implementation(paths.attention)
        if paths.fast_layers:
            install_layers(encoder)
        if paths.activation_checkpointing and encoder.supports_gradient_checkpointing:
            encoder.activation_checkpointing_enable()
    if paths.fast_dropout:
        install_dropout(model)
    if paths.compiled:
        dynamo: Any = torch._dynamo.config
        dynamo.recompile_limit = MAXIMUM_GRAPHS
        # In place, which keeps the names of the weights.
        model.compile(dynamic=False)
