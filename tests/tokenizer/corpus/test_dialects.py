"""Dialects that are told by what stands around a delimiter, or by quotes that no spreadsheet writes."""

import random
import re
from pathlib import Path

import pytest

from tests.helpers.corpora import pairs, refusal, texts
from tests.helpers.finetuning import sentence
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.dialects import dialect_of

RNG = random.Random(0)
TEXTS = [sentence(number % 2, RNG) for number in range(60)]
KEYS = {"text_column": "1", "label_column": "2"}


@pytest.mark.parametrize(
    ("form", "delimiter", "width"),
    [
        ("{text};{number},5", ";", 2),
        ("{number};{text};{number},0", ";", 3),
        ("{label};{number},{number}0;{text}, {text}", ";", 3),
        ("{text}, {text};{label}", ";", 2),
        ("{label}\t{text}, {text}", "\t", 2),
        # Other separators may stand in the cells of a table with commas.
        ("{text},Drama|Comedy", ",", 2),
        ("{text}, Drama|Comedy", ",", 2),
        ("{text}, Drama|Comedy, {label}", ",", 3),
        ("{text}, Drama;Comedy, {label}", ",", 3),
        ("{text},Drama;Comedy", ",", 2),
        ("{text}; {text},{label}", ",", 2),
        ("{label}, {text}", ",", 2),
        ("{label},{text} | more | more", ",", 2),
        ("{label}, {text} | more | more", ",", 2),
        ("{text},Drama;Comedy;War", ",", 2),
        ('"{text}, and {text}","{label}"', ",", 2),
        ("{number},{number},{text}", ",", 3),
        ("{text} {number},{number}", ",", 2),
    ],
)
def test_of_several_delimiters_one_that_stands_between_cells_is_taken(tmp_path, form, delimiter, width) -> None:
    file = tmp_path / "a.csv"
    rows = [form.format(text=text, number=n % 5, label=("gut", "schlecht")[n % 2]) for n, text in enumerate(TEXTS)]
    file.write_text("\n".join(rows))
    dialect = dialect_of(str(file), CorpusConfig(source=str(file), text_column="1"))
    assert dialect is not None
    assert (dialect.columns.delimiter, dialect.columns.width) == (delimiter, width)


@pytest.mark.parametrize(
    ("header", "form"),
    [
        ("", "{text}, cold, USA\t{label}"),
        ("", "{text},cold,USA\t{label}"),
        ("", "{text};cold;USA\t{label}"),
        ("Name, first, second\tclass\n", "{text}, cold, USA\t{label}"),
    ],
)
def test_tabs_are_the_delimiters_of_a_table_that_is_called_so(tmp_path: Path, header: str, form: str) -> None:
    file = tmp_path / "a.tsv"
    rows = [form.format(text=text, label=("gut", "schlecht")[n % 2]) for n, text in enumerate(TEXTS)]
    file.write_text(header + "\n".join(rows))
    dialect = dialect_of(str(file), CorpusConfig(source=str(file)))
    assert dialect is not None
    assert (dialect.columns.delimiter, dialect.columns.width) == ("\t", 2)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ('{label}, "{text}, and so on"', "{text}, and so on"),
        ('{label}, "{text}"', "{text}"),
        ('{label},  "{text}, ""so"" to say"', '{text}, "so" to say'),
        ('{label},"{text} \\"so\\", to say"', '{text} "so", to say'),
        ('{label},"{text} \\"so\\" to say"', '{text} "so" to say'),
        # These are as they were.
        ('{label},"{text}, \\so to say"', "{text}, \\so to say"),
        ('{label},{text} "so" to say', '{text} "so" to say'),
        ('{label}," {text}"', " {text}"),
        ("{label},{text}\\", "{text}\\"),
        ('{label},"{text} ""C:\\new"" is so"', '{text} "C:\\new" is so'),
    ],
)
def test_quotes_after_spaces_and_backslashes_are_quotes(tmp_path: Path, form: str, expected: str) -> None:
    file = tmp_path / "a.csv"
    rows = [form.format(text=text, label=n % 2) for n, text in enumerate(TEXTS)]
    file.write_text("\n".join(["label,text", *rows]))
    found = pairs(source=str(file))
    assert found == [(expected.format(text=text), str(n % 2)) for n, text in enumerate(TEXTS)]


def test_a_few_quotes_with_backslashes_do_not_change_the_others(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    rows = [f'{n % 2},"{text}, C:\\dir"' for n, text in enumerate(TEXTS * 4)]
    rows[7] = '0,"a \\"so\\" film"'
    file.write_text("\n".join(["label,text", *rows]))
    assert sum(text.endswith(", C:\\dir") for text in texts(source=str(file), maximum_set_aside=0.1)) == 239


@pytest.mark.parametrize("every", [2, 3, 20])
@pytest.mark.parametrize("form", ['"{n}_8"\t{label}\t"{text}"', '"{label}"\t"{text}"', '{label},"{text}, so"'])
@pytest.mark.parametrize("broken", [0, 1])
def test_backslashes_before_the_quotes_of_some_texts_are_enough(tmp_path: Path, every, form: str, broken: int) -> None:
    file, delimiter = tmp_path / "a.csv", "\t" if "\t" in form else ","
    cells = [f'{n} says \\"so\\" of it' if n % every == 0 else f"{n}!" for n in range(200)]
    # A backslash with another before it is one of the text.
    cells[1:40:2] = [f"C:{n}\\\\dir" for n in range(20)]
    lines = [form.format(n=n, label=n % 2, text=cell) for n, cell in enumerate(cells)]
    lines[77:78] = [form.format(n=77, label=1, text='a "so" b')] * broken
    names = ["label", "text"] if form.count(delimiter) == 1 or delimiter == "," else ["id", "label", "text"]
    file.write_text("\n".join([delimiter.join(names), *lines]))
    found = [text.removesuffix(", so") for text in texts(source=str(file), maximum_set_aside=0.1)]
    # The broken row is read as it stands there, or set aside.
    found = [text for text in found if text != '"a "so" b"']
    assert found == [re.sub(r"\\(.)", r"\1", cell) for n, cell in enumerate(cells) if n != 77]


def test_commas_below_a_name_that_stands_alone_are_text(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text\nGood, long\nBad, short\nSo, so\n")
    assert texts(source=str(file)) == ["Good, long", "Bad, short", "So, so"]
    # A line above a table is told, as before.
    file.write_text("Report 2023\ntext,label\n" + "Good,1\nBad,0\n" * 9)
    assert "remove lines above the header" in refusal(source=str(file))


def test_what_to_do_about_separators_in_texts_is_told(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text,label\n" + "'Good, long',1\n" * 9)
    assert "put texts that contain the separator in double quotes" in refusal(source=str(file))


def test_a_byte_that_is_not_decoded_is_of_its_row_below_a_header_with_umlauts(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    rows = "".join(f"{text},{n % 2}\n" for n, text in enumerate(TEXTS)).encode()
    file.write_bytes("Kommentar,Gefühl\n".encode() + rows.replace(b" ", b" \xef", 1))
    keys = {"text_column": "Kommentar", "label_column": "Gefühl", "maximum_set_aside": 0.1}
    assert len(texts(source=str(file), **keys)) == len(TEXTS) - 1


def test_the_encoding_of_a_header_is_told_from_the_lines_below_it(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(("标签,内容\n" + "好评,这部电影很好看,推荐大家去看\n" * 20).encode("gb18030"))
    message = refusal(source=str(file))
    assert any(f"corpus.encoding: {encoding}, which" in message for encoding in ("gb18030", "gbk", "gb2312"))
