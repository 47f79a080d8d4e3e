"""Which entries of a vocabulary begin a word, and which continue one."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tokenizers import Tokenizer


METASPACE, BYTE_LEVEL_SPACE, WORDPIECE_PREFIX = "\u2581", "\u0120", "##"


def continues_word(tokenizer: "Tokenizer") -> np.ndarray:
    """Whether each vocabulary entry continues a word; [V] booleans, indexed by token id.

    WordPiece marks continuations with `##`. Unigram, characters and byte-level BPE mark the space before a word; there,
    every entry without that mark continues a word.
    """
    entries = tokenizer.get_vocab(with_added_tokens=True)
    continues = np.zeros(1 + max(entries.values()), dtype=bool)
    decoder = type(tokenizer.decoder).__name__ if tokenizer.decoder is not None else "WordPiece"
    added = set(tokenizer.get_added_tokens_decoder())
    mark = {"Metaspace": METASPACE, "ByteLevel": BYTE_LEVEL_SPACE}.get(decoder)
    for entry, token_id in entries.items():
        if token_id not in added:
            continues[token_id] = entry.startswith(WORDPIECE_PREFIX) if mark is None else not entry.startswith(mark)
    return continues
