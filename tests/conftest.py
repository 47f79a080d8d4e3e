"""What several test files share."""

import logging
import os
from collections.abc import Generator
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

from configs.errors import ROOMS
from finetune.comparison.running.cells import IMPORTS

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def pytest_sessionstart() -> None:
    """One thread in each process of `-n auto`: threads of several processes would wait for each other.

    And one server of processes, which imports what any pool of the tests needs: a pool that comes later would import it
    anew in each of its processes.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        import torch

        torch.set_num_threads(1)
        set_preload = ForkServerContext.set_forkserver_preload
        ForkServerContext.set_forkserver_preload = lambda self, module_names: set_preload(
            self, [*module_names, *IMPORTS]
        )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """More processes than cores with `-n auto`: some tests wait for servers, or for processes that end."""
    from configs.launch import physical_cores

    cores = physical_cores()
    return cores + min(cores, 4)


# What the fixtures of these train for a quarter of a minute is trained in one of the processes of `-n auto` alone.
TOGETHER = (
    "tests/finetune/comparison/test_compare.py",
    "tests/finetune/comparison/test_compared_score.py",
    "tests/finetune/ladders/test_ladder.py",
    "tests/finetune/own_data/test_plan.py",
    "tests/finetune/page/test_functions.py",
    "tests/finetune/page/test_page.py",
    "tests/pretrain/models/test_modeling_modernbert.py",
    "tests/pretrain/objectives/test_objectives.py",
)


# Two thirds of the time of all tests: they train for long, start processes or open a browser. `make slow` runs them.
SLOW = (
    "tests/benchmarks/test_benchmarks.py",
    "tests/faults/test_input.py::test_the_chain_needs_no_network",
    "tests/faults/test_runs.py",
    "tests/finetune/comparison/reporting/test_page.py",
    "tests/finetune/comparison/test_compare.py",
    "tests/finetune/comparison/test_compared_score.py",
    "tests/finetune/comparison/test_failed_runs.py",
    "tests/finetune/comparison/test_tuning.py",
    "tests/finetune/inference/test_classifier.py",
    "tests/finetune/ladders/test_ladder.py",
    "tests/finetune/own_data/test_plan.py",
    "tests/finetune/page/test_page.py",
    "tests/finetune/publishing/test_export.py::test_published_and_loaded_elsewhere",
    "tests/finetune/publishing/test_fresh_process.py",
    "tests/finetune/publishing/test_one_model_everywhere.py",
    "tests/finetune/publishing/test_onnx.py",
    "tests/finetune/test_multi_label.py",
    "tests/pretrain/data/test_store.py::test_ray_makes_the_same_store",
    "tests/pretrain/models/test_modeling_modernbert.py",
    "tests/pretrain/models/test_modeling_recurrent_lm.py",
    "tests/pretrain/models/test_scoring.py",
    "tests/pretrain/models/test_sequence_to_sequence.py",
    "tests/pretrain/objectives/test_objectives.py",
    "tests/pretrain/training/test_processes.py",
)
# Whoever names files or tests wants all of them. The processes of `-n auto` are told by this variable.
NAMED = "BERTLET_TESTS_ARE_NAMED"


def pytest_configure(config: pytest.Config) -> None:
    """Note whether files or tests were named."""
    if not hasattr(config, "workerinput"):
        os.environ[NAMED] = str(int(config.args_source is pytest.Config.ArgsSource.ARGS))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests, before `-m` selects."""
    if os.environ[NAMED] == "0":
        for item in items:
            if item.nodeid.startswith(SLOW):
                item.add_marker("slow")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out one test at a time, but those of some files together; the marks for it need another pytest."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", maxsplit=1)[0]
            return file if file in TOGETHER else nodeid

    return Scheduling(config, log)


@pytest.fixture(autouse=True)
def levels_of_loggers() -> Generator[None]:
    """What a command does to the levels of loggers ends with its test: others look at what is logged."""
    for room in ROOMS:
        logging.getLogger(room).setLevel(logging.NOTSET)
    yield
    for room in ROOMS:
        logging.getLogger(room).setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the texts and YAML files of a small chain, its tokenizer and encoder trained."""
    from configs.command_line import load
    from pretrain.config import PretrainConfig
    from pretrain.run import run as pretrain
    from tests.helpers.finetuning import write_chain
    from tokenizer.config import TokenizerConfig
    from tokenizer.run import run as train_tokenizer

    folder = tmp_path_factory.mktemp("chain")
    files = write_chain(folder)
    train_tokenizer(load(TokenizerConfig, files["tokenizer"]))
    pretrain(load(PretrainConfig, files["pretrain"]))
    return folder
