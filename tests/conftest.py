"""What several test files share."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


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
