"""One report in four forms with the same numbers, whatever the users' texts and labels are."""

import base64
import csv
import dataclasses
import html
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from finetune.comparison.analysis.answers import read_answers
from finetune.comparison.analysis.problems import missing
from finetune.comparison.reporting.content import validation_texts
from finetune.comparison.reporting.markdown import _code
from tests.finetune.comparison.test_intervals import score as row_of
from tests.helpers.comparisons import Made, make, texts_of, write_report

NAMES = {"<b>ours</b>": "bert", "half \ud83d": "lstm"}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison's folder, with names and texts of malice or bad luck."""
    scores = {"bag-of-words": 0.7, "half \ud83d": 0.6, "<b>ours</b>": 0.9}
    labels = ("<script>alert('label')</script>", "جيد")
    return write_report(make(tmp_path_factory.mktemp("hostile"), scores, classes=labels, names=NAMES))


def result_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


def page_of(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines(keepends=True)))


def same(value: Any, written: str) -> bool:
    """Whether a value of the JSON is what a CSV file has."""
    if value is None:
        return written == ""
    if isinstance(value, bool):
        return written == str(value).lower()
    if isinstance(value, int | float):
        return float(written) == value
    return written.removeprefix("'") == value or "\ud83d" in value


def test_csv_files_have_the_numbers_of_the_json(hostile: Path) -> None:
    tables = result_of(hostile)["tables"]
    assert {"scores", "costs", "slices", "reliability", "pretraining", "paired-tests", "confusion"} <= tables.keys()
    assert {file.stem for file in (hostile / "tables").iterdir()} == tables.keys()
    for name, records in tables.items():
        rows = read_csv((hostile / "tables" / f"{name}.csv").read_text(encoding="utf-8"))
        assert len(rows) == len(records) > 0
        for record, row in zip(records, rows, strict=True):
            assert record.keys() == row.keys(), name
            assert all(same(record[key], row[key]) for key in record), (name, record, row)


def test_the_page_carries_the_csv_files(hostile: Path) -> None:
    links = re.findall(r'download="([^"]+)" href="data:text/csv;charset=utf-8;base64,([^"]*)"', page_of(hostile))
    assert {name for name, _ in links} == {file.name for file in (hostile / "tables").iterdir()}
    for name, content in links:
        assert base64.b64decode(content) == (hostile / "tables" / name).read_bytes()


def test_scores_are_the_same_everywhere(hostile: Path) -> None:
    result, page = result_of(hostile), page_of(hostile)
    markdown = (hostile / "report.md").read_text(encoding="utf-8")
    records = result["tables"]["scores"]
    assert len(records) == len(result["scores"]) == 6
    by_cell = {(score["model"], score["label_budget"]): score for score in result["scores"]}
    for record in records:
        score = by_cell[record["model"], record["label_budget"]]
        assert (record["estimate"], record["low"]) == (score["accuracy"]["estimate"], score["accuracy"]["low"])
        shown = f"{100 * record['estimate']:.1f}"
        assert re.search(rf'<td data-order="{record["estimate"]}">{shown}</td>', page)
        assert re.search(rf"\| (\*\*)?{shown}(\*\*)? \|", markdown)


def test_headings_and_sentences_are_in_page_and_markdown(hostile: Path) -> None:
    result, page = result_of(hostile), page_of(hostile)
    markdown = (hostile / "report.md").read_text(encoding="utf-8")
    for one in result["headlines"]:
        assert html.escape(one["certainty"], quote=False) in page.replace("\u00a0%", " %")
        assert html.escape(one["certainty"], quote=False) in markdown
    titles = re.findall(r'<h2 id="[\w-]+">([^<]+)</h2>', page)
    assert len(titles) > 8
    assert titles == re.findall(r"^## (.+)$", markdown, re.MULTILINE)


def test_what_users_wrote_is_text(hostile: Path) -> None:
    page, markdown = page_of(hostile), (hostile / "report.md").read_text(encoding="utf-8")
    scripts = re.findall(r"<script.*?</script>", page, re.DOTALL)
    assert len(scripts) == 1
    assert "alert(" not in scripts[0]
    assert "&lt;script&gt;alert(" in page
    assert "<b>ours" not in page
    assert "half \ufffd" in page
    assert "<script" not in markdown
    assert "<b>" not in markdown
    assert "](http" not in markdown
    drawings = "".join(file.read_text(encoding="utf-8") for file in (hostile / "figures").iterdir())
    assert "&lt;b&gt;ours&lt;/b&gt;" in drawings
    assert "<b>" not in drawings


def test_commands_are_code_in_markdown_whatever_they_hold() -> None:
    lines = ["python -m finetune --name '<b>[a](http://b)</b>'", "a ``` b"]
    fence, *code, end = _code(lines).splitlines()
    assert code == lines
    # Longer than what a line holds, so that none can end it; and no indent, which would be of the list before it.
    assert (fence, end) == ("````text", "````")


def test_a_formula_in_a_text_is_none_in_a_spreadsheet(tmp_path: Path) -> None:
    # The formula is the one text on which the models disagree.
    texts = ["=SUM(A1:A9) is no review", *texts_of()[5:]]
    made = make(tmp_path, {"lstm": 0.1, "bert": 0.99}, texts=texts, budgets=(100,), quoted_texts=300)
    rows = read_csv((write_report(made) / "tables" / "disagreements.csv").read_text(encoding="utf-8"))
    assert any(row["text"].startswith("'=SUM") for row in rows)


def test_what_is_quoted_links_to_nobody_and_nothing(tmp_path: Path) -> None:
    texts = [f"See http://x.example, www.y.example, @somebody, #{number} or a@b.example" for number in range(60)]
    made = make(tmp_path, {"lstm": 0.1, "bert": 0.99}, texts=texts, budgets=(100,))
    markdown = (write_report(made) / "report.md").read_text(encoding="utf-8")
    assert r"See http\://x.example, www\.y.example, @&#8203;somebody, #&#8203;" in markdown
    assert not re.search(r"http://|\bwww\.|@\w|(?<!&)#\d", markdown)


def test_no_text_is_quoted_if_none_may_be(tmp_path: Path) -> None:
    folder = write_report(make(tmp_path, budgets=(100,), quoted_texts=0))
    content = "".join(file.read_text(encoding="utf-8") for file in folder.rglob("*") if file.is_file())
    assert not any(text[:20] in content or html.escape(text)[:20] in content for text in texts_of()[1:])
    assert "disagreements" not in result_of(folder)["tables"]
    assert "paired-tests" in result_of(folder)["tables"]


def test_quoted_texts_are_those_that_one_gets_right_and_the_other_wrong(hostile: Path) -> None:
    rows = result_of(hostile)["tables"]["disagreements"]
    sides = [row["model_right"] > row["rival_right"] for row in rows]
    assert sides == sorted(sides, reverse=True)
    assert all((row["model_right"] >= 2) != (row["rival_right"] >= 2) for row in rows)
    distances = [row["model_share"] - row["rival_share"] for row, side in zip(rows, sides, strict=True) if side]
    assert len(distances) == 5
    assert distances == sorted(distances, reverse=True)


def spoil(made: Made, change: Any) -> None:
    """Change the stored predictions of all runs."""
    for cell in made.cells:
        file = cell.folder.path / "predictions.parquet"
        pyarrow.parquet.write_table(change(pyarrow.parquet.read_table(file)), file)


def test_older_runs_without_texts_and_ids_still_give_a_report(tmp_path: Path) -> None:
    made = make(tmp_path, budgets=(100,))
    spoil(made, lambda table: table.select(["label", "prediction", "text"]))
    assert "by the share of their runs that are right" in page_of(write_report(made))
    shutil.rmtree(tmp_path / "runs" / "compare")
    spoil(made, lambda table: table.select(["label", "prediction"]))
    folder = write_report(made)
    assert "made before test texts were stored" in page_of(folder)
    assert {"slices", "confusion", "reliability"}.isdisjoint(result_of(folder)["tables"])
    assert "scores" in result_of(folder)["tables"]


def test_answers_of_several_labels_a_text_are_no_classes(tmp_path: Path) -> None:
    made = make(tmp_path, {"bert": 0.9}, budgets=(100,))
    assert read_answers(made.cells) is not None

    def several(table: pyarrow.Table) -> pyarrow.Table:
        lists = pyarrow.array([[0], [0, 1]] * (len(table) // 2))
        return table.set_column(table.schema.get_field_index("label_id"), "label_id", lists)

    spoil(made, several)
    assert read_answers(made.cells) is None


def test_a_report_of_an_earlier_version_is_made_anew_and_a_finished_one_is_not(tmp_path: Path) -> None:
    made = make(tmp_path, budgets=(100,))
    folder = write_report(made)
    before = (folder / "report.html").stat().st_mtime_ns
    write_report(made)
    assert (folder / "report.html").stat().st_mtime_ns == before
    (folder / "report.md").unlink()
    write_report(made)
    assert (folder / "report.md").is_file()
    assert (folder / "report.html").stat().st_mtime_ns > before


@pytest.mark.parametrize("models", [{"bert": 0.9}, {"lstm": 0.7, "bag-of-words": 0.8}, {"lstm": 0.5, "bert": 0.5}])
def test_any_choice_of_models_gives_a_report(tmp_path: Path, models: dict[str, float]) -> None:
    result = result_of(write_report(make(tmp_path, models, budgets=(100,), gain=0.0)))
    verdicts = len(models) == 2 and "bert" in models
    assert ("cannot tell" in result["answer"]) == (not verdicts)
    assert len(result["headlines"]) == 1
    assert ("there is no verdict" in result["headlines"][0]["sentence"]) == (not verdicts)
    lacks = "no model without pretraining" if "bert" in models else "no pretrained model"
    assert (f"cannot tell: {lacks} takes part" in result["answer"]) == (not verdicts)
    # Of what nobody asked, nothing is said.
    assert verdicts or "break-even" not in (next(tmp_path.rglob("report.md"))).read_text(encoding="utf-8")
    assert "only one number of labels" in " ".join(result["decisions"]["100"])


@pytest.mark.parametrize(
    "models", [{"lm-lstm": 0.9, "lm-lstm-scratch": 0.6, "bag-of-words": 0.7}, {"frozen": 0.9, "bag-of-words": 0.7}]
)
def test_without_an_encoder_the_verdict_is_about_another_pretrained_model(
    tmp_path: Path, models: dict[str, float]
) -> None:
    made = make(tmp_path, models, budgets=(100, 400), gain=0.0)
    folder = write_report(made)
    result, markdown = result_of(folder), (folder / "report.md").read_text(encoding="utf-8")
    winner = next(iter(models))
    assert result["answer"] == "Yes, with 100 and 400 labels"
    assert [(answer["model"], answer["outcome"]) for answer in result["answers"]] == [(winner, "ahead")] * 2
    assert all(f"({winner})" in one["sentence"] for one in result["headlines"])
    assert all(f"labels take {winner}: " in sentence for sentence in result["verdicts"])
    assert "There is no break-even" not in markdown
    assert "it pays where labelling a text costs more than" in markdown
    shown = next(line for line in markdown.splitlines() if line.startswith("python -m finetune.demo"))
    folders = [cell.folder.path for cell in made.cells if (cell.label_budget, cell.seed) == (400, 0)]
    assert [str(path) in shown for path in folders] == [True] * len(models)


def test_break_even_is_denied_where_pretraining_was_judged(tmp_path: Path) -> None:
    folder = write_report(make(tmp_path, {"bag-of-words": 0.7, "bert": 0.7}, budgets=(100,)))
    assert "There is no break-even" in page_of(folder)


def test_another_score_is_named_and_in_the_records_beside_accuracy(tmp_path: Path) -> None:
    classes = ("bad", "fair", "good")
    scores = {"bag-of-words": 0.7, "lstm": 0.6, "bert": 0.9}
    folder = write_report(make(tmp_path, scores, budgets=(100,), classes=classes, score="macro_f1"))
    result, page = result_of(folder), page_of(folder)
    assert "the one with the best mean validation macro-F1 (20 validation texts a run)" in page
    for record, score in zip(
        sorted(result["tables"]["scores"], key=lambda record: record["model"]),
        sorted(result["scores"], key=lambda score: score["model"]),
        strict=True,
    ):
        assert record["score"] == "macro_f1"
        assert record["estimate"] == score["accuracy"]["estimate"]
        assert record["accuracy"] == score["others"]["accuracy"]
        assert record["validation_macro_f1"] == score["validation_accuracy"]
        assert "validation_accuracy" not in record
        assert f'data-order="{record["accuracy"]}"' in page


def test_the_difference_of_two_models_names_them_and_is_in_the_records(hostile: Path) -> None:
    rows, page = result_of(hostile)["tables"]["slices"], page_of(hostile)
    models = {"bag-of-words", "half \ud83d", "<b>ours</b>"}
    assert {row["model"] for row in rows} == models
    for row in rows:
        assert (row["rival"] is None) == (row["difference_estimate"] is None) == (row["model"] != "<b>ours</b>")
    shown = [row for row in rows if row["rival"] is not None]
    assert {row["rival"] for row in shown} == {"bag-of-words"}
    assert "&lt;b&gt;ours&lt;/b&gt; – bag-of-words, points" in page
    for row in shown:
        assert f'<td data-order="{row["difference_estimate"]}">' in page
    assert "The two are &lt;b&gt;ours&lt;/b&gt; and bag-of-words: with 400 labels, those that the verdict" in page


def test_who_is_looked_at_without_a_verdict_is_told(tmp_path: Path) -> None:
    page = page_of(write_report(make(tmp_path, {"lstm": 0.7, "bag-of-words": 0.8}, budgets=(100,))))
    assert "The two are bag-of-words and lstm: with 100 labels, of which there is no verdict, the best two on" in page


def test_validation_texts_are_those_of_each_number_of_labels() -> None:
    rows = [dataclasses.replace(row_of("bert", None), label_budget=budget, validation_texts=texts)
            for budget, texts in ((250, 50), (1000, 200), (1000, 190))]  # fmt: skip
    assert validation_texts(rows) == "validation texts a run: 50 at 250 labels and 190 to 200 at 1,000 labels"
    assert validation_texts(rows[:2][:1]) == "50 validation texts a run"


def test_the_notes_on_confidence_name_the_bins(hostile: Path) -> None:
    page = page_of(hostile)
    assert "in 15 bins of confidence (ECE)" in page
    assert "Both are means over the runs" in page
    assert "Answers of all runs together, by confidence" in page


def test_many_classes_give_their_worst_confusions(tmp_path: Path) -> None:
    classes = [f"class {number}" for number in range(20)]
    folder = write_report(make(tmp_path, {"lstm": 0.5, "bert": 0.8}, budgets=(100,), classes=classes))
    page = page_of(folder)
    assert "the most frequent confusions" in page
    assert len(result_of(folder)["tables"]["confusion"]) == 2 * 400
    assert len(result_of(folder)["tables"]["classes"]) == 2 * 20


def test_stuck_and_odd_runs_are_named(tmp_path: Path) -> None:
    made = make(tmp_path, {"lstm": 0.4, "bert": 0.9}, budgets=(100,))
    file = made.cells[1].folder.path / "result.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | {"skipped_steps": 3}), encoding="utf-8")
    folder = write_report(made)
    found = result_of(folder)["problems"]
    start = "Perhaps stuck: lstm at 100 labels, seed 1 is not shown to be better than"
    assert [text for text in found if text.startswith(start)]
    assert missing(made.cells[:-1]) == ["Missing: bert at 100 labels with seed 2."]
    assert [text for text in found if text.startswith("bert at 100 labels, seed 0 left out 3 steps")]
    assert start in page_of(folder)


def test_leakage_and_fingerprints_are_told(hostile: Path) -> None:
    page = page_of(hostile)
    assert "3 of 240 were found in it, exactly or nearly; they were left out" in page
    assert "made-0000000000" in page
    assert "torch 2.0" in page


def test_the_models_can_be_tried_from_the_report(hostile: Path) -> None:
    (line,) = re.findall(r"<pre [^>]*>(python -m finetune.demo [^<]*)</pre>", page_of(hostile))
    assert line.endswith(" --serve true")
    assert html.unescape(line) in (hostile / "report.md").read_text(encoding="utf-8")


def test_a_figure_stands_alone_for_slides(hostile: Path) -> None:
    for file in (hostile / "figures").iterdir():
        text = file.read_text(encoding="utf-8")
        assert text.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
        assert "--pre: #" in text
