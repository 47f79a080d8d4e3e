"""The first row of a table is its header or a row, also where its cells are short or stand after a space."""

import dataclasses
import random
from pathlib import Path

import pytest

from configs.errors import InputError
from finetune.own_data.columns import find_columns
from finetune.own_data.contents import Content
from finetune.own_data.headers import is_data
from tests.helpers.finetuning import sentence
from tokenizer.corpus.config import CorpusConfig


def columns_of(file: Path, lines: list[str], labelled: bool = True) -> tuple:
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return find_columns(CorpusConfig(source=str(file), split="all"), None, None, labelled)


@pytest.mark.parametrize("labels", ["01", ("neg", "pos")])
@pytest.mark.parametrize(("form", "expected"), [("{1}, {0}", ("1", "2")), ("{0} , {1}", ("2", "1"))])
def test_spaces_around_a_separator_do_not_make_a_row_a_header(tmp_path: Path, labels, form: str, expected) -> None:
    rng = random.Random(1)
    lines = [form.format(labels[n % 2], f"{sentence(n % 2, rng)}.") for n in range(60)]
    assert columns_of(tmp_path / "t.csv", lines) == (*expected, False)


@pytest.mark.parametrize(
    ("first", "header"),
    [
        ("Ok,1", False),
        ("Text!,0", False),
        ("no way,1", False),
        ("doc_en,0", True),
        ("Text_EN,0", True),
        ("doc,1", True),
        # A usual name, a word above words, numbers above what is none.
        ("comment,1", True),
        ("remark,vote", True),
        ("0,1", True),
    ],
)
def test_a_number_of_a_class_in_the_first_row_is_a_label(tmp_path: Path, first: str, header: bool) -> None:
    rng = random.Random(1)
    found = columns_of(tmp_path / "t.csv", [first, *(f"{sentence(n % 2, rng)},{n % 2}" for n in range(60))])
    assert found == ((*first.split(","), None) if header else ("1", "2", False))


def test_columns_for_classes_that_are_numbers_have_names(tmp_path: Path, caplog) -> None:
    rng = random.Random(1)
    rows = [f"{sentence(n % 2, rng)},{n % 2},{1 - n % 2}" for n in range(60)]
    with pytest.raises(InputError, match=r"'0', '1' may all be it; it has 'doc' "):
        columns_of(tmp_path / "t.csv", ["doc,0,1", *rows])
    with caplog.at_level("INFO"), pytest.raises(InputError, match="'2', '3' may all be it"):
        columns_of(tmp_path / "u.csv", ["Ok,0,1", *rows])
    assert "u.csv is taken for one of its texts (`--header`)" in caplog.text


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ("1,Why would anyone watch this?", ("2", None, False)),
        ("Nr,What did you like most about it?", ("What did you like most about it?", None, None)),
        ("Nr,Comment", ("Comment", None, None)),
        (",Why?", ("Why?", None, None)),
    ],
)
def test_a_question_beside_the_number_of_a_row_is_a_text(tmp_path: Path, first: str, expected: tuple) -> None:
    rng = random.Random(1)
    lines = [first, *(f"{n},{sentence(n % 2, rng)}." for n in range(2, 40))]
    assert columns_of(tmp_path / "t.csv", lines, labelled=False) == expected


@pytest.mark.parametrize(
    ("first", "others", "expected"),
    [
        # A class may be called as columns are.
        ("y,{long}", ["n,{text}", "y,{text}"], ("2", "1")),
        ("question,How was it?", ["request,{text}", "question,{text}"], ("2", "1")),
        # An empty cell tells nothing, whatever else is a number.
        ("x,0,,{long}", ["x,1,*,{text}", "x,0,,{text}"], ("4", "2")),
        ("5,,{long}", ["3,{text},{text}{text}", "5,{text},{text}{text}"], ("3", "1")),
        # A class in other letters, also beside a question or a remark.
        ("Pos,{long}", ["neg,{text}", "pos,{text}"], ("2", "1")),
        ("Pos,Why would anyone do it?", ["neg,{text}?", "pos,{text}", "neg,{text}"], ("2", "1")),
        ("Pos,Loved it (all of it).", ["neg,{text}", "pos,{text}"], ("2", "1")),
        # A name of texts is none above classes.
        ("question,How to install it on this", ["bug,{text}", "question,{text}"], ("2", "1")),
        ("1,question,How to install it on this", ["{n},bug,{text}", "{n},question,{text}"], ("3", "2")),
        ("review,so so", ["review,{text}", "praise,{text}"], ("2", "1")),
    ],
)
def test_a_row_is_no_header_by_one_of_its_cells(tmp_path: Path, first: str, others: list[str], expected) -> None:
    rng = random.Random(1)
    rows = [
        others[n % len(others)].replace("{text}", f"{sentence(n % 2, rng)} {n}").replace("{n}", str(n))
        for n in range(60)
    ]
    lines = [first.format(long="It was a good film in all that it had."), *rows]
    assert columns_of(tmp_path / "t.csv", lines) == (*expected, False)


@pytest.mark.parametrize(
    ("head", "classes"),
    [
        # Two words are no sentence, and a class may be called as its column.
        ("Customer Feedback,y", "yn"),
        ("Customer Feedback,label", ("spam", "label")),
        # A survey, whose answers are written otherwise.
        ("What did you like about the hotel?,Yes", ("yes", "no")),
        ("Kommentar,Bemerkung!,Y", (",y", "x,n")),
    ],
)
def test_a_column_may_be_called_as_one_of_its_values(tmp_path: Path, head: str, classes) -> None:
    rng = random.Random(1)
    rows = [f"{sentence(n % 2, rng)},{classes[n % 2]}" for n in range(60)]
    names = head.split(",")
    assert columns_of(tmp_path / "t.csv", [head, *rows]) == (names[0], names[-1], None)


def test_a_sentence_that_is_taken_for_a_row_is_told(tmp_path: Path, caplog) -> None:
    rng = random.Random(1)
    rows = [f"{sentence(n % 2, rng)},{('neg', 'pos')[n % 2]}" for n in range(60)]
    with caplog.at_level("INFO"):
        found = columns_of(tmp_path / "t.csv", ["It was a good film in all that it had.,pos", *rows])
    assert found == ("1", "2", False)
    assert "the first row of" in caplog.text
    assert "is taken for one of its texts (`--header`)" in caplog.text


@pytest.mark.parametrize("head", ["text,mood", "remark,mood,nr"])
def test_a_number_beside_a_header_is_asked_about(tmp_path: Path, head: str) -> None:
    rng, file = random.Random(1), tmp_path / "t.csv"
    rows = [f"{sentence(n % 2, rng)},{('neg', 'pos')[n % 2]}{f',{n}' * (head.count(',') - 1)}" for n in range(60)]
    file.write_text("\n".join([head, *rows]))
    corpus = CorpusConfig(source=str(file), split="all")
    told = (
        r"^label_column: .*t\.csv has no column '2', as its first row looks like names .* 'mood' \(2 values\).*; give "
    )
    with pytest.raises(InputError, match=f"{told}one of these or, if that row is one of the texts, `--header false`$"):
        find_columns(corpus, None, "2", labelled=True)
    corpus = dataclasses.replace(corpus, header=False)
    assert find_columns(corpus, None, "2", labelled=True) == ("1", "2", False)


def test_numbers_of_labels_beside_a_header_are_asked_about(tmp_path: Path) -> None:
    rng, file = random.Random(1), tmp_path / "t.csv"
    rows = [f"{sentence(n % 2, rng)},{n % 2},{n // 2 % 2}" for n in range(60)]
    file.write_text("\n".join(["text,billing,bug", *rows]))
    with pytest.raises(InputError, match=r"^label_columns: .* has no column '2', as its first row looks like names"):
        find_columns(CorpusConfig(source=str(file), label_columns=["2", "3"]), None, None, labelled=False)
    # Numbers may be names, too.
    file.write_text("\n".join(["text,1,2", *rows]))
    with pytest.raises(InputError, match=r"^label_columns: .* has no column '3', as its first row looks like names"):
        find_columns(CorpusConfig(source=str(file), label_columns=["2", "3"]), None, None, labelled=False)


@pytest.mark.parametrize(
    ("first", "cells", "given"),
    [
        # Cells that are called as columns are, of rows that have a class where the number says.
        ("question,so it is", "{act},{text}", {"label": "1"}),
        ("2,Review,{long}", "{number},it {n},{text}", {"label": "1"}),
        ("so it is,Question,no", "{text},{text},{word}", {"label": "3", "second_text_column": "2"}),
        ("so it is,so is it,y", "{text},{text},{y}", {"label": None, "second_text_column": "2"}),
        # A word above numbers, several labels.
        ("so it is,unknown,no", "{text},{n},{word}", {"label": "3"}),
        ('so it is,"4,10",eeb', '{text},"4,{number}",{n}x', {"label": "2", "label_separator": ","}),
    ],
)
def test_a_number_is_of_a_table_without_a_header(tmp_path: Path, first: str, cells: str, given: dict) -> None:
    rng, file = random.Random(1), tmp_path / "t.csv"
    rows = [
        cells.format(
            act=("question", "request")[n % 2],
            number=n % 2 + 1,
            word=("no", "yes")[n % 2],
            y="xy"[n % 2],
            n=n,
            text=f"{sentence(n % 2, rng)} {n}",
        )
        for n in range(60)
    ]
    file.write_text("\n".join([first.format(long="I love it; a great film."), *rows]))
    label, keys = given["label"], {key: value for key, value in given.items() if key != "label"}
    found = find_columns(CorpusConfig(source=str(file), **keys), None, label, labelled=True)
    assert (found.label, found.header) == (label or "3", False)


@pytest.mark.parametrize(
    ("head", "cells", "text", "label"),
    [
        ("text,tags", "{text},{tags}", "1", None),
        ("id,text,label", "{n},{text},{n2}", "2", "3"),
        ("Satz,Stimmung", "{text},{word}", None, "2"),
        ("Satz,Stimmung", "{text},{word}", "1", None),
        ("Satz,Wert", "{text},{n2}", "1", "2"),
        ("text,intent", "{text},intent {n}", "1", "2"),
        # A class that no other row has, and could not be trained on.
        ("so it is,perhaps", "{text},{word}", None, "2"),
    ],
)
def test_a_number_above_which_names_seem_to_stand_is_asked_about(tmp_path: Path, head, cells, text, label) -> None:
    rng, file = random.Random(1), tmp_path / "t.csv"
    rows = [
        cells.format(
            text=f"{sentence(n % 2, rng)} {n}",
            n=n,
            n2=n % 2,
            word=("no", "yes")[n % 2],
            tags=("a", "a;b", "b;c")[n % 3],
        )
        for n in range(60)
    ]
    file.write_text("\n".join([head, *rows]))
    with pytest.raises(InputError, match=r"as its first row looks like names of columns; .*`--header false`$"):
        find_columns(CorpusConfig(source=str(file)), text, label, labelled=True)
    # Of a row, which is no header, nothing is asked, and who says so is believed.
    assert find_columns(CorpusConfig(source=str(file), header=False), text or "1", label or "2", True).header is False
    file.write_text("\n".join(rows))
    assert find_columns(CorpusConfig(source=str(file)), text or "1", label or "2", labelled=True).header is None


def test_several_numbers_that_stand_in_the_first_row_are_names(tmp_path: Path) -> None:
    rng, file = random.Random(1), tmp_path / "t.csv"
    head = "Any other remarks about the course you took?"
    rows = [f"{sentence(n % 2, rng)},{n % 2},{n // 2 % 2}" for n in range(60)]
    file.write_text("\n".join([f"{head},1,2", *rows]))
    corpus = CorpusConfig(source=str(file), label_columns=["1", "2"])
    assert find_columns(corpus, None, None, labelled=False) == (head, None, None)
    # A row may have the numbers in it, of which one is no 0 or 1.
    rows = [f"{n % 2},{n // 2 % 2},{n % 4 + 1},{sentence(n % 2, rng)}" for n in range(60)]
    file.write_text("\n".join(["1,0,2,It was a good film in all. Really so.", *rows]))
    assert find_columns(corpus, None, None, labelled=False) == ("4", None, False)


@pytest.mark.parametrize(
    ("first", "cells", "label", "expected"),
    [
        # A sentence beside a class outweighs one number that no other row has.
        ("2,23,{long}", "{class},{other},{text}", None, None),
        ("2,23,{long}", "{class},{other},{text}", "1", ("3", "1", False)),
        ("{long},2,", "{text},{class},{other}", "2", ("1", "2", False)),
        # A number of a column that nothing is called by; a name that stands in the first row.
        ("12,{long}", "{class},{text}", "1", ("2", "1", False)),
        ("Tell us what you think of it in your words,Team", "{text},{team}", "Team", None),
    ],
)
def test_what_is_given_tells_a_header(tmp_path: Path, first: str, cells: str, label: str | None, expected) -> None:
    rng, file = random.Random(1), tmp_path / "t.csv"
    rows = [
        cells.replace("{class}", str(n % 3))
        .replace("{other}", str(n % 4))
        .replace("{team}", f"team {n % 25}")
        .replace("{text}", f"{sentence(n % 2, rng)} {n}")
        for n in range(60)
    ]
    head = first.format(long="It was a good film in all that it had.")
    file.write_text("".join(f"{line}\n" for line in [head, *rows]))
    corpus = CorpusConfig(source=str(file))
    if label is None:
        with pytest.raises(InputError, match="'1', '2' may all be it"):
            find_columns(corpus, None, None, labelled=True)
        return
    found = find_columns(corpus, None, label, labelled=True)
    assert found == (expected or (*head.split(","), None))


@pytest.mark.parametrize(("first", "is_told"), [("lol,pos", True), ("sms,mood", False)])
def test_a_header_that_may_be_a_row_is_told(tmp_path: Path, caplog, first: str, is_told: bool) -> None:
    rng = random.Random(1)
    lines = [first, *(f"{sentence(n % 2, rng)},{('neg', 'pos')[n % 2]}" for n in range(60))]
    assert columns_of(tmp_path / "t.csv", lines) == (*first.split(","), None)
    assert ("if it is one of its texts, give `--header false`" in caplog.text) == is_told


@pytest.mark.parametrize(
    ("text", "cell", "values", "is_row"),
    [
        ("It was a good film, all in all.", "y", {"y", "n"}, True),
        ("All comments", "y", {"y", "n"}, False),
        ("It was a good film, all in all.", "Yes", {"yes", "no"}, True),
        ("What did you like?", "Yes", {"yes", "no"}, False),
        ("where now", "question", {"question", "request"}, True),
    ],
)
def test_a_class_called_as_columns_are_beside_a_text(text: str, cell: str, values: set[str], is_row: bool) -> None:
    texts = Content(rows=9, filled=9, texts=9, words=9, characters=110)
    assert is_data({text: texts, cell: Content(rows=9, filled=9, values=values)}) == is_row
