"""The command labels every kind of file, keeps its columns, and goes on after an interruption."""

import csv
import gzip
import io
import json
import sys
from typing import Any

import numpy as np
import pytest

import finetune
from configs.errors import InputError, RunError
from finetune import predict
from finetune.inference import output
from finetune.inference.classifier import Classifier, LinearClassifier
from finetune.inference.rows import read, with_text_column
from finetune.predict import PredictConfig
from finetune.run import run
from tests.helpers.corpora import write_jsonl, write_parquet, write_table
from tests.helpers.finetuning import finetune_config
from tokenizer.corpus.config import CorpusConfig

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
    assert [(row["text"], row["prediction"]) for row in found] == [(GOOD, "positive"), ("", ""), (BAD, "negative")]


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
    # It counts when the rows are gone through again.
    rows[3] = {"id": "", "text": ""}
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


def test_half_an_emoji_in_another_column_or_its_name_is_written_as_a_question_mark(classifier, tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps({"text": GOOD, "user\ud83d": "\ud83d!"}) + "\n")
    for ending in (".csv", ".jsonl"):
        predict.run(PredictConfig(classifier, [str(source)], str(tmp_path / f"out{ending}")))
        assert table_of(tmp_path / f"out{ending}")[0]["user?"] == "?!"


def test_columns_that_come_later_are_told_and_never_taken_for_answers(classifier, tmp_path, caplog, monkeypatch):
    one = write_jsonl(tmp_path / "one.jsonl", ROWS)
    two = write_jsonl(tmp_path / "two.jsonl", [row | {"prediction": "mine", "more": 1} for row in ROWS])
    monkeypatch.setattr(predict, "WINDOW", 3)
    predict.run(PredictConfig(classifier, [str(one), str(two)], str(tmp_path / "out.csv")))
    found = table_of(tmp_path / "out.csv")
    assert [row["prediction_2"] for row in found] == ANSWERS * 2
    assert "left out: more" in caplog.text or "left out: prediction" in caplog.text


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
@pytest.mark.parametrize("window", [1, 3])
def test_a_column_of_a_later_row_is_never_taken_for_an_answer(
    classifier, tmp_path, caplog, monkeypatch, ending, window
):
    rows = [ROWS[0], ROWS[1] | {"prediction": "mine"}, ROWS[2] | {"prediction": "mine"}]
    source = write_jsonl(tmp_path / "in.jsonl", rows)
    monkeypatch.setattr(predict, "WINDOW", window)
    predict.run(PredictConfig(classifier, [str(source)], str(tmp_path / f"out{ending}")))
    found = table_of(tmp_path / f"out{ending}")
    # It is kept if it is among the first rows.
    assert [row["prediction" if window == 1 else "prediction_2"] for row in found] == ANSWERS
    assert ("left out: prediction" in caplog.text) == (window == 1)
    assert window == 1 or found[1]["prediction"] == "mine"


def test_columns_of_answers_come_last_also_where_the_first_row_cannot_be_read(classifier, tmp_path):
    (tmp_path / "in.csv").write_text(f"id,text\n1,{GOOD},x\n2,{BAD}\n")
    predict.run(PredictConfig(classifier, [str(tmp_path / "in.csv")], str(tmp_path / "out.csv")))
    assert list(table_of(tmp_path / "out.csv")[0]) == ["id", "text", "prediction", "probability"]


def test_a_header_in_another_encoding_is_refused_before_anything_is_written(classifier, tmp_path):
    (tmp_path / "in.csv").write_bytes(f"text;Prädikat\n{GOOD};x\n".encode("cp1252"))
    with pytest.raises(InputError, match=r"in\.csv:1: byte 0xe4 .*cp1252.*Prädikat.* \(here: `--encoding`\)"):
        predict.run(PredictConfig(classifier, [str(tmp_path / "in.csv")], str(tmp_path / "out.csv")))
    assert not (tmp_path / "out.csv").exists()


def test_inputs_without_a_row_that_can_be_labelled_are_refused(classifier, tmp_path):
    source = write_jsonl(tmp_path / "in.jsonl", [{"text": " "}, {"text": ""}])
    with pytest.raises(InputError, match=r"none of the first 2 rows can be labelled: .*in\.jsonl:1: no text"):
        predict.run(PredictConfig(classifier, [str(source)], str(tmp_path / "out.csv")))
    # The mistake is put right.
    source = write_jsonl(tmp_path / "in.jsonl", ROWS)
    assert predict.run(PredictConfig(classifier, [str(source)], str(tmp_path / "out.csv"))) == 3


def test_rows_without_a_text_may_fill_more_than_a_window(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr(predict, "EXPLAINED_WINDOW", 2)
    monkeypatch.setattr(predict, "TRIED", 6)
    empty = [{"id": "0", "text": " "}]
    for count in (5, 6):
        source = write_jsonl(tmp_path / "in.jsonl", [*empty * count, *ROWS])
        config = PredictConfig(classifier, [str(source)], str(tmp_path / f"{count}.jsonl"), explain=1)
        if count == 5:
            assert predict.run(config) == 8
            assert [row["prediction"] for row in table_of(tmp_path / "5.jsonl")] == [*[None] * 5, *ANSWERS]
        else:
            with pytest.raises(InputError, match="none of the first 6 rows"):
                predict.run(config)


def interrupted_after(windows):
    def write(self, rows, answers):
        if self.rows >= 4 * windows:
            raise KeyboardInterrupt
        real_write(self, rows, answers)

    real_write = output.Output.write
    return write


@pytest.mark.parametrize("change", ["second_text_column", "text_column", "format"])
def test_nothing_is_taken_up_with_another_column_or_format(classifier, tmp_path, monkeypatch, change):
    rows = [{"id": str(number), "text": GOOD, "other": BAD, "more": "so so"} for number in range(12)]
    # In the second input, the text's column is found.
    sources = [str(write_jsonl(tmp_path / f"{name}.jsonl", rows)) for name in "ab"]
    monkeypatch.setattr(predict, "WINDOW", 4)
    target = str(tmp_path / "out.csv")
    settings: dict[str, Any] = {"second_text_column": "other", "text_column": "text", "format": "jsonl"}
    others: dict[str, Any] = {"second_text_column": "more", "text_column": "other", "format": "auto"}
    with monkeypatch.context() as patched:
        patched.setattr(output.Output, "write", interrupted_after(2))
        with pytest.raises(KeyboardInterrupt):
            predict.run(PredictConfig(classifier, sources, target, **settings))
    with pytest.raises(InputError, match="begun with another settings"):
        predict.run(PredictConfig(classifier, sources, target, **{**settings, change: others[change]}))
    assert predict.run(PredictConfig(classifier, sources, target, **settings)) == 24


@pytest.mark.parametrize("lines", [["ok", "bad"], ["so so"] * 9])
def test_lines_may_be_short_or_the_same(classifier, tmp_path, monkeypatch, lines):
    text = "".join(f"{line}\n" for line in lines)
    (tmp_path / "in.txt").write_text(text)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    write_table(tmp_path / "in.csv", [{"feedback": line} for line in lines])
    for number, source in enumerate([str(tmp_path / "in.txt"), "-", str(tmp_path / "in.csv")]):
        assert predict.run(PredictConfig(classifier, [source], str(tmp_path / f"{number}.csv"))) == len(lines)


def test_a_table_without_a_header_is_read_as_the_one_that_was_trained_on(chain, tmp_path):
    # Once, the label 2 in the first row was taken for the name of column 2, and the labels were classified.
    rows = [f"{1 + number % 2},{GOOD if number % 2 else BAD}\n" for number in range(30)]
    for name, lines in (("train", rows), ("validation", rows), ("test", rows), ("new", rows[1:])):
        (tmp_path / f"{name}.csv").write_text("".join(lines))
    keys = {"text_column": "2", "label_column": "1", "label_name_column": None, "source": str(tmp_path)}
    config = finetune_config(chain, model__name="bag-of-words", **{f"corpus__{key}": keys[key] for key in keys})
    target = tmp_path / "out.csv"
    assert predict.run(PredictConfig(str(run(config).path), [str(tmp_path / "new.csv")], str(target))) == 29
    assert [row["prediction"] == row["1"] for row in table_of(target)] == [True] * 29


@pytest.mark.parametrize(
    ("rows", "count"),
    [
        # A few; of one label; the same value twice in the first row; without labels.
        ([f"{n % 2},{GOOD}" for n in range(6)], 6),
        ([f"1,{GOOD}" for n in range(40)], 40),
        ([f"{n % 2},{GOOD},{n % 2}" for n in range(40)], 40),
        # Under a header, with usual names or with numbers.
        (["rating,review", *(f"1,{GOOD}" for n in range(40))], 40),
        (["0,2,3", *(f"{n},{GOOD},{n % 3}" for n in range(40))], 40),
    ],
)
def test_no_row_is_lost_of_a_table_like_the_one_without_a_header(chain, tmp_path, rows, count):
    (tmp_path / "new.csv").write_text("".join(f"{row}\n" for row in rows))
    corpus = with_text_column(CorpusConfig(source=str(tmp_path / "new.csv"), split="all"), None, "2")
    assert [row.text for row in read(corpus)] == [GOOD] * count


def test_encoding_delimiter_and_header_are_given_by_flags_that_messages_name(classifier, tmp_path, caplog):
    table = "caf\xe9~so-so\n" + "".join(f"caf\xe9~{text}\n" for text in (GOOD, BAD))
    (tmp_path / "in.csv").write_bytes(table.encode("cp1252"))
    target = tmp_path / "out.csv"

    def label(**keys):
        return predict.run(PredictConfig(classifier, [str(tmp_path / "in.csv")], str(target), **keys))

    keys = {"delimiter": "~", "header": False, "text_column": "2"}
    with pytest.raises(InputError, match=r"corpus\.encoding: cp1252.* \(here: `--encoding`\)"):
        label(**keys)
    assert label(**keys, encoding="cp1252") == 3
    assert [row["2"] for row in table_of(target)] == ["so-so", GOOD, BAD]
    assert [row["1"] for row in table_of(target)] == ["caf\xe9"] * 3
    assert [row["prediction"] for row in table_of(target)][1:] == ANSWERS[:2]
    # A row that cannot be read among others that can.
    (tmp_path / "in.csv").write_bytes(f"text\n{GOOD}\n".encode() + "caf\xe9\n".encode("cp1252"))
    target.unlink()
    assert label() == 2
    assert any("(here: `--encoding`)" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(("header", "count"), [(True, 30), (False, 31)])
def test_a_given_header_is_not_looked_for(classifier, tmp_path, header, count):
    for name, first in (("one.csv", GOOD), ("two.csv", f"{GOOD},1")):
        rows = [first, *(f"{BAD},{n % 2}" if name == "two.csv" else BAD for n in range(30))]
        (tmp_path / name).write_text("".join(f"{row}\n" for row in rows))
        config = PredictConfig(classifier, [str(tmp_path / name)], str(tmp_path / f"out-{name}"), header=header)
        assert predict.run(config) == count


def test_a_pipe_is_called_as_on_the_command_line(classifier, tmp_path, monkeypatch, caplog):
    def piped(text, **keys):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        return predict.run(PredictConfig(classifier, to=str(tmp_path / f"{len(text)}.csv"), **keys))

    with pytest.raises(InputError, match=r"no column of '-' holds texts"):
        piped("a,b\n1,2\n3,4\n", format="csv")
    with caplog.at_level("WARNING"):
        piped(f'{{"text": "{GOOD}"}}\n{{"text": " "}}\n', format="jsonl")
    assert "no label for -:2: no text" in caplog.text


def test_every_text_file_is_a_line_a_text(classifier, tmp_path):
    text = f"{GOOD}\n{BAD}\n{GOOD}\n\n"
    (tmp_path / "some").mkdir()
    for name in ("a.txt", "b.TXT"):
        (tmp_path / "some" / name).write_text(text)
    with gzip.open(tmp_path / "some" / "c.txt.gz", "wt") as stream:
        stream.write(text)
    sources = {"c.txt.gz": 3, "b.TXT": 3, "*": 9, "": 9}
    for number, (source, count) in enumerate(sources.items()):
        target = tmp_path / f"{number}.jsonl"
        assert predict.run(PredictConfig(classifier, [str(tmp_path / "some" / source)], str(target))) == count
        assert [row["prediction"] for row in table_of(target)] == ANSWERS * (count // 3)
    write_table(tmp_path / "some" / "d.csv", ROWS)
    with pytest.raises(InputError, match=r"holds \.txt files, which are a line a text, beside others \(\.csv\)"):
        predict.run(PredictConfig(classifier, [str(tmp_path / "some")], str(tmp_path / "x.csv")))


def test_an_output_that_cannot_be_written_is_told_before_the_model_is_loaded(tmp_path):
    with pytest.raises(InputError, match=r"there is no folder .*missing"):
        predict.run(PredictConfig("no model", to=str(tmp_path / "missing" / "out.csv")))
    (tmp_path / "out.csv").touch()
    with pytest.raises(InputError, match="exists; delete it"):
        predict.run(PredictConfig("no model", to=str(tmp_path / "out.csv")))


def test_what_is_no_number_is_no_json_and_no_label(classifier, tmp_path, monkeypatch, caplog):
    source = tmp_path / "in.jsonl"
    source.write_text("".join(f'{{"text": "{text}", "score": NaN, "all": [Infinity]}}\n' for text in (GOOD, BAD, "x")))
    logits = LinearClassifier.logits

    def without_x(self, texts):
        return np.where([[text == "x"] for text in texts], np.inf, logits(self, texts))

    monkeypatch.setattr(LinearClassifier, "logits", without_x)
    with caplog.at_level("WARNING"):
        predict.run(PredictConfig(classifier, [str(source)], str(tmp_path / "out.jsonl")))
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    rows = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    assert [row["prediction"] for row in rows] == ["positive", "negative", None]
    assert rows[0]["score"] is None
    assert rows[0]["all"] == [None]
    assert "in.jsonl:3: the model gives NaN or infinity" in caplog.text
    with pytest.raises(RunError, match="NaN or infinity for 1 of 2 texts, the first of them 'x'"):
        finetune.load(classifier)([GOOD, "x"])


def test_columns_of_the_same_name_are_all_kept(classifier, tmp_path):
    (tmp_path / "in.csv").write_text(f"score,text,score\n1,{GOOD},2\n")
    predict.run(PredictConfig(classifier, [str(tmp_path / "in.csv")], str(tmp_path / "out.csv")))
    (row,) = table_of(tmp_path / "out.csv")
    assert (row["score"], row["score_2"], row["prediction"]) == ("1", "2", "positive")


def test_no_table_of_all_labels_is_made_for_each_row(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr(Classifier, "_prediction", None)
    source = write_jsonl(tmp_path / "in.jsonl", ROWS)
    assert predict.run(PredictConfig(classifier, [str(source)], str(tmp_path / "out.csv"))) == 3
