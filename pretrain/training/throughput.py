"""Throughput of a run: tokens/s, model FLOP/s, MFU, and the share of time spent waiting for data.

Model FLOPs are those of the matrix products on real tokens: padding, recomputation, dropout, activation functions and
the optimizer do not count. A backward pass counts as two forward passes.
"""

import functools
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

FORWARD_AND_BACKWARD = 3
# Prefixes of the names of modules that are computed at masked positions only.
PREDICTION_HEADS = (
    "cls.predictions", "lm_head", "generator_lm_head", "generator_predictions", "vocab_", "head.dense", "decoder",
)  # fmt: skip
# The share of a matrix that produces queries, by the end of its name; each layer has one of these.
QUERIES = {"query": 1.0, "q_lin": 1.0, "Wqkv": 1 / 3}
ONCE_A_SEQUENCE = ("pooler", "seq_relationship", "classifier", "pre_classifier", "score")
SIDE = {"cpu": 2048, "cuda": 8192}
PRODUCTS = 5


@dataclass(frozen=True)
class FlopCount:
    """Floating-point operations (multiplications and additions) of a forward pass."""

    token: float = 0.0
    """Per real token, in the encoder's matrices."""
    attended: float = 0.0
    """Per pair of positions that attend to each other, over all layers and heads."""
    prediction: float = 0.0
    """Per target token, in the vocabulary head."""
    sequence: float = 0.0
    """Per sequence, in pooler and classifier."""
    passes: int = field(default=FORWARD_AND_BACKWARD, repr=False)
    """Forward passes that a training step takes as many operations as."""

    @classmethod
    def of(cls, model: nn.Module) -> "FlopCount":
        """Count the matrices of a model.

        >>> FlopCount.of(nn.ModuleDict({"layer": nn.Linear(4, 8), "classifier": nn.Linear(8, 2)}))
        FlopCount(token=64.0, attended=0.0, prediction=0.0, sequence=32.0)
        """
        token = attended = prediction = sequence = 0.0
        for name, module in model.named_modules():
            if isinstance(module, nn.RNNBase):
                token += 2 * sum(weight.numel() for key, weight in module.named_parameters() if "weight" in key)
            if not isinstance(module, nn.Linear):
                continue
            size = 2.0 * module.weight.numel()
            if any(f".{head}" in f".{name}" for head in PREDICTION_HEADS):
                prediction += size
            elif any(head in name for head in ONCE_A_SEQUENCE):
                sequence += size
            else:
                token += size
            # Scores and weighted sums: 2 operations per element of the two vectors of each pair.
            attended += 4.0 * module.out_features * QUERIES.get(name.rsplit(".", 1)[-1], 0.0)
        return cls(token, attended, prediction, sequence)

    def training(self, totals: Mapping[str, int]) -> float:
        """Operations of a training step, given its counts."""
        forward = (
            self.token * totals["tokens"]
            + self.attended * totals["attended"]
            + self.prediction * sum(totals.get(name, 0) for name in ("mlm", "lm", "backward_lm"))
            + self.sequence * totals["sequences"]
        )
        return self.passes * forward


@functools.cache
def matmul_rate(device: str, dtype: torch.dtype, threads: int) -> float:
    """FLOP/s of a large square matrix product: the median of `PRODUCTS` runs after a warm-up.

    Args:
        device: `cpu`, `cuda` or `mps`.
        dtype: of the matrices.
        threads: of a CPU; only part of the cache key.
    """
    side = SIDE.get(device, 4096)
    left, right = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(PRODUCTS + 1):
        started = time.perf_counter()
        torch.mm(left, right)
        if device != "cpu":
            torch.accelerator.synchronize()
        seconds.append(time.perf_counter() - started)
    return 2 * side**3 / statistics.median(seconds[1:])


class ThroughputMeter:
    """Adds up the counts of steps until their rates are read."""

    def __init__(self, flops: FlopCount, matmul_rate: float) -> None:
        """`matmul_rate`: FLOP/s of all processes together."""
        self.flops, self.matmul_rate = flops, matmul_rate
        self._clear()

    def _clear(self) -> None:
        self.tokens, self.operations, self.seconds, self.waited = 0, 0.0, 0.0, 0.0

    def add(self, totals: Mapping[str, int], seconds: float, waited: float) -> None:
        """Add a step: its counts over all processes, its seconds, and the seconds spent waiting for data."""
        self.tokens += totals["tokens"]
        self.operations += self.flops.training(totals)
        self.seconds, self.waited = self.seconds + seconds, self.waited + waited

    def rates(self) -> dict[str, float]:
        """Since the last call: real tokens/s, model GFLOP/s, MFU, and the share of time spent waiting for data."""
        seconds = max(1e-9, self.seconds)
        flops_per_second = self.operations / seconds
        rates = {
            "tokens_per_second": self.tokens / seconds,
            "model_gflops": flops_per_second / 1e9,
            "mfu": flops_per_second / self.matmul_rate,
            "data_wait_share": self.waited / seconds,
        }
        self._clear()
        return rates


RATES = ("tokens_per_second", "model_gflops", "mfu", "data_wait_share")


def whole_run(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The rates of a whole run from the rows of its `metrics.jsonl`: means weighted by the seconds of each row."""
    before, weights, sums = 0.0, 0.0, dict.fromkeys(RATES, 0.0)
    # Rows of a run that began with an earlier version have other names.
    for row in (row for row in rows if row.keys() >= set(RATES)):
        seconds = max(0.0, row["seconds"] - before)
        before, weights = row["seconds"], weights + seconds
        for name in RATES:
            sums[name] += seconds * row[name]
    return {name: total / weights for name, total in sums.items()} if weights else {}
