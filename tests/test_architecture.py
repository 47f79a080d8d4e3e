"""The house: which way imports go, that what ships parses, and that the README shows what is there."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from configs.command_line import load
from finetune.compare import CompareConfig
from finetune.config import FinetuneConfig
from pretrain.config import PretrainConfig
from pretrain.optimization import Duration
from tokenizer.config import TokenizerConfig

ROOT = Path(__file__).parent.parent
ROOMS = ("configs", "tokenizer", "pretrain", "finetune")
CONFIGS = {
    "tokenizer": TokenizerConfig,
    "pretrain": PretrainConfig,
    "finetune": FinetuneConfig,
    "compare": CompareConfig,
}
SHIPPED = sorted(file.relative_to(ROOT) for stage in CONFIGS for file in (ROOT / "configs" / stage).rglob("*.yaml"))


def imported(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_rooms_to_its_left(room: str) -> None:
    to_the_right = set(ROOMS[ROOMS.index(room) + 1 :]) | {"tests"}
    for file in (ROOT / room).rglob("*.py"):
        found = {name.split(".")[0] for name in imported(file)} & to_the_right
        assert not found, f"{file} imports {found}"


@pytest.mark.parametrize("file", SHIPPED, ids=str)
def test_every_shipped_file_parses_and_points_at_what_is_there(file: Path) -> None:
    stage = file.parts[1]
    config = load(CONFIGS[stage], ROOT / file)
    for key in ("tokenizer", "pretrain", "finetune"):
        reference = getattr(config, key, None)
        assert reference is None or (ROOT / reference).is_file()
    if isinstance(config, PretrainConfig | FinetuneConfig):
        assert Duration.parse(config.training.duration).amount > 0
    if isinstance(config, CompareConfig):
        for keys in config.models.values():
            load(FinetuneConfig, ROOT / config.finetune, keys)


@pytest.mark.parametrize("room", ROOMS)
def test_the_sign_on_the_door_names_every_file(room: str) -> None:
    sign = ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text(encoding="utf-8"))) or ""
    for file in (ROOT / room).glob("*.py"):
        if file.name != "__init__.py":
            assert f"`{file.name}`" in sign, f"{room}/__init__.py does not name {file.name}"


def test_the_tree_in_the_readme_is_the_tree_on_disk() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"```text\n(.*?)```", readme, re.DOTALL)
    assert block is not None
    folder, told = "", set()
    for line in block[1].splitlines():
        name = line.strip().split("  ")[0]
        if line.startswith("  "):
            told.add(folder + name)
        elif name.endswith("/"):
            folder = name
            told.add(name)
        else:
            told.add(name)
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.splitlines()
    if not listed:
        pytest.skip("not a git checkout")
    files = [name for name in listed if (ROOT / name).is_file()]
    code = {name for name in files if name.endswith((".py", ".j2")) and not name.startswith("tests/")}
    folders = {f"{name.split('/')[0]}/" for name in files if "/" in name}
    assert folders | code <= told | {".ci/"}, sorted((folders | code) - told)
    gone = {name for name in told if not (ROOT / name).exists() and "*" not in name}
    assert not gone, f"the README tells of what is not there: {gone}"


def test_files_stay_short() -> None:
    for room in (*ROOMS, "tests"):
        for file in (ROOT / room).rglob("*.py"):
            assert file.read_text(encoding="utf-8").count("\n") <= 400, f"{file} is too long"


def pinned(file):
    """Versions by name, of a file of `name==version` lines."""
    lines = (line.split(";")[0].strip().removesuffix("\\").strip() for line in file.read_text().splitlines())
    found = (line.split("==") for line in lines if "==" in line and not line.startswith(("#", "-")))
    return {name.strip().lower().replace("_", "-").replace(".", "-"): version.strip() for name, version in found}


def test_what_is_installed_is_pinned_with_sums_to_the_versions_of_the_constraints():
    constraints = pinned(ROOT / "constraints.txt")
    locked = pinned(ROOT / "requirements" / "base.lock") | pinned(ROOT / "requirements" / "torch.lock")
    assert locked.pop("setuptools")
    assert locked.items() <= constraints.items()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(part for e in ("dev", "ray", "trackers") for part in project["optional-dependencies"][e]),
    ]
    names = {re.split(r"[\[><=]", part)[0].lower().replace("_", "-") for part in wanted}
    assert names <= locked.keys()
    for file in (ROOT / "requirements").glob("*.lock"):
        entries = re.split(r"\n(?=[a-z0-9])", file.read_text(), flags=re.IGNORECASE)
        assert len(entries) > 1
        for entry in entries[1:]:
            assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry
