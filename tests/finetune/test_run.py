"""Every model by name, from labelled text to scores, predictions and a folder that transformers loads."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from transformers import AutoModelForSequenceClassification

from configs.errors import InputError
from finetune.classification.predictions import correctness
from finetune.run import run
from pretrain.training.engine import Training
from pretrain.training.fast_paths import worker_count
from tests.helpers.finetuning import finetune_config

# A digest of the numbers of the test rows, the same for every model and machine.
ONE_FILE_TEST_ROWS = "3ff67a98"


@pytest.mark.parametrize("name", ["bag-of-words", "rnn", "lstm", "bilstm", "bert-scratch", "bert"])
def test_every_model_learns_an_easy_task(chain: Path, name: str) -> None:
    folder = run(finetune_config(chain, model__name=name))
    result = folder.result()
    assert result["test_accuracy"] >= 0.9
    assert result["labels"] == ["negative", "positive"]
    assert (result["train_texts"], result["validation_texts"], result["test_texts"]) == (120, 24, 40)
    assert correctness(folder).mean() == pytest.approx(result["test_accuracy"])


def test_predictions_follow_the_order_of_the_test_file(chain: Path) -> None:
    folder = run(finetune_config(chain, model__name="lstm"))
    table = pyarrow.parquet.read_table(folder.path / "predictions.parquet")
    lines = (chain / "labelled" / "test.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert table["label"].to_pylist() == [row["label_text"] for row in rows]
    assert table["label_id"].to_pylist() == [row["label"] for row in rows]
    assert table["text"].to_pylist() == [row["text"] for row in rows]
    assert table["row"].to_pylist() == list(range(1, len(rows) + 1))
    assert set(table["file"].to_pylist()) == {str(chain / "labelled" / "test.jsonl")}
    assert json.loads(table.schema.metadata[b"classes"]) == ["negative", "positive"]
    chosen = np.array(table["probabilities"].to_pylist()).argmax(1)
    assert table["prediction"].to_pylist() == [("negative", "positive")[number] for number in chosen]
    assert np.allclose(np.array(table["probabilities"].to_pylist()).sum(1), 1)


def test_class_names_of_numbers_stay_in_order(chain: Path, tmp_path: Path) -> None:
    # As strings, "10" would come before "2".
    adjectives = ["awful", "dull", "great"]
    for split, count in (("train", 60), ("test", 12)):
        rows = [
            {"text": f"the film was {adjectives[number % 3]}.", "label": (2, 9, 10)[number % 3]}
            for number in range(count)
        ]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    keys = {
        "corpus__source": str(tmp_path),
        "corpus__label_name_column": None,
        "validation": None,
    }
    for name in ("bag-of-words", "lstm"):
        folder = run(finetune_config(chain, model__name=name, **keys))
        table = pyarrow.parquet.read_table(folder.path / "predictions.parquet")
        assert table["label"].to_pylist() == ["2", "9", "10"] * 4
        assert json.loads(table.schema.metadata[b"classes"]) == ["2", "9", "10"]


@pytest.mark.parametrize("name", ["bag-of-words", "lstm", "bert"])
def test_of_one_file_a_share_is_set_aside_for_testing(
    chain: Path, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    rows = (chain / "labelled" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    (tmp_path / "all.jsonl").write_text("\n".join(rows), encoding="utf-8")
    keys = {"corpus__source": str(tmp_path / "all.jsonl"), "validation": None}
    with caplog.at_level("INFO"):
        folder = run(finetune_config(chain, model__name=name, **keys))
    assert "no test texts are named; 24 of the 120 texts" in caplog.text
    result = folder.result()
    assert result["train_texts"] + result["validation_texts"] + result["test_texts"] == 120
    table = pyarrow.parquet.read_table(folder.path / "predictions.parquet")
    texts = [json.loads(line)["text"] for line in rows]
    assert [texts[row - 1] for row in table["row"].to_pylist()] == table["text"].to_pylist()
    # The same texts for every model.
    assert hashlib.sha256(repr(table["row"].to_pylist()).encode()).hexdigest()[:8] == ONE_FILE_TEST_ROWS
    assert "test_share: 0.2" in (folder.path / "config.yaml").read_text(encoding="utf-8")


def test_a_checkpoint_by_folder_is_a_model_name_too(chain: Path) -> None:
    (encoder,) = (chain / "runs" / "pretrain").glob("small-*")
    named = run(finetune_config(chain, model__name="bert"))
    by_folder = run(finetune_config(chain, model__name=str(encoder / "model")))
    assert by_folder.result()["test_accuracy"] == named.result()["test_accuracy"]


def test_a_fine_tuned_recurrent_run_can_be_fine_tuned_again(chain: Path) -> None:
    first = run(finetune_config(chain, model__name="lstm"))
    again = run(finetune_config(chain, model__name=str(first.path), training__duration="1 steps"))
    assert again.result()["test_accuracy"] >= 0.9


def test_the_best_checkpoint_is_kept_and_the_others_are_gone(chain: Path) -> None:
    config = finetune_config(chain, model__name="bilstm", optimizer__learning_rate=0.003, training__evaluations=6)
    folder = run(config)
    rows = [json.loads(line) for line in folder.metrics.read_text(encoding="utf-8").splitlines()]
    found = {row["step"]: (row["eval_accuracy"], -row["eval_loss"]) for row in rows if "eval_accuracy" in row}
    result = folder.result()
    assert result["best_step"] == max(found, key=lambda step: found[step])
    assert result["eval_loss"] == pytest.approx(-found[result["best_step"]][1], rel=1e-5)
    assert not folder.checkpoints.exists()


@pytest.mark.parametrize(("configured", "used"), [(None, 0), (2, 2)])
def test_no_processes_prepare_batches_unless_asked(
    chain: Path, monkeypatch: pytest.MonkeyPatch, configured: int | None, used: int
) -> None:
    # On a GPU, four of them began anew in each short epoch.
    seen: list[Training] = []

    def stop(training: Training, name: str) -> None:
        seen.append(training)
        raise InputError(f"seen by {name}")

    monkeypatch.setattr("finetune.run.train", stop)
    config = finetune_config(chain, model__name="lstm", training__workers=configured, seed=31 + used)
    with pytest.raises(InputError, match="seen"):
        run(config)
    assert worker_count(seen[0].config.workers, "cuda") == used


def test_early_stopping_ends_a_run_without_gains(chain: Path) -> None:
    config = finetune_config(
        chain,
        model__name="lstm",
        optimizer__learning_rate=3.0,
        patience=1,
        training__evaluations=15,
        training__duration="90 steps",
    )
    assert run(config).result()["steps"] < 90


def test_the_label_names_reach_the_exported_model(chain: Path) -> None:
    folder = run(finetune_config(chain, model__name="bert"))
    model = AutoModelForSequenceClassification.from_pretrained(folder.model)
    assert model.config.id2label == {0: "negative", 1: "positive"}


def test_the_same_seed_gives_the_same_run_and_another_seed_another(chain: Path) -> None:
    losses = []
    for runs, seed in (("a", 0), ("b", 0), ("c", 1)):
        config = finetune_config(chain, model__name="rnn", seed=seed, label_budget=40)
        result = run(dataclasses.replace(config, runs=str(chain / runs), tokenizer=tokenizer_of(chain))).result()
        losses.append(result["eval_loss"])
    assert losses[0] == losses[1] != losses[2]


def tokenizer_of(chain: Path) -> str:
    (folder,) = (chain / "runs" / "tokenizer").iterdir()
    return str(folder)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"model__name": "bert", "sequence_length": 100}, "sequence_length: 100 exceeds the 64 positions"),
        ({"model__name": "./nowhere"}, "no such file or folder"),
        ({"model__name": "bert", "model__reinitialized_layers": 9}, "reinitialized_layers: 9"),
        ({"training__duration": "3 moons"}, "is not a duration"),
        ({"test": "./nowhere/test.jsonl"}, "test: no such file or folder"),
        ({"label_budget": 4000}, "label_budget: 4000 exceeds the 120 labels"),
    ],
)
def test_what_cannot_be_used_is_refused_before_training(
    chain: Path, overrides: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run(finetune_config(chain, **overrides))


def test_pairs_of_texts_are_read_with_their_second_column(chain: Path, tmp_path: Path) -> None:
    for split in ("train", "test"):
        rows = [
            json.dumps({"text": "the film", "other": f"was {('bad', 'good')[number % 2]}", "label": "ny"[number % 2]})
            for number in range(40)
        ]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(rows), encoding="utf-8")
    config = finetune_config(chain, model__name="bert", validation=None, corpus__label_name_column=None)
    corpus = dataclasses.replace(config.corpus, source=str(tmp_path), second_text_column="other")
    result = run(dataclasses.replace(config, corpus=corpus)).result()
    assert result["labels"] == ["n", "y"]
    assert result["test_accuracy"] == 1.0


@pytest.mark.parametrize("name", ["bag-of-words", "lstm"])
def test_a_label_of_the_test_texts_alone_is_told_with_their_file(chain: Path, tmp_path: Path, name: str) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps({"text": "the film.", "label": 7, "label_text": "seven"}), encoding="utf-8")
    with pytest.raises(InputError, match=r"other\.jsonl'.* has the label '7', which the training texts lack"):
        run(finetune_config(chain, model__name=name, test=str(other)))
