"""One corpus in every format, and what each kind of bad input is told."""

import csv
import dataclasses
import json
import shutil
from pathlib import Path

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from datasets.exceptions import DatasetGenerationError, DatasetNotFoundError

from configs.errors import InputError
from tokenizer.config import CorpusConfig
from tokenizer.corpus import clean_html, fingerprint, read

ROWS = [
    {"text": "A fine film.\nTruly fine.", "label": "pos"},
    {"text": 'Dull, "long" and grey.', "label": "neg"},
    {"text": "Café noir — 좋은 영화.", "label": "pos"},
]
WITH_LABELS = sorted((row["text"], row["label"]) for row in ROWS)


def write_table(file: Path, rows: list[dict], delimiter: str = ",", encoding: str = "utf-8") -> Path:
    with file.open("w", newline="", encoding=encoding) as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return file


def write_jsonl(file: Path, rows: list[dict]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def write_parquet(file: Path, rows: list[dict]) -> Path:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    return file


def write_labelled_folders(folder: Path, rows: list[dict]) -> Path:
    for number, row in enumerate(rows):
        (folder / row["label"]).mkdir(parents=True, exist_ok=True)
        (folder / row["label"] / f"{number}_7.txt").write_text(row["text"], encoding="utf-8")
    return folder


def pairs(**keys) -> list[tuple[str, str | int | None]]:
    return [(document.text, document.label) for document in read(CorpusConfig(**keys), labelled=True)]


def texts(**keys) -> list[str]:
    return [document.text for document in read(CorpusConfig(**keys))]


def refusal(labelled: bool = False, **keys) -> str:
    with pytest.raises(InputError) as caught:
        list(read(CorpusConfig(**keys), labelled=labelled))
    assert "\n" not in str(caught.value)
    return str(caught.value)


WRITERS = {
    "rows.jsonl": write_jsonl,
    "rows.ndjson": write_jsonl,
    "rows.csv": write_table,
    "rows.CSV": write_table,
    "rows.tsv": lambda file, rows: write_table(file, rows, "\t"),
    "rows.parquet": write_parquet,
}


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


def test_lone_text_file_holds_blocks(tmp_path):
    file = tmp_path / "reviews.txt"
    file.write_text("\n\n" + "\n\n \n".join(row["text"] for row in ROWS) + "\n\n", encoding="utf-8")
    documents = list(read(CorpusConfig(source=str(file))))
    assert [document.text.strip() for document in documents] == [row["text"] for row in ROWS]
    assert [document.place for document in documents] == [f"{file}:{line}" for line in (3, 7, 10)]


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


def test_maximum_documents_counts_documents_kept(tmp_path):
    file = write_jsonl(tmp_path / "a.jsonl", [{"text": " "}, *ROWS])
    assert texts(source=str(file), maximum_documents=2) == [row["text"] for row in ROWS[:2]]


def test_maximum_documents_stops_before_what_follows(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "one"}\nbroken\n')
    assert texts(source=str(file), maximum_documents=1) == ["one"]


def test_sample_is_read_as_a_corpus():
    keys = {"source": "sample", "maximum_documents": 20}
    assert {label for _, label in pairs(split="train", **keys)} == {"negative", "positive"}
    assert len(set(texts(split="unlabelled", **keys))) == 20


@pytest.mark.parametrize("name", ["gone.csv", "gone.jsonl", "deep/er/gone"])
def test_missing_file_is_named(tmp_path, name):
    missing = str(tmp_path / name)
    assert refusal(source=missing) == f"corpus.source: no such file or folder: {missing!r}"


def test_glob_without_a_match_is_named(tmp_path):
    pattern = str(tmp_path / "*.csv")
    assert refusal(source=pattern) == f"corpus.source: no file matches {pattern!r}"


def test_unknown_ending_names_the_key_that_helps(tmp_path):
    file = tmp_path / "reviews.docx"
    file.write_text("x")
    message = refusal(source=str(file))
    assert str(file) in message
    assert "corpus.format" in message


@pytest.mark.parametrize(("name", "content"), [("a.txt", " \n\n"), ("a.jsonl", ""), ("a.csv", ""), ("b.csv", "text\n")])
def test_empty_corpus_is_refused(tmp_path, name, content):
    file = tmp_path / name
    file.write_text(content)
    message = refusal(source=str(file))
    assert str(file) in message
    assert "holds no document with any text" in message


def test_labels_that_no_document_has_are_refused(tmp_path):
    file = write_jsonl(tmp_path / "a.jsonl", ROWS)
    assert "holds no document" in refusal(labelled=True, source=str(file), labels=["positive"])


@pytest.mark.parametrize("name", WRITERS)
def test_absent_column_names_place_key_and_nearest_column(tmp_path, name):
    file = WRITERS[name](tmp_path / name, [{"texts": "Good.", "id": "7"}])
    message = refusal(source=str(file))
    assert message.startswith(f"{file}:")
    assert message.endswith("no column 'text' (corpus.text_column); did you mean 'texts'?")


def test_absent_column_unlike_any_lists_those_there_are(tmp_path):
    file = write_jsonl(tmp_path / "a.jsonl", [{"text": "x", "stars": 1}])
    message = refusal(labelled=True, source=str(file))
    assert message == f"{file}:1: no column 'label' (corpus.label_column); the columns are text, stars"


@pytest.mark.parametrize(
    ("name", "content"), [("a.txt", b"one\n\n"), ("a.csv", b"text\none\n"), ("a.jsonl", b'{"text": "a"}\n\n')]
)
def test_undecodable_bytes_name_file_line_and_key(tmp_path, name, content):
    file = tmp_path / name
    file.write_bytes(content + "Café\n".encode("latin-1"))
    message = refusal(source=str(file))
    assert message.startswith(f"{file}: after line ")
    assert "byte 0xe9 is not utf-8" in message
    assert "corpus.encoding" in message


def test_other_encodings_are_read(tmp_path):
    file = write_table(tmp_path / "a.csv", [{"text": "Café"}], encoding="utf-16")
    assert texts(source=str(file), encoding="utf-16") == ["Café"]


def test_unknown_encoding_is_named(tmp_path):
    file = write_jsonl(tmp_path / "a.jsonl", ROWS)
    assert refusal(source=str(file), encoding="utf-88") == "corpus.encoding: 'utf-88' is unknown to Python"


@pytest.mark.parametrize("quoted", [False, True])
def test_byte_order_mark_of_a_spreadsheet_is_no_part_of_the_header(tmp_path, quoted):
    file = tmp_path / "a.csv"
    file.write_text('"text","label"\n"x","pos"\n' if quoted else "text,label\nx,pos\n", encoding="utf-8-sig")
    assert pairs(source=str(file)) == [("x", "pos")]


@pytest.mark.parametrize(("name", "content"), [("a.jsonl", '{"text": "x"}\n'), ("a.txt", "x")])
def test_byte_order_mark_is_no_part_of_the_text(tmp_path, name, content):
    file = tmp_path / name
    file.write_text(content, encoding="utf-8-sig")
    assert texts(source=str(file)) == ["x"]


def test_broken_json_names_its_line(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "one"}\n\n{"text": "two"\n')
    message = refusal(source=str(file))
    assert message.startswith(f"{file}:3: not JSON (")
    assert message.endswith("mend or remove the line")


def test_json_that_is_no_object_names_its_line(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "one"}\n["two"]\n')
    assert refusal(source=str(file)) == f"{file}:2: expected a JSON object, found list"


@pytest.mark.parametrize(("row", "count"), [("Dull, long,neg", 3), ("Dull", 1)])
def test_ragged_csv_names_line_and_cause(tmp_path, row, count):
    file = tmp_path / "a.csv"
    file.write_text(f"text,label\nGood,pos\n{row}\n")
    message = refusal(source=str(file))
    assert message.startswith(f"{file}:3: {count} columns where the header has 2; ")
    assert "quote" in message


def test_open_quote_in_csv_names_the_file(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text('text,label\n"Good,pos\n')
    assert refusal(source=str(file)).startswith(f"{file}:2: not readable as CSV (")


def test_broken_parquet_names_the_file(tmp_path):
    file = tmp_path / "a.parquet"
    file.write_bytes(b"PAR1 this is none")
    assert refusal(source=str(file)).startswith(f"{file}: not readable as Parquet (")


def test_column_that_holds_no_text_names_place_and_kind(tmp_path):
    file = write_parquet(tmp_path / "a.parquet", [{"text": 7}])
    assert refusal(source=str(file)) == f"{file}:row 0: column 'text' holds int, not text"


@pytest.mark.parametrize("text", ["", " \n", None, "<br />"])
def test_empty_labelled_text_is_refused_with_its_line(tmp_path, text):
    file = write_jsonl(tmp_path / "a.jsonl", [ROWS[0], {"text": text, "label": "pos"}])
    assert refusal(labelled=True, source=str(file)).startswith(f"{file}:2: the labelled text in column 'text' is empty")


def test_empty_unlabelled_text_is_passed_over(tmp_path):
    file = write_jsonl(tmp_path / "a.jsonl", [{"text": None}, {"text": " "}, {"text": "x"}])
    assert texts(source=str(file)) == ["x"]


@pytest.mark.parametrize("label", [float("nan"), None, "", "  ", 0.5, float("inf"), ["pos"]])
def test_what_is_no_label_is_refused_with_its_line(tmp_path, label):
    file = write_jsonl(tmp_path / "a.jsonl", [ROWS[0], {"text": "x", "label": label}])
    message = refusal(labelled=True, source=str(file))
    assert message == f"{file}:2: column 'label' holds {label!r}, which is no label"


@pytest.mark.parametrize("label", [float("nan"), None])
def test_missing_label_in_parquet_is_refused_with_its_row(tmp_path, label):
    file = write_parquet(tmp_path / "a.parquet", [{"text": "x", "label": 1.0}, {"text": "y", "label": label}])
    message = refusal(labelled=True, source=str(file))
    assert message == f"{file}:row 1: column 'label' holds {label!r}, which is no label"


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


def test_fingerprint_sees_both_ends_of_a_large_file(tmp_path):
    file = tmp_path / "a.txt"
    size = 3 << 20
    prints = set()
    for position in (0, size - 1, (1 << 20) - 1, size - (1 << 20)):
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

    def load_dataset(identifier, subset, split):
        asked.append((identifier, subset, split))
        return datasets.Dataset.from_list([{"sentence": f"From {split}.", "label": 1}])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    corpus = CorpusConfig(source="nyu-mll/glue", subset="sst2", split="train+test", text_column="sentence")
    documents = list(read(corpus, labelled=True))
    assert [(document.text, document.label) for document in documents] == [("From train.", 1), ("From test.", 1)]
    assert documents[1].place == "nyu-mll/glue test:row 0"
    assert asked == [("nyu-mll/glue", "sst2", "train"), ("nyu-mll/glue", "sst2", "test")]


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
    assert message.startswith("corpus.source: 'no/such' is neither a file or folder here nor to be had from the Hub")
    assert "(split 'trian')" in message
    assert " ".join(str(error).split()) in message


def test_fingerprint_of_a_hub_data_set_asks_nobody(monkeypatch):
    monkeypatch.delattr(datasets, "load_dataset")
    one = fingerprint(CorpusConfig(source="some/set"))
    assert one != fingerprint(CorpusConfig(source="other/set"))
