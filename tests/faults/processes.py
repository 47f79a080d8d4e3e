"""Faults of runs of several processes: other numbers of them, lost ones, NaN on one. Each gives what it found."""

import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
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
from tests.helpers.paths import ROOT
from tests.helpers.pretraining import small_run

Found = dict[str, Any]


def launch(file: Path, processes: int, log: Path, *flags: str, script: str = "pretrain") -> "subprocess.Popen[bytes]":
    """Start a run on so many gloo processes of this machine."""
    module = ["-m", script] if script == "pretrain" else [script]
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", str(processes)]
    if processes > 1:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            launcher += ["--main_process_port", str(free.getsockname()[1])]
        launcher += ["--config_file", "configs/accelerate/cpu-processes.yaml"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    with log.open("wb") as stream:
        return subprocess.Popen(
            [*launcher, *module, "--config", str(file), *flags],
            cwd=ROOT, env=environment, stdout=stream, stderr=stream, start_new_session=True,
        )  # fmt: skip


def as_file(config: Any, file: Path) -> Path:
    """A config as the YAML file of a command."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(as_dict(config)), encoding="utf-8")
    return file


def wait_for_step(folder: RunFolder, step: int, process: "subprocess.Popen[bytes]", seconds: float = 180) -> None:
    """Until the journal has come so far."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        rows = folder.metrics.read_text().splitlines() if folder.metrics.exists() else []
        if any(int(found[1]) >= step for row in rows[-2:] if (found := re.match(r'\{"step": (\d+)', row))):
            return
        time.sleep(0.05)
    raise AssertionError(f"step {step} was not reached")


def world_sizes(folder: Path, worlds: tuple[int, ...] = (1, 2, 4, 2, 1)) -> dict[str, Any]:
    """One run that is interrupted and goes on with another number of processes each time."""
    config = small_run(
        folder, model={"dropout": 0.0}, training={"duration": "240 steps", "log_every": 1, "save_every": 1000}
    )
    unbroken = pretrain.run.run(config)
    changing = dataclasses.replace(config, runs=str(folder / "changing"))
    file, place = as_file(changing, folder / "changing.yaml"), run_folder(changing)
    for number, world in enumerate(worlds):
        log = folder / f"world{number}.log"
        process = launch(file, world, log)
        if number < len(worlds) - 1:
            wait_for_step(place, 240 * (number + 1) // len(worlds), process)
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=180)
        assert place.finished or number < len(worlds) - 1, log.read_text()[-2000:]
    curves = [[row["loss"] for row in read_metrics(run.metrics) if "loss" in row] for run in (unbroken, place)]
    return {
        "worlds": " → ".join(map(str, worlds)),
        "steps": len(curves[1]),
        "largest difference": largest_difference(*curves),
    } | shares_of_ranks(folder)


def ranks(folder: Path, processes: int, *words: str, seconds: float = 300) -> Any:
    """What so many processes of `tests.faults.ranks` find; None if they were not done in time."""
    folder.mkdir(parents=True, exist_ok=True)
    launcher = ["torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    environment = {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "FAULTS_FOLDER": str(folder)}
    process = subprocess.Popen(
        [sys.executable, "-m", *launcher, "-m", "tests.faults.ranks", *words],
        cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None
    assert process.returncode == 0, errors[-3000:]
    return json.loads(output.strip().splitlines()[-1])


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
    log = folder / f"lost{number}.log"
    process = launch(as_file(config, folder / f"lost{number}.yaml"), 2, log)
    wait_for_step(run_folder(config), 20, process)
    ranks = [child for child in psutil.Process(process.pid).children(recursive=True) if "-m" in child.cmdline()]
    asked = time.monotonic()
    ranks[-1].send_signal(number)
    process.wait(timeout=timeout + 60)
    seconds = time.monotonic() - asked
    return {
        "seconds": seconds,
        "left": sum(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in ranks),
        "named": bool(re.search(r"rank 1 \(process \d+\)|local_rank: 1|rank +: 1", log.read_text())),
        "status": process.returncode,
    }


ONE_RANK = """
import sys
import dataclasses, os
from pretrain.objectives.registry import OBJECTIVES
from pretrain.__main__ import main
original, calls = OBJECTIVES["mlm_nsp"], iter(range(10**6))
def spoiled(model, batch):
    output = original.loss(model, batch)
    if model.training and next(calls) in (4, 5) and os.environ["RANK"] == "1":
        return output._replace(loss=output.loss * float("nan"))
    return output
OBJECTIVES["mlm_nsp"] = dataclasses.replace(original, loss=spoiled)
main()
"""


def non_finite_on_one_rank(folder: Path) -> dict[str, int]:
    """One of two processes has a loss that is NaN: both leave the step out."""
    script = folder / "spoiled.py"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(textwrap.dedent(ONE_RANK), encoding="utf-8")
    training = {"duration": "12 steps", "log_every": 1, "save_every": 1, "keep_checkpoints": 99}
    config = small_run(folder, training=training, runs=str(folder / "one-rank"))
    log = folder / "one-rank.log"
    process = launch(as_file(config, folder / "one-rank.yaml"), 2, log, script=str(script))
    process.wait(timeout=180)
    place = run_folder(config)
    assert place.finished, log.read_text()[-3000:]
    return {
        "spoiled": 2,
        "skipped": sum("skipped" in row for row in read_metrics(place.metrics)),
        "in checkpoints": sum(not_finite(found) for found in checkpoints.list_checkpoints(place.checkpoints)),
    }
