"""Every fault of docs/reliability.md at full size, and the table there; `test_campaign.py` brings them about."""

import dataclasses
import math
import os
import platform
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from tests.faults import input as faults_input
from tests.faults import processes as faults_processes
from tests.faults import runs as faults_runs
from tests.faults import store as faults_store
from tests.faults import tables as faults_tables
from tests.helpers.architectures import ARCHITECTURES, through_the_chain
from tests.helpers.paths import ROOT

DOCUMENT = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- figures: make faults -->", "<!-- end of figures -->"

Found = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Fault:
    """One row of the table."""

    name: str
    how: str
    required: str
    run: Callable[[Path], Found]
    holds: Callable[[Found], bool]


def lost_ranks(folder: Path) -> Found:
    """One of two processes killed, then one stopped."""
    found = {}
    for name, number in (("killed", signal.SIGKILL), ("stopped", signal.SIGSTOP)):
        for key, value in faults_processes.lost_rank(folder, number).items():
            found[f"{name}: {key}"] = value
    return found


def memory(folder: Path) -> Found:
    """A stub that raises, and a real limit."""
    stub = faults_runs.little_memory(folder / "stub")
    limit = faults_runs.address_space(folder / "limit")
    return {f"stub: {key}": value for key, value in stub.items()} | {f"limit: {k}": v for k, v in limit.items()}


def numbers(folder: Path) -> Found:
    """In one process, and in one of two."""
    alone, together = (
        faults_runs.non_finite(folder / "alone"),
        faults_processes.non_finite_on_one_rank(folder / "together"),
    )
    return alone | {f"one rank: {key}": value for key, value in together.items()}


def rows(folder: Path) -> Found:
    """JSON lines and tables."""
    table = faults_input.ragged_tables(folder, 2000)
    return faults_input.dirty_rows(folder, 10_000) | {f"CSV: {key}": value for key, value in table.items()}


def architectures(folder: Path) -> Found:
    """Every architecture of the list through fine-tuning, export and `pipeline`."""
    differences = [through_the_chain(name, folder / name) for name in ARCHITECTURES]
    return {"architectures": len(differences), "largest difference": max(differences)}


def keys(folder: Path) -> Found:
    """Of files, and of what comparisons change."""
    others = faults_input.misspelt_overrides()
    return {key: value + others[key] for key, value in faults_input.misspelt_keys(folder).items()}


def hostile(folder: Path) -> Found:
    """How many files, and how many of them did anything but be refused."""
    found = faults_input.hostile_files(folder)
    return {"files": len(found), "not refused": sum(what != "refused" for what in found.values())}


CAMPAIGN = (
    Fault(
        "kill in save", "200 SIGKILLs at random moments of saving", "0 acknowledged checkpoints lost",
        lambda folder: faults_store.kill_in_save(folder, 200), lambda found: found["lost"] == 0,
    ),
    Fault(
        "kill in training", "50 whole runs killed again and again until done (pretraining, LM, fine-tuning)",
        "rows, result and weights bit-equal to an unbroken run",
        lambda folder: faults_runs.kill_in_training(folder, 50), lambda found: found["not bit-equal"] == 0,
    ),
    Fault(
        "power loss", "every operation of a save replayed without what was not flushed",
        "a valid checkpoint in every state",
        faults_store.power_loss, lambda found: found["without a valid checkpoint"] == 0,
    ),
    Fault(
        "corruption", "flip, cut, delete, exchange: each file at 100 places", "all detected, fallen back",
        lambda folder: faults_store.corruption(folder, 100), lambda found: found["not detected"] == 0,
    ),
    Fault(
        "disk full", "a limit on the size of files, 50 sizes", "0 lost, a clear error",
        lambda folder: faults_store.disk_full(folder, 50),
        lambda found: found["lost"] == found["unclear errors"] == 0,
    ),
    Fault(
        "signals", "100 SIGTERM and SIGINT at random moments, 0 and 2 workers", "all saved, at most 1 step lost",
        lambda folder: faults_runs.signals(folder, 100),
        lambda found: found["wrong status"] == found["runs not bit-equal"] == 0 and found["most steps lost"] <= 1,
    ),
    Fault(
        "world size", "one run on 1, 2 and 4 gloo processes in turn",
        "0 samples repeated or missed, losses to rounding",
        faults_processes.world_sizes,
        lambda found: found["repeated"] == found["missed"] == 0 and found["largest difference"] < 1e-4,
    ),
    Fault(
        "rank dies or hangs", "SIGKILL and SIGSTOP of one of two, timeout 5 s",
        "all gone within timeout + 5 s, rank named",
        lost_ranks,
        lambda found: all(
            found[f"{how}: seconds"] < 10 and found[f"{how}: left"] == 0 and found[f"{how}: named"]
            for how in ("killed", "stopped")
        ),
    ),
    Fault(
        "non-finite", "loss, gradient, one rank", "0 in weights or checkpoints", numbers,
        lambda found: found["in checkpoints"] == found["one rank: in checkpoints"] == 0
        and found["weights unmoved"] == found["skipped"] == found["spoiled"],
    ),
    Fault(
        "memory", "a stub that raises, a limit on the address space", "the same trajectory to rounding", memory,
        lambda found: found["stub: largest difference"] < 1e-5 and found["limit: largest difference"] < 1e-4,
    ),
    Fault(
        "dirty rows", "10,000 fuzzed rows, read with and without labels", "0 uncaught, every row accounted for", rows,
        lambda found: found["unaccounted"] == 0 and found["CSV: kept"] == found["CSV: sound"],
    ),
    Fault(
        "swallowed rows", "1,000 tables in dialects by chance", "0 lost or merged without a word",
        lambda folder: faults_tables.dialects(folder, 1000), lambda found: found["lost or merged"] == 0,
    ),
    Fault(
        "changed content", "2,000 single bits of files of every kind", "0 stale",
        lambda folder: faults_tables.changed_content(folder, 2000), lambda found: found["stale"] == 0,
    ),
    Fault(
        "few texts", "1 to 5 texts, trained on and answered by 1 to 4 gloo processes, DDP and FSDP2",
        "0 hangs, the values of one process", faults_processes.few_texts,
        lambda found: found["hangs"] == 0 and found["largest difference"] < 1e-4,
    ),
    Fault(
        "resume races", "200 kills in a save, then two processes resume together",
        "0 tracebacks, one checkpoint for all",
        lambda folder: faults_processes.resume_races(folder, 200),
        lambda found: found.get("tracebacks") == found.get("ranks apart") == 0,
    ),
    Fault(
        "damaged best", "the best checkpoint of an interrupted fine-tuning run spoiled in 60 ways",
        "each refused before more is trained",
        lambda folder: faults_runs.damaged_best(folder, 60),
        lambda found: found["tried"] == found["refused"] and found["finished when sound"] == 1,
    ),
    Fault(
        "architectures", "untrained checkpoints of 18 architectures: pairs, layer decay, export, `pipeline`",
        "elsewhere the scores of the test", architectures, lambda found: found["largest difference"] < 1e-5,
    ),
    Fault(
        "config", "every key of every shipped YAML file misspelt", "all refused with a suggestion", keys,
        lambda found: found["accepted"] == found["without a suggestion"] == 0,
    ),
    Fault(
        "two runs, one folder", "50 simultaneous starts", "exactly one runs",
        lambda folder: faults_runs.one_owner(folder, 50),
        lambda found: found["ran"] == 1 and found["refused"] == found["starts"] - 1,
    ),
    Fault(
        "hostile files", "pickles, remote code, path traversal, YAML bombs, huge headers, archives",
        "none executed, escaped or followed", hostile, lambda found: found["not refused"] == 0,
    ),
    Fault(
        "offline", "the chain with connections refused and counted", "0 connection attempts", faults_input.offline,
        lambda found: found == {"exit status": 0, "attempts": 0},
    ),
)  # fmt: skip


def shown(value: Any) -> str:
    """A figure for the table.

    >>> shown(3), shown(0.123456), shown(4.8e-7), shown(True)
    ('3', '0.12', '4.8e-07', 'True')
    """
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return f"{value:.1e}" if 0 < abs(value) < 0.01 else f"{value:.2f}"


def table_row(fault: Fault, found: Found) -> str:
    """The row of a fault in the table."""
    figures = ", ".join(f"{key} {shown(value)}" for key, value in found.items())
    verdict = "" if fault.holds(found) else "**not met:** "
    return f"| {fault.name} | {fault.how} | {fault.required} | {verdict}{figures} |"


def write_table(rows: Mapping[str, str]) -> None:
    """Replace rows of the table, given by the fault's name; the others stay as they are."""
    text = DOCUMENT.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    before, _, after = rest.partition(END)
    known = {line.split(" | ")[0].removeprefix("| "): line for line in before.splitlines() if line.startswith("| ")}
    lines = [rows.get(fault.name, known.get(fault.name, "")) for fault in CAMPAIGN]
    table = ["| fault | how | required | found |", "|---|---|---|---|", *filter(None, lines), "", machine()]
    DOCUMENT.write_text(head + BEGIN + "\n" + "\n".join(table) + "\n" + END + after, encoding="utf-8")


def machine() -> str:
    """What the table was made on."""
    cores = math.floor(os.cpu_count() or 1)
    return f"Python {platform.python_version()}, torch {torch.__version__}, {platform.system()}, {cores} cores, no GPU."
