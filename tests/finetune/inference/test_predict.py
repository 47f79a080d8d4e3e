"""The command labels every kind of file, keeps its columns, and goes on after an interruption."""

import csv
import io
import json
import sys

import pytest

from configs.errors import InputError
from finetune import predict
from finetune.inference import output
from finetune.predict import PredictConfig
from finetune.run import run
from tests.helpers.corpora import write_jsonl, write_parquet, write_table
from tests.helpers.finetuning import finetune_config

GOOD, BAD = "the film was great. the plot was lovely.", "the film was awful. the plot was dull."
ROWS = [{"id": "7", "text": GOOD}, {"id": "8", "text": BAD}, {"id": "9", "text": GOOD}]
ANSWERS = ["positive", "negative", "positive"]


@pytest.fixture(scope="module")
def classifier(chain):
    return str(run(finetune_config(chain, model__name="bag-of-words")).path)


def table_of(file):
    with file.open(encoding="utf-8", newline="") as stream:
        if file.suffix == ".jsonl":
            return [json.loads(line) for line in stream]
        return list(csv.DictReader(stream, delimiter="\t" if file.suffix == ".tsv" else ","))


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl"])
@pytest.mark.parametrize("write", [write_table, write_jsonl, write_parquet])
def test_the_inputs_columns_stand_beside_label_and_probability(classifier, tmp_path, write, ending):
    names = {write_table: "in.csv", write_jsonl: "in.jsonl", write_parquet: "in.parquet"}
    source = write(tmp_path / names[write], ROWS)
    target = tmp_path / f"out{ending}"
    assert predict.run(PredictConfig(classifier, [str(source)], str(target), probabilities=True)) == 3
    found = table_of(target)
    assert [row["prediction"] for row in found] == ANSWERS
    assert [{"id": row["id"], "text": row["text"]} for row in found] == ROWS
    assert list(found[0]) == ["id", "text", "prediction", "probability", "p_negative", "p_positive"]
    for row in found:
        assert float(row["probability"]) == max(float(row["p_negative"]), float(row["p_positive"])) > 0.5
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


def test_a_pipe_is_a_line_a_text(classifier, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{GOOD}\n\n{BAD}\n".encode())))
    predict.run(PredictConfig(classifier))
    found = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["text"], row["prediction"]) for row in found] == [(GOOD, "positive"), (BAD, "negative")]


def test_a_column_named_otherwise_is_found_or_given(classifier, tmp_path):
    rows = [{"prediction": "mine", "feedback": row["text"], "note": "a note that is as long as a text"} for row in ROWS]
    source = write_jsonl(tmp_path / "in.jsonl", rows)
    predict.run(PredictConfig(classifier, [str(source)], str(tmp_path / "a.jsonl")))
    assert [row["prediction_2"] for row in table_of(tmp_path / "a.jsonl")] == ANSWERS
    with pytest.raises(InputError, match="twice"):
        predict.run(PredictConfig(classifier, [str(source)] * 2, str(tmp_path / "b.jsonl")))


def test_rows_that_hold_no_text_keep_their_place_without_a_label(classifier, tmp_path, caplog):
    source = tmp_path / "in.jsonl"
    lines = [json.dumps(ROWS[0]), "{broken", json.dumps({"id": "1", "text": "  "}), json.dumps({"id": "2"}), "[1]"]
    source.write_text("\n".join([*lines, json.dumps(ROWS[1])]))
    with caplog.at_level("WARNING"):
        assert predict.run(PredictConfig(classifier, [str(source)], str(tmp_path / "out.jsonl"))) == 6
    assert [row["prediction"] for row in table_of(tmp_path / "out.jsonl")] == ["positive", *[None] * 4, "negative"]
    assert "in.jsonl:2" in caplog.text
    assert "no text" in caplog.text


def test_an_interrupted_command_goes_on_and_ends_with_the_same_file(classifier, tmp_path, monkeypatch):
    rows = [{"id": str(number), "text": f'{(GOOD, BAD)[number % 2]} "{number}"\nand a line'} for number in range(50)]
    source = write_table(tmp_path / "in.csv", rows)
    monkeypatch.setattr(predict, "WINDOW", 8)
    whole, cut = PredictConfig(classifier, [str(source)], str(tmp_path / "whole.csv")), tmp_path / "cut.csv"
    predict.run(whole)

    def full(descriptor):
        if cut.exists() and cut.stat().st_size > 1500:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(output.os, "fsync", full)
        with pytest.raises(KeyboardInterrupt):
            predict.run(PredictConfig(classifier, [str(source)], str(cut)))
    # What was written after the last row that is sure.
    assert 0 < json.loads((tmp_path / ".cut.csv.progress").read_text())["bytes"] < cut.stat().st_size
    with pytest.raises(InputError, match="begun with another settings"):
        predict.run(PredictConfig(classifier, [str(source)], str(cut), probabilities=True))
    assert predict.run(PredictConfig(classifier, [str(source)], str(cut))) == 50
    assert cut.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    with pytest.raises(InputError, match=r"whole\.csv exists; delete it"):
        predict.run(whole)


def test_labels_are_the_same_in_any_window(chain, tmp_path, monkeypatch):
    folder = str(run(finetune_config(chain, model__name="bert")).path)
    rows = [{"text": (GOOD, BAD)[number % 2] * (1 + number % 3)} for number in range(20)]
    source = write_parquet(tmp_path / "in.parquet", rows)
    found = []
    for window in (3, 100):
        monkeypatch.setattr(predict, "WINDOW", window)
        predict.run(PredictConfig(folder, [str(source)], str(tmp_path / f"{window}.jsonl")))
        found.append(table_of(tmp_path / f"{window}.jsonl"))
    assert [row["prediction"] for row in found[0]] == [row["prediction"] for row in found[1]]
    for one, other in zip(*found, strict=True):
        assert one["probability"] == pytest.approx(other["probability"], abs=2e-4)


def test_an_output_of_an_unknown_kind_is_refused(classifier, tmp_path):
    source = write_jsonl(tmp_path / "in.jsonl", ROWS)
    with pytest.raises(InputError, match=r"must end in one of \.csv"):
        predict.run(PredictConfig(classifier, [str(source)], str(tmp_path / "out.xlsx")))
    with pytest.raises(InputError, match="neither `cut` nor `windows`"):
        PredictConfig(classifier, long_texts="middle")


def test_an_interruption_in_the_first_window_can_be_taken_up_again(classifier, tmp_path, monkeypatch):
    source = write_jsonl(tmp_path / "in.jsonl", ROWS)
    config = PredictConfig(classifier, [str(source)], str(tmp_path / "out.csv"))

    def interrupt(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(predict, "label_rows", interrupt)
        with pytest.raises(KeyboardInterrupt):
            predict.run(config)
    assert predict.run(config) == 3
    assert [row["prediction"] for row in table_of(tmp_path / "out.csv")] == ANSWERS


def test_half_an_emoji_in_another_column_is_written_as_a_question_mark(classifier, tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps({"text": GOOD, "user": "\ud83d!"}) + "\n")
    predict.run(PredictConfig(classifier, [str(source)], str(tmp_path / "out.csv")))
    assert table_of(tmp_path / "out.csv")[0]["user"] == "?!"


def test_columns_that_come_later_are_told_and_never_taken_for_answers(classifier, tmp_path, caplog, monkeypatch):
    one = write_jsonl(tmp_path / "one.jsonl", ROWS)
    two = write_jsonl(tmp_path / "two.jsonl", [row | {"prediction": "mine", "more": 1} for row in ROWS])
    monkeypatch.setattr(predict, "WINDOW", 3)
    predict.run(PredictConfig(classifier, [str(one), str(two)], str(tmp_path / "out.csv")))
    found = table_of(tmp_path / "out.csv")
    assert [row["prediction_2"] for row in found] == ANSWERS * 2
    assert "left out: more" in caplog.text or "left out: prediction" in caplog.text


def test_inputs_without_a_row_that_can_be_labelled_are_refused(classifier, tmp_path):
    source = write_jsonl(tmp_path / "in.jsonl", [{"text": " "}, {"text": ""}])
    with pytest.raises(InputError, match=r"no row can be labelled: .*in\.jsonl:1: no text"):
        predict.run(PredictConfig(classifier, [str(source)], str(tmp_path / "out.csv")))
