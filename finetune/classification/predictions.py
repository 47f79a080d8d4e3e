"""The outputs of a fine-tuning run: `result.json` and the prediction for every test text."""

from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from configs.run_folder import RunFolder
from finetune.classification.labels import LabelSet
from finetune.classification.metrics import scores

PREDICTIONS = "predictions.parquet"


def write_result(
    folder: RunFolder,
    facts: dict[str, Any],
    validation_scores: dict[str, float],
    classes: LabelSet,
    probabilities_NC: np.ndarray,
    labels_N: np.ndarray,
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
    """
    table = pyarrow.table(
        {
            "label": labels_N.astype(np.int32),
            "prediction": probabilities_NC.argmax(1).astype(np.int32),
            "probabilities": list(probabilities_NC.astype(np.float32)),
        }
    )
    pyarrow.parquet.write_table(table, folder.path / PREDICTIONS)
    test_scores = scores(probabilities_NC.argmax(1), labels_N)
    folder.finish(
        facts
        | {"labels": classes.names}
        | {f"eval_{name}": value for name, value in validation_scores.items()}
        | {f"test_{name}": value for name, value in test_scores.items()}
    )


def correctness(folder: RunFolder) -> np.ndarray:
    """1.0 for each correctly classified test text and 0.0 for every other one, [N]."""
    table = pyarrow.parquet.read_table(folder.path / PREDICTIONS, columns=["label", "prediction"])
    return (table["label"].to_numpy() == table["prediction"].to_numpy()).astype(np.float64)
