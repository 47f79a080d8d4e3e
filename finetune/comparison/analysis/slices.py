"""Accuracy on parts of the test texts: short and long ones, those with a negation, a contrast, rare words.

Shapes: P pretraining seeds, S fine-tuning seeds, N test texts.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from finetune.comparison.intervals import Interval, score_interval

WORD = re.compile(r"\w+(?:['’]\w+)*")
# Written without spaces between words: lengths are those of characters, and no word is rare.
WITHOUT_SPACES = ("zh", "ja", "th", "lo", "km", "my", "yue", "wuu")
NEGATION = re.compile(
    r"\b(?:not|no|never|none|nobody|nothing|neither|nor|nowhere|cannot|without|\w+n['’]t)\b", re.IGNORECASE
)
CONTRAST = re.compile(r"\b(?:but|however|although|though|yet|despite|nevertheless)\b", re.IGNORECASE)
# Fewer tell nothing.
LEAST_TEXTS = 10
# With many texts alike there is no quarter to tell.
MOST_RARE = 0.35
QUARTERS = ("shortest", "second", "third", "longest")
# A part of a share further from a quarter is not called one.
MOST_FROM_QUARTER = 0.08


class Slice(NamedTuple):
    """A part of the test texts."""

    group: str
    name: str
    members_N: np.ndarray
    """True for the texts in it."""


class SliceScore(NamedTuple):
    """The accuracy of a model on a slice."""

    part: Slice
    model: str
    accuracy: Interval


def slices_of(texts: Sequence[str], language: str) -> list[Slice]:
    """Ways to divide texts; parts with fewer than ten texts are left out, and what they are compared with.

    Args:
        texts: the N test texts.
        language: an ISO 639 code; negations and contrasts are known of English alone.

    >>> texts = ["good"] * 10 + ["not good but bad " * 5] * 10
    >>> [(part.name, int(part.members_N.sum())) for part in slices_of(texts, "en") if part.group == "negation"]
    [('with a negation', 10), ('without a negation', 10)]
    """
    if len(texts) < LEAST_TEXTS:
        return []
    spaced = language not in WITHOUT_SPACES
    words = [WORD.findall(text.casefold()) for text in texts] if spaced else []
    lengths_N = np.array([len(row) for row in words] if spaced else [len(text) for text in texts])
    parts = _quarters(lengths_N, "words" if spaced else "characters")
    if language == "en":
        for group, pattern, name in (
            ("negation", NEGATION, "a negation"),
            ("contrast", CONTRAST, "but, however, although …"),
        ):
            members_N = np.array([pattern.search(text) is not None for text in texts])
            parts += _halves(group, members_N, f"with {name}", f"without {name}")
    if spaced:
        parts += _rare(words)
    small = {part.group for part in parts if part.members_N.sum() < LEAST_TEXTS and part.group != "length"}
    return [part for part in parts if part.group not in small and part.members_N.sum() >= LEAST_TEXTS]


def _quarters(lengths_N: np.ndarray, unit: str) -> list[Slice]:
    """Quarters by length; those that many texts of one length make one are one part, which says its share.

    >>> [part.name for part in _quarters(np.array([3] * 30 + [4] * 60 + [9] * 10), "words")]
    ['shortest 30 %: 3 words', 'middle 60 %: 4 words', 'longest 10 %: 9 words']
    >>> [part.name for part in _quarters(np.array([4] * 20), "words")]
    ['all: 4 words']
    """
    edges = np.unique(np.quantile(lengths_N, [0.25, 0.5, 0.75]))
    numbers_N = np.searchsorted(edges, lengths_N, side="left")
    numbers, counts = np.unique(numbers_N, return_counts=True)
    are_quarters = len(numbers) == len(QUARTERS) and abs(counts / len(lengths_N) - 0.25).max() <= MOST_FROM_QUARTER
    parts = []
    for place, (number, count) in enumerate(zip(numbers, counts, strict=True)):
        members_N = numbers_N == number
        ends = [f"{length:,}" for length in np.unique([lengths_N[members_N].min(), lengths_N[members_N].max()])]
        name = (
            f"{QUARTERS[place]} quarter" if are_quarters else _share_name(place, len(numbers), count / len(lengths_N))
        )
        of = unit.removesuffix("s") if ends == ["1"] else unit
        parts.append(Slice("length", f"{name}: {'–'.join(ends)} {of}", members_N))
    return parts


def _share_name(place: int, parts: int, share: float) -> str:
    """What a part that is no quarter is called.

    >>> [_share_name(place, 3, 0.6) for place in range(3)], _share_name(0, 1, 1.0), _share_name(2, 4, 0.4)
    (['shortest 60 %', 'middle 60 %', 'longest 60 %'], 'all', 'third 40 %')
    """
    if parts == 1:
        return "all"
    names = ("shortest", *(("middle",) if parts == 3 else QUARTERS[1 : parts - 1]), "longest")
    return f"{names[place]} {100 * share:.0f} %"


def _halves(group: str, members_N: np.ndarray, name: str, rest: str) -> list[Slice]:
    return [Slice(group, name, members_N), Slice(group, rest, ~members_N)]


def _rare(words: Sequence[Sequence[str]]) -> list[Slice]:
    """The quarter of texts whose words are in the fewest test texts, by the mean of the logarithm; and the rest."""
    texts_with = Counter(word for row in words for word in set(row))
    # A text without words has no rare ones: it counts as if all texts had its words.
    none = math.log(max(1, len(words)))
    commonness_N = np.array(
        [float(np.mean([math.log(texts_with[word]) for word in row])) if row else none for row in words]
    )
    # Rounded, as sums in another order differ in the last digits.
    commonness_N = commonness_N.round(9)
    members_N = commonness_N <= np.quantile(commonness_N, 0.25)
    if members_N.mean() > MOST_RARE:
        return []
    return _halves("rare words", members_N, "quarter with the rarest words", "the other texts")


def slice_scores(parts: Sequence[Slice], correct: Mapping[str, np.ndarray], confidence: float) -> list[SliceScore]:
    """The accuracy of each model on each slice.

    Args:
        parts: the slices.
        correct: by model, 1 where a text was classified correctly, [P, S, N].
        confidence: of the intervals.
    """
    scores = []
    for part in parts:
        for model, correct_PSN in correct.items():
            found = score_interval(correct_PSN[:, :, part.members_N], confidence)
            scores.append(SliceScore(part, model, found))
    return scores
