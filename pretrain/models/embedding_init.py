"""Word embeddings initialised from the corpus's co-occurrences.

A small BERT on a small budget spends most of it on a plateau at the unigram loss, until its embeddings carry enough
meaning for attention to help. Counting co-occurrences gives that meaning in seconds; the model stays a standard BERT.
docs/diary.md lists what was tried.
"""

import logging
from typing import Any

import numpy as np
import scipy.sparse
import torch

from pretrain.data.randomness import permutation
from pretrain.data.store import TokenStore

log = logging.getLogger(__name__)

WINDOW = 5
TOKENS_PER_BLOCK = 1 << 20
MAXIMUM_TOKENS = 64 << 20
CONTEXT_SMOOTHING = 0.75


def init_from_cooccurrences(model: Any, store: TokenStore, documents: np.ndarray, seed: int) -> None:
    """Set the tied embeddings to PPMI-SVD vectors, and the vocabulary bias to the log frequencies, in place.

    Levy and Goldberg 2014, "Neural word embedding as implicit matrix factorization": the shifted PPMI matrix,
    factorised as U sqrt(S). Rows are scaled to the average norm of random initial rows.

    Args:
        model: a new one of `pretraining_models.py`; changed in place.
        store: the corpus.
        documents: [D], numbers of the training documents; held-out ones are not counted.
        seed: of the randomised SVD and, of a large corpus, of the sample that is counted.
    """
    model_config = model.encoder.config
    vocabulary = model_config.vocab_size
    counts_VV, frequency_V = cooccurrences(store, documents, vocabulary, seed)
    vectors_VH = ppmi_vectors(counts_VV, model_config.hidden_size, seed)
    target_norm = model_config.initializer_range * model_config.hidden_size**0.5
    norms_V = np.linalg.norm(vectors_VH, axis=1)
    seen = norms_V > 1e-6
    with torch.no_grad():
        weight = model.encoder.get_input_embeddings().weight
        rows = vectors_VH[seen] * (target_norm / norms_V[seen, None])
        weight[torch.from_numpy(seen)] = torch.from_numpy(rows).to(weight.dtype)
        smoothed = np.log((frequency_V + 1) / (frequency_V + 1).sum())
        model.vocabulary_bias.copy_(torch.from_numpy(smoothed - smoothed.mean()))
    log.info("embedding init: %d of %d word embeddings from co-occurrences", int(seen.sum()), vocabulary)


def cooccurrences(
    store: TokenStore, documents: np.ndarray, vocabulary: int, seed: int
) -> tuple[scipy.sparse.csr_matrix, np.ndarray]:
    """Symmetric co-occurrence counts [V, V] within `WINDOW` tokens, weighted by 1 / distance, and frequencies [V]."""
    total = scipy.sparse.csr_matrix((vocabulary, vocabulary), dtype=np.float64)
    frequency_V = np.zeros(vocabulary, dtype=np.int64)
    documents = sampled(store, documents, seed)
    block: list[np.ndarray] = []
    size = 0
    # A gap of WINDOW invalid ids separates documents.
    gap = np.full(WINDOW, -1, dtype=np.int64)
    for document in documents:
        first, last = store.document_offsets[document], store.document_offsets[document + 1]
        ids = store.tokens(int(store.sentence_offsets[first]), int(store.sentence_offsets[last]))
        block += [ids.astype(np.int64), gap]
        size += len(ids)
        if size >= TOKENS_PER_BLOCK:
            total += _block_counts(np.concatenate(block), vocabulary, frequency_V)
            block, size = [], 0
    if block:
        total += _block_counts(np.concatenate(block), vocabulary, frequency_V)
    return (total + total.T).tocsr(), frequency_V


def sampled(store: TokenStore, documents: np.ndarray, seed: int) -> np.ndarray:
    """Documents of at most about `MAXIMUM_TOKENS` tokens, drawn at random; all of them, in order, if they are fewer."""
    bounds = store.sentence_offsets[store.document_offsets]
    lengths = (bounds[1:] - bounds[:-1])[documents]
    if lengths.sum() <= MAXIMUM_TOKENS:
        return documents
    order = permutation(len(documents), "co-occurrences", seed)
    count = int(np.searchsorted(np.cumsum(lengths[order]), MAXIMUM_TOKENS)) + 1
    return documents[np.sort(order[:count])]


def _block_counts(ids: np.ndarray, vocabulary: int, frequency_V: np.ndarray) -> scipy.sparse.csr_matrix:
    frequency_V += np.bincount(ids[ids >= 0], minlength=vocabulary)
    counts = scipy.sparse.csr_matrix((vocabulary, vocabulary), dtype=np.float64)
    for distance in range(1, WINDOW + 1):
        left, right = ids[:-distance], ids[distance:]
        valid = (left >= 0) & (right >= 0)
        weights = np.full(int(valid.sum()), 1 / distance)
        counts += scipy.sparse.coo_matrix((weights, (left[valid], right[valid])), shape=counts.shape).tocsr()
    return counts


def ppmi_vectors(counts_VV: scipy.sparse.csr_matrix, width: int, seed: int) -> np.ndarray:
    """U sqrt(S) of the positive pointwise mutual information, [V, width]; rows of unseen tokens are zero."""
    # Two seconds to import, which every pretraining process would wait for.
    from sklearn.utils.extmath import randomized_svd

    pairs = counts_VV.tocoo()
    row_sums = np.asarray(counts_VV.sum(axis=1)).ravel()
    context = row_sums**CONTEXT_SMOOTHING
    context /= context.sum()
    information = np.log(pairs.data / row_sums[pairs.row] / context[pairs.col])
    positive = information > 0
    matrix = scipy.sparse.csr_matrix(
        (information[positive], (pairs.row[positive], pairs.col[positive])), shape=counts_VV.shape
    )
    rank = min(width, counts_VV.shape[0] - 1)
    left_VH, singular_H, _ = randomized_svd(matrix, rank, random_state=seed)
    vectors = np.zeros((counts_VV.shape[0], width))
    vectors[:, :rank] = left_VH * np.sqrt(singular_H)
    return vectors
