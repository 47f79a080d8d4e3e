"""An epoch of full sentences packed into sequences (Liu et al. 2019, section 4.2, FULL-SENTENCES).

Sentences are appended until the next one does not fit; a sequence may cross documents, with a [SEP] between them. Only
the end of a sequence is padded, and every sentence is used once per epoch.
"""

import numpy as np

from pretrain.data.randomness import permutation
from pretrain.data.store import TokenStore


def packed_plan(
    store: TokenStore, documents: np.ndarray, sequence_length: int, seed: int, epoch: int | str
) -> tuple[np.ndarray, np.ndarray]:
    """The sequences of an epoch, with the documents shuffled. A sentence longer than a sequence is split.

    Args:
        store: the corpus.
        documents: [D] the documents to use.
        sequence_length: tokens, including [CLS] and a [SEP] after each piece.
        seed, epoch: determine the order; an epoch may have a name, such as `held-out`.

    Returns:
        Pieces [K, 2]: tokens [begin, end) of one document, as offsets into the whole corpus. First pieces `firsts`
        [P + 1]: sequence p consists of pieces `firsts[p]` to `firsts[p + 1]`, exclusive.
    """
    pieces: list[tuple[int, int]] = []
    firsts = [0]
    room = sequence_length - 1
    for index in permutation(len(documents), "packing", seed, epoch):
        first, last = store.document_offsets[documents[index]], store.document_offsets[documents[index] + 1]
        offsets = store.sentence_offsets[first : last + 1].tolist()
        begin = end = offsets[0]
        for sentence_end in offsets[1:]:
            while sentence_end - begin > room - 1:
                # The sentence does not fit: close the piece and the sequence; split a sentence longer than a sequence.
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
