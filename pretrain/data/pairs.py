"""An epoch of sentence pairs, as integers over the token store.

The rules are those of google-research/bert, create_pretraining_data.py (`create_instances_from_document`),
with one difference: if ten draws find no other document, the reference code takes B from a random place of the same
document; here the random document is drawn from the other documents only, so that "random" always means another one.

There are two more kinds of pairs: `balanced`, exactly half random with the same lengths in both halves, and `ordered`,
for sentence-order prediction.
"""

import random
from typing import NamedTuple

import numpy as np

from pretrain.data.randomness import key, python_random
from pretrain.data.store import TokenStore

SPECIAL_TOKENS_PER_PAIR = 3
DOCUMENTS_PER_BLOCK = 1024
NEIGHBOURS_TRIED = 50

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
    """Tokens [begin, end) of one document, as offsets into the whole corpus."""

    begin: int
    end: int


class PairRule(NamedTuple):
    """How sentences become pairs."""

    kind: str
    """`bert`: B is random as often as in the reference code; `balanced`: B is random in exactly half of the pairs;
    `ordered`: A and B are consecutive, in either order."""
    sequence_length: int
    """Tokens, including the three special tokens."""
    short_probability: float
    """Share of documents with a random shorter target length."""


def epoch_plan(store: TokenStore, documents: np.ndarray, rule: PairRule, seed: int, epoch: int | str) -> np.ndarray:
    """All pairs of an epoch, in document order.

    Args:
        store: the corpus.
        documents: [D] the documents to use, at least two.
        rule: how sentences become pairs.
        seed, epoch: determine the plan; an epoch may have a name, such as `held-out`.

    Returns:
        [P] rows of dtype `PAIR`; `next_sentence_label` is 0 where B follows A, and 1 where B is random or, for
        `ordered`, where A follows B.
    """
    rows: list[tuple[int, int, int, int, int]] = []
    make_pairs = document_pairs if rule.kind == "bert" else consecutive_pairs
    for block in range(0, len(documents), DOCUMENTS_PER_BLOCK):
        rng = python_random("pairs", seed, epoch, block)
        for position in range(block, min(block + DOCUMENTS_PER_BLOCK, len(documents))):
            rows += make_pairs(store, documents, position, rule, rng)
    plan = np.array(rows, dtype=PAIR)
    if rule.kind == "balanced":
        return balance_labels(store, plan, np.random.default_rng(key("balance", seed, epoch)))
    if rule.kind == "ordered":
        return swap_half(plan, np.random.default_rng(key("swap", seed, epoch)))
    return plan


def document_pairs(
    store: TokenStore,
    documents: np.ndarray,
    position: int,
    rule: PairRule,
    rng: random.Random,
) -> list[tuple[int, int, int, int, int]]:
    """The pairs of one document: every sentence is used once, as part of A or of a B that follows it."""
    budget, target = _lengths(rule, rng)
    offsets = _sentence_offsets(store, int(documents[position]))
    rows, start, count = [], 0, len(offsets) - 1
    while start < count:
        end = _end_of_chunk(offsets, start, target)
        split = start + 1 + int(rng.random() * (end - start - 1)) if end - start >= 2 else end
        a = Span(offsets[start], offsets[split])
        is_random = split == end or rng.random() < 0.5
        if is_random:
            b = random_span(store, documents, position, target - (a.end - a.begin), rng)
            start = split
        else:
            b = Span(offsets[split], offsets[end])
            start = end
        a, b = truncate_pair(a, b, budget, rng)
        rows.append((*a, *b, int(is_random)))
    return rows


def consecutive_pairs(
    store: TokenStore,
    documents: np.ndarray,
    position: int,
    rule: PairRule,
    rng: random.Random,
) -> list[tuple[int, int, int, int, int]]:
    """The pairs of one document in which B always follows A: every sentence is used once.

    A single sentence is split between two of its tokens; a single token is skipped.
    """
    budget, target = _lengths(rule, rng)
    offsets = _sentence_offsets(store, int(documents[position]))
    rows, start, count = [], 0, len(offsets) - 1
    while start < count:
        end = _end_of_chunk(offsets, start, target)
        begin, last = offsets[start], offsets[end]
        if end - start >= 2:
            middle = offsets[start + 1 + int(rng.random() * (end - start - 1))]
        else:
            middle = begin + 1 + int(rng.random() * (last - begin - 1))
        start = end
        if last - begin >= 2:
            a, b = truncate_pair(Span(begin, middle), Span(middle, last), budget, rng)
            rows.append((*a, *b, 0))
    return rows


def _lengths(rule: PairRule, rng: random.Random) -> tuple[int, int]:
    """The maximum number of tokens without special tokens, and the target length of a document's pairs."""
    budget = rule.sequence_length - SPECIAL_TOKENS_PER_PAIR
    return budget, 2 + int(rng.random() * (budget - 1)) if rng.random() < rule.short_probability else budget


def _end_of_chunk(offsets: list[int], start: int, target: int) -> int:
    """The end (exclusive) of a chunk of sentences: where `target` tokens are reached, or the document ends."""
    end = start + 1
    while end < len(offsets) - 1 and offsets[end] - offsets[start] < target:
        end += 1
    return end


def swap_half(plan: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Swap A and B with probability one half (Lan et al. 2019, section 3.1, sentence-order prediction)."""
    swapped = rng.random(len(plan)) < 0.5
    mixed = plan.copy()
    for name, swapped_name in (("a_begin", "b_begin"), ("a_end", "b_end"), ("b_begin", "a_begin"), ("b_end", "a_end")):
        mixed[name] = np.where(swapped, plan[swapped_name], plan[name])
    mixed["next_sentence_label"] = swapped
    return mixed


def balance_labels(store: TokenStore, plan: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Exchange the Bs of exactly half of the consecutive pairs, so that lengths do not predict the label.

    Pairs are coupled two by two, with Bs of similar lengths and from different documents. The longer B is cut to the
    length of the shorter; then, in a random half of the couples, the two Bs are exchanged. Pairs that cannot be coupled
    are dropped.
    """
    first_sentence = np.searchsorted(store.sentence_offsets, plan["a_begin"], side="right") - 1
    document = np.searchsorted(store.document_offsets, first_sentence, side="right") - 1
    order = np.lexsort((rng.random(len(plan)), plan["b_end"] - plan["b_begin"]))
    couples = _couples(order, document)
    couples = couples[: len(couples) // 2 * 2]
    left, right = plan[couples[:, 0]], plan[couples[:, 1]]
    length = np.minimum(left["b_end"] - left["b_begin"], right["b_end"] - right["b_begin"])
    left["b_end"], right["b_end"] = left["b_begin"] + length, right["b_begin"] + length
    exchanged = rng.permutation(len(couples)) < len(couples) // 2
    for name in ("b_begin", "b_end"):
        old_left, old_right = left[name].copy(), right[name].copy()
        left[name], right[name] = np.where(exchanged, old_right, old_left), np.where(exchanged, old_left, old_right)
    left["next_sentence_label"] = right["next_sentence_label"] = exchanged
    return np.sort(np.concatenate([left, right]), order="a_begin")


def _couples(order: np.ndarray, document: np.ndarray) -> np.ndarray:
    """Neighbours in `order`, two by two, from different documents, [C, 2]."""
    couples = order[: len(order) // 2 * 2].reshape(-1, 2).copy()
    same_document = np.flatnonzero(document[couples[:, 0]] == document[couples[:, 1]])
    for index in same_document:
        neighbours = [index + step for distance in range(1, NEIGHBOURS_TRIED) for step in (distance, -distance)]
        for neighbour in neighbours:
            if 0 <= neighbour < len(couples):
                (a, b), (c, d) = couples[index], couples[neighbour]
                if document[a] != document[d] and document[c] != document[b]:
                    couples[index], couples[neighbour] = (a, d), (c, b)
                    break
    return couples[document[couples[:, 0]] != document[couples[:, 1]]]


def random_span(store: TokenStore, documents: np.ndarray, position: int, target: int, rng: random.Random) -> Span:
    """Whole sentences of a random other document, from a random start until `target` tokens or the document's end."""
    index = int(rng.random() * (len(documents) - 1))
    offsets = _sentence_offsets(store, int(documents[index + (index >= position)]))
    start = int(rng.random() * (len(offsets) - 1))
    return Span(offsets[start], offsets[_end_of_chunk(offsets, start, target)])


def truncate_pair(a: Span, b: Span, budget: int, rng: random.Random) -> tuple[Span, Span]:
    """Drop tokens one at a time from the longer side (from B on a tie), at either end with equal chance.

    >>> a, b = truncate_pair(Span(0, 10), Span(50, 54), 9, random.Random(0))
    >>> a.end - a.begin, b.end - b.begin
    (5, 4)
    """
    length_a, length_b = a.end - a.begin, b.end - b.begin
    excess = max(0, length_a + length_b - budget)
    # First the longer side is cut to the length of the shorter; then both are cut in turn, starting with B.
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
