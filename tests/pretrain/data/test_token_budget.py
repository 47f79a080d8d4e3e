"""Batches of like lengths."""

import numpy as np

from pretrain.data.token_budget import token_budget_batches


def test_evaluation_batches_hold_their_budget_with_padding_and_every_sample_once():
    lengths = np.array([9, 2, 3, 4, 40, 4])
    assert [batch.tolist() for batch in token_budget_batches(lengths, 12)] == [[1, 2, 3], [5], [0], [4]]
    assert token_budget_batches(np.array([], dtype=int), 12) == []
    assert [batch.tolist() for batch in token_budget_batches(np.array([6, 6, 6]), 12)] == [[0, 1], [2]]
