"""Faults of runs of several processes: other numbers of them, lost ones, NaN on one. Each gives what it found."""

import dataclasses
import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import yaml

import pretrain.run
from configs.command_line import as_dict
from configs.run_folder import RunFolder
from pretrain.run_paths import run_folder
from pretrain.training import checkpoints
from pretrain.training.metric_logger import read_metrics
from tests.faults.runs import largest_difference, not_finite, shares_of_ranks
from tests.helpers import forked
from tests.helpers.pretraining import small_run

Found = dict[str, Any]


def launch(file: Path, processes: int, *flags: str, module: str = "pretrain") -> forked.Command:
    """Start a run on so many gloo processes of this machine."""
    words = ["-m", module, "--config", str(file), *flags]
    launcher = ["-m", *forked.TORCHRUN, str(processes)] if processes > 1 else []
    return forked.Command([*launcher, *words], **forked.GLOO)


def as_file(config: Any, file: Path) -> Path:
    """A config as the YAML file of a command."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(as_dict(config)), encoding="utf-8")
    return file


def wait_for_step(folder: RunFolder, step: int, command: forked.Command, seconds: float = 180) -> None:
    """Until the journal has come so far."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and command.process.is_alive():
        rows = folder.metrics.read_text().splitlines() if folder.metrics.exists() else []
        if any(int(found[1]) >= step for row in rows[-2:] if (found := re.match(r'\{"step": (\d+)', row))):
            return
        time.sleep(0.05)
    raise AssertionError(f"step {step} was not reached: {command.printed('stderr')[-2000:]}")


def world_sizes(folder: Path, worlds: tuple[int, ...] = (1, 2, 4, 2, 1)) -> dict[str, Any]:
    """One run that is interrupted and goes on with another number of processes each time."""
    config = small_run(
        folder, model={"dropout": 0.0}, training={"duration": "240 steps", "log_every": 1, "save_every": 1000}
    )
    unbroken = pretrain.run.run(config)
    changing = dataclasses.replace(config, runs=str(folder / "changing"))
    file, place = as_file(changing, folder / "changing.yaml"), run_folder(changing)
    for number, world in enumerate(worlds):
        command = launch(file, world)
        if number < len(worlds) - 1:
            wait_for_step(place, 240 * (number + 1) // len(worlds), command)
            command.process.terminate()
        ended = command.wait()
        assert place.finished or number < len(worlds) - 1, ended.stderr[-2000:]
    curves = [[row["loss"] for row in read_metrics(run.metrics) if "loss" in row] for run in (unbroken, place)]
    return {
        "worlds": " → ".join(map(str, worlds)),
        "steps": len(curves[1]),
        "largest difference": largest_difference(*curves),
    } | shares_of_ranks(folder)


def ranks(folder: Path, processes: int, *words: str, seconds: float = 300) -> Any:
    """What so many processes of `tests.faults.ranks` find; None if they were not done in time."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ("-m", *forked.TORCHRUN, str(processes), "-m", "tests.faults.ranks", *words)
    try:
        ended = forked.Command(words, FAULTS_FOLDER=str(folder), **forked.GLOO).wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout.strip().splitlines()[-1])


def few_texts(folder: Path, worlds: tuple[int, ...] = (1, 2, 3, 4), counts: tuple[int, ...] = (1, 2, 4, 5)) -> Found:
    """Training and evaluation on fewer texts than processes, and on shares that are not equal, with DDP and FSDP2."""
    found: dict[str, Any] = {"runs": 0, "hangs": 0}
    expected, difference = None, 0.0
    for world in worlds:
        for how in ("ddp", "fsdp"):
            if how == "fsdp" and world == 1:
                continue
            flags = ["--sharded"] if how == "fsdp" else []
            values = ranks(folder / f"{how}-{world}", world, "few-texts", *map(str, counts), *flags)
            found["runs"] += len(counts)
            if values is None:
                found["hangs"] += len(counts)
                continue
            curve = [value for count in counts for value in values[str(count)]]
            expected = curve if expected is None else expected
            difference = max(difference, largest_difference(expected, curve))
    return found | {"largest difference": difference}


def resume_races(folder: Path, kills: int, processes: int = 2) -> Found:
    """A process is killed while it saves, and several resume together."""
    found = ranks(folder / "store", processes, "resume", str(kills), seconds=30 + kills)
    return {"hangs": 1} if found is None else found


def lost_rank(folder: Path, number: int, timeout: float = 5.0) -> dict[str, Any]:
    """One of two processes is killed, or stopped; how long until all are gone, and whether the rank was named."""
    training = {"duration": "5000 steps", "log_every": 1, "save_every": 1000, "evaluations": 1, "timeout": timeout}
    config = small_run(folder, training=training, runs=str(folder / f"lost{number}"))
    command = launch(as_file(config, folder / f"lost{number}.yaml"), 2)
    wait_for_step(run_folder(config), 20, command)
    ranks = psutil.Process(command.process.pid).children()
    asked = time.monotonic()
    ranks[-1].send_signal(number)
    ended = command.wait(timeout + 60)
    seconds = time.monotonic() - asked
    return {
        "seconds": seconds,
        "left": sum(map(forked.is_alive, ranks)),
        "named": bool(re.search(r"rank 1 \(process \d+\)|local_rank: 1|rank +: 1", ended.stderr)),
        "status": ended.returncode,
    }


def non_finite_on_one_rank(folder: Path) -> dict[str, int]:
    """One of two processes has a loss that is NaN: both leave the step out."""
    training = {"duration": "12 steps", "log_every": 1, "save_every": 1, "keep_checkpoints": 99}
    config = small_run(folder, training=training, runs=str(folder / "one-rank"))
    ended = launch(as_file(config, folder / "one-rank.yaml"), 2, module="tests.helpers.spoiled").wait()
    place = run_folder(config)
    assert place.finished, ended.stderr[-3000:]
    return {
        "spoiled": 2,
        "skipped": sum("skipped" in row for row in read_metrics(place.metrics)),
        "in checkpoints": sum(not_finite(found) for found in checkpoints.list_checkpoints(place.checkpoints)),
    }
