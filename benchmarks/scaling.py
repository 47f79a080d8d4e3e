"""`python -m benchmarks.scaling --data_folder DIR`: pretraining against threads, processes, lengths, and fast paths.

DIR holds `imdb/{train,unsupervised}.parquet`. Every figure is real tokens a second of `python -m pretrain` with a
BERT-mini; its peer is the plain run (one process, every core, 128 tokens, all documents), measured in turn with it.
"""

import dataclasses
import statistics
import sys
from typing import Any

from benchmarks.measuring import line, metered
from benchmarks.pretrain import FILE, PretrainBenchmarkConfig, settings, trained_tokenizer
from configs.bounds import require_at_least
from configs.command_line import parse
from configs.errors import run_command
from configs.launch import physical_cores

PROGRAM = "python -m benchmarks.scaling"
# Of `training.speed`: each path of a CPU the other way round.
SWITCHES = {
    "allocator-off": ("allocator", False),
    "attention-off": ("attention", "torch"),
    "dropout-off": ("dropout", "torch"),
    "compile-on": ("compile", True),
}


@dataclasses.dataclass(frozen=True)
class ScalingBenchmarkConfig:
    """Measure how throughput changes with threads, processes, lengths, corpus size, and without each fast path."""

    data_folder: str
    """The folder with `imdb/train.parquet` and `imdb/unsupervised.parquet`."""
    size: str = "mini"
    """Size of BERT."""
    steps: int = 14
    """Steps a run, the first few of which do not count."""
    rounds: int = 2
    """How often each is measured; the medians count."""
    lengths: list[int] = dataclasses.field(default_factory=lambda: [256, 512])
    """Sequence lengths, with as many tokens a batch."""
    documents: list[int] = dataclasses.field(default_factory=lambda: [1000])
    """Numbers of documents."""
    only: str | None = None
    """Measure this alone: `threads`, `processes`, `length`, `documents` or `switch`."""
    runs: str = "runs/benchmarks"
    """Where the tokenizer, the token store and the runs are kept."""

    def __post_init__(self) -> None:
        """Refuse counts below one."""
        require_at_least(1, rounds=self.rounds)


def run(config: ScalingBenchmarkConfig) -> None:
    """Measure and print."""
    cores = physical_cores()
    shared = PretrainBenchmarkConfig(config.data_folder, steps={config.size: config.steps}, runs=config.runs)
    tokenizer = str(trained_tokenizer(config.data_folder, shared.vocabulary_size, config.runs).path)
    plain = settings(shared, config.size, tokenizer, "scaling")
    several = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(cores)]
    variants: dict[str, tuple[dict[str, Any], list[str]]] = {
        f"processes.{cores}x1": ({"training.processes": cores}, several),
        "threads.1": ({"training.threads": 1}, []),
    }
    for length in config.lengths:
        keys = {"sequence_length": length, "training.batch_size": max(1, 128 * shared.batch_size // length)}
        variants[f"length.{length}"] = (keys, [])
    for count in config.documents:
        variants[f"documents.{count}"] = ({"corpus.maximum_documents": count, "held_out_share": 0.02}, [])
    variants |= {f"switch.{name}": ({f"training.speed.{key}": value}, []) for name, (key, value) in SWITCHES.items()}
    for name, (changes, launcher) in variants.items():
        if config.only is not None and not name.startswith(config.only):
            continue
        theirs, ours = [], []
        for number in range(config.rounds):
            theirs.append(metered("pretrain", plain, FILE)["tokens_per_second"])
            keys = plain | changes | {"name": f"benchmark-{name}"}
            ours.append(metered("pretrain", keys, FILE, launcher, ACCELERATE_USE_CPU="true")["tokens_per_second"])
            print(f"{name}, round {number + 1}: {ours[-1]:,.0f} against {theirs[-1]:,.0f} tokens/s", file=sys.stderr)
        line(f"scaling.{name}", statistics.median(ours), statistics.median(theirs), "tokens/s")


def main() -> None:
    """Parse the command line, then measure."""
    run(parse(ScalingBenchmarkConfig, PROGRAM))


if __name__ == "__main__":
    run_command(PROGRAM, main)
