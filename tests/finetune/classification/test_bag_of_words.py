"""The linear baseline: naive Bayes' weights against hand-made numbers, and the choice of features."""

import math

import numpy as np
import pytest
import scipy.sparse

from finetune.classification.bag_of_words import (
    NaiveBayesLogisticRegression,
    log_count_ratios,
    vectorizers,
)


def test_ratios_are_those_of_the_paper_by_hand():
    features = scipy.sparse.csr_matrix(np.array([[1, 0, 1], [1, 1, 0], [0, 1, 0], [0, 1, 1]], dtype=float))
    found = log_count_ratios(features, np.array([True, True, False, False]))
    # Texts of the class: 2, 1, 1 plus one each, of 7; others: 0, 2, 1 plus one each, of 6.
    expected = [math.log((3 / 7) / (1 / 6)), math.log((2 / 7) / (3 / 6)), math.log((2 / 7) / (2 / 6))]
    assert found.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("classes", [2, 3])
def test_it_learns_each_class_and_its_probabilities_add_up(classes):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, 300)
    features = (rng.random((300, 20)) < 0.2).astype(float)
    features[np.arange(300), labels] = 1
    model = NaiveBayesLogisticRegression(10.0, seed=0).fit(scipy.sparse.csr_matrix(features), labels)
    assert len(model.models) == (1 if classes == 2 else classes)
    probabilities = model.predict_proba(scipy.sparse.csr_matrix(features))
    assert probabilities.shape == (300, classes)
    assert np.allclose(probabilities.sum(1), 1)
    assert (probabilities.argmax(1) == labels).mean() > 0.8


def test_pairs_of_words_are_features_and_punctuation_is_a_word():
    found = vectorizers(2)["naive-bayes"].fit(["Not good!"]).get_feature_names_out().tolist()
    assert found == ["!", "good", "good !", "not", "not good"]
    assert vectorizers(1)["tf-idf"].fit(["Not good!"]).get_feature_names_out().tolist() == ["!", "good", "not"]
