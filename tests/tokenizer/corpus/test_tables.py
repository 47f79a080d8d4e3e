"""CSV and TSV as people have them: every row is read, whatever the dialect, and none is swallowed."""

import csv
import itertools
import random

import pytest

from tests.helpers.corpora import pairs, refusal, texts
from tests.helpers.tables import DELIMITERS, LINE_ENDS, ORDERS, QUOTINGS, Dialect
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.dialects import dialect_of
from tokenizer.corpus.documents import read
from tokenizer.corpus.quarantine import Quarantine

DIALECTS = [Dialect(*chosen) for chosen in itertools.product(DELIMITERS, QUOTINGS, LINE_ENDS, (True, False), ORDERS)]


@pytest.mark.parametrize("number", range(len(DIALECTS)))
def test_every_row_of_every_dialect_is_read_as_it_was_written(tmp_path, number):
    dialect = DIALECTS[number]
    rows = dialect.rows(60, random.Random(number))
    file = dialect.write(rows, tmp_path / ("a.tsv" if dialect.delimiter == "\t" else "a.csv"))
    quarantine = Quarantine(1.0)
    corpus = CorpusConfig(source=str(file), clean_html=False, **dialect.keys)
    found = [(document.text, document.label) for document in read(corpus, labelled=True, quarantine=quarantine)]
    assert quarantine.set_aside == []
    assert found == rows


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("above", ["", "sep=;\r\n"])
def test_the_exports_of_spreadsheets_are_read(tmp_path, encoding, above):
    rows = [("Café, très bon", "1"), ("Schön; aber lang", "0"), ("Fine\r\ntwo lines", "1"), ("", "")]
    dialect = Dialect(";", csv.QUOTE_MINIMAL, "\r\n", encoding=encoding, above=above)
    file = dialect.write(rows, tmp_path / "a.csv")
    assert pairs(source=str(file)) == [("Café, très bon", "1"), ("Schön; aber lang", "0"), ("Fine\ntwo lines", "1")]


def test_single_quotes_at_the_beginning_of_texts_swallow_no_row(tmp_path):
    marks = ['"' if number % 12 == 0 else "" for number in range(600)]
    rows = [f"{mark}Review {number} of a film\t{number % 2}" for number, mark in enumerate(marks)]
    file = tmp_path / "train.tsv"
    file.write_text("\n".join(["text\tlabel", *rows]), encoding="utf-8")
    found = pairs(source=str(file))
    assert [label for _, label in found] == [str(number % 2) for number in range(600)]
    assert found[12] == ('"Review 12 of a film', "0")


@pytest.mark.parametrize("second", [700, 20_500])
def test_a_stray_quote_in_a_quoted_file_swallows_no_row_either(tmp_path, second):
    rows = [f'"Review, {number}",{number % 2}' for number in range(21_000)]
    rows[600], rows[second] = '"Never closed,1', 'Closed here",0'
    file = tmp_path / "a.csv"
    file.write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    quarantine = Quarantine(0.01)
    found = list(read(CorpusConfig(source=str(file)), labelled=True, quarantine=quarantine))
    assert len(found) + len(quarantine.set_aside) == 21_000
    assert len(found) >= 20_998
    assert [document.text for document in found[:3]] == ["Review, 0", "Review, 1", "Review, 2"]


def test_texts_of_several_lines_are_believed_also_where_lines_look_like_rows(tmp_path):
    rows = [(f"Good, {number}\nIt was short, fine\nand, well, over", str(number % 2)) for number in range(50)]
    assert pairs(source=str(Dialect().write(rows, tmp_path / "a.csv"))) == rows


def test_a_single_column_needs_no_delimiter(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("text\nGood, long, fine\nBad; short\nOne more, though\n", encoding="utf-8")
    assert texts(source=str(file)) == ["Good, long, fine", "Bad; short", "One more, though"]


def test_a_delimiter_at_the_end_of_each_row_is_no_column(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("text;label\nGood;1;\nBad;0;\n", encoding="utf-8")
    assert pairs(source=str(file)) == [("Good", "1"), ("Bad", "0")]


@pytest.mark.parametrize(
    ("above", "message"),
    [("Export of 2024,,", "2 columns are called ''; remove the lines above the header"), ("", "no column 'text'")],
)
def test_lines_above_the_header_are_told_by_their_empty_cells(tmp_path, above, message):
    file = tmp_path / "a.csv"
    rows = "".join(f"{number},{number % 2},A text.\n" for number in range(9))
    file.write_text(f"{above}\nid,label,Text\n{rows}", encoding="utf-8")
    assert message in refusal(source=str(file), text_column="" if above else "text")


def test_two_columns_of_one_name_are_refused_if_they_are_asked_for(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("text,label,text\na,1,b\n", encoding="utf-8")
    assert refusal(source=str(file)).startswith(f"{file}: 2 columns are called 'text'; rename")
    assert texts(source=str(file), text_column="3", header=False) == ["text", "b"]
    file.write_text("text,id,id\na,1,2\n", encoding="utf-8")
    assert texts(source=str(file)) == ["a"]


def test_the_dialect_is_said_in_a_line(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text('sep=;\n1;"a; b"\n0;"c; d"\n', encoding="utf-8")
    corpus = CorpusConfig(source=str(file), text_column="2")
    assert str(dialect_of(str(file), corpus)) == "2 columns between ';', quoted, no header"
    assert texts(source=str(file), text_column="2") == ["a; b", "c; d"]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"quoting": "none"}, ['"a', 'b"']),
        ({"quoting": "quotes", "delimiter": "\t"}, ["a\nb"]),
    ],
)
def test_keys_decide_where_they_are_given(tmp_path, keys, expected):
    file = tmp_path / "a.tsv"
    file.write_text('text\n"a\nb"\n', encoding="utf-8")
    assert texts(source=str(file), **keys) == expected


@pytest.mark.parametrize("delimiter", ["", ";;", '"', "\n"])
def test_what_is_no_delimiter_is_refused(tmp_path, delimiter):
    assert refusal(source=str(tmp_path), delimiter=delimiter).startswith("corpus.delimiter: ")


def test_a_header_without_a_name_for_those_of_rows_is_told(tmp_path):
    # As R writes tables.
    file, rows = tmp_path / "a.csv", "".join(f'"{n}","Good {n}","pos"\n' for n in range(1, 10))
    file.write_text(f'"text","label"\n{rows}')
    told = (
        "line 1 has 2 and does not look like their header; if the first column has the names of rows, give it a name in"
    )
    assert told in refusal(source=str(file))
    file.write_text(f'"row","text","label"\n{rows}')
    assert pairs(source=str(file)) == [(f"Good {n}", "pos") for n in range(1, 10)]
