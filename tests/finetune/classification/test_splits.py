"""Training and validation texts: stratified, disjoint, at least one a class in each."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from finetune.classification.splits import (
    document_keys,
    draw_splits,
    draw_texts,
    draw_validation_texts,
    proportional_counts,
    set_aside,
    stratified_order,
    text_key,
    warn_of_copies,
)
from finetune.config import FinetuneConfig
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.documents import Document

MIXES = st.lists(st.integers(2, 60), min_size=2, max_size=5)


def keys_of(keys):
    return lambda numbers: [keys[number] for number in numbers]


def mixed(counts, seed=0):
    classes_N = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(seed).permutation(classes_N)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(MIXES, st.floats(0.0, 1.0), st.floats(0.05, 0.6), st.integers(0, 3))
def test_both_parts_are_stratified_whatever_the_mix(counts, fraction, share, seed):
    classes_N, least = mixed(counts), 2 * len(counts)
    budget = least + round(fraction * (len(classes_N) - least))
    config = FinetuneConfig(label_budget=budget, validation_share=share, seed=seed)
    train, validation = draw_texts(config, classes_N)
    assert len(train) + len(validation) == budget == len({*train.tolist(), *validation.tolist()})
    wanted = min(max(round(share * budget), 1, len(counts)), budget - len(counts))
    assert len(validation) == wanted
    shares_C = np.array(counts) / sum(counts)
    # A class with less than a text of its own in one part takes one from the others there, which are too many in the
    # other part.
    slack = max(1.5, *(1 + np.maximum(0, 2 - shares_C * len(part)).sum() for part in (train, validation)))
    for part in (train, validation):
        held = np.bincount(classes_N[part], minlength=len(counts))
        assert held.min() >= 1
        assert (np.abs(held - shares_C * len(part)) <= slack).all()


def test_a_rare_class_may_leave_a_frequent_one_two_texts_too_many():
    classes_N = mixed([2, 2, 2, 19])
    train, validation = draw_texts(FinetuneConfig(validation_share=0.125), classes_N)
    assert np.bincount(classes_N[validation]).tolist() == [1, 1, 1, 1]
    assert np.bincount(classes_N[train]).tolist() == [1, 1, 1, 18]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(MIXES, st.floats(0.05, 0.6), st.integers(1, 4))
def test_texts_set_aside_are_stratified_and_copies_stay_together(counts, share, copies):
    classes_N = mixed(counts)
    ranks = np.zeros(len(classes_N), dtype=int)
    for label in range(len(counts)):
        ranks[classes_N == label] = np.arange(counts[label])
    # Up to `copies` copies of each text, and at least two different texts a class.
    keys = [f"{label} {min(rank // copies, max(1, counts[label] // copies))}" if rank else f"{label} first"
            for label, rank in zip(classes_N.tolist(), ranks.tolist(), strict=True)]  # fmt: skip
    test = set_aside(keys, classes_N, share)
    assert test.tolist() == sorted(set(test.tolist())) == set_aside(keys, classes_N, share).tolist()
    inside = {keys[index] for index in test}
    outside = {key for index, key in enumerate(keys) if index not in set(test.tolist())}
    assert not inside & outside
    held = np.bincount(classes_N[test], minlength=len(counts))
    assert held.min() >= 1
    assert (np.bincount(classes_N, minlength=len(counts)) - held).min() >= 1
    assert (np.abs(held - share * np.array(counts)) <= copies + 1).all()


def test_a_class_of_one_text_cannot_be_tested():
    with pytest.raises(InputError, match="class 'rare' has 1 different text"):
        set_aside(list(map(text_key, ["a", "b", "c", "C", "c "])), np.array([0, 0, 1, 1, 1]), 0.2, ["common", "rare"])


def test_set_aside_texts_are_neither_trained_on_nor_validated_on():
    classes_N = mixed([60, 40])
    config = FinetuneConfig(corpus=CorpusConfig(source=__file__), label_budget=50)
    splits = [
        draw_splits(dataclasses.replace(config, seed=seed), classes_N, lambda numbers: [str(n) for n in numbers])
        for seed in (0, 1)
    ]
    first = splits[0].test
    assert first is not None
    for part in splits:
        assert part.test is not None
        assert part.test.tolist() == first.tolist()
        assert np.bincount(classes_N[part.test]).tolist() == [12, 8]
        assert len({*part.train.tolist(), *part.validation.tolist(), *part.test.tolist()}) == 70
    assert splits[0].train.tolist() != splits[1].train.tolist()


@pytest.mark.parametrize("budget", [250, 500, 2500, 5000, 25000])
def test_two_even_classes_are_even_in_training_and_validation(budget):
    classes_N = np.array([0] * 12500 + [1] * 12500)
    for seed in range(10):
        for part in draw_texts(FinetuneConfig(label_budget=budget, seed=seed), classes_N):
            assert abs(2 * int(classes_N[part].sum()) - len(part)) <= 1


def test_validation_texts_are_of_every_length_of_the_draw_not_its_first():
    classes_N = mixed([200, 200])
    train, validation = draw_texts(FinetuneConfig(label_budget=400, seed=1), classes_N)
    assert abs(np.mean(validation) - np.mean(train)) < 40, "not by position in the file"


def test_a_larger_budget_holds_the_texts_of_a_smaller_one():
    classes_N = mixed([50, 50, 9])
    for validation in (None, "validation"):
        drawn = [
            draw_texts(FinetuneConfig(label_budget=budget, validation=validation), classes_N) for budget in (10, 40)
        ]
        small, large = ({*train.tolist(), *held_out.tolist()} for train, held_out in drawn)
        assert small < large
        assert (len(small), len(large)) == (10, 40)


def test_each_seed_draws_its_own_labels():
    classes_N = mixed([50, 50])
    draws = [draw_texts(FinetuneConfig(label_budget=20, validation="v", seed=seed), classes_N)[0] for seed in (0, 1)]
    assert set(draws[0]) != set(draws[1])


def test_a_rare_class_is_in_every_part():
    classes_N = mixed([990, 10])
    for budget in (20, 100, 1000):
        for part in draw_texts(FinetuneConfig(label_budget=budget), classes_N):
            assert set(classes_N[part].tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("counts", "changes", "message"),
    [
        ([30, 1], {}, r"class 'rare' has 1 text\(s\), and training and validation need one each; add .*`validation`"),
        (
            [30, 30],
            {"label_budget": 3},
            "3 labels are too few for 2 classes, .*; give at least 4",
        ),
        ([9, 9, 9], {"label_budget": 2, "validation": "v"}, "2 labels are too few for 3 classes, .*give at least 3"),
        ([10, 10], {"label_budget": 30}, "label_budget: 30 exceeds the 20 labels"),
    ],
)
def test_what_would_leave_a_class_out_is_refused_with_what_would_do(counts, changes, message):
    with pytest.raises(InputError, match=message):
        draw_texts(FinetuneConfig(**changes), mixed(counts), ["common", "rare", "third"])


def test_given_validation_texts_are_capped_without_following_the_file_order():
    classes_N = np.array([0] * 100 + [1] * 100)
    chosen = draw_validation_texts(FinetuneConfig(maximum_validation_texts=20), classes_N)
    assert np.bincount(classes_N[chosen]).tolist() == [10, 10]
    assert len(set((chosen // 25).tolist())) > 2


@settings(max_examples=100, deadline=None, derandomize=True)
@given(MIXES, st.integers(0, 3), st.integers(1, 2))
def test_every_beginning_of_the_order_is_stratified(counts, seed, minimum):
    classes_N = mixed(counts)
    order = stratified_order(classes_N, seed, minimum)
    assert sorted(order.tolist()) == list(range(len(classes_N)))
    first = np.bincount(classes_N[order[: minimum * len(counts)]], minlength=len(counts))
    assert first.tolist() == [minimum] * len(counts)


def test_counts_follow_the_proportions_within_their_bounds():
    assert proportional_counts(np.array([50, 50]), 11, np.array([49, 49])).sum() == 11
    assert proportional_counts(np.array([98, 1, 1]), 10, np.array([97, 1, 1])).tolist() == [8, 1, 1]


def test_draws_do_not_change_from_one_version_to_the_next():
    """A published run is given again by its config alone."""
    classes_N = np.array([0, 1, 0, 2, 1, 0, 0, 2, 1, 0, 1, 2])
    assert stratified_order(classes_N, seed=0, minimum=2).tolist() == [0, 4, 11, 5, 8, 7, 6, 1, 2, 3, 10, 9]
    assert stratified_order(classes_N, seed=3, minimum=2).tolist() == [2, 1, 7, 6, 10, 3, 5, 4, 9, 11, 8, 0]
    keys = [f"t{number % 9}" for number in range(12)]
    assert set_aside(keys, np.array([number % 9 % 3 for number in range(12)]), 0.4).tolist() == [4, 5, 6, 7, 8]
    assert draw_validation_texts(FinetuneConfig(maximum_validation_texts=4), classes_N).tolist() == [0, 4, 5, 11]


def test_with_test_texts_given_the_whole_corpus_is_trained_and_validated_on():
    classes_N = np.array([0, 1] * 10)
    config = FinetuneConfig(test="held-out", validation_share=0.25, label_budget=16, seed=2)

    def keys(numbers):
        assert len(numbers) == 16, "nothing is set aside, so only the drawn texts are asked for"
        return [str(number) for number in numbers]

    splits = draw_splits(config, classes_N, keys)
    assert splits.test is None
    train, validation = draw_texts(config, classes_N)
    assert (splits.train.tolist(), splits.validation.tolist()) == (train.tolist(), validation.tolist())
    assert (len(train), len(validation)) == (12, 4)
    assert not set(train) & set(validation)


@pytest.mark.parametrize("names", [(), ("good", "bad")])
def test_messages_name_the_class(tmp_path, names):
    file = tmp_path / "rows.csv"
    file.touch()
    rare = names[1] if names else 1
    config = FinetuneConfig(test="held-out")
    with pytest.raises(InputError, match=f"class {rare!r} has 1 text.*training and validation need one each"):
        draw_splits(config, np.array([0, 0, 1]), list, names)
    with pytest.raises(
        InputError, match=r"class .* has 0 text.*, and training needs one; add texts of this class or leave"
    ):
        draw_splits(dataclasses.replace(config, validation="v"), np.array([0, 0, 2]), list, ("good", "bad", "odd"))
    alone = dataclasses.replace(config, test=None, corpus=CorpusConfig(source=str(file)))
    with pytest.raises(InputError, match=f"class {rare!r} has 1 different text"):
        draw_splits(alone, np.array([0, 0, 1]), keys_of("abc"), names)
    with pytest.raises(InputError, match=f"class {rare!r} has 1 text"):
        draw_splits(dataclasses.replace(alone, test_share=0.3), np.array([0, 0, 0, 1, 1]), keys_of("abcde"), names)


def test_a_share_of_one_text_is_one_text():
    classes_N = np.array([0] * 20 + [1] * 20)
    config = FinetuneConfig(test="held-out", validation_share=0.01)
    train, validation = draw_texts(config, classes_N)
    assert (len(train), len(validation)) == (38, 2), "one of each class"
    assert len(set_aside([str(number) for number in range(40)], classes_N, 0.01)) == 2
    given = dataclasses.replace(config, validation="validation")
    train, validation = draw_texts(given, classes_N)
    assert (len(train), len(validation)) == (40, 0)


def test_of_texts_with_many_copies_and_several_labels_one_is_set_aside():
    # Once, none was, and the run ended in a traceback after its training.
    labels_NC = np.array([[1, 0], [0, 1]] * 12)
    assert set_aside(["a", "b"] * 11 + ["a"] * 2, labels_NC, 0.1).tolist() == list(range(1, 22, 2))
    with pytest.raises(InputError, match="all texts are copies of one"):
        set_aside(["a"] * 24, labels_NC, 0.1)


def test_all_but_one_text_of_a_class_can_be_set_aside():
    keys = [str(number) for number in range(8)]
    chosen = set_aside(keys, np.array([0] * 4 + [1] * 4), 0.9)
    assert len(chosen) == 6


def test_copies_are_told_apart_by_words_and_by_which_text_they_stand_in():
    assert text_key("A  b", None) == text_key("a\nB") == "a b\n"
    assert text_key("a", "b") == "a\nb"
    documents = [Document("x  Y", None, 0, None, "a"), Document("x", "y", 1, None, "b")]
    assert document_keys(documents) == ["x y\n", "x\ny"]


@given(st.lists(st.integers(1, 60), min_size=2, max_size=5), st.floats(0.0, 1.0))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_seats_are_shared_out_by_the_largest_quotients(counts, fraction):
    counts_C = np.array(counts)
    most_C = counts_C - (counts_C > 1)
    total = int(most_C.sum() * fraction)
    seats_C = proportional_counts(counts_C, total, most_C)
    assert seats_C.sum() == max(total, len(counts))
    assert (seats_C >= 1).all()
    assert (seats_C <= most_C).all()
    # Webster: whoever has a seat more than one deserves it at least as much as whoever could have had another.
    given = [(count / (seats - 0.5), seats) for count, seats in zip(counts_C, seats_C, strict=True) if seats > 1]
    wanted = [c / (s + 0.5) for c, s, most in zip(counts_C, seats_C, most_C, strict=True) if s < most]
    assert not given or not wanted or min(value for value, _ in given) >= max(wanted) - 1e-9


def is_copied(keys, some, others):
    return np.isin(np.array(keys)[some], np.array(keys)[others])


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("copies", [2, 3])
def test_copies_of_a_text_are_in_one_part(copies, several):
    keys = [str(number // copies) for number in range(240)]
    classes_N = np.array([number // copies % 2 for number in range(240)])
    classes_N = np.eye(2, dtype=np.int8)[classes_N] if several else classes_N
    config = FinetuneConfig(label_budget=200, test="given")
    train, validation = draw_texts(config, classes_N, keys=keys_of(keys))
    assert not is_copied(keys, validation, train).any()
    assert 40 - copies <= len(validation) <= 40
    assert {*train, *validation} == {*np.concatenate(draw_texts(config, classes_N))}
    tested = []
    for fold in range(5):
        part = draw_splits(dataclasses.replace(config, folds=5, fold=fold), classes_N, keys_of(keys))
        assert part.test is not None
        assert not is_copied(keys, part.test, np.concatenate([part.train, part.validation])).any()
        assert not is_copied(keys, part.validation, part.train).any()
        assert 40 - copies <= len(part.test) <= 40 + copies
        tested += part.test.tolist()
    assert sorted(tested) == sorted([*train, *validation])


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.integers(3, 30), min_size=2, max_size=4), st.integers(1, 12), st.integers(0, 99))
def test_no_copy_crosses_where_a_class_has_others_and_every_class_is_in_both_parts(counts, different, seed):
    classes_N, rng = mixed(counts, seed), np.random.default_rng(seed)
    # Some of them have copies with another label.
    keys = [str(key) for key in rng.integers(0, 5 * different, len(classes_N))]
    for label in range(len(counts)):
        first, second = np.flatnonzero(classes_N == label)[:2]
        keys[first], keys[second] = f"{label} a", f"{label} b"
    train, validation = draw_texts(FinetuneConfig(seed=seed), classes_N, keys=keys_of(keys))
    assert sorted([*train, *validation]) == list(range(len(classes_N)))
    assert not is_copied(keys, validation, train).any()
    for part in (train, validation):
        assert (np.bincount(classes_N[part], minlength=len(counts)) > 0).all()


def test_a_class_of_copies_alone_is_in_both_parts_and_told(caplog):
    classes_N = np.array([0] * 8 + [1] * 4)
    keys = [str(number) for number in range(8)] + ["same"] * 4
    train, validation = draw_texts(FinetuneConfig(), classes_N, ["good", "bad"], keys_of(keys))
    assert np.bincount(classes_N[train]).tolist() == [6 + (len(validation) == 2), 3]
    assert (classes_N[validation] == 1).sum() == 1
    assert "of 12 texts, none of class bad can be spared with its copies" in caplog.text


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("folds", [None, 4])
def test_without_copies_draws_are_those_without_keys(several, folds):
    classes_N = mixed([40, 25, 7], seed=1)
    classes_N = np.eye(3, dtype=np.int8)[classes_N] if several else classes_N
    config = FinetuneConfig(label_budget=60, test="given", folds=folds, fold=2 if folds else 0, seed=5)
    splits = draw_splits(config, classes_N, lambda numbers: [f"text {number}" for number in numbers])
    train, validation = draw_texts(dataclasses.replace(config, folds=None, fold=0), classes_N)
    if folds is None:
        assert (splits.train.tolist(), splits.validation.tolist()) == (train.tolist(), validation.tolist())
        return
    # As every fourth text of the order of those drawn.
    drawn = np.concatenate([train, validation])
    order = stratified_order(classes_N[drawn], config.seed)
    assert splits.test is not None
    assert splits.test.tolist() == sorted(drawn[order[2::4]])


def test_copies_in_texts_that_are_given_are_told(caplog):
    warn_of_copies(["a", "b", "b"], ["c", "b", "b", "d"], "test")
    assert "2 of the 4 test texts are copies of training texts" in caplog.text
    caplog.clear()
    warn_of_copies(["a"], ["c"], "validation")
    assert not caplog.text
