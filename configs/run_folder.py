"""Run folders.

`runs/<stage>/<name>-<digest>/`: the digest covers the resolved config and the inputs, so an unchanged stage that is
finished is not run again. See the README, "What a run leaves behind".
"""

import contextlib
import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
import logging
import math
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
from configs.launch import launched_rank

log = logging.getLogger(__name__)

PACKAGES = ("torch", "transformers", "tokenizers", "datasets", "accelerate", "evaluate", "numpy", "scikit-learn")

# A valid folder name on every system; no path separators and no leading dot.
FOLDER_NAME = re.compile(r"[\w+-][\w .+-]{0,99}")
OWNER = ".owner.json"
FINISHED_BEFORE = "finished before, nothing is run; delete the folder to run it again"


def digest(config: Any, upstream: Iterable[str]) -> str:
    """Ten hexadecimal digits that identify a run: a hash of its config and of the digests of its inputs."""
    content = json.dumps([digested(config), list(upstream)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:10]


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """The folder of one run; `result.json` is written last and marks the run as finished."""

    path: Path

    @classmethod
    def of(cls, stage: str, config: Any, upstream: Iterable[str]) -> "RunFolder":
        """The folder of `config` (a dataclass with `name` and `runs`) in `stage`; `upstream` are the input digests.

        Raises:
            InputError: the name is not a plain folder name.
        """
        if not FOLDER_NAME.fullmatch(config.name):
            raise InputError(f"name: {config.name!r} is not a plain folder name (letters, digits, spaces, . _ - +)")
        return cls(Path(config.runs) / stage / f"{config.name}-{digest(config, upstream)}")

    @property
    def digest(self) -> str:
        """The part of the folder name after the last hyphen."""
        return self.path.name.rsplit("-", 1)[-1]

    @property
    def model(self) -> Path:
        """The model folder, loadable by `transformers`; it includes the tokenizer."""
        return self.path / "model"

    @property
    def metrics(self) -> Path:
        """The metrics log, one JSON object per line."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints, `step-00001000/` and so on."""
        return self.path / "checkpoints"

    @property
    def finished(self) -> bool:
        """Whether the run is finished."""
        return (self.path / "result.json").is_file()

    def result(self) -> dict[str, Any]:
        """The content of `result.json`.

        Raises:
            InputError: the run is not finished.
        """
        if not self.finished:
            raise InputError(f"{self.path} holds no finished run (no result.json)")
        return json.loads((self.path / "result.json").read_text(encoding="utf-8"))

    @contextlib.contextmanager
    def owned(self) -> Generator[None]:
        """Lock the folder against other runs; with several training processes, rank 0 holds the lock.

        Raises:
            InputError: another run holds the lock; names its process and machine.
        """
        if launched_rank() != 0:
            yield
            return
        self.path.mkdir(parents=True, exist_ok=True)
        lock, owner = filelock.FileLock(self.path / ".lock"), self.path / OWNER
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise InputError(f"{self.path}: in use by {_describe_owner(owner)}; wait for it or end it") from None
        try:
            since = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            write_atomically(owner, json.dumps({"process": os.getpid(), "machine": platform.node(), "since": since}))
            yield
        finally:
            owner.unlink(missing_ok=True)
            if [file.name for file in self.path.iterdir()] == [".lock"]:
                # A run that failed before writing anything leaves no folder.
                shutil.rmtree(self.path)
            lock.release()

    def wait(self) -> None:
        """Wait until no other run holds the lock."""
        if self.path.is_dir():
            with filelock.FileLock(self.path / ".lock"):
                pass

    def begin(self, config: Any, **environment: Any) -> None:
        """Create the folder and write `config.yaml` and `environment.json` (versions, machine, `environment`)."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / "config.yaml", yaml.safe_dump(as_dict(config), sort_keys=False))
        environment = describe_environment() | environment
        write_atomically(self.path / "environment.json", json.dumps(environment, indent=2) + "\n")

    def finish(self, result: dict[str, Any]) -> None:
        """Flush all files except checkpoints to disk, then write `result.json`, which marks the run as finished."""
        for file in sorted(self.path.rglob("*")):
            if not file.is_relative_to(self.checkpoints) and not file.is_symlink():
                flush(file)
        write_atomically(self.path / "result.json", json_text(result, indent=2) + "\n")


def run_unless_finished(folder: RunFolder, stage: str, work: Callable[[], None]) -> RunFolder:
    """Run `work` with the folder locked, unless the run is finished.

    Raises:
        InputError: another run holds the lock.
    """
    if folder.finished:
        log.info("%s: %s is finished", stage, folder.path)
        return folder
    with folder.owned():
        # Another process may have finished the run before this one got the lock.
        if not folder.finished:
            work()
    return folder


def _describe_owner(file: Path) -> str:
    """The process that holds the lock, as far as `.owner.json` can be read."""
    try:
        owner = json.loads(file.read_text(encoding="utf-8"))
        return f"process {owner['process']} on {owner['machine']} (since {owner['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def json_text(value: Any, **options: Any) -> str:
    """JSON as every reader takes it: NaN and infinities become null. The options are those of `json.dumps`.

    >>> json_text({"loss": float("nan"), "row": [1.5, float("inf")]})
    '{"loss": null, "row": [1.5, null]}'
    """

    def finite(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: finite(inner) for name, inner in part.items()}
        if isinstance(part, list | tuple):
            return [finite(inner) for inner in part]
        return None if isinstance(part, float) and not math.isfinite(part) else part

    return json.dumps(finite(value), allow_nan=False, **options)


def write_atomically(file: Path, content: str) -> None:
    """Write a temporary file, flush it to disk, then rename: readers see the old or the new content, never half."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
        flush(file.parent)
    finally:
        temporary.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Flush a file or a directory entry to disk (fsync)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def describe_environment() -> dict[str, Any]:
    """Versions, machine and git revision, without user names or paths."""
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
