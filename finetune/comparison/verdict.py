"""The verdict as sentences, derived from the answers and intervals alone."""

from collections.abc import Mapping, Sequence

from finetune.comparison.intervals import Interval
from finetune.comparison.scores import Answer, Gain, Lead, Score
from finetune.comparison.worth import Worth


def is_pretrained_encoder(score: Score) -> bool:
    """Whether a row is a pretrained encoder, whatever it is called."""
    return score.family == "encoder" and score.pretrained


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
        answers: of all pretrained encoders and budgets.
        worths: in labels.
        leads: of encoders over other models.
        gains: of models over themselves from scratch.
        recurrent: the best recurrent model without pretraining.
        called: what the compared score is called.
    """
    at_budget = {score.model: score for score in scores if score.label_budget == budget}
    here = [answer for answer in answers if answer.label_budget == budget]
    sentences = []
    if not here:
        sentences.append(
            f"At {budget:,} labels: no verdict, which needs a pretrained encoder and a model without pretraining."
        )
    for answer in here:
        sentences.append(answer_sentence(answer, at_budget, called))
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


def answer_sentence(answer: Answer, at_budget: Mapping[str, Score], called: str = "accuracy") -> str:
    """What to take at a label budget, and how sure that is; a score other than accuracy is told."""
    model, rival, labels = answer.model, answer.rival, f"At {answer.label_budget:,} labels"
    amount = amount_of(answer.difference) + ("" if called == "accuracy" else f" of {called}")
    chosen = f"the best model without pretraining (chosen on {at_budget[rival].validation_texts:,} validation texts)"
    if answer.outcome == "ahead":
        return f"{labels} take {model}: {percent(at_budget[model])} %, {amount} over {rival}, {chosen}."
    if answer.outcome == "behind":
        return f"{labels} take {rival}, {chosen}: {percent(at_budget[rival])} %; {model} differs by {amount}."
    if answer.outcome == "equal":
        return f"{labels} no difference that matters: {model} differs by {amount} from {rival}, {chosen}."
    detectable = answer.difference.detectable
    power = "" if detectable is None else f" Differences under {100 * detectable:.1f} points could hardly be shown."
    return f"{labels} no difference shown: {model} differs by {amount} from {rival}, {chosen}.{power}"


def worth_sentence(worth: Worth) -> str:
    """What pretraining is worth in labels.

    >>> from finetune.comparison.worth import Worth
    >>> worth_sentence(Worth("bert", 1000, 1900.0, 1400.0, 2600.0, 25000))
    'That is worth between 1,400 and 2,600 more labels.'
    >>> worth_sentence(Worth("bert", 1000, None, 9000.0, None, 10000))
    'That is worth more than 9,000 more labels: no model without pretraining does as well with 10,000.'
    >>> worth_sentence(Worth("bert", 1000, 8000.0, 6040.0, None, 10000))
    'That is worth at least 6,000 more labels.'
    """
    rest = worth.largest - worth.label_budget
    if worth.low >= rest:
        return (
            f"That is worth more than {rest:,} more labels: no model without pretraining does as well with "
            f"{worth.largest:,}."
        )
    if worth.high is None:
        return f"That is worth at least {rounded(worth.low):,} more labels."
    return f"That is worth between {rounded(worth.low):,} and {rounded(worth.high):,} more labels."


def rounded(labels: float) -> int:
    """A number of labels with two digits that are not zero.

    >>> rounded(1387.2), rounded(0), rounded(95)
    (1400, 0, 95)
    """
    unit = 10 ** max(0, len(str(int(labels))) - 2)
    return round(labels / unit) * unit


def failures(scores: Sequence[Score], budget: int, called: str = "accuracy") -> str:
    """A sentence for the verdict if runs ended no better than a constant answer, else an empty string."""
    failed = [score for score in scores if score.label_budget == budget and score.failed_runs]
    if not failed:
        return ""
    runs = ", ".join(f"{score.failed_runs} of {len(score.accuracies)} of {score.model}" for score in failed)
    than = "the majority label" if called == "accuracy" else f"one answer for all texts, by {called}"
    return f" Runs no better than {than}: {runs}."


def gain_sentence(gain: Gain) -> str:
    """One sentence: did a model gain from its pretraining, judged by the interval alone?

    >>> gain_sentence(Gain("lm-lstm", 250, Interval(0.1, 0.05, 0.15)))
    'lm-lstm gains +10.0 [+5.0, +15.0] points over the same model from scratch.'
    >>> gain_sentence(Gain("lm-lstm", 250, Interval(0.1, -0.05, 0.25)))
    'lm-lstm: no difference shown to the same model from scratch, +10.0 [-5.0, +25.0] points.'
    """
    difference, amount = gain.difference, amount_of(gain.difference)
    if not difference.excludes_zero:
        return f"{gain.model}: no difference shown to the same model from scratch, {amount}."
    return f"{gain.model} {'gains' if difference.estimate > 0 else 'loses'} {amount} over the same model from scratch."


def lead_sentence(lead: Lead, rank: str) -> str:
    """A sentence about another model than the best without pretraining.

    Args:
        lead: of an encoder over it.
        rank: what that model is, to tell a lead of the encoder, too; that of another model is always told.

    >>> lead_sentence(Lead("bert", "bag-of-words", 250, Interval(-0.02, -0.03, -0.01)), "")
    'But bag-of-words is ahead of bert by +2.0 [+1.0, +3.0] points.'
    >>> lead_sentence(Lead("bert", "lm-lstm", 250, Interval(0.02, -0.01, 0.05)), "pretrained, too")
    'Over lm-lstm, pretrained, too: +2.0 [-1.0, +5.0] points.'
    """
    difference = lead.difference
    if difference.estimate < 0 and difference.excludes_zero:
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

    >>> points(0.0312), points(-0.004), points(0)
    ('+3.1', '-0.4', '+0.0')
    """
    return f"{100 * share:+.1f}"
