"""Exports, and what they answer elsewhere."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from configs.run_folder import RunFolder
from finetune.export import ExportConfig
from finetune.export import run as export


def elsewhere(program: str, *arguments: str, folder: Path, **environment: str) -> str:
    """The last line that `program` prints in another folder, where none of our code can be imported."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment
    ended = subprocess.run(
        [sys.executable, "-I", "-c", program, *arguments],
        cwd=folder,
        env=variables | {"HF_HOME": str(folder / "hf")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout.strip().splitlines()[-1]


def exported(run_folder: RunFolder, target: Path, **options: Any) -> str:
    """Export without the check, which takes a process of its own; tests of the check turn it on."""
    keys: dict[str, Any] = {"check": False} | options
    return export(ExportConfig(str(run_folder.path), str(target), **keys))


def shares(entries: Any, labels: list[str]) -> np.ndarray:
    """Probabilities in the order of the labels, [N, C], from what `pipeline` gives."""
    by_name = [
        entry if isinstance(entry, dict) else {part["label"]: part["score"] for part in entry} for entry in entries
    ]
    return np.array([[row[label] for label in labels] for row in by_name])


def run_card(folder: Path) -> dict[str, Any]:
    """Run the code of a folder's card as it is printed, in that folder; returns its variables."""
    card = (folder / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    file = folder.parent / "card.py"
    file.write_text(code, encoding="utf-8")
    before = Path.cwd()
    os.chdir(folder)
    try:
        return runpy.run_path(str(file))
    finally:
        os.chdir(before)
