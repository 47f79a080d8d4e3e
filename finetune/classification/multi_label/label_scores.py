"""F1 and the like, of decisions about labels; what each text adds to them; and the best constant answer.

One class a text is a decision about each class, too (`as_decisions`), so that its macro-F1 is the same thing.

Shapes: N texts, C labels.
"""

from collections.abc import Mapping, Sequence

import numpy as np

# Of the one-sided test against a constant answer.
SIGNIFICANCE = 0.05
SCORES = ("micro_f1", "macro_f1", "subset_accuracy", "matthews")


def as_decisions(classes_N: np.ndarray, count: int) -> np.ndarray:
    """One class a text as a 0 or 1 for each of `count` classes, [N, C]; several labels as they are.

    >>> as_decisions(np.array([1, 0]), 3).tolist()
    [[0, 1, 0], [1, 0, 0]]
    """
    return classes_N if classes_N.ndim == 2 else np.eye(count, dtype=np.int8)[classes_N]


def label_scores(decisions_NC: np.ndarray, labels_NC: np.ndarray) -> dict[str, float]:
    """`micro_f1` over all decisions, `macro_f1` over labels, `subset_accuracy`, and `matthews` over all decisions.

    Labels that no text has and that no decision gives are left out of macro-F1.

    >>> labels = np.array([[1, 0], [1, 1], [0, 0]])
    >>> label_scores(labels, labels)
    {'micro_f1': 1.0, 'macro_f1': 1.0, 'subset_accuracy': 1.0, 'matthews': 1.0}
    """
    hits_C, given_C, true_C = _sums(decisions_NC, labels_NC)
    values = {name: float(_score(name, hits_C, given_C, true_C)) for name in ("micro_f1", "macro_f1")}
    values["subset_accuracy"] = float((decisions_NC == labels_NC).all(1).mean())
    return values | {"matthews": matthews(hits_C.sum(), given_C.sum(), true_C.sum(), labels_NC.size)}


def matthews(hits: float, given: float, true: float, decisions: int) -> float:
    """Matthews' correlation of yes-or-no decisions; 0 where all decisions, or all labels, are the same."""
    spread = given * (decisions - given) * true * (decisions - true)
    return float((hits * decisions - given * true) / np.sqrt(float(spread))) if spread else 0.0


def _sums(decisions_NC: np.ndarray, labels_NC: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True positives, positive decisions and true labels of each label, each [C]."""
    decisions_NC, labels_NC = decisions_NC.astype(np.int64), labels_NC.astype(np.int64)
    return (decisions_NC * labels_NC).sum(0), decisions_NC.sum(0), labels_NC.sum(0)


def _score(name: str, hits: np.ndarray, given: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Micro- or macro-F1 from counts of each label, [..., C] → [...]."""
    if name == "micro_f1":
        hits, given, true = (counts.sum(-1, keepdims=True) for counts in (hits, given, true))
    total = given + true
    f1 = 2 * hits / np.maximum(total, 1)
    return f1.sum(-1) / np.maximum((total > 0).sum(-1), 1)


def text_values(name: str, decisions_NC: np.ndarray, labels_NC: np.ndarray) -> np.ndarray:
    """A value for each text, [N], of which the mean is the score and the variance over N that of the score.

    Of `subset_accuracy` (and of the accuracy of one class a text), 1 where it is right. F1 is no mean over texts; its
    values are the jackknife's pseudo-values, N F - (N - 1) F without the text (Tukey 1958; Efron and Stein 1981, "The
    jackknife estimate of variance"), moved so that their mean is F.

    >>> rng = np.random.default_rng(0)
    >>> labels, decisions = rng.integers(0, 2, (2, 100, 3))
    >>> values = text_values("macro_f1", decisions, labels)
    >>> bool(np.isclose(values.mean(), label_scores(decisions, labels)["macro_f1"]))
    True
    """
    if name in ("subset_accuracy", "accuracy"):
        return (decisions_NC == labels_NC).all(1).astype(np.float64)
    hits_C, given_C, true_C = _sums(decisions_NC, labels_NC)
    whole, texts = _score(name, hits_C, given_C, true_C), len(labels_NC)
    if name == "macro_f1":
        # The same labels without any one of the texts.
        counted_C = given_C + true_C > 0
        decisions_NC, labels_NC = decisions_NC[:, counted_C], labels_NC[:, counted_C]
        hits_C, given_C, true_C = hits_C[counted_C], given_C[counted_C], true_C[counted_C]
    hits_NC, given_NC, true_NC = hits_C - decisions_NC * labels_NC, given_C - decisions_NC, true_C - labels_NC
    if name == "micro_f1":
        hits_NC, given_NC, true_NC = (counts.sum(1, keepdims=True) for counts in (hits_NC, given_NC, true_NC))
    f1_NC = 2 * hits_NC / np.maximum(given_NC + true_NC, 1)
    without_N = f1_NC.mean(1) if f1_NC.shape[1] else np.zeros(texts)
    return float(whole) + (texts - 1) * (without_N.mean() - without_N)


def per_label(decisions_NC: np.ndarray, labels_NC: np.ndarray, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Precision, recall and F1 of each label, and its number of texts; 0 where there is nothing to divide by.

    >>> per_label(np.array([[1, 0], [1, 0]]), np.array([[1, 0], [0, 0]]), ["bug", "praise"])["bug"]
    {'precision': 0.5, 'recall': 1.0, 'f1': 0.6666666666666666, 'texts': 1}
    """
    rows = {}
    for name, *counts in zip(names, *(sums.tolist() for sums in _sums(decisions_NC, labels_NC)), strict=True):
        hits, given, true = counts
        precision, recall, f1 = hits / max(1, given), hits / max(1, true), 2 * hits / max(1, given + true)
        rows[name] = {"precision": precision, "recall": recall, "f1": f1, "texts": true}
    return rows


def best_constant(name: str, labels_NC: np.ndarray) -> np.ndarray:
    """The labels that give the best score if every text gets them, [C].

    Of the most frequent label set, and the 0, 1, 2 … C most frequent labels; those of most texts are among these.

    >>> best_constant("micro_f1", np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1]])).tolist()
    [1, 0, 0]
    """
    sets, counts = np.unique(labels_NC.astype(np.int64), axis=0, return_counts=True)
    frequency_C = labels_NC.sum(0, dtype=np.int64)
    rank_C = np.empty(len(frequency_C), dtype=np.int64)
    rank_C[np.argsort(-frequency_C, kind="stable")] = np.arange(len(frequency_C))
    candidates = [sets[counts.argmax()], *((rank_C < most).astype(np.int64) for most in range(len(rank_C) + 1))]

    def score(answer_C: np.ndarray) -> float:
        if name == "subset_accuracy":
            return float((answer_C == labels_NC).all(1).mean())
        return float(_score(name, answer_C * frequency_C, answer_C * len(labels_NC), frequency_C))

    return max(candidates, key=score)


def beats_constant(name: str, decisions_NC: np.ndarray, labels_NC: np.ndarray, constant_NC: np.ndarray) -> bool | None:
    """Whether a score is above that of a constant answer (one-sided, paired over texts, 5 %).

    None where even an answer without a mistake would not show it, with a handful of texts.
    """
    import scipy.stats

    def chance(answers_NC: np.ndarray) -> float:
        gains_N = text_values(name, answers_NC, labels_NC) - text_values(name, constant_NC, labels_NC)
        error = float(gains_N.std(ddof=1)) / np.sqrt(len(gains_N)) if len(gains_N) > 1 else 0.0
        if error == 0:
            return 0.0 if gains_N.mean() > 0 and len(gains_N) > 1 else 1.0
        return float(scipy.stats.t.sf(gains_N.mean() / error, len(gains_N) - 1))

    return chance(decisions_NC) < SIGNIFICANCE if chance(labels_NC) < SIGNIFICANCE else None


def against_constant(decisions_NC: np.ndarray, labels_NC: np.ndarray) -> Mapping[str, float | bool | None]:
    """The scores of the best constant answers, and whether the decisions' micro-F1 is above that."""
    facts: dict[str, float | bool | None] = {}
    for name in ("micro_f1", "macro_f1", "subset_accuracy"):
        constant_NC = np.broadcast_to(best_constant(name, labels_NC), labels_NC.shape)
        facts[f"test_majority_{name}"] = label_scores(constant_NC, labels_NC)[name]
        if name == "micro_f1":
            facts["beats_majority"] = beats_constant(name, decisions_NC, labels_NC, constant_NC)
    return facts
