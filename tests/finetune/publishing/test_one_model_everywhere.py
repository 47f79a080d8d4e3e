"""The same finished models, asked wherever they can be used, give the same scores."""

import csv
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import finetune
from configs.run_folder import RunFolder
from finetune import predict
from finetune.page.site import Page, build
from finetune.run import run
from finetune.serving.config import ServeConfig
from finetune.serving.served_model import load_model
from tests.helpers.finetuning import finetune_config
from tests.helpers.http.browser import READ, chromium, opened, page_packages
from tests.helpers.http.browser import serving as serving_folder
from tests.helpers.http.environment import closure, environment_of
from tests.helpers.http.exports import exported, shares
from tests.helpers.http.hub_server import Hub
from tests.helpers.http.serving import running
from tests.helpers.texts import texts_like_those_of_training

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=")

# Lines of a file, which end at no character but a newline.
TEXTS = [text for text in texts_like_those_of_training(40) if text.isprintable() and text == text.strip()]
CLASSIFY = """
import importlib.util, json, sys
from transformers import pipeline
assert not [name for name in ("sklearn", "datasets", "accelerate", "finetune") if importlib.util.find_spec(name)]
found = []
for model in sys.argv[2:]:
    classify = pipeline("text-classification", model=model, truncation=True, trust_remote_code=True)
    found.append(classify(json.loads(sys.argv[1]), top_k=None))
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def finished(chain: Path) -> dict[str, tuple[RunFolder, np.ndarray]]:
    """Runs by the name of their model, and their probabilities of the texts, [N, C]."""
    runs = {
        "bert": run(finetune_config(chain, training__duration="30 steps")),
        "lstm": run(finetune_config(chain, model__name="lstm")),
        "bag-of-words": run(finetune_config(chain, model__name="bag-of-words")),
    }
    made = {name: (folder, finetune.load(folder.path).probabilities(TEXTS)) for name, folder in runs.items()}
    for _, probabilities_NC in made.values():
        # A model that gives all texts the same score would prove nothing.
        assert probabilities_NC.std(axis=0).max() > 0.01
    return made


def test_pushed_to_a_hub_a_pipeline_gives_them_in_an_environment_of_transformers_and_torch(
    finished: dict[str, Any], tmp_path: Path, hub: Hub
) -> None:
    assert not {"scikit-learn", "datasets", "accelerate"} & closure(("transformers", "torch"))
    python = environment_of(tmp_path / "environment", "transformers", "torch")
    names = ["bert", "lstm"]
    for name in names:
        exported(finished[name][0], Path(f"hub:somebody/{name}"))
    assert len(hub.commits) == 2
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    variables |= {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    ended = subprocess.run(
        [str(python), "-I", "-c", CLASSIFY, json.dumps(TEXTS), *(f"somebody/{name}" for name in names)],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    for name, found in zip(names, json.loads(ended.stdout.splitlines()[-1]), strict=True):
        folder, expected_NC = finished[name]
        assert shares(found, finetune.load(folder.path).labels) == pytest.approx(expected_NC, abs=1e-4), name


@pytest.mark.parametrize("name", ["bert", "lstm", "bag-of-words"])
def test_a_file_is_labelled_with_them(finished: dict[str, Any], tmp_path: Path, name: str) -> None:
    folder, expected_NC = finished[name]
    (tmp_path / "texts.txt").write_text("".join(f"{text}\n" for text in TEXTS), encoding="utf-8")
    target = tmp_path / "labelled.csv"
    config = predict.PredictConfig(str(folder.path), [str(tmp_path / "texts.txt")], to=str(target), probabilities=True)
    assert predict.run(config) == len(TEXTS)
    with target.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    labels = finetune.load(folder.path).labels
    found_NC = np.array([[float(row[f"p_{label}"]) for label in labels] for row in rows])
    # Four digits are written.
    assert found_NC == pytest.approx(expected_NC, abs=1e-4)
    assert [row["prediction"] for row in rows] == [labels[label] for label in expected_NC.argmax(1)]


@pytest.mark.parametrize("name", ["bert", "lstm", "bag-of-words"])
def test_a_service_answers_with_them(finished: dict[str, Any], name: str) -> None:
    folder, expected_NC = finished[name]
    with running(lambda _: load_model(ServeConfig(str(folder.path)))) as service:
        found = service.scores({"inputs": TEXTS, "parameters": {"top_k": 9}})
    labels = finetune.load(folder.path).labels
    assert shares(found, labels) == pytest.approx(expected_NC, abs=1e-4)


def test_a_page_shows_them(finished: dict[str, Any], tmp_path: Path) -> None:
    cache = page_packages()
    pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    page = Page.of([str(folder.path) for folder, _ in finished.values()], "All", [], quantized=False)
    site = build(page, tmp_path / "page", cache)
    with chromium() as browser, serving_folder(site) as address, opened(browser, address) as (shown, watch):
        found = shown.evaluate(READ, [{"text": text, "words": False} for text in TEXTS])
        assert (watch.foreign, watch.errors) == ([], [])
    for number, (_, expected_NC) in enumerate(finished.values()):
        found_NC = np.array([row["answers"][number]["probabilities"] for row in found])
        assert found_NC == pytest.approx(expected_NC, abs=1e-3)
