"""The columns of a table are found by name and by content, or the message says what to give."""

import decimal
import json
import random
from pathlib import Path
from typing import Any

import pytest

from configs.errors import InputError
from finetune.own_data.columns import Columns, find_columns
from finetune.own_data.sources import with_columns
from tests.helpers.corpora import write_jsonl, write_parquet, write_table
from tests.helpers.finetuning import sentence
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.documents import read


def rows_of(text: str, label: str, /, count: int = 40, **others: object) -> list[dict]:
    """Rows with a text and a label under these names, between other columns."""
    rng = random.Random(1)
    return [
        {name: value(number) if callable(value) else value for name, value in others.items()}
        | {text: sentence(number % 2, rng), label: ("bad", "good")[number % 2]}
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("text", "label", "others"),
    [
        ("text", "label", {}),
        ("Review", "Sentiment", {"id": lambda number: f"r{number}"}),
        ("verbatim", "outcome", {"when": lambda number: f"2024-01-{number:02d}"}),
        ("sentence", "stars", {"title": lambda number: f"a title of number {number}"}),
        # `label` is a number of the row here, and what the class is called stands in another column.
        ("comment", "category", {"label": lambda number: f"{number}.5"}),
        ("opinion", "y", {"source": "web", "author": lambda number: f"author {number}"}),
    ],
)
def test_columns_are_found_by_name_or_content(tmp_path: Path, text: str, label: str, others: dict) -> None:
    rows = rows_of(text, label, **others)
    for write, name in ((write_table, "t.csv"), (write_jsonl, "t.jsonl"), (write_parquet, "t.parquet")):
        corpus = CorpusConfig(source=str(write(tmp_path / name, rows)))
        assert find_columns(corpus, None, None, labelled=True)[:2] == (text, label)


def test_a_table_without_a_header_has_numbered_columns(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    rng = random.Random(0)
    file.write_text("".join(f"{number % 2},{sentence(number % 2, rng)}\n" for number in range(40)))
    columns = find_columns(CorpusConfig(source=str(file)), None, None, labelled=True)
    assert columns == ("2", "1", False)


def test_a_sorted_table_has_its_second_class_at_the_end(tmp_path: Path) -> None:
    rows = sorted(rows_of("t", "l", count=6000), key=lambda row: row["l"])
    corpus = CorpusConfig(source=str(write_jsonl(tmp_path / "t.jsonl", rows)))
    assert find_columns(corpus, None, None, labelled=True)[:2] == ("t", "l")


def test_two_possible_labels_are_told_with_the_key_to_set(tmp_path: Path) -> None:
    rows = rows_of("text", "mood", region=lambda number: ("north", "south")[number // 2 % 2])
    corpus = CorpusConfig(source=str(write_jsonl(tmp_path / "t.jsonl", rows)))
    with pytest.raises(InputError, match=r"'region', 'mood' may all be it.*--label_column NAME"):
        find_columns(corpus, None, None, labelled=True)
    assert find_columns(corpus, None, "mood", labelled=True).label == "mood"


def test_a_usual_name_with_many_values_is_not_passed_over_for_another_column(tmp_path: Path) -> None:
    rows = rows_of("text", "channel", label=lambda number: f"intent {number}")
    corpus = CorpusConfig(source=str(write_jsonl(tmp_path / "t.jsonl", rows)))
    with pytest.raises(InputError, match=r"'label', 'channel' may all be it.*--label_column NAME"):
        find_columns(corpus, None, None, labelled=True)


def many_classes(folder: Path, label: str, classes: int, form: str, **others: Any) -> Columns:
    rows = [
        row | {label: form.format(number % classes)} for number, row in enumerate(rows_of("text", label, 800, **others))
    ]
    return find_columns(CorpusConfig(source=str(write_jsonl(folder / "t.jsonl", rows))), None, None, labelled=True)


def test_many_classes_below_a_sure_name_are_taken_before_few_below_another(tmp_path: Path) -> None:
    score = {"score": lambda number: number % 3}
    for form in ("intent {}", "{}"):
        assert many_classes(tmp_path, "label", 77, form, **score).label == "label"
    # Measurements are no classes, and what comes twice or thrice may be ids.
    assert many_classes(tmp_path, "label", 77, "0.{:02d}1", **score).label == "score"
    with pytest.raises(InputError, match=r"'label', 'score' may all be it.*'label' \(300 values\)"):
        many_classes(tmp_path, "label", 300, "{}", **score)


@pytest.mark.parametrize(("name", "form"), [("category", "kind {}"), ("target", "entity {}"), ("score", "{}")])
def test_many_values_below_a_lesser_name_are_asked_about_beside_few(tmp_path: Path, name: str, form: str) -> None:
    # Topics, entities and votes were trained on as classes, without a word.
    with pytest.raises(InputError, match=rf"'{name}'.*'mood' may all be it"):
        many_classes(tmp_path, name, 70, form, mood=lambda number: number % 3)
    if form != "{}":
        assert many_classes(tmp_path, name, 70, form).label == name


def test_texts_without_labels_are_refused_as_labelled(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("A text of some length.\n\nAnother one, as long.")
    with pytest.raises(InputError, match=r"label_column: .* none has a few values"):
        find_columns(CorpusConfig(source=str(tmp_path / "t.txt")), None, None, labelled=True)
    assert find_columns(CorpusConfig(source=str(tmp_path / "t.txt")), None, None, labelled=False).text == "text"


def test_a_table_of_numbers_has_no_text(tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text("".join(json.dumps({"a": number, "b": number % 2}) + "\n" for number in range(20)))
    with pytest.raises(InputError, match=r"text_column: no column .* holds texts; .*--text_column NAME"):
        find_columns(CorpusConfig(source=str(file)), None, None, labelled=True)


def test_folders_named_after_classes_are_labels(tmp_path: Path) -> None:
    rng = random.Random(0)
    for number in range(20):
        folder = tmp_path / ("neg", "pos")[number % 2]
        folder.mkdir(exist_ok=True)
        (folder / f"{number}.txt").write_text(sentence(number % 2, rng))
    corpus = CorpusConfig(source=str(tmp_path), split="all")
    assert find_columns(corpus, None, None, labelled=True)[:2] == ("text", "label")


def test_the_second_text_is_not_the_first(tmp_path: Path) -> None:
    rows = rows_of("premise", "label", hypothesis="a text that is longer than all of the others are, by some words")
    corpus = CorpusConfig(source=str(write_jsonl(tmp_path / "t.jsonl", rows)), second_text_column="hypothesis")
    assert find_columns(corpus, None, None, labelled=True)[:2] == ("premise", "label")


def test_a_given_number_of_a_column_is_of_a_table_without_a_header(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    rng = random.Random(0)
    file.write_text("".join(f"{number % 2},{sentence(number % 2, rng)},x\n" for number in range(40)))
    assert find_columns(CorpusConfig(source=str(file)), "2", None, labelled=True)[:2] == ("2", "1")


def test_the_questions_of_a_survey_are_names(tmp_path: Path) -> None:
    rows = rows_of("Please describe what you liked or did not like.", "How would you rate us?")
    corpus = CorpusConfig(source=str(write_table(tmp_path / "t.csv", rows)))
    found = find_columns(corpus, None, None, labelled=True)
    assert found == ("Please describe what you liked or did not like.", "How would you rate us?", None)


def test_texts_of_a_few_words_or_without_spaces_are_no_names(tmp_path: Path) -> None:
    # Once, the first text became the name of the column, as it has neither seven words nor a full stop.
    chinese = ("这部电影真的很好看", "剧情很差。")
    for name, texts, labels in (
        ("t.tsv", [f"{('superb', 'dull')[n % 2]} plot {n}" for n in range(40)], "10"),
        ("z.tsv", [f"{chinese[n % 2]}{n}" for n in range(40)], ("正面", "负面")),
        ("h.tsv", [sentence(n % 2, random.Random(n)) for n in range(40)], "10"),
    ):
        file = tmp_path / name
        file.write_text("".join(f"{text}\t{labels[n % 2]}\n" for n, text in enumerate(texts)), encoding="utf-8")
        corpus = CorpusConfig(source=str(file))
        assert find_columns(corpus, None, None, labelled=True) == ("1", "2", False)
        # Also by number, where the label in the first row is the number of a column.
        found = with_columns(corpus, find_columns(corpus, "1", "2", labelled=True))
        assert len(list(read(found, labelled=True))) == 40


@pytest.mark.parametrize("names", [("id", "sms", "good"), ("year", "joke", "bad"), ("0", "1", "2")])
def test_a_name_that_is_also_a_class_is_a_name(tmp_path: Path, names: tuple[str, str, str]) -> None:
    # Numbers of rows and names of users are as short as names of columns are.
    rng = random.Random(1)
    values = ("bad", "good") if names[2] in ("bad", "good") else ("0", "2")
    rows = [{names[0]: n, names[1]: sentence(n % 2, rng), names[2]: values[n % 2]} for n in range(60)]
    corpus = CorpusConfig(source=str(write_table(tmp_path / "t.csv", rows)))
    assert find_columns(corpus, None, None, labelled=True) == (names[1], names[2], None)


@pytest.mark.parametrize(
    "first", [("Great!", "5"), ("loved it very much indeed", "pos"), ("What were they thinking?", "1")]
)
def test_a_short_first_text_beside_a_class_is_a_row(tmp_path: Path, first: tuple[str, str]) -> None:
    rng, file = random.Random(1), tmp_path / "t.csv"
    labels = ("neg", "pos") if first[1] == "pos" else ("1", "5")
    rows = [first, *((sentence(n % 2, rng) * 3, labels[n % 2]) for n in range(60))]
    file.write_text("".join(f"{text},{label}\n" for text, label in rows))
    assert find_columns(CorpusConfig(source=str(file)), None, None, labelled=True) == ("1", "2", False)


@pytest.mark.parametrize("names", [("Message body", "Spam"), ("Customer feedback", "Ham")])
def test_a_short_name_above_long_texts_is_a_header_whatever_stands_beside(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    rng, file = random.Random(1), tmp_path / "t.csv"
    rows = [names, *((sentence(n % 2, rng) * 3, ("Spam", "Ham")[n % 2]) for n in range(60))]
    file.write_text("".join(f"{text},{label}\n" for text, label in rows))
    assert find_columns(CorpusConfig(source=str(file)), None, None, labelled=True) == (*names, None)


def test_a_number_that_is_missing_in_the_first_row_is_no_name(tmp_path: Path) -> None:
    rng, file = random.Random(1), tmp_path / "t.csv"
    rows = [(("neg", "pos")[n % 2], sentence(n % 2, rng) * 3, "NA" if n == 0 else n) for n in range(60)]
    file.write_text("".join(f"{label},{text},{number}\n" for label, text, number in rows))
    assert find_columns(CorpusConfig(source=str(file)), None, None, labelled=True) == ("2", "1", False)


@pytest.mark.parametrize(("usual", "longer"), [("comment", "article"), ("tweet", "thread"), ("question", "context")])
def test_a_usual_name_is_the_text_beside_longer_ones(tmp_path: Path, usual: str, longer: str) -> None:
    rng = random.Random(1)
    rows = [{usual: sentence(n % 2, rng), longer: sentence(0, rng) * 5, "label": n % 2} for n in range(60)]
    corpus = CorpusConfig(source=str(write_jsonl(tmp_path / "t.jsonl", rows)))
    assert find_columns(corpus, None, None, labelled=True).text == usual


@pytest.mark.parametrize("number", ["", "Respondent"])
def test_a_question_above_answers_is_a_name(tmp_path: Path, number: str) -> None:
    rng, question = random.Random(1), "What did you like most about this film?"
    rows = [({number: n} if number else {}) | {question: sentence(n % 2, rng)} for n in range(40)]
    corpus = CorpusConfig(source=str(write_table(tmp_path / "t.csv", rows)))
    assert find_columns(corpus, None, None, labelled=False) == (question, None, None)
    # Among other questions, it is one of the texts.
    rows = [row | {question: f"Was it {row[question]}?"} for row in rows]
    corpus = CorpusConfig(source=str(write_table(tmp_path / "q.csv", [{question: row[question]} for row in rows])))
    assert find_columns(corpus, None, None, labelled=False) == ("1", None, False)


def test_the_same_value_twice_in_the_first_row_is_no_name(tmp_path: Path) -> None:
    rng = random.Random(1)
    file = tmp_path / "t.csv"
    file.write_text("".join(f"{n},{sentence(n % 2, rng)},{n % 2}\n" for n in range(60)))
    assert find_columns(CorpusConfig(source=str(file)), None, None, labelled=True) == ("2", "3", False)


@pytest.mark.parametrize(
    ("text", "others"),
    [
        ("title", {"reviews": lambda n: str(1000 + n), "url": lambda n: f"https://example.org/{'x' * 90}/{n}"}),
        ("description", {"comments": str, "id": lambda n: f"{n:064x}"}),
        (
            "title",
            {"category": lambda n: f"home > kitchen > {'pots and pans' if n % 2 else 'knives and boards'} > all"},
        ),
    ],
)
def test_counts_addresses_digests_and_classes_are_no_texts(tmp_path: Path, text: str, others: dict) -> None:
    rows = rows_of(text, "rating", **others)
    label = None if "category" not in others else "category"
    corpus = CorpusConfig(source=str(write_table(tmp_path / "t.csv", rows)))
    assert find_columns(corpus, None, label, labelled=True)[:2] == (text, label or "rating")


def test_short_texts_without_spaces_under_a_header_are_texts(tmp_path: Path) -> None:
    rows = [{"评论": f"很好看{number}", "情感": ("正面", "负面")[number % 2]} for number in range(40)]
    corpus = CorpusConfig(
        source=str(write_table(tmp_path / "t.csv", [row | {"评论": row["评论"] * 2} for row in rows]))
    )
    assert find_columns(corpus, None, None, labelled=True)[:2] == ("评论", "情感")


@pytest.mark.parametrize("text", ["Review Text", "review-text", "Plot"])
def test_a_title_beside_much_longer_texts_is_not_the_text(tmp_path: Path, text: str) -> None:
    rows = rows_of(text, "Rating", Title=lambda number: f"fine {number}")
    rows = [row | {text: row[text] * 3} for row in rows]
    corpus = CorpusConfig(source=str(write_table(tmp_path / "t.csv", rows)))
    assert find_columns(corpus, None, None, labelled=True)[:2] == (text, "Rating")
    # Alone, or beside texts of its length, it is.
    rows = rows_of("title", "Rating", remark=lambda number: f"to shelf {number}, soon")
    corpus = CorpusConfig(source=str(write_jsonl(tmp_path / "t.jsonl", rows)))
    assert find_columns(corpus, None, None, labelled=True).text == "title"


@pytest.mark.parametrize(
    ("text", "others"),
    [
        ("full_text", {"description": lambda number: f"dad of {number}, views mine"}),
        ("complaint narrative", {"description": lambda number: f"note {number}"}),
        ("feedback", {"comment": lambda number: "" if number % 20 else "see above, all of you there"}),
        ("feedback", {"notes": lambda number: "" if number % 20 else "see above and below, " * 9}),
    ],
)
def test_a_usual_name_above_short_texts_or_few_is_not_the_text(tmp_path: Path, text: str, others: dict) -> None:
    rows = [row | {text: row[text] * 2} for row in rows_of(text, "label", **others)]
    corpus = CorpusConfig(source=str(write_table(tmp_path / "t.csv", rows)))
    assert find_columns(corpus, None, None, labelled=True)[:2] == (text, "label")
    # Rows of JSON may lack the column.
    rows = [{name: value for name, value in row.items() if value != ""} for row in rows]
    corpus = CorpusConfig(source=str(write_jsonl(tmp_path / "t.jsonl", rows)))
    assert find_columns(corpus, None, None, labelled=True)[:2] == (text, "label")


@pytest.mark.parametrize(
    ("text", "other", "value", "told"),
    [
        ("text", "profile", "a text of many words, " * 9, "'profile' has longer ones"),
        ("description", "remark", "a text of nine words for one of sixty films", "'remark' has longer ones"),
        ("premise", "hypothesis", "is so", "`--text_column premise --second_text_column hypothesis`"),
        ("text", "id", "0" * 90, ""),
    ],
)
def test_other_texts_are_told_of(tmp_path: Path, caplog, text: str, other: str, value: str, told: str) -> None:
    rows = [row | {other: f"{value}{number}"} for number, row in enumerate(rows_of(text, "label"))]
    corpus = CorpusConfig(source=str(write_jsonl(tmp_path / "t.jsonl", rows)))
    with caplog.at_level("INFO"):
        assert find_columns(corpus, None, None, labelled=True).text == text
        assert told in caplog.text
        assert bool(told) == bool(caplog.text)
        caplog.clear()
        assert find_columns(corpus, text, None, labelled=True).text == text
    assert not caplog.text


@pytest.mark.parametrize("text", ["หนังเรื่องนี้ดีมากนักแสดงเก่ง", "ຮູບເງົາເລື່ອງນີ້ດີຫຼາຍ", "រឿងនេះល្អណាស់ខ្ញុំចូលចិត្ត", "ဒီရုပ်ရှင်ကအရမ်းကောင်းတယ်"])
def test_texts_without_spaces_are_not_passed_over_for_names(tmp_path: Path, text: str) -> None:
    rows = [{"ผู้ใช้": f"Somchai {n}", "ความ": f"{text}{n}", "ผล": ("บวก", "ลบ")[n % 2]} for n in range(40)]
    corpus = CorpusConfig(source=str(write_table(tmp_path / "t.csv", rows)))
    assert find_columns(corpus, None, None, labelled=True)[:2] == ("ความ", "ผล")


def test_a_number_among_the_texts_does_not_make_another_column_the_text(tmp_path: Path) -> None:
    rows = rows_of("text", "label", title=lambda number: f"bought from shop {number}")
    rows[7]["text"] = 10
    corpus = CorpusConfig(source=str(write_jsonl(tmp_path / "t.jsonl", rows)))
    assert find_columns(corpus, None, None, labelled=True)[:2] == ("text", "label")


def test_a_file_of_which_no_row_can_be_read_says_why(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(("text;label\n" + "".join(f"Schön {n};gut\n" for n in range(9))).encode("cp1252"))
    with pytest.raises(InputError, match=r"holds no row that can be read: .*t\.csv.*cp1252"):
        find_columns(CorpusConfig(source=str(file)), None, None, labelled=True)


def test_decimal_numbers_are_labels(tmp_path: Path) -> None:
    rows = [row | {"label": decimal.Decimal(number % 2)} for number, row in enumerate(rows_of("text", "label"))]
    corpus = CorpusConfig(source=str(write_parquet(tmp_path / "t.parquet", rows)))
    assert find_columns(corpus, None, None, labelled=True)[:2] == ("text", "label")
    assert {document.label for document in read(corpus, labelled=True)} == {0, 1}


@pytest.mark.parametrize(
    ("names", "values", "found"),
    [
        (("category", "rating"), ("AB", "12"), None),
        (("Category", "Polarity"), ("AB", ("pos", "neg")), None),
        (("target", "stance"), (("Atheism", "Climate"), ("FAVOR", "NONE")), None),
        # A number below this name is a label, others are found before these, and alone they are labels.
        (("target", "keyword"), ("01", "AB"), "target"),
        (("topic", "sentiment"), ("AB", ("pos", "neg")), "sentiment"),
        (("category", "class"), ("AB", "12"), "class"),
        (("category", "id"), ("AB", None), "category"),
        (("category", "split"), ("AB", ("train", "test")), "category"),
        (("category", "star_rating"), ("AB", "12"), None),
        # Of others beside it, a line tells.
        (("category", "lang"), ("AB", ("en", "de")), "category"),
        (("category", "year"), ("AB", ("2019", "2020")), "category"),
        (("category", "is_long"), ("AB", "01"), "category"),
        (("category", "sub_category"), ("AB", "CD"), "category"),
        (("target", "source"), ("AB", ("bbc", "cnn")), "target"),
        (("score", "flair"), ("12", "AB"), "score"),
        (("score", "id"), ("12", None), "score"),
        (("intent", "lang"), ("AB", ("en", "de")), "intent"),
        (("stars", "category"), ("12", "AB"), None),
    ],
)
def test_a_topic_beside_a_judgement_is_asked_about(tmp_path: Path, caplog, names, values, found: str | None) -> None:
    rows = [
        {"review": sentence(n % 2, random.Random(n))}
        | {
            name: n if of is None else of[n // (1 + place) % 2]
            for place, (name, of) in enumerate(zip(names, values, strict=True))
        }
        for n in range(60)
    ]
    corpus = CorpusConfig(source=str(write_table(tmp_path / "t.csv", rows)))
    if found is not None:
        with caplog.at_level("INFO"):
            assert find_columns(corpus, None, None, labelled=True).label == found
        is_told = names[1] in ("lang", "year", "is_long", "sub_category", "source", "flair") and found != "intent"
        assert (f"the label is {found!r}, and not {names[1]!r} (`--label_column`)" in caplog.text) == is_told
        return
    with pytest.raises(InputError, match=r"may all be it.*--label_column NAME"):
        find_columns(corpus, None, None, labelled=True)
    assert find_columns(corpus, None, names[0], labelled=True).label == names[0]
