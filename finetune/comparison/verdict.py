"""The verdict as sentences, derived from the answers and intervals alone."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from finetune.comparison.intervals import Interval
from finetune.comparison.scores import Answer, Gain, Lead, Score
from finetune.comparison.worth import Worth

# Of several pretrained models at a label budget, the verdict is about that which did best: pretraining pays if one is
# ahead, and is not said to bring nothing as long as one may be ahead.
PRECEDENCE = ("ahead", "not shown", "equal", "behind")


def is_pretrained_recurrent(score: Score) -> bool:
    """Whether a row is a recurrent model that starts from a language model or an autoencoder."""
    return score.family == "recurrent" and score.pretrained


def verdict(
    scores: Sequence[Score],
    budget: int,
    answers: Sequence[Answer],
    worths: Sequence[Worth],
    leads: Sequence[Lead],
    gains: Sequence[Gain],
    recurrent: str | None,
    called: str = "accuracy",
) -> str:
    """The verdict at a label budget: what to take, how sure, what it is worth, and what else is ahead.

    Args:
        scores: of all models and budgets.
        budget: the label budget.
        answers: of all budgets.
        worths: in labels.
        leads: of the models that answers are about over others.
        gains: of models over themselves from scratch.
        recurrent: the best recurrent model without pretraining.
        called: what the compared score is called.
    """
    at_budget = {score.model: score for score in scores if score.label_budget == budget}
    here = ranked([answer for answer in answers if answer.label_budget == budget], at_budget)
    sentences = []
    if not here:
        missing = missing_side(score.pretrained for score in at_budget.values())
        sentences.append(f"At {budget:,} labels: no verdict, as {missing}.")
    for answer in here:
        told = answer_sentence if answer is here[0] else other_sentence
        sentences.append(told(answer, at_budget, called))
        sentences += [worth_sentence(worth) for worth in worths if is_of(worth, answer) and answer.outcome == "ahead"]
        for lead in leads:
            if is_of(lead, answer):
                rank = "the best recurrent model without pretraining" if lead.rival == recurrent else ""
                rank = "pretrained, too" if is_pretrained_recurrent(at_budget[lead.rival]) else rank
                sentences.append(lead_sentence(lead, rank))
    sentences.append(failures(scores, budget, called).strip())
    sentences += [gain_sentence(gain) for gain in gains if gain.label_budget == budget]
    return " ".join(sentence for sentence in sentences if sentence)


def is_of(part: Worth | Lead, answer: Answer) -> bool:
    """Whether a part of the verdict is about the model and budget of an answer."""
    return (part.model, part.label_budget) == (answer.model, answer.label_budget)


def ranked(answers: Sequence[Answer], at_budget: Mapping[str, Score]) -> list[Answer]:
    """The answers at a label budget, that which the verdict is about first.

    Of several models with the same outcome it is the one that is best on validation texts: choosing by test texts would
    flatter it.

    Args:
        answers: at the budget.
        at_budget: the scores at the budget, by model.
    """
    return sorted(answers, key=lambda one: (PRECEDENCE.index(one.outcome), -at_budget[one.model].validation_accuracy))


def missing_side(pretrained: Iterable[bool]) -> str | None:
    """Which kind of models a comparison without a verdict lacks; None if it lacks none.

    Args:
        pretrained: of each model, whether it starts from pretraining.

    >>> missing_side([True, True]), missing_side([False]), missing_side([True, False])
    ('no model without pretraining takes part', 'no pretrained model takes part', None)
    """
    kinds = set(pretrained)
    if kinds == {True, False}:
        return None
    return f"no {'model without pretraining' if True in kinds else 'pretrained model'} takes part"


def answer_sentence(answer: Answer, at_budget: Mapping[str, Score], called: str = "accuracy") -> str:
    """What to take at a label budget, and how sure that is; a score other than accuracy is told."""
    model, rival, labels = answer.model, answer.rival, f"At {answer.label_budget:,} labels"
    amount = amount_of(answer.difference) + ("" if called == "accuracy" else f" of {called}")
    chosen = f"the best model without pretraining (chosen on {at_budget[rival].validation_texts:,} validation texts)"
    if answer.outcome == "ahead":
        return f"{labels} take {model}: {percent(at_budget[model])} %, {amount} over {rival}, {chosen}."
    if answer.outcome == "behind":
        value = f"{percent(at_budget[rival])} % on test texts"
        return f"{labels} take {rival}, {chosen}: {value}; {model} differs by {amount}."
    if answer.outcome == "equal":
        return f"{labels} no difference that matters: {model} differs by {amount} from {rival}, {chosen}."
    detectable = answer.difference.detectable
    power = "" if detectable is None else f" Differences under {100 * detectable:.1f} points could hardly be shown."
    if detectable is not None and detectable >= 1:
        power = " With so few test texts and seeds, hardly any difference could be shown."
    return f"{labels} no difference shown: {model} differs by {amount} from {rival}, {chosen}.{power}"


def other_sentence(answer: Answer, at_budget: Mapping[str, Score], called: str = "accuracy") -> str:
    """How a further pretrained model does, where the verdict is about another one."""
    model, rival, value = answer.model, answer.rival, f"{percent(at_budget[answer.model])} %"
    amount = amount_of(answer.difference) + ("" if called == "accuracy" else f" of {called}")
    if answer.outcome == "ahead":
        return f"Also ahead is {model}: {value}, {amount} over {rival}."
    if answer.outcome == "behind":
        return f"{model} is behind {rival}: {value}, {amount}."
    if answer.outcome == "equal":
        return f"Between {model} and {rival} there is no difference that matters: {value}, {amount}."
    return f"For {model} no difference from {rival} is shown: {value}, {amount}."


def worth_sentence(worth: Worth) -> str:
    """What pretraining is worth in labels.

    >>> from finetune.comparison.worth import Worth
    >>> worth_sentence(Worth("bert", 1000, 1900.0, 1400.0, 2600.0, 25000))
    'That is worth between 1,400 and 2,600 more labels.'
    >>> worth_sentence(Worth("bert", 1000, None, 9000.0, None, 10000))
    'That is worth more than 9,000 more labels: no model without pretraining does as well with 10,000.'
    >>> worth_sentence(Worth("bert", 1000, 8000.0, 6040.0, None, 10000))
    'That is worth at least 6,000 more labels.'
    >>> worth_sentence(Worth("bert", 250, 26000.0, 24749.0, None, 25000))
    'That is worth at least 24,000 more labels.'
    """
    rest = worth.largest - worth.label_budget
    if worth.low >= rest:
        return (
            f"That is worth more than {rest:,} more labels: no model without pretraining does as well with "
            f"{worth.largest:,}."
        )
    if worth.high is None:
        return f"That is worth at least {rounded(worth.low, math.floor):,} more labels."
    return f"That is worth between {rounded(worth.low):,} and {rounded(worth.high):,} more labels."


def rounded(labels: float, towards: Callable[[float], int] = round) -> int:
    """A number of labels with two digits that are not zero.

    >>> rounded(1387.2), rounded(0), rounded(95), rounded(1387.2, math.floor)
    (1400, 0, 95, 1300)
    """
    unit = 10 ** max(0, len(str(int(labels))) - 2)
    return towards(labels / unit) * unit


def failures(scores: Sequence[Score], budget: int, called: str = "accuracy") -> str:
    """A sentence for the verdict if runs are not shown to be better than a constant answer, else an empty string."""
    failed = [score for score in scores if score.label_budget == budget and score.failed_runs]
    if not failed:
        return ""
    runs = ", ".join(f"{score.failed_runs} of {len(score.accuracies)} of {score.model}" for score in failed)
    than = "the majority label" if called == "accuracy" else f"one answer for all texts, by {called}"
    return f" Runs not shown to be better than {than}: {runs}."


def gain_sentence(gain: Gain) -> str:
    """One sentence: is it shown that a model gained from its pretraining?

    >>> gain_sentence(Gain("lm-lstm", 250, Interval(0.1, 0.05, 0.15), 0.01, True))
    'lm-lstm gains +10.0 [+5.0, +15.0] points over the same model from scratch.'
    >>> gain_sentence(Gain("lm-lstm", 250, Interval(0.1, -0.05, 0.25)))
    'lm-lstm: no difference shown to the same model from scratch, +10.0 [-5.0, +25.0] points.'
    >>> gain_sentence(Gain("lm-lstm", 250, Interval(0.1, 0.01, 0.19), 0.06, False)).partition(" points")[2]
    '; among all that was looked at, that may be chance.'
    """
    difference, amount = gain.difference, amount_of(gain.difference)
    if not gain.is_shown:
        # Its interval knows nothing of the others.
        chance = "; among all that was looked at, that may be chance" if difference.excludes_zero else ""
        return f"{gain.model}: no difference shown to the same model from scratch, {amount}{chance}."
    return f"{gain.model} {'gains' if difference.estimate > 0 else 'loses'} {amount} over the same model from scratch."


def lead_sentence(lead: Lead, rank: str) -> str:
    """A sentence about another model than the best without pretraining.

    Args:
        lead: of the model that the verdict is about over it.
        rank: what that model is, to tell the difference in any case; that it is ahead is always told if it is shown.

    >>> lead_sentence(Lead("bert", "bag-of-words", 250, Interval(-0.02, -0.03, -0.01), 0.01, True), "")
    'But bag-of-words is ahead of bert by +2.0 [+1.0, +3.0] points.'
    >>> lead_sentence(Lead("bert", "lm-lstm", 250, Interval(0.02, -0.01, 0.05)), "pretrained, too")
    'Over lm-lstm, pretrained, too: +2.0 [-1.0, +5.0] points.'
    """
    difference = lead.difference
    if difference.estimate < 0 and lead.is_shown:
        reverse = Interval(-difference.estimate, -difference.high, -difference.low)
        return f"But {lead.rival} is ahead of {lead.model} by {amount_of(reverse)}."
    return f"Over {lead.rival}, {rank}: {amount_of(difference)}." if rank else ""


def amount_of(difference: Interval) -> str:
    """A difference with its interval, in points."""
    return f"{points(difference.estimate)} [{points(difference.low)}, {points(difference.high)}] points"


def percent(score: Score) -> str:
    """The compared score of a row in percent."""
    return f"{100 * score.accuracy.estimate:.1f}"


def points(share: float) -> str:
    """A difference of shares in percentage points, with a sign.

    >>> points(0.0312), points(-0.004), points(0), points(-0.0003)
    ('+3.1', '-0.4', '+0.0', '+0.0')
    """
    # Zero is added to what is rounded, as a zero may have a sign.
    return f"{round(100 * share, 1) + 0.0:+.1f}"
