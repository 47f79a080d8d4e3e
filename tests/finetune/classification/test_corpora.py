"""Which texts are for training, validation and test, and that they are not the same ones."""

import dataclasses
import json

import pytest

from configs.errors import InputError
from finetune.classification.config import TaskConfig
from finetune.classification.corpora import corpora_of, holds_split, sets_test_aside
from tokenizer.corpus.config import CorpusConfig


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("data/train.jsonl", "data/test.jsonl", "data/train-validation.jsonl", "data/test-hard.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps({"text": name, "label": "a"}))
    (tmp_path / "reviews.csv").write_text("text,label\na,0\nb,1\n")
    (tmp_path / "heldout.csv").write_text("text,label\nc,0\nd,1\n")
    return tmp_path


def task(source, split="train", **changes):
    return TaskConfig(corpus=CorpusConfig(source=source, split=split), **changes)


def read_by(config):
    return {name: (corpus.source, corpus.split) for name, corpus in corpora_of(config).items()}


def test_a_folder_has_its_splits_by_name_alone(folder):
    assert read_by(task("data")) == {"train": ("data", "train"), "test": ("data", "test")}
    from tokenizer.corpus.files import find_files

    for split in ("train", "test"):
        files = find_files(CorpusConfig(source="data", split=split))
        assert files is not None
        assert [file.name for file in files] == [f"{split}.jsonl"], "not train-validation.jsonl"


def test_the_corpus_s_own_split_comes_before_a_folder_that_happens_to_be_there(folder):
    (folder / "test").mkdir()
    (folder / "test" / "train.jsonl").write_text(json.dumps({"text": "e", "label": "a"}))
    assert read_by(task("data"))["test"] == ("data", "test")
    assert read_by(task("stanfordnlp/imdb"))["test"] == ("stanfordnlp/imdb", "test")
    assert read_by(task("sample"))["test"] == ("sample", "test")
    assert read_by(task("data", test="./test"))["test"] == ("./test", "train")


def test_a_file_may_be_tested_with_another(folder):
    assert read_by(task("reviews.csv", test="heldout.csv"))["test"] == ("heldout.csv", "train")


@pytest.mark.parametrize(
    ("source", "changes", "message"),
    [
        ("reviews.csv", {"test": "test"}, "test: 'test' is no file, and corpus.source 'reviews.csv' has no splits"),
        ("*.csv", {"test": "test"}, "test: 'test' is no file, and corpus.source '\\*.csv' has no splits"),
        ("reviews.csv", {"validation": "validation"}, "validation: 'validation' is no file"),
        ("reviews.csv", {"test": "heldot.csv"}, "test: no such file or folder: 'heldot.csv'"),
        ("data", {"test": "heldot.csv"}, "test: no such file or folder: 'heldot.csv'"),
        ("sample", {"test": "heldot.csv"}, "test: no such file or folder: 'heldot.csv'"),
        ("reviews.csv", {"test": "reviews.csv"}, r"test: reads .*reviews\.csv, as train does"),
        ("*.csv", {"test": "heldout.csv"}, r"test: reads .*heldout\.csv, as train does"),
        ("data", {"test": "train"}, r"test: reads .*train\.jsonl, as train does"),
        ("data", {"test": "data/train.jsonl"}, r"test: reads .*train\.jsonl, as train does"),
        ("data", {"validation": "test"}, r"validation: reads .*test\.jsonl, as test does"),
        ("sample", {"test": "train"}, "test: reads split 'train' of 'sample', as train does"),
        ("stanfordnlp/imdb", {"test": "train+test"}, "test: reads split 'train' of 'stanfordnlp/imdb', as train does"),
        ("data", {"validation": "nowhere"}, "corpus.split: 'nowhere' is neither a file nor a folder in data"),
    ],
)
def test_texts_for_two_purposes_are_refused(folder, source, changes, message):
    with pytest.raises(InputError, match=message):
        corpora_of(task(source, **changes))


@pytest.mark.parametrize(
    ("source", "changes", "expected"),
    [
        ("reviews.csv", {}, True),
        ("*.csv", {}, True),
        ("reviews.csv", {"test": "heldout.csv"}, False),
        ("data", {}, False),
        ("sample", {}, False),
        ("stanfordnlp/imdb", {}, False),
    ],
)
def test_a_share_is_set_aside_where_there_is_no_other_test(folder, source, changes, expected):
    config = task(source, **changes)
    assert sets_test_aside(config) == expected
    assert ("test" in corpora_of(config)) != expected


def test_a_folder_without_a_test_split_is_like_one_file(folder):
    (folder / "data" / "test.jsonl").unlink()
    (folder / "data" / "test-hard.jsonl").unlink()
    assert sets_test_aside(task("data"))


def test_beside_a_pattern_a_plain_name_is_a_folder_as_beside_a_file(folder):
    (folder / "later").mkdir()
    (folder / "later" / "train.jsonl").write_text(json.dumps({"text": "e", "label": "a"}))
    for source in ("reviews.csv", "review*.csv"):
        assert read_by(task(source, test="later"))["test"] == ("later", "train")


def test_links_to_the_same_file_are_the_same_file(folder):
    (folder / "other.csv").symlink_to(folder / "reviews.csv")
    with pytest.raises(InputError, match="as train does"):
        corpora_of(task("reviews.csv", test="other.csv"))


@pytest.mark.parametrize("source", ["owner/reviews.csv", "owner/name", "gone.jsonl"])
def test_what_is_called_a_data_set_of_the_hub_is_one_whatever_its_name(folder, source):
    config = TaskConfig(corpus=CorpusConfig(source=source, split="train", format="hub"))
    assert holds_split(config.corpus, "test") is None
    assert not sets_test_aside(config)
    # A file that is there is no data set of the Hub, nor is a pattern.
    for name in ("reviews.csv", "*.csv"):
        assert holds_split(dataclasses.replace(config.corpus, source=name), "test") is False
