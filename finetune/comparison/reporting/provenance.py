"""How the numbers came about: machine, versions, fingerprints of inputs, leakage."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from configs.run_folder import RunFolder
from finetune.classification.predictions import digest_of_test_texts
from finetune.comparison.analysis.words import count, listed
from finetune.comparison.scores import Run

STAGES = {"pretrain": "encoder", "language_model": "language model", "autoencoder": "sequence autoencoder"}
SHOWN_DIGITS = 16


def stage_title(key: str) -> str:
    """The name of a pretraining stage, with its seed if there are several.

    >>> stage_title("language_model"), stage_title("pretrain#4")
    ('language model', 'encoder, seed 4')
    """
    name, _, seed = key.partition("#")
    return STAGES.get(name, name) + (f", seed {seed}" if seed else "")


def environment_of(folder: RunFolder) -> dict[str, Any]:
    """The content of `environment.json`; empty if it is gone."""
    try:
        return json.loads((folder.path / "environment.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def device(runs: Sequence[Run]) -> str:
    """What the runs computed on, in words."""
    environments = [environment_of(run.folder) for run in runs]
    names = list(dict.fromkeys(str(one["device"]) for one in environments if one.get("device")))
    cores = next((one["cpu_count"] for one in environments if one.get("cpu_count")), None)
    if names and names != ["cpu"]:
        return f"on {listed(names)}"
    return "on a CPU" if cores is None else f"on {count(cores, 'CPU core')}"


def origins(runs: Sequence[Run], stages: Mapping[str, RunFolder]) -> list[tuple[str, str]]:
    """Names and values of what the numbers depend on."""
    environments = [environment_of(run.folder) for run in runs]
    rows = [
        ("Machine", "; ".join(dict.fromkeys(_machine(one) for one in environments if one))),
        ("Python", ", ".join(dict.fromkeys(one["python"] for one in environments if "python" in one))),
        ("Packages", _versions(environments)),
        ("Revision of Bertlet", ", ".join(dict.fromkeys(str(one.get("git_revision")) for one in environments if one))),
        ("Test texts (SHA-256)", _test_digest(runs)),
    ]
    for key, folder in stages.items():
        rows.append((f"Pretraining run, {stage_title(key)}", folder.path.name))
        rows.append((f"Test texts in its text, {stage_title(key)}", leakage(folder)))
    tokenizers = dict.fromkeys(str(run.config.tokenizer).rstrip("/").rsplit("/", 1)[-1] for run in runs)
    rows.append(("Tokenizer", ", ".join(tokenizers)))
    return [(name, value) for name, value in rows if value]


def _machine(environment: Mapping[str, Any]) -> str:
    return f"{environment.get('platform')}, {count(environment.get('cpu_count') or 1, 'CPU core')}"


def _versions(environments: Sequence[Mapping[str, Any]]) -> str:
    """The versions of packages, all that were in use."""
    versions: dict[str, dict[str, None]] = {}
    for environment in environments:
        for package, version in (environment.get("versions") or {}).items():
            versions.setdefault(package, {})[str(version)] = None
    return ", ".join(f"{package} {' and '.join(found)}" for package, found in versions.items())


def _test_digest(runs: Sequence[Run]) -> str:
    digests = dict.fromkeys(digest_of_test_texts(run.folder)[:SHOWN_DIGITS] for run in runs[:1])
    return ", ".join(digests)


def leakage(folder: RunFolder) -> str:
    """Whether test texts were found in the text of pretraining, in a sentence."""
    try:
        found = json.loads((folder.path / "audits.json").read_text(encoding="utf-8")).get("leakage")
    except (OSError, ValueError):
        found = None
    if found is None:
        return "not checked; set leakage.split in the file of the pretraining stage"
    touched = found.get("near_test_texts", found.get("near", 0))
    if not touched:
        return f"none of {found['test_texts']:,} was found in it, exactly or nearly"
    left = "they were left out" if found.get("dropped") else "THEY WERE NOT LEFT OUT, so scores may be too good"
    return f"{touched:,} of {found['test_texts']:,} were found in it, exactly or nearly; {left}"
