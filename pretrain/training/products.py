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
SHAPES = ((1024, 128, 512), (1024, 512, 128), (1024, 256, 1024))
REPETITIONS, TURNS = 2, 5
# oneDNN has to be faster by this factor, between the 1.0 to 1.3 of AMD's Zen 4 and the 2 or more of Zen 5: near either,
# a choice by timing would change from run to run, and results with it.
WORTH_CHANGING = 1.5
# Largest error of a dot product of 512 numbers in [-1/2, 1/2]: fp32 has 1e-5, bf16 1e-2.
TOLERANCE = 1e-4


MATMUL: Any = getattr(torch.backends.mkldnn, "matmul")  # noqa: B009


def use(library: str) -> None:
    """Let `onednn` or `torch`'s default library compute fp32 products on the CPU."""
    MATMUL.fp32_precision = "bf16" if library == "onednn" else "none"


@functools.cache
def fastest_library() -> str:
    """`onednn` if it is clearly faster and as exact, else `torch`.

    Measured in processor time of one thread: what else runs on the machine takes the cores from it, and several threads
    wait for each other then, but the time that it has itself grows little.
    """
    if not onednn_is_exact():
        return "torch"
    before, threads = MATMUL.fp32_precision, torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        gains = []
        for factors in _factors():
            # In turn, so that what shares a core's caches and clock holds up both.
            seconds = [[_seconds(library, *factors) for library in ("torch", "onednn")] for _ in range(TURNS)]
            torch_seconds, onednn_seconds = map(min, zip(*seconds, strict=True))
            gains.append(torch_seconds / onednn_seconds)
        return "onednn" if statistics.geometric_mean(gains) >= WORTH_CHANGING else "torch"
    finally:
        torch.set_num_threads(threads)
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
        started = time.thread_time()
        torch.nn.functional.linear(inputs, weights)
        seconds.append(time.thread_time() - started)
    return min(seconds[1:])
