"""Is there anything to learn from pairs? What their labels give away without reading (next-sentence health).

Two probes are trained on training pairs and tried on the held-out ones: gradient-boosted trees on the two lengths, and
on the words that the two segments share. Where the model is no better than these, it has learned no more than these.
"""

from typing import Any

import numpy as np

from pretrain.data.masked_lm_dataset import MaskedLMEpoch, PairPlan
from pretrain.data.randomness import permutation
from pretrain.data.store import TokenStore

MANY_SHORT_DOCUMENTS = 0.5
CLEARLY = 0.03
# Pairs that the probes see, and as many that they are tried on, at the most.
PAIRS = 20_000


def health(training: MaskedLMEpoch, held_out: MaskedLMEpoch, store: TokenStore) -> dict[str, Any]:
    """Class balance, and the held-out accuracy of the two probes.

    Args:
        training, held_out: epochs of pairs.
        store: the corpus.

    Returns:
        `random_share` (of training pairs), `majority`, `length_probe`, `overlap_probe` (held-out shares right),
        `probe_pairs`, `one_sentence_share` (of documents), `sentences_a_document`.
    """
    assert isinstance(training.plan, PairPlan)
    assert isinstance(held_out.plan, PairPlan)
    order = permutation(len(training.plan.rows), "probes", training.masking.seed)
    seen, tried = training.plan.rows[order[:PAIRS]], held_out.plan.rows[:PAIRS]
    rarity_V = rarity(store, training.layout.vocabulary_size)
    labels, expected = seen["next_sentence_label"], tried["next_sentence_label"]
    sentences = np.diff(store.document_offsets)
    return {
        "random_share": float(training.plan.rows["next_sentence_label"].mean()),
        "majority": float(max(expected.mean(), 1 - expected.mean())),
        "length_probe": _accuracy(length_features(seen), labels, length_features(tried), expected),
        "overlap_probe": _accuracy(
            overlap_features(store, seen, rarity_V), labels, overlap_features(store, tried, rarity_V), expected
        ),
        "probe_pairs": len(seen),
        "one_sentence_share": float((sentences == 1).mean()),
        "sentences_a_document": float(sentences.mean()),
    }


def advice(found: dict[str, Any], model: float | None = None) -> list[str]:
    """What a person should do about it; `model` is the trained model's held-out accuracy.

    >>> good = {"one_sentence_share": 0.0, "majority": 0.58, "length_probe": 0.58, "overlap_probe": 0.7}
    >>> advice(good), advice(good, model=0.8)
    ([], [])
    """
    said = []
    if found["one_sentence_share"] > MANY_SHORT_DOCUMENTS:
        said.append(
            f"{found['one_sentence_share']:.0%} of the documents have one sentence, which nothing can follow: turn "
            "next-sentence prediction off (`objective: mlm`)"
        )
    if found["length_probe"] > found["majority"] + CLEARLY:
        said.append(
            f"lengths alone tell {found['length_probe']:.1%} of the labels (majority {found['majority']:.1%}): choose "
            "`pairs: balanced`"
        )
    unread = max(found["majority"], found["length_probe"])
    if model is not None and model < unread + CLEARLY:
        said.append(
            f"the model is right for {model:.1%} of the pairs, hardly more than who does not read them ({unread:.1%}): "
            "train longer, or turn next-sentence prediction off (`objective: mlm`)"
        )
    elif model is not None and model < found["overlap_probe"]:
        said.append(
            f"the model is right for {model:.1%} of the pairs, which shared words alone tell better "
            f"({found['overlap_probe']:.1%}): it has not learned to compare the segments; train longer"
        )
    return said


def described(found: dict[str, Any]) -> str:
    """The health in one line for a person."""
    model = f"model {found['model']:.1%}, " if "model" in found else ""
    return (
        f"next-sentence health: {found['random_share']:.1%} of the pairs random; right on held-out pairs: {model}"
        f"majority {found['majority']:.1%}, lengths alone {found['length_probe']:.1%}, shared words alone "
        f"{found['overlap_probe']:.1%}"
    )


def length_features(rows: np.ndarray) -> np.ndarray:
    """Tokens of A, of B, of both, and the share of A, [P, 4]."""
    a, b = rows["a_end"] - rows["a_begin"], rows["b_end"] - rows["b_begin"]
    return np.column_stack([a, b, a + b, a / (a + b)])


def rarity(store: TokenStore, vocabulary: int) -> np.ndarray:
    """-log of each entry's share of the corpus, [V]."""
    counts_V = np.ones(vocabulary)
    for buffer in store.buffers:
        counts_V += np.bincount(buffer, minlength=vocabulary)[:vocabulary]
    return -np.log(counts_V / counts_V.sum())


def overlap_features(store: TokenStore, rows: np.ndarray, rarity_V: np.ndarray) -> np.ndarray:
    """Of the entries in A and in B: how many are shared, their share of all, weighted by rarity, the rarest; [P, 4]."""
    features = np.zeros((len(rows), 4))
    for number, row in enumerate(rows):
        a = np.unique(store.tokens(row["a_begin"], row["a_end"]))
        b = np.unique(store.tokens(row["b_begin"], row["b_end"]))
        shared = np.intersect1d(a, b, assume_unique=True)
        weight = rarity_V[shared].sum()
        total = rarity_V[a].sum() + rarity_V[b].sum() - weight
        rarest = rarity_V[shared].max(initial=0.0)
        features[number] = (len(shared), len(shared) / (len(a) + len(b) - len(shared)), weight / total, rarest)
    return features


def _accuracy(seen: np.ndarray, labels: np.ndarray, tried: np.ndarray, expected: np.ndarray) -> float:
    from sklearn.ensemble import HistGradientBoostingClassifier

    if len(np.unique(labels)) == 1:
        return float((expected == labels[0]).mean())
    probe = HistGradientBoostingClassifier(max_iter=50, max_depth=3, random_state=0).fit(seen, labels)
    return float((probe.predict(tried) == expected).mean())
