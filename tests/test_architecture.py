"""The house: which way imports go, that what ships parses, and that the README shows what is there."""

import ast
import graphlib
import importlib.metadata
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from configs.command_line import load
from finetune.comparison.config import CompareConfig
from finetune.comparison.tuning import RangesConfig
from finetune.config import FinetuneConfig
from finetune.ladders.config import LadderConfig
from pretrain.config import PretrainConfig
from pretrain.training.schedule import Duration
from tests.conftest import SLOW, TOGETHER
from tests.helpers.paths import ROOT
from tokenizer.config import TokenizerConfig

ROOMS = ("configs", "tokenizer", "pretrain", "finetune")
OWN_FILES, CONFIG = "the room's own files", "config and run folders"
# The parts of each room in the order in which they may import each other; a room's own files come last.
PARTS = {
    "tokenizer": ["corpus", "vocabulary"],
    "pretrain": ["data", "audits", "models", "objectives", "training", "hub"],
    "finetune": [
        "classification",
        CONFIG,
        "comparison",
        "ladders",
        "own_data",
        "inference",
        "publishing",
        "page",
        "serving",
    ],
}
# A comparison is made of runs, so it knows their config.
CONFIG_MODULES = {"finetune.config", "finetune.run_paths"}
CONFIGS = {
    "tokenizer": TokenizerConfig,
    "pretrain": PretrainConfig,
    "finetune": FinetuneConfig,
    "compare": CompareConfig,
    "ladder": LadderConfig,
    "tuning": RangesConfig,
}
SHIPPED = sorted(file.relative_to(ROOT) for stage in CONFIGS for file in (ROOT / "configs" / stage).rglob("*.yaml"))


def imported(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {name: distributions_of(listed) for name, listed in project["optional-dependencies"].items()}
    product = third_party([ROOT / room for room in ROOMS])
    optional = extras["ray"] | extras["onnx"] | extras["serve"]
    assert product - optional == distributions_of(project["dependencies"])
    beside = third_party([ROOT / "tests", ROOT / "benchmarks"])
    assert not beside - product - set.union(*extras.values())


def distributions_of(requirements: list[str]) -> set[str]:
    """The normalised names in a list of requirements."""
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def third_party(folders: list[Path]) -> set[str]:
    """The distributions that the modules below some folders import."""
    modules = {name.split(".")[0] for folder in folders for file in folder.rglob("*.py") for name in imported(file)}
    by_module = importlib.metadata.packages_distributions()
    return {canonicalize_name(by_module[module][0]) for module in modules if module in by_module}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_rooms_to_its_left(room: str) -> None:
    to_the_right = set(ROOMS[ROOMS.index(room) + 1 :]) | {"tests", "benchmarks"}
    for file in (ROOT / room).rglob("*.py"):
        wrong = {name.split(".")[0] for name in imported(file)} & to_the_right
        assert not wrong, f"{file} imports {wrong}"


def part_of(module: str) -> str:
    """The sub-package that a module belongs to, or the room itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and (ROOT / parts[0] / parts[1]).is_dir() else OWN_FILES


@pytest.mark.parametrize("room", PARTS)
def test_parts_of_a_room_import_only_from_parts_before_them(room: str) -> None:
    order = [*PARTS[room], OWN_FILES]
    assert {part_of(f"{room}.{path.name}") for path in (ROOT / room).iterdir() if (path / "__init__.py").is_file()} == (
        set(PARTS[room]) - {CONFIG}
    )
    for file in (ROOT / room).rglob("*.py"):
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        here = CONFIG if module in CONFIG_MODULES else part_of(module)
        for name in imported(file):
            if name.split(".")[0] == room and "." in name:
                there = CONFIG if name in CONFIG_MODULES else part_of(name)
                assert order.index(there) <= order.index(here), f"{module} ({here}) imports {name} ({there})"


def test_imports_run_in_no_circle() -> None:
    modules = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts): file
        for room in ROOMS
        for file in (ROOT / room).rglob("*.py")
        if file.name != "__init__.py"
    }
    graph = {
        module: {
            name
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.ImportFrom) and node.module and not node.level
            for name in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
        }
        & modules.keys()
        for module, file in modules.items()
    }
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(modules)


def test_no_folder_holds_more_than_fifteen_files() -> None:
    for room in (*ROOMS, "benchmarks", "tests"):
        for folder in [ROOT / room, *(path for path in (ROOT / room).rglob("*") if path.is_dir())]:
            assert len(list(folder.glob("*.py"))) <= 15, folder


@pytest.mark.parametrize("file", SHIPPED, ids=str)
def test_every_shipped_file_parses_and_points_at_what_is_there(file: Path) -> None:
    stage = file.parts[1]
    config = load(CONFIGS[stage], ROOT / file)
    for key in ("tokenizer", "pretrain", "finetune", "comparison"):
        reference = getattr(config, key, None)
        assert reference is None or (ROOT / reference).is_file()
    if isinstance(config, PretrainConfig | FinetuneConfig):
        assert Duration.parse(config.training.duration).amount > 0
    if isinstance(config, CompareConfig):
        for keys in config.models.values():
            load(FinetuneConfig, ROOT / config.finetune, keys)


PACKAGES = sorted(file.parent.relative_to(ROOT) for room in ROOMS for file in (ROOT / room).rglob("__init__.py"))


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_the_docstring_of_a_package_names_every_file_and_folder_in_it(package: Path) -> None:
    sign = ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))) or ""
    for path in (ROOT / package).iterdir():
        if path.suffix in (".py", ".j2") and path.name != "__init__.py":
            assert f"`{path.name}`" in sign, f"{package}/__init__.py does not name {path.name}"
        if (path / "__init__.py").is_file():
            assert f"`{path.name}/`" in sign, f"{package}/__init__.py does not name {path.name}/"


def tracked() -> list[str]:
    """Every file of the checkout that is not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.splitlines()
    if not listed:
        pytest.skip("not a git checkout")
    return [name for name in listed if (ROOT / name).is_file()]


def test_the_tree_in_the_readme_is_the_tree_on_disk() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"```text\n(.*?)```", readme, re.DOTALL)
    assert block is not None
    told, above = set(), ""
    for line in block[1].splitlines():
        name = line.strip().split("  ")[0]
        above = above if line.startswith(" ") else name
        told.add(above + name if line.startswith(" ") else name)
    packages = {f"{package.as_posix()}/" for package in PACKAGES if len(package.parts) <= 2}
    folders = {f"{name.split('/')[0]}/" for name in tracked() if "/" in name and not name.startswith(".")}
    assert packages | folders <= told, sorted((packages | folders) - told)
    gone = {name for name in told if not (ROOT / name).exists()}
    assert not gone, f"the README tells of what is not there: {gone}"


DOCUMENTS = sorted(file.relative_to(ROOT) for file in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_no_document_names_a_file_that_is_gone(document: Path) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    links = {link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link} - {""}
    for link in links:
        assert ((ROOT / document).parent / link).exists(), f"{document} links to {link}"
    if document.name in ("CHANGELOG.md", "diary.md"):
        # What was true when it was written.
        return
    rooms = "|".join((*ROOMS, "benchmarks", "tests", "docs"))
    for name in set(re.findall(rf"`((?:{rooms})/[\w./-]+\.(?:py|yaml|md|png|svg|j2))`", text)):
        assert (ROOT / name).exists(), f"{document} names {name}"
    for module in set(re.findall(rf"-m ((?:{'|'.join(ROOMS)}|benchmarks|tests)(?:\.\w+)*)", text)):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), f"{document} runs {module}"


def test_files_stay_short() -> None:
    for room in (*ROOMS, "benchmarks", "tests"):
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
        *(part for e in ("dev", "onnx", "ray", "serve", "trackers") for part in project["optional-dependencies"][e]),
    ]
    names = {re.split(r"[\[><=]", part)[0].lower().replace("_", "-") for part in wanted}
    assert names <= locked.keys()
    for file in (ROOT / "requirements").glob("*.lock"):
        entries = re.split(r"\n(?=[a-z0-9])", file.read_text(), flags=re.IGNORECASE)
        assert len(entries) > 1
        for entry in entries[1:]:
            assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


def test_files_that_the_tests_are_sorted_by_exist() -> None:
    for name in (*SLOW, *TOGETHER):
        assert (ROOT / name.split("::")[0]).is_file(), name
