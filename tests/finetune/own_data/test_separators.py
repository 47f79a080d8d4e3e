"""Several labels in a column are found where they are beyond doubt, and one label with a comma stays one."""

import dataclasses
import json
import random
import shlex
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from configs.errors import InputError
from finetune.own_data import rules, texts
from finetune.own_data.columns import find_columns
from finetune.own_data.config import OwnDataConfig
from finetune.own_data.plan import choices_of
from finetune.own_data.separators import find_separator
from tests.finetune.own_data.test_rules import facts
from tests.finetune.own_data.test_texts import split
from tests.helpers.corpora import write_jsonl, write_parquet, write_table
from tests.helpers.several_labels import WORDS, rows_with_labels
from tokenizer.corpus.config import CorpusConfig


def cells(values: list[str], count: int = 60) -> list[dict[str, Any]]:
    """Rows with these labels in turn."""
    rng = random.Random(0)
    return [
        {"text": f"a text of some length with number {rng.randrange(10**9)}", "label": values[number % len(values)]}
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("values", "separator"),
    [
        (["drama,comedy", "drama", "comedy,war", "war"], ","),
        (["a;b", "b;c", "c;a", "c;b;a"], ";"),
        (["bug | billing", "billing", "bug", "praise | bug", ""], "|"),
        (['["a", "b"]', '["b"]', "[]"], "list"),
        (["['a', 'b']", "['b']", "[]"], "list"),
        (["bug, billing", "bug", "billing, praise", "praise,"], ","),
        (["3", "3,5", "4", "4,5", "5"], None),
        # Several labels that are numbers.
        (["0,3", "1", "2,6", "3", "0", "6,1"], ","),
        # One joined label may be a class, or mistyped.
        (["drama", "comedy", "drama;comedy"], None),
        (["R&B; Soul", "R&B", "Soul", "Pop"], None),
        ([*["good", "bad"] * 29, "good;bad"], None),
        ([*["drama;comedy", "war;drama", "drama", "comedy;war", "comedy"] * 11, "drama, comedy"], ";"),
        (["R&B; Soul", "Pop; Rock"], None),
        (["a;b", "b;c", "c;d", "a"], ";"),
        (["home, garden", "home", "toys"], None),
        (["yes", "no", "yes, no", "maybe"], None),
        (["R&B; soul", "rock", "jazz"], None),
        (["3", "5", "3,5"], None),
        (["good, really", "bad, awful"], None),
        (["yes, often", "no, often", "yes, never", "no, never"], None),
        (["Paris, TX", "Rome, GA", "Paris, TN"], None),
        (["good", "bad"], None),
        (["[a]", "[b]"], None),
    ],
)
def test_a_separator_is_found_where_parts_recombine(tmp_path: Path, values: list[str], separator: str | None) -> None:
    file = write_table(tmp_path / "t.tsv", cells(values), "\t")
    assert find_separator(CorpusConfig(source=str(file))) == separator


@pytest.mark.parametrize("values", [["[joy, anger]", "[joy]"], ["[ 3 10]", "[3]"], ["['a' 'b']", "['a']", "['b']"]])
def test_cells_that_look_like_lists_and_are_none_are_asked_about(tmp_path: Path, values: list[str]) -> None:
    file = write_table(tmp_path / "t.tsv", cells(values), "\t")
    with pytest.raises(InputError, match=r"look like lists .* write them as JSON, or give `--label_separator ''`"):
        split(tmp_path, labelled=str(file))
    assert split(tmp_path, labelled=str(file), label_separator="")[0].classes == sorted(values)


def test_columns_of_labels_may_be_called_in_capitals_in_the_test_file(tmp_path: Path) -> None:
    bits = [row | {"bug": n % 2, "billing": n // 2 % 2} for n, row in enumerate(cells(["x"]))]
    tests = [{"Text": f"{row['text']} so", "Bug": row["bug"], "BILLING": row["billing"]} for row in bits]
    files = [write_table(tmp_path / f"{n}.csv", rows) for n, rows in enumerate((bits, tests))]
    facts, parts = split(tmp_path, labelled=str(files[0]), test=str(files[1]), label_columns=["bug", "billing"])
    assert (facts.classes, facts.test_texts) == (["bug", "billing"], 60)
    assert {frozenset(row["label"]) for row in parts["test"]} >= {frozenset(["billing", "bug"]), frozenset()}


@pytest.mark.parametrize("kind", [bool, str, float])
def test_lists_of_zero_and_one_are_refused_whatever_they_are_written_as(tmp_path: Path, kind: type) -> None:
    rows = [row | {"label": [kind(n % 2), kind(0), kind(1)]} for n, row in enumerate(cells(["x"]))]
    with pytest.raises(InputError, match=r"a 0 or 1 for each label; write the labels that apply"):
        split(tmp_path, labelled=str(write_jsonl(tmp_path / "t.jsonl", rows)))
    pairs = [row | {"label": [n % 2 == 0, n % 2 == 1]} for n, row in enumerate(rows)]
    with pytest.raises(InputError, match=r"a 0 or 1 for each label"):
        split(tmp_path, labelled=str(write_jsonl(tmp_path / "t.jsonl", pairs)))


def test_what_may_be_one_label_is_refused_with_both_ways_out(tmp_path: Path) -> None:
    grid = [f"{one}, {other}" for one in ("yes", "no", "so") for other in ("often", "never")]
    file = write_table(tmp_path / "t.tsv", cells(grid), "\t")
    with pytest.raises(InputError, match=r"label_separator: ','; if each of these is one label, set it to ''"):
        split(tmp_path, labelled=str(file))
    found, _ = split(tmp_path, labelled=str(file), label_separator="")
    assert (len(found.classes), found.multi_label, found.label_separator) == (6, False, "")
    several, parts = split(tmp_path, labelled=str(file), label_separator=",")
    assert several.classes == ["never", "no", "often", "so", "yes"]
    assert parts["train"][0]["label"] in ([one, other] for one in ("yes", "no", "so") for other in ("often", "never"))


@pytest.mark.parametrize("kind", ["lists in JSON", "lists in Parquet", "cells", "columns"])
def test_every_form_of_several_labels_becomes_lists(tmp_path: Path, kind: str, caplog) -> None:
    rows, keys = rows_with_labels(150), dict[str, Any]()
    for number, row in enumerate(rows):
        row["text"] += f" it was number {number}, {number * 7919 % 1009} and {number * 104729 % 1013} of all of them."
    if kind == "cells":
        file = write_table(tmp_path / "t.csv", [row | {"label": ";".join(row["label"])} for row in rows])
    elif kind == "columns":
        bits = [{"text": row["text"]} | {name: int(name in row["label"]) for name in sorted(WORDS)} for row in rows]
        file, keys = write_table(tmp_path / "t.csv", bits), dict[str, Any](label_columns=sorted(WORDS))
    else:
        write, name = (write_jsonl, "t.jsonl") if "JSON" in kind else (write_parquet, "t.parquet")
        file = write(tmp_path / name, rows)
    with caplog.at_level("INFO"):
        found, parts = split(tmp_path, labelled=str(file), **keys)
    assert found.multi_label
    assert found.classes == sorted(WORDS)
    assert ("a cell of labels may hold several, between ';'" in caplog.text) == (kind == "cells")
    assert f"of {found.train_texts} texts have none" in caplog.text
    schema = pyarrow.parquet.read_schema(tmp_path / "data" / "train.parquet")
    assert pyarrow.types.is_list(schema.field("label").type)
    told = {row["text"]: sorted(row["label"]) for part in parts.values() for row in part}
    assert told == {row["text"]: sorted(row["label"]) for row in rows}
    assert len(parts["test"]) == pytest.approx(30, abs=2)
    for label, count in zip(found.classes, found.counts, strict=True):
        share = sum(label in row["label"] for row in rows) / len(rows)
        assert count / found.train_texts == pytest.approx(share, abs=0.04)


def test_a_file_that_begins_with_texts_without_labels_is_written_as_lists(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(texts, "BATCH", 4)
    rows = sorted(rows_with_labels(60), key=lambda row: len(row["label"]))
    for number, row in enumerate(rows):
        row["text"] += f" number {number}."
    _, parts = split(tmp_path, labelled=str(write_jsonl(tmp_path / "t.jsonl", rows)))
    assert parts["train"][0]["label"] == []
    assert sum(map(len, (row["label"] for part in parts.values() for row in part))) == sum(
        len(r["label"]) for r in rows
    )


def test_labels_of_zero_and_one_that_may_each_be_one_are_told(tmp_path: Path) -> None:
    rows = [{"text": row["text"]} | {name: int(name in row["label"]) for name in WORDS} for row in rows_with_labels(80)]
    file = write_table(tmp_path / "t.csv", rows)
    with pytest.raises(InputError, match=r"""--label_columns '\["billing", "bug", "praise"\]'"""):
        split(tmp_path, labelled=str(file))


def test_columns_of_labels_are_named_so_that_the_flag_can_be_pasted(tmp_path: Path) -> None:
    names = ["Home, Garden", "yes", "on: off", "it's"]
    rows = [{"text": f"a text, {n}"} | {name: n // 2**k % 2 for k, name in enumerate(names)} for n in range(64)]
    corpus = CorpusConfig(source=str(write_table(tmp_path / "t.csv", rows)))
    with pytest.raises(InputError) as caught:
        find_columns(corpus, None, None, labelled=True)
    command = str(caught.value).split("`")[-2]
    assert json.loads(shlex.split(command)[1]) == names


def test_test_texts_are_read_like_the_labelled_ones(tmp_path: Path) -> None:
    rows = rows_with_labels(120)
    for number, row in enumerate(rows):
        row["text"] += f" number {number}."
        row["label"] = ";".join(row["label"])
    labelled, test = write_table(tmp_path / "t.csv", rows[:90]), write_table(tmp_path / "u.csv", rows[90:])
    found, parts = split(tmp_path, labelled=str(labelled), test=str(test))
    assert found.test_texts == 30
    assert all(isinstance(row["label"], list) for row in parts["test"])


def test_a_plan_compares_several_labels_by_micro_f1_and_tells_of_uneven_classes() -> None:
    even, uneven = facts(100), facts(100)
    uneven.counts[:] = [90, 10]
    design = rules.Design("tiny", 2000, 64, False, 128, [100], [0, 1], ["bag-of-words"], 1, 1)

    def told(found: texts.Texts, score: str | None = None) -> tuple[str, str]:
        rows = {row[0]: row[1:] for row in choices_of(dataclasses.replace(design, score=score), found)}
        return rows["score"]

    assert told(even) == ("accuracy", "each class counts by its texts")
    assert told(uneven)[0] == "accuracy"
    assert "9 times smaller than the largest; `--score macro_f1`" in told(uneven)[1]
    assert told(uneven, "macro_f1") == ("macro-F1", "as asked for")


def test_a_label_of_one_text_is_told_and_kept(tmp_path: Path, caplog) -> None:
    rows = rows_with_labels(60)
    for number, row in enumerate(rows):
        row["text"] += f" number {number}."
    rows[5]["label"] = [*rows[5]["label"], "rare"]
    with caplog.at_level("WARNING"):
        found, _ = split(tmp_path, labelled=str(write_jsonl(tmp_path / "t.jsonl", rows)))
    assert dict(zip(found.classes, found.counts, strict=True))["rare"] == 1
    assert "only one text is left to train on for rare" in caplog.text


@pytest.mark.parametrize("other", [{"label_column": "x"}, {"label_separator": ";"}])
def test_columns_of_labels_stand_alone(other: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="label_columns: are instead of"):
        OwnDataConfig(labelled="t.csv", label_columns=["a", "b"], **other)
