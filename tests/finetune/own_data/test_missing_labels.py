"""A label that says that there is none is a class only where that is told."""

import random
from pathlib import Path
from typing import Any

import pytest

from configs.errors import InputError
from tests.finetune.own_data.test_texts import long_text, split
from tests.helpers.corpora import write_jsonl, write_table


def table(file: Path, labels: list[Any], count: int = 60) -> str:
    """A table of texts with these labels in turn."""
    rng = random.Random(0)
    return str(write_table(file, [{"text": long_text(rng, 1), "label": labels[n % len(labels)]} for n in range(count)]))


@pytest.mark.parametrize(
    ("labels", "classes", "unlabelled"),
    [
        (["supervised", "unsupervised", "reinforcement"], ["reinforcement", "supervised", "unsupervised"], 0),
        (["pos", "neg", "unsupervised"], ["neg", "pos"], 20),
        (["pos", "neg", "unsup"], ["neg", "pos"], 20),
    ],
)
def test_unsupervised_is_a_class_beside_supervised(tmp_path: Path, caplog, labels, classes, unlabelled) -> None:
    with caplog.at_level("INFO"):
        facts, _ = split(tmp_path, labelled=table(tmp_path / "t.csv", labels))
    assert (facts.classes, facts.unlabelled_texts) == (classes, unlabelled)
    assert ("are taken for texts without one" in caplog.text) == (unlabelled > 0)


@pytest.mark.parametrize("missing", ["NA", "nan", "N/A", "null", "?", "-"])
def test_missing_labels_are_refused_beside_numbers_and_told_beside_words(tmp_path: Path, caplog, missing: str) -> None:
    with pytest.raises(InputError, match=r"the label is .*20 of 60 rows.*`--unlabelled`.* is a class, give `--labels`"):
        split(tmp_path, labelled=table(tmp_path / "t.csv", ["0", "1.0", missing]))
    facts, _ = split(tmp_path, labelled=table(tmp_path / "t.csv", ["0", "1", missing]), maximum_set_aside=0.5)
    assert (facts.classes, facts.train_texts + facts.test_texts) == (["0", "1"], 40)
    # Who asks for it knows.
    labelled = table(tmp_path / "t.csv", ["0", "1", missing])
    assert len(split(tmp_path, labelled=labelled, labels=["0", "1", missing])[0].classes) == 3
    caplog.clear()
    facts, _ = split(tmp_path, labelled=table(tmp_path / "t.csv", ["pos", "neg", missing]))
    assert (len(facts.classes), f"taken for classes: {missing!r} (20 texts);" in caplog.text) == (3, True)
    facts, _ = split(tmp_path, labelled=table(tmp_path / "t.csv", ["pos", "neg", missing]), labels=["pos", "neg"])
    assert facts.classes == ["neg", "pos"]


def test_a_class_in_training_is_one_in_the_test_file(tmp_path: Path) -> None:
    labelled = table(tmp_path / "t.csv", ["0", "1", "both", "None"])
    test = tmp_path / "u.csv"
    write_table(test, [{"text": f"Another text, number {n}", "label": ("0", "1", "none")[n % 3]} for n in range(30)])
    assert split(tmp_path, labelled=labelled, test=str(test))[0].test_texts == 30
    # If it is none in training, it is none there.
    labelled = table(tmp_path / "t.csv", ["0", "1"])
    with pytest.raises(InputError, match="the label is 'none'"):
        split(tmp_path, labelled=labelled, test=str(test))


@pytest.mark.parametrize("labels", [["FAVOR", "AGAINST", "NONE"], ["0", "-1", "1"], ["good", "bad"], ["-1", "+1"]])
def test_other_labels_are_as_they_were(tmp_path: Path, caplog, labels: list[str]) -> None:
    assert len(split(tmp_path, labelled=table(tmp_path / "t.csv", labels))[0].classes) == len(labels)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize("hidden", ["", "-1", "?"])
@pytest.mark.parametrize("validation", [None, "labelled", "hidden"])
def test_a_test_split_with_hidden_labels_is_left_out(tmp_path: Path, caplog, hidden: str, validation) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    table(folder / "train.csv", ["pos", "neg"])
    table(folder / "test.csv", [hidden], 20)
    if validation is not None:
        rows = [{"text": f"Another text, number {n}", "label": ("pos", "neg")[n % 2]} for n in range(10)]
        write_table(folder / "dev.csv", [row | {"label": hidden} for row in rows] if validation == "hidden" else rows)
    facts, _ = split(tmp_path, labelled=str(folder))
    assert (facts.classes, facts.test_texts) == (["neg", "pos"], 10 if validation == "labelled" else 12)
    instead = "the split 'dev' is taken" if validation == "labelled" else "other texts are set aside"
    assert f"has no labels, and is left out; {instead} for testing" in caplog.text


@pytest.mark.parametrize("hidden", ["-1", "?"])
def test_hidden_labels_of_a_table_without_a_header_are_known_by_their_place(
    tmp_path: Path, caplog, hidden: str
) -> None:
    (tmp_path / "set").mkdir()
    for name, labels in (("train", ("pos", "neg")), ("test", (hidden, hidden))):
        lines = [f"This is {name} text number {n} of many.,{labels[n % 2]}" for n in range(40)]
        (tmp_path / "set" / f"{name}.csv").write_text("\n".join(lines))
    assert split(tmp_path, labelled=str(tmp_path / "set"))[0].classes == ["neg", "pos"]
    assert "the split 'test' of" in caplog.text
    assert "has no labels, and is left out; other texts are set aside for testing\n" in caplog.text


def test_a_label_that_training_texts_have_is_not_hidden(tmp_path: Path, caplog) -> None:
    (tmp_path / "set").mkdir()
    table(tmp_path / "set" / "train.csv", ["-1", "1"])
    rows = [{"text": f"Another text, number {n}", "label": "-1"} for n in range(10)]
    write_table(tmp_path / "set" / "test.csv", rows)
    assert split(tmp_path, labelled=str(tmp_path / "set"))[0].test_texts == 10
    assert "left out" not in caplog.text


def test_a_test_split_may_call_its_columns_otherwise(tmp_path: Path, caplog) -> None:
    (tmp_path / "set").mkdir()
    table(tmp_path / "set" / "train.csv", ["pos", "neg"])
    rows = [{"Text": f"Another text, number {n}", "LABEL": ("pos", "neg")[n % 2]} for n in range(10)]
    write_table(tmp_path / "set" / "test.csv", rows)
    write_jsonl(tmp_path / "set" / "unlabelled.jsonl", [{"TEXT": f"More text, number {n}"} for n in range(7)])
    facts, parts = split(tmp_path, labelled=str(tmp_path / "set"))
    assert (facts.test_texts, facts.unlabelled_texts, "left out" in caplog.text) == (10, 7, False)
    assert {"text", "label"} <= parts["test"][0].keys()
