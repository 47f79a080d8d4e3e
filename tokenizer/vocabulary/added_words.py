"""Words of a corpus added to a tokenizer that exists: a domain's own vocabulary beside the one it came with."""

import collections
from collections.abc import Iterable
from typing import Any

from configs.errors import InputError

MINIMUM_COUNT = 3


def extend(tokenizer: Any, texts: Iterable[str], words: int) -> list[str]:
    """Add the words that save the most tokens, in place: count times pieces beyond the first.

    Args:
        tokenizer: a loaded tokenizer of `transformers`.
        texts: the corpus.
        words: how many to add, at the most; each is seen at least three times, and unknown or in pieces so far.

    Returns:
        The words added, in the order of their numbers, which follow those that exist.

    Raises:
        InputError: there is nothing to add.
    """
    from tokenizers import AddedToken

    counts = counted_words(tokenizer, texts)
    ids = {word: tokenizer(word, add_special_tokens=False)["input_ids"] for word in counts}
    # What is unknown is worth an entry, even if it is one token.
    pieces = {word: len(found) + (tokenizer.unk_token_id in found) for word, found in ids.items()}
    saved = sorted((-count * (pieces[word] - 1), word) for word, count in counts.items() if pieces[word] > 1)
    chosen = [word for _, word in saved[:words]]
    if not chosen:
        raise InputError(f"added_words: every word seen {MINIMUM_COUNT} times has an entry; nothing to add")
    # Between letters it would be part of another word. Where a space belongs to the word behind it, it is taken in:
    # else it would be a token of its own (decoded text then lacks it).
    space = type(tokenizer.backend_tokenizer.decoder).__name__ in ("ByteLevel", "Metaspace")
    tokenizer.add_tokens([AddedToken(word, single_word=True, lstrip=space, normalized=True) for word in chosen])
    return chosen


def counted_words(tokenizer: Any, texts: Iterable[str]) -> dict[str, int]:
    """How often each word of letters alone is seen, after the tokenizer's own normalisation."""
    normaliser = tokenizer.backend_tokenizer.normalizer
    counts: collections.Counter[str] = collections.Counter()
    for text in texts:
        normalised = normaliser.normalize_str(text) if normaliser is not None else text
        counts.update(_words(normalised))
    return {word: count for word, count in counts.items() if count >= MINIMUM_COUNT}


def _words(text: str) -> list[str]:
    """Stretches of letters.

    >>> _words("the co-star's naïve cast, 1984")
    ['the', 'co', 'star', 's', 'naïve', 'cast']
    """
    return "".join(letter if letter.isalpha() else " " for letter in text).split()
