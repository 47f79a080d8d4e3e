"""Faults of the checkpoint store: kills, power cuts, rotten disks, full disks. Each gives what it found."""

import contextlib
import multiprocessing
import os
import random
import resource
import shutil
import signal
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch

import configs.run_folder
from configs.errors import RunError
from pretrain.training import checkpoints

FORK = multiprocessing.get_context("fork")
PARTS = (checkpoints.MODEL, checkpoints.OPTIMIZER, checkpoints.CARRY, checkpoints.STATE, checkpoints.MANIFEST)


def save(folder: Path, step: int, size: int = 64) -> Path:
    """A checkpoint with all its parts, filled by its step."""
    weights = {"weight": torch.full((size, 8), float(step)), "bias": torch.arange(8.0) + step}
    means = {"0.exp_avg": torch.full((size, 8), 0.5 * step)}
    state = {"step": step, "window": {"loss": [0.25 * step, 3.0]}, "note": "x" * 40}
    return checkpoints.save(folder, step, weights, means, state, {"state": torch.full((4, 4), -float(step))})


def in_child(work: Callable[[], Any]) -> int:
    """The exit code of a forked process that does `work`."""
    child = FORK.Process(target=work)
    child.start()
    child.join()
    assert child.exitcode is not None
    return child.exitcode


def kill_in_save(folder: Path, kills: int, seed: int = 0) -> dict[str, int]:
    """SIGKILL a process that saves, prunes and replaces without end; count acknowledged checkpoints that are lost."""
    rng, lost, saved = random.Random(seed), 0, 0
    # An unbuffered file of eight bytes outlives the process that writes it.
    acknowledged = folder / "acknowledged"
    store = folder / "checkpoints"

    def work(first: int) -> None:
        step = first
        with acknowledged.open("wb", buffering=0) as stream:
            while True:
                # Now and then the same step once more, as after an evaluation.
                step += rng.random() < 0.7
                save(store, step, size=2000)
                stream.seek(0)
                stream.write(step.to_bytes(8, "little"))
                checkpoints.prune(store, keep=1)

    newest = 0
    for _ in range(kills):
        acknowledged.write_bytes(newest.to_bytes(8, "little"))
        child = FORK.Process(target=work, args=(newest,))
        child.start()
        # On a busy machine, two saves take longer than the moment that is chosen.
        deadline = time.monotonic() + 30
        while int.from_bytes(acknowledged.read_bytes(), "little") <= newest + 1 and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(rng.uniform(0.0, 0.1))
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        before, newest = newest, int.from_bytes(acknowledged.read_bytes(), "little")
        saved += newest - before
        found = checkpoints.newest(store)
        lost += newest > 0 and (found is None or int(found.name[5:]) < newest)
        if found is not None:
            newest = int(found.name[5:])
    return {"kills": kills, "acknowledged": saved, "lost": lost}


class Recorder:
    """The file operations of a block of code, in order: what is created, renamed, deleted, and what is flushed."""

    def __init__(self, root: Path) -> None:
        self.root, self.operations = root, []
        self.seen = tree(root)
        self.before = dict(self.seen)

    @contextlib.contextmanager
    def recording(self) -> Generator[None]:
        """Watch `os.fsync`, renames and deletions; what was written in between shows in the tree."""
        fsync, rename, rmtree = os.fsync, Path.rename, shutil.rmtree

        def flushed(handle: int) -> None:
            self.look()
            fsync(handle)
            self.operations.append(("flush", Path(f"/proc/self/fd/{handle}").readlink()))

        def renamed(path: Path, target: Path) -> Path:
            self.look()
            result = rename(path, target)
            self.operations.append(("rename", path, Path(target)))
            self.seen = tree(self.root)
            return result

        def deleted(path: Path, *others: Any, **options: Any) -> None:
            self.look()
            rmtree(path, *others, **options)
            self.operations.append(("delete", Path(path)))
            self.seen = tree(self.root)

        with (
            mock.patch.object(os, "fsync", flushed),
            mock.patch.object(Path, "rename", renamed),
            mock.patch.object(shutil, "rmtree", deleted),
        ):
            yield
        self.look()

    def look(self) -> None:
        """Note what was written since the last look."""
        now = tree(self.root)
        for path, content in now.items():
            if path not in self.seen or self.seen[path] != content:
                self.operations.append(("write", path, content))
        self.seen = now


def tree(root: Path) -> dict[Path, bytes | None]:
    """Every path below a folder: a file's bytes, None for a folder; parents first."""
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(root.rglob("*"))}


def states_after_power_loss(recorder: Recorder, count: int) -> Iterator[dict[Path, bytes | None]]:
    """What the disk may hold if the power fails after so many operations.

    Names: those of flushed folders, and of the others any beginning of what was done, as a journal keeps the order.
    Content: what was flushed; of what was not, all or nothing.
    """
    done = recorder.operations[:count]
    flushed = {path: number for number, (kind, path, *_) in enumerate(done) if kind == "flush"}
    naming = [(number, operation) for number, operation in enumerate(done) if operation[0] != "flush"]
    # A name is safe once the folder that holds it was flushed afterwards.
    safe = [
        number < flushed.get(operation[-1 if operation[0] == "rename" else 1].parent, -1)
        for number, operation in naming
    ]
    pending = [number for (number, _), is_safe in zip(naming, safe, strict=True) if not is_safe]
    for reached in range(len(pending) + 1):
        for keep_content in (True, False):
            held = dict(recorder.before)
            for (number, operation), is_safe in zip(naming, safe, strict=True):
                if is_safe or number in pending[:reached]:
                    content_safe = keep_content or flushed.get(operation[1], -1) > number
                    apply(held, operation, content_safe)
            yield held


def apply(held: dict[Path, bytes | None], operation: tuple[Any, ...], content_safe: bool) -> None:
    """Do a recorded operation to a tree in memory."""
    kind, path = operation[:2]
    if kind == "write" and (path.parent in held or path.parent not in ancestors(held)):
        content = operation[2]
        held[path] = content if content is None or content_safe else b""
    elif kind == "rename":
        for old in [old for old in held if old == path or path in old.parents]:
            held[operation[2] / old.relative_to(path)] = held.pop(old)
    elif kind == "delete":
        for old in [old for old in held if old == path or path in old.parents]:
            del held[old]


def ancestors(held: dict[Path, bytes | None]) -> set[Path]:
    """Folders that a tree names."""
    return {path for path, content in held.items() if content is None}


def power_loss(folder: Path) -> dict[str, int]:
    """Cut the power after every operation of a save, a save of the same step, and of the pruning behind them."""
    states = invalid = 0
    for turn, step in enumerate((20, 10)):
        store = folder / f"store{turn}"
        save(store, 10)
        for path in [*store.rglob("*"), store]:
            configs.run_folder.flush(path)
        recorder = Recorder(store)
        with recorder.recording():
            save(store, step)
            checkpoints.prune(store, keep=1)
        for count in range(len(recorder.operations) + 1):
            for number, held in enumerate(states_after_power_loss(recorder, count)):
                place = folder / f"replayed{turn}-{count}-{number}" / store.name
                place.mkdir(parents=True)
                for path, content in sorted(held.items()):
                    target = place / path.relative_to(store)
                    if content is None:
                        target.mkdir(parents=True, exist_ok=True)
                    elif target.parent.is_dir():
                        target.write_bytes(content)
                states += 1
                try:
                    invalid += checkpoints.newest(place) is None
                except ValueError:
                    invalid += 1
    return {"states": states, "without a valid checkpoint": invalid}


def corruption(folder: Path, places: int, seed: int = 0) -> dict[str, int]:
    """Flip, cut, delete and exchange each file of the newest checkpoint at so many places."""
    rng, tried, missed = random.Random(seed), 0, 0
    older, newer = save(folder, 10), save(folder, 20)
    originals = {name: ((older / name).read_bytes(), (newer / name).read_bytes()) for name in PARTS}
    for name, (old, new) in originals.items():
        for _ in range(places):
            for kind in ("flip", "cut", "delete", "exchange"):
                spoiled = spoil(kind, old, new, rng)
                if spoiled == new:
                    continue
                (newer / name).unlink() if spoiled is None else (newer / name).write_bytes(spoiled)
                tried += 1
                missed += checkpoints.newest(folder) != older
                (newer / name).write_bytes(new)
    assert checkpoints.newest(folder) == newer
    return {"tried": tried, "not detected": missed}


def spoil(kind: str, old: bytes, new: bytes, rng: random.Random) -> bytes | None:
    """The content of a file after a fault."""
    place = rng.randrange(len(new))
    if kind == "flip":
        return new[:place] + bytes([new[place] ^ 1 << rng.randrange(8)]) + new[place + 1 :]
    if kind == "cut":
        return new[:place]
    if kind == "exchange":
        # A block of the older checkpoint's file, of any length.
        end = rng.randint(place + 1, len(new))
        return new[:place] + old[place:end] + new[end:]
    return None


def disk_full(folder: Path, sizes: int) -> dict[str, int]:
    """Save with a limit on the size of files, from nothing to more than a checkpoint needs."""
    full = lost = unclear = 0
    largest = max(file.stat().st_size for file in save(folder / "measure", 1, size=500).iterdir())
    for number in range(sizes):
        store = folder / f"limit{number}"
        save(store, 10, size=500)
        limit = int(1.2 * largest * number / sizes)

        def work(store: Path = store, limit: int = limit) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            try:
                save(store, 20, size=500)
            except RunError as error:
                os._exit(3 if "free disk space" in str(error) and "step-00000010 is kept" in str(error) else 4)
            os._exit(0)

        code = in_child(work)
        found = checkpoints.newest(store)
        full += code == 3
        unclear += code not in (0, 3)
        lost += found is None or found.name != ("step-00000020" if code == 0 else "step-00000010")
        lost += bool(list(store.glob(".step-*")))
    return {"sizes": sizes, "full": full, "lost": lost, "unclear errors": unclear}
