"""What several test files share."""

import os
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out one test at a time, but those of some files together; the marks for it need another pytest."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", maxsplit=1)[0]
            return file if file in TOGETHER else nodeid

    return Scheduling(config, log)


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
