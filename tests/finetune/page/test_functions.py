"""In a browser, texts become the same tokens, counts and words as in Python."""

import base64
import re
import shutil
import unicodedata

import numpy as np
import pytest

from finetune.classification.bag_of_words import (
    BagOfWords,
    NaiveBayesLogisticRegression,
    logistic_regression,
    vectorizers,
)
from finetune.classification.tokenization_head_tail import head_and_tail, with_truncation
from finetune.page import site
from finetune.page.linear import packed
from finetune.page.models import bert_normalizers, head_share, tokenizer_content
from finetune.page.packages import installed
from tests.helpers.http.browser import opened, page_packages, serving
from tests.helpers.texts import LONG, ODD, texts_like_those_of_training
from tokenizer.corpus import synthetic_reviews
from tokenizer.vocabulary import serialization
from tokenizer.vocabulary.algorithms import train
from tokenizer.vocabulary.config import VocabularyConfig


@pytest.fixture(scope="module")
def shared(browser, tmp_path_factory):
    """An empty page beside the sources."""
    folder = tmp_path_factory.mktemp("sources")
    shutil.copytree(installed(page_packages()), folder / "vendor")
    for name in site.SOURCES:
        shutil.copyfile(site.HERE / name, folder / name)
    (folder / "index.html").write_text("<!doctype html><title>Sources</title>", encoding="utf-8")
    with serving(folder) as address, opened(browser, address) as (page, watch):
        yield page
        assert watch.foreign == []


def fitted(kind: str, classes: int) -> BagOfWords:
    texts = [*texts_like_those_of_training(60), *ODD]
    labels = np.arange(len(texts)) % classes
    vectorizer = vectorizers(2)[kind]
    features = vectorizer.fit_transform(texts)
    fit = {"tf-idf": logistic_regression, "naive-bayes": NaiveBayesLogisticRegression}[kind]
    return BagOfWords.of(kind, vectorizer, fit(10.0, 0).fit(features, labels), [str(label) for label in range(classes)])


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kind", ["tf-idf", "naive-bayes"])
def test_words_are_counted_as_scikit_learn_counts_them(shared, kind, classes):
    model = fitted(kind, classes)
    texts = [*ODD, *texts_like_those_of_training(90)[60:], "nothing known here: zzz", LONG]
    entry = {"sequences": len(model.vocabulary), "vectors": len(model.bias_K), "features": kind, "longest": 2}
    found = shared.evaluate(
        """async ([content, entry, texts]) => {
          const { BagOfWords } = await import("./bag_of_words.js");
          const file = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
          const model = new BagOfWords(file, entry);
          return texts.map((text) => model.logits(model.read(text).counts).map(Math.exp));
        }""",
        [base64.b64encode(packed(model)).decode(), entry, texts],
    )
    assert np.abs(np.array(found) - model.probabilities(texts)).max() < 1e-5


def test_letters_and_spaces_are_pythons(shared):
    """All characters that this Python knows, one at a time between two others."""
    known = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) not in ("Cn", "Cs")]
    pattern = re.compile(r"\w+|[^\w\s]")
    expected = [len(pattern.findall(f"a{character}b".lower())) for character in known]
    # One string each way: Playwright is slow with long lists.
    found = shared.evaluate(
        """async (characters) => {
          const { tokensOf } = await import("./bag_of_words.js");
          return [...characters].map((character) => tokensOf(`a${character}b`).length).join("");
        }""",
        "".join(known),
    )
    assert found == "".join(map(str, expected))


ENCODE = """async ([content, settings, texts]) => {
  const { Encoder } = await import("./encoding.js");
  const encoder = new Encoder(content, settings);
  return texts.map((text) => encoder.encode(text).ids);
}"""


@pytest.mark.parametrize("normalisation", ["bert", "by_script"])
@pytest.mark.parametrize("model", ["wordpiece", "bpe", "unigram", "characters", "bytes"])
def test_tokens_are_those_of_every_tokenizer(shared, tmp_path, model, normalisation):
    reviews = [row["text"] for _, (row, _) in zip(range(200), synthetic_reviews.rows("train"), strict=False)]
    config = VocabularyConfig(model=model, vocabulary_size=600, normalisation=normalisation)
    serialization.save(train(config, lambda: iter([*reviews[:50], *ODD])), config, tmp_path)
    tokenizer = with_truncation(serialization.load(tmp_path), 64, 0.25)
    content = tokenizer_content(tokenizer)
    settings = {
        "cls_id": tokenizer.cls_token_id,
        "sep_id": tokenizer.sep_token_id,
        "length": tokenizer.model_max_length,
        "head_share": head_share(tokenizer),
        "bert_normalizers": bert_normalizers(content["normalizer"]),
    }
    texts = [*reviews, *ODD]
    assert shared.evaluate(ENCODE, [content, settings, texts]) == tokenizer(texts, truncation=True)["input_ids"]


@pytest.mark.parametrize(("length", "share"), [(5, 0.5), (7, 0.5), (9, 0.25), (3, 0.9), (4, 0.0), (4, 1.0)])
def test_halves_are_rounded_as_in_python(shared, length, share):
    ids = list(range(20))
    found = shared.evaluate(
        "async ([ids, length, share]) => (await import('./encoding.js')).headAndTail(ids, length, share)",
        [ids, length, share],
    )
    assert found == head_and_tail(np.array(ids), length, share).tolist()


def test_words_are_found_in_every_script_and_leave_no_space_behind(shared):
    asked = """async (texts) => {
      const { piecesOf, without } = await import("./words.js");
      const found = texts.map((text) => piecesOf(text).map(([start, end]) => text.slice(start, end)));
      const segmenter = Intl.Segmenter;
      Intl.Segmenter = undefined;
      const simple = texts.map((text) => piecesOf(text).map(([start, end]) => text.slice(start, end)));
      Intl.Segmenter = segmenter;
      return [found, simple, piecesOf(texts[0]).map((piece) => without(texts[0], piece))];
    }"""
    texts = ["so good, isn't it", "x 😡 y", "これは良い映画", "שלום עולם!", " ...", ""]
    found, simple, rest = shared.evaluate(asked, texts)
    assert found[:2] == simple[:2] == [["so", "good", "isn't", "it"], ["x", "😡", "y"]]
    assert "".join(found[2]) == "".join(simple[2]) == texts[2]
    # Browsers know where Japanese words end; the other way takes what stands between spaces.
    assert len(found[2]) > len(simple[2]) == 1
    assert found[3:] == simple[3:] == [["שלום", "עולם"], [], []]
    assert rest == ["good, isn't it", "so , isn't it", "so good, it", "so good, isn't "]
