"""Where a run writes, and how it is recognised later.

`runs/<stage>/<name>-<digest>/`: the digest is of the resolved config and of what lies upstream, so an
unchanged stage is found finished and not run again. See the README, "What a run leaves behind".
"""

import contextlib
import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
import logging
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any

import filelock
import yaml

from configs.command_line import as_dict
from configs.errors import InputError
from configs.fields import digested

log = logging.getLogger(__name__)

PACKAGES = ("torch", "transformers", "tokenizers", "datasets", "accelerate", "evaluate", "numpy", "scikit-learn")


# What is a folder's name on every system, and leads nowhere else.
PLAIN = re.compile(r"[\w+-][\w .+-]{0,99}")
OWNER = ".owner.json"


def digest(config: Any, upstream: Iterable[str]) -> str:
    """Ten hexadecimal digits of what a run computes: its config, and the digests of what it reads."""
    content = json.dumps([digested(config), list(upstream)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:10]


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """One run's folder; the presence of `result.json`, written last, means "finished"."""

    path: Path

    @classmethod
    def of(cls, stage: str, config: Any, upstream: Iterable[str]) -> "RunFolder":
        """The folder of `config` (a dataclass with `name` and `runs`) in `stage`, given the digests upstream.

        Raises:
            InputError: the name could leave the folder of runs.
        """
        if not PLAIN.fullmatch(config.name):
            raise InputError(f"name: {config.name!r} is not a plain folder name (letters, digits, spaces, . _ - +)")
        return cls(Path(config.runs) / stage / f"{config.name}-{digest(config, upstream)}")

    @property
    def digest(self) -> str:
        """The part of the folder's name behind the last hyphen."""
        return self.path.name.rsplit("-", 1)[-1]

    @property
    def model(self) -> Path:
        """What `transformers` loads, tokenizer included."""
        return self.path / "model"

    @property
    def metrics(self) -> Path:
        """One JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoint store keeps `step-00001000/` and so on."""
        return self.path / "checkpoints"

    @property
    def finished(self) -> bool:
        """Whether the run ended well."""
        return (self.path / "result.json").is_file()

    def result(self) -> dict[str, Any]:
        """What the run found.

        Raises:
            InputError: the run is not finished.
        """
        if not self.finished:
            raise InputError(f"{self.path} holds no finished run (no result.json)")
        return json.loads((self.path / "result.json").read_text(encoding="utf-8"))

    @contextlib.contextmanager
    def owned(self) -> Generator[None]:
        """Keep other runs out of the folder; of several training processes the first one holds it for all.

        Raises:
            InputError: another run is at work here; names its process and machine.
        """
        if os.environ.get("RANK", "0") != "0":
            yield
            return
        self.path.mkdir(parents=True, exist_ok=True)
        lock, owner = filelock.FileLock(self.path / ".lock"), self.path / OWNER
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise InputError(f"{self.path}: {_told(owner)} is at work here; wait for it or end it") from None
        try:
            since = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            write_atomically(owner, json.dumps({"process": os.getpid(), "machine": platform.node(), "since": since}))
            yield
        finally:
            owner.unlink(missing_ok=True)
            if [file.name for file in self.path.iterdir()] == [".lock"]:
                # What was refused before anything was written leaves no folder.
                shutil.rmtree(self.path)
            lock.release()

    def begin(self, config: Any, **environment: Any) -> None:
        """Create the folder and write `config.yaml` and `environment.json` (versions, machine, `environment`)."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / "config.yaml", yaml.safe_dump(as_dict(config), sort_keys=False))
        described = describe_environment() | environment
        write_atomically(self.path / "environment.json", json.dumps(described, indent=2) + "\n")

    def finish(self, result: dict[str, Any]) -> None:
        """Write `result.json`, all else being on the disk; from here on the run counts as finished."""
        for file in sorted(self.path.rglob("*")):
            if not file.is_relative_to(self.checkpoints) and not file.is_symlink():
                flush(file)
        write_atomically(self.path / "result.json", json.dumps(result, indent=2) + "\n")


def run_unless_finished(folder: RunFolder, stage: str, work: Callable[[], None]) -> RunFolder:
    """Do a run's work while its folder is owned; a finished run is left as it is.

    Raises:
        InputError: another run is at work in the folder.
    """
    if folder.finished:
        log.info("%s: %s is finished", stage, folder.path)
        return folder
    with folder.owned():
        # Whoever held it a moment ago may have finished it.
        if not folder.finished:
            work()
    return folder


def _told(owner: Path) -> str:
    """Who holds a run folder, as far as is known."""
    try:
        found = json.loads(owner.read_text(encoding="utf-8"))
        return f"process {found['process']} on {found['machine']} (since {found['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def write_atomically(file: Path, content: str) -> None:
    """Write beside the file, flush to the disk, then rename: a reader sees the old or the new, never half."""
    staged = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with staged.open("w", encoding="utf-8") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        staged.replace(file)
        flush(file.parent)
    finally:
        staged.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Have the disk hold what was written to a file, or which names a folder has."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def describe_environment() -> dict[str, Any]:
    """Versions, machine and git revision; nothing that names a person or a path."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    revision = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "rev-parse", "--verify", "--quiet", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "git_revision": revision.stdout.strip() or None,
        "versions": versions,
    }
