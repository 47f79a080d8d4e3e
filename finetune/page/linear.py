"""A bag-of-words model → one file that a browser reads without parsing.

Little-endian: offsets of the word sequences (uint32 [F + 1]), inverse document frequencies (float32 [F], none for naive
Bayes), weights (float32 [K, F]), bias (float32 [K]), then the sequences as UTF-8, end to end, in the order of their
bytes, so that a binary search finds one.

Shapes: F features, K weight vectors.
"""

import numpy as np

from finetune.classification.bag_of_words import BagOfWords


def packed(model: BagOfWords) -> bytes:
    """The file's content.

    >>> weights_KF, bias_K = np.array([[1.0, 2, 3]]), np.ones(1)
    >>> model = BagOfWords("naive-bayes", ["no", "yes"], 1, ["z", "é", "a"], np.zeros(0), weights_KF, bias_K)
    >>> content = packed(model)
    >>> np.frombuffer(content[:16], "<u4").tolist(), content[32:].decode()
    ([0, 1, 2, 4], 'azé')
    >>> np.frombuffer(content[16:32], "<f4").tolist()
    [3.0, 1.0, 2.0, 1.0]
    """
    sequences = [sequence.encode() for sequence in model.vocabulary]
    order = sorted(range(len(sequences)), key=sequences.__getitem__)
    offsets = np.cumsum([0, *(len(sequences[number]) for number in order)])
    idf_F = model.idf_F[order] if len(model.idf_F) else model.idf_F
    numbers = [idf_F, model.weights_KF[:, order], model.bias_K]
    parts = [offsets.astype("<u4").tobytes(), *(array.astype("<f4").tobytes() for array in numbers)]
    return b"".join(parts + [sequences[number] for number in order])
