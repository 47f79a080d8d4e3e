"""The verdict as sentences, derived from the intervals alone."""

from collections.abc import Sequence

from finetune.comparison.intervals import Interval
from finetune.comparison.scores import Gain, Score


def verdict(scores: Sequence[Score], budget: int, best: str | None) -> str:
    """One sentence: did pretraining pay at a label budget, judged by the interval alone?"""
    labels = f"{budget:,} labels"
    pretrained = [score for score in scores if score.label_budget == budget and score.model == "bert"]
    if not pretrained or best is None:
        return f"At {labels}: no verdict, which needs `bert` and a recurrent model."
    difference = pretrained[0].difference
    assert difference is not None
    gain = f"{points(difference.estimate)} [{points(difference.low)}, {points(difference.high)}] points"
    if not difference.excludes_zero:
        return f"No difference shown at {labels}: pretraining's {gain} over the best recurrent baseline ({best})."
    outcome = "gains" if difference.estimate > 0 else "loses"
    return f"Pretraining {outcome} {gain} at {labels} over the best recurrent baseline ({best})."


def gain_sentence(gain: Gain) -> str:
    """One sentence: did a model gain from its pretraining, judged by the interval alone?

    >>> gain_sentence(Gain("lm-lstm", 250, Interval(0.1, 0.05, 0.15)))
    'lm-lstm gains +10.0 [+5.0, +15.0] points over the same model from scratch.'
    >>> gain_sentence(Gain("lm-lstm", 250, Interval(0.1, -0.05, 0.25)))
    'lm-lstm: no difference shown to the same model from scratch, +10.0 [-5.0, +25.0] points.'
    """
    difference = gain.difference
    amount = f"{points(difference.estimate)} [{points(difference.low)}, {points(difference.high)}] points"
    if not difference.excludes_zero:
        return f"{gain.model}: no difference shown to the same model from scratch, {amount}."
    return f"{gain.model} {'gains' if difference.estimate > 0 else 'loses'} {amount} over the same model from scratch."


def caution(lead: Interval) -> str:
    """A sentence for the verdict if bag-of-words beats the pretrained model, else an empty string.

    >>> caution(Interval(0.02, 0.01, 0.03))
    ' But bag-of-words is ahead of it by +2.0 [+1.0, +3.0] points.'
    >>> caution(Interval(0.02, -0.01, 0.05))
    ''
    """
    if lead.low <= 0:
        return ""
    return (
        f" But bag-of-words is ahead of it by {points(lead.estimate)} [{points(lead.low)}, {points(lead.high)}] points."
    )


def points(share: float) -> str:
    """A difference of shares in percentage points, with a sign.

    >>> points(0.0312), points(-0.004), points(0)
    ('+3.1', '-0.4', '+0.0')
    """
    return f"{100 * share:+.1f}"
