"""Pictures of how runs learned."""

import json

import pytest
import yaml

from configs.errors import InputError
from pretrain.curves import curve, draw, main


def a_run(folder, model, values, budget=None):
    folder.mkdir()
    rows = [{"step": 10 * number, "eval_accuracy": value} for number, value in enumerate(values)]
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in [{"step": 1, "loss": 2.0}, *rows]))
    keys = {"name": "any", "label_budget": budget} | ({"model": {"name": model}} if model else {})
    (folder / "config.yaml").write_text(yaml.safe_dump(keys))
    return folder


def test_a_curve_has_the_model_the_steps_and_the_values(tmp_path):
    assert curve(a_run(tmp_path / "a", "lstm", [0.5, 0.75], 2500), "eval_accuracy") == (
        "lstm, 2,500 labels",
        [0, 10],
        [0.5, 0.75],
    )
    assert curve(a_run(tmp_path / "b", None, [0.5]), "loss")[0] == "any"
    assert curve(tmp_path / "a", "loss", by_name=True)[0] == "any"


def test_runs_of_one_model_share_a_colour_and_an_entry(tmp_path):
    import matplotlib.pyplot

    curves = [("lstm", [0, 1], [0.5, 0.6]), ("lstm", [0, 1], [0.4, 0.7]), ("rnn", [0, 1], [0.5, 0.5])]
    shown = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(matplotlib.pyplot, "close", shown.append)
        draw(curves, "eval_accuracy", tmp_path / "new" / "a.svg")
    (figure,) = shown
    lines = figure.axes[0].lines
    assert lines[0].get_color() == lines[1].get_color() != lines[2].get_color()
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["lstm", "rnn"]
    assert (tmp_path / "new" / "a.svg").stat().st_size > 1000
    matplotlib.pyplot.close("all")


def test_the_command_refuses_what_is_no_run_no_measure_or_no_picture(tmp_path, monkeypatch):
    folder = a_run(tmp_path / "a", "lstm", [0.5])
    for arguments, message in (
        ([str(tmp_path)], "holds no metrics.jsonl"),
        ([str(folder), "--measure", "eval_acuracy"], "did you mean `eval_accuracy`"),
        ([str(folder), "--to", "a.doc"], "must end in one of"),
    ):
        monkeypatch.setattr("sys.argv", ["curves", *arguments])
        with pytest.raises(InputError, match=message):
            main()
