"""What a ladder tells, in sentences."""

from collections.abc import Sequence

from finetune.comparison.analysis.words import amount, bounds, count, duration, percent
from finetune.comparison.compared_score import score_name
from finetune.comparison.verdict import points
from finetune.ladders.curve import SIGNIFICANCE
from finetune.ladders.forecast import Forecast, Horizon, TextEffect

TIMES = {1.0: "the whole pretraining", 2.0: "twice as much", 4.0: "four times as much"}
# A point for more than so many times what the whole takes is no offer.
DEAREST = 100.0
# In simulations, intervals of 95 % held the gain in 80 of 100 with two seeds, 88 to 93 with three, 92 to 93 with five.
ENOUGH_SEEDS = 5
FEW_SEEDS = f" With fewer than {ENOUGH_SEEDS} fine-tuning seeds they are too narrow."


def tokens_text(tokens: float) -> str:
    """A number of tokens, briefly.

    >>> tokens_text(5_000_321), tokens_text(312_500), tokens_text(1.25e6), tokens_text(40e6)
    ('5.0M', '312k', '1.2M', '40M')
    """
    millions = tokens / 1e6
    if millions < 1:
        return f"{tokens / 1e3:.0f}k"
    return f"{millions:.1f}M" if millions < 10 else f"{millions:.0f}M"


def times_text(times: float) -> str:
    """A multiple of the whole duration in words.

    >>> times_text(1.0), times_text(4), times_text(1.5)
    ('the whole pretraining', 'four times as much', '1.5 times as much')
    """
    return TIMES.get(times, f"{times:g} times as much")


def sentences(found: Forecast) -> list[str]:
    """All that is said, most important first."""
    longest = max(rung.step_share for rung in found.rungs if rung.documents is None)
    beyond = [horizon for horizon in found.horizons if horizon.times > longest]
    told = [_score_sentence(found, beyond, longest), *_doubts(found, beyond)] if beyond else []
    if beyond and not found.falls and beyond[0].shown and beyond[0].told:
        told += _cost_sentences(found, beyond)
    losses = [horizon for horizon in beyond if horizon.loss is not None]
    told += [_loss_sentence(found, losses)] if losses else []
    told += [_text_sentence(effect, found.pretraining_seeds) for effect in found.text_effects]
    if found.pretraining_seeds == 1:
        told.append(
            "Each rung was pretrained once. Another pretraining seed may change a score by points, and the intervals "
            "know of it only as far as the rungs scatter about their curve: they may be too narrow. Several "
            "pretraining_seeds measure it."
        )
    return told


def _score_sentence(found: Forecast, beyond: Sequence[Horizon], longest: float) -> str:
    first = beyond[0]
    asked = times_text(1.0) if first.times == 1 else f"{first.times:g} times the whole pretraining"
    name = "" if found.score == "accuracy" else f" {score_name(found.score)}"
    start = (
        f"By these rungs, {asked} ({tokens_text(first.tokens)} tokens, about "
        f"{duration(first.seconds)}) would bring {found.model} at {found.label_budget:,} labels from "
        f"{percent(found.at_longest)} at {_share(longest)} to {percent(first.score.estimate)} %{name} "
        f"{bounds(first.score)}, a gain of {amount(first.gain)} points"
    )
    rest = [
        f"{times_text(horizon.times)} ({duration(horizon.seconds)}) {percent(horizon.score.estimate)} "
        f"{bounds(horizon.score)}, {amount(horizon.gain)} points"
        for horizon in beyond[1:]
    ]
    return "; ".join([start, *rest]) + "."


def _share(share: float) -> str:
    return "the whole" if share == 1 else f"{share:g} of it"


def _doubts(found: Forecast, beyond: Sequence[Horizon]) -> list[str]:
    """Why the curve may not be believed."""
    doubts, once = [], found.pretraining_seeds == 1
    chance = "fine-tuning seeds and texts explain (of one pretraining seed each)" if once else "chance explains"
    for before, after in found.falls[:1]:
        doubts.append(
            f"This cannot be told: the score falls from {before:g} to {after:g} of the duration, by more than "
            f"{chance}, and the curve that is fitted can only rise."
        )
    rose = f"From the shortest to the longest rung the score changed by {amount(found.rise)} points."
    if not found.falls and not beyond[-1].shown:
        doubts.append(f"No gain from more pretraining is shown. {rose}")
    elif not found.falls and not beyond[0].told:
        doubts.append(
            f"That it gains is {'shown' if beyond[0].shown else 'not shown at first'}, how much cannot be told: the "
            f"interval of the gain is wider than the gain. {rose}"
        )
    if found.misfit is not None and found.misfit < SIGNIFICANCE:
        doubts.append(
            "The rungs scatter about their curve by more than fine-tuning seeds and texts explain (p = "
            f"{found.misfit:.3f}), and the intervals are wider for it: pretraining's own seed, or another curve."
        )
    return doubts


def _cost_sentences(found: Forecast, beyond: Sequence[Horizon]) -> list[str]:
    """What a point takes in time, from each horizon to the next; nothing where it takes too long."""
    longest = max((rung for rung in found.rungs if rung.documents is None), key=lambda rung: rung.tokens)
    parts, seconds, score, before = [], longest.seconds, found.at_longest, _share(longest.step_share)
    for horizon in beyond:
        gain = horizon.score.estimate - score
        each = (horizon.seconds - seconds) / (100 * gain) if gain > 0 else float("inf")
        if each > DEAREST * horizon.seconds / horizon.times:
            break
        parts.append(f"{duration(each)} from {before} to {times_text(horizon.times)}")
        seconds, score, before = horizon.seconds, horizon.score.estimate, times_text(horizon.times)
    if not parts:
        return []
    rate = longest.tokens / longest.seconds
    return [f"A point takes about {', '.join(parts)}, at the {rate:,.0f} tokens a second of the longest rung."]


def _loss_sentence(found: Forecast, losses: Sequence[Horizon]) -> str:
    steps = [rung for rung in found.rungs if rung.documents is None and rung.loss is not None]
    parts = [
        f"{loss.estimate:.3f} [{loss.low:.3f}, {loss.high:.3f}] for {times_text(horizon.times)}"
        for horizon in losses
        if (loss := horizon.loss) is not None
    ]
    start = (
        f"The held-out loss, which seeds and texts disturb less, went from {steps[0].loss:.3f} to {steps[-1].loss:.3f} "
        "over the rungs"
    )
    if found.loss_curve is not None and found.loss_curve.size == 0:
        return f"{start}: it does not fall, and nothing is predicted for it."
    return f"{start} and would be {', '.join(parts)}."


def _text_sentence(effect: TextEffect, pretraining_seeds: int) -> str:
    """Whether more text would help.

    >>> from finetune.comparison.intervals import Interval
    >>> _text_sentence(TextEffect(0.25, 6000, Interval(-0.004, -0.012, 0.004)), 1)
    'More text: with 0.25 of the documents (6,000) the score at equal steps changes by -0.4 [-1.2, +0.4] points: no \
effect shown.'
    """
    change = effect.difference
    verdict = "no effect shown"
    if change.high < 0:
        verdict = f"text is short there, by at least {points(-change.high)[1:]} points"
    elif change.low > 0:
        verdict = "less text does no harm"
    if verdict != "no effect shown" and pretraining_seeds == 1:
        verdict += ", or one of the two pretraining runs had luck: with one seed of it, this cannot be told"
    documents = f"{effect.corpus_share:g} of the documents ({effect.documents:,})"
    return f"More text: with {documents} the score at equal steps changes by {amount(change)} points: {verdict}."


def method(found: Forecast) -> list[str]:
    """How it was measured."""
    curve, pretraining = found.curve, count(found.pretraining_seeds, "pretraining seed")
    return [
        f"Each rung was pretrained with its own whole schedule, from {pretraining}, and fine-tuned with "
        f"{count(found.seeds, 'seed')}, each with its own labels. {found.texts:,} different texts judged, none of them "
        "of the test split.",
        f"Score = {curve.limit:.4f} - {curve.size:.4f} x (share of the whole's tokens)^(-{curve.exponent:.3f}), by "
        "least squares, with limits of at most 1 and sizes of at least 0.",
        f"The {100 * found.confidence:g} % intervals are of a bootstrap over seeds and texts, with a curve for each "
        "draw. They hold the true expected score if it follows such a curve; that it does beyond the longest rung "
        "cannot be measured." + (FEW_SEEDS if found.seeds < ENOUGH_SEEDS else ""),
        "Settings are those of the comparison as given, without its tuning. Texts that judge may stand in the text "
        "that was pretrained on, as a comparison's test texts do not.",
    ]
