"""What each kind of bad input is told, by key or by file and line."""

import itertools
import json
import re

import pyarrow
import pyarrow.parquet
import pytest

from tests.helpers.corpora import ROWS, WRITERS, pairs, refusal, texts, write_jsonl, write_parquet, write_table
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.formats import read_parquet
from tokenizer.corpus.shards import shards


@pytest.mark.parametrize("name", ["gone.csv", "gone.jsonl", "deep/er/gone"])
def test_missing_file_is_named(tmp_path, name):
    missing = str(tmp_path / name)
    assert refusal(source=missing) == f"corpus.source: no such file or folder: {missing!r}"


def test_glob_without_a_match_is_named(tmp_path):
    pattern = str(tmp_path / "*.csv")
    assert refusal(source=pattern) == f"corpus.source: no file matches {pattern!r}"


def test_unknown_ending_names_the_key_that_helps(tmp_path):
    file = tmp_path / "reviews.docx"
    file.write_text("x")
    message = refusal(source=str(file))
    assert str(file) in message
    assert "corpus.format" in message


@pytest.mark.parametrize(("name", "content"), [("a.txt", " \n\n"), ("a.jsonl", ""), ("a.csv", ""), ("b.csv", "text\n")])
def test_empty_corpus_is_refused(tmp_path, name, content):
    file = tmp_path / name
    file.write_text(content)
    message = refusal(source=str(file))
    assert str(file) in message
    assert "holds no document with any text" in message


def test_labels_that_no_document_has_are_refused(tmp_path):
    file = write_jsonl(tmp_path / "a.jsonl", ROWS)
    assert "holds no document" in refusal(labelled=True, source=str(file), labels=["positive"])


@pytest.mark.parametrize("name", WRITERS)
def test_absent_column_names_place_key_and_nearest_column(tmp_path, name):
    file = WRITERS[name](tmp_path / name, [{"texts": "Good.", "id": "7"}])
    message = refusal(source=str(file))
    assert message.startswith(f"{file}:")
    assert message.endswith("no column 'text' (corpus.text_column); did you mean 'texts'?")


def test_absent_column_unlike_any_lists_those_there_are(tmp_path):
    file = write_jsonl(tmp_path / "a.jsonl", [{"text": "x", "stars": 1}])
    message = refusal(labelled=True, source=str(file))
    assert message == f"{file}:1: no column 'label' (corpus.label_column); the columns are text, stars"


@pytest.mark.parametrize(
    ("name", "content"), [("a.txt", b"one\n\n"), ("a.csv", b"text\none\n"), ("a.jsonl", b'{"text": "a"}\n\n')]
)
def test_undecodable_bytes_name_file_line_and_key(tmp_path, name, content):
    file = tmp_path / name
    file.write_bytes(content + "Café\n".encode("latin-1"))
    message = refusal(source=str(file))
    assert re.match(rf"{re.escape(str(file))}:[23]: byte 0xe9 is not utf-8; set corpus", message)
    assert "byte 0xe9 is not utf-8" in message
    assert "corpus.encoding: cp1252, which would read '" in message
    assert "Café" in message


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Der Film war schön, aber die Größe der Rolle überzeugt nicht", "cp1252"),
        ("It wasn’t “great” – the café scene was fine…", "cp1252"),
        ("Фильм был замечательный, но концовка разочаровала меня", "cp1251"),
        ("Фильм был замечательный, но концовка разочаровала меня", "koi8_r"),
        ("Η ταινία ήταν υπέροχη αλλά το τέλος με απογοήτευσε", "cp1253"),
        ("这部电影非常好看，但是结局让人失望。", "gb18030"),
    ],
)
def test_the_message_names_the_encoding_that_works(tmp_path, text, encoding):
    file = tmp_path / "a.csv"
    file.write_bytes(f"text\n{text}\n".encode(encoding))
    message = refusal(source=str(file))
    assert f"set corpus.encoding: {encoding}, which would read " in message
    assert texts(source=str(file), encoding=encoding) == [text]


@pytest.mark.parametrize(
    ("text", "encoding", "others"),
    [
        ("Ten film był świetny", "cp1250", "cp1252, which would read 'Ten film by³ œwietny', or "),
        ("Çok güzel değil", "cp1254", "cp1252, which would read 'Çok güzel deðil', or cp1250, which would read"),
        # Far behind the first letter that is the same in all of them.
        (
            "Próba" + " o niczym" * 9 + " był",
            "cp1250",
            "cp1252, which would read 'o niczym o niczym by³'",
        ),
    ],
)
def test_encodings_that_read_a_text_differently_are_all_named(tmp_path, text, encoding, others):
    file = tmp_path / "a.csv"
    file.write_bytes(f"text\n{text}\n".encode(encoding))
    message = refusal(source=str(file))
    assert f"; set corpus.encoding: {others}" in message
    assert f"or {encoding}, which would read '{text[-21:].strip()}'" in message
    assert texts(source=str(file), encoding=encoding) == [text]


def test_a_header_in_another_encoding_is_refused_with_its_line(tmp_path):
    file = tmp_path / "a.csv"
    file.write_bytes("\ntext;Prädikat\nGood;1\n".encode("cp1252"))
    message = refusal(source=str(file))
    assert message.startswith(f"{file}:2: byte 0xe4 is not utf-8; set corpus.encoding: cp1252, which would read 'text")
    assert texts(source=str(file), encoding="cp1252") == ["Good"]


@pytest.mark.parametrize("above", ["Feedback of 2024", "# exported by a tool"])
def test_a_line_above_the_header_is_told(tmp_path, above):
    file = tmp_path / "a.csv"
    file.write_text(f"{above}\ntext,label\n" + "Good,pos\n" * 9)
    assert refusal(source=str(file)).startswith(
        f"{file}:2: 2 columns, as in most rows, but line 1 has 1 and does not look like their header; remove lines"
    )
    file.write_text("text^label\n" + "Good, so^pos\n" * 9)
    assert "if another character stands between columns, set corpus.delimiter (9 of 9" in refusal(source=str(file))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pos A text.", ("A text.", "pos")),
        ("pos\tA  text.", ("A  text.", "pos")),
        ("__label__pos   A text.", ("A text.", "pos")),
        ("pos: A text: fine.", ("A text: fine.", "pos")),
        ("DESC:manner How?", ("How?", "DESC:manner")),
    ],
)
def test_a_label_ends_at_whitespace_and_without_a_colon(tmp_path, line, expected):
    (tmp_path / "a.txt").write_text(f"{line}\n")
    assert pairs(source=str(tmp_path / "a.txt"), format="label_lines") == [expected]


def test_other_encodings_are_read(tmp_path):
    file = write_table(tmp_path / "a.csv", [{"text": "Café"}], encoding="utf-16")
    assert texts(source=str(file), encoding="utf-16") == ["Café"]


def test_unknown_encoding_is_named(tmp_path):
    file = write_jsonl(tmp_path / "a.jsonl", ROWS)
    assert refusal(source=str(file), encoding="utf-88") == "corpus.encoding: 'utf-88' is unknown to Python"


@pytest.mark.parametrize("quoted", [False, True])
def test_byte_order_mark_of_a_spreadsheet_is_no_part_of_the_header(tmp_path, quoted):
    file = tmp_path / "a.csv"
    file.write_text('"text","label"\n"x","pos"\n' if quoted else "text,label\nx,pos\n", encoding="utf-8-sig")
    assert pairs(source=str(file)) == [("x", "pos")]


@pytest.mark.parametrize(("name", "content"), [("a.jsonl", '{"text": "x"}\n'), ("a.txt", "x")])
def test_byte_order_mark_is_no_part_of_the_text(tmp_path, name, content):
    file = tmp_path / name
    file.write_text(content, encoding="utf-8-sig")
    assert texts(source=str(file)) == ["x"]


def test_broken_json_names_its_line(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "one"}\n\n{"text": "two"\n')
    message = refusal(source=str(file))
    assert message.startswith(f"{file}:3: not JSON (")
    assert "fix or remove the line (1 of 2 rows cannot be used; corpus.maximum_set_aside is 0.01)" in message


def test_json_that_is_no_object_names_its_line(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "one"}\n["two"]\n')
    assert refusal(source=str(file)).startswith(f"{file}:2: expected a JSON object, found list (1 of 2 rows ")


@pytest.mark.parametrize("indent", [None, 1])
def test_an_array_that_is_called_json_lines_is_told(tmp_path, indent):
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps([{"text": "one"}, {"text": "two"}], indent=indent))
    assert "; if the file is one array, set corpus.format: json" in refusal(source=str(file))


@pytest.mark.parametrize(("row", "count"), [("Dull, long,neg", 3), ("Dull", 1)])
def test_ragged_csv_names_line_and_cause(tmp_path, row, count):
    file = tmp_path / "a.csv"
    file.write_text(f"text,label\nGood,pos\n{row}\n")
    message = refusal(source=str(file))
    assert message.startswith(f"{file}:3: {count} columns, but the header has 2; ")
    assert "quote" in message


def test_open_quote_in_csv_names_the_file(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text('text,label\n"Good, really",pos\n"Fine, too",neg\n"Bad, pos\n')
    assert refusal(source=str(file)).startswith(f"{file}:4: not readable as CSV (")


def test_broken_parquet_names_the_file(tmp_path):
    file = tmp_path / "a.parquet"
    file.write_bytes(b"PAR1 this is none")
    assert refusal(source=str(file)).startswith(f"{file}: not readable as Parquet (")


def test_column_that_holds_no_text_names_place_and_kind(tmp_path):
    file = write_parquet(tmp_path / "a.parquet", [{"text": 7}])
    assert refusal(source=str(file)) == f"{file}:row 0: column 'text' holds int, not text"


@pytest.mark.parametrize("text", ["", " \n", None, "<br />"])
def test_empty_labelled_text_is_refused_with_its_line(tmp_path, text):
    file = write_jsonl(tmp_path / "a.jsonl", [ROWS[0], {"text": text, "label": "pos"}])
    assert refusal(labelled=True, source=str(file)).startswith(f"{file}:2: the labelled text in column 'text' is empty")


def test_empty_unlabelled_text_is_passed_over(tmp_path):
    file = write_jsonl(tmp_path / "a.jsonl", [{"text": None}, {"text": " "}, {"text": "x"}])
    assert texts(source=str(file)) == ["x"]


@pytest.mark.parametrize("label", [float("nan"), None, "", "  ", float("inf")])
def test_what_is_no_label_is_refused_with_its_line(tmp_path, label):
    file = write_jsonl(tmp_path / "a.jsonl", [ROWS[0], {"text": "x", "label": label}])
    message = refusal(labelled=True, source=str(file))
    assert message.startswith(f"{file}:2: column 'label' holds {label!r}, which is not a label")


@pytest.mark.parametrize("label", [float("nan"), None])
def test_missing_label_in_parquet_is_refused_with_its_row(tmp_path, label):
    file = write_parquet(tmp_path / "a.parquet", [{"text": "x", "label": 1.0}, {"text": "y", "label": label}])
    message = refusal(labelled=True, source=str(file))
    assert message.startswith(f"{file}:row 1: column 'label' holds {label!r}, which is not a label (1 of 2 rows ")


# Found by fuzzing (tests/faults/fuzz.py), each a traceback once.


def test_an_encoding_that_needs_a_mark_and_a_file_without_one(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes(b"plain text")
    assert refusal(source=str(file), encoding="utf-16").startswith(f"{file}: not utf-16 (")


def test_json_over_several_lines_with_a_byte_of_another_encoding(tmp_path):
    file = tmp_path / "a.json"
    file.write_bytes('[\n{"text": "café"}\n]'.encode("cp1252"))
    message = refusal(source=str(file))
    assert message.startswith(f"{file}: byte 0xe9 is not utf-8; set corpus.encoding: cp1252")


def test_columns_with_long_names_over_several_lines_are_told_in_one(tmp_path):
    file = write_jsonl(tmp_path / "a.jsonl", [{"one\ntwo": 1, "x" * 5000: 2, "three": 3}])
    message = refusal(source=str(file))
    assert "the columns are one two, " in message
    assert len(message) < 800


@pytest.mark.parametrize("encoding", ["hex", "base64", "rot13", "undefined"])
def test_an_encoding_of_bytes_is_refused(tmp_path, encoding):
    file = tmp_path / "a.csv"
    file.write_text("text\nGood\n")
    assert encoding in refusal(source=str(file), encoding=encoding)


def test_text_in_parquet_that_is_not_utf_8_is_refused_with_its_row(tmp_path):
    raw = pyarrow.array([b"Good", b"Sch\xf6n", None])
    column = pyarrow.Array.from_buffers(pyarrow.string(), 3, raw.buffers())
    pyarrow.parquet.write_table(pyarrow.table({"text": column}), tmp_path / "a.parquet")
    assert "a.parquet:row 1: byte 0xf6 of a column of text is not UTF-8" in refusal(source=str(tmp_path / "a.parquet"))
    assert texts(source=str(tmp_path / "a.parquet"), maximum_set_aside=0.5) == ["Good"]


def test_times_that_python_does_not_know_are_no_hindrance(tmp_path):
    table = {
        "text": ["Good", "Bad"],
        "late": pyarrow.array([2**62, None], pyarrow.timestamp("us")),
        "far": pyarrow.array([2**30, 1], pyarrow.date32()),
        "zone": pyarrow.array([1, 2], pyarrow.timestamp("s", tz="Mars/Phobos")),
    }
    pyarrow.parquet.write_table(pyarrow.table(table), tmp_path / "a.parquet")
    assert texts(source=str(tmp_path / "a.parquet")) == ["Good", "Bad"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_half_an_emoji_in_the_name_of_a_column_is_a_question_mark(tmp_path, name):
    row = '{"te\\ud83dxt": "Good", "na\u00efve": "so"}'
    (tmp_path / name).write_text(f"[{row}]" if name == "a.json" else f"{row}\n", encoding="utf-8")
    assert texts(source=str(tmp_path / name), text_column="te?xt") == ["Good"]
    assert texts(source=str(tmp_path / name), text_column="na\u00efve") == ["so"]


def test_numbers_of_32_bits_are_read_as_they_are_written(tmp_path):
    scores = pyarrow.array([0.1, 0.7, None, 3.0, 1e-7], pyarrow.float32())
    table = pyarrow.table({"text": list("abcde"), "label": scores})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    corpus = CorpusConfig(source=str(tmp_path / "a.parquet"))
    [part] = itertools.chain.from_iterable(shards(corpus))
    rows = [row for row, _ in read_parquet(part, corpus) if isinstance(row, dict)]
    assert [row["label"] for row in rows] == [0.1, 0.7, None, 3.0, 1e-7]
