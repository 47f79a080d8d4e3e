"""The labels of a row: a list, a cell with a separator, or columns of 0 and 1; or a reason why they are none."""

import json
from pathlib import Path
from typing import Any

import pytest

from configs.errors import InputError
from tests.helpers.corpora import pairs, refusal, write_jsonl, write_parquet
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.documents import read

LISTS = [["bug", "billing"], [], ["praise"], ["bug"], ["billing", "bug"]]
SETS = [tuple(labels) for labels in LISTS]


def labels_of(file: Path, **keys: Any) -> list[Any]:
    return [label for _, label in pairs(source=str(file), **keys)]


@pytest.mark.parametrize(("write", "name"), [(write_jsonl, "a.jsonl"), (write_parquet, "a.parquet")])
def test_a_list_is_the_labels_of_its_text(tmp_path: Path, write, name) -> None:
    file = write(tmp_path / name, [{"text": f"text {n}", "label": labels} for n, labels in enumerate(LISTS)])
    assert labels_of(file) == SETS
    assert labels_of(file, labels=["bug", "praise"])[:3] == [("bug",), (), ("praise",)]


@pytest.mark.parametrize("separator", [";", "|", ", ", " / "])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_cell_is_split_at_the_separator_that_was_given(tmp_path: Path, separator: str, line_end: str) -> None:
    lines = ["text\tlabel", *(f"text {n}\t{separator.join(labels)}" for n, labels in enumerate(LISTS))]
    file = tmp_path / "a.tsv"
    file.write_bytes((line_end.join(lines) + line_end).encode())
    assert labels_of(file, label_separator=separator) == SETS


def test_spaces_and_separators_at_the_end_are_no_labels(tmp_path: Path) -> None:
    file = tmp_path / "a.tsv"
    file.write_text("text\tlabel\na\t bug ; billing;\nb\t;\nc\tbug;bug\n")
    assert labels_of(file, label_separator=";") == [("bug", "billing"), (), ("bug",)]
    assert labels_of(file, label_separator="") == ["bug ; billing;", ";", "bug;bug"]


@pytest.mark.parametrize("form", [json.dumps, str])
def test_lists_as_json_and_python_write_them_into_cells(tmp_path: Path, form) -> None:
    file = tmp_path / "a.tsv"
    file.write_text("text\tlabel\n" + "".join(f"text {n}\t{form(labels)}\n" for n, labels in enumerate(LISTS)))
    assert labels_of(file, label_separator="list") == SETS


@pytest.mark.parametrize("cell", ["bug", "['bug' 'billing']", "[bug]", "[1, [2]]", "__import__('os')", "[" * 9000])
def test_what_is_no_list_is_refused_as_one(tmp_path: Path, cell: str) -> None:
    file = tmp_path / "a.tsv"
    file.write_text(f"text\tlabel\na\t['bug']\nb\t{cell}\n")
    assert refusal(labelled=True, source=str(file), label_separator="list").startswith(
        f"{file}:3: column 'label' holds"
    )


def test_columns_of_zero_and_one(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text,bug,billing,note\na,1,0,x\nb,0.0,TRUE,x\nc,0,0,x\n")
    assert labels_of(file, label_columns=["billing", "bug"]) == [("bug",), ("billing",), ()]
    file.write_text("text,bug,billing\na,1,0\nb,1,-1\n")
    assert "column 'billing' (corpus.label_columns) holds '-1', neither 0 nor 1" in refusal(
        labelled=True, source=str(file), label_columns=["bug", "billing"]
    )
    assert "no column 'biling' (corpus.label_columns); did you mean 'billing'?" in refusal(
        labelled=True, source=str(file), label_columns=["bug", "biling"]
    )


def test_a_list_among_labels_and_a_label_among_lists_are_set_aside(tmp_path: Path) -> None:
    for first, second in (("bug", ["bug"]), (["bug"], "bug"), ([], 1)):
        file = write_jsonl(tmp_path / "a.jsonl", [{"text": "a", "label": first}, {"text": "b", "label": second}])
        kind = (
            "a list of labels, but in the first row one" if isinstance(second, list) else "one label, but in the first"
        )
        assert f":2: column 'label' holds {second!r}, {kind}" in refusal(labelled=True, source=str(file))


@pytest.mark.parametrize("labels", [[1, 0, 1, 0], [0, 0], [True, None], [["bug"]], ["bug", " "], None])
def test_what_is_no_list_of_labels_is_refused_with_its_line(tmp_path: Path, labels: Any) -> None:
    file = write_jsonl(tmp_path / "a.jsonl", [{"text": "a", "label": [3]}, {"text": "b", "label": labels}])
    message = refusal(labelled=True, source=str(file))
    assert f"{file}:2: column 'label' holds" in message
    assert ("corpus.label_columns" in message) == (labels in ([1, 0, 1, 0], [0, 0]))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"label_columns": ["a"]}, "label_columns"),
        ({"label_columns": ["a", "a"]}, "holds one twice"),
        ({"label_columns": ["a", "b"], "label_separator": ";"}, "has no separator"),
        ({"label_separator": ";", "label_name_column": "n"}, "label_name_column: a text with several labels"),
    ],
)
def test_keys_that_exclude_each_other_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CorpusConfig(**keys)


def test_a_column_of_one_name_does_not_go_with_lists(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "a.jsonl", [{"text": "a", "label": ["b"], "n": "B"}])
    with pytest.raises(InputError, match="label_name_column: a text with several labels"):
        list(read(CorpusConfig(source=str(file), label_name_column="n"), labelled=True))
    assert next(read(CorpusConfig(source=str(file), label_name_column="n"))).label is None


@pytest.mark.parametrize("label", ["bad \ud83d", ["bad \ud83d", "good"]])
def test_half_an_emoji_in_a_label_is_a_question_mark(tmp_path: Path, label: Any) -> None:
    file = write_jsonl(tmp_path / "a.jsonl", [{"text": "a", "label": label}])
    assert labels_of(file) == ["bad ?" if isinstance(label, str) else ("bad ?", "good")]
