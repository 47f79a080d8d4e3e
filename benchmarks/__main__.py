"""`python -m benchmarks --data_folder DIR`: run all speed benchmarks and write the tables of docs/performance.md.

Each program runs as the command that its table names; its output replaces the table between its two markers in the
page. The rest of the page is written by hand.
"""

import dataclasses
import importlib.metadata
import json
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from configs.command_line import parse
from configs.errors import InputError, run_command
from configs.launch import physical_cores

PROGRAM = "python -m benchmarks"
PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
PROGRAMS = {
    "pretrain": "python -m benchmarks.pretrain --data_folder DIR",
    "finetune": "python -m benchmarks.finetune --data_folder DIR",
    "inference": "python -m benchmarks.inference --data_folder DIR",
    "prepare": "python -m benchmarks.prepare --data_folder DIR",
    "layers": "python -m benchmarks.layers",
    "saving": "python -m benchmarks.saving",
    "scaling": "python -m benchmarks.scaling --data_folder DIR",
}
# The most capable first.
INSTRUCTION_SETS = {"AVX-512 with bf16": "avx512_bf16", "AVX-512": "avx512f", "AVX2": "avx2"}


@dataclasses.dataclass(frozen=True)
class BenchmarksConfig:
    """Run the benchmarks and write their tables into docs/performance.md."""

    data_folder: str
    """The folder with `imdb/{train,unsupervised}.parquet`."""
    only: list[str] = dataclasses.field(default_factory=lambda: list(PROGRAMS))
    """The programs to run."""
    page: str = str(PAGE)
    """The page to write the tables to."""

    def __post_init__(self) -> None:
        """Validate the keys."""
        unknown = [name for name in self.only if name not in PROGRAMS]
        if unknown:
            raise InputError(f"only: {unknown[0]!r} is none of {', '.join(PROGRAMS)}")
        if not (Path(self.data_folder) / "imdb" / "train.parquet").is_file():
            raise InputError(f"data_folder: {self.data_folder}/imdb/train.parquet is missing")


def run(config: BenchmarksConfig) -> None:
    """Run the benchmarks, and write each table as soon as its program is done.

    Raises:
        InputError: a program failed.
    """
    for name in config.only:
        command = PROGRAMS[name]
        print(f"$ {command}", flush=True)
        arguments = command.replace("DIR", config.data_folder).split()[1:]
        process = subprocess.run([sys.executable, *arguments], stdout=subprocess.PIPE, text=True, check=False)
        if process.returncode:
            raise InputError(f"`{command}` exited with status {process.returncode}")
        measurements = [json.loads(line) for line in process.stdout.splitlines() if line.startswith("{")]
        page = Path(config.page)
        updated = replace_table(page.read_text(encoding="utf-8"), name, table(measurements, command, machine()))
        page.write_text(updated, encoding="utf-8")


def table(measurements: list[dict[str, Any]], command: str, machine: str) -> str:
    """Measurements as a Markdown table, with the command that repeats them.

    >>> print(table([{"name": "a", "ours": 3.0, "peer": None, "ratio": None, "unit": "s"}], "make a", "a machine"))
    | measured | ours | peer | ratio | unit |
    |---|---|---|---|---|
    | a | 3 | – | – | s |
    <BLANKLINE>
    `make a`, on a machine.
    """
    rows = [
        f"| {row['name']} | {rounded(row['ours'])} | {rounded(row['peer'])} | {rounded(row['ratio'])} | {row['unit']} |"
        for row in measurements
    ]
    head = ["| measured | ours | peer | ratio | unit |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows, "", f"`{command}`, on {machine}."])


def rounded(number: float | None) -> str:
    """A number as text, with at least three significant digits.

    >>> rounded(12345.6), rounded(145.95), rounded(0.7131), rounded(None)
    ('12,346', '146', '0.713', '–')
    """
    if number is None:
        return "–"
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def replace_table(page: str, name: str, table: str) -> str:
    """The page with the text between the markers of `name` replaced.

    Raises:
        InputError: the page has no such markers.

    >>> replace_table("a <!-- begin x --> old <!-- end x --> b", "x", "new").split()
    ['a', '<!--', 'begin', 'x', '-->', 'new', '<!--', 'end', 'x', '-->', 'b']
    """
    pattern = re.compile(rf"(<!-- begin {name} -->).*?(<!-- end {name} -->)", re.DOTALL)
    if not pattern.search(page):
        raise InputError(f"page: missing the markers `<!-- begin {name} -->` and `<!-- end {name} -->`")
    return pattern.sub(lambda match: f"{match[1]}\n{table}\n{match[2]}", page)


def machine() -> str:
    """Cores, processor, system and versions; no host or user name."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "transformers"))
    processor = "an unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        facts = dict(re.findall(r"^(model name|flags)\s*: (.*)$", cpuinfo.read_text(encoding="utf-8"), re.MULTILINE))
        best = [name for name, flag in INSTRUCTION_SETS.items() if flag in facts.get("flags", "").split()]
        processor = f"{facts.get('model name', processor)} ({', '.join(best[:1]) or 'no AVX2'})"
    system = f"{platform.system()}, Python {platform.python_version()}"
    return f"{physical_cores()} cores of {processor}, {system}, {versions}"


def main() -> None:
    """Parse the command line, then run the benchmarks."""
    run(parse(BenchmarksConfig, PROGRAM))


if __name__ == "__main__":
    run_command(PROGRAM, main)
