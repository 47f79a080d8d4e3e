"""A loaded run answers as its test did, in any order and company of texts."""

import json

import numpy as np
import pyarrow.parquet
import pytest

import finetune
from configs.errors import InputError
from finetune.classification.calibration import calibrated, calibration_scores, fit_temperature
from finetune.export import ExportConfig
from finetune.export import run as export
from finetune.inference.classifier import Classifier, load
from finetune.run import run
from tests.helpers.finetuning import finetune_config


@pytest.mark.parametrize("name", ["bag-of-words", "bert", "frozen", "bilstm", "lstm-attention"])
def test_a_loaded_run_gives_the_probabilities_of_its_test(chain, name):
    keys = {"model__pooling": "max"} if name == "bert" else {}
    folder = run(finetune_config(chain, model__name=name, **keys))
    table = pyarrow.parquet.read_table(folder.path / "predictions.parquet").to_pydict()
    classifier = finetune.load(folder.path)
    assert classifier.labels == json.loads((folder.path / "result.json").read_text())["labels"]
    assert classifier.temperature == folder.result()["temperature"] > 0
    classifier.temperature = 1.0
    assert classifier.probabilities(table["text"]) == pytest.approx(np.array(table["probabilities"]), abs=2e-5)
    assert [found.label for found in classifier(table["text"])] == table["prediction"]
    alone = classifier(table["text"][3])
    assert alone.probability == pytest.approx(max(table["probabilities"][3]), abs=2e-5)
    assert sum(alone.probabilities.values()) == pytest.approx(1)
    assert classifier([]) == []


def test_texts_are_cut_as_in_training(chain):
    for share in (0.0, 0.5, 1.0):
        keys = {"sequence_length": 8, "truncation_head_share": share}
        folder = run(finetune_config(chain, model__name="bert", **keys))
        table = pyarrow.parquet.read_table(folder.path / "predictions.parquet").to_pydict()
        classifier = load(folder.path)
        classifier.temperature = 1.0
        assert classifier.probabilities(table["text"]) == pytest.approx(np.array(table["probabilities"]), abs=2e-5)


def test_an_exported_folder_is_loaded_too(chain, tmp_path):
    folder = run(finetune_config(chain, model__name="bilstm"))
    target = export(ExportConfig(str(folder.path), str(tmp_path / "out"), check=False))
    texts = ["the film was great. the plot was lovely.", "the film was awful. the plot was dull."]
    assert [found.label for found in load(target)(texts)] == ["positive", "negative"]


@pytest.mark.parametrize(("name", "runtime"), [("bilstm", "torch"), ("bilstm", "onnx"), ("bag-of-words", "torch")])
def test_an_exported_folder_knows_whether_html_was_cleaned(chain, tmp_path, name, runtime):
    for cleans in (True, False):
        folder = run(finetune_config(chain, model__name=name, corpus__clean_html=cleans))
        config = ExportConfig(str(folder.path), str(tmp_path / str(cleans)), check=False, onnx=runtime == "onnx")
        assert load(export(config), runtime=runtime).cleans_html == load(folder.path).cleans_html == cleans


def test_two_labels_of_the_same_name_keep_their_probabilities():
    class Thirds(Classifier):
        def logits(self, texts):
            return np.log([[0.6, 0.3, 0.1]] * len(texts))

    assert Thirds(["a", "a", "b"])("x").probabilities == pytest.approx({"a": 0.6, "a_2": 0.3, "b": 0.1})


def test_windows_read_the_whole_text(chain):
    folder = run(finetune_config(chain, model__name="bert", sequence_length=16))
    bad, good = "the film was awful. " * 30, "the film was great. "
    texts = [bad + good * 3, good, ""]
    cut, windows = load(folder.path), load(folder.path, windows=True)
    # The end alone is read when texts are cut, and is good.
    assert cut(texts[0]).label == "positive"
    assert windows(texts[0]).label == "negative"
    assert windows.probabilities(texts)[1:] == pytest.approx(cut.probabilities(texts)[1:], abs=1e-5)


@pytest.mark.parametrize("windows", [False, True])
def test_a_text_among_pairs_is_read_as_it_is_alone(chain, windows):
    # Once, it became a pair with an empty second text.
    classifier = load(run(finetune_config(chain, model__name="bert")).path, windows=windows)
    long = "the film was great. " * 30
    mixed = [("the plot", "was dull."), long, "the cast was fine.", ("the song was", "lovely.")]
    together = classifier.probabilities(mixed)
    alone = np.concatenate([classifier.probabilities([text]) for text in mixed])
    assert together == pytest.approx(alone, abs=1e-6)


def test_what_is_no_classifier_is_refused(chain, tmp_path):
    (encoder,) = (chain / "runs" / "pretrain").glob("small-*")
    with pytest.raises(InputError, match="a run without labels"):
        load(encoder)
    with pytest.raises(InputError, match="is no classifier; fine-tune it first"):
        load(encoder / "model")
    with pytest.raises(InputError, match="cannot be loaded"):
        load(tmp_path)
    old = run(finetune_config(chain, model__name="bag-of-words", label_budget=60))
    (old.model / "bag_of_words.json").unlink()
    with pytest.raises(InputError, match="before bag-of-words models were saved"):
        load(old.path)


def test_a_temperature_makes_overconfident_probabilities_honest():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4000, 3))
    labels = np.array([rng.choice(3, p=row) for row in calibrated(logits, 1.0)])
    temperature = fit_temperature(5 * logits[:2000], labels[:2000])
    assert temperature == pytest.approx(5, rel=0.1)
    before, after = (
        calibration_scores(calibrated(5 * logits[2000:], t), labels[2000:])["calibration_error"]
        for t in (1, temperature)
    )
    assert after < 0.03 < 0.1 < before


def test_a_few_texts_that_are_all_right_do_not_make_a_model_sure():
    logits = np.array([[1.0, 0.0]] * 10 + [[0.0, 1.0]] * 10)
    temperature = fit_temperature(logits, np.array([0] * 10 + [1] * 10))
    assert calibrated(logits, temperature).max() == pytest.approx(11 / 12, abs=0.01)
