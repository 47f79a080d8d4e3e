"""The verdict in words, read off the intervals alone."""

from collections.abc import Sequence

from finetune.comparison.scores import Gain, Score
from finetune.comparison.statistics import Interval


def verdict(scores: Sequence[Score], budget: int, best: str | None) -> str:
    """One sentence on whether pretraining paid at a label budget, read off the interval alone."""
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
    """One sentence on what a model's own pretraining brought it, read off the interval.

    >>> gain_sentence(Gain("lm-lstm", 250, Interval(0.1, 0.05, 0.15)))
    'lm-lstm gains +10.0 [+5.0, +15.0] points over the same model from scratch.'
    >>> gain_sentence(Gain("lm-lstm", 250, Interval(0.1, -0.05, 0.25)))
    'lm-lstm: no difference shown to the same model from scratch, +10.0 [-5.0, +25.0] points.'
    """
    difference = gain.difference
    shown = f"{points(difference.estimate)} [{points(difference.low)}, {points(difference.high)}] points"
    if not difference.excludes_zero:
        return f"{gain.model}: no difference shown to the same model from scratch, {shown}."
    return f"{gain.model} {'gains' if difference.estimate > 0 else 'loses'} {shown} over the same model from scratch."


def caution(lead: Interval) -> str:
    """What to add to a verdict where counting words does better than the pretrained model; nothing elsewhere.

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
    """A difference of shares in percentage points, with its sign.

    >>> points(0.0312), points(-0.004), points(0)
    ('+3.1', '-0.4', '+0.0')
    """
    return f"{100 * share:+.1f}"
