"""Adding words of a corpus to an existing tokenizer, for domain adaptation."""

import collections
from collections.abc import Iterable
from typing import Any

from configs.errors import InputError

MINIMUM_COUNT = 3


def extend(tokenizer: Any, texts: Iterable[str], words: int) -> list[str]:
    """Add the words that save the most tokens, in place; a word saves count · (pieces - 1).

    Args:
        tokenizer: a tokenizer of `transformers`.
        texts: the corpus.
        words: the maximum number of words to add; each occurs at least three times and is unknown or split.

    Returns:
        The added words in the order of their ids, which follow the existing ids.

    Raises:
        InputError: there is no word to add.
    """
    from tokenizers import AddedToken

    counts = count_words(tokenizer, texts)
    # A word of byte-level BPE and of Unigram begins with its space: without it, "film" is split beside a whole "Ġfilm".
    space = type(tokenizer.backend_tokenizer.decoder).__name__ in ("ByteLevel", "Metaspace")
    written = {word: f" {word}" if space else word for word in counts}
    ids = {word: tokenizer(written[word], add_special_tokens=False)["input_ids"] for word in counts}
    # An unknown word gets an entry even if it is a single token.
    pieces = {word: len(tokens) + (tokenizer.unk_token_id in tokens) for word, tokens in ids.items()}
    ranked = sorted((-count * (pieces[word] - 1), word) for word, count in counts.items() if pieces[word] > 1)
    chosen = [word for _, word in ranked[:words]]
    if not chosen:
        raise InputError(f"added_words: every word that occurs {MINIMUM_COUNT} times has an entry; nothing to add")
    # `single_word`: do not match inside other words. `lstrip`: if the tokenizer attaches a space to the next word, the
    # added word takes it, or it would become a separate token (decoded text then lacks it).
    tokenizer.add_tokens([AddedToken(word, single_word=True, lstrip=space, normalized=True) for word in chosen])
    return chosen


def count_words(tokenizer: Any, texts: Iterable[str]) -> dict[str, int]:
    """Counts of the words that consist of letters, after normalisation by the tokenizer; rare words are left out."""
    normaliser = tokenizer.backend_tokenizer.normalizer
    counts: collections.Counter[str] = collections.Counter()
    for text in texts:
        normalised = normaliser.normalize_str(text) if normaliser is not None else text
        counts.update(_words(normalised))
    return {word: count for word, count in counts.items() if count >= MINIMUM_COUNT}


def _words(text: str) -> list[str]:
    """Runs of letters.

    >>> _words("the co-star's naïve cast, 1984")
    ['the', 'co', 'star', 's', 'naïve', 'cast']
    """
    return "".join(letter if letter.isalpha() else " " for letter in text).split()
