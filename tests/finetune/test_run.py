"""Every model by name, from labelled text to scores, predictions and a folder that transformers loads."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from transformers import AutoModelForSequenceClassification

from configs.errors import InputError
from finetune.classification.predictions import correctness
from finetune.run import run
from tests.helpers.finetuning import finetune_config


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
    assert table["label"].to_pylist() == [json.loads(line)["label"] for line in lines]
    assert np.allclose(np.array(table["probabilities"].to_pylist()).sum(1), 1)


def test_a_checkpoint_by_folder_is_a_model_name_too(chain: Path) -> None:
    (encoder,) = (chain / "runs" / "pretrain").iterdir()
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
