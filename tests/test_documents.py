"""Every command of the README and the docs is one that its program accepts."""

import importlib
import importlib.util
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from configs.command_line import CommandLine
from tests.helpers.paths import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(
    r"(?:python|accelerate launch[^`\n]*?) -m ((?:tokenizer|pretrain|finetune|benchmarks)[\w.]*)([^`\n]*)"
)
STAGE_FILES = {
    "tokenizer": "configs/tokenizer/demo.yaml",
    "pretrain": "configs/pretrain/demo.yaml",
    "pretrain.prepare": "configs/pretrain/demo.yaml",
    "finetune": "configs/finetune/demo.yaml",
    "finetune.compare": "configs/compare/demo.yaml",
    "finetune.ladder": "configs/ladder/demo.yaml",
}
# What stands for a number in the docs.
NUMBERS = {"N", "S", "T", "GPUS"}


class AcceptedError(Exception):
    """The command line was accepted."""


def commands() -> list[tuple[str, str]]:
    """The module and the arguments of every command, a line each."""
    found = set()
    for document in DOCUMENTS:
        text = re.sub(r"\\\n\s*", " ", document.read_text(encoding="utf-8"))
        for module, rest in COMMAND.findall(text):
            arguments = rest.split("#")[0].split(" && ")[0].split(" | ")[0].strip()
            # A program that is mentioned without arguments is no command to type.
            if arguments and not arguments.startswith((".", ",", ")", ":", ";")):
                found.add((module, arguments))
    return sorted(found)


def typed(module: str, arguments: str) -> list[str]:
    """The arguments as a reader would type them, who puts something in each place that is held open."""
    words = []
    for word in shlex.split(arguments):
        if word in ("FILE", "configs/compare/yours.yaml"):
            words.append(STAGE_FILES.get(module, "x.yaml"))
        elif word not in ("…", "..."):
            words.append("1" if word in NUMBERS else word)
    return words


@pytest.mark.parametrize(("module", "arguments"), commands())
def test_every_command_is_accepted(module: str, arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def accept(parser: CommandLine, *given: Any, **options: Any) -> None:
        original(parser, *given, **options)
        raise AcceptedError

    original = CommandLine.parse_args
    monkeypatch.setattr(CommandLine, "parse_args", accept)
    monkeypatch.setattr(sys, "argv", [module, *typed(module, arguments)])
    monkeypatch.chdir(ROOT)
    is_package = (ROOT / Path(*module.split("."))).is_dir()
    program = importlib.import_module(f"{module}.__main__" if is_package else module)
    with pytest.raises((AcceptedError, SystemExit)) as ended:
        program.main()
    assert ended.type is AcceptedError or "--help" in arguments


def test_commands_are_found() -> None:
    assert len(commands()) > 30
    assert ("finetune.compare", "--config configs/compare/imdb-cpu.yaml --data_folder DIR") in commands()
