"""Which runs are the same, and which are other runs: by their folders."""

from collections.abc import Callable
from pathlib import Path

import pytest

from configs.command_line import load
from finetune.config import FinetuneConfig
from finetune.run_paths import run_folder

Checkpoint = Callable[..., Path]
FILES = {"config.json": "{}", "tokenizer.json": "{}", "model.safetensors": "weights"}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    def write(name: str, changed: dict[str, str]) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for file, content in (FILES | changed).items():
            (folder / file).write_text(content)
        return folder

    return write


def folder_name(model: str, checkpoint: Path) -> str:
    flags = {"model.name": model, "model.pretrained": str(checkpoint)}
    return run_folder(load(FinetuneConfig, Path("configs/finetune/demo.yaml"), flags)).path.name


@pytest.mark.parametrize("model", ["bert", "frozen", "lm-lstm"])
def test_other_weights_are_another_run_and_none_of_the_same_from_scratch(model, checkpoint):
    short, long = checkpoint("short", {}), checkpoint("long", {"model.safetensors": "weights of a longer pretraining"})
    assert folder_name(model, short) != folder_name(model, long)
    assert folder_name(f"{model}-scratch", short) == folder_name(f"{model}-scratch", long)


@pytest.mark.parametrize("changed", ["config.json", "tokenizer.json"])
def test_another_architecture_or_tokenizer_is_another_run_from_scratch_too(changed, checkpoint):
    one, other = checkpoint("one", {}), checkpoint("other", {changed: '{"changed": true}'})
    assert folder_name("bert-scratch", one) != folder_name("bert-scratch", other)
