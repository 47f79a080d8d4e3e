"""Faults of whole runs: kills, signals, lost processes, NaN, little memory. Each function gives what it found."""

import contextlib
import dataclasses
import json
import os
import random
import resource
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import psutil
import torch

import pretrain.run
from configs.errors import STOPPED, InputError, run_command
from configs.run_folder import RunFolder
from finetune.config import FinetuneConfig
from finetune.run import run as finetune
from finetune.run_paths import run_folder as finetune_folder
from pretrain.data.loader import LoaderSettings, StepDataset
from pretrain.models.config import RecurrentLMConfig
from pretrain.objectives import registry
from pretrain.run_paths import run_folder
from pretrain.training import checkpoints
from pretrain.training.metric_logger import read_metrics
from tests.faults.store import FORK, spoil
from tests.helpers.finetuning import finetune_config, write_chain
from tests.helpers.pretraining import CLOCK, changed, small_run


@dataclasses.dataclass(frozen=True)
class Job:
    """A run of some stage that can be done again elsewhere."""

    config: Any
    run: Callable[[Any], RunFolder]
    folder: Callable[[Any], RunFolder]

    def elsewhere(self, runs: Path) -> "Job":
        """The same run with its folder below `runs`; what lies upstream stays where it is."""
        return dataclasses.replace(self, config=dataclasses.replace(self.config, runs=str(runs)))

    def command(self) -> None:
        """Run it as the command would."""

        def command() -> None:
            self.run(self.config)

        run_command("run", command)

    def in_child(self) -> Any:
        """Start it in a forked process, as the command would be."""
        child = FORK.Process(target=self.command)
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):  # noqa: PTH123
            child.start()
        return child

    def outcome(self) -> tuple[Any, ...]:
        """What has to be equal to the last bit: every row but for clocks, the result, and the weights."""
        folder = self.folder(self.config)
        rows = [{key: value for key, value in row.items() if key not in CLOCK} for row in read_metrics(folder.metrics)]
        result = {key: value for key, value in folder.result().items() if key not in CLOCK}
        return rows, result, (folder.model / "model.safetensors").read_bytes()


def jobs(folder: Path, steps: int = 60) -> dict[str, Job]:
    """A pretraining run, a language model with carried state, and a fine-tuning run; all with dropout."""
    training = {"duration": f"{steps} steps", "save_every": 7, "log_every": 3, "evaluations": 5}
    bert = small_run(folder, training=training)
    language = changed(
        bert,
        objective="causal_lm",
        recurrent=RecurrentLMConfig(embedding_size=16, hidden_size=16, dropout=0.2, bptt=8),
    )
    chain = folder / "chain"
    write_chain(chain)
    classifier: FinetuneConfig = finetune_config(
        chain,
        tokenizer=small_run(folder).tokenizer,
        model__name="lstm",
        model__dropout=0.2,
        training__duration=f"{steps} steps",
        training__save_every=7,
        training__log_every=3,
    )
    return {
        "pretraining": Job(bert, pretrain.run.run, run_folder),
        "language model": Job(language, pretrain.run.run, run_folder),
        "fine-tuning": Job(classifier, finetune, finetune_folder),
    }


def copied_upstream(job: Job, runs: Path) -> Job:
    """The job elsewhere, with the token stores that it would otherwise build again each time."""
    source = Path(job.config.runs) / "tokens"
    if source.is_dir():
        shutil.copytree(source, runs / "tokens", dirs_exist_ok=True)
    return job.elsewhere(runs)


def kill_in_training(folder: Path, runs: int, seed: int = 0) -> dict[str, Any]:
    """Whole runs, each killed again and again until it is done; then compared with one that was not."""
    rng, made = random.Random(seed), jobs(folder)
    unbroken = {}
    for name, job in made.items():
        job.run(job.config)
        unbroken[name] = job.outcome()
    kills = different = 0
    for number in range(runs):
        name = list(made)[number % len(made)]
        job = copied_upstream(made[name], folder / f"killed{number}")
        patience = 0.4
        while not job.folder(job.config).finished:
            child = job.in_child()
            child.join(rng.uniform(0.1, patience))
            if child.exitcode is None:
                os.kill(child.pid, signal.SIGKILL)
                child.join()
                kills += 1
                # Slow machines need more than one attempt's time to get anywhere.
                patience *= 1.15
            elif child.exitcode != 0:
                raise AssertionError(f"{name}: ended with {child.exitcode}")
        different += job.outcome() != unbroken[name]
        shutil.rmtree(folder / f"killed{number}")
    return {"runs": runs, "kills": kills, "not bit-equal": different}


def signals(folder: Path, count: int, workers: tuple[int, ...] = (0, 2), seed: int = 0) -> dict[str, Any]:
    """SIGTERM and SIGINT at random moments, runs being started again until they are done."""
    rng = random.Random(seed)
    training = {"duration": "80 steps", "save_every": 1000, "log_every": 1, "evaluations": 8}
    base = Job(small_run(folder, training=training), pretrain.run.run, run_folder)
    base.run(base.config)
    sent = wrong = lost = different = phase = finished = 0
    times = []
    while sent < count:
        job = copied_upstream(base, folder / f"signalled{finished}")
        job = dataclasses.replace(
            job, config=changed(job.config, training={"workers": workers[finished % len(workers)]})
        )
        place = job.folder(job.config)
        while not place.finished:
            child = job.in_child()
            child.join(rng.uniform(0.2, 2.0))
            if child.exitcode is not None:
                assert child.exitcode == 0
                continue
            asked = time.monotonic()
            os.kill(child.pid, rng.choice((signal.SIGTERM, signal.SIGINT)))
            child.join(60)
            times.append(time.monotonic() - asked)
            # It may have been about to end by itself.
            wrong += child.exitcode not in ((0,) if place.finished else (STOPPED,))
            sent += 1
            rows = read_metrics(place.metrics) if place.metrics.exists() else []
            steps = checkpoints.list_checkpoints(place.checkpoints) if place.checkpoints.exists() else []
            done = max([row["step"] for row in rows], default=0)
            lost = max(lost, done - int(steps[-1].name[5:]) if steps else done)
            phase += bool(steps)
        different += job.outcome() != base.outcome()
        finished += 1
        shutil.rmtree(folder / f"signalled{finished - 1}")
    return {
        "signals": sent,
        "during training": phase,
        "wrong status": wrong,
        "most steps lost": lost,
        "runs not bit-equal": different,
        "median seconds to exit": float(np.median(times)),
        "longest": max(times),
    }


def one_owner(folder: Path, starts: int) -> dict[str, int]:
    """So many processes start the same run at the same moment."""
    made = jobs(folder, steps=150)["pretraining"]
    job = copied_upstream(made, folder / "shared")
    gate = FORK.Event()

    def start() -> None:
        gate.wait()
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):  # noqa: PTH123
            job.command()

    # One run first, so that the token store is there.
    made.run(made.config)
    job = copied_upstream(made, folder / "shared")
    children = [FORK.Process(target=start) for _ in range(starts)]
    for child in children:
        child.start()
    gate.set()
    for child in children:
        child.join()
    codes = [child.exitcode for child in children]
    return {"starts": starts, "ran": codes.count(0), "refused": codes.count(2)}


def non_finite(folder: Path) -> dict[str, int]:
    """A loss that is NaN, one that is infinite, and a gradient that is infinite, each at a step of its own."""
    config = small_run(
        folder, training={"duration": "24 steps", "save_every": 1, "log_every": 1, "keep_checkpoints": 99}
    )
    original = registry.OBJECTIVES["mlm_nsp"]
    calls = iter(range(10**6))

    def spoiled(model: Any, batch: Any) -> Any:
        output = original.loss(model, batch)
        loss = output.loss
        if model.training:
            number = next(calls)
            if number in (3, 4):
                loss = loss * (float("nan") if number == 3 else float("inf"))
            elif number == 9:
                loss.register_hook(lambda gradient: gradient * float("inf"))
        return output._replace(loss=loss)

    with mock.patch.dict(registry.OBJECTIVES, mlm_nsp=dataclasses.replace(original, loss=spoiled)):
        result = pretrain.run.run(config)
    rows = read_metrics(result.metrics)
    skipped = [row for row in rows if "skipped" in row]
    broken = sum(not_finite(place) for place in checkpoints.list_checkpoints(result.checkpoints))
    unmoved = sum(
        (checkpoints.path_of(result.checkpoints, row["step"]) / checkpoints.MODEL).read_bytes()
        == (checkpoints.path_of(result.checkpoints, row["step"] - 1) / checkpoints.MODEL).read_bytes()
        for row in skipped
    )
    return {
        "spoiled": 3,
        "skipped": len(skipped),
        "with their samples": sum(len(row["skipped"]["samples"]) == 16 for row in skipped),
        "weights unmoved": unmoved,
        "in checkpoints": broken,
        "rows with NaN": sum("NaN" in line or "Infinity" in line for line in result.metrics.read_text().splitlines()),
        "counted": result.result()["skipped_steps"],
    }


def damaged_best(folder: Path, damages: int, seed: int = 0) -> dict[str, int]:
    """Spoil the best checkpoint of an interrupted fine-tuning run in so many ways: is going on refused each time?"""
    write_chain(folder)
    config: FinetuneConfig = finetune_config(
        folder, model__name="lstm", tokenizer=small_run(folder / "other").tokenizer, training__duration="40 steps",
        training__evaluations=10, training__save_every=1, training__keep_checkpoints=1, patience=None,
        optimizer__learning_rate=1e-5,
    )  # fmt: skip
    original = checkpoints.save

    def interrupted(place: Path, step: int, weights: Any, optimizer: Any, state: Any, *others: Any) -> None:
        original(place, step, weights, optimizer, state, *others)
        if state["best_step"] is not None and step > state["best_step"]:
            raise KeyboardInterrupt

    with mock.patch.object(checkpoints, "save", interrupted), contextlib.suppress(KeyboardInterrupt):
        finetune(config)
    place = finetune_folder(config)
    best, newest = checkpoints.list_checkpoints(place.checkpoints)
    state = json.loads((newest / checkpoints.STATE).read_text(encoding="utf-8"))
    assert best == checkpoints.path_of(place.checkpoints, state["best_step"])
    rng, refused, tried = random.Random(seed), 0, 0
    for number in range(damages):
        file = sorted(best.iterdir())[number % len(list(best.iterdir()))]
        sound = file.read_bytes()
        spoiled = spoil(("flip", "cut", "delete")[number % 3], sound, sound, rng)
        file.unlink() if spoiled is None else file.write_bytes(spoiled)
        tried += 1
        try:
            finetune(config)
        except InputError as error:
            refused += f"{best}, which has the best validation score, is damaged" in str(error)
        file.write_bytes(sound)
        assert not place.finished
    finetune(config)
    return {"tried": tried, "refused": refused, "finished when sound": int(place.finished)}


def largest_difference(first: list[float], second: list[float]) -> float:
    """Between two curves."""
    return float(np.abs(np.array(first) - np.array(second)).max())


def not_finite(place: Path) -> bool:
    """Whether a checkpoint holds a number that is none."""
    from safetensors.torch import load_file

    return any(
        not torch.isfinite(tensor).all()
        for name in (checkpoints.MODEL, checkpoints.OPTIMIZER)
        for tensor in load_file(place / name).values()
    )


def little_memory(folder: Path) -> dict[str, Any]:
    """A machine on which no more than four sequences fit; the curve without dropout is the former one to rounding."""
    config = small_run(
        folder,
        model={"dropout": 0.0},
        training={"duration": "12 steps", "log_every": 1, "save_every": 100},
    )
    ample = pretrain.run.run(config)
    original = registry.OBJECTIVES["mlm_nsp"]

    def stingy(model: Any, batch: Any) -> Any:
        if model.training and len(batch["input_ids"]) > 4:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory")
        return original.loss(model, batch)

    with mock.patch.dict(registry.OBJECTIVES, mlm_nsp=dataclasses.replace(original, loss=stingy)):
        tight = pretrain.run.run(dataclasses.replace(config, runs=str(folder / "tight")))
    curves = [[row["loss"] for row in read_metrics(run.metrics) if "loss" in row] for run in (ample, tight)]
    state = json.loads((checkpoints.list_checkpoints(tight.checkpoints)[-1] / checkpoints.STATE).read_text())
    return {
        "steps": len(curves[1]),
        "micro-batches": state["accumulation"],
        "largest difference": largest_difference(*curves),
    }


def address_space(folder: Path) -> dict[str, Any]:
    """A real limit on memory: the largest one under which a step no longer fits at once, found by trying."""
    config = small_run(
        folder,
        sequence_length=64,
        model={"dropout": 0.0, "hidden_size": 256, "layers": 2},
        training={"duration": "2 steps", "batch_size": 256, "log_every": 1, "save_every": 100},
    )
    whole = Job(config, pretrain.run.run, run_folder)
    # In a process of its own: what it frees would be there for the others to use.
    child = whole.in_child()
    child.join()
    ample = whole.folder(config)
    job = copied_upstream(whole, folder / "limited")
    for spare in range(400, 60, -25):

        def limited(spare: int = spare) -> None:
            used = psutil.Process().memory_info().vms
            resource.setrlimit(resource.RLIMIT_AS, (used + spare * 2**20, resource.RLIM_INFINITY))
            job.command()

        child = FORK.Process(target=limited)
        child.start()
        child.join()
        place = job.folder(job.config)
        if child.exitcode == 0 and place.finished:
            state = json.loads((checkpoints.list_checkpoints(place.checkpoints)[-1] / checkpoints.STATE).read_text())
            curves = [[row["loss"] for row in read_metrics(run.metrics) if "loss" in row] for run in (ample, place)]
            if state["accumulation"]:
                difference = largest_difference(*curves)
                return {"MiB to spare": spare, "micro-batches": state["accumulation"], "largest difference": difference}
        shutil.rmtree(place.path, ignore_errors=True)
    return {"MiB to spare": 0, "micro-batches": 0, "largest difference": float("nan")}


def small_epoch(folder: Path) -> Any:
    """The first epoch of a small run."""
    config = small_run(folder)
    assert config.tokenizer is not None
    store = pretrain.run.prepare(
        config.corpus, config.tokenizer, pretrain.run.store_folder(config.corpus, "shares", config.runs)
    )
    encoding = pretrain.run.TokenLayout.of(pretrain.run.load_tokenizer(config.tokenizer))
    return pretrain.run.sources(config, store, encoding)[0][0].epoch(0)


def shares_of_ranks(folder: Path) -> dict[str, int]:
    """Every sample of an epoch, dealt out to 1, 2 and 4 processes that take turns; repeated and missed ones."""
    epoch = small_epoch(folder)
    worlds, seen = (1, 2, 4), []
    for step, batch in enumerate(epoch.batches):
        world = worlds[step % len(worlds)]
        dealt = [batch[rank::world] for rank in range(world)]
        counted = sum(
            part.counts["relation"]
            for rank in range(world)
            for part in StepDataset(epoch, LoaderSettings(rank, world, 2))[step]
        )
        assert counted == len(batch)
        seen += [int(sample) for part in dealt for sample in part]
    everything = sorted(int(sample) for batch in epoch.batches for sample in batch)
    return {
        "samples": len(everything),
        "repeated": len(seen) - len(set(seen)),
        "missed": len(set(everything) - set(seen)),
    }
