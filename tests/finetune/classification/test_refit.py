"""Training once more on all labels, with what was chosen on some of them."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

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
    assert not folder.checkpoints.exists()
    assert run(config).result() == result


def test_it_trains_for_the_share_of_the_duration_that_was_best(chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Training] = []

    def watched(training: Training, name: str) -> Any:
        seen.append(training)
        return train(training, name)

    monkeypatch.setattr("finetune.run.train", watched)
    monkeypatch.setattr(Chosen, "of", lambda folder, evaluations: Chosen(folder.result(), 2 / 3))
    result = run(without_file(chain, model__name="lstm", refit=True, training__duration="30 steps", seed=5)).result()
    choosing, refitting = seen
    assert (choosing.until, refitting.until) == (1.0, 2 / 3)
    assert (result["steps"], result["refit_share"]) == (20, 2 / 3)
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
    ("steps", "best", "share"), [((10, 20, 30), 20, 2 / 3), ((10, 20, 30), 30, 1.0), ((10, 20), 10, 1 / 3)]
)
def test_the_share_is_that_of_the_best_evaluation(
    tmp_path: Path, steps: tuple[int, ...], best: int, share: float
) -> None:
    rows = [{"step": step, "eval_loss": 0.5} for step in steps] + [{"step": 5, "loss": 0.7}]
    # A resumed run may have written a row twice.
    rows.append(rows[0])
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    folder: Any = SimpleNamespace(result=lambda: {"best_step": best}, metrics=metrics)
    assert Chosen.of(folder, 3).share == pytest.approx(share)


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
    monkeypatch.setattr("finetune.run.PartialState", lambda: SimpleNamespace(num_processes=2))
    with pytest.raises(InputError, match="`--refit false` first"):
        run(without_file(chain, model__name="lstm", refit=True, seed=9))


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
