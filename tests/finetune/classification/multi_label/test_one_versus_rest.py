"""One logistic regression a label, as scikit-learn's."""

import functools

import numpy as np
import pytest
import scipy.sparse
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from finetune.classification.bag_of_words import log_count_ratios
from finetune.classification.multi_label.one_versus_rest import OneVersusRest
from tests.helpers.several_labels import random_labels

MAKE = functools.partial(LogisticRegression, C=1.0, max_iter=500)


def data() -> tuple[np.ndarray, np.ndarray]:
    labels_NC = random_labels(200, [0.5, 0.3, 0.1])
    noise_NF = np.random.default_rng(1).random((200, 3)) < 0.1
    return np.hstack([labels_NC ^ noise_NF, noise_NF]).astype(float), labels_NC


def test_probabilities_are_those_of_scikit_learn() -> None:
    features_NF, labels_NC = data()
    expected = OneVsRestClassifier(MAKE()).fit(features_NF, labels_NC).predict_proba(features_NF)
    for form in (np.asarray, scipy.sparse.csr_matrix):
        found = OneVersusRest(MAKE).fit(form(features_NF), labels_NC).predict_proba(form(features_NF))
        assert found == pytest.approx(expected, abs=1e-6)


def test_ratios_are_of_each_label_for_itself() -> None:
    features_NF, labels_NC = data()
    sparse = scipy.sparse.csr_matrix(features_NF)
    found = OneVersusRest(MAKE, log_count_ratios).fit(sparse, labels_NC).predict_proba(sparse)
    for label in range(3):
        has_N = labels_NC[:, label] > 0
        weighted = sparse.multiply(log_count_ratios(sparse, has_N)).tocsr()
        assert found[:, label] == pytest.approx(MAKE().fit(weighted, has_N).predict_proba(weighted)[:, 1], abs=1e-6)


def test_a_label_of_all_or_no_texts_is_a_constant() -> None:
    features_NF, labels_NC = data()
    labels_NC[:, 0], labels_NC[:, 2] = 1, 0
    found = OneVersusRest(MAKE).fit(features_NF, labels_NC).predict_proba(features_NF)
    assert found[:, 0] == pytest.approx(200.5 / 201)
    assert found[:, 2] == pytest.approx(0.5 / 201)


def test_a_weight_makes_a_label_likelier() -> None:
    features_NF, labels_NC = data()
    plain, weighted = (
        OneVersusRest(MAKE).fit(features_NF, labels_NC, weights).predict_proba(features_NF).mean(0)
        for weights in (None, np.array([1.0, 1.0, 9.0]))
    )
    assert weighted[:2] == pytest.approx(plain[:2])
    assert weighted[2] > plain[2] + 0.03
