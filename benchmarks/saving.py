"""`python -m benchmarks.saving`: what checkpoints cost, beside the steps between two of them and beside a start.

The built-in sample alone is read. A checkpoint is written as in a run, with every flush to the disk.
"""

import dataclasses
import statistics
import tempfile
from typing import Any
from unittest import mock

from benchmarks.measuring import line, seconds
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
    """Measure the cost of checkpoints in a pretraining run of the demo, and of BERT-mini's size."""

    data_folder: str | None = None
    """Unused; the built-in sample is read."""
    steps: int = 60
    """Of each run; a checkpoint is written every 20."""


def run(config: SavingConfig) -> None:
    """Print a line for each measurement."""
    for name, keys in SIZES.items():
        with tempfile.TemporaryDirectory() as runs:
            measure(name, keys, config.steps, runs)


def measure(name: str, keys: dict[str, Any], steps: int, runs: str) -> None:
    """One run, its saves and its steps timed; then a start from its last checkpoint."""
    from pretrain.run import run as pretrain
    from pretrain.training import checkpoints, engine
    from tokenizer.run import run as train_tokenizer

    train_tokenizer(load(TokenizerConfig, "configs/tokenizer/demo.yaml", {"runs": runs}))
    given = {"runs": runs, "training.duration": f"{steps} steps", "training.save_every": 20, "training.evaluations": 1}
    made = load(PretrainConfig, "configs/pretrain/demo.yaml", keys | given)
    saves: list[float] = []
    original = engine._save

    def timed(*arguments: Any) -> None:
        saves.append(seconds(lambda: original(*arguments)))

    with mock.patch.object(engine, "_save", timed):
        folder = pretrain(made)
    a_step = folder.result()["seconds"] / steps
    a_save = statistics.median(saves)
    interval = load(PretrainConfig, "configs/pretrain/demo.yaml").training.save_every
    place = checkpoints.list_checkpoints(folder.checkpoints)[-1]
    size = sum(file.stat().st_size for file in place.iterdir())
    line(f"saving.{name}.checkpoint", size / 1e6, None, "MB")
    line(f"saving.{name}.seconds", a_save, interval * a_step, f"s a save, beside {interval} steps")
    line(f"saving.{name}.share", 100 * a_save / (a_save + interval * a_step), None, "% of the time of training")
    check = seconds(lambda: checkpoints.find_damage(place))
    (folder.path / "result.json").unlink()
    line(f"saving.{name}.check", check, seconds(lambda: pretrain(made)), "s for all sums, beside a start and its end")


def main() -> None:
    """Parse the command line, then measure."""
    run(parse(SavingConfig, PROGRAM))


if __name__ == "__main__":
    run_command(PROGRAM, main)
