"""The benchmarks: what they make of their measurements. What they measure is for `make bench`."""

import json
import re
import subprocess

import pytest

from benchmarks import __main__ as every
from benchmarks import finetune, pretrain
from benchmarks.finetune import FinetuneBenchmarkConfig
from benchmarks.inference import InferenceBenchmarkConfig
from benchmarks.measurement.measuring import (
    mean_rates,
    measure_stage,
    print_measurement,
    time_in_turn,
    untuned_environment,
)
from benchmarks.pretrain import PretrainBenchmarkConfig
from benchmarks.scaling import ScalingBenchmarkConfig
from configs.command_line import load
from configs.errors import InputError
from finetune.config import FinetuneConfig
from pretrain.config import PretrainConfig
from tests.helpers.pretraining import small_run


def test_a_line_holds_both_sides_and_their_ratio(capsys):
    print_measurement("a", 3.0, 1.5, "s")
    print_measurement("b", 3.0, None, "s")
    assert [json.loads(text) for text in capsys.readouterr().out.splitlines()] == [
        {"name": "a", "ours": 3.0, "peer": 1.5, "ratio": 2.0, "unit": "s"},
        {"name": "b", "ours": 3.0, "peer": None, "ratio": None, "unit": "s"},
    ]


def test_sides_are_measured_in_turn():
    order = []
    durations = time_in_turn(2, lambda: order.append("ours"), lambda: order.append("peer"))
    assert order == ["ours", "peer", "ours", "peer"]
    assert [len(times) for times in durations] == [2, 2]


def test_a_users_shell_has_no_tuned_allocator(monkeypatch):
    monkeypatch.setenv("MALLOC_TOP_PAD_", "1")
    monkeypatch.setenv("BERTLET_STARTED_AGAIN", "1")
    monkeypatch.setenv("KEPT", "1")
    assert "KEPT" in untuned_environment()
    assert not {"MALLOC_TOP_PAD_", "BERTLET_STARTED_AGAIN"} & untuned_environment().keys()


def test_the_first_steps_do_not_count():
    slow = [{"step": n, "seconds": 10.0 * n, "tokens_per_second": 1.0} for n in range(1, 6)]
    fast = [{"step": n, "seconds": 50.0 + n - 5, "tokens_per_second": 100.0} for n in range(6, 9)]
    assert mean_rates([*slow, *fast]) == {"tokens_per_second": 100.0}


def test_a_stage_is_started_as_a_user_would_and_its_meter_read(tmp_path):
    import yaml

    from configs.command_line import as_dict

    config = small_run(tmp_path, training={"duration": "8 steps", "log_every": 1})
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(as_dict(config)), encoding="utf-8")
    rates = measure_stage("pretrain", {"name": "measured", "runs": str(tmp_path / "runs")}, str(file))
    assert rates["tokens_per_second"] > 0
    assert rates["model_gflops"] > 0
    with pytest.raises(subprocess.CalledProcessError):
        measure_stage("pretrain", {"name": "measured", "runs": str(tmp_path / "runs"), "seed": "x"}, str(file))


@pytest.mark.parametrize(
    ("config", "changes"),
    [
        (PretrainBenchmarkConfig, {"steps": {"tiny": 5}}),
        (FinetuneBenchmarkConfig, {"rounds": 0}),
        (InferenceBenchmarkConfig, {"texts": 0}),
        (ScalingBenchmarkConfig, {"rounds": 0}),
    ],
)
def test_a_benchmark_that_would_measure_nothing_is_refused(config, changes):
    config(data_folder="DIR")
    with pytest.raises(InputError):
        config(data_folder="DIR", **changes)


def test_every_table_of_the_page_is_filled_and_names_its_command():
    page = every.PAGE.read_text(encoding="utf-8")
    for name, command in every.PROGRAMS.items():
        (table,) = re.findall(rf"<!-- begin {name} -->(.*?)<!-- end {name} -->", page, re.DOTALL)
        assert f"`{command}`, on " in table
        assert table.count("\n| ") > 2


def test_a_table_takes_the_place_of_the_one_before(tmp_path, monkeypatch):
    (tmp_path / "imdb").mkdir()
    (tmp_path / "imdb" / "train.parquet").touch()
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- begin scaling -->\nsuperseded\n<!-- end scaling -->\nafter\n", encoding="utf-8")
    printed = '{"name": "scaling.x", "ours": 2.0, "peer": 1.0, "ratio": 2.0, "unit": "s"}\nother words\n'
    commands = []

    def run(command, **others):
        commands.append(command[1:])
        return subprocess.CompletedProcess(command, 0, stdout=printed)

    monkeypatch.setattr(every.subprocess, "run", run)
    config = every.BenchmarksConfig(data_folder=str(tmp_path), only=["scaling"], page=str(page))
    every.run(config)
    assert commands == [["-m", "benchmarks.scaling", "--data_folder", str(tmp_path)]]
    written = page.read_text(encoding="utf-8")
    assert "| scaling.x | 2 | 1 | 2 | s |" in written
    assert "superseded" not in written
    assert written.startswith("before\n")
    assert written.endswith("after\n")


def test_unknown_programs_missing_data_and_pages_without_marks_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"train\.parquet is missing"):
        every.BenchmarksConfig(data_folder=str(tmp_path))
    with pytest.raises(InputError, match="'prtrain' is none of"):
        every.BenchmarksConfig(data_folder=str(tmp_path), only=["prtrain"])
    with pytest.raises(InputError, match="missing the markers"):
        every.replace_table("a page", "scaling", "table")


@pytest.mark.parametrize("size", ["tiny", "mini", "small"])
def test_the_keys_of_the_benchmarks_are_keys_of_their_stages(size, tmp_path):
    pretraining = pretrain.overrides(PretrainBenchmarkConfig(str(tmp_path)), size, "tokenizer", "round-0")
    assert load(PretrainConfig, pretrain.FILE, pretraining).model.size == size
    config = FinetuneBenchmarkConfig(str(tmp_path))
    for model in config.models:
        keys = finetune.overrides(config, model, "bilstm", "tokenizer", tmp_path)
        assert load(FinetuneConfig, finetune.FILE, keys).model.name == "bilstm"
