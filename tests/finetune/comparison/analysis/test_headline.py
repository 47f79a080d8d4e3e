"""The verdict in plain words follows the intervals."""

import dataclasses
from typing import Literal

import pytest

from finetune.comparison.analysis.costs import Cost
from finetune.comparison.analysis.headline import headline, pair_at, short_answer
from finetune.comparison.intervals import Interval
from finetune.comparison.scores import Answer, Comparison, Lead, Score
from finetune.comparison.verdict import verdict
from finetune.comparison.worth import Worth

Outcome = Literal["ahead", "behind", "equal", "not shown"]
COSTS = {
    "bert": Cost("bert", 1000, 0.872, True, "encoder", 16.0, 190.0, 2.0, 1000.0, 9.0, 5, None),
    "bag-of-words": Cost("bag-of-words", 1000, 0.831, False, "linear", 1.5, 0.0, None, None, None, 5, None),
}


def score(model: str, accuracy: float, validation: float, pretrained: bool = False) -> Score:
    interval = Interval(accuracy, accuracy - 0.01, accuracy + 0.01)
    family = "encoder" if pretrained else "linear"
    return Score(
        model, 1000, [accuracy] * 3, interval, 0.0, accuracy, 0.6, validation, 1.0, 10, None, family, pretrained, 50
    )


def comparison(difference: Interval, outcome: Outcome, worths: tuple[Worth, ...] = ()) -> Comparison:
    scores = [score("bert", 0.872, 0.9, True), score("bag-of-words", 0.831, 0.8)]
    answer = Answer("bert", 1000, "bag-of-words", difference, 0.004, outcome)
    return Comparison(
        0.95, [0, 1, 2], scores, {}, {1000: "bag-of-words"}, [answer], list(worths), 0.01, [], [], "", 0.5
    )


AHEAD = Interval(0.041, 0.029, 0.052, 0.004, 0.02)


def told(one: Comparison):
    return headline(one, pair_at(one, 1000), 1000, [], COSTS, "on 2 CPU cores")


@pytest.mark.parametrize(
    ("difference", "outcome", "sentence", "certainty"),
    [
        (
            AHEAD,
            "ahead",
            "At 1,000 labels take BERT: 87.2 % accuracy, +4.1 [+2.9, +5.2] points over counting words (bag-of-words).",
            "The 95 % interval excludes zero over 3 seeds (p = 0.004).",
        ),
        (
            Interval(-0.041, -0.052, -0.029, 0.004, 0.02),
            "behind",
            "At 1,000 labels take counting words (bag-of-words): 83.1 % accuracy; BERT differs by -4.1 [-5.2, -2.9] "
            "points.",
            "The 95 % interval excludes zero over 3 seeds (p = 0.004).",
        ),
        (
            Interval(0.002, -0.004, 0.008, 0.5, 0.01),
            "equal",
            "At 1,000 labels it makes no difference that matters: BERT has 87.2 % accuracy, counting words "
            "(bag-of-words) 83.1 %, a difference of +0.2 [-0.4, +0.8] points. Take counting words (bag-of-words), "
            "which needs no pretraining.",
            "The whole 95 % interval of the difference, over 3 seeds, is within the 1 point said not to matter.",
        ),
        (
            Interval(0.031, -0.012, 0.07, 0.1, 0.055),
            "not shown",
            "At 1,000 labels no difference is shown: BERT has 87.2 % accuracy, counting words (bag-of-words) 83.1 %, a "
            "difference of +3.1 [-1.2, +7.0] points. Until there is more evidence, counting words (bag-of-words) "
            "needs no pretraining.",
            "None is shown over 3 seeds: the interval holds zero; a difference of 5.5 points would have been seen four "
            "times in five.",
        ),
    ],
)
def test_each_outcome_has_its_sentence(difference: Interval, outcome: Outcome, sentence: str, certainty: str) -> None:
    one = told(comparison(difference, outcome))
    assert (one.sentence, one.certainty) == (sentence, certainty)


def test_the_worth_in_labels_is_part_of_the_sentence() -> None:
    worth = Worth("bert", 1000, 1900.0, 1400.0, 2600.0, 25000)
    assert told(comparison(AHEAD, "ahead", (worth,))).sentence.endswith(
        "points over counting words (bag-of-words); that is worth about 1,900 labels (1,400 to 2,600)."
    )


def test_the_cost_is_told_in_one_breath() -> None:
    assert told(comparison(AHEAD, "ahead")).cost == (
        "Pretraining took 3.2 minutes, once. One training run with the labels: BERT 16 seconds and counting words 1.5 "
        "seconds (on 2 CPU cores). Texts classified in a second: BERT 1,000."
    )


def test_of_several_encoders_the_one_best_on_validation_texts_is_told() -> None:
    one = comparison(AHEAD, "ahead")
    lucky = score("lucky", 0.95, 0.85, True)
    answer = Answer("lucky", 1000, "bag-of-words", AHEAD, 0.004, "ahead")
    both = dataclasses.replace(one, scores=[lucky, *one.scores], answers=[answer, *one.answers])
    pair = pair_at(both, 1000)
    assert pair is not None
    assert pair.model == "bert"


def test_weak_evidence_is_named_where_the_interval_alone_would_do() -> None:
    one = comparison(Interval(0.031, 0.001, 0.061, 0.04, 0.04), "not shown")
    again = dataclasses.replace(one, answers=[*one.answers, dataclasses.replace(one.answers[0], label_budget=250)])
    assert "the evidence is too weak, with 2 verdicts at once allowed for" in told(again).certainty


def test_no_difference_beyond_a_hundred_points_is_said_to_be_seen() -> None:
    # Once, of three texts: “a difference of 139.1 points would have been seen”.
    one = comparison(Interval(0.333, -0.839, 1.0, 0.4, 1.391), "not shown")
    in_full = verdict(one.scores, 1000, one.answers, [], [], [], None)
    for text in (told(one).certainty, in_full):
        assert "139.1" not in text
        assert "ith so few test texts and seeds, hardly any difference" in text


def test_a_stuck_run_is_told_with_the_certainty() -> None:
    one = comparison(AHEAD, "ahead")
    stuck = dataclasses.replace(one.scores[1], failed_runs=1)
    text = told(dataclasses.replace(one, scores=[one.scores[0], stuck])).certainty
    assert text.endswith("Runs not shown to be better than the majority label: 1 of 3 of bag-of-words.")


def test_a_model_that_is_ahead_of_the_one_to_take_is_told() -> None:
    one = comparison(AHEAD, "ahead")
    leads = [
        Lead("bert", "lm-lstm", 1000, Interval(-0.03, -0.05, -0.01), 0.01, True),
        Lead("bert", "lstm", 1000, Interval(0.03, 0.01, 0.05), 0.01, True),
        Lead("bert", "gru", 1000, Interval(-0.03, -0.059, -0.001), 0.3, False),
        Lead("bert", "lm-lstm", 250, Interval(-0.03, -0.05, -0.01), 0.01, True),
    ]
    text = told(dataclasses.replace(one, leads=leads)).certainty
    assert text.endswith("(p = 0.004). But lm-lstm is ahead of bert by +3.0 [+1.0, +5.0] points.")


def two(*outcomes: Outcome) -> Comparison:
    """A comparison with two encoders, of which the first is best on validation texts."""
    differences = {"ahead": AHEAD, "behind": Interval(-0.041, -0.052, -0.029, 0.004, 0.02)}
    unsure = Interval(0.002, -0.02, 0.03, 0.5, 0.03)
    answers = [
        Answer(model, 1000, "bag-of-words", differences.get(outcome, unsure), 0.004, outcome)
        for model, outcome in zip(("bert", "other"), outcomes, strict=True)
    ]
    scores = [score("bert", 0.872, 0.9, True), score("other", 0.88, 0.85, True), score("bag-of-words", 0.831, 0.8)]
    return dataclasses.replace(comparison(AHEAD, "ahead"), scores=scores, answers=answers)


@pytest.mark.parametrize(
    ("outcomes", "model", "answer"),
    [
        (("ahead", "ahead"), "bert", "Yes, with 1,000 labels"),
        # Once, the page said “Not shown” above a verdict that said to take the other.
        (("not shown", "ahead"), "other", "Yes, with 1,000 labels"),
        (("behind", "not shown"), "other", "Not shown with 1,000 labels"),
        (("equal", "not shown"), "other", "Not shown with 1,000 labels"),
        (("behind", "equal"), "other", "No difference that matters with 1,000 labels"),
        (("behind", "behind"), "bert", "No, with 1,000 labels"),
    ],
)
def test_pretraining_pays_if_one_of_several_pretrained_models_is_ahead(
    outcomes: tuple[Outcome, Outcome], model: str, answer: str
) -> None:
    one = two(*outcomes)
    pair = pair_at(one, 1000)
    assert pair is not None
    assert (pair.model, short_answer([pair], one.scores)) == (model, answer)
    costs = COSTS | {"other": COSTS["bert"]._replace(model="other")}
    text = headline(one, pair, 1000, [], costs, "on 2 CPU cores")
    assert ("take other" in text.sentence) == (outcomes == ("not shown", "ahead"))
    assert ("Also ahead is other: 88.0 %, +4.1" in text.certainty) == (outcomes == ("ahead", "ahead"))
    in_full = verdict(one.scores, 1000, one.answers, [], [], [], None)
    assert in_full.count("At 1,000 labels") == 1
    assert in_full.count(" take ") == (outcomes in (("ahead", "ahead"), ("not shown", "ahead"), ("behind", "behind")))


def test_without_a_pretrained_model_nothing_is_said_of_pretraining() -> None:
    one = dataclasses.replace(comparison(AHEAD, "ahead"), scores=[score("bag-of-words", 0.831, 0.8)], answers=[])
    assert short_answer([], one.scores) == "This comparison cannot tell: no pretrained model takes part"
    pretrained = [score("bert", 0.872, 0.9, True)]
    assert short_answer([], pretrained) == "This comparison cannot tell: no model without pretraining takes part"
    # Which number is of which texts.
    assert told(one).sentence == (
        "At 1,000 labels there is no verdict, as no pretrained model takes part. On validation texts counting words "
        "(bag-of-words) is best, with 80.0 % accuracy; on test texts it has 83.1 %."
    )
    in_full = verdict(one.scores, 1000, [], [], [], [], None)
    assert in_full == "At 1,000 labels: no verdict, as no pretrained model takes part."
