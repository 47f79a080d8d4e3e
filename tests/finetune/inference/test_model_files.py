"""Models that answer otherwise have other digests."""

from pathlib import Path

import numpy as np
import pytest

from finetune.classification.bag_of_words import BagOfWords
from finetune.inference import model_files
from tests.helpers.small_classifiers import saved


def test_bag_of_words_of_other_weights_is_another_model(tmp_path: Path) -> None:
    exports, runs = set(), set()
    for weight in (1.0, -1.0):
        model = BagOfWords(
            "naive-bayes", ["no", "yes"], 1, ["x", "y"], np.zeros(0), np.array([[weight, weight]]), np.ones(1)
        )
        folder = tmp_path / str(weight) / "model"
        folder.mkdir(parents=True)
        model.save(folder)
        exports.add(model_files.digest(folder))
        runs.add(model_files.digest(folder.parent))
    assert len(exports) == len(runs) == 2


@pytest.mark.parametrize("changed", ["model-00001-of-00002.safetensors", "tokenizer.json", "onnx/model_quantized.onnx"])
def test_every_file_that_decides_counts(tmp_path: Path, changed: str) -> None:
    saved("rnn-last", tmp_path)
    (tmp_path / changed).parent.mkdir(exist_ok=True)
    (tmp_path / changed).touch()
    before = model_files.digest(tmp_path)
    (tmp_path / changed).write_bytes(b"other")
    assert model_files.digest(tmp_path) != before
