"""Word embeddings from co-occurrences."""

import numpy as np
import pytest
import torch

from pretrain.models import embedding_init
from pretrain.models.config import EncoderConfig
from pretrain.models.embedding_init import WINDOW, cooccurrences, init_from_cooccurrences, ppmi_vectors
from pretrain.models.pretraining_models import PairModel
from tests.helpers.pretraining import new_encoder, small_tokenizer, store_of
from tokenizer.vocabulary.serialization import load as load_tokenizer

VOCABULARY = 12


@pytest.fixture
def store():
    rng = np.random.default_rng(0)
    documents = [rng.integers(1, 8, rng.integers(1, 4)).tolist() for _ in range(9)]
    return store_of(documents, rng.integers(0, VOCABULARY - 2, sum(map(sum, documents))).astype(np.uint16))


def document_ids(store, document):
    first, last = store.document_offsets[document], store.document_offsets[document + 1]
    return store.tokens(int(store.sentence_offsets[first]), int(store.sentence_offsets[last])).tolist()


def counted_by_hand(store, documents):
    counts, frequency = np.zeros((VOCABULARY, VOCABULARY)), np.zeros(VOCABULARY, dtype=int)
    for document in documents:
        ids = document_ids(store, document)
        for here, left in enumerate(ids):
            frequency[left] += 1
            for there in range(here + 1, min(here + WINDOW + 1, len(ids))):
                counts[left, ids[there]] += 1 / (there - here)
                counts[ids[there], left] += 1 / (there - here)
    return counts, frequency


@pytest.mark.parametrize("tokens_a_block", [1 << 20, 7])
@pytest.mark.parametrize("documents", [list(range(9)), [1, 4, 5]])
def test_counts_equal_those_of_a_plain_loop_that_stays_within_documents(store, monkeypatch, tokens_a_block, documents):
    monkeypatch.setattr(embedding_init, "TOKENS_PER_BLOCK", tokens_a_block)
    found, frequency = cooccurrences(store, np.array(documents), VOCABULARY, seed=0)
    expected, expected_frequency = counted_by_hand(store, documents)
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-12)
    assert frequency.tolist() == expected_frequency.tolist()


def test_neighbouring_documents_do_not_count_as_neighbours():
    counts, frequency = cooccurrences(
        store_of([[1], [1], [2]], np.array([5, 6, 7, 8])), np.arange(3), VOCABULARY, seed=0
    )
    assert counts.toarray().nonzero()[0].tolist() == [7, 8]
    assert (counts[7, 8], counts[8, 7]) == (1.0, 1.0)
    assert frequency[5:9].tolist() == [1, 1, 1, 1]


def test_of_a_large_corpus_a_sample_is_counted_and_not_its_beginning(store, monkeypatch):
    monkeypatch.setattr(embedding_init, "MAXIMUM_TOKENS", 1)
    counted = {int(cooccurrences(store, np.arange(9), VOCABULARY, seed)[1].sum()) for seed in range(20)}
    lengths = {len(document_ids(store, document)) for document in range(9)}
    assert len(counted) > 2
    assert counted <= lengths, "one document each"
    monkeypatch.setattr(embedding_init, "MAXIMUM_TOKENS", 40)
    documents = embedding_init.sampled(store, np.arange(9), seed=0)
    assert documents.tolist() == sorted(set(documents.tolist()))
    assert sum(len(document_ids(store, document)) for document in documents[:-1]) <= 40


def toy_store():
    """Words 5 and 6 stand among 1 and 2, words 7 and 8 among 3 and 4; 10 and 11 are never used."""
    rng = np.random.default_rng(0)
    documents = []
    for _ in range(400):
        frame, words = ((1, 2), (5, 6)) if rng.random() < 0.5 else ((3, 4), (7, 8))
        documents.append([rng.choice(frame), rng.choice(words), rng.choice(frame)])
    return store_of([[3]] * 400, np.array(documents).ravel())


def test_words_with_the_same_neighbours_come_close_together():
    counts, _ = cooccurrences(toy_store(), np.arange(400), VOCABULARY, seed=0)
    vectors = ppmi_vectors(counts, 6, seed=0)
    length = np.linalg.norm(vectors, axis=1)
    assert vectors.shape == (VOCABULARY, 6)

    def cosine(left, right):
        return vectors[left] @ vectors[right] / length[left] / length[right]

    assert cosine(5, 6) > 0.9
    assert cosine(7, 8) > 0.9
    assert abs(cosine(5, 7)) < 0.1
    assert abs(cosine(6, 8)) < 0.1
    assert length[[0, 9, 10, 11]].max() < 1e-6, "never seen"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return load_tokenizer(small_tokenizer(tmp_path_factory.mktemp("start")))


def test_rows_never_seen_keep_their_random_start_and_the_others_their_length(tokenizer):
    config = EncoderConfig(layers=1, hidden_size=16, heads=1, maximum_positions=32)
    bert, untouched = new_encoder(config, tokenizer, 0), new_encoder(config, tokenizer, 0)
    init_from_cooccurrences(PairModel(bert), toy_store(), np.arange(400), seed=0)
    rows, before = bert.bert.embeddings.word_embeddings.weight, untouched.bert.embeddings.word_embeddings.weight
    seen = list(range(1, 9))
    unseen = [0, *range(9, len(tokenizer))]
    assert torch.equal(rows[unseen], before[unseen])
    expected = torch.full((8,), 0.02 * 16**0.5)
    torch.testing.assert_close(rows[seen].detach().norm(dim=1), expected)
    assert bert.cls.predictions.decoder.weight is rows, "still tied"
    for name, parameter in bert.named_parameters():
        if name not in ("bert.embeddings.word_embeddings.weight", "cls.predictions.bias"):
            assert torch.equal(parameter, untouched.get_parameter(name)), name


def test_words_of_held_out_documents_alone_keep_their_random_start(tokenizer):
    config = EncoderConfig(layers=1, hidden_size=16, heads=1, maximum_positions=32)
    bert, untouched = new_encoder(config, tokenizer, 0), new_encoder(config, tokenizer, 0)
    store = store_of([[4], [4], [4]], np.array([5, 6, 5, 6, 7, 8, 7, 8, 5, 9, 5, 9]))
    init_from_cooccurrences(PairModel(bert), store, np.array([0, 2]), seed=0)
    rows, before = bert.bert.embeddings.word_embeddings.weight, untouched.bert.embeddings.word_embeddings.weight
    assert torch.equal(rows[[7, 8]], before[[7, 8]])
    assert not torch.equal(rows[5], before[5])


def test_the_vocabulary_bias_is_the_smoothed_log_frequency(tokenizer):
    bert = new_encoder(EncoderConfig(layers=1, hidden_size=16, heads=1, maximum_positions=32), tokenizer, 0)
    store = toy_store()
    init_from_cooccurrences(PairModel(bert), store, np.arange(400), seed=0)
    bias = bert.cls.predictions.bias.detach().double().numpy()
    frequency = np.bincount(store.tokens(0, store.token_count), minlength=len(tokenizer)) + 1
    expected = np.log(frequency / frequency.sum())
    np.testing.assert_allclose(bias, expected - expected.mean(), atol=1e-5)


def test_the_same_seed_gives_the_same_vectors(tokenizer):
    config = EncoderConfig(layers=1, hidden_size=16, heads=1, maximum_positions=32)
    weights = []
    for _ in range(2):
        bert = new_encoder(config, tokenizer, 0)
        init_from_cooccurrences(PairModel(bert), toy_store(), np.arange(400), seed=3)
        weights.append(bert.bert.embeddings.word_embeddings.weight)
    assert torch.equal(*weights)
