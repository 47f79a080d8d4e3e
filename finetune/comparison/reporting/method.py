"""How the numbers were made, for readers who are not statisticians."""

from collections.abc import Mapping
from typing import Any

from finetune.classification.calibration import BINS
from finetune.comparison.intervals import FEW_TEXTS


def method(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Questions and answers about the method.

    Args:
        facts: `level`, `significance`, `margin`, `score`, `is_accuracy`, `seeds`, `validation_texts`,
            `pretraining_seeds` and `pretrained`.
    """
    return [(question, answer.strip()) for question, answer in (*_comparison(facts), *_judgement(facts))]


def _comparison(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was compared, and what an interval is."""
    level, seeds = facts["level"], facts["seeds"]
    if facts["pretraining_seeds"] > 1:
        starts = (
            f"Pretrained models start from {facts['pretraining_seeds']} pretraining seeds each, whose variance is "
            "in the intervals, too."
        )
    elif facts["pretrained"]:
        starts = (
            "Each pretrained model comes from one pretraining run, so the intervals do not include the variance "
            "between pretraining seeds: pretraining again might do a little better or worse."
        )
    else:
        starts = ""
    return [
        (
            "What was compared",
            f"Every model learned from the same labels, {seeds} times over: each seed draws its own labels, "
            "initial weights and order. The state of a model that is best on validation texts, or its last where the "
            "settings have it evaluated once, is tested once, at the end, on texts that nothing was chosen by in the "
            "comparison; with `model.calibrated_bias`, validation texts shift the bias of its output layer before; "
            "with `refit`, one is tested that was trained again on all of the labels, for as long as was best. "
            + starts,
        ),
        (
            "Who is the rival",
            "The best model without pretraining, whatever it is: at each number of labels the one with the best mean "
            f"validation {facts['score']} ({facts['validation_texts']}). Choosing it by test texts would make it look "
            "better than it is.",
        ),
        (
            "What an interval says",
            f"Another set of seeds and other test texts would give another number. A {level} % interval is made so "
            f"that, over many comparisons, it holds the true number in about {level} of 100. It allows for both "
            "kinds of luck at once, that of the seed and that of the test texts, so it does not shrink to nothing "
            f"because there are many test texts while there are {seeds} seeds. With few seeds, one cannot know "
            "well how much seeds matter; the interval is wider for it (a generalized pivotal quantity, Weerahandi "
            "1993; with several pretraining seeds Satterthwaite's approximation, which does the same more "
            f"roughly). Of fewer than {FEW_TEXTS} test texts, some are added for the interval alone, as a share of few "
            "says less than its size (Agresti and Coull 1998; Bonett and Price 2012).",
        ),
        (
            "Why differences are paired",
            "Two models are compared on the same texts, after learning from the same labels. A hard text is hard "
            "for both, and in the difference that cancels out: it is known better than either number.",
        ),
    ]


def _judgement(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is said of an interval, and of single runs."""
    constant, test = (
        ("the share of the most frequent class", "binomial test")
        if facts["is_accuracy"]
        else ("that of the best constant answer", "t test over what each text adds to the score")
    )
    return [
        (
            "When a model is called better",
            "Judged are the pretrained encoders or, where none takes part, all other pretrained models. “Take” is said "
            f"where the difference is significant at {facts['significance']} % for all of them and all numbers of "
            "labels together: who looks often finds something by chance, and Holm's method asks for more evidence the "
            "more is looked at. “No difference that matters” is said where the whole interval is within "
            f"{facts['margin']}. In between, “no difference is shown” comes with the size of a difference that this "
            "comparison would have seen four times in five. Of several models that are judged, the sentence at the top "
            "is about one that is ahead, if any is, and among these about the best on validation texts.",
        ),
        (
            "When another model is said to be ahead, or one to gain",
            "What is told beside the verdict, that another model is ahead of the one judged, or that a model gains or "
            "loses by its pretraining, is judged by Holm's method, too: all such differences of the comparison "
            "together, apart from the verdicts. An interval is of one difference alone, so it may lie on one side of "
            "zero where nothing is said.",
        ),
        (
            "What pretraining is worth in labels",
            "The line through the scores of the best models without pretraining tells how many labels they need "
            "for a score. Between two measured numbers of labels it is taken as straight in the logarithm: what "
            "doubling brings is the same all the way. The interval comes from drawing seeds and texts again and "
            "again (bootstrap), further apart the fewer the seeds are.",
        ),
        (
            "What a point more takes",
            "The same line, of one model, through all measured numbers of labels. Beyond the largest it is "
            "continued, which is a guess: curves flatten. If the gain up to the largest could be chance, "
            "no number is given.",
        ),
        (
            "The exact paired test",
            "Of two single runs, only the texts that one got right and the other wrong tell them apart. If both "
            "were equally good, either would win such a text like the toss of a coin; the p value is the chance "
            "of so uneven a toss (McNemar's test). It knows nothing of other seeds.",
        ),
        (
            "When a run counts as failed",
            f"Its {facts['score']} is not shown to be above {constant} ({test}, 5 %). With few test texts that may be "
            "for want of evidence. Failed runs are counted in all means.",
        ),
        (
            "Confidence",
            "A probability is divided by a temperature that was fitted on validation texts, so that it means what "
            f"it says; the calibration error is what is left: the distance of confidence and accuracy in {BINS} bins "
            "of confidence, mean over the texts, and over the runs.",
        ),
    ]
