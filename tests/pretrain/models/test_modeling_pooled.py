"""Classifiers on pooled states: the mathematics, padding, and a folder that loads with its code alone."""

import json
import subprocess
import sys
from typing import Any

import pytest
import torch
from transformers import (
    DistilBertConfig,
    DistilBertModel,
    RobertaConfig,
    RobertaForMaskedLM,
)

from configs.errors import InputError
from pretrain.models.architectures import encoders_of
from pretrain.models.builders import classifier, pretraining_model
from pretrain.models.config import ClassifierConfig, EncoderConfig
from pretrain.models.modeling.configuration_pooled import POOLINGS, PooledConfig
from pretrain.models.modeling.modeling_pooled import PooledForSequenceClassification
from pretrain.training.fast_paths import attends_by_padding_alone
from tests.helpers.paths import ROOT
from tests.helpers.pretraining import small_tokenizer
from tokenizer.vocabulary.serialization import load as load_tokenizer

NAMES = ["negative", "positive", "mixed"]
LENGTHS = (12, 5, 9)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return load_tokenizer(small_tokenizer(tmp_path_factory.mktemp("models")))


def save_encoder(kind: Any, tokenizer, folder) -> str:
    sizes: Any = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 32}
    if kind == "roberta":
        RobertaForMaskedLM(
            RobertaConfig(vocab_size=len(tokenizer), max_position_embeddings=40, **sizes)
        ).save_pretrained(folder)
    elif kind == "distilbert":
        config = DistilBertConfig(vocab_size=len(tokenizer), dim=16, n_heads=2, n_layers=2, hidden_dim=32)
        DistilBertModel(config).save_pretrained(folder)
    else:
        config = EncoderConfig(architecture=kind, layers=2, hidden_size=16, heads=2, maximum_positions=32)
        pretraining_model("masked_lm", config, tokenizer, None, 0).save(folder)
    return str(folder)


@pytest.fixture(scope="module", params=["bert", "modernbert", "roberta", "distilbert"])
def checkpoint(request, tokenizer, tmp_path_factory):
    return save_encoder(request.param, tokenizer, tmp_path_factory.mktemp(request.param))


def batch_of(tokenizer):
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, len(tokenizer), (len(LENGTHS), max(LENGTHS)), generator=generator)
    mask = (torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS).unsqueeze(1)).long()
    return ids * mask, mask


def classifier_of(checkpoint, tokenizer, **keys: Any):
    keys = {"name": "bert", "dropout": 0.0} | keys
    return classifier(ClassifierConfig(**keys), checkpoint, tokenizer, NAMES, 0).eval()


def by_hand(model, ids, mask):
    """The pooled vectors, one text at a time and without padding."""
    rows = []
    for index, length in enumerate(LENGTHS):
        states = model.encoder(
            input_ids=ids[index : index + 1, :length], attention_mask=mask[index : index + 1, :length]
        )
        states = states.last_hidden_state[0]
        first, mean, maximum = states[0], states.mean(0), states.max(0).values
        if model.config.pooling == "attention":
            rows.append(model.attention_score(states).softmax(0).T[0] @ states)
        else:
            parts = {"cls": [first], "mean": [mean], "max": [maximum], "concat": [first, mean, maximum]}
            rows.append(torch.cat(parts[model.config.pooling]))
    return torch.stack(rows)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooling_is_over_the_tokens_of_a_text_alone(checkpoint, tokenizer, pooling):
    model = classifier_of(checkpoint, tokenizer, pooling=pooling)
    ids, mask = batch_of(tokenizer)
    with torch.inference_mode():
        logits = model(input_ids=ids, attention_mask=mask).logits
        if not isinstance(model, PooledForSequenceClassification):
            assert (type(model).__name__, model.config.classifier_pooling) == (
                "ModernBertForSequenceClassification",
                pooling,
            )
            return
        torch.testing.assert_close(logits, model.classifier(by_hand(model, ids, mask)))
        labels = torch.tensor([0, 2, 1])
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits, labels))


def test_the_encoder_is_the_checkpoints_and_keeps_its_fast_paths(checkpoint, tokenizer):
    model = classifier_of(checkpoint, tokenizer, pooling="max")
    plain = classifier_of(checkpoint, tokenizer)
    weights = {name: weight for name, weight in plain.base_model.state_dict().items() if not name.startswith("pooler")}
    assert weights.keys() == model.encoder.state_dict().keys()
    assert all(torch.equal(weight, model.encoder.state_dict()[name]) for name, weight in weights.items())
    assert attends_by_padding_alone(model)
    assert model not in encoders_of(model)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_scores_are_the_same_in_a_fresh_process_and_plain_transformers_refuses_without_code(
    tokenizer, tmp_path, pooling
):
    model = classifier_of(save_encoder("bert", tokenizer, tmp_path / "encoder"), tokenizer, pooling=pooling)
    model.save_pretrained(tmp_path / "saved")
    ids, mask = batch_of(tokenizer)
    with torch.inference_mode():
        expected = model(input_ids=ids, attention_mask=mask).logits.tolist()
    assert {file.name for file in (tmp_path / "saved").glob("*.py")} == {
        "configuration_pooled.py",
        "modeling_pooled.py",
    }
    program = """
import json, sys, torch
from transformers import AutoModelForSequenceClassification
ids, mask = (torch.tensor(rows) for rows in json.loads(sys.argv[2]))
model = AutoModelForSequenceClassification.from_pretrained(sys.argv[1], trust_remote_code=sys.argv[3] == "code").eval()
print(json.dumps(model(input_ids=ids, attention_mask=mask).logits.tolist()))
"""

    def elsewhere(flag):
        given = [
            sys.executable,
            "-c",
            program,
            str(tmp_path / "saved"),
            json.dumps([ids.tolist(), mask.tolist()]),
            flag,
        ]
        return subprocess.run(given, cwd=tmp_path, capture_output=True, text=True, check=False)

    loaded = elsewhere("code")
    assert loaded.returncode == 0, loaded.stderr[-1000:]
    torch.testing.assert_close(torch.tensor(json.loads(loaded.stdout)), torch.tensor(expected))
    refused = elsewhere("no code")
    assert refused.returncode != 0
    assert "trust_remote_code" in refused.stderr
    assert tmp_path != ROOT


def test_a_fine_tuned_folder_is_loaded_again_whole(tokenizer, tmp_path):
    encoder = save_encoder("bert", tokenizer, tmp_path / "encoder")
    model = classifier_of(encoder, tokenizer, pooling="mean")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
    folder = tmp_path / "saved"
    model.save_pretrained(folder)
    again = classifier_of(str(folder), tokenizer, name=str(folder), keep_classifier=True)
    assert all(torch.equal(weight, again.state_dict()[name]) for name, weight in model.state_dict().items())
    renewed = classifier_of(str(folder), tokenizer, name=str(folder), pooling="concat")
    assert renewed.config.pooling == "concat"
    assert all(
        torch.equal(weight, renewed.encoder.state_dict()[name]) for name, weight in model.encoder.state_dict().items()
    )
    assert renewed.classifier.in_features == 3 * 16
    with pytest.raises(InputError, match="has another pooling than"):
        classifier_of(str(folder), tokenizer, name=str(folder), keep_classifier=True, pooling="max")


def test_layers_are_reinitialised_and_scratch_has_the_same_shape(tokenizer, tmp_path):
    encoder = save_encoder("bert", tokenizer, tmp_path / "encoder")
    model = classifier_of(encoder, tokenizer, pooling="max")
    partly = classifier_of(encoder, tokenizer, pooling="max", reinitialized_layers=1)
    changed = {
        name
        for name, weight in model.encoder.state_dict().items()
        if not torch.equal(weight, partly.encoder.state_dict()[name])
    }
    assert changed
    assert all("layer.1." in name for name in changed)
    scratch = classifier_of(encoder, tokenizer, name="bert-scratch", pooling="max")
    assert {n: w.shape for n, w in scratch.state_dict().items()} == {n: w.shape for n, w in model.state_dict().items()}


@pytest.mark.parametrize(("name", "pooling"), [("lstm", "cls"), ("bert", "last")])
def test_a_pooling_of_the_other_family_is_refused(tokenizer, tmp_path, name, pooling):
    encoder = save_encoder("bert", tokenizer, tmp_path)
    with pytest.raises(InputError, match=f"'{name}' has no pooling '{pooling}'"):
        classifier_of(encoder, tokenizer, name=name, pooling=pooling)


def test_an_unknown_pooling_is_refused():
    with pytest.raises(ValueError, match="pooling: 'median'"):
        PooledConfig(pooling="median")
    assert PooledConfig(encoder={"model_type": "distilbert"}).encoder == DistilBertConfig()
