"""`python -m benchmarks.layers`: ModernBERT's layers and the masked-LM loss on a CPU, against transformers and torch.

Forward and backward pass of one batch, in one process, the two in turn. The peer has the toolkit's attention, too.
"""

import copy
import dataclasses
import statistics
from typing import Any, Literal

from benchmarks.measurement.measuring import print_measurement, time_in_turn
from configs.command_line import parse
from configs.errors import run_command
from configs.launch import tune_allocator

PROGRAM = "python -m benchmarks.layers"


@dataclasses.dataclass(frozen=True)
class LayersConfig:
    """Measure the fast layers and loss of pretraining on this CPU, in fp32 and, where it has instructions, in bf16."""

    size: Literal["tiny", "mini", "small", "medium", "base"] = "mini"
    vocabulary: int = 8000
    batch_size: int = 32
    sequence_length: int = 256
    masked: float = 0.3
    """The share of positions that are predicted."""
    rounds: int = 12
    """Times that each side is measured; the first is not counted."""


class Vocabulary:
    """What a model takes from its tokenizer."""

    pad_token_id, cls_token_id, sep_token_id = range(3)

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size


def run(config: LayersConfig) -> None:
    """Run the benchmark and print the measurements."""
    from pretrain.training.fast_paths import this_hardware

    hardware = this_hardware()
    for precision in ["fp32"] + ["bf16"] * hardware.bf16:
        ours, theirs = times(config, precision)
        rate = config.batch_size * config.sequence_length / 1000
        for name, choose in (("median", statistics.median), ("best", min)):
            print_measurement(
                f"layers.{precision}.{name}", rate / choose(ours), rate / choose(theirs), "thousand tokens/s"
            )


def times(config: LayersConfig, precision: str) -> list[list[float]]:
    """Seconds of forward and backward passes, of ours and of the peer."""
    import torch
    from torch.nn.functional import cross_entropy

    from pretrain.models import cpu_kernels
    from pretrain.models.builders import pretraining_model
    from pretrain.models.config import EncoderConfig
    from pretrain.models.cpu_modernbert import install_layers

    torch.manual_seed(0)
    encoder = EncoderConfig(
        architecture="modernbert", size=config.size, maximum_positions=config.sequence_length, dropout=0.0
    )
    theirs = pretraining_model("masked_lm", encoder, Vocabulary(config.vocabulary), None, seed=0)
    cpu_kernels.install_attention(theirs.model)
    ours = copy.deepcopy(theirs)
    install_layers(ours.model)
    ids_BT = torch.randint(5, config.vocabulary, (config.batch_size, config.sequence_length))
    positions_M = torch.nonzero(torch.rand(ids_BT.numel()) < config.masked).flatten()
    labels_M = ids_BT.flatten()[positions_M]

    def step(model: Any, loss: Any) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            total, _ = loss(model(ids_BT, torch.zeros_like(ids_BT), torch.ones_like(ids_BT), positions_M))
        (total / len(labels_M)).backward()
        model.zero_grad()

    def torchs_loss(scores_MV: torch.Tensor) -> Any:
        # accelerate converts outputs to fp32.
        return cross_entropy(scores_MV.float(), labels_M, reduction="sum"), (scores_MV.argmax(-1) == labels_M).sum()

    durations = time_in_turn(
        config.rounds,
        lambda: step(ours, lambda scores_MV: cpu_kernels.cross_entropy(scores_MV, labels_M)),
        lambda: step(theirs, torchs_loss),
    )
    return [seconds[1:] for seconds in durations]


def main() -> None:
    """Parse the command line, then run the benchmark."""
    config = parse(LayersConfig, PROGRAM)
    tune_allocator(enabled=True)
    run(config)


if __name__ == "__main__":
    run_command(PROGRAM, main)
