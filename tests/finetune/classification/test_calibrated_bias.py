"""The bias of the output layer, fitted to validation texts: what it is worth, and what it leaves alone."""

from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import scipy.optimize
import scipy.special
import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertForSequenceClassification

import finetune
from configs.errors import InputError
from finetune.classification.calibration import fit_bias, fit_temperature
from finetune.classification.frozen import output_layer, require_bias, shift_logits
from finetune.run import run
from tests.helpers.finetuning import finetune_config


def leaning(count: int, shifts_C: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a classifier that leans to some classes and is far too sure, with classes in equal numbers."""
    rng, classes = np.random.default_rng(seed), len(shifts_C)
    labels_N = np.arange(count) % classes
    return 4 * (1.5 * np.eye(classes)[labels_N] + rng.gumbel(size=(count, classes))) + shifts_C, labels_N


@pytest.mark.parametrize("shifts", [[3.0, -3.0], [4.0, 0.0, -4.0]])
def test_many_texts_tell_the_whole_shift(shifts):
    shifts_C = np.array(shifts)
    bias_C = fit_bias(*leaning(20_000, shifts_C))
    assert bias_C == pytest.approx(-shifts_C, abs=0.2)
    assert bias_C.sum() == pytest.approx(0, abs=1e-9)


def test_it_is_the_most_probable_shift_of_two_classes_as_found_by_another_method():
    logits_NC, labels_N = leaning(30, np.array([3.0, -3.0]))
    margins_N, counts = logits_NC[:, 1] - logits_NC[:, 0], np.bincount(labels_N)
    targets_N = np.where(labels_N == 1, (counts[1] + 1) / (counts[1] + 2), 1 / (counts[0] + 2))

    def negative_log_posterior(point):
        odds_N = margins_N * np.exp(point[0]) + point[1]
        return (np.logaddexp(0, odds_N) - targets_N * odds_N).sum() + point[1] ** 2 / 2

    scale, shift = scipy.optimize.minimize(negative_log_posterior, [0.0, 0.0], method="Nelder-Mead").x
    bias_C = fit_bias(logits_NC, labels_N)
    assert bias_C[1] - bias_C[0] == pytest.approx(shift / np.exp(scale), abs=0.02)


def test_few_texts_shift_little_and_what_tells_nothing_shifts_nothing():
    shifts_C = np.array([3.0, -3.0])
    few = [np.ptp(fit_bias(*leaning(6, shifts_C, seed))) for seed in range(20)]
    assert np.mean(few) < np.ptp(fit_bias(*leaning(400, shifts_C)))
    one_class = fit_bias(np.array([[2.0, 0.0], [1.0, 0.0]]), np.array([0, 0]))
    assert np.abs(one_class).max() < 2
    for nothing in (np.full((4, 2), 0.5), np.array([[np.nan, 0.0], [1.0, 0.0]]), np.array([[np.inf, 0.0], [1.0, 0.0]])):
        assert fit_bias(nothing, np.arange(len(nothing)) % 2).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_scale_of_logits_is_that_of_the_shift(scale):
    logits_NC, labels_N = leaning(60, np.array([3.0, 0.0, -3.0]))
    assert fit_bias(logits_NC * scale, labels_N) == pytest.approx(scale * fit_bias(logits_NC, labels_N), rel=1e-3)


def zipf(count: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a classifier without a lean that is three times too sure, with classes in very unequal numbers."""
    rng = np.random.default_rng(seed)
    shares_C = 1 / np.arange(1, classes + 1)
    shares_C /= shares_C.sum()
    labels_N = rng.choice(classes, count, p=shares_C)
    scores_NC = 3.5 * np.eye(classes)[labels_N] + rng.normal(size=(count, classes))
    logits_NC = 3.5 * scores_NC + np.log(shares_C)
    return 3 * logits_NC, labels_N


@pytest.mark.parametrize(("classes", "texts"), [(100, 1000), (20, 100), (10, 50)])
def test_many_classes_in_unequal_numbers_are_left_as_they_are(classes, texts):
    logits_NC, labels_N = zipf(5000, classes, seed=0)
    before = (logits_NC.argmax(1) == labels_N).mean()
    bias_C = fit_bias(*zipf(texts, classes, seed=1))
    assert ((logits_NC + bias_C).argmax(1) == labels_N).mean() > before - 0.02
    # The right one is 3; few texts leave more doubt.
    assert 2 < fit_temperature(*zipf(texts, classes, seed=1)) < (5 if texts >= 10 * classes else 7)


def test_what_class_weights_are_for_is_kept():
    """A model of two classes, nine to one, that was trained as if they were even: its minority keeps its recall."""
    rng = np.random.default_rng(0)
    labels_N = (rng.random(20_000) < 0.1).astype(int)
    margins_N = 2 * (2 * labels_N - 1) + 2 * rng.normal(size=20_000)
    logits_NC, weights_C = np.stack([-margins_N, margins_N], axis=1) / 2, np.array([1 / 1.8, 1 / 0.2])
    minority = labels_N == 1
    kept, lost = (
        ((logits_NC + fit_bias(logits_NC[:1000], labels_N[:1000], weights)).argmax(1) == 1)[minority].mean()
        for weights in (weights_C, None)
    )
    before = (logits_NC.argmax(1) == 1)[minority].mean()
    assert kept == pytest.approx(before, abs=0.05)
    assert lost < before - 0.2


@pytest.mark.parametrize("classes", [2, 3])
def test_fifty_texts_are_worth_points_where_a_classifier_leans_and_cost_little_where_not(classes):
    """Mean over 60 drawings of 50 validation texts, on 10,000 others."""
    direction_C = np.linspace(1, -1, classes)
    gains = {}
    for lean in (0.0, 5.0):
        logits_NC, labels_N = leaning(10_000, lean * direction_C, seed=1)
        before = (logits_NC.argmax(1) == labels_N).mean()
        after = [
            ((logits_NC + fit_bias(*leaning(50, lean * direction_C, seed=seed))).argmax(1) == labels_N).mean()
            for seed in range(2, 62)
        ]
        gains[lean] = float(np.mean(after) - before)
    assert gains[5.0] > 0.05
    assert gains[0.0] > -0.01


def test_logits_are_shifted_by_the_layer_itself():
    sizes: Any = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = BertForSequenceClassification(BertConfig(**sizes, id2label=dict(enumerate("abc")))).eval()
    ids_BT, shifts_C = torch.tensor([[2, 5, 6, 3]]), np.array([1.0, 0.5, -1.5])
    with torch.no_grad():
        before_BC = model(ids_BT).logits
        shift_logits(model, shifts_C)
        assert torch.allclose(model(ids_BT).logits, before_BC + torch.from_numpy(shifts_C).float(), atol=1e-6)
    require_bias(model)
    parent, name = output_layer(model)
    setattr(parent, name, torch.nn.Linear(16, 3, bias=False))
    with pytest.raises(InputError, match=r"model\.calibrated_bias: .* BertForSequenceClassification has no bias"):
        require_bias(model)


@pytest.mark.parametrize("name", ["bert", "lstm", "frozen"])
def test_a_run_shifts_its_bias_and_everything_it_leaves_behind_agrees(chain, name):
    keys = {"model__name": name, "training__duration": "20 steps", "optimizer__learning_rate": 2e-3}
    plain = run(finetune_config(chain, **keys))
    shifted = run(finetune_config(chain, **keys, model__calibrated_bias=True))
    before, after = plain.result(), shifted.result()
    assert shifted.path != plain.path
    assert "bias_shift" not in before
    assert sum(after["bias_shift"]) == pytest.approx(0, abs=1e-5)
    assert np.abs(after["bias_shift"]).max() > 0
    # The training is the same.
    trained = "inverse_penalty" if name == "frozen" else "best_step"
    assert after[trained] == before[trained]
    rows = [pyarrow.parquet.read_table(folder.path / "predictions.parquet").to_pydict() for folder in (plain, shifted)]
    odds = [np.log(np.array(row["probabilities"])) for row in rows]
    moved = (odds[1][:, 1] - odds[1][:, 0]) - (odds[0][:, 1] - odds[0][:, 0])
    assert moved == pytest.approx(after["bias_shift"][1] - after["bias_shift"][0], abs=1e-3)
    # The model folder alone says what was tested.
    answers = finetune.load(shifted.model)(rows[1]["text"])
    assert [answer.label for answer in answers] == rows[1]["prediction"]
    weights, unshifted = (load_file(folder.model / "model.safetensors") for folder in (shifted, plain))
    changed = [name for name in weights if not torch.equal(weights[name], unshifted[name])]
    assert len(changed) == 1
    difference = weights[changed[0]] - unshifted[changed[0]]
    assert difference.tolist() == pytest.approx(after["bias_shift"], abs=1e-6)


def test_a_run_on_all_labels_has_no_texts_to_fit_it_to(chain, caplog):
    keys = {"model__name": "frozen", "validation": None, "label_budget": 60, "refit": True}
    results = [run(finetune_config(chain, **keys, model__calibrated_bias=on)).result() for on in (True, False)]
    assert all("bias_shift" not in result for result in results)
    assert results[0]["test_accuracy"] == results[1]["test_accuracy"]
    told = [message for message in caplog.messages if "no bias is fitted (`model.calibrated_bias`)" in message]
    assert len(told) == 1
