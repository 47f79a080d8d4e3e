"""How fast a run is: tokens, useful arithmetic, its share of what the device can do, and waiting for data.

Useful are the matrix products that the mathematics asks for, on real tokens: padding, recomputation, dropout,
activations and the optimizer count as nothing. A backward pass counts as two forward passes.
"""

import functools
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

FORWARD_AND_BACKWARD = 3
# What stands behind the encoder and is computed at masked positions, by the beginnings of its modules' names.
PREDICTION_HEADS = (
    "cls.predictions", "lm_head", "generator_lm_head", "generator_predictions", "vocab_", "head.dense", "decoder",
)  # fmt: skip
# What share of a matrix makes queries, by the end of its name; one layer has one of these.
QUERIES = {"query": 1.0, "q_lin": 1.0, "Wqkv": 1 / 3}
ONCE_A_SEQUENCE = ("pooler", "seq_relationship", "classifier", "pre_classifier", "score")
SIDE = {"cpu": 2048, "cuda": 8192}
PRODUCTS = 5


@dataclass(frozen=True)
class FlopCount:
    """Floating-point operations of a forward pass, each a multiplication or an addition."""

    token: float = 0.0
    """A real token, through the encoder's matrices."""
    attended: float = 0.0
    """A pair of positions that attend to each other, over all layers and heads."""
    prediction: float = 0.0
    """A token to predict, through the vocabulary head."""
    sequence: float = 0.0
    """A sequence: pooler and classifier."""

    @classmethod
    def of(cls, model: nn.Module) -> "FlopCount":
        """Count a model's matrices by where they stand.

        >>> FlopCount.of(nn.ModuleDict({"layer": nn.Linear(4, 8), "classifier": nn.Linear(8, 2)}))
        FlopCount(token=64.0, attended=0.0, prediction=0.0, sequence=32.0)
        """
        token = attended = prediction = sequence = 0.0
        for name, module in model.named_modules():
            if isinstance(module, nn.RNNBase):
                token += 2 * sum(weight.numel() for part, weight in module.named_parameters() if "weight" in part)
            if not isinstance(module, nn.Linear):
                continue
            size = 2.0 * module.weight.numel()
            if any(f".{head}" in f".{name}" for head in PREDICTION_HEADS):
                prediction += size
            elif any(head in name for head in ONCE_A_SEQUENCE):
                sequence += size
            else:
                token += size
            # Scores and weighted sums: 2 operations for each number of each pair's two vectors.
            attended += 4.0 * module.out_features * QUERIES.get(name.rsplit(".", 1)[-1], 0.0)
        return cls(token, attended, prediction, sequence)

    def training(self, totals: Mapping[str, int]) -> float:
        """Operations of a training step, by the numbers of what it holds."""
        forward = (
            self.token * totals["tokens"]
            + self.attended * totals["attended"]
            + self.prediction * sum(totals.get(name, 0) for name in ("mlm", "lm", "backward_lm"))
            + self.sequence * totals["sequences"]
        )
        return FORWARD_AND_BACKWARD * forward


@functools.cache
def matmul_rate(device: str, dtype: torch.dtype, threads: int) -> float:
    """Operations a second of a large square matrix product: the median of some, after one to warm up.

    Args:
        device: `cpu`, `cuda` or `mps`.
        dtype: of the factors.
        threads: of a CPU; part of what the answer is remembered by.
    """
    side = SIDE.get(device, 4096)
    left, right = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(PRODUCTS + 1):
        begun = time.perf_counter()
        torch.mm(left, right)
        if device != "cpu":
            torch.accelerator.synchronize()
        seconds.append(time.perf_counter() - begun)
    return 2 * side**3 / statistics.median(seconds[1:])


class ThroughputMeter:
    """Counts what steps do until somebody asks for rates."""

    def __init__(self, arithmetic: FlopCount, matmul_rate: float) -> None:
        """`matmul_rate`: operations a second of all processes together."""
        self.arithmetic, self.matmul_rate = arithmetic, matmul_rate
        self._clear()

    def _clear(self) -> None:
        self.tokens, self.operations, self.seconds, self.waited = 0, 0.0, 0.0, 0.0

    def add(self, totals: Mapping[str, int], seconds: float, waited: float) -> None:
        """Count a step: what it held over all processes, its seconds, and those of them spent waiting for data."""
        self.tokens += totals["tokens"]
        self.operations += self.arithmetic.training(totals)
        self.seconds, self.waited = self.seconds + seconds, self.waited + waited

    def rates(self) -> dict[str, float]:
        """Since the last call: real tokens and useful GFLOP a second, mfu, and the share of time waiting."""
        seconds = max(1e-9, self.seconds)
        useful = self.operations / seconds
        found = {
            "tokens_per_second": self.tokens / seconds,
            "model_gflops": useful / 1e9,
            "mfu": useful / self.matmul_rate,
            "data_wait_share": self.waited / seconds,
        }
        self._clear()
        return found


RATES = ("tokens_per_second", "model_gflops", "mfu", "data_wait_share")


def whole_run(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The rates of a whole run from the rows of its `metrics.jsonl`: means, each row weighted by its seconds."""
    before, weights, sums = 0.0, 0.0, dict.fromkeys(RATES, 0.0)
    for row in (row for row in rows if "tokens_per_second" in row):
        seconds = max(0.0, row["seconds"] - before)
        before, weights = row["seconds"], weights + seconds
        for name in RATES:
            sums[name] += seconds * row[name]
    return {name: total / weights for name, total in sums.items()} if weights else {}
