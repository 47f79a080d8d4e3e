"""Rare classes count as much as frequent ones where that is asked for, in every kind of model."""

import functools
import json
import random

import numpy as np
import pytest
import torch
from transformers.modeling_outputs import SequenceClassifierOutput

from configs.command_line import load
from configs.errors import InputError
from finetune.classification.bag_of_words import NaiveBayesLogisticRegression, logistic_regression
from finetune.classification.labels import class_weights
from finetune.classification.objective import classification_loss
from finetune.classification.splits import draw_test_texts
from finetune.config import FinetuneConfig
from finetune.run import run
from pretrain.data.loader import Batch
from tests.helpers.finetuning import finetune_config, sentence

CLASSES = np.array([0] * 90 + [1] * 10)


def test_balanced_weights_give_each_class_the_same_sum_and_texts_one_on_average():
    weights = class_weights(FinetuneConfig(class_weights="balanced"), CLASSES, ["a", "b"])
    assert weights is not None
    assert weights[CLASSES].mean() == pytest.approx(1)
    assert weights[0] * 90 == pytest.approx(weights[1] * 10)
    given = class_weights(FinetuneConfig(class_weights=[1.0, 3.0]), CLASSES, ["a", "b"])
    assert given is not None
    assert given[1] / given[0] == pytest.approx(3)
    assert given[CLASSES].mean() == pytest.approx(1)
    assert class_weights(FinetuneConfig(), CLASSES, ["a", "b"]) is None


@pytest.mark.parametrize("weights", [[1.0, 2.0, 3.0], [0.0, 1.0], []])
def test_weights_that_fit_no_classes_are_refused(weights):
    with pytest.raises(InputError, match="class_weights"):
        class_weights(FinetuneConfig(class_weights=weights), CLASSES, ["a", "b"])


def test_the_loss_is_torchs_weighted_sum_over_the_texts_of_the_step():
    class Model:
        def __call__(self, **inputs):
            return SequenceClassifierOutput(logits=inputs["logits"])

    logits, labels = torch.randn(5, 2), torch.tensor([0, 1, 1, 0, 1])
    batch = Batch(inputs={"logits": logits}, labels={"labels": labels}, counts={"labels": 5}, totals={"labels": 5})
    weights = torch.tensor([0.5, 2.0], dtype=torch.float64)
    found = functools.partial(classification_loss, weights_C=weights)(Model(), batch).loss
    expected = (weights.float()[labels] * torch.nn.functional.cross_entropy(logits, labels, reduction="none")).sum() / 5
    assert found == pytest.approx(float(expected))


@pytest.mark.parametrize("make", [logistic_regression, NaiveBayesLogisticRegression])
def test_a_weight_of_two_is_a_text_that_is_there_twice(make):
    rng = np.random.default_rng(0)
    features = (rng.random((60, 8)) < 0.3).astype(float)
    labels = (features[:, 0] + rng.random(60) > 0.8).astype(int)
    import scipy.sparse

    sparse = scipy.sparse.csr_matrix(features)
    weighted = make(1.0, 0).fit(sparse, labels, np.where(labels == 1, 2.0, 1.0)).predict_proba(sparse)
    plain = make(1.0, 0).fit(sparse, labels).predict_proba(sparse)
    assert weighted[:, 1].mean() > plain[:, 1].mean() + 0.02
    if make is logistic_regression:
        twice = scipy.sparse.vstack([sparse, sparse[labels == 1]]).tocsr()
        doubled = make(1.0, 0).fit(twice, np.concatenate([labels, labels[labels == 1]])).predict_proba(sparse)
        assert weighted == pytest.approx(doubled, abs=1e-3)


@pytest.mark.parametrize("name", ["bag-of-words", "lstm", "frozen"])
def test_a_rare_class_is_found_more_often_with_weights(chain, tmp_path, name):
    rng = random.Random(0)
    for split, count in (("train", 160), ("validation", 40), ("test", 80)):
        rows = []
        for number in range(count):
            label = int(number % 10 == 0)
            # The adjective tells the label in two of three sentences only.
            told = label if rng.random() < 2 / 3 else 1 - label
            rows.append({"text": sentence(told, rng), "label": label, "label_text": ("common", "rare")[label]})
        (tmp_path / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    recalls = []
    for weights in (None, "balanced"):
        keys = {"model__name": name, "corpus__source": str(tmp_path), "class_weights": weights}
        result = run(finetune_config(chain, **keys, training__duration="60 steps")).result()
        recalls.append(result["test_per_class"]["rare"]["recall"])
        assert result["test_per_class"]["common"]["texts"] == 72
    assert recalls[1] > recalls[0]


def test_fewer_test_texts_are_a_stratified_sample_that_never_changes(chain):
    config = load(FinetuneConfig, chain / "finetune.yaml", {"maximum_test_texts": 20})
    indices = np.arange(100)[::-1]
    chosen = draw_test_texts(config, CLASSES, indices)
    assert len(chosen) == 20
    assert np.bincount(CLASSES[chosen]).tolist() == [18, 2]
    assert chosen.tolist() == draw_test_texts(config, CLASSES, indices).tolist()
    result = run(finetune_config(chain, model__name="bag-of-words", maximum_test_texts=10)).result()
    assert result["test_texts"] == 10
    assert draw_test_texts(load(FinetuneConfig, chain / "finetune.yaml"), CLASSES, indices).tolist() == indices.tolist()
