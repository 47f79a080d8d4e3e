"""Texts are split once: classes in proportion, near duplicates together, test texts in no other part."""

import gzip
import random
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from configs.errors import InputError
from finetune.classification.splits import text_key
from finetune.own_data import sources, texts
from finetune.own_data.config import OwnDataConfig
from tests.helpers.corpora import write_jsonl, write_table
from tests.helpers.finetuning import THINGS, sentence
from tokenizer.corpus.config import CorpusConfig


def long_text(rng: random.Random, label: int) -> str:
    return " ".join(sentence(label, rng) + f" {rng.choice(THINGS)} {rng.randrange(10**6)}" for _ in range(8))


def labelled_rows(count: int = 120) -> list[dict[str, Any]]:
    """Rows of which a quarter are the row before with one word more."""
    rng = random.Random(0)
    rows: list[dict[str, Any]] = []
    for number in range(count):
        label = number // 2 % 3 == 0
        text = f"{rows[-1]['text']} Indeed." if number % 4 == 3 else long_text(rng, label)
        rows.append({"text": text, "label": ("no", "yes")[rows[-1]["label"] == "yes" if number % 4 == 3 else label]})
    return rows


def split(tmp_path: Path, maximum_characters: int = 10**9, **keys: Any) -> tuple[texts.Texts, dict[str, list[dict]]]:
    facts = texts.write(sources.find_sources(OwnDataConfig(**keys)), tmp_path / "data", maximum_characters)
    return facts, {
        file.stem: pyarrow.parquet.read_table(file).to_pylist() for file in (tmp_path / "data").glob("*.parquet")
    }


def test_near_duplicates_stay_on_one_side_and_classes_in_proportion(tmp_path: Path) -> None:
    rows = labelled_rows()
    facts, parts = split(tmp_path, labelled=str(write_jsonl(tmp_path / "t.jsonl", rows)))
    assert sorted(row["text"] for part in parts.values() for row in part) == sorted(row["text"] for row in rows)
    test = {row["text"].removesuffix(" Indeed.") for row in parts["test"]}
    assert not test & {row["text"].removesuffix(" Indeed.") for row in parts["train"]}
    assert len(parts["test"]) == facts.test_texts == pytest.approx(24, abs=2)
    share = sum(row["label"] == "yes" for row in rows) / len(rows)
    assert sum(row["label"] == "yes" for row in parts["test"]) / len(parts["test"]) == pytest.approx(share, abs=0.1)
    assert facts.classes == ["no", "yes"]
    assert sum(facts.counts) == facts.train_texts == len(parts["train"])
    assert parts["test"][0]["_place"].startswith(str(tmp_path / "t.jsonl"))


def test_texts_that_contradict_each_other_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = labelled_rows()
    other = {"yes": "no", "no": "yes"}
    rows += [row | {"label": other[row["label"]]} for row in rows[:7]]
    split(tmp_path, labelled=str(write_jsonl(tmp_path / "t.jsonl", rows)))
    assert "own data: 14 labelled texts stand there more than once, with different labels" in caplog.text


@pytest.mark.parametrize(
    ("names", "form", "classes"),
    [
        (["positive.txt", "negative.txt"], "{text}", ["negative", "positive"]),
        (["rt-polarity.pos", "rt-polarity.neg"], "{text}", ["neg", "pos"]),
        (["mr.txt"], "{label} {text}", ["0", "1"]),
        (["cr.txt"], "__label__{label} {text}", ["0", "1"]),
        (["words.txt"], "{word} {text}", ["bad", "good"]),
    ],
)
def test_a_line_may_have_its_label_before_it_or_in_the_name_of_its_file(
    tmp_path: Path, names: list[str], form: str, classes: list[str]
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    rows = [(number % 2, f"{long_text(random.Random(number), 1)} {number}") for number in range(60)]
    lines = [
        (label, form.format(text=text, label=label, word=("bad", "good")[label])) for label, text in reversed(rows)
    ]
    for place, name in enumerate(names):
        of_file = [line for label, line in lines if len(names) == 1 or label == 1 - place]
        (folder / name).write_text("".join(f"{line}\n" for line in of_file))
    labelled = folder if len(names) > 1 else folder / names[0]
    facts, parts = split(tmp_path, labelled=str(labelled))
    assert (facts.classes, facts.train_texts + facts.test_texts, sum(facts.counts)) == (classes, 60, facts.train_texts)
    expected = {text: classes[label] for label, text in rows}
    assert {row["text"]: row["label"] for row in parts["train"] + parts["test"]} == expected


def test_several_labels_before_a_line_are_told(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("__label__a __label__b A text.\n__label__a Another.\n" * 9)
    with pytest.raises(InputError, match="it has several labels; write JSON with a list"):
        split(tmp_path, labelled=str(tmp_path / "t.txt"))


def test_test_texts_without_labels_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # As in the folder of a competition.
    rows = labelled_rows()
    folder = tmp_path / "competition"
    folder.mkdir()
    write_table(folder / "train.csv", rows)
    write_table(folder / "test.csv", [{"text": row["text"]} for row in labelled_rows()])
    facts, parts = split(tmp_path, labelled=str(folder))
    assert facts.train_texts + facts.test_texts == len(rows)
    assert parts["test"]
    assert "the split 'test' of" in caplog.text
    assert "has no labels, and is left out" in caplog.text


@pytest.mark.parametrize("letters", ["映画音楽俳優脚本の", "หนังเรื่องนี้ดีมาก", "good "])
def test_near_duplicates_are_found_in_every_script(tmp_path: Path, letters: str) -> None:
    rng = random.Random(4)
    words = letters.split(" ") if letters == "good " else list(letters)
    join = "".join if letters != "good " else lambda words: " ".join(f"{word}{rng.randrange(99)}" for word in words)
    bases = [join(rng.choice(words) for _ in range(60)) for _ in range(40)]
    rows = [
        {"text": text + "！" * copy, "label": ("no", "yes")[number % 2]}
        for number, text in enumerate(bases)
        for copy in range(3)
    ]
    keys: dict[str, Any] = {"labelled": str(write_jsonl(tmp_path / "t.jsonl", rows))}
    _, parts = split(tmp_path, **keys)
    train, test = ({row["text"].rstrip("！") for row in parts[part]} for part in ("train", "test"))
    assert not train & test
    assert len(test) == 8
    given = write_jsonl(tmp_path / "given.jsonl", [row | {"text": row["text"] + "！"} for row in rows[:30:3]])
    assert split(tmp_path, test=str(given), **keys)[0].train_texts == len(rows) - 30


def test_chains_of_near_duplicates_are_one_group(tmp_path: Path) -> None:
    rng = random.Random(3)
    words = [str(rng.randrange(10**6)) for _ in range(60)]
    rows = [{"text": " ".join(words[begin : begin + 50]), "label": "no"} for begin in (0, 4, 8)]
    rows += [{"text": long_text(rng, 1), "label": label} for label in ("no", "yes") for _ in range(10)]
    corpora = sources.find_sources(OwnDataConfig(labelled=str(write_jsonl(tmp_path / "t.jsonl", rows))))
    keys = texts.groups(list(texts.read_documents(corpora.labelled, labelled=True)))
    assert keys[0] == keys[1] == keys[2]
    assert len(set(keys)) == 21


@pytest.mark.parametrize("is_given", [False, True])
def test_texts_by_a_template_are_told_of_and_kept(tmp_path: Path, caplog, is_given: bool) -> None:
    words = long_text(random.Random(0), 1)
    rows = [{"text": f"{words} {number}", "label": ("no", "yes")[number % 2]} for number in range(60)]
    keys: dict[str, Any] = {"labelled": str(write_jsonl(tmp_path / "t.jsonl", rows))}
    if is_given:
        tests = [{"text": f"{words} {number}", "label": "no"} for number in range(5)]
        keys["test"] = str(write_jsonl(tmp_path / "u.jsonl", tests))
    facts, parts = split(tmp_path, **keys)
    other = "test texts" if is_given else "each other"
    assert f"most texts are near duplicates of {other}, so only copies are kept apart" in caplog.text
    assert facts.counts[0] >= 20
    assert not {row["text"] for row in parts["train"]} & {row["text"] for row in parts["test"]}


def test_near_duplicates_of_one_class_do_not_part_those_of_others(tmp_path: Path, caplog) -> None:
    words = long_text(random.Random(7), 1)
    rows = [*labelled_rows(), *({"text": f"{words} {number}", "label": "rare"} for number in range(6))]
    _, parts = split(tmp_path, labelled=str(write_jsonl(tmp_path / "t.jsonl", rows)))
    assert "of class rare, most texts" in caplog.text
    train, test = ({row["text"].removesuffix(" Indeed.") for row in parts[part]} for part in ("train", "test"))
    assert not train & test
    assert any(row["label"] == "rare" for row in parts["test"])


def test_labelled_copies_of_given_test_texts_are_left_out(tmp_path: Path) -> None:
    rows = labelled_rows()
    write_jsonl(tmp_path / "t.jsonl", rows)
    tests = [dict(row, text=row["text"].upper()) for row in rows[:5]] + labelled_rows(8)[7:]
    write_jsonl(tmp_path / "given.jsonl", tests)
    facts, parts = split(tmp_path, labelled=str(tmp_path / "t.jsonl"), test=str(tmp_path / "given.jsonl"))
    assert facts.test_texts == len(tests)
    tested = {text_key(row["text"]).removesuffix(" indeed.") for row in tests}
    assert not tested & {text_key(row["text"]).removesuffix(" indeed.") for row in parts["train"]}
    assert len(rows) - 10 <= facts.train_texts <= len(rows) - 6


def test_a_folder_with_splits_is_used_as_it_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    rows = labelled_rows()
    write_jsonl(folder / "train.jsonl", rows[:80])
    write_jsonl(folder / "test.jsonl", rows[80:])
    write_jsonl(folder / "unsupervised.jsonl", [{"text": row["text"], "label": -1} for row in labelled_rows(30)])
    facts, _ = split(tmp_path, labelled=str(folder))
    assert (facts.test_texts, facts.unlabelled_texts) == (40, 30)


def test_the_layout_of_aclimdb_has_its_unlabelled_texts_among_the_training_texts(tmp_path: Path) -> None:
    rng = random.Random(5)
    for part in ("train/pos", "train/neg", "train/unsup", "test/pos", "test/neg", "train", "test"):
        folder = tmp_path / "acl" / part
        folder.mkdir(parents=True, exist_ok=True)
        # Lists of addresses lie beside the folders.
        for number in range(10 if "/" in part else 2):
            (folder / f"{number}.txt").write_text(long_text(rng, 1))
    facts, parts = split(tmp_path, labelled=str(tmp_path / "acl"))
    assert facts.classes == ["neg", "pos"]
    assert (facts.train_texts, facts.test_texts, facts.unlabelled_texts) == (20, 20, 10)
    assert "label" not in parts["unlabelled"][0]


def test_no_more_unlabelled_text_is_copied_than_the_time_can_read(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "t.jsonl", labelled_rows())
    write_jsonl(tmp_path / "more.jsonl", [{"text": "a" * 100} for _ in range(50)])
    facts, parts = split(tmp_path, 1000, labelled=str(tmp_path / "t.jsonl"), unlabelled=str(tmp_path / "more.jsonl"))
    assert facts.unlabelled_texts == len(parts["unlabelled"]) == 11


def test_test_texts_may_not_be_the_labelled_texts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="are the labelled texts"):
        OwnDataConfig(labelled="a.csv", test="a.csv")


def test_a_data_set_of_the_hub_is_used_by_the_names_of_its_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    labelled = CorpusConfig(source="owner/reviews", split="train")
    monkeypatch.setattr(sources, "hub_splits", lambda identifier: ["train", "test", "unsupervised"])
    test, unlabelled = (sources.sibling(labelled, names) for names in (["test"], sources.UNLABELLED_NAMES))
    assert test is not None
    assert unlabelled is not None
    assert (test.split, unlabelled.split) == ("test", "unsupervised")
    monkeypatch.setattr(sources, "hub_splits", lambda identifier: ["train"])
    assert sources.sibling(labelled, ["test"]) is None


def test_pairs_and_columns_keep_their_names(tmp_path: Path) -> None:
    rng = random.Random(0)
    rows = [
        {"claim": long_text(rng, number % 2), "proof": long_text(rng, 1) * 2, "verdict": ("no", "yes")[number % 2]}
        for number in range(40)
    ]
    source = str(write_jsonl(tmp_path / "t.jsonl", rows))
    facts, parts = split(tmp_path, labelled=source, second_text_column="proof")
    assert (facts.text_column, facts.second_text_column, facts.label_column) == ("claim", "proof", "verdict")
    assert list(parts["train"][0]) == ["_place", "claim", "proof", "verdict"]
    # Pretraining texts need no second one.
    (tmp_path / "notes").mkdir()
    for number in range(3):
        (tmp_path / "notes" / f"{number}.txt").write_text(long_text(rng, 0))
    keys: dict[str, Any] = {"labelled": source, "second_text_column": "proof", "unlabelled": str(tmp_path / "notes")}
    assert split(tmp_path / "again", **keys)[0].unlabelled_texts == 3


def test_a_class_too_rare_to_train_on_is_told_before_anything_is_trained(tmp_path: Path) -> None:
    rng = random.Random(0)
    rows = [{"text": long_text(rng, 1), "label": label} for label in ["a"] * 20 + ["b"] * 20 + ["rare"] * 2]
    keys: dict[str, Any] = {"labelled": str(write_jsonl(tmp_path / "t.jsonl", rows))}
    with pytest.raises(InputError, match=r"class 'rare' has 1 text\(s\) beside those for testing.*`--labels` with the"):
        split(tmp_path, **keys)
    (tmp_path / "notes.txt").write_text("A text without a label.\n")
    facts, parts = split(tmp_path, labels=["a", "b"], unlabelled=str(tmp_path / "notes.txt"), **keys)
    assert (facts.classes, facts.train_texts + facts.test_texts, facts.unlabelled_texts) == (["a", "b"], 40, 1)
    assert {row["label"] for row in parts["train"] + parts["test"]} == {"a", "b"}
    # The label of those that have none may be among them.
    unlabelled = [{"text": long_text(rng, 1), "label": "unsup"} for _ in range(5)]
    write_jsonl(tmp_path / "u.jsonl", [*rows, *unlabelled])
    facts, _ = split(tmp_path, labels=["a", "b", "unsup"], labelled=str(tmp_path / "u.jsonl"))
    assert (facts.classes, facts.unlabelled_texts) == (["a", "b"], 5)
    with pytest.raises(InputError, match=r"corpus\.labels: no text of .* has the label 'rear'"):
        split(tmp_path, labels=["a", "b", "rear"], **keys)


def test_a_text_file_without_blank_lines_is_a_line_a_text(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "t.jsonl", labelled_rows())
    for name, content, count in (
        ("lines.txt", b"one text\nanother\n\n", 2),
        ("packed.txt.gz", gzip.compress(b"one text\nanother\n"), 2),
        ("utf16.txt", "\n\none\ntext\n\nanother".encode("utf-16"), 2),
        ("blocks.txt", b"one\ntext\n \nanother\n", 2),
    ):
        (tmp_path / name).write_bytes(content)
        facts, parts = split(tmp_path, labelled=str(tmp_path / "t.jsonl"), unlabelled=str(tmp_path / name))
        assert facts.unlabelled_texts == count
    assert parts["unlabelled"][0]["text"].strip() == "one\ntext"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"seeds": [0, 0]}, "seeds: .* holds one twice"),
        ({"label_budgets": [100, 100]}, "label_budgets: .* holds one twice"),
        ({"models": ["brt"]}, "unknown model 'brt'"),
        ({"models": ["sa-lstm"]}, "sequence autoencoder"),
        ({"minutes": 0}, "minutes"),
    ],
)
def test_keys_that_cannot_work_are_refused_at_once(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        OwnDataConfig(labelled="a.csv", **keys)


def test_what_a_message_advises_can_be_followed(tmp_path: Path) -> None:
    def table(name: str, rows: list[dict[str, Any]]) -> str:
        lines = [f"{row['text']} caf\xe9~{row['label']}" for row in rows]
        (tmp_path / name).write_bytes("\n".join(lines).encode("cp1252"))
        return str(tmp_path / name)

    rows = labelled_rows()
    keys: dict[str, Any] = {"labelled": table("rows.dat", rows[:80]), "test": table("test.dat", rows[80:])}
    (tmp_path / "notes.txt").write_text("Déjà vu.\nSplit.\n", encoding="cp1252")
    keys |= {"unlabelled": str(tmp_path / "notes.txt"), "delimiter": "~", "header": False}
    with pytest.raises(InputError, match=r"set corpus\.format.*`--format`"):
        split(tmp_path, **keys)
    facts, parts = split(tmp_path, format="csv", encoding="cp1252", **keys)
    assert (facts.train_texts, facts.test_texts, facts.text_column) == (80, 40, "1")
    assert [row["1"] for row in parts["unlabelled"]] == ["Déjà vu.", "Split."]
    lines = ["text,label", *(f"{row['text']},{row['label']}" for row in rows), "caf\xe9,yes"]
    (tmp_path / "one.csv").write_bytes("\n".join(lines).encode("cp1252"))
    with pytest.raises(InputError, match=r"encoding: cp1252.*`--encoding`, `--maximum_set_aside`\)"):
        split(tmp_path, labelled=str(tmp_path / "one.csv"), maximum_set_aside=0.001)
    facts, _ = split(tmp_path, labelled=str(tmp_path / "one.csv"), maximum_set_aside=0.1)
    assert facts.train_texts + facts.test_texts == 120


def test_rows_set_aside_are_counted_and_told_for_each_part(tmp_path: Path, caplog) -> None:
    rows = labelled_rows(200)
    bad = {"text": "A text."}
    tests = [
        row | {"text": f"{row['text']} once more, with other words {n}"} for n, row in enumerate(labelled_rows(40))
    ]
    keys: dict[str, Any] = {
        "labelled": str(write_jsonl(tmp_path / "t.jsonl", [*rows, bad])),
        "test": str(write_jsonl(tmp_path / "u.jsonl", [*tests, bad])),
        "unlabelled": str(write_jsonl(tmp_path / "v.jsonl", [*({"text": row["text"]} for row in rows), {"text": 1}])),
    }
    # One of 41 rows is too much for the test texts, however many labelled ones there are.
    with pytest.raises(InputError, match=r"1 of 41 rows cannot be used"):
        split(tmp_path, **keys)
    split(tmp_path, maximum_set_aside=0.1, **keys)
    for name, count in (("quarantine", 201), ("quarantine-test", 41), ("quarantine-unlabelled", 201)):
        assert f"1 of {count} rows set aside: {tmp_path / 'data' / name}.jsonl" in caplog.text
        assert (tmp_path / "data" / f"{name}.jsonl").read_text().startswith(f'{{"rows": {count}')


@pytest.mark.parametrize(
    ("rows", "keys", "advice"),
    [
        ([{"text": f"a text {n}", "label": n % 2 if n % 3 else None} for n in range(60)], {}, "`--unlabelled`"),
        ([{"text": f"a text {n}", "label": n % 2 if n % 3 else float("nan")} for n in range(60)], {}, "`--unlabelled`"),
        (
            [{"text": f"a text {n}", "a": ("no", "yes")[n % 2], "b": ("", "x")[n % 2]} for n in range(60)],
            {"label_columns": ["a", "b"]},
            "write 1 where the label applies and 0",
        ),
    ],
)
def test_what_to_do_about_labels_that_are_none_is_told(tmp_path: Path, rows: list, keys: dict, advice: str) -> None:
    file = write_jsonl(tmp_path / "t.jsonl", rows)
    with pytest.raises(InputError, match=f"{advice}.*with `--labelled`: .*`--maximum_set_aside`"):
        split(tmp_path, labelled=str(file), text_column="text", **keys)


@pytest.mark.parametrize(
    "keys", [{"label_column": "text"}, {"second_text_column": "text"}, {"label_columns": ["a", "text"]}]
)
def test_a_column_is_not_asked_for_twice(keys: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="'text' is given twice"):
        OwnDataConfig(labelled="a.csv", text_column="text", **keys)


@pytest.mark.parametrize("label", ["yes", "no"])
def test_test_texts_of_one_class_are_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture, label: str) -> None:
    rows = labelled_rows()
    tests = [row | {"text": f"{row['text']} So it is."} for row in rows[:20]]
    for number, kept in enumerate((tests, [row | {"label": label} for row in tests])):
        (tmp_path / str(number)).mkdir()
        files = [tmp_path / str(number) / name for name in ("train.jsonl", "test.jsonl")]
        for file, ones in zip(files, (rows, kept), strict=True):
            write_jsonl(file, ones)
        for source, test in ((files[0], str(files[1])), (files[0].parent, None)):
            caplog.clear()
            split(tmp_path, labelled=str(source), test=test)
            is_told = f"all test texts are of class {label}, so scores will tell little" in caplog.text
            assert is_told == (number == 1)
