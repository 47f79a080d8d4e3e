"""`python -m benchmarks.scaling --data_folder DIR`: pretraining throughput by threads, processes and fast paths.

DIR holds `imdb/{train,unsupervised}.parquet`. Measures real tokens per second of `python -m pretrain` with BERT-mini;
the peer is a baseline run (one process, all cores, 128 tokens, all documents), measured alternately.
"""

import contextlib
import dataclasses
import statistics
import subprocess
import sys
from collections.abc import Generator
from typing import Any

from benchmarks.measurement.measuring import measure_stage, print_measurement
from benchmarks.pretrain import FILE, PretrainBenchmarkConfig, overrides, trained_tokenizer
from configs.bounds import require_at_least
from configs.command_line import parse
from configs.errors import run_command
from configs.launch import physical_cores

PROGRAM = "python -m benchmarks.scaling"
# Keys of `training.speed`, each set to the opposite of its default on a CPU.
SWITCHES = {
    "allocator-off": ("allocator", False),
    "attention-off": ("attention", "torch"),
    "dropout-off": ("dropout", "torch"),
    "compile-on": ("compile", True),
}
# Beside a process that computes.
BUSY = "beside-another"


@dataclasses.dataclass(frozen=True)
class ScalingBenchmarkConfig:
    """Measure throughput by threads, processes, length and corpus size, without each fast path, and by waiting."""

    data_folder: str
    """The folder with `imdb/train.parquet` and `imdb/unsupervised.parquet`."""
    size: str = "mini"
    """BERT size."""
    steps: int = 14
    """Steps per run, warm-up included."""
    rounds: int = 2
    """Measurements of each side; their median is reported."""
    lengths: list[int] = dataclasses.field(default_factory=lambda: [256, 512])
    """Sequence lengths, at equal tokens per batch."""
    documents: list[int] = dataclasses.field(default_factory=lambda: [1000])
    """Numbers of documents."""
    only: str | None = None
    """Measure only `threads`, `processes`, `length`, `documents`, `switch` or `waiting`."""
    runs: str = "runs/benchmarks"
    """The parent folder of all run folders."""

    def __post_init__(self) -> None:
        """Validate the keys."""
        require_at_least(1, rounds=self.rounds)


def run(config: ScalingBenchmarkConfig) -> None:
    """Run the benchmark and print the measurements."""
    cores = physical_cores()
    pretrain_config = PretrainBenchmarkConfig(config.data_folder, steps={config.size: config.steps}, runs=config.runs)
    tokenizer = str(trained_tokenizer(config.data_folder, pretrain_config.vocabulary_size, config.runs).path)
    baseline = overrides(pretrain_config, config.size, tokenizer, "scaling")
    multiprocess_launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(cores)]
    variants: dict[str, tuple[dict[str, Any], list[str]]] = {
        f"processes.{cores}x1": ({"training.processes": cores}, multiprocess_launcher),
        "threads.1": ({"training.threads": 1}, []),
    }
    for length in config.lengths:
        keys = {"sequence_length": length, "training.batch_size": max(1, 128 * pretrain_config.batch_size // length)}
        variants[f"length.{length}"] = (keys, [])
    for count in config.documents:
        variants[f"documents.{count}"] = ({"corpus.maximum_documents": count, "held_out_share": 0.02}, [])
    variants |= {f"switch.{name}": ({f"training.speed.{key}": value}, []) for name, (key, value) in SWITCHES.items()}
    variants |= {f"waiting.{beside}": ({"training.speed.waiting": "sleep"}, []) for beside in ("alone", BUSY)}
    for name, (changes, launcher) in variants.items():
        if config.only is not None and not name.startswith(config.only):
            continue
        theirs, ours = [], []
        waits = {"training.speed.waiting": "torch"} if name.startswith("waiting") else {}
        for number in range(config.rounds):
            keys = baseline | changes | {"name": f"benchmark-{name}"}
            with other_work() if name.endswith(BUSY) else contextlib.nullcontext():
                theirs.append(measure_stage("pretrain", baseline | waits, FILE)["tokens_per_second"])
                rates = measure_stage("pretrain", keys, FILE, launcher, ACCELERATE_USE_CPU="true")
            ours.append(rates["tokens_per_second"])
            print(f"{name}, round {number + 1}: {ours[-1]:,.0f} against {theirs[-1]:,.0f} tokens/s", file=sys.stderr)
        print_measurement(f"scaling.{name}", statistics.median(ours), statistics.median(theirs), "tokens/s")


@contextlib.contextmanager
def other_work() -> Generator[None]:
    """A process that computes all the while."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """Parse the command line, then run the benchmark."""
    run(parse(ScalingBenchmarkConfig, PROGRAM))


if __name__ == "__main__":
    run_command(PROGRAM, main)
