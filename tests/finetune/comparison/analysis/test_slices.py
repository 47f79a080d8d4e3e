"""Slices of test texts, with planted differences."""

import numpy as np
import pytest

from finetune.comparison.analysis.slices import slice_scores, slices_of


def test_a_model_that_fails_on_negations_shows_it() -> None:
    texts = ["this was not good at all"] * 40 + ["this was a very good film"] * 60
    negated_N = np.array([True] * 40 + [False] * 60)
    rng = np.random.default_rng(0)
    correct = {
        "weak": (rng.random((1, 3, 100)) < np.where(negated_N, 0.3, 0.9)).astype(float),
        "strong": (rng.random((1, 3, 100)) < 0.9).astype(float),
    }
    parts = [part for part in slices_of(texts, "en") if part.group == "negation"]
    found = {(one.part.name, one.model): one.accuracy for one in slice_scores(parts, correct, 0.95)}
    assert found["with a negation", "weak"].estimate == pytest.approx(correct["weak"][0][:, :40].mean())
    assert found["with a negation", "weak"].high < found["with a negation", "strong"].low
    assert all(0 <= one.low <= one.estimate <= one.high <= 1 for one in found.values())


def test_quarters_hold_every_text_once() -> None:
    rng = np.random.default_rng(1)
    texts = [" ".join(["word"] * int(length)) for length in rng.integers(1, 200, 400)]
    parts = [part for part in slices_of(texts, "de") if part.group == "length"]
    assert len(parts) == 4
    assert (np.sum([part.members_N for part in parts], axis=0) == 1).all()
    assert all(80 <= part.members_N.sum() <= 120 for part in parts)
    assert parts[0].name.startswith("shortest quarter: 2–")


def test_texts_of_one_length_are_one_slice() -> None:
    parts = [part for part in slices_of(["two words"] * 50, "de") if part.group == "length"]
    assert [(part.name, part.members_N.sum()) for part in parts] == [("all: 2 words", 50)]


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([3] * 20 + [4] * 60 + [9] * 20, ["shortest 80 %: 3–4 words", "longest 20 %: 9 words"]),
        ([3] * 90 + [8] * 10, ["shortest 90 %: 3 words", "longest 10 %: 8 words"]),
        ([1] * 25 + [2] * 25 + [3] * 25 + [4] * 25,
         ["shortest quarter: 1 word", "second quarter: 2 words", "third quarter: 3 words", "longest quarter: 4 words"]),
    ],
)  # fmt: skip
def test_what_holds_more_than_a_quarter_is_not_called_one(lengths: list[int], expected: list[str]) -> None:
    parts = [
        part for part in slices_of([" ".join(["word"] * length) for length in lengths], "de") if part.group == "length"
    ]
    assert [part.name for part in parts] == expected
    assert (np.sum([part.members_N for part in parts], axis=0) == 1).all()


def test_negations_are_known_of_english_alone_and_words_where_there_are_spaces() -> None:
    texts = ["das war nicht gut, aber schön"] * 16 + ["das war ein guter Film"] * 40
    assert {part.group for part in slices_of(texts, "de")} == {"length", "rare words"}
    chinese = slices_of(["这部电影很好看" * (1 + number % 5) for number in range(50)], "zh")
    assert {part.group for part in chinese} == {"length"}
    assert chinese[0].name.endswith("characters")


def test_rare_words_are_those_that_few_texts_have() -> None:
    # Two kinds of common texts, and twenty odd ones.
    texts = ["the film was good"] * 60 + [f"the word{number} was odd{number}" for number in range(20)]
    (rare, other) = (part for part in slices_of(texts, "en") if part.group == "rare words")
    assert rare.members_N.tolist() == [False] * 60 + [True] * 20
    assert (other.members_N == ~rare.members_N).all()


@pytest.mark.parametrize("texts", [[], [""], ["one"] * 3, [""] * 30, ["!"] * 30])
def test_hardly_any_texts_or_words_break_nothing(texts: list[str]) -> None:
    assert all(part.members_N.sum() >= 10 for part in slices_of(texts, "en"))


def test_can_t_and_don_t_are_negations_and_a_knot_is_none() -> None:
    texts = ["I can't say"] * 10 + ["they don’t"] * 10 + ["a knot, another"] * 10
    (negated, _) = (part for part in slices_of(texts, "en") if part.group == "negation")
    assert negated.members_N.tolist() == [True] * 20 + [False] * 10
