"""A comparison whose runs were never trained: folders as runs leave them, with answers drawn to order."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow
import sklearn.metrics

from configs.run_folder import RunFolder
from finetune.classification import predictions
from finetune.classification.labels import LabelSet
from finetune.classification.predictions import TIMINGS, write_result
from finetune.comparison.config import CompareConfig
from finetune.comparison.grid import Cell
from finetune.config import FinetuneConfig
from pretrain.models.config import ClassifierConfig
from tokenizer.corpus.config import CorpusConfig

TEXTS = 240
# What users may write: a tag, Arabic, emojis of several characters, a formula, Markdown.
HOSTILE = (
    "<script>alert('text')</script> a good film & more",
    "فيلم رائع جدا، أنصح به",
    "👩‍👩‍👧 a family film \u202eback to front",
    "=SUM(A1:A9) is no review",
    "[click](http://example.invalid) | **bold** # heading",
)
SCORES = {"bag-of-words": 0.72, "lstm": 0.66, "bert": 0.86}


def texts_of(count: int = TEXTS) -> list[str]:
    """Test texts: hostile ones first, then reviews of different lengths, every third with a negation."""
    texts = list(HOSTILE)
    for number in range(count - len(texts)):
        body = " ".join(f"word{(number * step) % 37}" for step in range(1, 4 + number % 23))
        end = "was not good" if number % 3 == 0 else "was fine"
        texts.append(f"{body} {end}{', but long' if number % 4 == 0 else ''}.")
    return texts


@dataclasses.dataclass(frozen=True)
class Made:
    """A comparison that was made to order."""

    config: CompareConfig
    cells: list[Cell]
    stages: dict[str, RunFolder]


def write_pretraining(folder: Path, name: str = "made-0000000000", seconds: float = 120.0, **keys: Any) -> RunFolder:
    """A finished pretraining run, without weights."""
    run = RunFolder(folder / "runs" / "pretrain" / name)
    run.path.mkdir(parents=True)
    rows = []
    for step in range(10, 101, 10):
        tokens = step * 1000
        rows.append({"step": step, "tokens": tokens, "seconds": step, "loss": 5 - step / 40, "mlm_loss": 5 - step / 40})
        if step % 20 == 0:
            rows.append({"step": step, "tokens": tokens, "eval_mlm_loss": 5 - step / 50, "eval_loss": 5 - step / 50})
    run.metrics.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    (run.path / "config.yaml").write_text("training:\n  duration: 1M tokens\n", encoding="utf-8")
    audits = {"leakage": {"test_texts": 240, "near_test_texts": 3, "dropped": True}}
    (run.path / "audits.json").write_text(json.dumps(audits), encoding="utf-8")
    result = {
        "tokens": 100_000, "seconds": seconds, "parameters": 5000, "eval_sequences": 50, "eval_mlm_loss": 3.0,
        "eval_mlm_accuracy": 0.4, "eval_unigram_entropy": 5.0, "tokens_per_second": 900.0, "model_gflops": 3.0,
        "mfu": 0.3, "data_wait_share": 0.01,
    }  # fmt: skip
    (run.path / "result.json").write_text(json.dumps(result | keys), encoding="utf-8")
    return run


def make(
    folder: Path,
    scores: Mapping[str, float] | None = None,
    budgets: Sequence[int] = (100, 400),
    seeds: Sequence[int] = (0, 1, 2),
    classes: Sequence[str] = ("negative", "positive"),
    texts: Sequence[str] | None = None,
    gain: float = 0.05,
    names: Mapping[str, str] | None = None,
    **config: Any,
) -> Made:
    """Write the runs of a comparison below a folder.

    Args:
        folder: for `runs/`.
        scores: the accuracy of each model with the smallest number of labels.
        budgets: numbers of labels.
        seeds: of the runs.
        classes: names of the labels.
        texts: the test texts.
        gain: what a model gains from one number of labels to the next.
        names: `model.name` of models that are called otherwise.
        config: further keys of the comparison.
    """
    scores, texts = dict(SCORES if scores is None else scores), list(texts_of() if texts is None else texts)
    pretrained = write_pretraining(folder)
    runs = str(folder / "runs")
    cells = []
    for step, budget in enumerate(budgets):
        for seed in seeds:
            for place, (model, score) in enumerate(scores.items()):
                name = (names or {}).get(model, model)
                keys = FinetuneConfig(
                    name="made",
                    corpus=CorpusConfig(source="reviews.csv", split="train"),
                    model=ClassifierConfig(name=name, pretrained=str(pretrained.path)),
                    label_budget=budget,
                    seed=seed,
                    runs=runs,
                )
                run = RunFolder(Path(runs) / "finetune" / f"made-{place}-{budget}-{seed}")
                rng = np.random.default_rng([place, budget, seed])
                write_run(run, keys, texts, classes, score + gain * step, rng, place + 1)
                cells.append(Cell(model, budget, seed, None, keys, run, f"python -m finetune --seed {seed}"))
    compare = CompareConfig(
        name="made", models={model: {} for model in scores}, seeds=list(seeds), label_budgets=list(budgets), runs=runs,
        **config,
    )  # fmt: skip
    return Made(compare, cells, {"pretrain": pretrained})


def quick_scores(predictions_N: np.ndarray, labels_N: np.ndarray) -> dict[str, float]:
    """The scores of a result, without the files that `evaluate` writes for each."""
    return {
        "accuracy": float(np.mean(predictions_N == labels_N)),
        "macro_f1": float(sklearn.metrics.f1_score(labels_N, predictions_N, average="macro", zero_division=0.0)),
        "matthews": float(sklearn.metrics.matthews_corrcoef(labels_N, predictions_N)),
    }


def write_run(
    run: RunFolder,
    config: FinetuneConfig,
    texts: Sequence[str],
    classes: Sequence[str],
    score: float,
    rng: np.random.Generator,
    seconds: float,
) -> None:
    """A finished fine-tuning run that is right on about a share of the texts, mostly on those that others are, too."""
    count = len(texts)
    labels_N = np.arange(count) % len(classes)
    hardness_N = np.random.default_rng(0).permutation(count) / count
    right_N = hardness_N + rng.normal(0, 0.05, count) < score
    confidence_N = np.clip(0.55 + 0.4 * (1 - hardness_N) + rng.normal(0, 0.02, count), 0.51, 0.99)
    answers_N = np.where(right_N, labels_N, (labels_N + 1) % len(classes))
    probabilities_NC = np.repeat(((1 - confidence_N) / (len(classes) - 1))[:, None], len(classes), axis=1)
    probabilities_NC[np.arange(count), answers_N] = confidence_N
    run.path.mkdir(parents=True)
    environment = {"python": "3.11", "platform": "a machine", "cpu_count": 2, "git_revision": "abc", "device": "cpu"}
    environment["versions"] = {"torch": "2.0"}
    (run.path / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
    (run.path / TIMINGS).write_text(json.dumps({"test_seconds": seconds}), encoding="utf-8")
    facts = {
        "seconds": 10.0 * seconds, "parameters": 1000, "train_texts": 80, "validation_texts": 20, "test_texts": count,
        "temperature": 1.2, "test_calibrated_calibration_error": 0.02, "tokens_per_second": 1000.0 / seconds,
    }  # fmt: skip
    table = pyarrow.table(
        {"text": list(texts), "second_text": pyarrow.nulls(count, pyarrow.string()), "file": ["reviews.csv"] * count,
         "row": list(range(count))}
    )  # fmt: skip
    validation = {"loss": 0.5, "accuracy": score, "macro_f1": score, "matthews": 0.5}
    keys = [str(number) for number in range(len(classes))]
    with mock.patch.object(predictions, "scores", quick_scores):
        write_result(
            run,
            facts,
            validation,
            LabelSet(keys, list(classes), [[key] for key in keys]),
            probabilities_NC,
            labels_N,
            table,
        )


def write_report(made: Made) -> Path:
    """Compare, and write the report; gives the comparison's folder."""
    from finetune.compare import write_comparison

    return write_comparison(made.config, made.cells, made.stages).path
