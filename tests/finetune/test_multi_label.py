"""Texts with several labels, from files to predictions, with every kind of model."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import torch
from transformers import AutoTokenizer, pipeline

import finetune
from configs.errors import InputError
from finetune import predict
from finetune.classification.calibration import fit_temperature
from finetune.classification.evaluation import logit_scores
from finetune.classification.metrics import scores
from finetune.classification.objective import classification_loss
from finetune.classification.predictions import label_decisions, label_thresholds, predicted_and_true, scores_as_tested
from finetune.config import FinetuneConfig
from finetune.export import ExportConfig
from finetune.export import run as export
from finetune.predict import PredictConfig
from finetune.run import run
from pretrain.data.loader import Batch, idle
from pretrain.models.builders import AutoModelForSequenceClassification
from tests.helpers.corpora import write_jsonl
from tests.helpers.finetuning import finetune_config
from tests.helpers.several_labels import WORDS, rows_with_labels, write_splits
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.documents import read

KEYS: dict[str, Any] = {"corpus__label_name_column": None, "model__classifier_init": "auto"}


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> Path:
    return write_splits(tmp_path_factory.mktemp("several"))


def trained(chain: Path, texts: Path, name: str = "bag-of-words", **keys: Any):
    return run(finetune_config(chain, corpus__source=str(texts), model__name=name, **KEYS | keys))


def table_of(file: Path) -> list[dict[str, Any]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return [json.loads(line) for line in stream] if file.suffix == ".jsonl" else list(csv.DictReader(stream))


@pytest.mark.parametrize(
    ("name", "ceiling", "keys"),
    [
        ("bag-of-words", 0.99, {}),
        ("frozen", 0.93, {}),
        ("bert", 0.85, {"model__pooling": "max"}),
        ("bilstm", 0.95, {"model__pooling": "max", "training__duration": "120 steps"}),
        ("lstm-attention", 0.8, {"training__duration": "150 steps"}),
    ],
)
def test_every_model_learns_what_words_tell_and_answers_alike_when_loaded(chain, texts, name, ceiling, keys) -> None:
    folder = trained(chain, texts, name, **keys)
    result = folder.result()
    assert result["problem_type"] == "multi_label_classification"
    assert result["test_micro_f1"] > ceiling > result["test_majority_micro_f1"]
    assert result["beats_majority"] is True
    assert {"test_macro_f1", "test_subset_accuracy", "test_matthews", "eval_micro_f1", "test_brier"} <= result.keys()
    assert result["labels"] == list(result["test_per_class"]) == sorted(WORDS)
    table = pyarrow.parquet.read_table(folder.path / "predictions.parquet").to_pydict()
    predictions_NC, labels_NC = predicted_and_true(folder)
    assert labels_NC.sum() == sum(map(len, table["label"]))
    assert (predictions_NC == labels_NC).all(1).mean() == pytest.approx(result["test_subset_accuracy"])
    classifier = finetune.load(folder.path)
    assert classifier.thresholds == result["thresholds"]
    answers = classifier(table["text"])
    assert [answer.labels for answer in answers] == table["prediction"]
    for answer in answers[:5]:
        reached = [label for label, least in zip(result["labels"], result["thresholds"], strict=True)
                   if answer.probabilities[label] >= least]  # fmt: skip
        assert answer.labels == reached
    classifier.temperature = 1.0
    assert classifier.probabilities(table["text"]) == pytest.approx(np.array(table["probabilities"]), abs=2e-5)
    # Without the run, the model folder has thresholds of its own, for probabilities that are not calibrated.
    alone = finetune.load(folder.model)
    assert [answer.labels for answer in alone(table["text"])] == table["prediction"]


@pytest.mark.parametrize("name", ["bert", "bilstm"])
def test_plain_transformers_gives_the_same_probabilities_and_loss(chain, texts, name) -> None:
    folder = trained(chain, texts, name, **({"model__pooling": "max"} if name == "bilstm" else {}))
    written = [row["text"] for row in rows_with_labels(8, 9)]
    model = AutoModelForSequenceClassification.from_pretrained(folder.model, local_files_only=True)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder.model, local_files_only=True)
    found: Any = pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None)(written, truncation=True)
    ours = finetune.load(folder.model)(written)
    for theirs, mine in zip(found, ours, strict=True):
        scores = {entry["label"]: entry["score"] for entry in theirs}
        assert scores == pytest.approx(mine.probabilities, abs=5e-5)
        assert sum(scores.values()) != pytest.approx(1)
    inputs = dict(tokenizer(written, padding=True, truncation=True, return_tensors="pt"))
    labels = torch.tensor([[1.0, 0.0, 1.0]] * 8)
    batch = Batch(inputs=inputs, labels={"labels": labels}, counts={"labels": 8}, totals={"labels": 8})
    with torch.no_grad():
        expected = model(**inputs, labels=labels).loss
        loss, metrics, _ = classification_loss(model, batch)
        weighted = classification_loss(model, batch, weights_C=torch.tensor([3.0, 1.0, 1.0])).loss
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    assert float(weighted) > float(loss)
    assert 0 <= float(metrics["label_accuracy"][0]) <= 8


def test_a_process_without_texts_adds_nothing_to_the_loss() -> None:
    # Once, its labels of -100 were taken for targets, and pushed every logit down a hundred times as hard.
    model = torch.nn.Linear(2, 3)
    inputs = {"features": torch.tensor([[1.0, 2.0]])}
    batch = Batch(inputs, {"labels": torch.tensor([[1.0, 0.0, 1.0]])}, {"labels": 1})

    def loss_of(batch: Batch) -> Any:
        return classification_loss(
            lambda features: SimpleNamespace(logits=model(features)), batch.with_totals({"labels": 1}),
            weights_C=torch.tensor([1.0, 2.0, 3.0]),
        )  # fmt: skip

    without = loss_of(idle(batch))
    without.loss.backward()
    assert without.loss.item() == without.metrics["label_accuracy"][0].item() == 0
    assert model.weight.grad is not None
    assert not model.weight.grad.any()
    assert loss_of(batch).loss.item() > 0


def test_a_threshold_that_is_given_is_that_of_the_validation_scores_too() -> None:
    rng = np.random.default_rng(0)
    true_NC = rng.normal(-1.2, 1.2, (300, 4))
    labels_NC = (rng.random(true_NC.shape) < 1 / (1 + np.exp(-true_NC))).astype(np.int8)
    # Three times as sure as it should be.
    validation, config = ((3 * true_NC).astype(np.float32), labels_NC), FinetuneConfig(threshold=0.25)
    temperature = fit_temperature(*validation)
    thresholds_C = label_thresholds(validation, temperature, config)
    raw = logit_scores(*validation, config)
    found = scores_as_tested(raw, validation, temperature, thresholds_C)
    decisions = label_decisions(thresholds_C, validation[0], temperature)
    assert decisions is not None
    assert found == {"loss": raw["loss"]} | scores(decisions.test_NC, labels_NC)
    assert found["micro_f1"] > raw["micro_f1"] + 0.02
    one_class = {"loss": 1.0, "accuracy": 0.5}
    assert scores_as_tested(one_class, (validation[0], labels_NC[:, 0]), temperature, None) == one_class


def test_thresholds_and_temperature_do_not_look_at_test_texts(chain, texts, tmp_path) -> None:
    before = trained(chain, texts, label_budget=60).result()
    for split in ("train", "validation"):
        (tmp_path / f"{split}.jsonl").write_text((texts / f"{split}.jsonl").read_text())
    rows = [json.loads(line) for line in (texts / "test.jsonl").read_text().splitlines()]
    write_jsonl(tmp_path / "test.jsonl", [{"text": row["text"], "label": rows[-number]["label"]}
                                          for number, row in enumerate(rows)])  # fmt: skip
    after = trained(chain, tmp_path, label_budget=60).result()
    for key in ("thresholds", "temperature", "eval_micro_f1", "features", "inverse_penalty"):
        assert after[key] == before[key]
    assert after["test_micro_f1"] < 0.8 < before["test_micro_f1"]


def test_cells_and_columns_are_the_same_task_as_lists(chain, texts, tmp_path) -> None:
    expected = trained(chain, texts).result()
    tables = {"cells": tmp_path / "cells", "columns": tmp_path / "columns"}
    for split in ("train", "validation", "test"):
        rows = [json.loads(line) for line in (texts / f"{split}.jsonl").read_text().splitlines()]
        for folder in tables.values():
            folder.mkdir(exist_ok=True)
        with (tables["cells"] / f"{split}.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows([("text", "label"), *((row["text"], "|".join(row["label"])) for row in rows)])
        with (tables["columns"] / f"{split}.csv").open("w", newline="") as stream:
            bits = [(row["text"], *(int(label in row["label"]) for label in sorted(WORDS))) for row in rows]
            csv.writer(stream).writerows([("text", *sorted(WORDS)), *bits])
    cells = trained(chain, tables["cells"], corpus__label_separator="|")
    columns = trained(chain, tables["columns"], corpus__label_columns=sorted(WORDS))
    for found in (cells.result(), columns.result()):
        assert {key: found[key] for key in found if key != "seconds"} == {
            key: expected[key] for key in expected if key != "seconds"
        }
    swapped = trained(chain, tables["columns"], corpus__label_columns=["praise", "bug", "billing"]).result()
    assert swapped["labels"] == ["praise", "bug", "billing"]
    assert swapped["test_per_class"] == {name: expected["test_per_class"][name] for name in swapped["labels"]}


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_predicted_labels_are_read_again_as_labels(chain, texts, tmp_path, ending) -> None:
    folder = trained(chain, texts)
    table = pyarrow.parquet.read_table(folder.path / "predictions.parquet").to_pydict()
    source = write_jsonl(tmp_path / "in.jsonl", [{"text": text} for text in table["text"]] + [{"text": " "}])
    target = tmp_path / f"out{ending}"
    config = PredictConfig(str(folder.path), [str(source)], str(target), probabilities=True)
    assert predict.run(config) == len(table["text"]) + 1
    rows = table_of(target)
    assert list(rows[0]) == ["text", "prediction", "p_billing", "p_bug", "p_praise"]
    assert rows[-1]["prediction"] == {".csv": "", ".jsonl": None}[ending]
    target.write_text("".join(target.read_text().splitlines(keepends=True)[:-1]))
    corpus = CorpusConfig(source=str(target), label_column="prediction")
    if ending == ".csv":
        assert ";" in "".join(row["prediction"] for row in rows)
        corpus = CorpusConfig(source=str(target), label_column="prediction", label_separator=";")
    assert [list(text.label or ()) for text in read(corpus, labelled=True)] == table["prediction"]  # ty: ignore
    plain = tmp_path / f"plain{ending}"
    predict.run(PredictConfig(str(folder.path), [str(source)], str(plain)))
    assert list(table_of(plain)[0]) == ["text", "prediction"]


def test_a_label_with_every_separator_in_its_name_is_written_as_a_list() -> None:
    assert predict.label_separator(["a;b|c,d", "e"], None) is None
    assert predict.label_separator(["a", "b"], "/") == "/"
    assert predict.label_separator(["a", "b"], "list") == ";"


def test_balanced_weights_find_a_rare_label_more_often(chain, tmp_path) -> None:
    # The words tell the rare label of a text in two of three cases only.
    rng = np.random.default_rng(0)
    for split, count in (("train", 240), ("validation", 80), ("test", 160)):
        rows = []
        for _ in range(count):
            rare, common = bool(rng.random() < 0.12), bool(rng.random() < 0.5)
            told = rare if rng.random() < 2 / 3 else not rare
            text = f"the film was {'broken' if told else 'great'}. the plot was {'lovely' if common else 'so so'}."
            rows.append({"text": text, "label": ["rare"] * rare + ["common"] * common})
        write_jsonl(tmp_path / f"{split}.jsonl", rows)
    for name in ("bag-of-words", "frozen", "bilstm"):
        plain, weighted = (
            trained(chain, tmp_path, name, class_weights=weights, threshold=0.5).result()["test_per_class"]
            for weights in (None, "balanced")
        )
        assert weighted["rare"]["recall"] > plain["rare"]["recall"] + 0.2
        assert weighted["common"]["f1"] > 0.9


def test_an_exported_model_says_how_to_read_its_labels(chain, texts, tmp_path) -> None:
    folder = trained(chain, texts, "bert", model__pooling="max")
    target = Path(export(ExportConfig(str(folder.path), str(tmp_path / "out"))))
    card = (target / "README.md").read_text()
    assert "top_k=None" in card
    assert f"| micro-F1 | {100 * folder.result()['test_micro_f1']:.1f} % [" in card
    settings = json.loads((target / "config.json").read_text())
    assert settings["problem_type"] == "multi_label_classification"
    assert len(settings["thresholds"]) == 3
    plain = Path(export(ExportConfig(str(folder.path), str(tmp_path / "plain"), calibrate=False, check=False)))
    own = json.loads((plain / "config.json").read_text())["thresholds"]
    assert own != pytest.approx(settings["thresholds"], abs=1e-3)
    assert (
        f"{', '.join(f'{threshold:.3f}' for threshold in own)} on, in this order" in (plain / "README.md").read_text()
    )


def test_a_classifier_of_one_class_becomes_one_of_several_labels_and_back(chain, texts) -> None:
    one = run(finetune_config(chain, model__name="bert"))
    several = trained(chain, texts, str(one.model), model__classifier_init="random", training__duration="10 steps")
    assert several.result()["problem_type"] == "multi_label_classification"
    back = run(finetune_config(chain, model__name=str(several.model)))
    settings = json.loads((back.model / "config.json").read_text())
    assert settings.get("problem_type") is None
    assert "thresholds" not in settings
    assert finetune.load(back.path)("the film was great.").label == "positive"
    kept = trained(chain, texts, str(several.model), model__keep_classifier=True, training__duration="5 steps")
    assert kept.result()["labels"] == several.result()["labels"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"select_by": "accuracy"}, "select_by: there is no accuracy where a text may have several labels; use subset"),
        ({"class_weights": [1.0, 2.0]}, "class_weights: 2 weights for 3 classes, which are billing, bug, praise"),
        ({"corpus__labels": ["bug"]}, "one label only, 'bug'"),
    ],
)
def test_what_does_not_go_with_several_labels_is_refused_before_training(chain, texts, keys, message) -> None:
    for name in ("bag-of-words", "bilstm"):
        with pytest.raises(InputError, match=message):
            trained(chain, texts, name, **keys)


def test_other_labels_in_the_test_texts_are_refused(chain, texts, tmp_path) -> None:
    one = write_jsonl(tmp_path / "one.jsonl", [{"text": "a", "label": "bug"}])
    with pytest.raises(InputError, match="has one label a text, and the training texts have a list of labels a text"):
        trained(chain, texts, test=str(one))
    other = write_jsonl(tmp_path / "other.jsonl", [{"text": "a", "label": ["bug", "refund"]}])
    with pytest.raises(InputError, match="has the label 'refund', which the training texts lack"):
        trained(chain, texts, test=str(other))


def test_a_calibrated_bias_is_for_one_class_a_text(chain, texts) -> None:
    with pytest.raises(InputError, match=r"model\.calibrated_bias: is for texts of one class each; .*`threshold`"):
        trained(chain, texts, "frozen", model__calibrated_bias=True)


@pytest.mark.parametrize("name", ["bag-of-words", "frozen"])
def test_a_refit_keeps_the_thresholds_that_were_chosen(chain, texts, name) -> None:
    keys = {"validation": None, "label_budget": 100}
    chosen = trained(chain, texts, name, **keys).result()
    folder = trained(chain, texts, name, refit=True, **keys)
    result = folder.result()
    assert (chosen["train_texts"], result["train_texts"]) == (80, 100)
    assert result["thresholds"] == chosen["thresholds"]
    table = pyarrow.parquet.read_table(folder.path / "predictions.parquet").to_pydict()
    # Of the run, and of the model folder alone.
    for classifier in (finetune.load(folder.path), finetune.load(folder.model)):
        assert [answer.labels for answer in classifier(table["text"])] == table["prediction"]
