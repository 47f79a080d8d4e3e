"""A model's texts are counted as it reads them, and read once."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from configs.errors import InputError
from finetune.inference.classifier import ENCODER_TOKENS_PER_THREAD, load
from finetune.run import run
from finetune.serving.config import ServeConfig
from finetune.serving.served_model import NETWORK_BATCHES, REMEMBERED, ServedModel, load_model
from pretrain.models.safe_loading import SAFE
from tests.helpers.finetuning import finetune_config

TEXTS = [("the film was great.", None), ("so " * 100, None), ("the plot.", "the cast."), ("the end", "")]


@pytest.fixture(scope="module")
def folder(chain):
    return run(finetune_config(chain, model__name="bert")).path


def test_texts_are_counted_in_tokens_as_far_as_the_model_reads(folder):
    model = ServedModel(load(folder), "small")
    tokenizer: Any = AutoTokenizer.from_pretrained(folder / "model", **SAFE)
    expected = [
        len(tokenizer([first], None if second is None else [second], truncation=True)["input_ids"][0])
        for first, second in TEXTS
    ]
    assert model.costs(TEXTS) == expected
    assert expected[1] == 32
    assert ServedModel(load(folder, windows=True), "small").costs(TEXTS)[1] > 100


def remembering(model):
    assert model.tokenizer is not None
    return model.tokenizer


@pytest.mark.parametrize("windows", [False, True])
def test_what_was_counted_is_classified_the_same_and_not_read_again(folder, windows, monkeypatch):
    model, plain = ServedModel(load(folder, windows=windows), "small"), load(folder, windows=windows)
    alone = np.concatenate([plain.logits([first if second is None else (first, second)]) for first, second in TEXTS])
    model.costs(TEXTS)
    seen = []
    kind = type(remembering(model)._tokenizer)
    read = kind.__call__
    monkeypatch.setattr(kind, "__call__", lambda *given, **options: seen.append(1) or read(*given, **options))
    found = np.concatenate([model.logits(TEXTS[:2]), model.logits(TEXTS[2:])])
    assert found == pytest.approx(alone, abs=1e-5)
    # In windows, texts are cut into others than were counted.
    assert bool(seen) == windows
    assert model.logits([("never counted", None), TEXTS[0]])[1] == pytest.approx(alone[0], abs=1e-5)
    assert seen


def test_no_more_texts_are_remembered_than_wait(folder):
    model = ServedModel(load(folder), "small")
    model.costs([(f"text {number}", None) for number in range(REMEMBERED + 10)])
    assert len(remembering(model)._rows) == REMEMBERED
    assert ("text 9", None) not in remembering(model)._rows
    assert remembering(model).model_max_length == 32


def test_scores_are_those_of_the_classifier_or_of_the_function_that_is_asked_for(folder, monkeypatch):
    model = ServedModel(load(folder), "small")
    texts = [TEXTS[0], TEXTS[1]]
    logits = model.logits(texts)
    own = model.classifier.probabilities([first for first, _ in texts])
    assert model.scores(logits, None) == pytest.approx(own, abs=1e-6)
    assert (model.scores(logits, "softmax") == model.scores(logits, None)).all()
    assert model.scores(logits, "none") == pytest.approx(logits)
    assert model.scores(np.array([[2000.0, -2000.0, 0.0]]), "sigmoid").tolist() == [[1.0, 0.0, 0.5]]
    monkeypatch.setattr(model.classifier, "thresholds", [0.5, 0.3])
    own = model.classifier.probabilities([first for first, _ in texts])
    assert model.scores(logits, None) == pytest.approx(own, abs=1e-6)
    assert (model.scores(logits, None) == model.scores(logits, "sigmoid")).all()
    assert model.description()["thresholds"] == [0.5, 0.3]


def test_what_a_batch_costs_beside_its_texts_is_measured(folder):
    model = ServedModel(load(folder), "small")
    assert model.batch_limits(0.0).start == 16
    model.warm_up()
    limits = model.batch_limits(0.5)
    assert 16 <= limits.start == model.start_tokens <= 8192
    assert (limits.cost, limits.wait) == (
        NETWORK_BATCHES * min(8192, ENCODER_TOKENS_PER_THREAD * torch.get_num_threads()),
        0.5,
    )


def test_the_runtime_is_the_one_that_is_asked_for_or_refused(folder):
    with pytest.raises(InputError, match="runtime: 'tf' is none of torch, onnx"):
        load_model(ServeConfig(str(folder), runtime="tf"))
    with pytest.raises(InputError, match=r"onnx"):
        load_model(ServeConfig(str(folder), runtime="onnx"))
    assert load_model(ServeConfig(str(folder), name="mine")).description()["model"] == "mine"
