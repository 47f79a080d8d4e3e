"""Which files are read, compressed ones and those that have no ending, and what is said of the others."""

import bz2
import gzip
import json
import lzma
import os

import pyarrow
import pytest

from tests.helpers.corpora import ROWS, WITH_LABELS, pairs, refusal, texts, write_jsonl, write_parquet, write_table
from tokenizer.corpus import text_files
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.files import OLE
from tokenizer.corpus.shards import describe, shards


def compressed(ending: str, data: bytes) -> bytes:
    if ending == ".zst":
        return pyarrow.compress(data, codec="zstd", asbytes=True)
    return {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}[ending](data)


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst"])
@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_a_compressed_file_is_read_as_the_file_itself(tmp_path, name, ending):
    plain = (write_table if name == "rows.csv" else write_jsonl)(tmp_path / name, ROWS)
    (tmp_path / "train").mkdir()
    file = tmp_path / "train" / f"{name}{ending}"
    file.write_bytes(compressed(ending, plain.read_bytes()))
    assert sorted(pairs(source=str(file))) == WITH_LABELS
    assert sorted(pairs(source=str(tmp_path), split="train")) == WITH_LABELS
    # The content decides, whatever the file is called.
    (tmp_path / "train" / name).write_bytes(file.read_bytes())
    assert sorted(pairs(source=str(tmp_path / "train" / name))) == WITH_LABELS


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst"])
def test_a_damaged_compressed_file_and_a_bomb_are_refused_in_one_line(tmp_path, monkeypatch, ending):
    file = tmp_path / f"a.jsonl{ending}"
    data = b"".join(b'{"text": "%d %d"}\n' % (number, number**3) for number in range(3000))
    packed = compressed(ending, data)
    file.write_bytes(packed[: len(packed) // 2])
    assert str(file) in refusal(source=str(file))
    file.write_bytes(packed)
    assert len(texts(source=str(file))) == 3000
    monkeypatch.setattr(text_files, "ALWAYS_ALLOWED_BYTES", 1000)
    monkeypatch.setattr(text_files, "MAXIMUM_GROWTH", 2)
    assert refusal(source=str(file)).startswith(f"{file}: more than ")


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(ROWS),
        json.dumps(ROWS, indent=2),
        json.dumps({"data": ROWS}, indent=1),
        json.dumps({"data": ROWS}),
        "\n".join(json.dumps(row, indent=4) for row in ROWS),
        "\n".join(json.dumps(row) for row in ROWS),
        "\ufeff" + json.dumps(ROWS),
    ],
)
def test_json_is_read_as_people_write_it(tmp_path, content):
    file = tmp_path / "rows.json"
    file.write_text(content, encoding="utf-8")
    assert sorted(pairs(source=str(file))) == WITH_LABELS


def test_json_that_is_cut_off_names_file_and_line(tmp_path):
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(ROWS, indent=2)[:-5], encoding="utf-8")
    assert refusal(source=str(file)).startswith(f"{file}:")
    file.write_text('[{"text": "a"}, {"note": "b"}]', encoding="utf-8")
    assert texts(source=str(file), maximum_set_aside=0.5) == ["a"]
    file.write_text('[{"text": "a"}, 7]', encoding="utf-8")
    assert refusal(source=str(file)).startswith(f"{file}:row 2: expected a JSON object, found int")


def test_a_document_a_line(tmp_path, monkeypatch):
    file = tmp_path / "notes.txt"
    file.write_text("one\n\ntwo, still two\r\nthree", encoding="utf-8", newline="")
    assert texts(source=str(file), format="lines") == ["one", "two, still two", "three"]
    monkeypatch.setattr("tokenizer.corpus.shards.SHARD_BYTES", 4)
    assert len(shards(CorpusConfig(source=str(file), format="lines"))) > 1
    assert texts(source=str(file), format="lines") == ["one", "two, still two", "three"]


def test_files_without_an_ending_are_read_where_the_format_is_given(tmp_path):
    for label, number in (("sci.space", "59497"), ("rec.autos", "102994")):
        folder = tmp_path / "train" / label
        folder.mkdir(parents=True)
        (folder / number).write_text(f"About {label}", encoding="utf-8")
    assert pairs(source=str(tmp_path), split="train", format="text") == [
        ("About rec.autos", "rec.autos"),
        ("About sci.space", "sci.space"),
    ]
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / "part-00000").write_text('{"text": "x"}\n')
    (parts / "part-00001.gz").write_bytes(gzip.compress(b'{"text": "y"}\n'))
    (parts / "_SUCCESS").write_text("")
    assert texts(source=str(tmp_path), split="parts", format="jsonl") == ["x", "y"]


def test_junk_is_left_out_and_what_is_not_read_is_told(tmp_path):
    folder = tmp_path / "train"
    (folder / ".ipynb_checkpoints").mkdir(parents=True)
    write_jsonl(folder / "a.jsonl", ROWS[:1])
    write_jsonl(folder / "._a.jsonl", ROWS)
    write_jsonl(folder / ".ipynb_checkpoints" / "a-checkpoint.jsonl", ROWS)
    (folder / "_SUCCESS").write_text("")
    (folder / "notes.docx").write_text("x")
    corpus = CorpusConfig(source=str(tmp_path), split="train")
    assert texts(source=str(tmp_path), split="train") == [ROWS[0]["text"]]
    assert describe(corpus) == [f"{folder}: 1 file(s) not read: notes.docx"]


def test_a_linked_folder_is_a_class_too_and_a_loop_ends(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "1.txt").write_text("Bad")
    (tmp_path / "data" / "train" / "pos").mkdir(parents=True)
    (tmp_path / "data" / "train" / "pos" / "1.txt").write_text("Good")
    (tmp_path / "data" / "train" / "neg").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(tmp_path / "data" / "train")
    assert sorted(pairs(source=str(tmp_path / "data"), split="train")) == [("Bad", "neg"), ("Good", "pos")]


def test_a_link_to_nowhere_is_named(tmp_path):
    (tmp_path / "train").mkdir()
    write_parquet(tmp_path / "train" / "a.parquet", ROWS)
    (tmp_path / "train" / "b.parquet").symlink_to(tmp_path / "gone")
    message = refusal(source=str(tmp_path), split="train")
    assert message == f"{tmp_path / 'train' / 'b.parquet'}: a link to {tmp_path / 'gone'}, which does not exist"


@pytest.mark.parametrize("source", ["gone.csv", "gone/*.csv"])
def test_a_relative_path_that_is_not_there_names_the_folder(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    assert refusal(source=source).endswith(f"{source!r} in {tmp_path}")


def test_a_missing_shard_and_other_splits_are_told(tmp_path):
    # Once, half of the rows were gone without a word.
    for name in (
        "train-00000-of-00003.jsonl",
        "train-00002-of-00003.jsonl",
        "test.jsonl",
        "notes.pdf",
        "README.md",
        "_SUCCESS",
    ):
        (tmp_path / name).write_text('{"text": "Fine."}\n', encoding="utf-8")
    assert describe(CorpusConfig(source=str(tmp_path), split="train")) == [
        f"{tmp_path}: train-00001-of-00003.jsonl is missing: 2 of 3 files are there",
        f"{tmp_path}: beside 'train' there are notes.pdf, test.jsonl",
    ]
    pattern = str(tmp_path / "train-*")
    assert describe(CorpusConfig(source=pattern)) == [
        f"{tmp_path}: train-00001-of-00003.jsonl is missing: 2 of 3 files are there"
    ]
    assert describe(CorpusConfig(source=str(tmp_path), split="train+test"))[1:] == [
        f"{tmp_path}: beside 'train+test' there are notes.pdf"
    ]


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("reviews.xlsx", b"PK\x03\x04", "an Excel"),
        ("old.XLS", OLE, "an Excel"),
        ("sheet.ods", b"PK\x03\x04", "an OpenDocument"),
        ("renamed.csv", b"PK\x03\x04" + bytes(26) + b"[Content_Types].xml", "an Excel"),
        ("renamed.tsv", OLE, "an Excel"),
        ("packed.csv", b"PK\x03\x04", None),
    ],
)
def test_a_workbook_is_no_archive_to_unpack(tmp_path, name, content, kind):
    (tmp_path / name).write_bytes(content)
    message = refusal(source=str(tmp_path / name))
    wanted = f"{kind} workbook; save its sheet as CSV UTF-8" if kind else "a zip archive; unpack it"
    assert message.startswith(f"{tmp_path / name}: {wanted}")


def test_a_folder_without_files_of_a_known_ending_says_what_it_has(tmp_path):
    assert refusal(source=str(tmp_path), split="all") == f"corpus.source: there is no file in {tmp_path}"
    for name in ("a.xlsx", "b.xlsx", "notes"):
        (tmp_path / name).write_text("a text")
    message = refusal(source=str(tmp_path), split="all")
    assert "(.csv .json .jsonl .ndjson .parquet .tsv .txt); it has: 2 .xlsx, 1 without an ending; set corpus" in message
    assert message.endswith("; save the sheets of workbooks as CSV UTF-8")
    assert "corpus.split: 'train' is neither" in refusal(source=str(tmp_path), split="train")


@pytest.mark.parametrize(
    "table",
    [
        {"text": {"0": "a", "1": "b"}, "label": {"0": 1, "1": 0}},
        {"text": ["a", "b"], "label": [1, 0]},
        {"text": ["a", "b"]},
        {"columns": ["text"], "index": [0], "data": [["a"]]},
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_json_of_columns_is_told_how_to_be_written(tmp_path, table, indent):
    file = tmp_path / "a.json"
    file.write_text(json.dumps(table, indent=indent))
    message = refusal(source=str(file))
    assert message.startswith(f"{file}: one JSON object of lists or objects, where each row should be an object; write")
    assert message.endswith('`df.to_json(FILE, orient="records")`')


def test_splits_are_found_whatever_the_case_of_their_names(tmp_path):
    write_jsonl(tmp_path / "Train.jsonl", ROWS[:1])
    (tmp_path / "TEST" / "pos").mkdir(parents=True)
    for number in range(2):
        (tmp_path / "TEST" / "pos" / f"{number}.txt").write_text("Good")
    (tmp_path / "TEST" / "pos" / "1.pdf").write_text("Good")
    assert texts(source=str(tmp_path), split="train") == [ROWS[0]["text"]]
    assert pairs(source=str(tmp_path), split="test") == [("Good", "pos")] * 2
    assert describe(CorpusConfig(source=str(tmp_path), split="test")) == [
        f"{tmp_path}: beside 'test' there are Train.jsonl",
        f"{tmp_path / 'TEST'}: 1 file(s) not read: pos/1.pdf",
    ]
    # The name as it was given comes first.
    write_jsonl(tmp_path / "train.jsonl", ROWS[1:2])
    assert texts(source=str(tmp_path), split="train") == [ROWS[1]["text"]]


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (["neg.txt", "pos.txt", "notes.md", "paper.pdf"], ["neg", "pos"]),
        (["rt.neg", "rt.pos", "rt.README.1.0.txt", "notes.md"], ["neg", "pos"]),
        (["neg", "pos", "notes.md", "Notes.txt"], ["neg", "pos"]),
        # Once, a class was lost with what lies beside.
        (["rt.neg", "rt.neu", "rt.pos"], ["neg", "neu", "pos"]),
        (["bad.txt", "good.txt", "ugly"], ["bad", "good", "ugly"]),
        (["quote.subjective", "plot.objective"], ["objective", "subjective"]),
    ],
)
def test_what_lies_beside_the_files_of_the_classes_is_none_and_told(tmp_path, names, classes):
    for name in names:
        (tmp_path / name).write_text(f"A line of {name}.\n")
    found = pairs(source=str(tmp_path), split="all", format="class_lines")
    assert sorted({str(label) for _, label in found}) == classes
    left = len(names) - len(classes)
    told = describe(CorpusConfig(source=str(tmp_path), split="all", format="class_lines"))
    assert [line.partition(" not read: ")[0] for line in told] == [f"{tmp_path}: {left} file(s)"] * (left > 0)


def test_pipes_and_links_that_are_not_read_stop_nothing(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", ROWS[:1])
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    corpus = CorpusConfig(source=str(tmp_path), split="all")
    assert texts(source=str(tmp_path), split="all") == [ROWS[0]["text"]]
    assert describe(corpus) == [f"{tmp_path}: 1 file(s) not read: gone.jpg"]


def test_a_compressed_archive_is_an_archive(tmp_path):
    head = bytearray(512)
    head[257:262] = b"ustar"
    for name in ("a.tar.gz", "a.csv.gz"):
        (tmp_path / name).write_bytes(gzip.compress(bytes(head)))
        assert refusal(source=str(tmp_path / name)).startswith(f"{tmp_path / name}: a tar archive; unpack it")


@pytest.mark.parametrize(("other", "is_told"), [("train.py", True), ("train.jsonl.gz", True), ("train.2.jsonl", False)])
def test_only_files_that_are_read_are_of_a_split(tmp_path, other, is_told):
    write_jsonl(tmp_path / "train.jsonl", ROWS)
    (tmp_path / other).write_bytes(gzip.compress((tmp_path / "train.jsonl").read_bytes()))
    corpus = CorpusConfig(source=str(tmp_path), split="train")
    assert sorted(pairs(source=str(tmp_path), split="train")) == sorted(WITH_LABELS * (1 if is_told else 2))
    assert describe(corpus) == [f"{tmp_path}: beside 'train' there are {other}"] * is_told
    # A compressed copy of a file is none of its own, wherever it lies.
    if other.endswith(".gz"):
        assert sorted(pairs(source=str(tmp_path), split="all")) == WITH_LABELS


def test_files_of_a_split_may_have_any_ending_where_the_format_is_given(tmp_path):
    write_jsonl(tmp_path / "train.data", ROWS)
    assert sorted(pairs(source=str(tmp_path), split="train", format="jsonl")) == WITH_LABELS
