"""Which words moved a classifier, by leaving each out.

The same for every model: counting words, recurrent, encoder. Source: Li, Monroe and Jurafsky, Understanding Neural
Networks through Representation Erasure (arXiv 1612.08220), section 2.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from finetune.inference.classifier import Classifier, Text

# A word, or one character of a script that writes none between spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese).
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003134f"
WORD = re.compile(rf"[{UNSPACED}]|(?:[^\W{UNSPACED}])+(?:['’][^\W{UNSPACED}]+)*")
# Of a longer text, neighbouring words are left out together, so that its explanation costs as many texts as this.
MAXIMUM_PIECES = 256
SMALLEST_SHARE = 1e-12


class WordWeight(NamedTuple):
    """A piece of a text, mostly a word, and what it does."""

    text: str
    start: int
    """Its place in the text, in characters; of a pair, the second text follows the first after one more character."""
    weight: float
    """By how much the log-odds of the label fall when the piece is left out, in nats."""


def explain(classifier: "Classifier", text: "Text", label: str | None = None) -> list[WordWeight]:
    """The weight of each word of a text for a label, in the order of the text.

    It costs a classification for each word. Words that only move a label together (both of two that say the same) have
    small weights each.

    Args:
        classifier: any.
        text: a text, or a pair.
        label: one of the classifier's; None for the one it predicts.

    Raises:
        ValueError: the classifier has no such label.
    """
    joined = text if isinstance(text, str) else f"{text[0]}\n{text[1] or ''}"
    spans = pieces(joined, MAXIMUM_PIECES)
    shares_NC = classifier.probabilities([text, *(without(text, start, end) for start, end in spans)])
    column = int(shares_NC[0].argmax()) if label is None else classifier.labels.index(label)
    log_odds_N = _log_odds(shares_NC[:, column])
    return [
        WordWeight(joined[start:end], start, float(log_odds_N[0] - left_out))
        for (start, end), left_out in zip(spans, log_odds_N[1:], strict=True)
    ]


def strongest(weights: Sequence[WordWeight], count: int) -> list[WordWeight]:
    """The words of the largest weights, either way; of equal ones, the first in the text.

    >>> words = [WordWeight("a", 0, 0.1), WordWeight("great", 2, 2.0), WordWeight("bore", 8, -1.0)]
    >>> [word.text for word in strongest(words, 2)]
    ['great', 'bore']
    """
    return sorted(weights, key=lambda word: -abs(word.weight))[:count]


def pieces(text: str, maximum: int) -> list[tuple[int, int]]:
    """The words of a text as (start, end); if there are more than `maximum`, neighbours together, about as many each.

    >>> text = "Don't stop: 好看!"
    >>> [text[start:end] for start, end in pieces(text, 10)], [text[start:end] for start, end in pieces(text, 2)]
    (["Don't", 'stop', '好', '看'], ["Don't stop", '好看'])
    """
    words = [match.span() for match in WORD.finditer(text)]
    groups = np.array_split(np.arange(len(words)), min(maximum, len(words))) if words else []
    return [(words[group[0]][0], words[group[-1]][1]) for group in groups]


def without(text: "Text", start: int, end: int) -> "Text":
    """A text, or a pair, without the characters from `start` to `end` of its joined texts.

    >>> without("a good film", 2, 6), without(("yes", "no way"), 4, 6), without(("yes", "no"), 1, 5)
    ('a  film', ('yes', ' way'), ('y', 'o'))
    """
    if isinstance(text, str):
        return text[:start] + text[end:]
    first, second = text
    offset = len(first) + 1
    cut = None if second is None else second[: max(0, start - offset)] + second[max(0, end - offset) :]
    return first[:start] + first[end:], cut


def _log_odds(shares_N: np.ndarray) -> np.ndarray:
    """The logarithms of p / (1 - p), of shares that may be 0 or 1."""
    return np.log(np.maximum(shares_N, SMALLEST_SHARE)) - np.log(np.maximum(1 - shares_N, SMALLEST_SHARE))
