"""The image's recipe: what it copies is there and is sent, its command is one, and it is nobody's root."""

import ast
import json
import re
import shlex
import sys
import tomllib

import pytest

from configs.errors import InputError
from finetune import serve
from finetune.serving.config import ServeConfig
from tests.helpers.paths import ROOT
from tests.test_architecture import ROOMS, pinned


def instructions() -> list[tuple[str, str]]:
    """The instructions and what follows each, lines joined."""
    lines = [
        line for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    ]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def all_of(name: str) -> list[str]:
    return [rest for word, rest in instructions() if word == name]


def copied() -> list[str]:
    return [source for rest in all_of("COPY") for source in shlex.split(rest)[:-1]]


def test_what_is_copied_exists_and_is_all_that_is_sent():
    assert all((ROOT / source).exists() for source in copied())
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert ignored[0] == "*"
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == set(copied())


def test_every_room_and_what_the_package_is_made_of_are_copied():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {*ROOMS, "pyproject.toml", project["readme"], *project["license-files"]} <= set(copied())
    # What is installed comes before the code, and its files before it.
    order = [rest for word, rest in instructions() if word in ("COPY", "RUN")]
    install = next(position for position, rest in enumerate(order) if "pip install" in rest)
    before, after = order[:install], order[install + 1 :]
    assert any("constraints.txt" in rest for rest in before)
    assert all(any(rest.startswith(f"{room} ") for rest in after) for room in ROOMS)


def test_what_is_installed_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (run,) = [rest for rest in all_of("RUN") if "pip install" in rest]
    assert run.count("pip install") == run.count("--constraint constraints.txt") == 2
    extras = re.findall(r"\.\[(\w+)\]", run)
    assert extras == ["serve"]
    assert set(extras) <= set(project["optional-dependencies"])
    names = [word for word in shlex.split(run.split('".[serve]"')[1]) if word.isidentifier()]
    # `--runtime onnx` and `onnx-int8` need it, and of the extra `onnx` nothing else.
    assert "onnxruntime" in names
    assert {*names, "torch"} <= set(pinned(ROOT / "constraints.txt"))


def test_the_image_runs_as_somebody_without_rights():
    (user,) = all_of("USER")
    assert any(f"useradd --create-home --uid 10001 {user}" in rest for rest in all_of("RUN"))
    words = [word for word, _ in instructions()]
    assert words.index("USER") > max(position for position, word in enumerate(words) if word in ("RUN", "COPY"))
    version = re.fullmatch(r"python:(\d+\.\d+)-slim", all_of("FROM")[0])
    assert version is not None
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert tuple(map(int, version[1].split("."))) >= tuple(map(int, requires.removeprefix(">=").split(".")))


def test_the_command_is_one_that_the_service_accepts(monkeypatch):
    entry, arguments = (json.loads(all_of(name)[0]) for name in ("ENTRYPOINT", "CMD"))
    assert entry == ["python", "-m", "finetune.serve"]
    seen = []
    monkeypatch.setattr(serve, "run", seen.append)
    monkeypatch.setattr(serve, "show_progress_lines", lambda: None)
    monkeypatch.setattr(serve, "tune_allocator", lambda enabled, switch: None)
    monkeypatch.setattr(sys, "argv", ["serve", *arguments])
    serve.main()
    assert seen == [ServeConfig("/model", host="0.0.0.0")]
    monkeypatch.setattr(sys, "argv", ["serve", *arguments, "--prot", "1"])
    with pytest.raises(InputError, match="did you mean"):
        serve.main()


def test_the_health_check_asks_the_port_that_is_served():
    (check,) = all_of("HEALTHCHECK")
    command = json.loads(check.partition("CMD ")[2])
    ast.parse(command[2])
    assert command[:2] == ["python", "-c"]
    port = ServeConfig("RUN").port
    assert f"http://127.0.0.1:{port}/health'" in command[2]
    assert all_of("EXPOSE") == [str(port)]
