"""Which library computes a CPU's fp32 matrix products: chosen by timing, and only if its results are as exact.

torch gives fp32 products to MKL, which leaves AVX-512 alone on AMD's CPUs. With the setting below, oneDNN computes
them; on CPUs without AMX, its kernels compute in fp32 all the same, and about twice as fast there. With AMX they would
compute in bf16, which is another precision; the error against fp64 tells.
"""

import functools
import statistics
import time
from typing import Any

import torch

# Rows, inner and outer size: layers of small encoders on a batch of a few thousand tokens.
SHAPES = ((2048, 128, 512), (2048, 512, 128), (2048, 256, 1024))
REPETITIONS, TURNS = 2, 5
# oneDNN has to be faster by this factor: where it is not, a choice by timing would change from run to run.
WORTH_CHANGING = 1.25
# Largest error of a dot product of 512 numbers in [-1/2, 1/2]: fp32 has 1e-5, bf16 1e-2.
TOLERANCE = 1e-4


MATMUL: Any = getattr(torch.backends.mkldnn, "matmul")  # noqa: B009


def use(library: str) -> None:
    """Let `onednn` or `torch`'s default library compute fp32 products on the CPU."""
    MATMUL.fp32_precision = "bf16" if library == "onednn" else "none"


@functools.cache
def fastest_library(threads: int) -> str:
    """`onednn` if it is clearly faster and as exact, else `torch`.

    Args:
        threads: in use; only a cache key.
    """
    if not onednn_is_exact():
        return "torch"
    before = MATMUL.fp32_precision
    try:
        gains = []
        for factors in _factors():
            # In turn, so that what else runs on the machine holds up both.
            seconds = [[_seconds(library, *factors) for library in ("torch", "onednn")] for _ in range(TURNS)]
            torch_seconds, onednn_seconds = map(min, zip(*seconds, strict=True))
            gains.append(torch_seconds / onednn_seconds)
        return "onednn" if statistics.geometric_mean(gains) >= WORTH_CHANGING else "torch"
    finally:
        MATMUL.fp32_precision = before


@functools.cache
def onednn_is_exact() -> bool:
    """Whether oneDNN is there, and its fp32 products on this CPU have no larger errors than fp32 has."""
    if not torch.backends.mkldnn.is_available():
        return False
    before = MATMUL.fp32_precision
    try:
        use("onednn")
        errors = [
            torch.nn.functional.linear(inputs, weights).double() - inputs.double() @ weights.double().T
            for inputs, weights in _factors()
        ]
        return all(float(error.abs().max()) <= TOLERANCE for error in errors)
    finally:
        MATMUL.fp32_precision = before


def _factors() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Inputs and weights of each of the `SHAPES`, in [-1/2, 1/2]."""
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.rand(rows, inner, generator=generator) - 0.5, torch.rand(outer, inner, generator=generator) - 0.5)
        for rows, inner, outer in SHAPES
    ]


def _seconds(library: str, inputs: torch.Tensor, weights: torch.Tensor) -> float:
    use(library)
    seconds = []
    for _ in range(REPETITIONS + 1):
        started = time.perf_counter()
        torch.nn.functional.linear(inputs, weights)
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])
