"""Where a run writes, and how it is recognised later.

`runs/<stage>/<name>-<digest>/`: the digest is of the resolved config and of what lies upstream, so an
unchanged stage is found finished and not run again. See the README, "What a run leaves behind".
"""

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from configs.command_line import as_dict
from configs.errors import InputError

PACKAGES = ("torch", "transformers", "tokenizers", "datasets", "accelerate", "evaluate", "numpy", "scikit-learn")


def outside_digest(default: Any) -> Any:
    """A config field that changes how a run is watched or kept but not what it computes."""
    return dataclasses.field(default=default, metadata={"outside_digest": True})


def digest(config: Any, upstream: Iterable[str]) -> str:
    """Ten hexadecimal digits of what a run computes: its config, and the digests of what it reads."""
    content = json.dumps([_digested(config), list(upstream)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:10]


def _digested(config: Any) -> dict[str, Any]:
    kept = [field for field in dataclasses.fields(config) if not field.metadata.get("outside_digest")]
    values = {field.name: getattr(config, field.name) for field in kept}
    return {key: _digested(value) if dataclasses.is_dataclass(value) else value for key, value in values.items()}


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
        if not config.name or config.name != Path(config.name).name or config.name.startswith("."):
            raise InputError(f"name: {config.name!r} is not a plain folder name")
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

    def begin(self, config: Any, **environment: Any) -> None:
        """Create the folder and write `config.yaml` and `environment.json` (versions, machine, `environment`)."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / "config.yaml", yaml.safe_dump(as_dict(config), sort_keys=False))
        described = describe_environment() | environment
        write_atomically(self.path / "environment.json", json.dumps(described, indent=2) + "\n")

    def finish(self, result: dict[str, Any]) -> None:
        """Write `result.json`; from here on the run counts as finished."""
        write_atomically(self.path / "result.json", json.dumps(result, indent=2) + "\n")


def write_atomically(file: Path, content: str) -> None:
    """Write beside the file, flush to the disk, then rename: a reader sees the old or the new, never half."""
    staged = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with staged.open("w", encoding="utf-8") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        staged.replace(file)
    finally:
        staged.unlink(missing_ok=True)


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
