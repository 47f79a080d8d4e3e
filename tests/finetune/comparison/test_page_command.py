"""The page of a comparison shows one model of each family, with the most labels and the first seed."""

import dataclasses
import json

import pytest

from configs.run_folder import RunFolder
from finetune.comparison.intervals import Interval
from finetune.comparison.page_command import PORT, page_command
from finetune.comparison.scores import Answer, Comparison
from finetune.config import FinetuneConfig
from finetune.demo import DemoConfig
from tests.finetune.comparison.test_intervals import score as row_of
from tokenizer.corpus.config import CorpusConfig

UNJUDGED = Comparison(0.95, [7, 3], [], {}, {}, [], [], 0.01, [], [], "")


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
    assert page_command(runs, UNJUDGED) == f"python -m finetune.demo {folders} --serve true"


def test_a_report_names_the_port_of_the_page():
    assert DemoConfig([]).port == PORT


def test_a_family_may_be_missing_and_pretraining_too(runs, tmp_path):
    few = [run for run in runs if run.model in ("bert-scratch", "lm-lstm")]
    folders = " ".join(str(tmp_path / name) for name in ("bert-scratch-50-7", "lm-lstm-50-7"))
    assert page_command(few, UNJUDGED) == f"python -m finetune.demo {folders} --serve true"


def test_the_model_that_the_verdict_is_about_is_on_the_page(runs, tmp_path):
    # Without an encoder, that is another pretrained model.
    for names in (("lm-lstm", "gru"), ("frozen", "bag-of-words")):
        few = [run for run in runs if run.model in names]
        folders = " ".join(str(tmp_path / f"{name}-50-7") for name in names)
        assert page_command(few, UNJUDGED) == f"python -m finetune.demo {folders} --serve true"


def test_of_several_pretrained_models_the_one_that_is_ahead_is_on_the_page(runs, tmp_path):
    few = [run for run in runs if run.model in ("frozen", "lm-lstm", "bag-of-words")]
    scores = [row_of(model, None) for model in ("frozen", "lm-lstm", "bag-of-words")]
    difference = Interval(0.03, 0.01, 0.05, 0.01, 0.02)
    answers = [
        Answer("frozen", 50, "bag-of-words", difference, 0.2, "not shown"),
        Answer("lm-lstm", 50, "bag-of-words", difference, 0.01, "ahead"),
    ]
    one = Comparison(
        0.95, [7, 3], [dataclasses.replace(score, label_budget=50) for score in scores], {}, {50: "bag-of-words"},
        answers, [], 0.01, [], [], "",
    )  # fmt: skip
    folders = " ".join(str(tmp_path / f"{name}-50-7") for name in ("lm-lstm", "bag-of-words"))
    assert page_command(few, one) == f"python -m finetune.demo {folders} --serve true"


def test_models_are_ranked_by_the_score_that_is_compared(runs, tmp_path):
    few = [run for run in runs if run.model in ("gru", "lstm")]
    for run in few:
        values = {"eval_accuracy": 0.5 + 0.4 * (run.model == "gru"), "eval_macro_f1": 0.5 + 0.4 * (run.model == "lstm")}
        (run.folder.path / "result.json").write_text(json.dumps(values), encoding="utf-8")
    by_f1 = dataclasses.replace(UNJUDGED, score="macro_f1")
    assert page_command(few, UNJUDGED) == f"python -m finetune.demo {tmp_path / 'gru-50-7'} --serve true"
    assert page_command(few, by_f1) == f"python -m finetune.demo {tmp_path / 'lstm-50-7'} --serve true"


def test_pairs_of_texts_have_no_page(runs):
    pairs = dataclasses.replace(runs[0].config, corpus=CorpusConfig(second_text_column="b"))
    assert page_command([dataclasses.replace(runs[0], config=pairs)], UNJUDGED) is None
