"""One corpus in every format, and what each kind of bad input is told."""

import dataclasses
import shutil
import signal

import datasets
import numpy as np
import pytest
from datasets.exceptions import DatasetGenerationError, DatasetNotFoundError

from configs import file_digest
from configs.errors import InputError
from configs.fields import digested
from tests.helpers.corpora import (
    ROWS,
    WITH_LABELS,
    WRITERS,
    pairs,
    refusal,
    texts,
    write_jsonl,
    write_labelled_folders,
    write_table,
)
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.documents import clean_html, read
from tokenizer.corpus.quarantine import Quarantine, RowError, clean
from tokenizer.corpus.shards import fingerprint


@pytest.mark.parametrize("name", WRITERS)
def test_same_documents_from_each_kind_of_file(tmp_path, name):
    file = WRITERS[name](tmp_path / name, ROWS)
    assert pairs(source=str(file)) == [(row["text"], row["label"]) for row in ROWS]
    assert texts(source=str(file)) == [row["text"] for row in ROWS]


def test_same_documents_from_labelled_folders(tmp_path):
    write_labelled_folders(tmp_path / "aclImdb" / "train", ROWS)
    assert sorted(pairs(source=str(tmp_path / "aclImdb"), split="train")) == WITH_LABELS


def test_labels_filter_passes_over_the_rest_of_aclimdb(tmp_path):
    train = write_labelled_folders(tmp_path / "train", [*ROWS, {"text": "Unrated.", "label": "unsup"}])
    (train / "urls_pos.txt").write_text("http://example.org/1\n")
    keys = {"source": str(tmp_path), "split": "train", "labels": ["neg", "pos"]}
    assert sorted(pairs(**keys)) == WITH_LABELS
    assert sorted(texts(**keys)) == [text for text, _ in WITH_LABELS]


def test_labels_filter_takes_numbers_too(tmp_path):
    file = write_jsonl(tmp_path / "a.jsonl", [{"text": f"t{label}", "label": label} for label in (0, 1, 2, 1)])
    assert pairs(source=str(file), labels=["1", "2"]) == [("t1", 1), ("t2", 2), ("t1", 1)]


def test_labels_filter_takes_each_spelling_that_is_one_class(tmp_path):
    labels = ["Good", "good ", " BAD", "meh", "5", "5.0"]
    file = write_jsonl(tmp_path / "a.jsonl", [{"text": f"t{label}", "label": label} for label in labels])
    assert [label for _, label in pairs(source=str(file), labels=["good", "bad"])] == ["Good", "good", "BAD"]
    assert [label for _, label in pairs(source=str(file), labels=["5"])] == ["5", "5.0"]


def test_what_the_labels_filter_leaves_out_is_told_and_counted_apart_from_empty_rows(tmp_path, caplog):
    rows = [("t", "good"), ("", "meh"), ("u", "meh"), ("", "good"), ("w", "bad")]
    file = write_jsonl(tmp_path / "a.jsonl", [{"text": text, "label": label} for text, label in rows])
    quarantine = Quarantine(0.5)
    found = read(CorpusConfig(source=str(file), labels=["good"]), quarantine=quarantine)
    assert [document.text for document in found] == ["t"]
    caplog.set_level("INFO", "tokenizer")
    quarantine.write_and_log(tmp_path / "quarantine.jsonl")
    assert "3 of 5 rows are left out for their labels (`labels`)" in caplog.text
    counts = {"rows": 5, "empty_rows": 1, "other_label_rows": 3, "set_aside_rows": 0}
    assert quarantine.counts() == counts
    again = Quarantine(0.5)
    again.merge(tmp_path / "quarantine.jsonl")
    assert again.counts() == counts
    with pytest.raises(InputError, match="holds no document with any text and one of the labels so, no; 5 have others"):
        pairs(source=str(file), labels=["so", "no"])


def test_lone_text_file_holds_blocks(tmp_path):
    file = tmp_path / "reviews.txt"
    file.write_text("\n\n" + "\n\n \n".join(row["text"] for row in ROWS) + "\n\n", encoding="utf-8")
    documents = list(read(CorpusConfig(source=str(file))))
    assert [document.text.strip() for document in documents] == [row["text"] for row in ROWS]
    assert [str(document.location) for document in documents] == [f"{file}:{line}" for line in (3, 7, 10)]


def test_windows_line_ends_make_blocks_too(tmp_path):
    file = tmp_path / "reviews.txt"
    file.write_bytes(b"one\r\ntwo\r\n\r\nthree\r\n")
    assert texts(source=str(file)) == ["one\ntwo\n", "three\n"]


def test_format_overrides_the_ending(tmp_path):
    file = write_jsonl(tmp_path / "reviews.data", ROWS)
    assert pairs(source=str(file), format="jsonl") == [(row["text"], row["label"]) for row in ROWS]
    lone = tmp_path / "whole.txt"
    lone.write_text("one\n\ntwo\n")
    assert texts(source=str(lone), format="text") == ["one\n\ntwo\n"]


def test_glob_reads_files_in_order(tmp_path):
    for number in (2, 0, 1):
        write_jsonl(tmp_path / f"part-{number}.jsonl", [ROWS[number]])
    (tmp_path / "notes.md").write_text("not a document")
    assert texts(source=str(tmp_path / "part-*.jsonl")) == [row["text"] for row in ROWS]


def test_relative_recursive_glob(tmp_path, monkeypatch):
    write_labelled_folders(tmp_path / "data", ROWS)
    monkeypatch.chdir(tmp_path)
    assert sorted(pairs(source="data/**/*.txt")) == WITH_LABELS


def test_split_of_a_folder_names_files_and_folders(tmp_path):
    write_jsonl(tmp_path / "train-00000-of-00002.jsonl", ROWS[:1])
    write_jsonl(tmp_path / "train-00001-of-00002.jsonl", ROWS[1:2])
    (tmp_path / "test").mkdir()
    write_table(tmp_path / "test" / "any.csv", ROWS[2:])
    write_jsonl(tmp_path / "training.jsonl", [{"text": "another split"}])
    assert texts(source=str(tmp_path), split="train") == [row["text"] for row in ROWS[:2]]
    assert texts(source=str(tmp_path), split="test") == [ROWS[2]["text"]]
    assert texts(source=str(tmp_path), split="train+test") == [row["text"] for row in ROWS]
    assert len(texts(source=str(tmp_path), split="all")) == 4


def test_missing_split_lists_what_is_there(tmp_path):
    write_jsonl(tmp_path / "train.jsonl", ROWS)
    message = refusal(source=str(tmp_path), split="trian")
    assert message.startswith("corpus.split: 'trian'")
    assert "train.jsonl" in message
    assert str(tmp_path) in message


def test_columns_can_be_named(tmp_path):
    rows = [{"review": "Good.", "reply": "Thanks.", "stars": 1, "meaning": "positive"}]
    keys = {"text_column": "review", "second_text_column": "reply", "label_column": "stars"}
    keys["label_name_column"] = "meaning"
    for name in ("rows.jsonl", "rows.parquet"):
        corpus = dataclasses.replace(CorpusConfig(source=str(WRITERS[name](tmp_path / name, rows))), **keys)
        (document,) = read(corpus, labelled=True)
        assert document[:4] == ("Good.", "Thanks.", 1, "positive")


def test_labels_are_not_read_unless_asked_for(tmp_path):
    file = write_jsonl(tmp_path / "a.jsonl", [{"text": "No label here."}])
    (document,) = read(CorpusConfig(source=str(file), label_name_column="absent"))
    assert (document.label, document.label_name) == (None, None)


@pytest.mark.parametrize(("value", "label"), [(" pos ", "pos"), (3, 3), (3.0, 3), (0, 0)])
def test_labels_are_tidied(tmp_path, value, label):
    file = write_jsonl(tmp_path / "a.jsonl", [{"text": "x", "label": value}])
    assert pairs(source=str(file)) == [("x", label)]


def test_html_is_cleaned_unless_told_otherwise(tmp_path):
    file = write_jsonl(tmp_path / "a.jsonl", [{"text": "Bad.<br /><BR>Tom &amp; Ann <p class='x'>said: 1 < 2 &lt;3"}])
    assert texts(source=str(file)) == ["Bad.\n\nTom & Ann \nsaid: 1 < 2 <3"]
    assert texts(source=str(file), clean_html=False) == ["Bad.<br /><BR>Tom &amp; Ann <p class='x'>said: 1 < 2 &lt;3"]


def test_html_cleaning_leaves_other_angle_brackets():
    assert clean_html("<brilliant> and <b>bold</b> </p>") == "<brilliant> and <b>bold</b> \n"


@pytest.mark.parametrize(
    ("cleaned", "text"),
    [
        (clean_html, "<" + " " * 100_000 + "x"),
        (clean_html, "<" + " " * 50_000 + "/" + " " * 50_000 + "x"),
        (clean_html, "< p" * 33_000),
        (clean, "a" * 10_000 + (" " + "a" * 10_000) * 99),
    ],
)
def test_time_of_cleaning_is_linear(cleaned, text):
    # Milliseconds of the processor, where quadratic time takes minutes: patterns heed signals.
    def too_long(number, frame):
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, too_long)
    signal.setitimer(signal.ITIMER_VIRTUAL, 10)
    try:
        assert cleaned(text) == text
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def test_number_of_a_character_with_thousands_of_digits_is_told():
    with pytest.raises(RowError, match="digits"):
        clean_html(f"&#{'1' * 5000};")


def test_maximum_documents_counts_documents_kept(tmp_path):
    file = write_jsonl(tmp_path / "a.jsonl", [{"text": " "}, *ROWS])
    assert texts(source=str(file), maximum_documents=2) == [row["text"] for row in ROWS[:2]]


def test_maximum_documents_stops_before_what_follows(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "one"}\nbroken\n')
    assert texts(source=str(file), maximum_documents=1) == ["one"]


def test_a_share_is_taken_from_all_over_the_corpus_and_smaller_ones_are_parts_of_larger_ones(tmp_path):
    # In the order of their labels, as some data sets are.
    rows = [{"text": f"Review {number} is here.", "label": number // 500} for number in range(1000)]
    source = str(write_jsonl(tmp_path / "a.jsonl", rows))
    whole, half, quarter = (pairs(source=source, share=share) for share in (1.0, 0.5, 0.25))
    assert whole == [(row["text"], row["label"]) for row in rows]
    assert len(half) == pytest.approx(500, abs=50)
    assert len(quarter) == pytest.approx(250, abs=45)
    assert {*quarter} < {*half} < {*whole}
    for part in (half, quarter):
        assert np.mean([label for _, label in part]) == pytest.approx(0.5, abs=0.1)
        assert part == [row for row in whole if row in part]
    # Of the first documents, where only these are read.
    assert pairs(source=source, share=0.5, maximum_documents=200) == [row for row in whole[:200] if row in half]
    with pytest.raises(InputError, match=r"no document with any text in its share \(`corpus\.share: 0\.0001`\)"):
        texts(source=source, share=0.0001, maximum_documents=2)


def test_a_share_of_all_is_the_run_that_it_was():
    assert "share" not in digested(CorpusConfig())
    assert digested(CorpusConfig(share=0.5))["share"] == 0.5


def test_sample_is_read_as_a_corpus():
    keys = {"source": "sample", "maximum_documents": 20}
    assert {label for _, label in pairs(split="train", **keys)} == {"negative", "positive"}
    assert len(set(texts(split="unlabelled", **keys))) == 20


def test_fingerprint_depends_on_content(tmp_path):
    file = write_jsonl(tmp_path / "a.jsonl", ROWS)
    before = fingerprint(CorpusConfig(source=str(file)))
    assert before == fingerprint(CorpusConfig(source=str(file)))
    assert len(before) == 10
    write_jsonl(file, ROWS[:2])
    assert fingerprint(CorpusConfig(source=str(file))) != before


def test_fingerprint_sees_a_change_of_the_same_length(tmp_path):
    file = tmp_path / "a.txt"
    prints = set()
    for content in ("good", "grim"):
        file.write_text(content)
        prints.add(fingerprint(CorpusConfig(source=str(file))))
    assert len(prints) == 2


def test_fingerprint_sees_every_byte_of_a_large_file(tmp_path):
    file = tmp_path / "a.txt"
    size = 3 << 20
    prints = set()
    for position in (0, size - 1, (1 << 20) + 7, size // 2):
        content = bytearray(b"a" * size)
        content[position] = ord("b")
        file.write_bytes(content)
        prints.add(fingerprint(CorpusConfig(source=str(file))))
    assert len(prints) == 4


@pytest.mark.parametrize("size", [(1 << 20) + 5, 2 << 20])
def test_fingerprint_of_a_file_of_middle_size_sees_every_byte(tmp_path, size):
    file = tmp_path / "a.txt"
    prints = set()
    for position in (0, (1 << 20) - 1, 1 << 20, size - 1):
        content = bytearray(b"a" * size)
        content[position] = ord("b")
        file.write_bytes(content)
        prints.add(fingerprint(CorpusConfig(source=str(file))))
    assert len(prints) == 4


def test_fingerprint_reads_a_file_once_a_process_while_it_does_not_change(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(name, encoding="utf-8")
    read, corpus = [], CorpusConfig(source=str(tmp_path), split="all")
    content = file_digest.content
    monkeypatch.setattr(file_digest, "content", lambda file: read.append(file.name) or content(file))
    # A file that was changed just now may change again unseen.
    assert len({fingerprint(corpus), fingerprint(corpus)}) == 1
    assert read == ["a.txt", "b.txt"] * 2
    monkeypatch.setattr(file_digest, "SETTLED_NS", 0)
    before = {fingerprint(corpus), fingerprint(corpus)}
    assert len(before) == 1
    assert read == ["a.txt", "b.txt"] * 3
    (tmp_path / "a.txt").write_text("another", encoding="utf-8")
    assert fingerprint(corpus) not in before


def test_fingerprint_of_a_file_ignores_its_path(tmp_path, monkeypatch):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write_jsonl(tmp_path / folder / "a.jsonl", ROWS)
    absolute = fingerprint(CorpusConfig(source=str(tmp_path / "one" / "a.jsonl")))
    assert fingerprint(CorpusConfig(source=str(tmp_path / "two" / "a.jsonl"))) == absolute
    monkeypatch.chdir(tmp_path / "two")
    assert fingerprint(CorpusConfig(source="a.jsonl")) == absolute


def test_fingerprint_of_a_labelled_folder_ignores_its_path(tmp_path):
    write_labelled_folders(tmp_path / "one" / "train", ROWS)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    one, two = (fingerprint(CorpusConfig(source=str(tmp_path / name), split="train")) for name in ("one", "two"))
    assert one == two


def test_fingerprint_of_a_folder_of_parts_ignores_its_path(tmp_path):
    (tmp_path / "one").mkdir()
    for number in range(2):
        write_jsonl(tmp_path / "one" / f"train-{number}.jsonl", ROWS)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    one, two = (fingerprint(CorpusConfig(source=str(tmp_path / name), split="train")) for name in ("one", "two"))
    assert one == two


def test_fingerprint_sees_a_document_change_its_label(tmp_path):
    write_labelled_folders(tmp_path / "one" / "train", ROWS)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    (tmp_path / "two" / "train" / "pos" / "0_7.txt").rename(tmp_path / "two" / "train" / "neg" / "0_7.txt")
    one, two = (fingerprint(CorpusConfig(source=str(tmp_path / name), split="train")) for name in ("one", "two"))
    assert one != two


def test_hub_data_set_is_read_by_its_splits(monkeypatch):
    asked = []

    def load_dataset(identifier, subset, split, revision):
        asked.append((identifier, subset, split))
        assert revision is None, "offline, and nothing is cached"
        return datasets.Dataset.from_list([{"sentence": f"From {split}.", "label": 1}])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    corpus = CorpusConfig(source="nyu-mll/glue", subset="sst2", split="train+test", text_column="sentence")
    documents = list(read(corpus, labelled=True))
    assert [(document.text, document.label) for document in documents] == [("From train.", 1), ("From test.", 1)]
    assert documents[1].location == "nyu-mll/glue test:row 0"
    assert set(asked) == {("nyu-mll/glue", "sst2", "train"), ("nyu-mll/glue", "sst2", "test")}


def test_hub_data_set_without_an_owner_needs_the_format(monkeypatch):
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: datasets.Dataset.from_list([{"text": "x"}]))
    assert texts(source="imdb", format="hub", split="train") == ["x"]
    assert refusal(source="imdb", split="train").startswith("corpus.source: no such file or folder: 'imdb'")


@pytest.mark.parametrize(
    "error",
    [
        DatasetNotFoundError("Dataset 'no/such'\ndoesn't exist on the Hub"),
        ValueError('Unknown split "trian".\nShould be one of [train]'),
        ConnectionError("Couldn't reach\nthe Hub"),
        DatasetGenerationError("An error occurred\nwhile generating the dataset"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_error_of_the_hub_becomes_one_line(monkeypatch, error):
    def load_dataset(*_, **__):
        raise error

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    message = refusal(source="no/such", split="trian")
    assert message.startswith(
        "corpus.source: 'no/such' is not a local file or folder and cannot be loaded from the Hub"
    )
    assert "(split 'trian')" in message
    assert " ".join(str(error).split()) in message


def test_fingerprint_of_a_hub_data_set_asks_nobody(monkeypatch):
    monkeypatch.delattr(datasets, "load_dataset")
    one = fingerprint(CorpusConfig(source="some/set"))
    assert one != fingerprint(CorpusConfig(source="other/set"))
