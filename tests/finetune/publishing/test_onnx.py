"""ONNX files give the logits of torch, for every family of classifiers and any batch; what cannot be is refused."""

import importlib.util
import json
import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from configs.errors import InputError
from configs.run_folder import RunFolder
from finetune import predict
from finetune.export import ExportConfig
from finetune.export import run as export
from finetune.inference import onnx_session
from finetune.inference.classifier import RUNTIMES, load
from finetune.inference.output import Output
from finetune.predict import PredictConfig
from finetune.publishing import onnx as onnx_export
from finetune.publishing import onnx_graph
from finetune.publishing.check_texts import texts_to_check, validation_texts
from finetune.publishing.onnx import QUANTIZATIONS, export_onnx
from finetune.run import run
from tests.helpers.finetuning import finetune_config
from tests.helpers.paths import ROOT
from tests.helpers.small_classifiers import CLASSIFIERS, LONGEST, saved

FILES = sorted(onnx_session.GRAPHS.values())
TAKE_TYPES = ("bert", "pooled-bert-concat", "pooled-bert-attention")
GOOD, BAD = "the film was great. the plot was lovely.", "the film was awful. the plot was dull."


def inputs_of(ids: list[list[int]], names: list[str]) -> dict[str, np.ndarray]:
    """The inputs of some rows of ids, padded with zeros; of a pair, the second half has the other type."""
    longest = max(map(len, ids))
    padded = [row + [0] * (longest - len(row)) for row in ids]
    masks = [[1] * len(row) + [0] * (longest - len(row)) for row in ids]
    types = [[int(position > len(row) // 2) for position in range(longest)] for row in ids]
    arrays = {"input_ids": padded, "attention_mask": masks, "token_type_ids": types}
    return {name: np.array(arrays[name]) for name in names}


def torch_logits(model: Any, inputs: dict[str, np.ndarray]) -> np.ndarray:
    with torch.inference_mode():
        return model(**{name: torch.from_numpy(array) for name, array in inputs.items()}).logits.numpy()


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_graph_gives_the_logits_of_torch(name: str, tmp_path: Path) -> None:
    model = saved(name, tmp_path)
    found = export_onnx(tmp_path)
    assert found.texts == len(texts_to_check([])) > 200
    assert found.float_difference < 1e-4
    folder = tmp_path / "onnx"
    written = FILES if found.int8 else FILES[:1]
    assert sorted(file.name for file in folder.iterdir()) == written
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    sessions = [onnx_session.opened(folder / file, 1) for file in written]
    names = [one.name for one in sessions[0].get_inputs()]
    assert names[:2] == ["input_ids", "attention_mask"]
    assert names[2:] == (["token_type_ids"] if name in TAKE_TYPES else [])
    draw = np.random.default_rng(0)
    rows = [draw.integers(5, 100, length).tolist() for length in (*range(1, 12), 31, LONGEST - 1, LONGEST)]
    alone = [torch_logits(model, inputs_of([row], names)) for row in rows]
    for row, wanted in zip(rows, alone, strict=True):
        assert sessions[0].run(["logits"], inputs_of([row], names))[0] == pytest.approx(wanted, abs=1e-4)
        assert sessions[0].run(["logits"], inputs_of([row] * 3, names))[0] == pytest.approx(
            wanted.repeat(3, 0), abs=1e-4
        )
    torch_windows, onnx_windows = (load(tmp_path, windows=True, runtime=runtime) for runtime in RUNTIMES[:2])
    texts = [GOOD * 40, BAD]
    assert torch_windows.probabilities(texts) == pytest.approx(onnx_windows.probabilities(texts), abs=1e-4)
    # All lengths in one batch, with padding.
    wanted = np.concatenate(alone)
    spread = float(np.ptp(wanted, axis=0).max())
    assert spread > 0.1
    for session, tolerance in zip(sessions, (1e-4, 0.25 * spread), strict=False):
        assert session.run(["logits"], inputs_of(rows, names))[0] == pytest.approx(wanted, abs=tolerance)


@pytest.fixture(scope="module")
def lstm_run(chain: Path) -> RunFolder:
    return run(finetune_config(chain, model__name="lstm"))


def test_an_exported_run_answers_in_every_runtime_as_in_torch(
    lstm_run: RunFolder, chain: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="finetune.export")
    target = export(ExportConfig(str(lstm_run.path), str(tmp_path / "out"), onnx=True))
    own = len(validation_texts(lstm_run, 200))
    assert own > 0
    assert (
        f"checked with {len(texts_to_check(['mine'] * own))} texts: floats differ from torch by at most" in caplog.text
    )
    texts = [GOOD, BAD, "", (GOOD + " ") * 40]
    torch_probabilities = load(target).probabilities(texts)
    assert load(target, runtime="onnx").probabilities(texts) == pytest.approx(torch_probabilities, abs=1e-5)
    assert load(target, runtime="onnx-int8").probabilities(texts) == pytest.approx(torch_probabilities, abs=0.05)
    windows = [load(target, windows=True, runtime=runtime).probabilities(texts) for runtime in ("torch", "onnx")]
    assert windows[0] == pytest.approx(windows[1], abs=1e-5)
    source = chain / "labelled" / "test.jsonl"
    answers = []
    for runtime in RUNTIMES:
        file = tmp_path / f"{runtime}.csv"
        predict.run(PredictConfig(target, [str(source)], str(file), runtime=runtime))
        answers.append(file.read_text(encoding="utf-8").splitlines())
    # Probabilities have four digits.
    assert [row.split(",")[:-1] for row in answers[0]] == [row.split(",")[:-1] for row in answers[1]]
    labels = [[row.rsplit(",", 2)[1] for row in rows] for rows in answers]
    assert np.mean([one == other for one, other in zip(labels[0], labels[2], strict=True)]) >= 0.995
    found = elsewhere_without_torch(target)
    assert found == {"labels": ["positive", "negative"], "torch": False}


def elsewhere_without_torch(target: str) -> dict[str, Any]:
    """What a fresh process answers with onnxruntime, and whether it has imported torch."""
    program = (
        "import json, sys, finetune; classify = finetune.load(sys.argv[1], runtime='onnx');"
        f"labels = [found.label for found in classify({[GOOD, BAD]!r})];"
        "print(json.dumps({'labels': labels, 'torch': 'torch' in sys.modules}))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, target], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return json.loads(ended.stdout)


def test_an_interrupted_labelling_is_not_taken_up_in_another_runtime(
    lstm_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = export(ExportConfig(str(lstm_run.path), str(tmp_path / "out"), onnx=True, check=False))
    (tmp_path / "in.txt").write_text(f"{GOOD}\n{BAD}\n" * 4)
    target = str(tmp_path / "out.csv")
    monkeypatch.setattr(predict, "WINDOW", 4)
    write = Output.write

    def interrupted(output: Output, rows: Any, answers: Any) -> None:
        if output.rows:
            raise KeyboardInterrupt
        write(output, rows, answers)

    with monkeypatch.context() as patched:
        patched.setattr(Output, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            predict.run(PredictConfig(folder, [str(tmp_path / "in.txt")], target, runtime="onnx"))
    for other in ("torch", "onnx-int8"):
        with pytest.raises(InputError, match="begun with another settings"):
            predict.run(PredictConfig(folder, [str(tmp_path / "in.txt")], target, runtime=other))
    assert predict.run(PredictConfig(folder, [str(tmp_path / "in.txt")], target, runtime="onnx")) == 8


def test_a_runtime_without_its_file_is_refused(lstm_run: RunFolder) -> None:
    with pytest.raises(InputError, match="runtime: 'tensorrt' is none of torch, onnx, onnx-int8"):
        PredictConfig("r", runtime="tensorrt")
    with pytest.raises(InputError, match=r"there is no .*model\.onnx; export the run with it: .* --onnx"):
        load(lstm_run.model, runtime="onnx")
    with pytest.raises(InputError, match="precision: 'bf16' is for the runtime torch"):
        load(lstm_run.model, runtime="onnx", precision="bf16")


def test_a_graph_that_differs_from_torch_is_refused(
    lstm_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The gates of an LSTM in torch's order, which is not that of ONNX.
    monkeypatch.setitem(onnx_graph.GATES, torch.nn.LSTM, ("LSTM", [0, 1, 2, 3]))
    target = tmp_path / "out"
    with pytest.raises(InputError, match=r"the logits of the graph differ from torch's by \d\.\d+, more than 0\.001"):
        export(ExportConfig(str(lstm_run.path), str(target), onnx=True))
    monkeypatch.setattr(onnx_graph, "traced", lambda model, names: 1 / 0)
    with pytest.raises(InputError, match=f"^{re.escape(str(lstm_run.path))}: torch cannot trace this model"):
        export(ExportConfig(str(lstm_run.path), str(target), onnx=True, check=False))
    assert not target.exists()


def test_a_file_of_8_bits_that_answers_otherwise_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    saved("rnn-last", tmp_path)
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / FILES[1]).write_text("of an earlier export")
    ways = []
    monkeypatch.setattr(onnx_export, "INT8_AGREEMENT", 1.01)
    quantize = onnx_export.quantize
    monkeypatch.setattr(onnx_export, "quantize", lambda *files, way: [ways.append(way), quantize(*files, way=way)])
    found = export_onnx(tmp_path)
    assert ways == list(QUANTIZATIONS)
    assert found.int8 is None
    assert 0.9 < found.int8_agreement <= 1
    assert [file.name for file in (tmp_path / "onnx").iterdir()] == FILES[:1]
    assert (
        f"at most {100 * found.int8_agreement:.1f}% of the texts get the labels of torch; 101.0% are needed"
        in caplog.text
    )
    with pytest.raises(InputError, match=r"there is no .*model_quantized\.onnx"):
        load(tmp_path, runtime="onnx-int8")
    (tmp_path / "onnx" / FILES[0]).write_bytes(b"no graph")
    with pytest.raises(InputError, match=r"model\.onnx cannot be read"):
        load(tmp_path, runtime="onnx")


def test_several_labels_agree_where_all_of_a_text_do() -> None:
    wanted_NC = np.where(np.random.default_rng(0).random((239, 50)) < 0.004, 3.0, -6.0)
    # A file that never gives a label has most cells right.
    never_NC = np.full_like(wanted_NC, -6.0)
    assert onnx_export.agreement(never_NC, wanted_NC, [0.5] * 50) == (wanted_NC.max(1) < 0).mean() < 0.9
    assert onnx_export.agreement(wanted_NC, wanted_NC, [0.5] * 50) == 1.0


def test_what_has_no_graph_is_refused(chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (encoder,) = (chain / "runs" / "pretrain").glob("small-*")
    with pytest.raises(InputError, match="is no classifier; fine-tune it first"):
        export_onnx(encoder / "model")
    with pytest.raises(InputError, match=f"^{re.escape(str(encoder))}: ONNX is for classifiers.*none \\(encoder\\)"):
        export(ExportConfig(str(encoder), str(tmp_path / "out"), onnx=True))
    (tmp_path / "bag_of_words.json").write_text("{}")
    with pytest.raises(InputError, match="bag-of-words is no network"):
        export_onnx(tmp_path)
    there = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxscript" else there(name))
    with pytest.raises(InputError, match=r"the package onnxscript is missing; .* pip install -e '\.\[onnx\]'"):
        export_onnx(encoder / "model")
