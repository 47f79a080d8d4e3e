"""Text files are a class each, or have labels before their lines, only where that is beyond doubt."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from configs.errors import InputError
from finetune.own_data.config import OwnDataConfig
from finetune.own_data.sources import find_sources
from tests.finetune.own_data.test_texts import split
from tests.helpers.finetuning import sentence


def write_lines(file: Path, starts: list[str], count: int = 60) -> None:
    """Lines that begin with one of these words in turn; `{}` is the number of the line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    rng = random.Random(file.name)
    lines = [f"{starts[n % len(starts)].format(n)} {sentence(n % 2, rng)} {n}\n" for n in range(1, count + 1)]
    file.write_text("".join(lines))


@pytest.mark.parametrize(
    ("starts", "told"),
    [(["This", "The", "I", "It", "A"], True), (["{}"], False), (["{}."], False), (["No", "Yes"], True)],
)
def test_files_called_as_classes_are_classes_however_their_lines_begin(tmp_path: Path, caplog, starts, told) -> None:
    for name in ("good", "bad"):
        write_lines(tmp_path / "set" / f"{name}.txt", starts)
    facts, parts = split(tmp_path, labelled=str(tmp_path / "set"))
    assert facts.classes == ["bad", "good"]
    assert all(row["text"].split()[0].rstrip(".").isalnum() for row in parts["train"])
    assert {row["text"].split()[0] for row in parts["train"]} & {start.format(7) for start in starts}
    assert ("give `--format label_lines`" in caplog.text) == told
    if told:
        facts, _ = split(tmp_path, labelled=str(tmp_path / "set"), format="label_lines")
        assert facts.classes == sorted(starts)


@pytest.mark.parametrize(
    ("names", "starts"),
    [
        (["part1.txt", "part2.txt"], ["__label__no", "__label__yes"]),
        (["part1.txt", "part2.txt"], ["0", "1"]),
        (["part1.txt", "part2.txt"], ["no", "yes"]),
        (["part1.txt", "part2.txt"], ["No", "Yes"]),
        (["reddit.txt", "twitter.txt"], ["no", "yes"]),
        (["train.txt"], ["no", "yes"]),
        (["train-1.txt", "train-2.txt"], ["no", "yes"]),
    ],
)
def test_labels_before_the_lines_of_several_files_are_found(tmp_path: Path, names: list[str], starts) -> None:
    for name in names:
        write_lines(tmp_path / "set" / name, starts)
    facts, _ = split(tmp_path, labelled=str(tmp_path / "set"))
    assert facts.classes == [start.removeprefix("__label__") for start in starts]


def test_files_of_classes_in_a_folder_of_a_split_are_classes(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for name in ("good", "bad"):
            write_lines(tmp_path / "set" / part / f"{name}.txt", [part, "The", "It"], 40)
    facts, _ = split(tmp_path, labelled=str(tmp_path / "set"))
    assert (facts.classes, facts.test_texts) == (["bad", "good"], 80)


@pytest.mark.parametrize("name", ["t.txt", "set/train.txt"])
def test_labels_may_be_sorted(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    rng = random.Random(0)
    file.write_text("".join(f"{('neg', 'pos')[n // 50]} {sentence(n // 50, rng)} {n}\n" for n in range(100)))
    facts, _ = split(tmp_path, labelled=str(file if "/" not in name else file.parent))
    assert facts.classes == ["neg", "pos"]


@pytest.mark.parametrize("starts", [["i", "im", "i", "ive"], ["{}x"]])
def test_a_table_without_tabs_in_a_text_file_is_told_with_its_format(tmp_path: Path, starts: list[str]) -> None:
    file = tmp_path / "set" / "train.txt"
    write_lines(file, starts, 100)
    moods = ("joy", "anger", "fear", "love", "sadness", "surprise")
    file.write_text("".join(f"{line};{moods[n % 6]}\n" for n, line in enumerate(file.read_text().splitlines())))
    for source in (file, file.parent):
        with pytest.raises(InputError, match=r"train\.txt: .*`--format` \(`label_lines` if .*; `csv` if ';' stands"):
            split(tmp_path, labelled=str(source))
        assert split(tmp_path, labelled=str(source), format="csv")[0].classes == sorted(moods)


@pytest.mark.parametrize("starts", [["neg: well,", "pos: well,"], ["neg Hi,", "pos Hi,"]])
def test_a_comma_in_each_text_behind_its_label_makes_no_table(tmp_path: Path, starts: list[str]) -> None:
    write_lines(tmp_path / "t.txt", starts)
    facts, parts = split(tmp_path, labelled=str(tmp_path / "t.txt"))
    assert facts.classes == ["neg", "pos"]
    assert all(row["text"].startswith(("well,", "Hi,")) for row in parts["train"])


def test_prose_and_numbered_lines_have_no_labels(tmp_path: Path) -> None:
    for starts in (["{}"], [f"word{n}" for n in range(50)]):
        write_lines(tmp_path / "t.txt", starts)
        with pytest.raises(InputError, match="begin with no label"):
            split(tmp_path, labelled=str(tmp_path / "t.txt"))


def test_one_class_in_several_splits_is_refused(tmp_path: Path) -> None:
    for name in ("train_pos", "train_neg", "test_pos", "test_neg"):
        write_lines(tmp_path / "set" / f"{name}.txt", [f"{name}{{}}"])
    with pytest.raises(InputError, match=r"test_neg\.txt and train_neg\.txt are one class in several splits"):
        split(tmp_path, labelled=str(tmp_path / "set"))
    # Alone, or of classes with such names, they are as they were.
    for name in ("test_pos", "test_neg"):
        (tmp_path / "set" / f"{name}.txt").unlink()
    assert split(tmp_path, labelled=str(tmp_path / "set"))[0].classes == ["train_neg", "train_pos"]
    for name in ("test", "quiz"):
        write_lines(tmp_path / "other" / f"{name}.txt", [f"{name}{{}}"])
    assert split(tmp_path, labelled=str(tmp_path / "other"))[0].classes == ["quiz", "test"]


@pytest.mark.parametrize("names", [["+1", "-1"], ["c", "c#", "c++"], ["\U0001f600", "\U0001f621"]])
def test_names_of_classes_may_differ_in_signs(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        write_lines(tmp_path / "set" / f"{name}.txt", ["a{}"])
    assert sorted(split(tmp_path, labelled=str(tmp_path / "set"))[0].classes) == sorted(names)


@pytest.mark.parametrize("lines", [1, 60])
def test_a_note_that_may_be_a_class_is_told_of(tmp_path: Path, caplog, lines: int) -> None:
    for name in ("letter", "memo"):
        write_lines(tmp_path / "set" / f"{name}.txt", [f"{name}{{}}"])
    write_lines(tmp_path / "set" / "license.txt", ["All{}"], lines)
    if lines == 1:
        (tmp_path / "set" / "license.txt").rename(tmp_path / "set" / "license.md")
    assert find_sources(OwnDataConfig(labelled=str(tmp_path / "set"))).labelled.format == "class_lines"
    assert ("is taken for a note beside the classes" in caplog.text) == (lines > 1)


@pytest.mark.parametrize("note", ["readme.txt", "notes.txt", "readme.md"])
@pytest.mark.parametrize("line", ["{text}  \t{label}", "__label__{label} {text}", "__label__{label}\t{text}"])
def test_a_note_beside_files_with_labels_in_them_is_left_out(tmp_path: Path, caplog, note: str, line: str) -> None:
    rng = random.Random(0)
    for name in ("amazon_labelled", "imdb_labelled", "yelp_labelled"):
        rows = (line.format(text=f"{sentence(n % 2, rng)} {n}", label=n % 2) + "\n" for n in range(40))
        (tmp_path / "set").mkdir(exist_ok=True)
        (tmp_path / "set" / f"{name}.txt").write_text("".join(rows))
    (tmp_path / "set" / note).write_text("These were collected for a paper.\n\nThey are good.\n")
    with caplog.at_level("INFO"):
        facts, parts = split(tmp_path, labelled=str(tmp_path / "set"))
    assert (facts.classes, facts.train_texts + facts.test_texts) == (["0", "1"], 120)
    assert not any("\t" in row[facts.text_column] for row in parts["train"])
    assert f"1 file(s) not read: {note}" in caplog.text


def test_a_file_that_is_no_table_beside_tables_is_asked_about(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for name in ("one", "two"):
        rows = "".join(f"{sentence(n % 2, random.Random(n))} {n}\t{n % 2}\n" for n in range(40))
        (tmp_path / "set" / f"{name}.txt").write_text(rows)
    (tmp_path / "set" / "counts.txt").write_text("texts 80\nclasses 2\n")
    with pytest.raises(InputError, match=r"counts\.txt is no table with tabs .* move it elsewhere"):
        split(tmp_path, labelled=str(tmp_path / "set"))


@pytest.mark.parametrize("line", ["__label__{}\t{}", "__label__{} , {}"])
def test_fasttexts_mark_may_stand_before_a_tab_or_a_comma(tmp_path: Path, line: str) -> None:
    text = {n: f"{sentence(n % 2, random.Random(n))} {n}" for n in range(60)}
    (tmp_path / "t.txt").write_text("".join(line.format(("neg", "pos")[n % 2], text[n]) + "\n" for n in text))
    facts, parts = split(tmp_path, labelled=str(tmp_path / "t.txt"))
    assert facts.classes == ["neg", "pos"]
    assert {row["text"] for row in parts["train"]} <= {*text.values()}


@pytest.mark.parametrize(("content", "is_told"), [("A text.\n", True), ("A text.\n\n", False)])
def test_unlabelled_files_that_may_have_a_text_a_line_are_told_of(tmp_path: Path, caplog, content, is_told) -> None:
    write_lines(tmp_path / "t.txt", ["neg:", "pos:"])
    (tmp_path / "more").mkdir()
    for name in ("a", "b"):
        (tmp_path / "more" / f"{name}.txt").write_text(content * 40)
    find_sources(OwnDataConfig(labelled=str(tmp_path / "t.txt"), unlabelled=str(tmp_path / "more")))
    assert ("2 files of " in caplog.text and "of 20 lines or more; if each line" in caplog.text) == is_told
    # Of many files with few lines, each is a document.
    for n in range(30):
        (tmp_path / "more" / f"{n}.txt").write_text(content * 40)
    caplog.clear()
    find_sources(OwnDataConfig(labelled=str(tmp_path / "t.txt"), unlabelled=str(tmp_path / "more")))
    assert "if each line" not in caplog.text


ROWS = [(sentence(n % 2, random.Random(n)), ("neg", "pos")[n % 2]) for n in range(80)]


@pytest.mark.parametrize(
    ("line", "head", "told", "keys"),
    [
        ("{0};{1}", "", "';' seems to stand between each text and its label; give .*", {"delimiter": ";"}),
        ("{0} ,{1}", "", "',' seems to stand .*`--format csv --delimiter ','`", {"delimiter": ","}),
        ("{1}|{2} {0}", "", "'|' seems to stand", {"delimiter": "|"}),
        ("{0}@{1}", "", "'@' seems to stand", {"delimiter": "@"}),
        ("{0};{1}", "text;label", "look like a table under a header; give `--format csv`", {}),
        ('{{"text": "{0}", "label": "{1}"}}', "", "look like JSON objects; give `--format jsonl`", {"format": "jsonl"}),
    ],
)
@pytest.mark.parametrize("names", [("part1", "part2"), ("good", "bad"), ("train",)])
def test_labels_in_files_of_another_format_are_asked_about(tmp_path: Path, line, head, told, keys, names) -> None:
    (tmp_path / "set").mkdir()
    for number, name in enumerate(names):
        lines = [head] * bool(head) + [
            line.format(f"{text}, {n} {number}", label, n) for n, (text, label) in enumerate(ROWS)
        ]
        (tmp_path / "set" / f"{name}.txt").write_text("\n".join(lines) + "\n")
    one = told if "look like" in told else "the first lines are no table .*`csv`.* stands between"
    with pytest.raises(InputError, match=(told if len(names) > 1 else one).replace("|", r"\|")):
        split(tmp_path, labelled=str(tmp_path / "set"))
    # No quotes are around texts with commas.
    if "} ," not in line:
        given: dict[str, Any] = {"format": "csv", **keys}
        assert split(tmp_path, labelled=str(tmp_path / "set"), **given)[0].classes == ["neg", "pos"]


@pytest.mark.parametrize("before", [lambda n: f"{n // 2}, ", lambda n: "Hi, " if n < 60 else ""])
def test_what_texts_of_a_class_begin_with_is_no_label(tmp_path: Path, before: Callable[[int], str]) -> None:
    (tmp_path / "set").mkdir()
    for name in ("neg", "pos"):
        lines = [f"{before(n)}{text} {name}" for n, (text, label) in enumerate(ROWS) if label == name]
        (tmp_path / "set" / f"{name}.txt").write_text("\n".join(lines))
    assert split(tmp_path, labelled=str(tmp_path / "set"))[0].classes == ["neg", "pos"]


def test_a_test_file_with_a_separator_is_told_what_to_be_called(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("t.txt", "test.txt", "test.csv")]
    for number, file in enumerate(files):
        file.write_text("".join(f"{text} {n} {number};{label}\n" for n, (text, label) in enumerate(ROWS)))
    given: dict[str, Any] = {"labelled": str(files[0]), "format": "csv", "delimiter": ";"}
    with pytest.raises(InputError, match=r"test.txt: .* a test file has to be called `\.csv`"):
        split(tmp_path, test=str(files[1]), **given)
    assert split(tmp_path, test=str(files[2]), **given)[0].classes == ["neg", "pos"]


def test_a_document_with_few_different_lines_is_none_of_labels(tmp_path: Path) -> None:
    for folder in ("pop", "rock"):
        for n in range(12):
            lines = ["La la la.", "Na na na."] * 12 if n == 3 else [f"{text} {folder} {n}" for text, _ in ROWS[:24]]
            (tmp_path / "set" / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / "set" / folder / f"{n}.txt").write_text("\n".join(lines))
    assert split(tmp_path, labelled=str(tmp_path / "set"))[0].classes == ["pop", "rock"]


@pytest.mark.parametrize(
    ("texts", "labels"),
    [
        ("reviews.txt", "labels.txt"),
        ("X_train.txt", "y_train.txt"),
        ("train/text.txt", "train/labels.txt"),
        ("emotion/train_text.txt", "emotion/train_labels.txt"),
    ],
)
def test_labels_in_a_file_beside_that_of_the_texts_are_asked_about(tmp_path: Path, texts: str, labels: str) -> None:
    folder = (tmp_path / "set" / texts).parent
    folder.mkdir(parents=True)
    (tmp_path / "set" / texts).write_text("".join(f"{text} {n}\n" for n, (text, _) in enumerate(ROWS)))
    (tmp_path / "set" / labels).write_text("".join(f"{label}\n" for _, label in ROWS))
    (folder / "mapping.txt").write_text("0\tneg\n1\tpos\n")
    if folder.name == "emotion":
        write_lines(tmp_path / "set" / "hate" / "train_text.txt", ["{}"], 80)
    with pytest.raises(
        InputError, match=r"holds? the labels of the lines of .*`paste \w+.txt \w+.txt > OTHER/train.tsv"
    ):
        split(tmp_path, labelled=str(tmp_path / "set"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "train.tsv").write_text(
        "".join(f"{text} {n}\t{label}\n" for n, (text, label) in enumerate(ROWS))
    )
    assert split(tmp_path, labelled=str(tmp_path / "other"))[0].classes == ["neg", "pos"]


def test_tables_of_texts_alone_and_labels_alone_are_told_to_be_joined(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for name, place, head in (("X_train", 0, "text"), ("y_train", 1, "label")):
        (tmp_path / "set" / f"{name}.csv").write_text(
            "".join(f"{line}\n" for line in (head, *(row[place] for row in ROWS)))
        )
    with pytest.raises(InputError, match="labels in another file belong into a table with texts"):
        split(tmp_path, labelled=str(tmp_path / "set"))


def test_files_of_tweeteval_are_asked_about(tmp_path: Path) -> None:
    for part, count in (("train", 80), ("val", 40), ("test", 40)):
        (tmp_path / f"{part}_text.txt").write_text("".join(f"{text} {n}\n" for n, (text, _) in enumerate(ROWS[:count])))
        (tmp_path / f"{part}_labels.txt").write_text("".join(f"{n % 3}\n" for n in range(count)))
    with pytest.raises(InputError, match=r"`paste test_text.txt test_labels.txt > OTHER/test.tsv`"):
        find_sources(OwnDataConfig(labelled=str(tmp_path)))


@pytest.mark.parametrize("last", ["", ", and so on; or so", " @user", ' and "more", well', "|"])
def test_separators_in_the_texts_of_classes_make_no_table(tmp_path: Path, last: str) -> None:
    for name in ("neg", "pos"):
        write_lines(tmp_path / "set" / f"{name}.txt", ["@user{} well,", "RT{} @user: so;"], 60)
        lines = (tmp_path / "set" / f"{name}.txt").read_text().splitlines()
        (tmp_path / "set" / f"{name}.txt").write_text("".join(f"{line}{last}\n" for line in lines))
    assert split(tmp_path, labelled=str(tmp_path / "set"))[0].classes == ["neg", "pos"]


@pytest.mark.parametrize(
    ("every", "expected", "told"),
    [
        (0, "lines", None),
        (150, "lines", "each line of {} is read as a text, as blank lines are few in it (1 between 300 others)"),
        (40, "auto", "{} is read as documents of 38 lines on average, with blank lines between; if each line is"),
        (5, "auto", None),
    ],
)
def test_blank_lines_are_believed_where_there_are_many(tmp_path: Path, caplog, every: int, expected, told) -> None:
    write_lines(tmp_path / "t.txt", ["neg:", "pos:"])
    write_lines(tmp_path / "u.txt", ["{}"], 300)
    lines = (tmp_path / "u.txt").read_text().splitlines(keepends=True)
    (tmp_path / "u.txt").write_text(
        "".join(line + "\n" * bool(every and n % every == 0 and n < 300) for n, line in enumerate(lines, start=1))
    )
    unlabelled = find_sources(
        OwnDataConfig(labelled=str(tmp_path / "t.txt"), unlabelled=str(tmp_path / "u.txt"))
    ).unlabelled
    assert unlabelled is not None
    assert unlabelled.format == expected
    assert (told or "blank lines").format(tmp_path / "u.txt") in caplog.text or told is None
    assert ("blank lines" in caplog.text) == (told is not None)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{{"id": {0}, "text": "so"}}\n', "look like JSON objects, and are read as texts; give a `.jsonl` file"),
        ("{0},so it is\n", "look like a table under a header, and are read as texts; give a `.csv` file"),
        ("__label__1 so {0}\n", "look like texts behind their labels, and are read as texts; remove the labels"),
        ("so {0}, it is\n", ""),
    ],
)
@pytest.mark.parametrize("name", ["u.txt", "u/1.txt"])
def test_unlabelled_lines_that_are_no_texts_alone_are_told_of(tmp_path: Path, caplog, line, told, name: str) -> None:
    write_lines(tmp_path / "t.txt", ["neg:", "pos:"])
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("id,text\n" * ("header" in told) + "".join(line.format(n) for n in range(60)))
    more = str(tmp_path / name.partition("/")[0])
    find_sources(OwnDataConfig(labelled=str(tmp_path / "t.txt"), unlabelled=more))
    assert ("the first lines of" in caplog.text) == bool(told)
    assert told in caplog.text


@pytest.mark.parametrize(("files", "is_told"), [(1, True), (6, True), (30, False)])
def test_files_of_class_folders_that_may_have_a_text_a_line_are_told_of(tmp_path: Path, caplog, files, is_told) -> None:
    for label in ("neg", "pos"):
        for number in range(files):
            write_lines(tmp_path / "set" / label / f"{number}.txt", ["{}"], 40)
    find_sources(OwnDataConfig(labelled=str(tmp_path / "set")))
    told = f"{2 * files} files of {tmp_path / 'set'} are one document each, of 20 lines or more; if each line is a text"
    assert (told in caplog.text and "into one file for each class" in caplog.text) == is_told
