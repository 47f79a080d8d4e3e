"""Training once more on all labels, with what was chosen on some of them."""

import dataclasses
import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import filelock
import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from configs.errors import InputError
from configs.run_folder import RunFolder
from finetune.classification.frozen import fit_linear
from finetune.classification.predictions import Chosen
from finetune.classification.text_dataset import TextSource
from finetune.config import FinetuneConfig
from finetune.run import run
from finetune.run_paths import run_folder
from pretrain.training.engine import Training, train
from tests.helpers.finetuning import finetune_config


def without_file(chain: Path, **keys: Any) -> FinetuneConfig:
    """A fine-tuning config whose validation texts are set aside from 60 labels."""
    return finetune_config(chain, validation=None, label_budget=60, **keys)


@pytest.mark.parametrize("name", ["bag-of-words", "lstm", "bert", "frozen"])
def test_every_model_trains_on_all_labels_with_what_was_chosen(chain: Path, name: str) -> None:
    config = without_file(chain, model__name=name, refit=True)
    folder = run(config)
    result, chosen = folder.result(), run(dataclasses.replace(config, refit=False)).result()
    assert (chosen["train_texts"], chosen["validation_texts"]) == (48, 12)
    assert (result["train_texts"], result["validation_texts"], result["test_texts"]) == (60, 12, 40)
    same = {key for key in chosen if key.startswith("eval_")} | {"temperature", "labels"}
    assert {key: result[key] for key in same} == {key: chosen[key] for key in same}
    for key in ("features", "inverse_penalty"):
        assert result.get(key) == chosen.get(key)
    assert result["test_accuracy"] >= 0.9
    assert result["seconds"] > chosen["seconds"]
    for key in ("tokens", "steps"):
        assert key not in chosen or result[key] > chosen[key] or chosen[key] == 0
    assert not folder.checkpoints.exists()
    assert run(config).result() == result


@pytest.mark.parametrize("refit", [False, True])
@pytest.mark.parametrize("name", ["bag-of-words", "lstm"])
def test_test_texts_that_copy_any_label_are_told_once(
    chain: Path, tmp_path: Path, name: str, refit: bool, caplog: pytest.LogCaptureFixture
) -> None:
    # Once, those of validation texts were not, which are trained on; and the others were told by both runs.
    rows = "".join(json.dumps({"text": f"film {number}", "label": number % 2}) + "\n" for number in range(40))
    for split in ("train", "test"):
        (tmp_path / f"{split}.jsonl").write_text(rows, encoding="utf-8")
    config = finetune_config(
        chain, validation=None, model__name=name, refit=refit, corpus__source=str(tmp_path),
        corpus__label_name_column=None, runs=str(tmp_path / "runs"), training__duration="4 steps",
        tokenizer=str(next((chain / "runs" / "tokenizer").iterdir())),
    )  # fmt: skip
    run(config)
    (told,) = (message for message in caplog.messages if "copies" in message)
    assert "test: 40 of the 40 test texts are copies of training texts" in told


def test_it_trains_for_the_share_of_the_duration_that_was_best(chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Training] = []

    def watched(training: Training, name: str) -> Any:
        seen.append(training)
        return train(training, name)

    monkeypatch.setattr("finetune.run.train", watched)
    monkeypatch.setattr(Chosen, "of", lambda folder, duration: Chosen(folder.result(), 2 / 3, {}))
    result = run(without_file(chain, model__name="lstm", refit=True, training__duration="30 steps", seed=5)).result()
    choosing, refitting = seen
    assert (choosing.until, refitting.until) == (1.0, 2 / 3)
    assert (result["steps"], result["refit_share"]) == (30 + 20, 2 / 3)
    # The learning rate falls to where it ends, as it does in a whole run.
    ends = [
        [json.loads(line) for line in training.folder.metrics.read_text(encoding="utf-8").splitlines()][-1 - number]
        for number, training in enumerate((refitting, choosing))
    ]
    assert ends[0]["lr"] == pytest.approx(ends[1]["lr"] * 30 / 20)
    assert ends[0]["lr"] < 0.2 * choosing.optimizer_config.learning_rate
    texts, more = (training.phases[0][1] for training in seen)
    assert isinstance(texts, TextSource)
    assert isinstance(more, TextSource)
    assert (len(texts.indices), len(more.indices)) == (48, 60)
    assert set(texts.indices) < set(more.indices)
    assert set(np.concatenate(more.epoch(0).batches)) == set(more.indices)


@pytest.mark.parametrize(
    ("duration", "best", "share"),
    [("30 steps", 20, 2 / 3), ("4 epochs", 30, 1.0), ("3 epochs, at least 40 steps", 10, 0.25)],
)
def test_the_share_is_how_far_training_was_when_it_was_best(
    tmp_path: Path, duration: str, best: int, share: float
) -> None:
    rows = [
        {"step": step, "eval_loss": 0.5, "epoch": round(step / 7.5, 4), "tokens": 9 * step, "seconds": 0.1 * step}
        for step in (10, 20, 30)
    ]
    metrics = tmp_path / "metrics.jsonl"
    # A resumed run may have written a row twice, and one may be damaged.
    metrics.write_text("\n".join([*map(json.dumps, [*rows, rows[0]]), "{"]) + "\n", encoding="utf-8")
    folder: Any = SimpleNamespace(result=lambda: {"best_step": best}, metrics=metrics, path=tmp_path)
    assert Chosen.of(folder, duration).share == pytest.approx(share)
    folder.result = lambda: {"best_step": 25}
    with pytest.raises(InputError, match="no evaluation of step 25"):
        Chosen.of(folder, duration)


def test_a_run_of_fewer_steps_than_evaluations_is_refitted_for_as_long_as_was_best(chain: Path) -> None:
    config = without_file(
        chain,
        model__name="lstm",
        training__batch_size=16,
        training__duration="4 epochs",
        training__evaluations=20,
        patience=None,
    )
    chosen, result = run(config).result(), run(dataclasses.replace(config, refit=True)).result()
    assert chosen["steps"] == 12
    assert result["refit_share"] == pytest.approx(chosen["best_step"] / 12, abs=0.01)
    assert result["epochs"] == pytest.approx(4 * chosen["best_step"] / 12, abs=0.3)


def test_what_it_took_of_the_machine_is_what_both_runs_took() -> None:
    before = {"test_seconds": 7.0, "joules": 30.0, "peak_memory_bytes": 900.0}
    own = {"test_seconds": 2.0, "joules": 20.0, "peak_memory_bytes": 500.0}
    chosen = Chosen({"seconds": 5.0, "tokens": 100, "steps": 10}, 0.5, before)
    assert chosen.taken(own) == {"test_seconds": 2.0, "joules": 50.0, "peak_memory_bytes": 900.0}
    assert chosen.facts({"seconds": 2.0, "tokens": 60, "steps": 5, "epochs": 1}) == {
        "refit": True, "refit_share": 0.5, "seconds": 7.0, "tokens": 160, "steps": 15,
    }  # fmt: skip
    # Where the energy of one of them is not known, that of both is not.
    assert "joules" not in chosen._replace(timings={}).taken(own)


def test_the_linear_layer_is_fitted_to_both_parts_with_the_penalty_of_one() -> None:
    rng = np.random.default_rng(0)
    labels_N = rng.integers(0, 2, 120)
    features_NF = rng.normal(1.0, 2.0, (120, 4)) + labels_N[:, None]
    train_part, held_out = (features_NF[:80], labels_N[:80]), (features_NF[80:], labels_N[80:])
    layers = [torch.nn.Linear(4, 2) for _ in range(2)]
    penalties = [
        fit_linear(layer, train_part, held_out, FinetuneConfig(), refit=refit)
        for layer, refit in zip(layers, (False, True), strict=True)
    ]
    assert penalties[0] == penalties[1]
    scaler = StandardScaler().fit(features_NF)
    peer = LogisticRegression(C=penalties[1], max_iter=2000).fit(scaler.transform(features_NF), labels_N)
    with torch.no_grad():
        found = layers[1](torch.from_numpy(features_NF).float()).softmax(-1).numpy()
    assert found == pytest.approx(peer.predict_proba(scaler.transform(features_NF)), abs=1e-4)


def test_validation_texts_of_their_own_are_refused(chain: Path) -> None:
    with pytest.raises(InputError, match="refit: validation texts with a place of their own"):
        finetune_config(chain, refit=True)


def test_several_processes_are_told_to_choose_first(chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="`--refit false` first"):
        run(without_file(chain, model__name="lstm", refit=True, seed=9))


def test_it_waits_for_another_process_that_chooses(chain: Path) -> None:
    config = without_file(chain, model__name="bag-of-words", refit=True, seed=11)
    choosing = run_folder(dataclasses.replace(config, refit=False))
    choosing.path.mkdir(parents=True)
    lock = filelock.FileLock(choosing.path / ".lock")
    lock.acquire()
    finished: list[RunFolder] = []
    thread = threading.Thread(target=lambda: finished.append(run(config)))
    thread.start()
    thread.join(1.0)
    assert not finished
    lock.release()
    thread.join(60.0)
    assert finished[0].result()["train_texts"] == 60


def test_the_weights_of_classes_are_those_of_all_labels() -> None:
    rng = np.random.default_rng(0)
    parts = [(rng.normal(size=(count, 3)), np.array([0] * (count - 1) + [1])) for count in (40, 10)]
    weights = [np.array([1.0, 9.0]), np.array([1.0, 2.0])]
    layers = [torch.nn.Linear(3, 2) for _ in range(2)]
    for layer, of_all in zip(layers, weights, strict=True):
        fit_linear(layer, *parts, FinetuneConfig(), weights[0], refit=True, refit_weights_C=of_all)
    assert not torch.allclose(layers[0].weight, layers[1].weight)


def test_an_interrupted_refit_resumes_to_the_same_result(chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = without_file(chain, model__name="lstm", refit=True, training__save_every=5, seed=3)
    whole = run(config)
    expected = whole.result()
    again = dataclasses.replace(config, name="again")
    run(dataclasses.replace(again, refit=False))

    def stop(training: Training, name: str) -> Any:
        def loss(model: Any, batch: Any, carry: Any) -> Any:
            if len(calls) == 8:
                raise KeyboardInterrupt
            calls.append(1)
            return training.loss(model, batch, carry)

        calls: list[int] = []
        return train(dataclasses.replace(training, loss=loss), name)

    with monkeypatch.context() as patched:
        patched.setattr("finetune.run.train", stop)
        with pytest.raises(KeyboardInterrupt):
            run(again)
    resumed: RunFolder = run(again)
    assert {key: value for key, value in resumed.result().items() if key.startswith("test_")} == {
        key: value for key, value in expected.items() if key.startswith("test_")
    }
