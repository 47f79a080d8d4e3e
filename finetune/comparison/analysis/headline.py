"""The verdict for readers who are not engineers of the field: an answer, how sure it is, what it cost."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from finetune.comparison.analysis.costs import Cost
from finetune.comparison.analysis.disagreement import PairedTest
from finetune.comparison.analysis.words import (
    amount,
    briefly,
    capital,
    count,
    duration,
    listed,
    margin_of,
    p_value,
    percent,
    plain,
)
from finetune.comparison.compared_score import score_name
from finetune.comparison.scores import Answer, Comparison, Score
from finetune.comparison.verdict import failures, is_of, lead_sentence, missing_side, other_sentence, ranked, rounded
from finetune.comparison.worth import Worth

OUTCOMES = ("ahead", "equal", "not shown", "behind")
ANSWERS = {
    "ahead": "yes, with {}",
    "equal": "no difference that matters with {}",
    "not shown": "not shown with {}",
    "behind": "no, with {}",
}


@dataclasses.dataclass(frozen=True)
class Pair:
    """The two models that a label budget's part of the report is about."""

    label_budget: int
    model: str
    """The pretrained one; without a verdict, the better of the two on validation texts."""
    rival: str
    answer: Answer | None
    """None if there is no verdict on them."""

    @property
    def chosen(self) -> str:
        """The one to take; where none is shown to be better, the one that costs less, which is the rival."""
        return self.model if self.answer is None or self.answer.outcome == "ahead" else self.rival


@dataclasses.dataclass(frozen=True)
class Headline:
    """The verdict at a label budget in plain words."""

    label_budget: int
    sentence: str
    certainty: str
    cost: str


def pair_at(comparison: Comparison, budget: int) -> Pair | None:
    """The pair of a label budget; None if there is only one model."""
    for answer in answers_at(comparison, budget):
        return Pair(budget, answer.model, answer.rival, answer)
    scores = [score for score in comparison.scores if score.label_budget == budget]
    best = [score.model for score in sorted(scores, key=lambda score: -score.validation_accuracy)]
    return Pair(budget, best[0], best[1], None) if len(best) > 1 else None


def answers_at(comparison: Comparison, budget: int) -> list[Answer]:
    """The answers at a label budget, that which the verdict is about first."""
    scores = {score.model: score for score in comparison.scores if score.label_budget == budget}
    return ranked([answer for answer in comparison.answers if answer.label_budget == budget], scores)


def short_answer(pairs: Sequence[Pair], scores: Sequence[Score] = ()) -> str:
    """The answer to “Did pretraining pay?” over all label budgets.

    Args:
        pairs: that of each label budget.
        scores: of the comparison, to say why there is no answer.

    >>> from finetune.comparison.intervals import Interval
    >>> def pair(budget, outcome):
    ...     return Pair(budget, "bert", "lstm", Answer("bert", budget, "lstm", Interval(0, 0, 0), 0.01, outcome))
    >>> short_answer([pair(250, "ahead"), pair(500, "ahead")])
    'Yes, with 250 and 500 labels'
    >>> short_answer([pair(250, "ahead"), pair(500, "not shown"), pair(900, "behind")])
    'Yes, with 250 labels; not shown with 500 labels; no, with 900 labels'
    >>> short_answer([])
    'This comparison cannot tell: no pretrained model takes part'
    """
    parts = []
    for outcome in OUTCOMES:
        budgets = [f"{pair.label_budget:,}" for pair in pairs if pair.answer and pair.answer.outcome == outcome]
        if budgets:
            parts.append(ANSWERS[outcome].format(f"{listed(budgets)} labels"))
    text = "; ".join(parts)
    missing = missing_side(score.pretrained for score in scores)
    return capital(text) if text else f"This comparison cannot tell: {missing}"


def headline(
    comparison: Comparison,
    pair: Pair | None,
    budget: int,
    tests: Sequence[PairedTest],
    costs: Mapping[str, Cost],
    device: str,
) -> Headline:
    """The verdict at a label budget.

    Args:
        comparison: all scores and answers.
        pair: what it is about.
        budget: the label budget.
        tests: exact tests of the pair's single runs.
        costs: of the models at this budget.
        device: what it ran on.
    """
    scores = {score.model: score for score in comparison.scores if score.label_budget == budget}
    name = score_name(comparison.score)
    if pair is None or pair.answer is None:
        return without_verdict(comparison, list(scores.values()), costs, device)
    worth = next(
        (worth for worth in comparison.worths if (worth.model, worth.label_budget) == (pair.model, budget)), None
    )
    return Headline(
        budget,
        answer_sentence(pair, pair.answer, scores, worth, name),
        " ".join(
            part
            for part in (
                certainty_sentence(comparison, pair.answer, tests),
                *(
                    other_sentence(one, scores, name)
                    for one in answers_at(comparison, budget)[1:]
                    if one.outcome == "ahead"
                ),
                # A model that is ahead of the one to take is told.
                *(lead_sentence(lead, "") for lead in comparison.leads if is_of(lead, pair.answer)),
                failures(comparison.scores, budget, name).strip(),
            )
            if part
        ),
        cost_sentence(costs, [pair.model, pair.rival], device),
    )


def without_verdict(
    comparison: Comparison, scores: Sequence[Score], costs: Mapping[str, Cost], device: str
) -> Headline:
    """What can be said at a label budget where pretrained models, or others, take no part.

    Args:
        comparison: all scores.
        scores: at the budget.
        costs: of the models at the budget.
        device: what it ran on.
    """
    best, name = max(scores, key=lambda score: score.validation_accuracy), score_name(comparison.score)
    budget, missing = best.label_budget, missing_side(score.pretrained for score in scores)
    return Headline(
        budget,
        f"At {budget:,} labels there is no verdict, as {missing}. On validation texts {plain(best.model)} is best, "
        f"with {percent(best.validation_accuracy)} % {name}; on test texts it has {percent(best.accuracy.estimate)} %.",
        f"The {percent_of(comparison.confidence)} interval of its {name} on test texts is {percent(best.accuracy.low)} "
        f"to {percent(best.accuracy.high)} %.{failures(comparison.scores, budget, name)}",
        cost_sentence(costs, [best.model], device),
    )


def answer_sentence(pair: Pair, answer: Answer, scores: Mapping[str, Score], worth: Worth | None, score: str) -> str:
    """What to take, by how much it is better, and what that is worth in labels."""
    start, model, rival = f"At {pair.label_budget:,} labels", plain(pair.model), plain(pair.rival)
    values = [f"{percent(scores[name].accuracy.estimate)} %" for name in (pair.model, pair.rival)]
    difference = answer.difference
    if answer.outcome == "ahead":
        value = "" if worth is None else worth_clause(worth)
        return f"{start} take {model}: {values[0]} {score}, {amount(difference)} points over {rival}{value}."
    if answer.outcome == "behind":
        return f"{start} take {rival}: {values[1]} {score}; {model} differs by {amount(difference)} points."
    both = f"{model} has {values[0]} {score}, {rival} {values[1]}, a difference of {amount(difference)} points"
    if answer.outcome == "equal":
        return f"{start} it makes no difference that matters: {both}. Take {rival}, which needs no pretraining."
    return f"{start} no difference is shown: {both}. Until there is more evidence, {rival} needs no pretraining."


def worth_clause(worth: Worth) -> str:
    """What pretraining is worth in labels, to end a sentence with.

    >>> worth_clause(Worth("bert", 1000, 1900.0, 1400.0, 2600.0, 25000))
    '; that is worth about 1,900 labels (1,400 to 2,600)'
    >>> worth_clause(Worth("bert", 1000, None, 9000.0, None, 10000))
    '; that is worth more than 9,000 labels, as no model without pretraining does as well with 10,000'
    >>> worth_clause(Worth("bert", 1000, 8000.0, 6040.0, None, 10000))
    '; that is worth about 8,000 labels (at least 6,000)'
    """
    rest = worth.largest - worth.label_budget
    if worth.estimate is None and worth.low >= rest:
        return (
            f"; that is worth more than {rest:,} labels, as no model without pretraining does as well with "
            f"{worth.largest:,}"
        )
    if worth.estimate is None:
        return f"; that is worth at least {rounded(worth.low, math.floor):,} labels"
    if worth.high is None:
        return f"; that is worth about {rounded(worth.estimate):,} labels (at least {rounded(worth.low, math.floor):,})"
    return (
        f"; that is worth about {rounded(worth.estimate):,} labels ({rounded(worth.low):,} to {rounded(worth.high):,})"
    )


def certainty_sentence(comparison: Comparison, answer: Answer, tests: Sequence[PairedTest]) -> str:
    """How sure the verdict is, in words."""
    seeds, level, difference = len(comparison.seeds), percent_of(comparison.confidence), answer.difference
    over = f"over {count(seeds, 'seed')}"
    looks = len(comparison.answers)
    # The test knows right and wrong alone.
    of = "" if comparison.score == "accuracy" else " of the texts that each is right about"
    together = f", with {looks} verdicts at once allowed for" if looks > 1 else ""
    if answer.outcome == "equal":
        return (
            f"The whole {level} interval of the difference, {over}, is within the "
            f"{margin_of(comparison.margin)} said not to matter. {singles(answer, tests, of)}".strip()
        )
    if answer.outcome == "not shown":
        seen = "what could have been seen is not known, as nothing varied"
        if difference.detectable is not None:
            seen = f"a difference of {100 * difference.detectable:.1f} points would have been seen four times in five"
        if difference.detectable is not None and difference.detectable >= 1:
            seen = "with so few test texts and seeds, hardly any difference would have been seen"
        reason = "the interval holds zero" if not difference.excludes_zero else "the evidence is too weak" + together
        return f"None is shown {over}: {reason}; {seen}. {singles(answer, tests, of)}".strip()
    return (
        f"The {level} interval excludes zero {over} ({p_value(answer.adjusted_p_value)}{together}). "
        f"{singles(answer, tests, of)}".strip()
    )


def singles(answer: Answer, tests: Sequence[PairedTest], of: str = "") -> str:
    """In how many single runs the same model is ahead by the exact test.

    >>> from finetune.comparison.intervals import Interval
    >>> tests = [PairedTest(9, "a", "b", seed, None, 30, 5, p) for seed, p in enumerate([0.001, 0.2, 0.01])]
    >>> singles(Answer("a", 9, "b", Interval(0.1, 0.05, 0.15), 0.01, "ahead"), tests)
    'By an exact paired test, a is ahead in 2 of 3 pairs of single runs.'
    """
    here = [test for test in tests if (test.label_budget, test.model) == (answer.label_budget, answer.model)]
    if not here:
        return ""
    sign = 1 if answer.difference.estimate > 0 else -1
    clear = [
        test for test in here if test.p_value < 0.05 and sign * (test.only_model_right - test.only_rival_right) > 0
    ]
    leader = briefly(answer.model if sign > 0 else answer.rival)
    unsure = ", which says nothing of other seeds" if clear and answer.outcome == "not shown" else ""
    pairs = f"{len(clear)} of {count(len(here), 'pair')} of single runs"
    return f"By an exact paired test{of}, {leader} is ahead in {pairs}{unsure}."


def cost_sentence(costs: Mapping[str, Cost], models: Sequence[str], device: str) -> str:
    """What the models cost, in a sentence."""
    first, sentences = costs[models[0]], []
    if first.pretrained:
        pretraining = (
            "Pretraining was done elsewhere"
            if first.pretraining_seconds is None
            else f"Pretraining took {duration(first.pretraining_seconds)}, once"
        )
        sentences.append(pretraining)
    tuning = [f"{briefly(model)} {duration(costs[model].training_seconds)}" for model in models]
    sentences.append(f"one training run with the labels: {listed(tuning)} ({device})")
    speeds = [
        f"{briefly(model)} {rate:,.0f}" for model in models if (rate := costs[model].texts_per_second) is not None
    ]
    if speeds:
        sentences.append(f"texts classified in a second: {listed(speeds)}")
    return f"{'. '.join(capital(sentence) for sentence in sentences)}."


def percent_of(confidence: float) -> str:
    """A level of confidence.

    >>> percent_of(0.95)
    '95 %'
    """
    return f"{100 * confidence:g} %"
