"""The scores of one finished run with intervals over its test texts, for the card.

Shapes: N test texts, C classes, K cells of a table of C x C that are not empty, R resampled test sets.
"""

import dataclasses
from typing import Any

import numpy as np
import pyarrow.parquet
import scipy.sparse
import scipy.stats

from configs.run_folder import RunFolder
from finetune.classification.predictions import PREDICTIONS, per_class
from finetune.comparison.compared_score import is_multi_label, score_name, values_of

RESAMPLED, LEVEL = 1000, 0.95
# Cells of resampled tables at once.
CELLS = 20_000_000
MULTI_LABEL_SCORES = ("micro_f1", "macro_f1", "subset_accuracy")


@dataclasses.dataclass(frozen=True)
class Measure:
    """A score with its interval over test texts, as shares of 1."""

    name: str
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """In percent.

        >>> str(Measure("accuracy", 0.9615, 0.95, 0.97))
        '96.2 % [95.0, 97.0]'
        """
        return f"{100 * self.value:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def measures(run: RunFolder, result: dict[str, Any]) -> list[Measure]:
    """Accuracy with its Wilson interval, and macro-F1 with a bootstrap interval, of a run's test texts.

    Where a text may have several labels: micro- and macro-F1 and subset accuracy, with intervals by linearisation. One
    run cannot give the variance between seeds, which comes on top.
    """
    if is_multi_label(result):
        return [linearised(score_name(name), values_of(run, name)) for name in MULTI_LABEL_SCORES]
    texts = result["test_texts"]
    correct = round(result["test_accuracy"] * texts)
    bounds = scipy.stats.binomtest(correct, texts).proportion_ci(LEVEL, method="wilson")
    accuracy = Measure("accuracy", result["test_accuracy"], float(bounds.low), float(bounds.high))
    counts_CC = confusion(run, len(result["labels"]))
    low, high = bootstrap(counts_CC)
    return [accuracy, Measure("macro-F1", result["test_macro_f1"], low, high)]


def linearised(name: str, values_N: np.ndarray) -> Measure:
    """A score that is the mean of a value for each text.

    >>> str(linearised("micro-F1", np.array([0.0, 1.0] * 50)))
    '50.0 % [40.2, 59.8]'
    """
    value, error = float(values_N.mean()), float(values_N.std(ddof=1)) / len(values_N) ** 0.5
    half = float(scipy.stats.norm.ppf(0.5 + LEVEL / 2)) * error
    return Measure(name, value, max(0.0, value - half), min(1.0, value + half))


def confusion(run: RunFolder, classes: int) -> np.ndarray:
    """How often each class (row) was taken for each class (column), [C, C]."""
    table = pyarrow.parquet.read_table(run.path / PREDICTIONS)
    # Runs made before there were names have ids in the columns without suffix.
    suffix = "_id" if "label_id" in table.column_names else ""
    labels_N, predictions_N = (table[f"{name}{suffix}"].to_numpy() for name in ("label", "prediction"))
    counts_CC = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts_CC, (labels_N, predictions_N), 1)
    return counts_CC


def bootstrap(counts_CC: np.ndarray) -> tuple[float, float]:
    """The interval of macro-F1 over test texts: percentiles over resampled test sets (Efron 1979).

    Classes that neither occur nor are answered in a resampled set are left out of its mean.

    >>> low, high = bootstrap(np.array([[90, 10], [20, 80]]))
    >>> round(low, 2), round(high, 2)
    (0.79, 0.89)
    """
    texts = int(counts_CC.sum())
    # A table of many classes is almost empty, and an empty cell stays empty.
    rows_K, columns_K = np.nonzero(counts_CC)
    shares_K, at_once = counts_CC[rows_K, columns_K] / texts, max(1, CELLS // len(rows_K))
    rng, scores = np.random.default_rng(0), []
    for first in range(0, resampled := max(100, min(RESAMPLED, at_once)), at_once):
        drawn_RK = rng.multinomial(texts, shares_K, size=min(at_once, resampled - first))
        scores.append(macro_f1(drawn_RK, rows_K, columns_K, len(counts_CC)))
    scores_R = np.concatenate(scores)
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(scores_R, [tail, 100 - tail])
    return float(low), float(high)


def macro_f1(counts_RK: np.ndarray, rows_K: np.ndarray, columns_K: np.ndarray, classes: int) -> np.ndarray:
    """The unweighted mean of the classes' F1, [R].

    Args:
        counts_RK: how many texts each cell of a table has.
        rows_K: the cells' classes.
        columns_K: the classes that these were taken for.
        classes: C.

    >>> macro_f1(np.array([[5, 0, 5], [0, 9, 0]]), np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [1.0, 0.0]
    """
    cells_K, shape = np.arange(len(rows_K)), (len(rows_K), classes)
    right = rows_K == columns_K
    right_KC = scipy.sparse.csr_array((right.astype(np.int64), (cells_K, rows_K)), shape)
    total_KC = sum(
        scipy.sparse.csr_array((np.ones_like(cells_K), (cells_K, classes_K)), shape)
        for classes_K in (rows_K, columns_K)
    )
    right_RC, total_RC = counts_RK @ right_KC, counts_RK @ total_KC
    f1_RC = np.divide(2 * right_RC, total_RC, out=np.full(total_RC.shape, np.nan), where=total_RC > 0)
    return np.nanmean(f1_RC, axis=1)


def class_scores(run: RunFolder, result: dict[str, Any]) -> list[tuple[str, dict[str, float]]]:
    """Precision, recall, F1 and number of test texts of each class, in the order of the classes."""
    if is_multi_label(result):
        return list(result["test_per_class"].items())
    counts_CC = confusion(run, len(result["labels"]))
    rows, columns = np.nonzero(counts_CC)
    times = counts_CC[rows, columns]
    # By number: two classes may have the same name.
    names = [str(number) for number in range(len(counts_CC))]
    found = per_class(np.repeat(columns, times), np.repeat(rows, times), names)
    return list(zip(result["labels"], found.values(), strict=True))
