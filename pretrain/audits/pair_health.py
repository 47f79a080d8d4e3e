"""Can the labels of pairs be predicted without reading the text? (next-sentence health)

Two probes are trained on training pairs and tested on held-out ones: gradient-boosted trees on the two lengths, and on
the words that the two segments share. A model that is no better than the probes has learned no more than they have.
"""

from typing import Any

import numpy as np

from pretrain.data.masked_lm_dataset import MaskedLMEpoch, PairPlan
from pretrain.data.randomness import permutation
from pretrain.data.store import TokenStore

MANY_SHORT_DOCUMENTS = 0.5
MARGIN = 0.03
# Maximum number of pairs to train the probes on, and to test them on.
MAXIMUM_PAIRS = 20_000


# The share of the majority label from which on there is nothing to predict.
ONE_LABEL = 0.95


def health(training: MaskedLMEpoch, held_out: MaskedLMEpoch, store: TokenStore) -> dict[str, Any]:
    """Class balance, and the held-out accuracy of the two probes.

    Args:
        training, held_out: epochs of pairs.
        store: the corpus.

    Returns:
        `random_share` (of training pairs), `majority`, `length_probe`, `overlap_probe` (held-out accuracies),
        `probe_pairs`, `one_sentence_share` (of documents), `sentences_a_document`.
    """
    assert isinstance(training.plan, PairPlan)
    assert isinstance(held_out.plan, PairPlan)
    order = permutation(len(training.plan.rows), "probes", training.masking.seed)
    train, test = training.plan.rows[order[:MAXIMUM_PAIRS]], held_out.plan.rows[:MAXIMUM_PAIRS]
    rarity_V = rarity(store, training.layout.vocabulary_size)
    train_labels, test_labels = train["next_sentence_label"], test["next_sentence_label"]
    sentences = np.diff(store.document_offsets)
    return {
        "random_share": float(training.plan.rows["next_sentence_label"].mean()),
        "majority": float(max(test_labels.mean(), 1 - test_labels.mean())),
        "length_probe": _accuracy(length_features(train), train_labels, length_features(test), test_labels),
        "overlap_probe": _accuracy(
            overlap_features(store, train, rarity_V), train_labels, overlap_features(store, test, rarity_V), test_labels
        ),
        "probe_pairs": len(train),
        "one_sentence_share": float((sentences == 1).mean()),
        "sentences_a_document": float(sentences.mean()),
    }


def advice(report: dict[str, Any], model: float | None = None) -> list[str]:
    """Advice on the objective and its pairs; `model` is the trained model's held-out accuracy.

    >>> good = {"one_sentence_share": 0.0, "majority": 0.58, "length_probe": 0.58, "overlap_probe": 0.7}
    >>> advice(good), advice(good, model=0.8)
    ([], [])
    """
    lines = []
    if report["one_sentence_share"] > MANY_SHORT_DOCUMENTS:
        lines.append(
            f"{report['one_sentence_share']:.0%} of the documents have one sentence, which nothing can follow: turn "
            "next-sentence prediction off (`objective: mlm`)"
        )
    if report["length_probe"] > report["majority"] + MARGIN:
        lines.append(
            f"lengths alone predict {report['length_probe']:.1%} of the labels (majority {report['majority']:.1%}): "
            "choose `pairs: balanced`"
        )
    baseline = max(report["majority"], report["length_probe"])
    if report["majority"] > ONE_LABEL:
        lines.append(
            f"{report['majority']:.0%} of the pairs have one label, as sentences are about as long as a segment: there "
            "is nothing to learn; turn next-sentence prediction off (`objective: mlm`), or raise sequence_length"
        )
    elif model is not None and model < baseline + MARGIN:
        lines.append(
            f"the model is right for {model:.1%} of the pairs, hardly more than without reading them ({baseline:.1%}): "
            "train longer, or turn next-sentence prediction off (`objective: mlm`)"
        )
    elif model is not None and model < report["overlap_probe"]:
        lines.append(
            f"the model is right for {model:.1%} of the pairs, but shared words alone are right for more "
            f"({report['overlap_probe']:.1%}): it has not learned to compare the segments; train longer"
        )
    return lines


def summary_line(report: dict[str, Any]) -> str:
    """A summary of the report in one line."""
    model = f"model {report['model']:.1%}, " if "model" in report else ""
    return (
        f"next-sentence health: {report['random_share']:.1%} of the pairs random; accuracy on held-out pairs: {model}"
        f"majority {report['majority']:.1%}, lengths alone {report['length_probe']:.1%}, shared words alone "
        f"{report['overlap_probe']:.1%}"
    )


def length_features(rows: np.ndarray) -> np.ndarray:
    """Tokens of A, of B, of both, and the share of A, [P, 4]."""
    a, b = rows["a_end"] - rows["a_begin"], rows["b_end"] - rows["b_begin"]
    return np.column_stack([a, b, a + b, a / (a + b)])


def rarity(store: TokenStore, vocabulary: int) -> np.ndarray:
    """-log of the relative frequency of each vocabulary entry, [V]."""
    counts_V = np.ones(vocabulary)
    for buffer in store.buffers:
        counts_V += np.bincount(buffer, minlength=vocabulary)[:vocabulary]
    return -np.log(counts_V / counts_V.sum())


def overlap_features(store: TokenStore, rows: np.ndarray, rarity_V: np.ndarray) -> np.ndarray:
    """For the entries of A and B: number shared, Jaccard index, Jaccard weighted by rarity, rarest shared; [P, 4]."""
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


def _accuracy(train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray) -> float:
    from sklearn.ensemble import HistGradientBoostingClassifier

    if len(np.unique(train_labels)) == 1:
        return float((test_labels == train_labels[0]).mean())
    probe = HistGradientBoostingClassifier(max_iter=50, max_depth=3, random_state=0).fit(train, train_labels)
    return float((probe.predict(test) == test_labels).mean())
