"""Which entries of a vocabulary begin a word, and which continue one."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tokenizers import Tokenizer


METASPACE, BYTE_LEVEL_SPACE, WORDPIECE_PREFIX = "\u2581", "\u0120", "##"


def continues_word(tokenizer: "Tokenizer") -> np.ndarray:
    """Of each entry of the vocabulary, whether it continues a word; [V] booleans.

    WordPiece marks what continues a word with `##`. Unigram, characters and byte-level BPE mark the space before a
    word instead; there, what touches a word without a space belongs to it.
    """
    entries = tokenizer.get_vocab(with_added_tokens=True)
    continues = np.zeros(1 + max(entries.values()), dtype=bool)
    kind = type(tokenizer.decoder).__name__ if tokenizer.decoder is not None else "WordPiece"
    added = set(tokenizer.get_added_tokens_decoder())
    mark = {"Metaspace": METASPACE, "ByteLevel": BYTE_LEVEL_SPACE}.get(kind)
    for entry, number in entries.items():
        if number not in added:
            continues[number] = entry.startswith(WORDPIECE_PREFIX) if mark is None else not entry.startswith(mark)
    return continues
