"""The columns of test and unlabelled texts are those of the labelled ones, or the message says how to name them."""

import random
from pathlib import Path

import pytest

from configs.errors import InputError
from finetune.own_data.columns import Columns, find_columns
from tests.finetune.own_data.test_columns import rows_of
from tests.helpers.corpora import write_jsonl, write_table
from tests.helpers.finetuning import sentence
from tokenizer.corpus.config import CorpusConfig


def test_the_columns_of_the_labelled_texts_are_taken_where_they_are_in_another_file(tmp_path: Path) -> None:
    likely = Columns("opinion", "mood", None)
    rows = rows_of("opinion", "mood", text="a long text that has a usual name, and is the same each time", label=3)
    corpus = CorpusConfig(source=str(write_jsonl(tmp_path / "t.jsonl", rows)))
    assert find_columns(corpus, None, None, True, likely)[:2] == ("opinion", "mood")
    rows = rows_of("text", "label")
    corpus = CorpusConfig(source=str(write_jsonl(tmp_path / "u.jsonl", rows)))
    assert find_columns(corpus, None, None, True, likely)[:2] == ("text", "label")


def test_advice_about_further_texts_is_to_rename_their_columns(tmp_path: Path) -> None:
    likely = Columns("text", "label", None)
    rows = [{"text": f"a text of some length, {n}", "verdict": n % 2} for n in range(6)]
    corpus = CorpusConfig(source=str(write_table(tmp_path / "t.csv", rows)))
    with pytest.raises(InputError, match=r"call the column 'label', as in the labelled texts$"):
        find_columns(corpus, None, None, True, likely)
    corpus = CorpusConfig(source=str(write_table(tmp_path / "u.csv", [{"answer": word} for word in "abc" * 9])))
    with pytest.raises(InputError, match=r"call the column 'text', as in the labelled texts$"):
        find_columns(corpus, None, None, False, likely)
    rows = [{"TEXT": row["text"], "Label": row["verdict"], "sentiment": n % 3} for n, row in enumerate(rows * 5)]
    corpus = CorpusConfig(source=str(write_table(tmp_path / "v.csv", rows)))
    assert find_columns(corpus, None, None, True, likely)[:2] == ("TEXT", "Label")
    # A number cannot be a name.
    corpus = CorpusConfig(source=str(tmp_path / "u.csv"))
    with pytest.raises(InputError, match=r"it has to be column 2 of a table without a header"):
        find_columns(corpus, None, None, False, Columns("2", "1", False))


@pytest.mark.parametrize(("name", "is_taken"), [("Sentiment", True), ("verified", False)])
def test_the_label_of_test_texts_has_a_usual_name(tmp_path: Path, name: str, is_taken: bool) -> None:
    # Any column of few values was the label, whatever it was about.
    corpus = CorpusConfig(source=str(write_table(tmp_path / "t.csv", rows_of("text", name))))
    if is_taken:
        assert find_columns(corpus, None, None, True, Columns("text", "label", None)).label == name
        return
    with pytest.raises(InputError, match=r"none has a usual name; .*call the column 'label', as in the labelled texts"):
        find_columns(corpus, None, None, True, Columns("text", "label", None))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{id},{text}", ("2", None)),
        ("{text},2020-01-{id}", ("1", None)),
        ("{text}", ("1", None)),
        ("{text},{class}", ("1", "2")),
        ("{class},{text}", ("2", "1")),
        ("{id},{name}", ("2", None)),
    ],
)
@pytest.mark.parametrize("likely", [Columns("2", "1", False), Columns("1", "2", False)])
def test_the_number_of_a_column_is_no_name(tmp_path: Path, likely: Columns, line: str, expected: tuple) -> None:
    file, rng = tmp_path / "t.csv", random.Random(1)
    cells = [
        {
            "id": n + 10,
            "text": f"{sentence(n % 2, rng)} {n}",
            "class": ("neg", "pos")[n % 2],
            "name": f"someone{n * 7919}",
        }
        for n in range(60)
    ]
    file.write_text("".join(f"{line.format(**cell)}\n" for cell in cells))
    found = find_columns(CorpusConfig(source=str(file), header=False), None, None, expected[1] is not None, likely)
    assert found[:2] == expected


@pytest.mark.parametrize(
    "cells",
    [
        # Of a few texts, each may have another label; it may have more words than the text.
        lambda n: (f"a text of some length, {n}", f"intent_{n}"),
        lambda n: (f"word{n}", f"an intent of several words, {n}"),
    ],
)
def test_each_label_of_a_few_test_texts_may_be_another(tmp_path: Path, cells) -> None:
    file = tmp_path / "t.csv"
    file.write_text("".join('"{}","{}"\n'.format(*cells(n)) for n in range(20)))
    corpus = CorpusConfig(source=str(file), header=False)
    assert find_columns(corpus, None, None, True, Columns("1", "2", False))[:2] == ("1", "2")
