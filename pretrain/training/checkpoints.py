"""The checkpoint store: tensors as safetensors, the rest as JSON, valid only with a manifest that fits.

A checkpoint is written beside its place, flushed to the disk and renamed; older ones go only afterwards. Loading
checks every size and sum and falls back to the newest checkpoint that is whole; docs/reliability.md shows it.
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
from configs.run_folder import flush
from pretrain.training import sharded

log = logging.getLogger(__name__)

MODEL, OPTIMIZER, STATE, MANIFEST = "model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"
CARRY = "carry.safetensors"
BEFORE = ".before-"


def save(
    folder: Path,
    step: int,
    weights: dict[str, torch.Tensor],
    optimizer: dict[str, torch.Tensor],
    state: dict[str, Any],
    carry: dict[str, torch.Tensor] | None = None,
) -> Path:
    """Write `folder/step-00001000/` so that it is either whole or not there.

    Args:
        folder: of all checkpoints.
        step: how many are done.
        weights: of `sharded.weights_of`.
        optimizer: of `optimizer_tensors`.
        state: what JSON can hold.
        carry: what a recurrent language model keeps between steps.

    Raises:
        RunError: the disk is full, or cannot be written to; the checkpoints before are untouched.
    """
    place = path_of(folder, step)
    staged, before = folder / f".{place.name}", folder / f"{BEFORE}{place.name}"
    try:
        _remove(staged)
        staged.mkdir(parents=True)
        save_file(weights, staged / MODEL)
        save_file(optimizer, staged / OPTIMIZER)
        if carry is not None:
            save_file({name: value.contiguous() for name, value in carry.items()}, staged / CARRY)
        (staged / STATE).write_text(json.dumps(state, indent=2), encoding="utf-8")
        manifest = {
            file.name: {"sha256": _sum(file), "bytes": file.stat().st_size} for file in sorted(staged.iterdir())
        }
        (staged / MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")
        for file in staged.iterdir():
            flush(file)
        flush(staged)
        if place.is_symlink() or place.exists():
            # Never a moment without it: `recover` puts it back unless the new one has taken its place.
            _remove(before)
            place.rename(before)
        staged.rename(place)
        flush(folder)
        _remove(before)
    except (OSError, SafetensorError) as error:
        recover(folder)
        last = list_checkpoints(folder)
        kept = f"{last[-1].name} stays" if last else "there is none before it"
        raise RunError(f"{place} could not be written ({error}); {kept}: make room and run again") from error
    return place


def recover(folder: Path) -> None:
    """Clear up behind a save that did not come to its end: the checkpoint that it was about to replace comes back."""
    for before in folder.glob(f"{BEFORE}step-*"):
        place = folder / before.name.removeprefix(BEFORE)
        if place.exists():
            _remove(before)
        else:
            before.rename(place)
    for staged in folder.glob(".step-*"):
        _remove(staged)


def path_of(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return folder / f"step-{step:08d}"


def prune(folder: Path, keep: int, also: int | None = None) -> None:
    """Delete all but the newest `keep` checkpoints and the one of step `also`."""
    for place in list_checkpoints(folder)[: -keep or None]:
        if also is None or place != path_of(folder, also):
            _remove(place)


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first; links that lead elsewhere are none."""
    found = (place for place in folder.glob("step-*") if place.name[5:].isdecimal())
    return sorted(place for place in found if place.is_dir() and not place.is_symlink())


def newest(folder: Path) -> Path | None:
    """The newest whole checkpoint, or None where there has been none; damaged ones are named in the log.

    Raises:
        InputError: there are checkpoints, and every one is damaged.
    """
    recover(folder)
    found = list_checkpoints(folder)
    for place in reversed(found):
        fault = find_damage(place)
        if fault is None:
            return place
        log.warning("checkpoint: %s is damaged (%s); trying the one before", place, fault)
    if found:
        raise InputError(f"{folder}: no checkpoint is whole; delete the folder to start afresh")
    return None


def find_damage(place: Path) -> str | None:
    """What is wrong with a checkpoint, or None."""
    try:
        manifest = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
        for name in sorted({MODEL, OPTIMIZER, STATE} | set(manifest)):
            if name != Path(name).name or (place / name).is_symlink():
                return f"{name} is no plain file of it"
            if (place / name).stat().st_size != manifest[name]["bytes"]:
                return f"{name} has another size than the manifest says"
            if _sum(place / name) != manifest[name]["sha256"]:
                return f"{name} does not match its SHA-256 sum"
        step = json.loads((place / STATE).read_text(encoding="utf-8")).get("step")
        if step is not None and place.name != path_of(place.parent, step).name:
            return f"it is the one of step {step}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def check_fingerprints(place: Path, made_of: Mapping[str, str], now: Mapping[str, str], accept: bool) -> None:
    """Refuse to go on from a checkpoint that was made of something else.

    Raises:
        InputError: names what differs, with both fingerprints.
    """
    for name in sorted(made_of.keys() & now.keys()):
        if made_of[name] == now[name]:
            continue
        if not accept:
            raise InputError(
                f"{place} was made with another {name}: {made_of[name]} then, {now[name]} now; give the former one, "
                "accept it by `--training.accept_changes true`, or delete the run folder"
            )
        log.warning("checkpoint: %s was made with another %s (%s, now %s)", place, name, made_of[name], now[name])


def load(place: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer | None = None) -> dict[str, Any]:
    """Put a checkpoint's tensors into a model (and its optimizer), and return its state."""
    sharded.load_weights(model, load_file(place / MODEL))
    if optimizer is not None:
        restore_optimizer(optimizer, load_file(place / OPTIMIZER))
    return json.loads((place / STATE).read_text(encoding="utf-8"))


def carry_of(place: Path, device: torch.device) -> dict[str, torch.Tensor] | None:
    """What a recurrent language model kept between the steps around a checkpoint; None where there is nothing."""
    return load_file(place / CARRY, device=str(device)) if (place / CARRY).is_file() else None


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimizer's running means by parameter number, such as `3.exp_avg`, each of them whole."""
    state = optimizer.state_dict()["state"]
    return {
        f"{number}.{name}": sharded.gathered(tensor)
        for number, values in state.items()
        for name, tensor in values.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Undo `optimizer_tensors`."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        number, key = name.split(".", 1)
        state.setdefault(int(number), {})[key] = sharded.like(tensor, parameters[int(number)])
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _sum(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _remove(path: Path) -> None:
    """Delete a folder, or a link in its place, without following it."""
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
