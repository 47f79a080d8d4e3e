"""Words are weighed by leaving them out, alike for every model, and add up where the model adds."""

import csv
import io
import json

import numpy as np
import pytest

import finetune
from configs.errors import InputError
from finetune import predict
from finetune.inference.classifier import Classifier
from finetune.inference.explanation import MAXIMUM_PIECES, explain, pieces, strongest
from finetune.predict import PredictConfig
from finetune.run import run
from tests.helpers.corpora import write_jsonl
from tests.helpers.finetuning import finetune_config

WEIGHTS = {"great": 2.0, "dull": -1.5, "not": -0.5}


class Adder(Classifier):
    """The log-odds of "yes" are the sum of the words' weights."""

    def __init__(self):
        super().__init__(["no", "yes"])
        self.texts = 0

    def logits(self, texts):
        self.texts += len(texts)
        joined = [text if isinstance(text, str) else " ".join(part or "" for part in text) for text in texts]
        return np.array([[0.0, sum(WEIGHTS.get(word, 0.0) for word in text.split())] for text in joined])


def test_of_a_model_that_adds_the_weights_come_back():
    words = explain(Adder(), "not a great film but dull dull", "yes")
    assert {word.text: round(word.weight, 9) for word in words} == {
        "not": -0.5, "a": 0, "great": 2, "film": 0, "but": 0, "dull": -1.5,
    }  # fmt: skip
    assert [word.start for word in words] == [0, 4, 6, 12, 17, 21, 26]
    # Without a label, that of the text's own prediction.
    assert [word.weight for word in explain(Adder(), "dull")] == [pytest.approx(1.5)]
    assert [(word.text, word.weight) for word in strongest(words, 1)] == [("great", pytest.approx(2))]
    with pytest.raises(ValueError, match="maybe"):
        explain(Adder(), "a film", "maybe")


def test_pairs_empty_texts_and_long_ones():
    pair = explain(Adder(), ("a film", "great fun"), "yes")
    assert [(word.text, round(word.weight, 9)) for word in pair][2:] == [("great", 2), ("fun", 0)]
    assert len(explain(Adder(), ("a film", None), "yes")) == 2
    assert explain(Adder(), "") == explain(Adder(), "?! …") == []
    adder = Adder()
    long = explain(adder, "a film " * 4000 + "great", "yes")
    assert len(long) == MAXIMUM_PIECES == adder.texts - 1
    assert long[-1].text.endswith("great")
    assert long[-1].weight == pytest.approx(2)
    assert sum(word.weight for word in long[:-1]) == pytest.approx(0)


def test_what_is_a_word():
    text = "L’été d'Anna: 好い🎬 x\ud83d_1"
    assert [text[start:end] for start, end in pieces(text, 99)] == ["L’été", "d'Anna", "好", "い", "x", "_1"]


@pytest.mark.parametrize("name", ["bag-of-words", "lstm", "bert"])
def test_a_trained_model_is_moved_by_the_words_that_decide(chain, name):
    classifier = finetune.load(run(finetune_config(chain, model__name=name)).path)
    text = "the film was great"
    words = finetune.explain(classifier, text, "positive")
    without = classifier.probabilities(["the film was "])[0, classifier.labels.index("positive")]
    whole = classifier.probabilities([text])[0, classifier.labels.index("positive")]
    expected = np.log(whole / (1 - whole)) - np.log(without / (1 - without))
    assert words[-1].weight == pytest.approx(expected, abs=1e-3)
    if name == "bag-of-words":
        assert strongest(words, 1)[0].text == "great"
        assert words[-1].weight > 0.5


def test_the_command_writes_the_words(chain, tmp_path):
    folder = str(run(finetune_config(chain, model__name="bag-of-words")).path)
    rows = [{"text": "the film was great"}, {"text": " "}, {"text": "the plot was awful"}]
    source = str(write_jsonl(tmp_path / "in.jsonl", rows))
    for name in ("out.csv", "out.jsonl"):
        predict.run(PredictConfig(folder, [source], str(tmp_path / name), explain=2))
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [len(row["words"] or []) for row in found] == [2, 0, 2]
    (word, weight), _ = found[0]["words"]
    assert word == "great"
    assert weight > 0.5
    table = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    assert table[0]["words"].startswith(f"great +{weight:.2f}, ")
    assert table[1]["words"] == ""
    with pytest.raises(InputError, match="explain"):
        PredictConfig(folder, explain=-1)
