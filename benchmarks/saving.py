"""`python -m benchmarks.saving`: the cost of checkpoints, compared with training steps and with a start.

Reads only the built-in sample. Checkpoints are written as in a normal run, flushed to the disk.
"""

import dataclasses
import statistics
import tempfile
from typing import Any
from unittest import mock

from benchmarks.measurement.measuring import print_measurement, seconds
from configs.command_line import load, parse
from configs.errors import run_command
from pretrain.config import PretrainConfig
from tokenizer.config import TokenizerConfig

PROGRAM = "python -m benchmarks.saving"
SIZES: dict[str, dict[str, Any]] = {
    "demo": {},
    "mini": {"model.layers": 4, "model.hidden_size": 256, "model.heads": 4},
}


@dataclasses.dataclass(frozen=True)
class SavingConfig:
    """Measure the cost of checkpoints in pretraining runs with the demo's model and with BERT-mini."""

    data_folder: str | None = None
    """Unused: the benchmark reads the built-in sample."""
    steps: int = 60
    """Steps of each run; a checkpoint is written every 20 steps."""


def run(config: SavingConfig) -> None:
    """Run the benchmark and print the measurements."""
    for name, keys in SIZES.items():
        with tempfile.TemporaryDirectory() as runs:
            measure(name, keys, config.steps, runs)


def measure(name: str, keys: dict[str, Any], steps: int, runs: str) -> None:
    """Time the saves and the steps of a run, then a start from its last checkpoint."""
    from pretrain.run import run as pretrain
    from pretrain.training import checkpoints, engine
    from tokenizer.run import run as train_tokenizer

    train_tokenizer(load(TokenizerConfig, "configs/tokenizer/demo.yaml", {"runs": runs}))
    overrides = {
        "runs": runs,
        "training.duration": f"{steps} steps",
        "training.save_every": 20,
        "training.evaluations": 1,
    }
    config = load(PretrainConfig, "configs/pretrain/demo.yaml", keys | overrides)
    save_seconds: list[float] = []
    save = engine._save

    def timed_save(*arguments: Any) -> None:
        save_seconds.append(seconds(lambda: save(*arguments)))

    with mock.patch.object(engine, "_save", timed_save):
        folder = pretrain(config)
    seconds_per_step = folder.result()["seconds"] / steps
    seconds_per_save = statistics.median(save_seconds)
    interval = load(PretrainConfig, "configs/pretrain/demo.yaml").training.save_every
    checkpoint = checkpoints.list_checkpoints(folder.checkpoints)[-1]
    size = sum(file.stat().st_size for file in checkpoint.iterdir())
    print_measurement(f"saving.{name}.checkpoint", size / 1e6, None, "MB")
    print_measurement(
        f"saving.{name}.seconds", seconds_per_save, interval * seconds_per_step, f"s a save, beside {interval} steps"
    )
    print_measurement(
        f"saving.{name}.share",
        100 * seconds_per_save / (seconds_per_save + interval * seconds_per_step),
        None,
        "% of the time of training",
    )
    check_seconds = seconds(lambda: checkpoints.find_damage(checkpoint))
    (folder.path / "result.json").unlink()
    print_measurement(
        f"saving.{name}.check",
        check_seconds,
        seconds(lambda: pretrain(config)),
        "s for all sums, beside a start and its end",
    )


def main() -> None:
    """Parse the command line, then run the benchmark."""
    run(parse(SavingConfig, PROGRAM))


if __name__ == "__main__":
    run_command(PROGRAM, main)
