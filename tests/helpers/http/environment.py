"""A virtual environment that holds a few of this machine's packages and what they require, and nothing else."""

import importlib.metadata
import sys
import sysconfig
import venv
from pathlib import Path

from packaging.requirements import Requirement


def environment_of(folder: Path, *names: str) -> Path:
    """Make a virtual environment in a folder; returns its Python.

    Args:
        folder: a new one.
        names: packages that are installed here; they are linked, not copied.
    """
    venv.create(folder, symlinks=True, with_pip=False)
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    site = Path(paths["purelib"])
    for name in sorted(closure(names)):
        distribution = importlib.metadata.distribution(name)
        roots = {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}
        for root in sorted(roots):
            if not (site / root).exists():
                (site / root).symlink_to(str(distribution.locate_file(root)))
    return folder / "bin" / Path(sys.executable).name


def closure(names: tuple[str, ...]) -> set[str]:
    """Packages and all that they require here, without extras."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in found:
            continue
        found.add(name)
        for line in importlib.metadata.requires(name) or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found
