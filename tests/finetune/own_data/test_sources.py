"""Which files are which part of the texts, and how they are read, is found or told."""

import gzip
import random
from pathlib import Path
from typing import Any

import pytest

from configs.errors import InputError
from finetune.own_data.config import OwnDataConfig
from finetune.own_data.sources import find_sources
from tests.finetune.own_data.test_texts import labelled_rows, long_text, split
from tests.helpers.corpora import write_jsonl, write_labelled_folders


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("Train.jsonl", "Test.jsonl", "Valid.jsonl"), ("Train", "Test")),
        (("TRAIN-00000-of-00001.jsonl", "test.jsonl"), ("TRAIN", "test")),
        (("reviews_train.jsonl", "reviews_test.jsonl", "reviews_dev.jsonl"), ("reviews_train", "reviews_test")),
        (("my.train.jsonl", "my.Test.jsonl", "notes_train.md"), ("my.train", "my.Test")),
        # Once, the rest of such a folder was not read.
        (("train_complaints.jsonl", "bus_complaints.jsonl"), ("all", None)),
        (("reviews_train.jsonl", "reviews_2020.jsonl"), ("all", None)),
        (("train.jsonl", "ab-test-notes.jsonl"), ("train", None)),
        (("train.jsonl", "more_train.jsonl"), ("train", None)),
        (("trains.jsonl", "contest.jsonl"), ("all", None)),
        (("a_train.jsonl", "b_train.jsonl", "a_test.jsonl"), ("all", None)),
        (("data.jsonl", "test.jsonl"), ("all", None)),
    ],
)
def test_splits_are_known_by_their_names_whatever_the_case(
    tmp_path: Path, caplog, names: tuple[str, ...], splits: tuple[str, str | None]
) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for name in names:
        write_jsonl(folder / name, labelled_rows(20))
    sources = find_sources(OwnDataConfig(labelled=str(folder)))
    assert (sources.labelled.split, sources.test.split if sources.test else None) == splits
    # Parts that are read as one are told of, unless nothing in their names says so.
    is_told = splits[0] == "all" and any("_t" in name or name.startswith(("test", "train_")) for name in names)
    assert ("are read as one part" in caplog.text) == is_told


def test_folders_called_as_splits_are_known_whatever_the_case(tmp_path: Path) -> None:
    rng = random.Random(0)
    for part, count in (("Train", 40), ("Test", 20), ("Unsup", 10)):
        rows = [{"text": long_text(rng, n % 2), "label": ("neg", "pos")[n % 2]} for n in range(count)]
        write_labelled_folders(tmp_path / "set" / part, rows)
    facts, _ = split(tmp_path, labelled=str(tmp_path / "set"))
    assert (facts.train_texts, facts.test_texts, facts.unlabelled_texts) == (40, 20, 10)


@pytest.mark.parametrize("is_nested", [True, False])
def test_folders_of_the_same_names_in_several_others_are_told_of(tmp_path: Path, caplog, is_nested: bool) -> None:
    for folder in ("neg", "pos"):
        rows = [
            {"text": "A text.", "label": ("one", "two")[n % 2] if is_nested else f"{folder}{n % 2}"} for n in range(8)
        ]
        write_labelled_folders(tmp_path / "set" / folder, rows)
    find_sources(OwnDataConfig(labelled=str(tmp_path / "set")))
    told = "the labels are the innermost folders, one, two, and not those in which they lie, neg, pos"
    assert (told in caplog.text) == is_nested


@pytest.mark.parametrize("place", [0, 3, 100])
def test_a_tab_in_a_text_does_not_make_a_table_lines_with_labels(tmp_path: Path, place: int) -> None:
    words = ("Go", "Ok", "Free", "Nah", "Had", "Win", "Six", "Yes", "As", "Did")
    rows = [f"{('ham', 'spam')[n % 2]}\t{words[n % 10]} {long_text(random.Random(n), 1)}" for n in range(200)]
    rows[place] += "\tx"
    (tmp_path / "t.txt").write_text("\n".join(rows[::-1] if place == 0 else rows))
    facts, _ = split(tmp_path, labelled=str(tmp_path / "t.txt"))
    assert (facts.classes, facts.train_texts + facts.test_texts) == (["ham", "spam"], 199)


def test_labels_before_lines_may_end_with_a_tab_or_a_colon(tmp_path: Path) -> None:
    rows = [f"  {('neg:', 'pos:')[n % 2]}\t{long_text(random.Random(n), 1)}\t{n}" + "\tx" * (n % 3) for n in range(60)]
    (tmp_path / "t.txt").write_text("\n".join(rows))
    assert find_sources(OwnDataConfig(labelled=str(tmp_path / "t.txt"))).labelled.format == "label_lines"


def test_files_that_are_not_read_or_missing_are_told_of(tmp_path: Path, caplog) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    write_jsonl(folder / "train-00000-of-00002.jsonl", labelled_rows(60))
    write_jsonl(
        folder / "test.jsonl", [row | {"text": f"{row['text']} {n}"} for n, row in enumerate(labelled_rows(20))]
    )
    write_jsonl(folder / "dev.jsonl", labelled_rows(20))
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.txt").write_text("A text.")
    (notes / "b.docx").write_text("A text.")
    keys: dict[str, Any] = {"labelled": str(folder), "unlabelled": str(notes)}
    with caplog.at_level("INFO"):
        split(tmp_path, **keys)
    assert "train-00001-of-00002.jsonl is missing: 1 of 2 files are there" in caplog.text
    assert "beside 'train+test' there are dev.jsonl" in caplog.text
    assert f"{notes}: 1 file(s) not read: b.docx" in caplog.text


def test_a_text_file_with_tabs_is_a_table(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    rows = labelled_rows()
    table = [f"{row['text']}\t{row['label']}" for row in rows]
    (tmp_path / "cells_labelled.txt").write_text("\n".join(table))
    # As Excel writes "Unicode Text".
    (tmp_path / "excel.txt").write_text("\n".join(["review\tmood", *table]), encoding="utf-16", newline="\r\n")
    for name, column in (("cells_labelled.txt", "1"), ("excel.txt", "review")):
        facts, _ = split(tmp_path, labelled=str(tmp_path / name))
        assert (facts.train_texts + facts.test_texts, facts.text_column, facts.classes) == (120, column, ["no", "yes"])
        assert f"{name} is read as a table with tabs" in caplog.text
    # Those of a folder, too; other texts of one with blank lines between them are no table.
    (tmp_path / "set").mkdir()
    for name, part in (("train.txt", table[:80]), ("test.txt", table[80:])):
        (tmp_path / "set" / name).write_text("\n".join(part))
    (tmp_path / "notes.txt").write_text("a\tb\n\nc\td\n")
    facts, parts = split(tmp_path, labelled=str(tmp_path / "set"), unlabelled=str(tmp_path / "notes.txt"))
    assert (facts.train_texts, facts.test_texts) == (80, 40)
    assert [row["1"].strip() for row in parts["unlabelled"]] == ["a\tb", "c\td"]
    for label in ("no", "yes"):
        (tmp_path / "folders" / label).mkdir(parents=True)
        for number in range(9):
            (tmp_path / "folders" / label / f"{number}.txt").write_text(f"a\t{number}\nb\t{number}\n")
    assert find_sources(OwnDataConfig(labelled=str(tmp_path / "folders"))).labelled.format == "auto"
    (tmp_path / "one.txt").write_text("a text\nanother one\n")
    with pytest.raises(InputError, match=r"one\.txt: the first lines are no table"):
        split(tmp_path, labelled=str(tmp_path / "one.txt"))


@pytest.mark.parametrize(
    ("folders", "classes"),
    [(("train", "car", "test"), ["car", "test", "train"]), (("train/no", "train/yes", "car"), ["no", "yes"])],
)
def test_a_class_may_be_called_as_a_split_is(tmp_path: Path, folders: tuple[str, ...], classes: list[str]) -> None:
    rng = random.Random(0)
    for folder in folders:
        (tmp_path / "set" / folder).mkdir(parents=True)
        for number in range(10):
            (tmp_path / "set" / folder / f"{number}.txt").write_text(long_text(rng, number % 2))
    assert split(tmp_path, labelled=str(tmp_path / "set"))[0].classes == classes


@pytest.mark.parametrize(
    ("train", "test", "expected", "told"),
    [
        ("label,text", "", ("2", "1"), "texts of the split 'test' are in column '2' (of the labelled texts: 'text')"),
        ("", "label,text", ("text", "label"), "label in column 'label' (of the labelled texts: '1')"),
        ("", "", ("2", "1"), "test texts are the split 'test'"),
        ("label,text", "Label,Text", ("Text", "Label"), "test texts are the split 'test'"),
        ("label,text", "gold,sentence", None, "; it has no column 'label' (it has 'gold', 'sentence')"),
        ("label,text", "id,text", None, "; it has no column 'label' (it has 'id', 'text')"),
        ("", "numbers", None, "has no labels, and is left out"),
    ],
)
def test_a_test_split_of_another_shape_is_read_or_told(
    tmp_path: Path, caplog, train: str, test: str, expected: tuple | None, told: str
) -> None:
    (tmp_path / "set").mkdir()
    for name, head in (("train.csv", train), ("test.csv", test)):
        rows = [f"{row['label']},{row['text'].replace(',', '')} {name} {n}" for n, row in enumerate(labelled_rows(60))]
        if head in ("id,text", "numbers"):
            rows = [f"{n + 10},{row.partition(',')[2]}" for n, row in enumerate(rows)]
        lines = [head, *rows] if "," in head else rows
        (tmp_path / "set" / name).write_text("".join(f"{line}\n" for line in lines))
    with caplog.at_level("INFO"):
        found = find_sources(OwnDataConfig(labelled=str(tmp_path / "set"))).test
    assert (found and (found.text_column, found.label_column)) == expected
    assert told in caplog.text


@pytest.mark.parametrize(
    ("train", "test", "keys", "told"),
    [
        (
            "tweet,sentiment,sarcastic",
            "tweet,sentiment",
            {"label_column": "sarcastic"},
            "'sentiment' is another column",
        ),
        ("text,target,topic", "text,topic", {"label_column": "target"}, "'topic' is another column"),
        # Two of three columns without a header.
        (
            "",
            "",
            {"label_column": "3"},
            "column '2' has not the same values as the label of the labelled texts; it has to",
        ),
    ],
)
def test_another_column_of_the_labelled_texts_is_no_test_label(
    tmp_path: Path, caplog, train: str, test: str, keys: dict, told: str
) -> None:
    (tmp_path / "set").mkdir()
    rng = random.Random(1)
    rows = [[f"{long_text(rng, n % 2)}.", f"kind {n // 2 % 3}", f"sort {n % 2}"] for n in range(90)]
    for name, head, columns in (("train", train, 3), ("test", test, 2)):
        lines = [head] * bool(head) + [",".join(f'"{cell}"' for cell in cells[:columns]) for cells in rows]
        (tmp_path / "set" / f"{name}.csv").write_text("\n".join(lines))
    assert find_sources(OwnDataConfig(labelled=str(tmp_path / "set"), **keys)).test is None
    assert "the split 'test' of" in caplog.text
    files: dict[str, Any] = {
        "labelled": str(tmp_path / "set" / "train.csv"),
        "test": str(tmp_path / "set" / "test.csv"),
    }
    with pytest.raises(InputError, match=told):
        find_sources(OwnDataConfig(**files, **keys))


def test_the_split_is_told_of_which_the_first_row_is_a_text(tmp_path: Path, caplog) -> None:
    (tmp_path / "set").mkdir()
    rng = random.Random(1)
    for name, line in (("train", "{0},{1},{2}"), ("test", "{1},{2}")):
        lines = [line.format(n, f"{long_text(rng, n % 2)}.", ("bad", "good")[n % 2]) for n in range(60)]
        (tmp_path / "set" / f"{name}.csv").write_text("\n".join(lines))
    with caplog.at_level("INFO"):
        find_sources(OwnDataConfig(labelled=str(tmp_path / "set")))
    for split_name in ("train", "test"):
        assert (
            f"the first row of {tmp_path / 'set'} (split '{split_name}') is taken for one of its texts" in caplog.text
        )


def test_a_class_in_the_first_row_of_a_split_is_no_name(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    rng = random.Random(1)
    for name, number in (("train", 90), ("test", 6)):
        acts = [f"{('question', 'request')[n % 2]},{long_text(rng, n % 2)} {n}." for n in range(number)]
        (tmp_path / "set" / f"{name}.csv").write_text("\n".join(acts))
    sources = find_sources(OwnDataConfig(labelled=str(tmp_path / "set")))
    assert sources.test is not None
    expected = ("2", "1", False)
    for found in (sources.labelled, sources.test):
        assert (found.text_column, found.label_column, found.header) == expected


def test_the_first_row_of_a_split_may_lack_a_column(tmp_path: Path, caplog) -> None:
    (tmp_path / "set").mkdir()
    write_jsonl(tmp_path / "set" / "train.jsonl", labelled_rows(60))
    rows = [{"Text": row["text"], "Label": row["label"]} for row in labelled_rows(20)]
    write_jsonl(tmp_path / "set" / "test.jsonl", [{"id": 1}, *rows])
    write_jsonl(tmp_path / "set" / "unsup.jsonl", [{"id": 1}, *({"body": row["Text"]} for row in rows)])
    with caplog.at_level("INFO"):
        sources = find_sources(OwnDataConfig(labelled=str(tmp_path / "set")))
    assert sources.test is not None
    assert (sources.test.text_column, sources.test.label_column) == ("Text", "Label")
    assert sources.unlabelled is not None
    assert sources.unlabelled.text_column == "body"
    assert "in column 'body' (of the labelled texts: 'text')" in caplog.text


def test_the_label_column_of_given_test_texts_is_told(tmp_path: Path, caplog) -> None:
    files = {name: write_jsonl(tmp_path / f"{name}.jsonl", labelled_rows(60)) for name in ("labelled", "test")}
    with caplog.at_level("INFO"):
        find_sources(OwnDataConfig(labelled=str(files["labelled"]), test=str(files["test"])))
    assert "own data: test texts in column 'text', label in column 'label' of" in caplog.text


def test_files_of_unlabelled_texts_have_one_name_for_them(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    write_jsonl(tmp_path / "t.jsonl", labelled_rows(60))
    (tmp_path / "more" / "a.txt").write_text("A text of some length, among others.\n")
    write_jsonl(tmp_path / "more" / "b.jsonl", [{"body": "A text of some length."}])
    with pytest.raises(InputError, match=r"no column 'text'; .*; call their column 'text' in all files of `--unlab"):
        split(tmp_path, labelled=str(tmp_path / "t.jsonl"), unlabelled=str(tmp_path / "more"))


def test_rows_of_json_without_a_label_are_told_where_they_may_be(tmp_path: Path) -> None:
    rows = [row if n % 3 else {"text": row["text"]} for n, row in enumerate(labelled_rows(60))]
    with pytest.raises(InputError, match=r"no column 'label'.*texts without a label may be given with `--unlabelled`"):
        split(tmp_path, labelled=str(write_jsonl(tmp_path / "t.jsonl", rows)))


def write_parts(folder: Path, counts: dict[str, int]) -> None:
    """Files with so many labelled rows each; the label of texts in a file called as hidden is -1."""
    for name, count in counts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        labels = ("-1",) if "hidden" in name else ("no", "yes")
        rng = random.Random(name)
        rows = ({"text": long_text(rng, n % 2), "label": labels[n % len(labels)]} for n in range(count))
        write_jsonl(folder / name, list(rows))


@pytest.mark.parametrize(
    ("counts", "place", "splits"),
    [
        # A clone of a data set of the Hub.
        ({"data/train-00000-of-00001.jsonl": 60, "data/test.hidden.jsonl": 20, "data/dev.jsonl": 20}, "data", "dev"),
        ({"archive/data/Train.jsonl": 60, "archive/data/Test.jsonl": 20}, "archive/data", "Test"),
        ({"plain/a_train.jsonl": 60, "plain/a_test.jsonl": 20, "dataset_infos.json": 1}, "plain", "a_test"),
        ({"training/a.jsonl": 60, "testing/b.jsonl": 20}, "", "testing"),
        ({"a-train/a.jsonl": 60, "a-test/b.jsonl": 20}, "", "a-test"),
        ({"training.jsonl": 60, "testing.jsonl": 20}, "", "testing"),
    ],
)
def test_splits_are_found_in_the_only_folder_with_data(tmp_path: Path, caplog, counts, place, splits) -> None:
    write_parts(tmp_path / "set", counts)
    with caplog.at_level("INFO"):
        facts, _ = split(tmp_path, labelled=str(tmp_path / "set"))
    assert (facts.train_texts, facts.test_texts, facts.classes) == (60, 20, ["no", "yes"])
    assert f"test texts are the split {splits!r} of {tmp_path / 'set' / place}" in caplog.text
    assert (f"the splits of {tmp_path / 'set'} are those of" in caplog.text) == bool(place)


@pytest.mark.parametrize(
    ("names", "places"),
    [
        (["de/train.jsonl", "de/test.jsonl", "en/train.jsonl", "en/test.jsonl"], "de, en"),
        (["data/en/train.jsonl", "data/en/dev.jsonl", "data/fr/a.jsonl"], "data/en"),
        (["data/train.jsonl", "data/test.jsonl", "more.jsonl"], "data"),
        (["neg/train/1.txt", "neg/test/1.txt", "pos/train/1.txt", "pos/test/1.txt"], "neg, pos"),
    ],
)
def test_splits_in_several_folders_are_asked_about(tmp_path: Path, names: list[str], places: str) -> None:
    write_parts(tmp_path / "set", dict.fromkeys(names, 20))
    with pytest.raises(InputError, match=f"and to test on are in {places}, and all would be read as one part; give"):
        find_sources(OwnDataConfig(labelled=str(tmp_path / "set")))
    # Whatever can be read is more text.
    labelled = write_jsonl(tmp_path / "t.jsonl", labelled_rows(20))
    assert find_sources(OwnDataConfig(labelled=str(labelled), unlabelled=str(tmp_path / "set"))).unlabelled is not None


@pytest.mark.parametrize(("names", "parts"), [(["test_a/a.jsonl", "train_b/b.jsonl"], "test_a, train_b")])
def test_folders_called_as_parts_that_are_read_as_one_are_told_of(tmp_path: Path, caplog, names, parts) -> None:
    write_parts(tmp_path / "set", dict.fromkeys(names, 20))
    find_sources(OwnDataConfig(labelled=str(tmp_path / "set")))
    assert f"are read as one part, also {parts}; call one train" in caplog.text


@pytest.mark.parametrize("other", ["train.py", "train.log", "train.xlsx", "train.jsonl.zip", "train.jsonl.gz"])
def test_what_is_called_as_a_split_and_not_read_is_told_of(tmp_path: Path, caplog, other: str) -> None:
    write_parts(tmp_path / "set", {"train.jsonl": 60, "test.jsonl": 20})
    (tmp_path / "set" / other).write_bytes(gzip.compress((tmp_path / "set" / "train.jsonl").read_bytes()))
    with caplog.at_level("INFO"):
        facts, _ = split(tmp_path, labelled=str(tmp_path / "set"))
    assert (facts.train_texts, facts.test_texts) == (60, 20)
    assert f"beside 'train+test' there are {other}" in caplog.text


@pytest.mark.parametrize("other", ["train.v2.jsonl", "train.json", "train/a.jsonl", "train-1.jsonl"])
def test_what_may_be_a_split_twice_is_asked_about(tmp_path: Path, other: str) -> None:
    write_parts(tmp_path / "set", {"train.jsonl": 20, other: 20})
    with pytest.raises(InputError, match="are all the split 'train'; if they are copies or versions"):
        find_sources(OwnDataConfig(labelled=str(tmp_path / "set")))


@pytest.mark.parametrize("other", ["train/1.txt", "train.notes.txt"])
def test_texts_that_a_table_tells_of_are_left_out(tmp_path: Path, caplog, other: str) -> None:
    # As in Kaggle's Feedback Prize: `train.csv` beside a folder of essays.
    write_parts(tmp_path / "set", {"train.jsonl": 60, "test.jsonl": 20, other: 1})
    facts, _ = split(tmp_path, labelled=str(tmp_path / "set"))
    assert (facts.train_texts, facts.test_texts, facts.classes) == (60, 20, ["no", "yes"])
    assert "1 file(s) beside the folders of the classes are left out" in caplog.text


def test_text_files_that_may_be_a_split_twice_are_asked_about(tmp_path: Path) -> None:
    write_parts(tmp_path / "set", dict.fromkeys(["train.txt", "train.v2.txt"], 20))
    with pytest.raises(InputError, match="are all the split 'train'; if they are copies or versions"):
        find_sources(OwnDataConfig(labelled=str(tmp_path / "set")))


def test_unlabelled_texts_in_two_formats_are_asked_about(tmp_path: Path) -> None:
    write_parts(tmp_path / "set", dict.fromkeys(["train.jsonl", "unlabelled.jsonl", "unlabelled.txt"], 20))
    with pytest.raises(InputError, match="are all the split 'unlabelled'; if they are copies or versions"):
        find_sources(OwnDataConfig(labelled=str(tmp_path / "set")))


def test_documents_called_as_splits_among_many_are_texts_of_their_class(tmp_path: Path) -> None:
    names = ["training", "testing", *map(str, range(20))]
    write_parts(tmp_path / "set", {f"{topic}/{name}.txt": 1 for topic in ("sport", "software") for name in names})
    facts, _ = split(tmp_path, labelled=str(tmp_path / "set"))
    assert (facts.train_texts + facts.test_texts, facts.classes) == (44, ["software", "sport"])


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("train.xlsx", "test.jsonl"), "train.xlsx: an Excel workbook; save its sheet as CSV"),
        (("train.jsonl", "test.jsonl.zip"), "test.jsonl.zip: a zip archive; unpack it"),
        (("train.csv.zip", "submission.jsonl"), "train.csv.zip: a zip archive; unpack it"),
    ],
)
def test_a_split_to_be_unpacked_is_asked_for(tmp_path: Path, names: tuple[str, str], told: str) -> None:
    write_parts(tmp_path / "set", {name: 20 for name in names if name.endswith(".jsonl")})
    for name in names:
        if not name.endswith(".jsonl"):
            (tmp_path / "set" / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match=told):
        split(tmp_path, labelled=str(tmp_path / "set"))
