"""The columns of test and unlabelled texts are those of the labelled ones, or the message says how to name them."""

import random
from pathlib import Path
from typing import Any

import pytest

from configs.errors import InputError
from finetune.own_data.columns import Columns, find_columns
from finetune.own_data.config import OwnDataConfig
from finetune.own_data.sources import find_sources
from tests.finetune.own_data.test_columns import rows_of
from tests.finetune.own_data.test_texts import long_text
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
        # The label's number is nothing to unlabelled texts.
        ("{text},{name}", ("1", None)),
        ("{name},{text}", ("2", None)),
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
    classes = {cells(n)[1] for n in range(40)}
    assert find_columns(corpus, None, None, True, Columns("1", "2", False), classes)[:2] == ("1", "2")


@pytest.mark.parametrize("rows", [6, 60])
@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("{class},{text}", ("2", "1")),
        ("{user},{class},{text}", ("3", "2")),
        ("{text},{user},{class}", ("1", "3")),
        ("{text},{class}", ("1", "2")),
    ],
)
def test_the_number_of_the_label_is_one_only_above_the_classes(
    tmp_path: Path, line: str, place: tuple[str, str], rows: int
) -> None:
    file, rng = tmp_path / "t.csv", random.Random(1)
    cells = [
        {"user": f"user{n}", "text": f"{sentence(n % 2, rng)} {n}", "class": ("ham", "spam")[n % 2]}
        for n in range(rows)
    ]
    file.write_text("".join(f"{line.format(**cell)}\n" for cell in cells))
    corpus, likely = CorpusConfig(source=str(file), header=False), Columns("2", "1", False)
    if rows > 6 or place == ("2", "1"):
        assert find_columns(corpus, None, None, True, likely, {"ham", "spam"})[:2] == place
        return
    # So few tell nothing.
    with pytest.raises(
        InputError, match=r"it has to be column 1 of a table without a header, as in the labelled texts$"
    ):
        find_columns(corpus, None, None, True, likely, {"ham", "spam"})


def test_a_name_for_the_labels_of_a_table_without_a_header_is_asked_about_with_the_flag(tmp_path: Path) -> None:
    # A title that is called as columns are makes a header of the first row.
    rng, file = random.Random(1), tmp_path / "t.csv"
    lines = [f"{n % 2 + 1},So it is,{sentence(n % 2, rng)} {n}." for n in range(60)]
    file.write_text("\n".join(["2,Review,I love it all in all.", *lines]))
    corpus = CorpusConfig(source=str(file), split="all")
    with pytest.raises(InputError, match=r"; if the first row of a table is one of its texts, give `--header false`$"):
        find_columns(corpus, None, None, True, Columns("3", "1", False), {"1", "2"})


@pytest.mark.parametrize(
    ("classes", "values", "is_taken"),
    [
        (("bad", "good"), ("Good", "bad"), True),
        (("bad", "so", "good"), ("bad", "so", "good"), True),
        ((["war"], ["war", "drama"]), (["drama"], ["war"]), True),
        # Others, only some of them, yes and no, and numbers may be about something else.
        (("bad", "good"), ("bad", "new"), False),
        (("low", "medium", "high"), ("low", "high"), False),
        (("no", "yes"), ("no", "yes"), False),
        (("Nein", "Ja"), ("nein", "ja"), False),
        (("N", "Y"), ("N", "Y"), False),
        (("t", "f"), ("t", "f"), False),
        (("no", "yes", "perhaps"), ("no", "yes", "perhaps"), False),
        (("0", "1"), ("0", "1"), False),
        ((1, 2, 3, 4, 5), (1, 2, 3, 4, 5), False),
    ],
)
def test_a_test_file_may_call_its_label_anything_if_it_has_all_classes_and_these_are_words(
    tmp_path: Path, caplog, classes: tuple, values: tuple, is_taken: bool
) -> None:
    rng = random.Random(1)
    labelled, test = (
        [{"text": long_text(rng, n % 2), name: ones[n % len(ones)]} for n in range(60)]
        for name, ones in (("mood", classes), ("gold", values))
    )
    config = OwnDataConfig(
        labelled=str(write_jsonl(tmp_path / "a.jsonl", labelled)), test=str(write_jsonl(tmp_path / "b.jsonl", test))
    )
    if not is_taken:
        with pytest.raises(InputError, match=r"none has a usual name; .*call the column 'mood', as in .*, or 'label'$"):
            find_sources(config)
        return
    found = find_sources(config).test
    assert found is not None
    assert found.label_column == "gold"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "column 'gold' of" in caplog.text
    assert "if the label is another, call the column 'mood', as in the labelled texts" in caplog.text


@pytest.mark.parametrize(
    ("head", "header", "label"),
    [
        ("text,gold", None, "gold"),
        ("REVIEW,gold", None, "gold"),
        # What may be a row, unless it is said to be none.
        ("so so,neutral", None, None),
        ("It was so so.,neutral", None, None),
        ("Kommentar,Urteil", None, None),
        ("Kommentar,Urteil", True, "Urteil"),
    ],
)
def test_a_test_table_may_call_its_label_anything_under_a_header_beyond_doubt(
    tmp_path: Path, head: str, header: bool | None, label: str | None
) -> None:
    rng = random.Random(1)
    for name, first in (("a", "review,mood"), ("b", head)):
        lines = [f"{long_text(rng, n % 2)},{('bad', 'good')[n % 2]}" for n in range(60)]
        (tmp_path / f"{name}.csv").write_text("\n".join([first, *lines]))
    config = OwnDataConfig(labelled=str(tmp_path / "a.csv"), test=str(tmp_path / "b.csv"), header=header)
    if label is None:
        with pytest.raises(InputError, match="none has a usual name; it has "):
            find_sources(config)
        return
    found = find_sources(config).test
    assert found is not None
    assert (found.label_column, found.header) == (label, header)


@pytest.mark.parametrize(
    ("train", "head", "test", "expected", "is_told"),
    [
        # Other columns beside the label, or fewer.
        ("{id},{text},{class}", "", "{text},{class}", ("1", "2"), True),
        ("{text},{class}", "", "{text},{user},{class}", ("1", "3"), True),
        ("{text},{class}", "", "{user},{text},{class}", ("2", "3"), True),
        ("{id},{text},{stars}", "", "{text},{stars}", ("1", "2"), True),
        # The labelled texts have a header, under which columns have places, too, or are called by numbers.
        ("{text},{class}", "review,mood", "{text},{class}", ("1", "2"), False),
        ("{text},{class}", "review,mood", "{class},{text}", ("2", "1"), True),
        ("{text},{class},{id}", "text,1,2", "{text},{class}", ("1", "2"), False),
        # Something else that is numbers, too.
        ("{id},{text},{stars}", "", "{text},{persons}", None, False),
    ],
)
def test_the_label_of_a_test_table_without_a_header_has_its_place_or_all_classes(
    tmp_path: Path, caplog, train: str, head: str, test: str, expected: tuple[str, str] | None, is_told: bool
) -> None:
    (tmp_path / "set").mkdir()
    rng = random.Random(1)
    for name, line, first in (("train", train, [head] * bool(head)), ("test", test, [])):
        cells = [
            {
                "id": n,
                "user": f"user{n}",
                "text": f"{long_text(rng, n % 2)} {n}.",
                "class": ("ham", "spam")[n % 2],
                "stars": n % 5 + 1,
                "persons": n % 4 + 1,
            }
            for n in range(60)
        ]
        (tmp_path / "set" / f"{name}.csv").write_text("\n".join([*first, *(line.format(**cell) for cell in cells)]))
    keys: dict[str, Any] = {"label_column": "1"} if "1" in head else {}
    files: dict[str, Any] = {
        "labelled": str(tmp_path / "set" / "train.csv"),
        "test": str(tmp_path / "set" / "test.csv"),
    }
    if expected is None:
        with pytest.raises(
            InputError, match="'2' has not the same values as the label of the labelled texts; it has to"
        ):
            find_sources(OwnDataConfig(**files, **keys))
        assert find_sources(OwnDataConfig(labelled=str(tmp_path / "set"), **keys)).test is None
        assert "has no labels that are known as such, and is left out" in caplog.text
        return
    for config in (OwnDataConfig(**files, **keys), OwnDataConfig(labelled=str(tmp_path / "set"), **keys)):
        caplog.clear()
        found = find_sources(config).test
        assert found is not None
        assert (found.text_column, found.label_column, found.header) == (*expected, False)
        assert ("is taken for the label, as it has the same values" in caplog.text) == is_told
        assert [record.levelname for record in caplog.records] == ["WARNING"] * is_told


def test_a_row_of_test_texts_that_is_taken_for_a_header_is_told(tmp_path: Path, caplog) -> None:
    rng = random.Random(1)
    for name, first in (("a", "aside,It is so."), ("b", "topic,what now")):
        lines = [f"{('topic', 'aside')[n % 2]},{long_text(rng, n % 2)} {n}." for n in range(60)]
        (tmp_path / f"{name}.csv").write_text("\n".join([first, *lines]))
    find_sources(OwnDataConfig(labelled=str(tmp_path / "a.csv"), test=str(tmp_path / "b.csv")))
    assert "b.csv ('what now', 'topic') is taken for names of columns; if it is one of its texts, give" in caplog.text


def test_numbers_of_rows_are_not_the_classes_of_test_texts(tmp_path: Path) -> None:
    rng = random.Random(1)
    labelled = [f'{rng.randrange(20)},"{long_text(rng, n % 2)} {n}."' for n in range(400)]
    numbered = [f'{n},"{long_text(rng, n % 2)} {n}, too."' for n in range(15)]
    for name, lines in (("train", labelled), ("test", numbered)):
        (tmp_path / f"{name}.csv").write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"label_column: which column of .* is the label"):
        find_sources(OwnDataConfig(labelled=str(tmp_path / "train.csv"), test=str(tmp_path / "test.csv")))


@pytest.mark.parametrize("part", ["test", "unlabelled"])
@pytest.mark.parametrize("separator", [None, ";"])
def test_a_first_row_with_several_labels_is_no_header(tmp_path: Path, part: str, separator: str | None) -> None:
    rng = random.Random(1)
    joined = ("war;drama", "comedy;crime", "drama", "war")
    for name in ("a", "b"):
        lines = [f'"{long_text(rng, n % 2)} {n}.",{joined[n % 4]}' for n in range(60)]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines))
    further: dict[str, Any] = {part: str(tmp_path / "b.csv")}
    sources = find_sources(OwnDataConfig(labelled=str(tmp_path / "a.csv"), label_separator=separator, **further))
    found = getattr(sources, part)
    assert (sources.labelled.header, found.header, found.text_column) == (False, False, "1")


def test_a_row_called_as_columns_are_is_told(tmp_path: Path, caplog) -> None:
    lines = [
        f"{('give me', 'where is')[n % 2]} that and this {n},{('statement', 'question')[n % 2]}" for n in range(60)
    ]
    (tmp_path / "a.csv").write_text("\n".join(["Satz,question", *lines]))
    find_sources(OwnDataConfig(labelled=str(tmp_path / "a.csv")))
    told = [record for record in caplog.records if "the first row of" in record.message]
    assert [record.levelname for record in told] == ["WARNING"]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("{name},{text}", ("2", None)),
        ("{name},{class},{text}", ("3", "2")),
        ("{name},{text},{class}", ("2", "3")),
        # As many columns with the label in its place: the texts may be the short ones.
        ("{name},{class}", ("1", "2")),
    ],
)
def test_the_number_of_a_column_is_not_that_of_names_beside_longer_texts(tmp_path: Path, line: str, found) -> None:
    rng = random.Random(1)
    cells = [
        {"name": f"Bob van Dyk {n}", "text": f"{sentence(n % 2, rng) * 3} {n}", "class": ("ham", "spam")[n % 2]}
        for n in range(60)
    ]
    for name, form in (("a.csv", "{text},{class}"), ("b.csv", line)):
        (tmp_path / name).write_text("".join(f"{form.format(**cell)}\n" for cell in cells))
    part = "unlabelled" if found[1] is None else "test"
    keys: dict[str, Any] = {part: str(tmp_path / "b.csv")}
    sources = find_sources(OwnDataConfig(labelled=str(tmp_path / "a.csv"), **keys))
    corpus = sources.unlabelled if found[1] is None else sources.test
    assert corpus is not None
    assert (corpus.text_column, found[1] and corpus.label_column) == found


def test_a_column_of_titles_stays_one_in_a_table_like_it(tmp_path: Path) -> None:
    rng = random.Random(1)
    for name in ("train.csv", "test.csv", "more.csv"):
        # Without their labels, too.
        rows = [f"{n % 2 + 1},so it is {n},{sentence(n % 2, rng) * 3} {n}\n" for n in range(60)]
        rows = rows if name != "more.csv" else [row[1:] for row in rows]
        (tmp_path / "set").mkdir(exist_ok=True)
        (tmp_path / "set" / name).write_text("".join(rows))
    keys: dict[str, Any] = {"text_column": "2", "label_column": "1", "unlabelled": str(tmp_path / "set" / "more.csv")}
    for test in (None, str(tmp_path / "set" / "test.csv")):
        source = str(tmp_path / "set") if test is None else str(tmp_path / "set" / "train.csv")
        found = find_sources(OwnDataConfig(labelled=source, test=test, **keys))
        assert [corpus.text_column for corpus in found.corpora()] == ["2", "2", "2"]


@pytest.mark.parametrize("keys", [{"labels": ["bad", "good"]}, {}])
def test_the_classes_of_test_texts_are_those_that_are_asked_for(tmp_path: Path, keys: dict) -> None:
    labelled, test = (rows_of("text", name) for name in ("label", "mood"))
    # Of a class that is left out, or without one.
    labelled += [row | {"label": "so so" if keys else "unsup"} for row in labelled[:8]]
    config = OwnDataConfig(
        labelled=str(write_table(tmp_path / "a.csv", labelled)), test=str(write_table(tmp_path / "b.csv", test)), **keys
    )
    found = find_sources(config).test
    assert found is not None
    assert found.label_column == "mood"


@pytest.mark.parametrize("first", ["y", "n"])
@pytest.mark.parametrize("form", ['"{text}.",{label},{source}', '"{text}.",{label}'])
def test_a_class_that_is_called_as_labels_are_is_no_name_of_them(tmp_path: Path, first: str, form: str) -> None:
    rng = random.Random(1)
    labels = [first, *(("n", "y")[n % 2] for n in range(60))]
    lines = [
        form.format(text=long_text(rng, n % 2), label=label, source=("web", "app", "shop")[n % 3])
        for n, label in enumerate(labels)
    ]
    for name, head in (("train", "text,label,source" if "source" in form else "text,label"), ("test", "")):
        (tmp_path / f"{name}.csv").write_text("\n".join([head] * bool(head) + lines))
    keys: dict[str, Any] = {"labelled": str(tmp_path / "train.csv"), "test": str(tmp_path / "test.csv")}
    if "source" in form:
        # As with any other class in the first row, nothing tells which column has these.
        with pytest.raises(InputError, match="'2', '3' may all be it"):
            find_sources(OwnDataConfig(**keys))
        return
    found = find_sources(OwnDataConfig(**keys)).test
    assert found is not None
    assert (found.text_column, found.label_column, found.header) == ("1", "2", False)
