"""What was published is loaded by its id as from its folder, with the files it needs and no others."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants

from configs.errors import InputError
from configs.hub_commit import hub_commit
from finetune.classification.bag_of_words import BagOfWords, logistic_regression, vectorizers
from finetune.classification.tokenization_head_tail import with_truncation
from finetune.inference import model_files
from finetune.inference.classifier import load
from finetune.publishing.onnx import export_onnx
from tests.helpers.http.hub_server import Hub
from tests.helpers.small_classifiers import saved
from tokenizer.corpus.synthetic_reviews import rows
from tokenizer.vocabulary.serialization import load as load_tokenizer

TEXTS = [row["text"] for row, _ in itertools.islice(rows("validation"), 4)]
NAME = "somebody/model"


@pytest.fixture
def folder(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder; the Hub's cache is empty, too."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    # It was made of the address when the library was imported.
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.partition("/{")[2]
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{constants.ENDPOINT}/{{{template}")
    hub_commit.cache_clear()
    (tmp_path / "model").mkdir()
    return tmp_path / "model"


def push(hub: Hub, folder: Path) -> None:
    files = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    hub.repositories[NAME] = files | {"other/weights.safetensors": b"large", "pytorch_model.bin": b"a pickle"}


def write_bag_of_words(folder: Path) -> None:
    examples = [row for row, _ in itertools.islice(rows("train"), 100)]
    vectorizer = vectorizers(2)["tf-idf"]
    counts, labels = vectorizer.fit_transform([row["text"] for row in examples]), [row["label"] for row in examples]
    model = logistic_regression(10.0, 0).fit(counts, labels)
    BagOfWords.of("tf-idf", vectorizer, model, sorted(set(labels))).save(folder)


@pytest.mark.parametrize("kind", ["bert", "both ends", "rnn-last", "bag-of-words", "onnx"])
def test_a_model_is_loaded_by_its_id(hub: Hub, folder: Path, kind: str) -> None:
    if kind == "bag-of-words":
        write_bag_of_words(folder)
    else:
        saved(kind if kind == "rnn-last" else "bert", folder)
    if kind == "both ends":
        with_truncation(load_tokenizer(folder), 20, 0.25).save_pretrained(folder)
    if kind == "onnx":
        export_onnx(folder)
    runtime = "onnx" if kind == "onnx" else "torch"
    push(hub, folder)
    found, expected = load(NAME, runtime=runtime), load(folder, runtime=runtime)
    assert np.array_equal(found.probabilities(TEXTS), expected.probabilities(TEXTS))
    fetched = model_files.local(NAME, runtime)
    assert not (fetched / "other").exists()
    assert (fetched / "model.safetensors").exists() == (kind in ("bert", "both ends", "rnn-last"))
    assert (model_files.digest(fetched) == model_files.digest(folder)) == (kind != "onnx")


def test_what_is_not_there_is_told(hub: Hub, folder: Path) -> None:
    with pytest.raises(InputError, match="model: 'somebody/model' cannot be loaded: 404"):
        load(NAME)
    with pytest.raises(InputError, match="model: no such file or folder: 'runs/finetune/typo'"):
        load("runs/finetune/typo")
