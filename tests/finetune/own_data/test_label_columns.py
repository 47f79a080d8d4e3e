"""The label is not guessed where another column may as well be it, and the message says what helps."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from configs.errors import InputError
from finetune.own_data.columns import find_columns
from finetune.own_data.config import OwnDataConfig
from finetune.own_data.sources import find_sources
from tests.finetune.own_data.test_columns import rows_of
from tests.helpers.corpora import write_jsonl, write_table
from tests.helpers.finetuning import sentence
from tokenizer.corpus.config import CorpusConfig


def label_of(folder: Path, rows: list[dict[str, Any]], label: str | None = None) -> str | None:
    corpus = CorpusConfig(source=str(write_table(folder / "t.csv", rows)))
    return find_columns(corpus, None, label, labelled=True).label


@pytest.mark.parametrize(
    ("other", "value", "is_asked"),
    [
        ("fine", lambda n: f"intent {n % 60}", True),
        # Numbers, dates and what comes once or twice are no classes.
        ("user", lambda n: n % 60, False),
        ("day", lambda n: f"2024-{n % 12 + 1:02d}-{n % 5 + 10}", False),
        ("shop", lambda n: f"shop {n % 200}", False),
    ],
)
def test_more_classes_than_a_few_are_asked_about(
    tmp_path: Path, other: str, value: Callable[[int], Any], is_asked: bool
) -> None:
    rows = rows_of("query", "coarse", 400, **{other: value})
    if not is_asked:
        assert label_of(tmp_path, rows) == "coarse"
        return
    with pytest.raises(InputError, match="'coarse', 'fine' may all be it"):
        label_of(tmp_path, rows)
    assert label_of(tmp_path, rows, "fine") == "fine"


@pytest.mark.parametrize(
    ("label", "other"),
    [
        ("priority", "queue"),
        ("is_answered", "tag"),
        ("urgent", "department"),
        ("gender", "author"),
        ("stance", "user"),
        ("is_complaint", "gold_intent"),
        ("locale", "act"),
    ],
)
def test_many_values_are_asked_about_whatever_the_columns_are_called(tmp_path: Path, label: str, other: str) -> None:
    rows = rows_of("query", label, 400, **{other: lambda n: f"value {n % 60}"})
    with pytest.raises(InputError, match=f"'{label}', '{other}' may all be it"):
        label_of(tmp_path, rows)


def test_many_values_are_asked_about_without_a_header(tmp_path: Path) -> None:
    rng, file = random.Random(1), tmp_path / "t.tsv"
    kinds = [(f"domain{n % 10}", f"intent_{n % 60}", f"{sentence(n % 2, rng)} {n}") for n in range(600)]
    file.write_text("".join("\t".join(cells) + "\n" for cells in kinds))
    with pytest.raises(InputError, match="'1', '2' may all be it"):
        find_columns(CorpusConfig(source=str(file)), None, None, labelled=True)


@pytest.mark.parametrize(("names", "told"), [(("part",), "'part' holds"), (("part", "fold"), "'part', 'fold' hold")])
def test_a_column_with_splits_alone_is_told(tmp_path: Path, names: tuple[str, ...], told: str) -> None:
    rows = [
        {"text": row["text"]} | dict.fromkeys(names, ("train", "test")[n % 2])
        for n, row in enumerate(rows_of("text", "label"))
    ]
    with pytest.raises(InputError, match=f"{told} only names of splits, and no other has a few values"):
        label_of(tmp_path, rows)


@pytest.mark.parametrize(("label", "classes"), [("answer", 2), ("category", 60), ("label", 2)])
def test_the_split_of_a_row_is_no_label(tmp_path: Path, caplog, label: str, classes: int) -> None:
    rows = rows_of("text", "mood", 400, part=lambda n: ("train", "Test")[n % 2])
    rows = [{"text": row["text"], label: f"kind {n // 2 % classes}", "part": row["part"]} for n, row in enumerate(rows)]
    assert label_of(tmp_path, rows) == label
    assert "'part' is not used, though it tells a split of each row (Test, train)" in caplog.text
    assert "`--test`" in caplog.text
    # Below a usual name, they are classes.
    assert label_of(tmp_path, [{"text": row["text"], "label": row["part"]} for row in rows]) == "label"


@pytest.mark.parametrize(
    ("names", "value", "told"),
    [
        (("question", "sentence"), "is it so, and why?", "--text_column question --second_text_column sentence"),
        (("question", "passage"), "it is so, and long", "--text_column question --second_text_column passage"),
        # The label is no second text, nor are its words.
        (("question", "answer"), None, ""),
        (("text", "note"), "seen twice", "the text is 'text', and not 'note'"),
    ],
)
def test_the_other_text_of_a_pair_holds_texts(tmp_path: Path, caplog, names: tuple[str, str], value, told: str) -> None:
    rng = random.Random(1)
    rows = [
        {names[0]: sentence(n % 2, rng), names[1]: ("so it is", "not so")[n % 2] if value is None else f"{value} {n}"}
        | ({} if value is None else {"label": n % 2})
        for n in range(40)
    ]
    corpus = CorpusConfig(source=str(write_jsonl(tmp_path / "t.jsonl", rows)))
    with caplog.at_level("INFO"):
        found = find_columns(corpus, None, None, labelled=True)
    assert found.label == ("answer" if value is None else "label")
    assert told in caplog.text
    assert bool(told) == bool(caplog.text)


def test_the_text_of_a_pair_is_its_first_one_beside_longer_parses(tmp_path: Path) -> None:
    rows = [
        {"sentence1": row["s"], "sentence1_parse": f"(ROOT (S {row['s']}))", "sentence2": "so it is", "gold": row["l"]}
        for row in rows_of("s", "l")
    ]
    corpus = CorpusConfig(source=str(write_jsonl(tmp_path / "t.jsonl", rows)))
    assert find_columns(corpus, None, None, labelled=True).text == "sentence1"


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"data": {"text": "A text."}}, r"'data' \(an object\); give .*write text and label as keys of each row"),
        (
            {"text": "A text of {}, {}", "notes": [{"name": "a"}]},
            r"'notes' \(a list of objects\).* as keys of each",
        ),
        ({"text": "A text of {}, {}", "kinds": "a{}|b{}"}, r"also `--label_separator '\|'`$"),
        ({f"c{number:02d}": 1 for number in range(13)}, r"'c11' \(1 values\), …; give"),
    ],
)
def test_a_message_tells_what_helps(tmp_path: Path, row: dict, told: str) -> None:
    def filled(value: Any, number: int) -> Any:
        return value.format(number % 7, number % 5) if isinstance(value, str) else value

    rows = [{name: filled(value, n) for name, value in row.items()} for n in range(36)]
    with pytest.raises(InputError, match=told):
        find_columns(CorpusConfig(source=str(write_jsonl(tmp_path / "t.jsonl", rows))), None, None, labelled=True)


def test_a_sentence_that_is_taken_for_a_name_is_told(tmp_path: Path) -> None:
    rows = rows_of("Please tell us in a few words what you liked.", "mood", region=lambda n: "NSE"[n % 3])
    with pytest.raises(InputError, match="or, if the first row is none of names, `--header false`"):
        label_of(tmp_path, rows)


def test_a_lone_column_is_asked_about_with_what_stands_between_others(tmp_path: Path) -> None:
    rows = "".join(f"{sentence(n % 2, random.Random(n))}~{n % 2}\n" for n in range(40))
    (tmp_path / "t.csv").write_text(f"text~label\n{rows}")
    with pytest.raises(InputError, match=r"'text~label' .*give what stands between them with `--delimiter`$"):
        find_columns(CorpusConfig(source=str(tmp_path / "t.csv")), None, None, labelled=True)
    corpus = CorpusConfig(source=str(tmp_path / "t.csv"), delimiter="~")
    assert find_columns(corpus, None, None, labelled=True)[:2] == ("text", "label")


@pytest.mark.parametrize(
    ("label", "other", "is_taken"),
    [
        ("stars", "category", False),
        ("label", "Topic", True),
        ("category", "stars", False),
        ("category", "topic", True),
        ("category", "label", True),
        ("category", "target", True),
        ("y", "topic", True),
        ("stars", "rating", True),
        ("mood", "category", False),
    ],
)
def test_a_topic_of_the_test_file_is_not_the_judgement_of_the_labelled_texts(
    tmp_path: Path, label: str, other: str, is_taken: bool
) -> None:
    labelled, test = ([row | {name: n % 3} for n, row in enumerate(rows_of("text", name))] for name in (label, other))
    config = OwnDataConfig(
        labelled=str(write_table(tmp_path / "a.csv", labelled)), test=str(write_table(tmp_path / "b.csv", test))
    )
    if is_taken:
        found = find_sources(config).test
        assert found is not None
        assert found.label_column == other
        return
    with pytest.raises(InputError, match=rf"none has a usual name; .*call the column '{label}', as in the labelled"):
        find_sources(config)
    if label == "category":
        return
    # Beside a judgement, too.
    write_table(tmp_path / "b.csv", [row | {"rating": n // 2 % 3, "category": n % 3} for n, row in enumerate(test)])
    with pytest.raises(InputError, match=r"which column of .* is the label"):
        find_sources(config)


@pytest.mark.parametrize(("label", "other"), [("sentiment", "category"), ("category", "intent"), ("label", "topic")])
@pytest.mark.parametrize("is_split", [False, True])
def test_a_usual_name_is_that_of_the_test_label_where_all_its_words_are_classes(
    tmp_path: Path, caplog, label: str, other: str, is_split: bool
) -> None:
    labelled, test = (rows_of("text", name) for name in (label, other))
    # Not all of the classes, as of a small file.
    labelled += [row | {label: "so so"} for row in labelled[:8]]
    files = [str(write_table(tmp_path / f"{n}.csv", rows)) for n, rows in (("train", labelled), ("test", test))]
    config = OwnDataConfig(labelled=str(tmp_path)) if is_split else OwnDataConfig(labelled=files[0], test=files[1])
    found = find_sources(config).test
    assert found is not None
    assert found.label_column == other
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
