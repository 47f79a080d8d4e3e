"""The frozen encoder: a linear layer that is scikit-learn's, on an encoder that is the checkpoint's."""

from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from configs.errors import InputError
from finetune.classification.frozen import INVERSE_PENALTIES, fit_linear, output_layer, without_output_layer
from finetune.config import FinetuneConfig
from finetune.run import run
from pretrain.models.modeling.configuration_recurrent import RecurrentConfig
from pretrain.models.modeling.modeling_recurrent import RecurrentForSequenceClassification
from tests.helpers.finetuning import finetune_config


@pytest.mark.parametrize("classes", [2, 3])
def test_the_layer_gives_the_probabilities_of_logistic_regression_on_standardised_features(classes):
    rng = np.random.default_rng(0)
    labels_N = rng.integers(0, classes, 200)
    features_NF = rng.normal(3.0, 2.0, (200, 5)) + np.eye(classes, 5)[labels_N] * 2
    layer = torch.nn.Linear(5, classes)
    train, held_out = (features_NF[:120], labels_N[:120]), (features_NF[120:], labels_N[120:])
    chosen = fit_linear(layer, train, held_out, FinetuneConfig())
    scaler = StandardScaler().fit(train[0])
    peers = {
        penalty: LogisticRegression(C=penalty, max_iter=2000).fit(scaler.transform(train[0]), train[1])
        for penalty in INVERSE_PENALTIES
    }
    with torch.no_grad():
        found = layer(torch.from_numpy(held_out[0]).float()).softmax(-1).numpy()
    assert found == pytest.approx(peers[chosen].predict_proba(scaler.transform(held_out[0])), abs=1e-4)
    accuracies = {penalty: peer.score(scaler.transform(held_out[0]), held_out[1]) for penalty, peer in peers.items()}
    assert accuracies[chosen] == max(accuracies.values())


@pytest.mark.parametrize("pooling", [None, "max", "concat"])
def test_a_frozen_encoder_keeps_its_weights_and_separates_the_texts(chain, pooling):
    folder = run(finetune_config(chain, model__name="frozen", model__pooling=pooling))
    result = folder.result()
    assert result["test_accuracy"] > 0.8
    assert result["inverse_penalty"] in INVERSE_PENALTIES
    saved = load_file(folder.model / "model.safetensors")
    (pretrained,) = (chain / "runs" / "pretrain").glob("small-*/model")
    encoder = load_file(pretrained / "model.safetensors")
    shared = {name for name in encoder if name.startswith("bert.") and "pooler" not in name}
    assert all(torch.equal(saved[f"encoder.{name.removeprefix('bert.')}"], encoder[name]) for name in shared)
    assert len(saved) == len(shared) + 2
    assert run(finetune_config(chain, model__name="frozen", model__pooling=pooling)).result() == result


def test_the_encoder_from_scratch_is_a_yardstick_too(chain):
    scratch = run(finetune_config(chain, model__name="frozen-scratch")).result()
    assert 0.3 < scratch["test_accuracy"] <= 1


def test_attention_is_learned_and_so_not_for_a_frozen_encoder(chain):
    with pytest.raises(InputError, match="frozen"):
        run(finetune_config(chain, model__name="frozen", model__pooling="attention"))


LABELS: dict[str, Any] = {"num_labels": 3}
SMALL: dict[str, Any] = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2} | LABELS


@pytest.mark.parametrize(
    ("model_class", "config"),
    [
        (BertForSequenceClassification, BertConfig(**SMALL)),
        (RobertaForSequenceClassification, RobertaConfig(**SMALL)),
        (RecurrentForSequenceClassification, RecurrentConfig(vocab_size=50, **LABELS)),
    ],
)
def test_without_its_output_layer_a_model_gives_what_that_layer_reads(model_class, config):
    model = model_class(config).eval()
    ids_BT = torch.tensor([[2, 5, 6, 3], [2, 7, 8, 3]])
    parent, name = output_layer(model)
    with torch.no_grad():
        logits_BC = model(input_ids=ids_BT, attention_mask=torch.ones_like(ids_BT)).logits
        with without_output_layer(model) as features:
            features_BF = features(input_ids=ids_BT, attention_mask=torch.ones_like(ids_BT)).logits
        assert torch.equal(getattr(parent, name)(features_BF), logits_BC)
    assert logits_BC.shape == (2, 3)


def test_a_model_without_a_linear_output_layer_is_refused():
    with pytest.raises(InputError, match=r"model\.classifier_init: BertModel"):
        output_layer(BertModel(BertConfig(**SMALL)))


@pytest.mark.parametrize("name", ["bert", "lstm"])
def test_fine_tuning_starts_from_logistic_regression(chain, name):
    keys = {"model__name": name, "model__pooling": "mean", "optimizer__learning_rate": 1e-9}
    probe = run(finetune_config(chain, **keys, model__classifier_init="linear_probe")).result()
    random = run(finetune_config(chain, **keys)).result()
    assert probe["eval_loss"] < random["eval_loss"] - 0.1
    if name == "bert":
        # Trained with a rate of nothing, it is the frozen model.
        frozen = run(finetune_config(chain, model__name="frozen", model__pooling="mean")).result()
        assert probe["eval_loss"] == pytest.approx(frozen["eval_loss"], abs=1e-4)


def test_a_classifier_that_is_kept_cannot_start_anew(chain):
    with pytest.raises(InputError, match=r"model\.keep_classifier: .* linear_probe"):
        finetune_config(chain, model__keep_classifier=True, model__classifier_init="linear_probe")
