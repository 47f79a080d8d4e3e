"""Shards: together they are the corpus, wherever it is cut."""

import json

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from tests.helpers.corpora import write_table
from tokenizer.corpus import shards as shards_module
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.documents import read, read_part
from tokenizer.corpus.shards import boundary, describe, shards
from tokenizer.corpus.text_files import Part


@pytest.fixture
def fine(monkeypatch):
    """Shards of a few bytes."""

    def cut(size):
        monkeypatch.setattr(shards_module, "SHARD_BYTES", size)
        monkeypatch.setattr(shards_module, "MAXIMUM_SHARDS", 1 << 20)

    return cut


def texts_of(corpus):
    return [document.text for document in read(corpus)]


@pytest.mark.parametrize("size", [1, 7, 40, 200, 1 << 20])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_json_lines_are_cut_between_lines(tmp_path, fine, size, encoding):
    expected = [f"Café {'x' * (number % 13)} {number}" for number in range(40)]
    rows = [json.dumps({"text": text}, ensure_ascii=False) for text in expected]
    rows.insert(7, "")
    (tmp_path / "a.jsonl").write_text("\n".join(rows), encoding=encoding)
    fine(size)
    corpus = CorpusConfig(source=str(tmp_path / "a.jsonl"), encoding=encoding)
    assert (len(shards(corpus)) > 1) == (size < 1000)
    assert texts_of(corpus) == expected


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    st.lists(st.lists(st.text("ab é", min_size=1, max_size=9), min_size=1, max_size=4), min_size=1, max_size=9),
    st.sampled_from(["\n\n", "\n \t\n", "\r\n\r\n", "\n\n\n\n"]),
    st.integers(1, 60),
)
def test_blocks_are_cut_at_blank_lines(tmp_path_factory, documents, blank, size):
    file = tmp_path_factory.mktemp("blocks") / "a.txt"
    file.write_bytes(blank.join("\n".join(line + "." for line in lines) for lines in documents).encode())
    with pytest.MonkeyPatch.context() as patch:
        whole = texts_of(CorpusConfig(source=str(file)))
        patch.setattr(shards_module, "SHARD_BYTES", size)
        patch.setattr(shards_module, "MAXIMUM_SHARDS", 1 << 20)
        assert texts_of(CorpusConfig(source=str(file))) == whole
    assert len(whole) == len(documents)


def test_a_row_of_a_later_shard_is_named_by_its_line_in_the_file(tmp_path, fine):
    rows = [json.dumps({"text": "x" * 20}) for _ in range(30)]
    rows[23] = '{"text": 4}'
    (tmp_path / "a.jsonl").write_text("\n".join(rows), encoding="utf-8")
    fine(64)
    with pytest.raises(InputError, match=r"a\.jsonl:24: column 'text' holds int"):
        texts_of(CorpusConfig(source=str(tmp_path / "a.jsonl")))
    (tmp_path / "a.jsonl").write_bytes("\n".join(rows[:23]).encode() + b'\n{"text": "\xff"}\n')
    with pytest.raises(InputError, match=r"a\.jsonl:24: byte 0xff is not utf-8"):
        texts_of(CorpusConfig(source=str(tmp_path / "a.jsonl")))


def test_parquet_is_cut_at_row_groups_and_rows_keep_their_number(tmp_path, fine):
    table = pyarrow.Table.from_pylist([{"text": f"row {number}" if number != 17 else None} for number in range(20)])
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet", row_group_size=6)
    fine(1)
    corpus = CorpusConfig(source=str(tmp_path / "a.parquet"))
    found = shards(corpus)
    assert [(part.begin, part.end) for (part,) in found] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert texts_of(corpus) == [f"row {number}" for number in range(20) if number != 17]
    assert next(iter(read_part(found[3][0], corpus))).location == f"{tmp_path / 'a.parquet'}:row 18"


def test_a_table_and_an_encoding_of_two_bytes_a_line_end_stay_whole(tmp_path, fine):
    fine(1)
    write_table(tmp_path / "a.csv", [{"text": 'one\n"two"\n\nthree'}, {"text": "four"}])
    assert len(shards(CorpusConfig(source=str(tmp_path / "a.csv")))) == 1
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n', encoding="utf-16")
    wide = CorpusConfig(source=str(tmp_path / "a.jsonl"), encoding="utf-16")
    assert len(shards(wide)) == 1
    assert texts_of(wide) == ["one", "two"]


def test_only_the_mark_at_the_beginning_of_a_file_is_none_of_its_text(tmp_path, fine):
    # Found by fuzzing: a line with a byte order mark was lost if a shard happened to begin there.
    (tmp_path / "a.txt").write_text("\ufeffone\n\ufeff\n\ufefftwo\n", encoding="utf-8")
    corpus = CorpusConfig(source=str(tmp_path / "a.txt"), format="lines")
    whole = texts_of(corpus)
    assert whole == ["one", "\ufeff", "\ufefftwo"]
    fine(1)
    assert texts_of(corpus) == whole


def test_small_files_share_a_shard_and_the_number_of_shards_is_bounded(tmp_path, monkeypatch):
    for number in range(50):
        (tmp_path / f"{number:02d}.txt").write_text("x" * 100, encoding="utf-8")
    monkeypatch.setattr(shards_module, "SHARD_BYTES", 250)
    corpus = CorpusConfig(source=str(tmp_path), split="all")
    assert [len(shard) for shard in shards(corpus)] == [3] * 16 + [2]
    monkeypatch.setattr(shards_module, "MAXIMUM_SHARDS", 4)
    assert len(shards(corpus)) == 4


def test_a_hub_data_set_is_cut_between_rows(monkeypatch, fine):
    rows = datasets.Dataset.from_list([{"text": f"row {number}"} for number in range(50)])
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: rows)
    fine(100)
    corpus = CorpusConfig(source="some/set", split="train")
    assert len(shards(corpus)) > 2
    assert texts_of(corpus) == list(rows["text"])


def test_a_trial_is_one_shard(tmp_path, fine):
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n' * 30, encoding="utf-8")
    fine(20)
    assert len(shards(CorpusConfig(source=str(tmp_path / "a.jsonl")))) > 5
    corpus = CorpusConfig(source=str(tmp_path / "a.jsonl"), maximum_documents=9)
    assert len(shards(corpus)) == 1
    assert len(texts_of(corpus)) == 9


def test_a_boundary_across_the_end_of_a_window_is_found(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes(b"x" * ((1 << 16) - 1) + b"\n\ny")
    assert boundary(file, 0, shards_module.BOUNDARIES["blocks"]) == (1 << 16) + 1
    assert boundary(file, 1 << 16, shards_module.BOUNDARIES["blocks"]) == file.stat().st_size


def test_a_part_that_ends_inside_a_file_reads_no_further(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "one"}\n{"text": "two"}\n{"text": "three"}\n', encoding="utf-8")
    part = Part(str(file), "jsonl", 16, 32)
    assert [document.text for document in read_part(part, CorpusConfig(source=str(file)))] == ["two"]


def test_how_files_are_read_is_told_once_a_way(tmp_path):
    for name in ("train-1", "train-2"):
        write_table(tmp_path / f"{name}.csv", [{"text": "Good", "label": "1"}], ";")
    (tmp_path / "train-3.jsonl").write_text('{"text": "x"}\n', encoding="utf-16")
    (tmp_path / "train-4.jsonl").write_text('{"text": "x"}\n', encoding="utf-8")
    assert describe(CorpusConfig(source=str(tmp_path), split="train")) == [
        f"{tmp_path / 'train-1.csv'} and 1 more: 2 columns between ';', quoted, with a header",
        f"{tmp_path / 'train-3.jsonl'}: utf-16",
    ]
    assert describe(CorpusConfig()) == []
