"""`python -m benchmarks --data_folder DIR`: every measurement of speed, and the tables of docs/performance.md.

Each program runs as the command that its table names, and what it prints replaces the table between its two marks in
the page. The rest of the page is written by hand.
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
    "saving": "python -m benchmarks.saving",
    "scaling": "python -m benchmarks.scaling --data_folder DIR",
}
# From the most capable on.
INSTRUCTIONS = {"AVX-512 with bf16": "avx512_bf16", "AVX-512": "avx512f", "AVX2": "avx2"}


@dataclasses.dataclass(frozen=True)
class BenchmarksConfig:
    """Run the benchmarks and write their tables into docs/performance.md."""

    data_folder: str
    """The folder with `imdb/{train,unsupervised}.parquet`."""
    only: list[str] = dataclasses.field(default_factory=lambda: list(PROGRAMS))
    """Which of them."""
    page: str = str(PAGE)
    """The page whose tables are written."""

    def __post_init__(self) -> None:
        """Refuse what is not there."""
        unknown = [name for name in self.only if name not in PROGRAMS]
        if unknown:
            raise InputError(f"only: {unknown[0]!r} is none of {', '.join(PROGRAMS)}")
        if not (Path(self.data_folder) / "imdb" / "train.parquet").is_file():
            raise InputError(f"data_folder: {self.data_folder}/imdb/train.parquet is missing")


def run(config: BenchmarksConfig) -> None:
    """Measure, and write each table as soon as its figures are there.

    Raises:
        InputError: a program failed.
    """
    for name in config.only:
        command = PROGRAMS[name]
        print(f"$ {command}", flush=True)
        words = command.replace("DIR", config.data_folder).split()[1:]
        ended = subprocess.run([sys.executable, *words], stdout=subprocess.PIPE, text=True, check=False)
        if ended.returncode:
            raise InputError(f"`{command}` ended with status {ended.returncode}")
        lines = [json.loads(text) for text in ended.stdout.splitlines() if text.startswith("{")]
        page = Path(config.page)
        written = with_table(page.read_text(encoding="utf-8"), name, table(lines, command, machine()))
        page.write_text(written, encoding="utf-8")


def table(lines: list[dict[str, Any]], command: str, machine: str) -> str:
    """Measurements as Markdown, with the command that gives them again.

    >>> print(table([{"name": "a", "ours": 3.0, "peer": None, "ratio": None, "unit": "s"}], "make a", "a machine"))
    | measured | ours | peer | ratio | unit |
    |---|---|---|---|---|
    | a | 3 | – | – | s |
    <BLANKLINE>
    `make a`, on a machine.
    """
    rows = [
        f"| {line['name']} | {shown(line['ours'])} | {shown(line['peer'])} | {shown(line['ratio'])} | {line['unit']} |"
        for line in lines
    ]
    head = ["| measured | ours | peer | ratio | unit |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows, "", f"`{command}`, on {machine}."])


def shown(number: float | None) -> str:
    """A number with three digits or more that count.

    >>> shown(12345.6), shown(145.95), shown(0.7131), shown(None)
    ('12,346', '146', '0.713', '–')
    """
    if number is None:
        return "–"
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def with_table(page: str, name: str, table: str) -> str:
    """The page with what stands between the marks of `name` replaced.

    Raises:
        InputError: the page has no such marks.

    >>> with_table("a <!-- begin x --> old <!-- end x --> b", "x", "new").split()
    ['a', '<!--', 'begin', 'x', '-->', 'new', '<!--', 'end', 'x', '-->', 'b']
    """
    pattern = re.compile(rf"(<!-- begin {name} -->).*?(<!-- end {name} -->)", re.DOTALL)
    if not pattern.search(page):
        raise InputError(f"page: there are no marks `<!-- begin {name} -->` and `<!-- end {name} -->`")
    return pattern.sub(lambda found: f"{found[1]}\n{table}\n{found[2]}", page)


def machine() -> str:
    """What the figures were measured on, without anything that names a person."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "transformers"))
    processor = "an unknown processor"
    told = Path("/proc/cpuinfo")
    if told.is_file():
        facts = dict(re.findall(r"^(model name|flags)\s*: (.*)$", told.read_text(encoding="utf-8"), re.MULTILINE))
        best = [name for name, flag in INSTRUCTIONS.items() if flag in facts.get("flags", "").split()]
        processor = f"{facts.get('model name', processor)} ({', '.join(best[:1]) or 'no AVX2'})"
    system = f"{platform.system()}, Python {platform.python_version()}"
    return f"{physical_cores()} cores of {processor}, {system}, {versions}"


def main() -> None:
    """Parse the command line, then measure."""
    run(parse(BenchmarksConfig, PROGRAM))


if __name__ == "__main__":
    run_command(PROGRAM, main)
