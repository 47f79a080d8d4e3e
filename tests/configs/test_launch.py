"""How a process starts: allocator, threads, number of processes; and what it does not load."""

import mmap
import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from configs import launch
from configs.errors import InputError
from configs.launch import ALLOCATOR, check_world_size, physical_cores
from tests.helpers.paths import ROOT

PROBE = """
import logging, os, sys
from configs.launch import ALLOCATOR, tune_allocator
logging.basicConfig(level=logging.INFO, format="%(message)s")
tune_allocator({wanted})
print(*sys.argv[1:], *(name for name in ALLOCATOR if name in os.environ))
"""


CHOICES = ("MALLOC_", "BERTLET_", "LD_", "OMP_", "GOMP_", "KMP_", "LOCAL_", "ACCELERATE_")


def plain():
    return {name: value for name, value in os.environ.items() if not name.startswith(CHOICES)}


def probed(folder, probe, **environment):
    (folder / "probe.py").write_text(probe, encoding="utf-8")
    return subprocess.run(
        [sys.executable, str(folder / "probe.py"), "--an", "argument"],
        cwd=ROOT, env=plain() | {"PYTHONPATH": str(ROOT)} | environment, capture_output=True, text=True, check=True,
    )  # fmt: skip


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_the_command_is_started_once_more_with_its_arguments_and_says_so_in_a_line(tmp_path):
    ended = probed(tmp_path, PROBE.format(wanted=True))
    assert ended.stdout.split() == ["--an", "argument", *ALLOCATOR]
    (line,) = ended.stderr.splitlines()
    assert line.startswith("allocator: restarted with MALLOC_")
    assert "--training.speed.allocator false" in line


@pytest.mark.parametrize(
    ("wanted", "environment"),
    [(False, {}), (True, {"MALLOC_ARENA_MAX": "2"}), (True, {"BERTLET_STARTED_AGAIN": "1"})],
)
def test_it_is_not_where_it_is_off_or_somebody_has_chosen(tmp_path, wanted, environment):
    ended = probed(tmp_path, PROBE.format(wanted=wanted), **environment)
    assert ended.stdout.split() == ["--an", "argument"]
    assert not ended.stderr


LOOK = """
import logging, os
from configs import launch
logging.basicConfig(level=logging.INFO, format="%(message)s")
launch.allowed_processors = lambda: [0, 2]
launch.psutil.cpu_percent = lambda seconds, percpu: print("looked") or {shares}
launch.tune_waiting("{waiting}", {threads})
print(os.environ.get("OMP_WAIT_POLICY"))
"""
BUSY, QUIET = [10.0, 100.0, 80.0, 100.0], [10.0, 100.0, 10.0, 100.0]


@pytest.mark.parametrize(
    ("waiting", "threads", "shares", "environment", "found"),
    [
        ("auto", 2, BUSY, {}, "looked PASSIVE"),
        ("auto", 2, QUIET, {}, "looked None"),
        ("auto", 1, BUSY, {}, "None"),
        ("auto", None, BUSY, {"OMP_NUM_THREADS": "1"}, "None"),
        ("auto", None, BUSY, {"OMP_NUM_THREADS": "2,1"}, "looked PASSIVE"),
        ("auto", 2, BUSY, {"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE"),
        ("auto", 2, BUSY, {"GOMP_SPINCOUNT": "7"}, "None"),
        ("auto", 2, BUSY, {"LOCAL_WORLD_SIZE": "2"}, "None"),
        ("torch", 2, BUSY, {}, "None"),
        ("sleep", 2, QUIET, {}, "PASSIVE"),
    ],
)
def test_threads_sleep_while_they_wait_where_other_work_has_their_processors(
    tmp_path, waiting, threads, shares, environment, found
):
    ended = probed(tmp_path, LOOK.format(waiting=waiting, threads=threads, shares=shares), **environment)
    assert " ".join(ended.stdout.split()) == found
    told = "other work has 0.9 of 2 processors (disable: --training.speed.waiting torch)"
    assert (told in ended.stderr) == (found == "looked PASSIVE")


def test_more_threads_than_processors_are_told_as_such(tmp_path):
    # Once, this said that other work had 0.0 of two processors.
    ended = probed(tmp_path, LOOK.format(waiting="auto", threads=3, shares=[0.0, 0.0, 0.0]))
    assert ended.stdout.split() == ["looked", "PASSIVE"]
    assert "as there are 3 for 2 processors (disable" in ended.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="reads what GNU's OpenMP prints")
def test_the_threads_of_torch_do_as_they_are_told(tmp_path):
    probe = "from configs.launch import tune_waiting\ntune_waiting({waiting!r}, 2)\nimport torch\n"
    told = {
        waiting: probed(tmp_path, probe.format(waiting=waiting), OMP_DISPLAY_ENV="verbose").stderr
        for waiting in ("sleep", "torch")
    }
    assert "GOMP_SPINCOUNT = '0'" in told["sleep"]
    assert "GOMP_SPINCOUNT = '300000'" in told["torch"]


def test_only_the_main_process_of_several_speaks(tmp_path):
    assert not probed(tmp_path, PROBE.format(wanted=True), LOCAL_RANK="1").stderr


@pytest.mark.parametrize(
    ("asked", "environment", "running", "message"),
    [
        (2, {}, 1, "training.processes: 2 requested, 1 running"),
        (1, {"WORLD_SIZE": "2"}, 2, "training.processes: 1 requested, 2 running"),
        (None, {"WORLD_SIZE": "2"}, 1, "2 processes were started, but 1 are connected"),
        (None, {"ACCELERATE_MIXED_PRECISION": "no", "MASTER_PORT": "29500"}, 1, "it started one"),
    ],
)
def test_another_number_of_processes_is_refused(asked, environment, running, message):
    with pytest.raises(InputError, match=message):
        check_world_size(asked, environment, running)


@pytest.mark.parametrize(
    ("asked", "environment", "running"),
    [(None, {}, 1), (2, {"WORLD_SIZE": "2", "MASTER_PORT": "1"}, 2), (1, {"ACCELERATE_MIXED_PRECISION": "no"}, 1)],
)
def test_the_right_number_is_not(asked, environment, running):
    check_world_size(asked, environment, running)


def test_cores_are_at_least_one_and_no_more_than_there_are():
    assert 1 <= physical_cores() <= (os.cpu_count() or 1)


HEAVY = ("torch", "transformers", "datasets", "sklearn", "scipy", "matplotlib", "accelerate", "evaluate")
LOADED = """
import runpy, sys
sys.argv = {words!r}
try:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
except SystemExit:
    pass
print("HEAVY", *(name for name in {heavy!r} if name in sys.modules))
"""


def heavy_modules(*words):
    ended = subprocess.run(
        [sys.executable, "-c", LOADED.format(words=list(words), heavy=HEAVY)],
        cwd=ROOT, capture_output=True, text=True, check=True, env=plain() | {"HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    return ended.stdout, ended.stdout.splitlines()[-1].split()[1:]


@pytest.mark.parametrize(
    "command",
    [
        "tokenizer", "pretrain", "finetune", "finetune.compare", "finetune.ladder", "finetune.export", "finetune.serve",
        "pretrain.prepare", "pretrain.probe", "pretrain.minimal_pairs", "pretrain.sample", "pretrain.gradient_flow",
        "pretrain.attention_map",
        "benchmarks", "benchmarks.prepare", "benchmarks.pretrain",
        "benchmarks.finetune", "benchmarks.inference", "benchmarks.scaling", "benchmarks.objectives",
        "benchmarks.serving",
    ],
)  # fmt: skip
def test_help_loads_nothing_heavy(command):
    printed, heavy = heavy_modules(command, "--help")
    assert "usage" in printed.lower()
    assert not heavy


def test_a_finished_run_is_found_without_torch(chain):
    tokenizer = str(next((chain / "runs" / "tokenizer").iterdir()))
    for stage in ("tokenizer", "pretrain"):
        flags = ["--tokenizer", tokenizer] if stage == "pretrain" else []
        printed, heavy = heavy_modules(stage, "--config", str(chain / f"{stage}.yaml"), *flags)
        assert f"{stage}: {chain / 'runs' / stage}" in printed
        assert "torch" not in heavy
        assert not {"transformers", "datasets"} & set(heavy)


def test_memory_that_was_freed_goes_back_to_the_system():
    # In a process of its own: glibc reads the settings when it starts.
    script = (
        "import psutil, configs.launch\n"
        "own = lambda: psutil.Process().memory_info().rss >> 20\n"
        "blocks = [bytearray(100_000) for _ in range(2000)]\n"
        "last = bytearray(100_000)\n"
        "del blocks\n"
        "before = own()\n"
        "configs.launch.release_memory()\n"
        "print(before - own())\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], env=plain() | ALLOCATOR, cwd=ROOT, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    freed = int(ended.stdout)
    assert freed > 100 if platform.libc_ver()[0] == "glibc" else freed >= 0


def test_a_run_that_holds_ever_more_memory_gives_it_back_and_another_does_not(monkeypatch):
    # 40 million tokens of IMDB grew from 5 to 11 GB, of which a step needs 3.
    held, given_back = iter([1000, 1400, 1500, 1501, 900, 1200, 1499, 1600, 900]), []
    monkeypatch.setattr(launch.psutil.Process, "memory_info", lambda self: SimpleNamespace(rss=next(held)))
    monkeypatch.setattr(launch, "release_memory", lambda: given_back.append(True))
    memory = launch.KeptMemory()
    assert [(memory.bound(), len(given_back))[1] for _ in range(7)] == [0, 0, 0, 1, 1, 1, 2]


def test_memory_that_is_in_use_is_not_given_back_again_and_again(monkeypatch):
    # Once, a token store that was read made every window end in a collection, to no effect.
    held, given_back = iter([1000, 1600, 1600, 1700, 2400, 2401, 1200]), []
    monkeypatch.setattr(launch, "held_memory", lambda: next(held))
    monkeypatch.setattr(launch, "release_memory", lambda: given_back.append(True))
    memory = launch.KeptMemory()
    assert [(memory.bound(), len(given_back))[1] for _ in range(5)] == [0, 1, 1, 1, 2]


def test_pages_of_files_are_not_held(tmp_path):
    (tmp_path / "store").write_bytes(bytes(50_000_000))
    before = launch.held_memory()
    with (tmp_path / "store").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pages:
        assert sum(pages[::4096]) == 0
        grown = launch.held_memory() - before
    assert grown < 25_000_000 or platform.system() != "Linux"
