"""An epoch of sentence pairs, as integers over the token store.

The rules are those of google-research/bert, create_pretraining_data.py (`create_instances_from_document`),
with one departure: where ten tries found no other document, the original labels a continuation "random";
here the random document is drawn from the others at once, so that "random" always means another document.
"""

import random
from typing import NamedTuple

import numpy as np

from pretrain.randomness import python_random
from pretrain.store import TokenStore

SPECIAL_TOKENS_A_PAIR = 3
DOCUMENTS_A_BLOCK = 1024

PAIR = np.dtype(
    [
        ("a_begin", np.int64),
        ("a_end", np.int64),
        ("b_begin", np.int64),
        ("b_end", np.int64),
        ("next_sentence_label", np.int64),
    ]
)


class Span(NamedTuple):
    """Tokens [begin, end) of one document, counted over the whole corpus."""

    begin: int
    end: int


def epoch_plan(
    store: TokenStore,
    documents: np.ndarray,
    sequence_length: int,
    short_probability: float,
    seed: int,
    epoch: int | str,
) -> np.ndarray:
    """All pairs of an epoch, in document order.

    Args:
        store: the corpus.
        documents: [D] the documents to take part, at least two.
        sequence_length: tokens, the three special ones included.
        short_probability: share of documents with a random shorter target length.
        seed, epoch: what the plan is a function of; an epoch may have a name, such as `held-out`.

    Returns:
        [P] rows of dtype `PAIR`; `next_sentence_label` is 0 where B follows A and 1 where B is random.
    """
    rows: list[tuple[int, int, int, int, int]] = []
    for block in range(0, len(documents), DOCUMENTS_A_BLOCK):
        rng = python_random("pairs", seed, epoch, block)
        for position in range(block, min(block + DOCUMENTS_A_BLOCK, len(documents))):
            rows += document_pairs(store, documents, position, sequence_length, short_probability, rng)
    return np.array(rows, dtype=PAIR)


def document_pairs(
    store: TokenStore,
    documents: np.ndarray,
    position: int,
    sequence_length: int,
    short_probability: float,
    rng: random.Random,
) -> list[tuple[int, int, int, int, int]]:
    """The pairs of one document: every sentence is used once, as part of A or of a B that follows it."""
    budget = sequence_length - SPECIAL_TOKENS_A_PAIR
    short = rng.random() < short_probability
    target = 2 + int(rng.random() * (budget - 1)) if short else budget
    offsets = _sentence_offsets(store, int(documents[position]))
    rows, start, count = [], 0, len(offsets) - 1
    while start < count:
        end = start + 1
        while end < count and offsets[end] - offsets[start] < target:
            end += 1
        split = start + 1 + int(rng.random() * (end - start - 1)) if end - start >= 2 else end
        a = Span(offsets[start], offsets[split])
        is_random = split == end or rng.random() < 0.5
        if is_random:
            b = random_span(store, documents, position, target - (a.end - a.begin), rng)
            start = split
        else:
            b = Span(offsets[split], offsets[end])
            start = end
        a, b = truncated(a, b, budget, rng)
        rows.append((*a, *b, int(is_random)))
    return rows


def random_span(store: TokenStore, documents: np.ndarray, position: int, target: int, rng: random.Random) -> Span:
    """Whole sentences of another document from a random start, until `target` tokens or the document's end."""
    other = int(rng.random() * (len(documents) - 1))
    offsets = _sentence_offsets(store, int(documents[other + (other >= position)]))
    start = int(rng.random() * (len(offsets) - 1))
    end = start + 1
    while end < len(offsets) - 1 and offsets[end] - offsets[start] < target:
        end += 1
    return Span(offsets[start], offsets[end])


def truncated(a: Span, b: Span, budget: int, rng: random.Random) -> tuple[Span, Span]:
    """Drop tokens one at a time from the longer side (from B on a tie), at either end with equal chance.

    >>> a, b = truncated(Span(0, 10), Span(50, 54), 9, random.Random(0))
    >>> a.end - a.begin, b.end - b.begin
    (5, 4)
    """
    length_a, length_b = a.end - a.begin, b.end - b.begin
    excess = max(0, length_a + length_b - budget)
    # What is dropped first evens the two sides out; the rest is shared, B giving the first.
    first = min(excess, abs(length_a - length_b))
    drop_b = (excess - first + 1) // 2 + (first if length_b > length_a else 0)
    drop_a = excess - drop_b
    return _cut(a, drop_a, rng), _cut(b, drop_b, rng)


def _cut(span: Span, drop: int, rng: random.Random) -> Span:
    from_front = rng.getrandbits(drop).bit_count() if drop else 0
    return Span(span.begin + from_front, span.end - (drop - from_front))


def _sentence_offsets(store: TokenStore, document: int) -> list[int]:
    first, last = store.document_offsets[document], store.document_offsets[document + 1]
    return store.sentence_offsets[first : last + 1].tolist()
