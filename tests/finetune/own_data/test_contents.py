"""Dates, addresses and digests are not taken for the texts beside them, however short these are."""

import random
from pathlib import Path
from typing import Any

import pytest

from configs.errors import InputError
from finetune.own_data.columns import Columns, find_columns
from tests.finetune.own_data.test_columns import rows_of
from tests.helpers.corpora import write_parquet, write_table
from tokenizer.corpus.config import CorpusConfig

WORDS = ("good", "bad", "fine", "dull", "slow", "not", "so", "too", "very", "plot")


def phrases(count: int = 200) -> list[str]:
    rng = random.Random(0)
    return [f"{rng.choice(WORDS)} {rng.choice(WORDS)}" for _ in range(count)]


def found_in(file: Path, labelled: bool = True, **others: Any) -> Any:
    rows = [
        {name: value(n) for name, value in others.items()} | {"Comentario": text, "nota": n % 5 + 1}
        for n, text in enumerate(phrases())
    ]
    return find_columns(CorpusConfig(source=str(write_table(file, rows))), None, None, labelled)


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize(
    "value",
    [
        lambda n: f"2023/05/{n % 28 + 1:02d} 10:{n % 60:02d}:00 AM GMT+2",
        lambda n: f"2023-05-{n % 28 + 1:02d} 10:{n % 60:02d}:{n % 59:02d}",
        lambda n: f"Mon Apr 06 22:{n % 60:02d}:45 PDT 2009",
        lambda n: f"September {n % 28 + 1}, 20{n % 20 + 10}",
        lambda n: f"{n % 28 + 1}. September 20{n % 20 + 10}",
        lambda n: f"2023年5月{n % 28 + 1}日 {n % 24}:00",
        lambda n: f"https://example.org/articles/{n}",
        lambda n: f"someone.{n}@example.org",
        lambda n: f"{n:032x}",
    ],
)
def test_what_is_no_text_is_not_taken_for_one(tmp_path: Path, value: Any, labelled: bool) -> None:
    assert found_in(tmp_path / "t.csv", labelled, Marca=value).text == "Comentario"


def test_dates_are_told_of_and_taken_where_there_is_nothing_else(tmp_path: Path, caplog) -> None:
    rows = [{"id": n, "when": f"2023-05-{n % 28 + 1:02d} 10:00:{n % 60:02d}", "class": n % 2} for n in range(60)]
    corpus = CorpusConfig(source=str(write_table(tmp_path / "t.csv", rows)))
    assert find_columns(corpus, None, None, labelled=True)[:2] == ("when", "class")
    assert "the text is 'when', which holds numbers or dates (`--text_column`)" in caplog.text
    # Of two, whoever knows tells.
    corpus = CorpusConfig(source=str(write_table(tmp_path / "u.csv", [row | {"to": row["when"]} for row in rows])))
    with pytest.raises(InputError, match=r"no column .* holds texts; .*'when' \(numbers or dates\)"):
        find_columns(corpus, None, None, labelled=True)


@pytest.mark.parametrize("form", ["{0} 741 364 {0} 192", "+49 {0} 398562", "{0} + 2 = 398562"])
@pytest.mark.parametrize("names", ["tokens,y", None])
def test_several_numbers_may_be_a_text(tmp_path: Path, caplog, form: str, names: str | None) -> None:
    lines = [f"{form.format(n + 100)},{('pos', 'neg')[n % 2]}\n" for n in range(60)]
    (tmp_path / "t.csv").write_text("".join([f"{names}\n" if names else "", *lines]))
    found = find_columns(CorpusConfig(source=str(tmp_path / "t.csv")), None, None, labelled=True)
    assert found == ((*names.split(","), None) if names else ("1", "2", False))
    assert "which holds numbers or dates" not in caplog.text
    # Beside words, it is none.
    with_notes = (f"{line[:-1]},so {n}\n" for n, line in enumerate(lines))
    (tmp_path / "u.csv").write_text("tokens,y,note\n" + "".join(with_notes))
    assert find_columns(CorpusConfig(source=str(tmp_path / "u.csv")), None, None, labelled=True).text == "note"


def test_addresses_are_told_of_and_taken_where_there_is_nothing_else(tmp_path: Path, caplog) -> None:
    rows = [{"link": f"https://example.org/{n}", "kind": ("good", "bad")[n % 2]} for n in range(60)]
    corpus = CorpusConfig(source=str(write_table(tmp_path / "t.csv", rows)))
    assert find_columns(corpus, None, None, labelled=True)[:2] == ("link", "kind")
    assert "the text is 'link', which holds addresses (`--text_column`)" in caplog.text


def test_shorter_texts_in_another_column_are_told_of(tmp_path: Path, caplog) -> None:
    with caplog.at_level("INFO"):
        assert found_in(tmp_path / "t.csv", who=lambda n: f"Anna Maria Lopez the {n}th").text == "who"
    assert "columns: the text is 'who', and not 'Comentario' (`--text_column`)" in caplog.text


def test_what_a_column_holds_that_is_no_text_is_told(tmp_path: Path) -> None:
    rows = [{"text": f"a text {n}".encode(), "label": n % 2} for n in range(40)]
    with pytest.raises(InputError, match="'text' \\(bytes, which are no text\\)"):
        find_columns(CorpusConfig(source=str(write_parquet(tmp_path / "t.parquet", rows))), None, None, labelled=True)
    (tmp_path / "set").mkdir()
    for name in ("good", "bad"):
        write_table(tmp_path / "set" / f"{name}.csv", [{"text": f"a text of class {name}, {n}"} for n in range(40)])
    with pytest.raises(InputError, match="as only text files may be a class each"):
        find_columns(CorpusConfig(source=str(tmp_path / "set"), split="all"), None, None, labelled=True)


def test_numbers_among_words_are_texts(tmp_path: Path) -> None:
    rows = [{"item": f"{n * 7919 % 997} POS {n} GB 4929{n:04d}", "kind": ("in", "out")[n % 2]} for n in range(60)]
    corpus = CorpusConfig(source=str(write_table(tmp_path / "t.csv", rows)))
    assert find_columns(corpus, None, None, labelled=True)[:2] == ("item", "kind")


@pytest.mark.parametrize(
    ("usual", "value", "is_told"),
    [
        ("review", "R{}G2B6EBDB3EFG", True),
        ("post", "https://example.org/p/{}", False),
        ("post", "2024-05-12 10:{}:00", False),
        ("Message", "MSG-{}", True),
        ("comment", "n/a{}", True),
    ],
)
def test_ids_addresses_and_dates_below_a_usual_name_are_not_the_text(
    tmp_path: Path, caplog, usual: str, value: str, is_told: bool
) -> None:
    rows = [{usual: value.format(n + 10)} | row for n, row in enumerate(rows_of("Rezension", "label"))]
    corpus = CorpusConfig(source=str(write_table(tmp_path / "t.csv", rows)))
    for likely in (None, Columns("text", "label", None), Columns("text", None, None)):
        caplog.clear()
        is_labelled = likely is None or likely.label is not None
        assert find_columns(corpus, None, None, is_labelled, likely).text == "Rezension"
        assert (f"the text is not {usual!r}, which holds no texts of several words" in caplog.text) == is_told
    # A word is the text where its column is just called so.
    words = [{"text": f"a{n}"} | row for n, row in enumerate(rows)]
    corpus = CorpusConfig(source=str(write_table(tmp_path / "w.csv", words)))
    assert find_columns(corpus, None, None, labelled=True).text == "text"
    # Where there is nothing else, a line warns of addresses and dates.
    rows = [{usual: row[usual], "label": row["label"]} for row in rows]
    corpus = CorpusConfig(source=str(write_table(tmp_path / "u.csv", rows)))
    caplog.clear()
    assert find_columns(corpus, None, None, labelled=True).text == usual
    assert ("the text is" in caplog.text) != is_told
    # But not of the column that the labelled texts have, or was given.
    caplog.clear()
    assert find_columns(corpus, None, None, True, Columns(usual, "label", None)).text == usual
    assert "the text is" not in caplog.text
