"""Audits: duplicates are counted, leaks found and dropped, and pairs that give themselves away are told on."""

import dataclasses
import json
import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from configs.run_folder import RunFolder
from pretrain.audits import corpus_audit, pair_health
from pretrain.audits import duplicates as duplicates_module
from pretrain.audits.duplicates import duplicates, leaked_documents, shingles
from pretrain.data.config import MaskingConfig, PreparationConfig
from pretrain.data.masked_lm_dataset import MaskedLMSource, PairPlan, TokenLayout
from pretrain.run import run
from pretrain.run_paths import run_folder
from tests.helpers.pretraining import changed, corpus_text, small_run, store_of
from tokenizer.corpus.config import CorpusConfig

VOCABULARY = 500


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("audits")


def store_of_documents(documents):
    """A store of documents given by their ids, a sentence each."""
    return store_of([[len(ids)] for ids in documents], np.concatenate(documents))


def texts(count, rng, length=60):
    return [rng.integers(5, VOCABULARY, length) for _ in range(count)]


# ------------------------------------------------------------------------------------------------ duplicates


def test_exact_and_near_duplicates_are_counted():
    rng = np.random.default_rng(0)
    documents = texts(40, rng)
    near = documents[3].copy()
    near[30] = 1
    other = documents[4].copy()
    other[::7] = 1
    found = duplicates(store_of_documents([*documents, documents[0], documents[1], documents[0], near, other]), 100, 0)
    assert found["exact_duplicates"] == 3
    assert found["exact_duplicate_share"] == 3 / 45
    assert found["compared_documents"] == 45
    assert found["near_duplicates"] == 4, "the exact ones and the one with a word changed; not the one with many"


def test_a_sample_is_compared_where_there_are_more_documents():
    rng = np.random.default_rng(0)
    found = duplicates(store_of_documents([*texts(30, rng)] * 2), 10, 0)
    assert found["compared_documents"] == 10
    assert found["exact_duplicates"] == 30


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=40))
def test_shingles_are_as_many_as_there_are_different_runs_of_five(ids):
    runs = {tuple(ids[place : place + 5]) for place in range(max(1, len(ids) - 4))}
    assert len(shingles(np.array(ids))) == len(runs)


# ------------------------------------------------------------------------------------------------ leakage


def test_test_texts_in_the_corpus_are_found_exactly_and_nearly(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    documents, tests = texts(50, rng), texts(20, rng)
    near = tests[5].copy()
    near[10] = 1
    documents[7], documents[9], documents[30] = tests[2], tests[2], near
    place, test_place = RunFolder(tmp_path / "corpus-1"), RunFolder(tmp_path / "tests-2")
    place.path.mkdir()
    store, test_store = store_of_documents(documents), store_of_documents(tests)
    found = leaked_documents(store, place, test_store, test_place)
    assert found == {
        "test_texts": 20, "exact": [7, 9], "near": [7, 9, 30], "exact_test_texts": 1, "near_test_texts": 2,
    }  # fmt: skip
    assert leaked_documents(None, place, None, test_place) == found, "kept beside the store"  # ty: ignore[invalid-argument-type]
    monkeypatch.setattr(duplicates_module, "THRESHOLD", 0.99)
    assert leaked_documents(store, place, test_store, test_place)["near"] == [7, 9], "not what another threshold found"


def with_leak(folder, **leakage):
    """A run whose corpus holds two of four test texts."""
    blocks = corpus_text().strip().split("\n\n")
    (folder / "tests").mkdir(exist_ok=True)
    lines = [json.dumps({"text": text}) for text in (blocks[3], blocks[20], "Nobody wrote this one here.", "Nor this.")]
    (folder / "tests" / "test.jsonl").write_text("\n".join(lines), encoding="utf-8")
    leakage = {"split": "test", "source": str(folder / "tests")} | leakage
    return small_run(folder, training={"duration": "2 steps"}, leakage=leakage, corpus={"format": "auto"})


def test_leaks_are_reported_by_default_and_dropped_on_request(shared, caplog):
    caplog.set_level(logging.INFO, logger="pretrain")
    kept = run(with_leak(shared))
    found = json.loads((kept.path / "audits.json").read_text())["leakage"]
    assert found == {
        "test_texts": 4, "exact": 2, "near": 2, "exact_test_texts": 2, "near_test_texts": 2, "dropped": False,
    }  # fmt: skip
    assert "leakage: 2 of 4 test texts are in the corpus (2 exactly, the others nearly)" in caplog.text
    dropped = run(with_leak(shared, drop=True))
    assert dropped.path != kept.path
    assert json.loads((dropped.path / "audits.json").read_text())["leakage"]["dropped"]
    assert "these documents are dropped" in caplog.text
    config = with_leak(shared, drop=True)
    assert run_folder(changed(config, leakage={"split": None})).path != run_folder(config).path


def test_dropped_documents_are_in_no_sequence(shared):
    from pretrain.data.store import prepare, store_folder
    from pretrain.run import sources
    from pretrain.run_paths import tokenizer_of
    from tokenizer.vocabulary.serialization import load as load_tokenizer

    config = small_run(shared)
    tokenizer_folder, digest = tokenizer_of(config)
    store = prepare(config.corpus, tokenizer_folder, store_folder(config.corpus, digest, config.runs))
    encoding = TokenLayout.of(load_tokenizer(tokenizer_folder))
    dropped = [0, 3, 20, 47]
    (training,), (held_out,) = sources(config, store, encoding, dropped)
    starts = store.sentence_offsets[store.document_offsets]
    used = set(training.documents.tolist())
    assert isinstance(held_out.plan, PairPlan)
    for name in ("a_begin", "b_begin"):
        used |= set((np.searchsorted(starts, held_out.plan.rows[name], "right") - 1).tolist())
    assert not used & set(dropped)
    assert len(used) == store.document_count - len(dropped)
    with pytest.raises(InputError, match="holds 3 document"):
        sources(config, store, encoding, range(store.document_count - 3))


def test_test_texts_that_are_not_there_are_an_error_before_training(shared):
    with pytest.raises(InputError, match=r"corpus\.split: 'tset' is neither a file nor a folder"):
        run(small_run(shared, leakage={"split": "tset", "source": str(shared)}))


# ------------------------------------------------------------------------------------------------ pairs


def epochs(lengths, ids=None, arrangement="bert"):
    store = store_of(lengths, ids)
    layout = TokenLayout(2, 3, 0, 4, int(store.tokens(0, store.token_count).max()) + 1, np.zeros(9, dtype=bool))
    half = len(lengths) // 2
    source = MaskedLMSource(
        store=store, documents=np.arange(half), layout=layout, masking=MaskingConfig(), sequence_length=64,
        arrangement=arrangement, short_probability=0.1, batch_size=8, seed=0,
    )  # fmt: skip
    other = dataclasses.replace(source, documents=np.arange(half, len(lengths)))
    return source.epoch(0), other.held_out(), store


def test_lengths_that_give_labels_away_are_told_on_and_balance_mends_it():
    # Two short sentences: where B follows A both are short, and where it is random, B goes on for a while.
    rng = np.random.default_rng(0)
    lengths = [[5, 5] if number % 2 else rng.integers(5, 9, 14).tolist() for number in range(800)]
    found = pair_health.health(*epochs(lengths))
    assert found["length_probe"] > found["majority"] + 0.03
    assert any("pairs: balanced" in sentence for sentence in pair_health.advice(found))
    balanced = pair_health.health(*epochs(lengths, arrangement="balanced"))
    assert balanced["random_share"] == 0.5
    assert balanced["length_probe"] < 0.56
    assert not any("pairs: balanced" in sentence for sentence in pair_health.advice(balanced))


def test_shared_words_tell_pairs_where_documents_have_topics():
    rng = np.random.default_rng(0)
    lengths = [[8] * 10 for _ in range(300)]
    topical = np.concatenate(
        [rng.integers(5 + 20 * (number % 10), 25 + 20 * (number % 10), 80) for number in range(300)]
    )
    found = pair_health.health(*epochs(lengths, topical))
    assert found["overlap_probe"] > 0.85
    mixed = pair_health.health(*epochs(lengths, rng.integers(5, 205, 300 * 80)))
    assert mixed["overlap_probe"] < mixed["majority"] + 0.1


def test_documents_of_one_sentence_turn_the_task_off():
    found = pair_health.health(*epochs([[9]] * 60 + [[9, 9]] * 20))
    assert found["one_sentence_share"] == 0.75
    assert any("objective: mlm" in sentence for sentence in pair_health.advice(found))


@pytest.mark.parametrize(
    ("accuracy", "expected"),
    [(0.59, "hardly more than without reading"), (0.65, "shared words alone are right for more"), (0.8, "")],
)
def test_the_model_is_judged_beside_the_probes(accuracy, expected):
    found = {"one_sentence_share": 0.0, "majority": 0.58, "length_probe": 0.58, "overlap_probe": 0.7}
    said = " ".join(pair_health.advice(found, accuracy))
    assert (expected in said) if expected else said == ""


def test_pairs_of_one_label_are_nothing_to_learn_and_not_for_longer_training():
    found = {"one_sentence_share": 0.0, "majority": 1.0, "length_probe": 1.0, "overlap_probe": 1.0}
    (said,) = pair_health.advice(found, 1.0)
    assert "100% of the pairs have one label" in said
    assert "objective: mlm" in said
    assert "train longer" not in said


def test_a_run_keeps_its_audits_and_puts_the_model_beside_the_probes(shared, caplog):
    caplog.set_level(logging.INFO, logger="pretrain")
    folder = run(small_run(shared, training={"duration": "3 steps"}))
    found = json.loads((folder.path / corpus_audit.FILE).read_text())
    assert set(found) == {"corpus", "nsp_health"}
    assert found["corpus"]["documents"] == 48
    assert found["nsp_health"]["model"] == folder.result()["eval_nsp_accuracy"]
    assert isinstance(found["nsp_health"]["advice"], list)
    assert caplog.text.count("next-sentence health:") == 2, "before and after training"
    assert "corpus: 48 documents" in caplog.text


def test_a_run_that_goes_on_does_not_audit_again(shared, monkeypatch, tmp_path):
    config = small_run(shared, training={"duration": "4 steps", "save_every": 2}, runs=str(tmp_path))
    folder = run(config)
    before = (folder.path / corpus_audit.FILE).read_text()
    (folder.path / "result.json").unlink()
    monkeypatch.setattr(corpus_audit, "audit", None)
    run(config)
    assert (folder.path / corpus_audit.FILE).read_text() == before


@pytest.mark.parametrize(
    ("changes", "expected"), [({"objective": "mlm"}, {"corpus"}), ({"audited_documents": 0}, set())]
)
def test_audits_that_do_not_apply_or_are_not_wanted_are_left_out(shared, changes, expected, tmp_path):
    folder = run(small_run(shared, training={"duration": "2 steps"}, runs=str(tmp_path), **changes))
    assert set(json.loads((folder.path / corpus_audit.FILE).read_text())) == expected


# ------------------------------------------------------------------------------------------------ other languages

KOREAN = (
    "영화가 정말 좋았다.",
    "배우도 훌륭했다!",
    "음악은 조금 길었다.",
    "다시 보고 싶은 작품이다.",
    "이야기가 지루했다.",
)
JAPANESE = (
    "映画はとても良かった。",
    "俳優もすばらしい。",
    "音楽は少し長かった。",
    "もう一度見たい作品だ。",
    "話は退屈だった。",
)


@pytest.mark.parametrize(
    ("language", "sentences", "joint", "model"),
    [("ko", KOREAN, " ", "wordpiece"), ("ko", KOREAN, " ", "bpe"), ("ja", JAPANESE, "", "unigram")],
)
def test_a_run_on_korean_and_one_without_spaces_end_well(language, sentences, joint, model, tmp_path):
    from tokenizer import run as tokenizer_train
    from tokenizer.config import TokenizerConfig

    rng = np.random.default_rng(0)
    rows = [json.dumps({"text": joint.join(rng.choice(sentences, rng.integers(2, 7)))}) for _ in range(60)]
    (tmp_path / "texts.jsonl").write_text("\n".join(rows), encoding="utf-8")
    corpus = CorpusConfig(source=str(tmp_path / "texts.jsonl"), language=language)
    trained = tokenizer_train.run(
        TokenizerConfig(corpus=corpus, model=model, vocabulary_size=320, runs=str(tmp_path / "runs"))
    )
    audit = trained.result()
    assert audit["round_trip_rate"] == 1
    assert audit["unknown_rate"] == 0
    assert any("no spaces" in sentence for sentence in audit["advice"]) == (language == "ja")
    base = small_run(tmp_path, training={"duration": "250 steps"}, model={"dropout": 0.0}, masking={"unit": "span"})
    folder = run(changed(base, tokenizer=str(trained.path), corpus=vars(corpus)))
    found = json.loads((folder.path / corpus_audit.FILE).read_text())
    assert found["corpus"]["median_sentences_a_document"] >= 3, "sentences were told apart"
    assert folder.result()["eval_mlm_loss"] < folder.result()["eval_unigram_entropy"]


def test_test_texts_are_read_with_the_pinned_tokenizer(monkeypatch, tmp_path):
    asked = {}

    def prepare(*arguments, **options):
        asked.update(options)
        raise InputError("enough")

    monkeypatch.setattr(corpus_audit, "prepare", prepare)
    corpus = CorpusConfig(source="sample", split="test")
    tests = corpus_audit.TestTexts(corpus, "owner/name", "digest", str(tmp_path), PreparationConfig(), "c" * 40)
    with pytest.raises(InputError, match="enough"):
        corpus_audit.find_leakage(store_of([[3]]), RunFolder(tmp_path), tests)
    assert asked["commit"] == "c" * 40
