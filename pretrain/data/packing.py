"""An epoch of full sentences packed into sequences (Liu et al. 2019, section 4.2, FULL-SENTENCES).

Sentences follow each other until the next one does not fit; a sequence may reach over documents, with a [SEP] between
them. Nothing is padded but the ends, and every sentence is used once an epoch.
"""

import numpy as np

from pretrain.data.randomness import permutation
from pretrain.data.store import TokenStore


def packed_plan(
    store: TokenStore, documents: np.ndarray, sequence_length: int, seed: int, epoch: int | str
) -> tuple[np.ndarray, np.ndarray]:
    """The sequences of an epoch, the documents in a new order each time.

    A sentence longer than a sequence is cut.

    Args:
        store: the corpus.
        documents: [D] the documents to take part.
        sequence_length: tokens, special ones included: [CLS], and a [SEP] behind each document's piece.
        seed, epoch: what the order is a function of; an epoch may have a name, such as `held-out`.

    Returns:
        Pieces [K, 2]: tokens [begin, end) of one document, counted over the whole corpus. First pieces [P + 1]:
        sequence p is made of the pieces from the p-th of these numbers to the next.
    """
    pieces: list[tuple[int, int]] = []
    firsts = [0]
    room = sequence_length - 1
    for place in permutation(len(documents), "packing", seed, epoch):
        first, last = store.document_offsets[documents[place]], store.document_offsets[documents[place] + 1]
        offsets = store.sentence_offsets[first : last + 1].tolist()
        begin = end = offsets[0]
        for sentence_end in offsets[1:]:
            while sentence_end - begin > room - 1:
                # The sentence does not fit: close the piece and the sequence; of one longer than a sequence, fill up.
                if end == begin and room == sequence_length - 1:
                    end = begin + room - 1
                if end > begin:
                    pieces.append((begin, end))
                firsts.append(len(pieces))
                begin, room = end, sequence_length - 1
            end = sentence_end
        if end > begin:
            pieces.append((begin, end))
            room -= end - begin + 1
    if len(pieces) > firsts[-1]:
        firsts.append(len(pieces))
    return np.array(pieces, dtype=np.int64).reshape(-1, 2), np.array(firsts, dtype=np.int64)
