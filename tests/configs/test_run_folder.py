"""Run folders: how they are named, begun and finished."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import yaml

from configs.errors import InputError
from configs.fields import outside_digest
from configs.run_folder import PACKAGES, RunFolder, digest, write_atomically


@dataclass(frozen=True)
class Part:
    rate: float = 0.15
    shown: bool = outside_digest(False)


@dataclass(frozen=True)
class Config:
    name: str = "trial"
    part: Part = field(default_factory=Part)
    labels: list[str] | None = None
    log_every: int = outside_digest(10)
    runs: str = outside_digest("runs")


def test_digest_is_ten_hexadecimal_digits_and_the_same_each_time():
    first = digest(Config(), ["abc"])
    assert first == digest(Config(), ["abc"])
    assert len(first) == 10
    assert int(first, 16) >= 0


@pytest.mark.parametrize(
    "changed", [Config(log_every=99), Config(runs="elsewhere"), Config(part=Part(shown=True))], ids=str
)
def test_digest_ignores_fields_outside_it(changed):
    assert digest(changed, ["abc"]) == digest(Config(), ["abc"])


@pytest.mark.parametrize(
    "changed", [Config(name="other"), Config(part=Part(rate=0.3)), Config(labels=["a"]), Config(labels=[])], ids=str
)
def test_digest_changes_with_every_other_field(changed):
    assert digest(changed, ["abc"]) != digest(Config(), ["abc"])


@pytest.mark.parametrize("upstream", [[], ["abd"], ["abc", "abc"], ["a", "bc"]])
def test_digest_changes_with_what_lies_upstream(upstream):
    assert digest(Config(), upstream) != digest(Config(), ["abc"])


def test_digest_takes_any_iterable_upstream():
    assert digest(Config(), iter(["a", "b"])) == digest(Config(), ["a", "b"])


def test_folder_carries_stage_name_and_digest(tmp_path):
    config = Config(name="my-trial", runs=str(tmp_path))
    folder = RunFolder.of("pretrain", config, ["abc"])
    assert folder.path == tmp_path / "pretrain" / f"my-trial-{digest(config, ['abc'])}"
    assert folder.digest == digest(config, ["abc"])
    assert not folder.path.exists()


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", "/etc", ".hidden", "a/", "a/.."])
def test_name_that_leaves_the_folder_is_refused(name, tmp_path):
    with pytest.raises(InputError, match=r"name: .* is not a plain folder name") as caught:
        RunFolder.of("pretrain", Config(name=name, runs=str(tmp_path)), [])
    assert repr(name) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_run_is_finished_only_with_its_result(tmp_path):
    config = Config(runs=str(tmp_path))
    folder = RunFolder.of("pretrain", config, [])
    assert not folder.finished
    folder.begin(config)
    folder.model.mkdir()
    folder.metrics.write_text("{}\n")
    assert not folder.finished
    with pytest.raises(InputError, match="holds no finished run") as caught:
        folder.result()
    assert str(folder.path) in str(caught.value)
    folder.finish({"loss": 0.5, "words": "naïve"})
    assert folder.finished
    assert folder.result() == {"loss": 0.5, "words": "naïve"}


def test_folder_named_like_the_result_does_not_finish_a_run(tmp_path):
    folder = RunFolder(tmp_path)
    (tmp_path / "result.json").mkdir()
    assert not folder.finished


def test_begin_writes_every_default_into_config_yaml(tmp_path):
    config = replace(Config(), runs=str(tmp_path))
    folder = RunFolder.of("pretrain", config, [])
    folder.begin(config)
    assert yaml.safe_load((folder.path / "config.yaml").read_text()) == {
        "name": "trial",
        "part": {"rate": 0.15, "shown": False},
        "labels": None,
        "log_every": 10,
        "runs": str(tmp_path),
    }


def test_begin_writes_versions_and_machine_into_environment_json(tmp_path):
    folder = RunFolder(tmp_path / "deep" / "run-0123456789")
    folder.begin(Config(), world_size=2)
    text = (folder.path / "environment.json").read_text()
    environment = json.loads(text)
    assert set(environment) == {"python", "platform", "cpu_count", "git_revision", "versions", "world_size"}
    assert environment["world_size"] == 2
    assert set(environment["versions"]) == set(PACKAGES)
    assert all(environment["versions"].values())
    assert str(Path.home()) not in text


def test_begin_again_keeps_what_the_folder_holds(tmp_path):
    folder = RunFolder(tmp_path / "run-0123456789")
    folder.begin(Config())
    folder.metrics.write_text('{"step": 1}\n')
    folder.begin(Config(log_every=5))
    assert folder.metrics.read_text() == '{"step": 1}\n'
    assert yaml.safe_load((folder.path / "config.yaml").read_text())["log_every"] == 5


def test_begin_and_finish_leave_no_stray_file(tmp_path):
    folder = RunFolder(tmp_path / "run-0123456789")
    folder.begin(Config())
    folder.finish({})
    assert sorted(file.name for file in folder.path.iterdir()) == ["config.yaml", "environment.json", "result.json"]


def test_write_atomically_replaces_the_file_and_leaves_no_other(tmp_path):
    file = tmp_path / "result.json"
    write_atomically(file, "old and longer\n")
    write_atomically(file, "neu ü\n")
    assert file.read_text(encoding="utf-8") == "neu ü\n"
    assert list(tmp_path.iterdir()) == [file]


def test_failed_write_keeps_the_old_content(tmp_path):
    file = tmp_path / "result.json"
    write_atomically(file, "old\n")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(file, "half\ud800")
    assert file.read_text() == "old\n"
    assert not RunFolder(tmp_path / "other").finished


def test_failed_write_leaves_no_stray_file(tmp_path):
    with pytest.raises(UnicodeEncodeError):
        write_atomically(tmp_path / "result.json", "half\ud800")
    assert list(tmp_path.iterdir()) == []
