"""The page of a comparison shows one model of each family, with the most labels and the first seed."""

import dataclasses
import json

import pytest

from configs.run_folder import RunFolder
from finetune.comparison.page_command import PORT, page_command
from finetune.config import FinetuneConfig
from finetune.demo import DemoConfig
from tokenizer.corpus.config import CorpusConfig


@dataclasses.dataclass(frozen=True)
class Run:
    model: str
    label_budget: int
    seed: int
    config: FinetuneConfig
    folder: RunFolder
    pretraining_seed: None = None
    command: str = ""


@pytest.fixture
def runs(tmp_path):
    accuracies = {"bert": (0.7, 0.7), "bert-scratch": (0.9, 0.9), "gru": (0.9, 0.1), "lstm": (0.6, 0.6),
                  "lm-lstm": (0.9, 0.9), "frozen": (0.9, 0.9), "bag-of-words": (0.5, 0.5)}  # fmt: skip
    found = []
    for budget in (50, 9):
        for model, values in accuracies.items():
            for seed, value in zip((7, 3), values, strict=True):
                folder = RunFolder(tmp_path / f"{model}-{budget}-{seed}")
                folder.path.mkdir()
                (folder.path / "result.json").write_text(json.dumps({"eval_accuracy": value}), encoding="utf-8")
                config = dataclasses.replace(
                    FinetuneConfig(), model=dataclasses.replace(FinetuneConfig().model, name=model)
                )
                found.append(Run(model, budget, seed, config, folder))
    return found


def test_the_best_of_each_family_on_validation_texts(runs, tmp_path):
    folders = " ".join(str(tmp_path / name) for name in ("bert-50-7", "lstm-50-7", "bag-of-words-50-7"))
    assert page_command(runs) == f"python -m finetune.demo {folders} --serve true"


def test_a_report_names_the_port_of_the_page():
    assert DemoConfig([]).port == PORT


def test_a_family_may_be_missing_and_pretraining_too(runs, tmp_path):
    few = [run for run in runs if run.model in ("bert-scratch", "lm-lstm")]
    folders = " ".join(str(tmp_path / name) for name in ("bert-scratch-50-7", "lm-lstm-50-7"))
    assert page_command(few) == f"python -m finetune.demo {folders} --serve true"


def test_pairs_of_texts_have_no_page(runs):
    pairs = dataclasses.replace(runs[0].config, corpus=CorpusConfig(second_text_column="b"))
    assert page_command([dataclasses.replace(runs[0], config=pairs)]) is None
