"""Every row of an input has its place, and lines that look like a table are told."""

import gzip
import io
import sys
from pathlib import Path

import pytest

from configs.errors import InputError
from finetune.inference.rows import opened, read, with_text_column
from tests.helpers.corpora import write_jsonl
from tokenizer.corpus import shards
from tokenizer.corpus.config import CorpusConfig


def texts_of(source: str, file_format: str = "auto") -> list[str]:
    with opened([source], file_format, CorpusConfig(), ["neg", "pos"]) as corpora:
        corpus = with_text_column(corpora[0], None, "text")
        rows = list(read(corpus))
    assert [row.problem for row in rows] == [None if row.text.strip() else "no text" for row in rows]
    return [row.text for row in rows]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", "one\n\ntwo\n  \nthree\n\n \n", ["one", "", "two", "  ", "three"]),
        ("a.txt", "\n\none", ["", "", "one"]),
        # pandas writes an empty cell of a lone column in quotes; spreadsheets do not.
        ("a.csv", 'text\none\n""\n\ntwo\n""\n\n\n', ["one", "", "", "two", ""]),
        ("a.csv", "\n\ntext\none\n\ntwo", ["one", "", "two"]),
        ("a.csv", "id,text\n1,one\n,\n3,two\n4,\n,\n", ["one", "", "two", "", ""]),
        ("a.csv", ",,\nid,text,\n1,one,\n,,\n", ["one", ""]),
        # As pandas reads it.
        ("a.csv", "id,text\n1,one\n\n  \n2,two\n\n", ["one", "two"]),
        ("a.tsv", 'id\ttext\n1\t"one\n\t\n2\ttwo"\n\n3\t"three\n', ['"one', "", 'two"', '"three']),
        ("a.jsonl", '{"text": "one"}\n\n{"text": ""}\n', ["one", ""]),
    ],
)
def test_rows_without_a_text_keep_their_place(tmp_path: Path, name: str, content: str, expected: list[str]) -> None:
    (tmp_path / name).write_text(content)
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content.encode()))
    assert texts_of(str(tmp_path / name)) == expected
    assert texts_of(str(tmp_path / f"{name}.gz")) == expected


def test_a_large_file_is_read_as_a_small_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 8)
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text("one\n" * 5 + "\n" * 20 + f"{name}\n" + "\n" * 20)
    assert texts_of(str(tmp_path)) == [*["one"] * 5, *[""] * 20, "a", *["one"] * 5, *[""] * 20, "b"]


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        ("A fine film.\t1\nA dull film.\t0\n", "`--format tsv` reads"),
        (
            "".join(f"__label__{number % 2} A film.\n" for number in range(8)),
            "`--format label_lines` leaves the labels out",
        ),
        (
            "".join(f"{label}: A film.\n" for label in ("pos", "Neg", "neg")),
            "`--format label_lines` leaves the labels out",
        ),
        ('{"text": "A film.", "id": 1}\n' * 3, "`--format jsonl` reads"),
        ("text,label\nA fine film,1\nA dull film,0\n", "`--format csv` reads"),
        ('id;Review\n1;"A film; fine"\n2;Dull\n', "`--format csv` reads"),
        # As many commas on each line, but no name above them.
        ("A film, fine.\nA film, dull.\n", None),
        ("{A} film.\n{B} film.\n", None),
        # Tweets begin with a few words, too.
        ("".join(f"{('I', 'The', 'My')[number % 3]} film is so.\n" for number in range(20)), None),
        ("A fine film.\nA dull film.\n", None),
    ],
)
@pytest.mark.parametrize("piped", [False, True])
def test_lines_that_look_like_a_table_are_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    content: str,
    advice: str | None,
    piped: bool,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    (tmp_path / "a.txt").write_text(content)
    source = "-" if piped else str(tmp_path / "a.txt")
    assert len(texts_of(source)) == content.count("\n")
    assert caplog.messages == [message for message in caplog.messages if advice and advice in message]
    assert len(caplog.messages) == (advice is not None)
    assert all(f"the first lines of {source} " in message for message in caplog.messages)
    # Who gives a format knows.
    caplog.clear()
    texts_of(str(tmp_path / "a.txt"), "lines")
    assert not caplog.messages


@pytest.mark.parametrize(
    ("trained_on", "lines", "column"),
    [
        # Numbers, addresses and names stand where the texts stood in training.
        ("1", [f"{n},a film of number {n}" for n in range(12)], "2"),
        ("1", [f"https://example.org/{n},a film of number {n}" for n in range(12)], "2"),
        ("1", [f"{('Ann', 'Bo')[n % 2]},a film of number {n}" for n in range(12)], "2"),
        ("2", ["Kommentar;Note", *(f"ein Film, und zwar Nummer {n};{n % 5}" for n in range(12))], "Kommentar"),
        ("1", ["Nr;Kommentar", *(f"{n};der Film {n} ist gut" for n in range(12))], "Kommentar"),
        # Names of several words, as long as that of their column, and much shorter than what stands beside them.
        (
            "1",
            ["Hotelname,Bericht,Land", *(f"Hotel Sonne {n},a stay of {n} nights in all of it,DE" for n in range(12))],
            "Bericht",
        ),
        ("1", [f"Bob van Dyk {n},a film of number {n} that I did like and would see again" for n in range(12)], "2"),
        # Of a row alone, too.
        ("1", ["Bob van Dyk,a film of number 1 that I did like and would see again"], "2"),
        # Texts, also of one word, where nothing else has several.
        ("2", [f"{n % 2},a film of number {n}" for n in range(12)], "2"),
        ("2", [f"{n % 2},{('good', 'dull', 'fine')[n % 3]}" for n in range(12)], "2"),
        ("1", [f"a film of number {n},{n % 2}" for n in range(12)], "1"),
        # Numbers, dates and addresses where there are no others.
        ("1", [f"{n}50 93 347 {n % 7}65 741,{n % 2}" for n in range(12)], "1"),
        ("1", [f"2020-5-{n + 10},{('pos', 'neg')[n % 2]}" for n in range(12)], "1"),
        ("1", [f"2020-5-{n + 10}" for n in range(12)], "1"),
        ("1", [f"https://example.org/{n}" for n in range(12)], "1"),
    ],
)
def test_the_number_of_a_column_is_that_of_texts(tmp_path: Path, trained_on: str, lines: list[str], column) -> None:
    (tmp_path / "a.csv").write_text("".join(f"{line}\n" for line in lines))
    corpus = with_text_column(CorpusConfig(source=str(tmp_path / "a.csv"), split="all"), None, trained_on)
    assert corpus.text_column == column
    assert len([row for row in read(corpus) if row.problem is None]) == len(lines) - (not column.isdecimal())


@pytest.mark.parametrize(
    ("first", "form", "is_row", "is_told"),
    [
        ("1467810369,anna,is upset today", "{id},bob{n},a film of number {n}", True, False),
        ("7\tis upset today", "{id}\ta film of number {n}", True, False),
        ("so good,0.91", "a film of number {n},0.{n}", True, False),
        ("Very-good,0.91", "a film of {n},0.{n}", True, False),
        # These may be either.
        ("7,good", "{id},a film of number {n}", False, True),
        ("Kommentar,2020", "a film of number {n} that i did like,{n}", False, True),
        ("is upset today,anna", "a film of number {n},bob{n}", False, True),
        # These are names.
        ("Nr,ein Kommentar", "{id},a film of number {n}", False, False),
        ("0,1", "{id},a film of number {n}", False, False),
        ("7,text", "{id},a film of number {n}", False, False),
    ],
)
def test_the_first_row_of_several_columns_is_a_row_or_told(
    tmp_path: Path, caplog, first, form, is_row, is_told
) -> None:
    lines = [first, *(form.format(id=1467810400 + 13 * n, n=n) for n in range(40))]
    (tmp_path / "a.csv").write_text("".join(f"{line}\n" for line in lines))
    corpus = with_text_column(CorpusConfig(source=str(tmp_path / "a.csv"), split="all"), None, "review")
    found = [row for row in read(corpus) if row.problem is None]
    assert (len(found) == 41, corpus.header is False) == (is_row, is_row)
    assert ("is taken for the name of its column; if it is a text" in caplog.text) == is_told


def test_a_number_that_is_a_name_beside_a_usual_one_is_the_column_of_the_run(tmp_path: Path) -> None:
    rows = [f"a much longer text about a film of number {n},film {n},{('pos', 'neg')[n % 2]}\n" for n in range(12)]
    (tmp_path / "a.csv").write_text("".join(["0,1,label\n", *rows]))
    corpus = with_text_column(CorpusConfig(source=str(tmp_path / "a.csv"), split="all"), None, "1")
    assert [row.text for row in read(corpus)] == [f"film {n}" for n in range(12)]


@pytest.mark.parametrize("lines", [["Reviews", "", "text,label"], ["Comments", '"id";"text"']])
def test_a_usual_word_above_a_table_is_no_name_of_a_column(tmp_path: Path, lines: list[str]) -> None:
    mark = ";" if ";" in lines[-1] else ","
    (tmp_path / "a.csv").write_text(
        "".join(f"{line}\n" for line in [*lines, *(f"film {n}{mark}{n}" for n in range(9))])
    )
    with pytest.raises(InputError, match="remove lines above the header"):
        texts_of(str(tmp_path / "a.csv"))


@pytest.mark.parametrize(
    ("first", "is_told"), [("Why watch this?", True), ("Loved it", True), ("feedback", False), ("Review text", False)]
)
def test_a_first_line_that_may_be_a_text_is_told(tmp_path: Path, caplog, first: str, is_told: bool) -> None:
    (tmp_path / "a.csv").write_text("".join(f"{line}\n" for line in (first, "the film was great", "the film was so")))
    assert texts_of(str(tmp_path / "a.csv")) == ["the film was great", "the film was so"]
    assert ("is taken for the name of its column" in caplog.text) == is_told


@pytest.mark.parametrize("name", ["text", "Review", '"review text"'])
def test_commas_in_the_only_column_are_part_of_its_texts(tmp_path: Path, name: str) -> None:
    expected = ["great, and long", "dull, and short", "so, so", "fine; it was"]
    (tmp_path / "a.csv").write_text("".join(f"{line}\n" for line in (name, *expected)))
    assert texts_of(str(tmp_path / "a.csv")) == expected


def test_an_empty_pipe_is_told_without_a_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(InputError, match=r"^'-' holds no row that can be read$"):
        texts_of("-")


@pytest.mark.parametrize(
    ("trained_on", "rows", "column", "is_told"),
    [
        ("Kommentar", [{"kommentar": "gut", "beschreibung": "a text of many words, more"}] * 9, "kommentar", False),
        ("text", [{"id": 1}, *[{"id": 2, "text": "good", "note": "a text of many words"}] * 9], "text", False),
        ("text", [{"id": 1}, *[{"id": 2, "review": "a text of many words"}] * 9], "review", True),
        # A key of one row, beside texts of a word.
        (None, [*[{"t": "gut"}] * 9, {"t": "so", "note": "a text of many words"}], "t", False),
    ],
)
def test_the_column_of_the_run_is_found_whatever_its_case_or_place(
    tmp_path: Path, caplog, trained_on: str | None, rows: list[dict], column: str, is_told: bool
) -> None:
    caplog.set_level("INFO")
    corpus = CorpusConfig(source=str(write_jsonl(tmp_path / "a.jsonl", rows)), split="all")
    assert with_text_column(corpus, None, trained_on).text_column == column
    assert (f"has no column {trained_on!r}" in caplog.text) == is_told
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_a_table_without_a_header_lacks_no_column(tmp_path: Path, caplog) -> None:
    (tmp_path / "a.csv").write_text("".join(f"It was film {n}, of many.\t{n % 2}\n" for n in range(12)))
    corpus = CorpusConfig(source=str(tmp_path / "a.csv"), split="all", delimiter="\t")
    assert with_text_column(corpus, None, "text").header is False
    assert "has no column" not in caplog.text


@pytest.mark.parametrize(
    ("rows", "column"),
    [
        ([{"id": f"a{n}", ("body", "title")[n % 2]: f"a text of many words, {n}"} for n in range(40)], "body"),
        ([{"lang": "en", ("body", "title")[n % 2]: f"a text of many words, {n}"} for n in range(40)], "body"),
        ([{"id": n} | ({} if n % 3 else {"review": f"a text of many words, {n}"}) for n in range(40)], "review"),
        # Ids as long as texts, beside another column of all rows.
        (
            [
                {"id": f"{n:032x}", "lang": ("en", "de")[n % 2], ("body", "title")[n % 2]: f"a text of many words, {n}"}
                for n in range(40)
            ],
            "body",
        ),
    ],
)
@pytest.mark.parametrize("trained_on", ["text", None])
def test_the_only_column_of_most_rows_is_no_text_beside_texts(
    tmp_path: Path, caplog, rows: list[dict], column: str, trained_on: str | None
) -> None:
    corpus = CorpusConfig(source=str(write_jsonl(tmp_path / "a.jsonl", rows)), split="all")
    assert with_text_column(corpus, None, trained_on).text_column == column
    assert f"column {column!r} of" in caplog.text
    assert "is read, which half of its rows or more lack" in caplog.text


def test_a_class_called_as_columns_are_makes_no_header(tmp_path: Path) -> None:
    acts = [f"{('question', 'request')[n % 2]},give me that and this please {n}" for n in range(60)]
    (tmp_path / "a.csv").write_text("\n".join(["question,where is it now", *acts]))
    corpus = CorpusConfig(source=str(tmp_path / "a.csv"), split="all")
    for trained_on in ("2", "text"):
        found = with_text_column(corpus, None, trained_on)
        assert (found.text_column, found.header) == ("2", False)


@pytest.mark.parametrize("name", ["tweet", "satz"])
def test_a_column_of_all_rows_that_may_be_the_text_is_read_though_few_rows_have_longer_ones(
    tmp_path: Path, name: str
) -> None:
    rows = [
        {"id": n, name: f"Staubsaugerbeutel{n}"} | ({} if n % 3 else {"reply": f"my camera came after {n} days"})
        for n in range(60)
    ]
    corpus = CorpusConfig(source=str(write_jsonl(tmp_path / "a.jsonl", rows)), split="all")
    assert with_text_column(corpus, None, "text").text_column == name


def test_the_number_of_a_column_above_which_names_stand_is_asked_about(tmp_path: Path) -> None:
    rows = [f"a film of number {n},{('pos', 'neg')[n % 2]}\n" for n in range(12)]
    corpus = CorpusConfig(source=str(tmp_path / "a.csv"), split="all")
    (tmp_path / "a.csv").write_text("".join(["Satz,Stimmung\n", *rows]))
    with pytest.raises(InputError, match=r"as its first row looks like names of columns; .*`--header false`"):
        with_text_column(corpus, "1", "text")
    (tmp_path / "a.csv").write_text("".join(rows))
    assert len([*read(with_text_column(corpus, "1", "text"))]) == 12
