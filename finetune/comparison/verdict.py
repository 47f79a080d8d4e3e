"""The verdict as sentences, derived from the intervals alone."""

from collections.abc import Sequence

from finetune.comparison.intervals import Interval
from finetune.comparison.scores import Gain, Score


def is_pretrained_encoder(score: Score) -> bool:
    """Whether a row is a pretrained encoder, whatever it is called."""
    return score.family == "encoder" and score.pretrained


def is_pretrained_recurrent(score: Score) -> bool:
    """Whether a row is a recurrent model that starts from a language model or an autoencoder."""
    return score.family == "recurrent" and score.pretrained


def verdict(scores: Sequence[Score], budget: int, baseline: str | None) -> str:
    """A sentence for each pretrained encoder: did its pretraining pay at a label budget, judged by the interval alone?

    Args:
        scores: of all models and budgets.
        budget: the label budget.
        baseline: the recurrent baseline, a model without pretraining.
    """
    labels = f"{budget:,} labels"
    at_budget = {score.model: score for score in scores if score.label_budget == budget}
    encoders = [score for score in at_budget.values() if is_pretrained_encoder(score)]
    if not encoders or baseline is None:
        return f"At {labels}: no verdict, which needs a pretrained encoder and a recurrent model without pretraining."
    rival = f"the recurrent baseline ({baseline}, chosen on {at_budget[baseline].validation_texts:,} validation texts)"
    sentences = []
    for score in encoders:
        difference = score.difference
        assert difference is not None
        gain = f"{points(difference.estimate)} [{points(difference.low)}, {points(difference.high)}] points"
        if difference.excludes_zero:
            outcome = "gains" if difference.estimate > 0 else "loses"
            sentence = f"Pretraining {outcome} {gain} at {labels} over {rival}"
        else:
            sentence = f"No difference shown at {labels}: pretraining's {gain} over {rival}"
        sentences.append(f"{sentence}." if score.model == "bert" else f"{sentence}, as {score.model}.")
    return " ".join(sentences)


def failures(scores: Sequence[Score], budget: int) -> str:
    """A sentence for the verdict if runs ended no better than the majority label, else an empty string."""
    failed = [score for score in scores if score.label_budget == budget and score.failed_runs]
    if not failed:
        return ""
    runs = ", ".join(f"{score.failed_runs} of {len(score.accuracies)} of {score.model}" for score in failed)
    return f" Runs no better than the majority label: {runs}."


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


def caution(encoder: str, rival: str, lead: Interval) -> str:
    """A sentence for the verdict if a rival beats a pretrained encoder, else an empty string.

    >>> caution("bert", "bag-of-words", Interval(0.02, 0.01, 0.03))
    ' But bag-of-words is ahead of bert by +2.0 [+1.0, +3.0] points.'
    >>> caution("bert", "lm-lstm", Interval(0.02, -0.01, 0.05))
    ''
    """
    if lead.estimate <= 0 or not lead.excludes_zero:
        return ""
    amount = f"{points(lead.estimate)} [{points(lead.low)}, {points(lead.high)}] points"
    return f" But {rival} is ahead of {encoder} by {amount}."


def points(share: float) -> str:
    """A difference of shares in percentage points, with a sign.

    >>> points(0.0312), points(-0.004), points(0)
    ('+3.1', '-0.4', '+0.0')
    """
    return f"{100 * share:+.1f}"
