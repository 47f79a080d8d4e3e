"""npm's packages are fetched once, and what goes wrong is told in one line."""

import json
import re

import pytest

from configs.errors import InputError
from finetune.page import packages


def with_npm(folder, monkeypatch, script):
    npm = folder / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{npm.parent}:/usr/bin:/bin")


def test_they_are_fetched_once_and_then_need_neither_npm_nor_network(tmp_path, monkeypatch):
    make = "\n".join(f'mkdir -p "$(dirname node_modules/{name})"; echo {number} > node_modules/{name}'
                     for number, name in enumerate(packages.FILES))  # fmt: skip
    with_npm(tmp_path, monkeypatch, f'test "$1" = ci && test -f package-lock.json || exit 3\n{make}')
    folder = packages.installed(tmp_path / "cache")
    assert sorted(file.name for file in folder.iterdir()) == sorted(packages.FILES.values())
    assert [file.name for file in (tmp_path / "cache").iterdir()] == [folder.name]
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert packages.installed(tmp_path / "cache") == folder


def test_without_npm_the_fix_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"npm is not on the PATH; .* install Node.js, or copy .*page-packages-"):
        packages.installed(tmp_path / "cache")


def test_npms_reason_is_told_and_nothing_is_left(tmp_path, monkeypatch):
    with_npm(tmp_path, monkeypatch, "echo 'npm error code E401' >&2; echo 'npm error no access' >&2; exit 1")
    with pytest.raises(InputError, match=re.escape("npm ci: failed (code E401, no access)")):
        packages.installed(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_lock_pins_sums_and_names_no_host():
    lock = (packages.HERE / "package-lock.json").read_text(encoding="utf-8")
    assert "http" not in re.sub(r'"funding": \{[^}]*\}', "", lock)
    entries = {name: entry for name, entry in json.loads(lock)["packages"].items() if name}
    assert all(entry["integrity"].startswith("sha512-") for entry in entries.values())
    wanted = json.loads((packages.HERE / "package.json").read_text(encoding="utf-8"))["dependencies"]
    assert {name: entries[f"node_modules/{name}"]["version"] for name in wanted} == wanted
