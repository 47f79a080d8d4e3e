"""References to a trained model or tokenizer: a YAML file, a folder or a Hub id."""

import re
from collections.abc import Callable
from pathlib import Path

from configs.errors import InputError
from configs.run_folder import RunFolder

HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")


def local_folder(reference: str, kind: str, command: str, run_folder_of: Callable[[Path], RunFolder]) -> Path | None:
    """The local folder of a reference; None for a Hub id.

    Args:
        reference: a run's YAML file or folder, any folder that `transformers` loads, or a Hub id.
        kind: `model` or `tokenizer`, for error messages.
        command: the command that runs a YAML file, for error messages.
        run_folder_of: returns the run folder of a YAML file.

    Raises:
        InputError: the reference is not a file, folder or Hub id, or the run is not finished.
    """
    path = Path(reference)
    if path.suffix in (".yaml", ".yml"):
        run = run_folder_of(path)
        if not run.finished:
            raise InputError(f"{kind}: {run.path} is not finished; run `{command} --config {path}` first")
        path = run.path
    if path.is_dir():
        return path / "model" if (path / "model").is_dir() else path
    if not HUB_ID.fullmatch(reference):
        raise InputError(f"{kind}: no such file or folder: {reference!r}")
    return None
