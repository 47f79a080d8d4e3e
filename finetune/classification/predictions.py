"""The outputs of a fine-tuning run: `result.json` and the prediction for every test text."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from configs.run_folder import RunFolder
from finetune.classification.labels import LabelSet
from finetune.classification.metrics import scores

PREDICTIONS = "predictions.parquet"
TIMINGS = "timings.json"
SIGNIFICANCE = 0.05


def write_result(
    folder: RunFolder,
    facts: dict[str, Any],
    validation_scores: dict[str, float],
    classes: LabelSet,
    probabilities_NC: np.ndarray,
    labels_N: np.ndarray,
    texts: pyarrow.Table,
) -> None:
    """Write the predictions, then the result, which marks the run as finished.

    Shapes: N test texts, C classes.

    Args:
        folder: the run folder.
        facts: other entries of the result.
        validation_scores: loss and scores of the final model on the validation texts.
        classes: the classes of the task.
        probabilities_NC: class probabilities of each test text.
        labels_N: true class indices.
        texts: the test texts, [N] rows with the columns `text`, `second_text`, `file` and `row`.
    """
    names, predictions_N = np.array(classes.names, dtype=object), probabilities_NC.argmax(1)
    columns = {
        "label": names[labels_N],
        "prediction": names[predictions_N],
        "label_id": labels_N.astype(np.int32),
        "prediction_id": predictions_N.astype(np.int32),
        "probabilities": list(probabilities_NC.astype(np.float32)),
    }
    table = pyarrow.table(columns | {name: texts.column(name) for name in texts.column_names})
    # The order of the probabilities.
    table = table.replace_schema_metadata({"classes": json.dumps(classes.names)})
    pyarrow.parquet.write_table(table, folder.path / PREDICTIONS)
    test_scores = scores(probabilities_NC.argmax(1), labels_N)
    folder.finish(
        facts
        | {"labels": classes.names}
        | {f"eval_{name}": value for name, value in validation_scores.items()}
        | {f"test_{name}": value for name, value in test_scores.items()}
        | against_majority(probabilities_NC.argmax(1), labels_N)
        | {"test_per_class": per_class(probabilities_NC.argmax(1), labels_N, classes.names)}
    )


def per_class(predictions_N: np.ndarray, labels_N: np.ndarray, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Precision, recall and F1 of each class, and its number of texts; 0 where there is nothing to divide by.

    >>> per_class(np.array([0, 0, 1]), np.array([0, 1, 1]), ["bad", "good"])["good"]
    {'precision': 1.0, 'recall': 0.5, 'f1': 0.6666666666666666, 'texts': 2}
    """
    import sklearn.metrics

    found = sklearn.metrics.precision_recall_fscore_support(
        labels_N, predictions_N, labels=np.arange(len(names)), zero_division=0
    )
    rows = zip(*(values.tolist() for values in found), strict=True)
    return {
        name: dict(zip(("precision", "recall", "f1", "texts"), row, strict=True))
        for name, row in zip(names, rows, strict=True)
    }


def against_majority(predictions_N: np.ndarray, labels_N: np.ndarray) -> dict[str, float | bool | None]:
    """The share of the most frequent class, and whether the accuracy is above it (one-sided binomial test, 5 %).

    None where even an answer without a mistake would not show it, with a handful of texts or one class.

    >>> labels = np.array([0] * 60 + [1] * 40)
    >>> against_majority(labels, labels), against_majority(np.zeros(100), labels)
    ({'test_majority': 0.6, 'beats_majority': True}, {'test_majority': 0.6, 'beats_majority': False})
    """
    import scipy.stats

    majority = float(np.bincount(labels_N).max() / len(labels_N))
    correct = int((predictions_N == labels_N).sum())
    chance = scipy.stats.binomtest(correct, len(labels_N), majority, alternative="greater").pvalue
    tells = majority ** len(labels_N) < SIGNIFICANCE
    return {"test_majority": majority, "beats_majority": bool(chance < SIGNIFICANCE) if tells else None}


def correctness(folder: RunFolder) -> np.ndarray:
    """1.0 for each correctly classified test text and 0.0 for every other one, [N]."""
    file = folder.path / PREDICTIONS
    # Two classes may have the same name. Runs made before there were names have ids in the columns without suffix.
    suffix = "_id" if "label_id" in pyarrow.parquet.read_schema(file).names else ""
    table = pyarrow.parquet.read_table(file, columns=[f"label{suffix}", f"prediction{suffix}"])
    return (table.column(0).to_numpy() == table.column(1).to_numpy()).astype(np.float64)


def digest_of_test_texts(folder: RunFolder) -> str:
    """A digest of the test texts and their labels, in order; of runs made before it was stored, of the labels."""
    file = folder.path / PREDICTIONS
    columns = [name for name in ("label", "text", "second_text") if name in pyarrow.parquet.read_schema(file).names]
    digest = hashlib.sha256()
    for values in pyarrow.parquet.read_table(file, columns=columns).to_pydict().values():
        digest.update(json.dumps(values).encode())
    return digest.hexdigest()
