"""The token store: what is read back is what was encoded."""

import dataclasses
import functools
import itertools
import json
import math
import shutil
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from configs.errors import InputError
from pretrain.data import encode as encode_module
from pretrain.data import store as store_module
from pretrain.data.config import PreparationConfig
from pretrain.data.store import TokenStore, entropy, prepare, store_folder
from tests.helpers.pretraining import small_corpus, small_tokenizer
from tokenizer.corpus import sentences
from tokenizer.corpus import shards as shards_module
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.documents import read as read_documents
from tokenizer.vocabulary.serialization import load as load_tokenizer


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def tokenizer_folder(shared):
    return small_tokenizer(shared)


def build(folder: Path, source: CorpusConfig, tokenizer_folder: str, labelled: bool = False):
    place = store_folder(source, "tokenizer", str(folder / "runs"), labelled)
    return place, prepare(source, tokenizer_folder, place, labelled)


def write_rows(file: Path, rows: list[dict]) -> CorpusConfig:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return CorpusConfig(source=str(file))


def sentence_ids(store: TokenStore, document: int) -> list[list[int]]:
    first, last = store.document_offsets[document], store.document_offsets[document + 1]
    offsets = store.sentence_offsets[first : last + 1].tolist()
    return [store.tokens(begin, end).tolist() for begin, end in itertools.pairwise(offsets)]


@pytest.mark.parametrize("documents_a_batch", [512, 5])
def test_ids_read_back_equal_those_of_encoding_each_sentence(
    shared, tokenizer_folder, tmp_path, monkeypatch, documents_a_batch
):
    monkeypatch.setattr(encode_module, "DOCUMENTS_PER_BATCH", documents_a_batch)
    source = small_corpus(shared)
    place, store = build(tmp_path, source, tokenizer_folder)
    tokenizer = load_tokenizer(tokenizer_folder)
    expected = [
        [tokenizer(text, add_special_tokens=False)["input_ids"] for text in sentences.split(document.text, source)]
        for document in read_documents(source)
    ]
    assert [sentence_ids(store, number) for number in range(store.document_count)] == expected
    flat = [ids for document in expected for ids in document]
    counts = np.bincount(np.concatenate(flat))
    assert place.result() == {
        "rows": len(expected),
        "empty_rows": 0,
        "other_label_rows": 0,
        "set_aside_rows": 0,
        "documents": len(expected),
        "sentences": len(flat),
        "one_sentence_documents": sum(len(document) == 1 for document in expected),
        "tokens": store.token_count,
        "unigram_entropy": pytest.approx(entropy(counts)),
    }
    assert store.token_count == sum(map(len, flat))


def test_a_span_may_reach_over_the_sentences_of_a_document(shared, tokenizer_folder, tmp_path):
    _, store = build(tmp_path, small_corpus(shared), tokenizer_folder)
    first, last = store.document_offsets[7], store.document_offsets[8]
    whole = store.tokens(int(store.sentence_offsets[first]), int(store.sentence_offsets[last]))
    assert whole.tolist() == [token for ids in sentence_ids(store, 7) for token in ids]


def test_ids_of_a_small_vocabulary_are_kept_in_two_bytes(shared, tokenizer_folder, tmp_path):
    _, store = build(tmp_path, small_corpus(shared), tokenizer_folder)
    assert {buffer.dtype for buffer in store.buffers} == {np.dtype(np.uint16)}
    assert store.tokens(0, 3).base is not None, "a span is a view"


@pytest.mark.parametrize("labels", [(3, 0, 1), ("pos", "neg", "1")])
@pytest.mark.parametrize("documents_a_batch", [512, 2])
def test_labels_and_second_texts_stay_with_their_text(
    tokenizer_folder, tmp_path, monkeypatch, labels, documents_a_batch
):
    monkeypatch.setattr(encode_module, "DOCUMENTS_PER_BATCH", documents_a_batch)
    texts = ["The old rose.", "\u200b", "The boat finds the gull. The gull leaves.", "Bread and salt.", "The oven."]
    seconds = ["A spade.", "The hedge meets the lawn.", "", "The quiet track.", "\u200b"]
    rows = [
        {"text": text, "other": second, "label": labels[number % 3]}
        for number, (text, second) in enumerate(zip(texts, seconds, strict=True))
    ]
    file = write_rows(tmp_path / "pairs.jsonl", rows)
    source = CorpusConfig(source=file.source, second_text_column="other")
    _, store = build(tmp_path, source, tokenizer_folder, labelled=True)
    tokenizer = load_tokenizer(tokenizer_folder)
    encode = [[tokenizer(row[key], add_special_tokens=False)["input_ids"] for key in ("text", "other")] for row in rows]
    assert [sentence_ids(store, number) for number in range(store.document_count)] == encode
    assert store.labels == [row["label"] for row in rows]
    assert [type(label) for label in store.labels] == [type(row["label"]) for row in rows]
    assert store.label_names == {label: str(label) for label in labels}


def test_a_column_of_label_names_is_kept(tokenizer_folder, tmp_path):
    rows = [{"text": "The rose.", "label": 1, "name": "good"}, {"text": "The salt.", "label": 0, "name": "bad"}]
    file = write_rows(tmp_path / "named.jsonl", rows)
    source = CorpusConfig(source=file.source, label_name_column="name")
    _, store = build(tmp_path, source, tokenizer_folder, labelled=True)
    assert (store.labels, store.label_names) == ([1, 0], {1: "good", 0: "bad"})


def test_a_labelled_text_is_one_sentence_and_an_unlabelled_store_has_no_labels(tokenizer_folder, tmp_path):
    source = write_rows(tmp_path / "two.jsonl", [{"text": "The rose.\nThe salt.", "label": "x"}])
    _, labelled = build(tmp_path, source, tokenizer_folder, labelled=True)
    _, plain = build(tmp_path, source, tokenizer_folder)
    assert len(sentence_ids(labelled, 0)) == 1
    assert len(sentence_ids(plain, 0)) == 2
    assert (labelled.labels, plain.labels) == (["x"], [])


def test_sentences_and_documents_without_a_token_are_dropped(tokenizer_folder, tmp_path):
    file = tmp_path / "gaps.txt"
    file.write_text("The rose.\n\u200b\nThe salt.\n\n\u200b\u200b\n\nThe boat.\n", encoding="utf-8")
    place, store = build(tmp_path, CorpusConfig(source=str(file)), tokenizer_folder)
    assert np.diff(store.document_offsets).tolist() == [2, 1]
    assert np.diff(store.sentence_offsets).min() > 0
    assert (place.result()["documents"], place.result()["sentences"]) == (2, 3)


def test_a_corpus_whose_text_leaves_no_token_is_refused(tokenizer_folder, tmp_path):
    file = tmp_path / "invisible.txt"
    file.write_text("\u200b\n\n\u200b\n", encoding="utf-8")
    place = store_folder(CorpusConfig(source=str(file)), "tokenizer", str(tmp_path / "runs"))
    with pytest.raises(InputError, match=r"corpus\.source.*holds no token"):
        prepare(CorpusConfig(source=str(file)), tokenizer_folder, place)
    assert not place.finished


def test_two_that_want_the_same_store_at_once_build_it_once(shared, tokenizer_folder, tmp_path, monkeypatch):
    source, built, found = small_corpus(shared), [], []
    original = store_module._build

    def slow(*arguments):
        built.append(threading.get_ident())
        time.sleep(0.2)
        return original(*arguments)

    monkeypatch.setattr(store_module, "_build", slow)
    place = store_folder(source, "tokenizer", str(tmp_path / "runs"))
    together = threading.Barrier(2)

    def want():
        together.wait()
        found.append(prepare(source, tokenizer_folder, place).token_count)

    threads = [threading.Thread(target=want) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
    assert len(found) == 2
    assert found[0] == found[1] > 0


def test_the_store_of_another_tokenizer_or_of_labels_lies_elsewhere(shared, tmp_path):
    source, runs = small_corpus(shared), str(tmp_path)
    folders = {store_folder(source, name, runs, labelled).path for name in "ab" for labelled in (False, True)}
    assert len(folders) == 4


def test_entropy_of_a_uniform_distribution_is_the_logarithm_of_its_size():
    assert entropy(np.array([5] * 8 + [0])) == pytest.approx(math.log(8))
    assert entropy(np.array([9, 0])) == 0
    assert entropy(np.array([3, 1])) == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))


def many_shards(tmp_path, monkeypatch):
    """A corpus in six shards."""
    rows = [json.dumps({"text": f"The old rose {number}. The boat!\nBread."}) for number in range(60)]
    (tmp_path / "many.jsonl").write_text("\n".join(rows), encoding="utf-8")
    source = CorpusConfig(source=str(tmp_path / "many.jsonl"))
    monkeypatch.setattr(shards_module, "SHARD_BYTES", 500)
    assert len(shards_module.shards(source)) == 6
    return source


def bytes_of(place):
    return {file.name: file.read_bytes() for file in sorted((place.path / "store").iterdir())}


def made(source, tokenizer_folder, runs, **preparation):
    place = store_folder(source, "tokenizer", str(runs))
    prepare(source, tokenizer_folder, place, preparation=PreparationConfig(**preparation))
    return place


def test_the_store_is_the_same_whatever_the_number_of_processes(tokenizer_folder, tmp_path, monkeypatch):
    source = many_shards(tmp_path, monkeypatch)
    one, three = (made(source, tokenizer_folder, tmp_path / str(count), processes=count) for count in (1, 3))
    assert bytes_of(one) == bytes_of(three)
    assert one.result() == three.result()
    assert len(list((one.path / "store").glob("*.arrow"))) == 6
    assert TokenStore.open(one.path / "store").document_count == 60


def test_ray_makes_the_same_store(tokenizer_folder, tmp_path, monkeypatch):
    ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
    source = many_shards(tmp_path, monkeypatch)
    local = made(source, tokenizer_folder, tmp_path / "local", processes=1)
    monkeypatch.setattr(ray, "init", functools.partial(ray.init, num_cpus=2, configure_logging=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Ray's own making
        # As a command does, which starts Ray and sends it the packages; once, it looked for them in the wrong folder.
        distributed = made(source, tokenizer_folder, tmp_path / "distributed", backend="ray")
    assert not ray.is_initialized()
    assert bytes_of(local) == bytes_of(distributed)


def test_an_input_error_of_a_ray_worker_is_one_line(tokenizer_folder, tmp_path, monkeypatch):
    ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
    many_shards(tmp_path, monkeypatch)
    (tmp_path / "tables").mkdir()
    for number in range(3):
        (tmp_path / "tables" / f"{number}.csv").write_text("text,label\nfine,1\n" * 40, encoding="utf-8")
    source = CorpusConfig(source=str(tmp_path / "tables"), split="all", text_column="absent")
    monkeypatch.setattr(shards_module, "describe", lambda corpus: [])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Ray's own making
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
        try:
            with pytest.raises(InputError, match="no column 'absent'") as caught:
                made(source, tokenizer_folder, tmp_path / "ray", backend="ray")
        finally:
            ray.shutdown()
    assert "\n" not in str(caught.value)


def test_ray_that_is_not_installed_is_named(tokenizer_folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"preparation\.backend: ray is not installed"):
        made(many_shards(tmp_path, monkeypatch), tokenizer_folder, tmp_path, backend="ray")


def test_shards_finished_before_a_kill_are_not_encoded_again(tokenizer_folder, tmp_path, monkeypatch):
    source = many_shards(tmp_path, monkeypatch)
    encoded, whole = [], store_module.encode_shard

    def killed_at_the_fourth(task):
        if len(encoded) == 3:
            Path(task.target).with_name(f".{Path(task.target).name}.99").write_bytes(b"half")
            raise KeyboardInterrupt
        encoded.append(task.target)
        return whole(task)

    monkeypatch.setattr(store_module, "encode_shard", killed_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        made(source, tokenizer_folder, tmp_path / "killed", processes=1)
    again = []
    monkeypatch.setattr(store_module, "encode_shard", lambda task: again.append(task.target) or whole(task))
    killed = made(source, tokenizer_folder, tmp_path / "killed", processes=1)
    monkeypatch.setattr(store_module, "encode_shard", whole)
    assert len(again) == 3
    assert not set(again) & set(encoded)
    assert bytes_of(killed) == bytes_of(made(source, tokenizer_folder, tmp_path / "unbroken", processes=1))


@pytest.mark.parametrize("damage", ["torn", "lost", "doubled"])
def test_a_damaged_store_is_told_in_a_line(tokenizer_folder, tmp_path, monkeypatch, damage):
    # Once, a torn shard ended in a traceback, and one of an attempt with other shards doubled the texts.
    source = many_shards(tmp_path, monkeypatch)
    place = made(source, tokenizer_folder, tmp_path, processes=1)
    shard = min((place.path / "store").glob("data-*.arrow"))
    if damage == "torn":
        shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    elif damage == "lost":
        shard.unlink()
    else:
        shutil.copy(shard, shard.with_name("data-00000-of-00099.arrow"))
    with pytest.raises(InputError, match=rf"{place.path}: the token store is damaged \(.*delete the folder"):
        made(source, tokenizer_folder, tmp_path, processes=1)


def test_shards_of_another_number_are_no_part_of_the_store(tokenizer_folder, tmp_path, monkeypatch):
    source = many_shards(tmp_path, monkeypatch)
    place = made(source, tokenizer_folder, tmp_path, processes=1)
    whole = bytes_of(place)
    shard = min((place.path / "store").glob("data-*.arrow"))
    shutil.copy(shard, shard.with_name("data-00000-of-00099.arrow"))
    (place.path / "result.json").unlink()
    assert bytes_of(made(source, tokenizer_folder, tmp_path, processes=1)) == whole


def test_ids_take_two_bytes_and_nothing_else_grows_with_them(tokenizer_folder, tmp_path):
    text = " ".join(["The old rose meets the boat and the small spade"] * 60)
    source = write_rows(tmp_path / "long.jsonl", [{"text": text}] * 200)
    place, store = build(tmp_path, source, tokenizer_folder)
    size = sum(file.stat().st_size for file in (place.path / "store").iterdir())
    assert size <= 2.2 * store.token_count + 4 * (len(store.sentence_offsets) + len(store.document_offsets)) + 4096


def test_a_trial_reads_only_so_many_documents(tokenizer_folder, tmp_path):
    source = write_rows(tmp_path / "many.jsonl", [{"text": "The rose."}] * 30)
    _, store = build(tmp_path, CorpusConfig(source=source.source, maximum_documents=7), tokenizer_folder)
    assert store.document_count == 7


def test_a_share_is_that_of_the_corpus_however_it_is_cut(tokenizer_folder, tmp_path, monkeypatch):
    source = many_shards(tmp_path, monkeypatch)
    half = dataclasses.replace(source, share=0.5)
    _, store = build(tmp_path, half, tokenizer_folder)
    assert store.document_count == len(list(read_documents(half))) < len(list(read_documents(source)))


def test_half_a_character_does_not_end_the_preparation(tokenizer_folder, tmp_path):
    (tmp_path / "half.jsonl").write_text('{"text": "The rose \\ud83d is old."}\n', encoding="utf-8")
    _, store = build(tmp_path, CorpusConfig(source=str(tmp_path / "half.jsonl")), tokenizer_folder)
    assert store.document_count == 1


def test_nothing_is_left_to_do_for_ray_where_every_shard_is_finished(tokenizer_folder, tmp_path, monkeypatch):
    source = many_shards(tmp_path, monkeypatch)
    place = made(source, tokenizer_folder, tmp_path, processes=1)
    before = bytes_of(place)
    (place.path / "result.json").unlink()
    monkeypatch.setitem(sys.modules, "ray", None)
    assert bytes_of(made(source, tokenizer_folder, tmp_path, backend="ray")) == before


def test_a_line_can_be_a_sentence(tokenizer_folder, tmp_path):
    rows = [{"text": "The rose. The boat.\nThe salt."}]
    file = write_rows(tmp_path / "lines.jsonl", rows).source
    _, store = build(tmp_path, CorpusConfig(source=file, sentence_a_line=True), tokenizer_folder)
    assert store.document_offsets.tolist() == [0, 2]


def test_an_error_in_another_process_is_told_as_in_this_one(tokenizer_folder, tmp_path, monkeypatch):
    source = many_shards(tmp_path, monkeypatch)
    with Path(source.source).open("a", encoding="utf-8") as stream:
        stream.write('\n{"text": 3}\n')
    with pytest.raises(InputError, match=r"many\.jsonl:61: column 'text' holds int"):
        made(source, tokenizer_folder, tmp_path, processes=2)


def test_a_store_knows_the_characters_of_each_document_and_the_texts_of_labelled_ones(tmp_path, tokenizer_folder):
    rows: list[dict] = [{"text": "The old boat.  It   leaves!", "label": 1}, {"text": "Café", "label": 0}]
    source = write_rows(tmp_path / "rows.jsonl", rows)
    _, plain = build(tmp_path, source, tokenizer_folder)
    assert plain.characters.tolist() == [len(row["text"]) for row in rows]
    assert plain.texts.column("text").to_pylist() == [None, None]
    _, labelled = build(tmp_path, source, tokenizer_folder, labelled=True)
    assert labelled.texts.to_pylist() == [
        {"text": row["text"], "second_text": None, "file": source.source, "row": number}
        for number, row in enumerate(rows, 1)
    ]
