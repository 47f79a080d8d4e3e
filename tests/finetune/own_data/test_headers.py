"""The first row of a table is its header or a row, also where its cells are short or stand after a space."""

import random
from pathlib import Path

import pytest

from configs.errors import InputError
from finetune.own_data.columns import find_columns
from tests.helpers.finetuning import sentence
from tokenizer.corpus.config import CorpusConfig


def columns_of(file: Path, lines: list[str], labelled: bool = True) -> tuple:
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return find_columns(CorpusConfig(source=str(file)), None, None, labelled)


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
