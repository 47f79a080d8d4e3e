"""The built-in sample: sizes, balance, and that its sentiment cannot be counted off the words."""

import hashlib
import itertools

import pytest

from configs.errors import InputError
from tokenizer.corpus import sentences, synthetic_reviews
from tokenizer.corpus.config import CorpusConfig

LABELLED = ("train", "validation", "test")


@pytest.fixture(scope="module")
def reviews() -> dict[str, list[dict[str, str]]]:
    return {split: [row for row, _ in synthetic_reviews.rows(split)] for split in LABELLED}


@pytest.fixture(scope="module")
def unlabelled() -> list[str]:
    return [row["text"] for row, _ in synthetic_reviews.rows("unlabelled")]


@pytest.mark.parametrize("split", ["unlabelled", *LABELLED])
def test_rows_are_the_same_at_every_call(split):
    first = list(itertools.islice(synthetic_reviews.rows(split), 50))
    assert first == list(itertools.islice(synthetic_reviews.rows(split), 50))
    assert first[7][1] == f"sample {split}:7"


def test_text_is_the_same_on_every_machine():
    row, _ = next(synthetic_reviews.rows("train"))
    assert row == {
        "text": "I watched The Painted Ballad because of Xenia Wexwyn. The score of this musical was simply terrible. "
        "Although the second act was splendid and excellent, the finale of The Painted Ballad was thoroughly unearned. "
        "In the end this musical is very clueless. The Painted Ballad runs for two hours.",
        "label": "negative",
    }


def test_sizes_are_those_announced(reviews, unlabelled):
    assert {split: len(rows) for split, rows in reviews.items()} == {
        split: synthetic_reviews.SIZES[split] for split in LABELLED
    }
    assert len(unlabelled) == synthetic_reviews.SIZES["unlabelled"]
    assert len(unlabelled) >= 20_000


def test_unlabelled_rows_hold_text_alone():
    row, _ = next(synthetic_reviews.rows("unlabelled"))
    assert set(row) == {"text"}


def test_documents_split_into_three_to_twelve_sentences(unlabelled):
    counts = {len(sentences.split(text, CorpusConfig())) for text in unlabelled}
    assert counts == set(range(3, 13))


def test_sentence_splitting_loses_no_word(unlabelled):
    for text in unlabelled[:200]:
        split = sentences.split(text, CorpusConfig())
        assert " ".join(split) == text
        assert all(sentence.endswith(".") and sentence[0].isupper() for sentence in split)


def test_labelled_reviews_have_three_to_six_sentences(reviews):
    counts = {len(sentences.split(row["text"], CorpusConfig())) for row in reviews["validation"]}
    assert counts == {3, 4, 5, 6}


def test_unlabelled_documents_do_not_repeat(unlabelled):
    assert len(set(unlabelled)) == len(unlabelled)


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(LABELLED, 2)))
def test_no_labelled_text_is_shared_between_splits(reviews, one, other):
    assert not {row["text"] for row in reviews[one]} & {row["text"] for row in reviews[other]}


def test_no_test_review_stands_among_the_unlabelled(reviews, unlabelled):
    assert not {row["text"] for row in reviews["test"]} & set(unlabelled)


@pytest.mark.parametrize("split", LABELLED)
def test_labels_are_balanced(reviews, split):
    labels = [row["label"] for row in reviews[split]]
    assert set(labels) == {"negative", "positive"}
    assert abs(labels.count("positive") / len(labels) - 0.5) < 0.05


def test_counting_words_does_not_solve_the_sample(reviews):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    train, test = reviews["train"][:2_000], reviews["test"]
    model = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1_000, random_state=0))
    model.fit([row["text"] for row in train], [row["label"] for row in train])
    accuracy = model.score([row["text"] for row in test], [row["label"] for row in test])
    assert 0.6 < accuracy < 0.85


def test_unknown_split_is_refused_with_those_there_are():
    with pytest.raises(InputError, match=r"unlabelled, train, validation, test; not 'trian'"):
        next(synthetic_reviews.rows("trian"))


def test_the_version_belongs_to_these_reviews():
    """Runs are found again by the version. If this fails, the generator writes other text: change both."""
    reviews = hashlib.sha256()
    for split in synthetic_reviews.SIZES:
        for row, location in synthetic_reviews.rows(split):
            reviews.update(repr((row, location)).encode())
    versions = {"f22f144d84": "6f682463a5faca83e4207d3d1b627126c73f511a59ee9099b7577316c99ed299"}
    assert reviews.hexdigest() == versions[synthetic_reviews.VERSION]


@pytest.mark.parametrize("code", ["en", "de", "ko", "yue"])
def test_language_codes_are_accepted(code):
    sentences.check_language(code)
    assert sentences.split("one two", CorpusConfig(language=code)) == ["one two"]


@pytest.mark.parametrize("code", ["", "e", "EN", "english", "en-US", "한국", "e1"])
def test_what_is_no_language_code_is_refused(code):
    with pytest.raises(InputError, match=r"corpus\.language: .* is not an ISO 639 code"):
        sentences.check_language(code)


def test_sentence_without_spaces_is_cut_at_the_length():
    assert sentences.split("a" * 25, CorpusConfig(maximum_sentence_characters=10)) == ["a" * 10, "a" * 10, "a" * 5]


def test_no_sentence_is_longer_than_the_maximum(unlabelled):
    split = sentences.split(" ".join(unlabelled[:5]), CorpusConfig(maximum_sentence_characters=30))
    assert max(map(len, split)) <= 30
    assert "".join(" ".join(split).split()) == "".join(" ".join(unlabelled[:5]).split())


def test_blank_text_has_no_sentence():
    assert sentences.split(" \n\t\n", CorpusConfig(maximum_sentence_characters=100)) == []
