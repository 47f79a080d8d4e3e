"""The checkpoint store: tensors as safetensors, the rest as JSON, valid only with a matching manifest.

A checkpoint is written to a temporary folder, flushed to disk and renamed; older ones are deleted only afterwards.
Loading checks the size and SHA-256 of every file and falls back to the newest intact checkpoint (docs/reliability.md).
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from configs.errors import InputError, RunError
from configs.run_folder import flush, json_text
from pretrain.training import sharded

log = logging.getLogger(__name__)

MODEL, OPTIMIZER, STATE, MANIFEST = "model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"
CARRY = "carry.safetensors"
# The version of a checkpoint's layout; raised when older code could not read it right. Before there were versions: 0.
SCHEMA, VERSION = "schema_version", 1
PREVIOUS = ".before-"


def save(
    folder: Path,
    step: int,
    weights: dict[str, torch.Tensor],
    optimizer: dict[str, torch.Tensor],
    state: dict[str, Any],
    carry: dict[str, torch.Tensor] | None = None,
) -> Path:
    """Write `folder/step-00001000/` atomically.

    Args:
        folder: of all checkpoints.
        step: number of completed steps.
        weights: from `sharded.weights_of`.
        optimizer: from `optimizer_tensors`, in full.
        state: serializable as JSON.
        carry: the state that a recurrent language model carries between steps.

    Returns:
        The folder of the checkpoint.

    Raises:
        RunError: the disk is full or not writable; earlier checkpoints are untouched.
    """
    checkpoint = path_of(folder, step)
    staged, previous = folder / f".{checkpoint.name}", folder / f"{PREVIOUS}{checkpoint.name}"
    try:
        _remove(staged)
        staged.mkdir(parents=True)
        save_file(weights, staged / MODEL)
        save_file(optimizer, staged / OPTIMIZER)
        if carry is not None:
            save_file({name: value.contiguous() for name, value in carry.items()}, staged / CARRY)
        (staged / STATE).write_text(json_text(state | {SCHEMA: VERSION}, indent=2), encoding="utf-8")
        manifest = {
            file.name: {"sha256": _sha256(file), "bytes": file.stat().st_size} for file in sorted(staged.iterdir())
        }
        (staged / MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")
        for file in staged.iterdir():
            flush(file)
        flush(staged)
        if checkpoint.is_symlink() or checkpoint.exists():
            # If the save is interrupted here, `recover` restores the previous checkpoint.
            _remove(previous)
            checkpoint.rename(previous)
        staged.rename(checkpoint)
        flush(folder)
        _remove(previous)
    except (OSError, SafetensorError) as error:
        recover(folder)
        last = list_checkpoints(folder)
        earlier = f"{last[-1].name} is kept" if last else "there is no earlier checkpoint"
        raise RunError(
            f"{checkpoint} could not be written ({error}); {earlier}; free disk space and run again"
        ) from error
    return checkpoint


def recover(folder: Path) -> None:
    """Clean up after an interrupted save: restore the checkpoint it was replacing, and delete temporary folders."""
    for previous in folder.glob(f"{PREVIOUS}step-*"):
        checkpoint = folder / previous.name.removeprefix(PREVIOUS)
        if checkpoint.exists():
            _remove(previous)
        else:
            previous.rename(checkpoint)
    for staged in folder.glob(".step-*"):
        _remove(staged)


def path_of(folder: Path, step: int) -> Path:
    """The folder of the checkpoint of a step."""
    return folder / f"step-{step:08d}"


def prune(folder: Path, keep: int, best_step: int | None = None) -> None:
    """Delete all checkpoints but the newest `keep` and that of `best_step`."""
    for checkpoint in list_checkpoints(folder)[: -keep or None]:
        if best_step is None or checkpoint != path_of(folder, best_step):
            _remove(checkpoint)


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first; symbolic links are ignored."""
    candidates = (path for path in folder.glob("step-*") if path.name[5:].isdecimal())
    return sorted(path for path in candidates if path.is_dir() and not path.is_symlink())


def newest(folder: Path) -> Path | None:
    """The newest intact checkpoint, or None if there are no checkpoints; damaged ones are logged.

    Raises:
        InputError: all checkpoints are damaged.
    """
    recover(folder)
    existing = list_checkpoints(folder)
    for checkpoint in reversed(existing):
        damage = find_damage(checkpoint)
        if damage is None:
            return checkpoint
        log.warning("checkpoint: %s is damaged (%s); trying the previous one", checkpoint, damage)
    if existing:
        raise InputError(f"{folder}: all checkpoints are damaged; delete the folder to start over")
    return None


def find_damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, or None if it is intact."""
    try:
        manifest = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
        for name in sorted({MODEL, OPTIMIZER, STATE} | set(manifest)):
            if name != Path(name).name or (checkpoint / name).is_symlink():
                return f"{name} is not a regular file in the checkpoint's folder"
            if (checkpoint / name).stat().st_size != manifest[name]["bytes"]:
                return f"{name} does not match its size in the manifest"
            if _sha256(checkpoint / name) != manifest[name]["sha256"]:
                return f"{name} does not match its SHA-256 sum"
        step = json.loads((checkpoint / STATE).read_text(encoding="utf-8")).get("step")
        if step is not None and checkpoint.name != path_of(checkpoint.parent, step).name:
            return f"it is the checkpoint of step {step}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def check_fingerprints(
    checkpoint: Path, saved: Mapping[str, str], current: Mapping[str, str], accept_changes: bool
) -> None:
    """Refuse to resume from a checkpoint of another config, tokenizer or data set.

    Args:
        checkpoint: its folder, for messages.
        saved, current: fingerprints by name.
        accept_changes: log differences instead.

    Raises:
        InputError: a fingerprint differs.
    """
    for name in sorted(saved.keys() & current.keys()):
        if saved[name] == current[name]:
            continue
        if not accept_changes:
            raise InputError(
                f"{checkpoint} was saved with another {name}: {saved[name]} then, {current[name]} now; restore the old "
                "one, accept the change with `--training.accept_changes true`, or delete the run folder"
            )
        log.warning(
            "checkpoint: %s was saved with another %s (%s, now %s)", checkpoint, name, saved[name], current[name]
        )


def load_best(folder: Path, step: int, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Load the checkpoint with the best validation score into a model and its optimizer, in place; returns the state.

    Raises:
        InputError: it is missing or damaged.
    """
    check_best(folder, step)
    return load(path_of(folder, step), model, optimizer)


def check_best(folder: Path, step: int) -> None:
    """Refuse to go on without the checkpoint that has the best validation score.

    Raises:
        InputError: it is missing or damaged.
    """
    checkpoint = path_of(folder, step)
    if (damage := find_damage(checkpoint)) is not None:
        raise InputError(
            f"{checkpoint}, which has the best validation score, is damaged ({damage}); "
            f"delete {folder.parent} to start over"
        )


def load(checkpoint: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer | None = None) -> dict[str, Any]:
    """Load an intact checkpoint (see `newest`) into a model and optionally its optimizer, in place; returns the state.

    Raises:
        InputError: it was saved by a newer version of this toolkit.
    """
    state = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
    version = state.pop(SCHEMA, 0)
    if version > VERSION:
        raise InputError(
            f"{checkpoint} has schema version {version}, and this code reads versions up to {VERSION}; update the code"
        )
    sharded.load_weights(model, load_file(checkpoint / MODEL))
    if optimizer is not None:
        restore_optimizer(optimizer, load_file(checkpoint / OPTIMIZER))
    return state


def load_carry(checkpoint: Path, device: torch.device) -> dict[str, torch.Tensor] | None:
    """The state that a recurrent language model carries to its next step, or None."""
    return load_file(checkpoint / CARRY, device=str(device)) if (checkpoint / CARRY).is_file() else None


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimizer's state by parameter number, such as `3.exp_avg`; as it is sharded, see `sharded.whole`."""
    state = optimizer.state_dict()["state"]
    return {f"{number}.{name}": tensor for number, values in state.items() for name, tensor in values.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Load tensors of `optimizer_tensors` into the optimizer, in place."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        number, key = name.split(".", 1)
        state.setdefault(int(number), {})[key] = sharded.like(tensor, parameters[int(number)])
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _remove(path: Path) -> None:
    """Delete a folder, or a symbolic link without following it."""
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
