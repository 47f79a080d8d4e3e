"""What a finished fine-tuning run leaves: `result.json` and the answer to every test text."""

from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from configs.run_folder import RunFolder
from finetune.classification.labels import LabelSet
from finetune.classification.metrics import scores

PREDICTIONS = "predictions.parquet"


def finish(
    folder: RunFolder,
    facts: dict[str, Any],
    validated: dict[str, float],
    classes: LabelSet,
    probabilities_NC: np.ndarray,
    labels_N: np.ndarray,
) -> None:
    """Write the predictions, then the result.

    Args:
        folder: of the run.
        facts: what else the result tells.
        validated: scores on the validation texts, of the model as kept.
        classes: names the classes.
        probabilities_NC: of each class, for each test text.
        labels_N: the test texts' true classes.
    """
    table = pyarrow.table(
        {
            "label": labels_N.astype(np.int32),
            "prediction": probabilities_NC.argmax(1).astype(np.int32),
            "probabilities": list(probabilities_NC.astype(np.float32)),
        }
    )
    pyarrow.parquet.write_table(table, folder.path / PREDICTIONS)
    tested = scores(probabilities_NC.argmax(1), labels_N)
    folder.finish(
        facts
        | {"labels": classes.names}
        | {f"eval_{name}": value for name, value in validated.items()}
        | {f"test_{name}": value for name, value in tested.items()}
    )


def correct(folder: RunFolder) -> np.ndarray:
    """For each test text, 1.0 where the prediction is right and 0.0 where it is wrong, [N]."""
    table = pyarrow.parquet.read_table(folder.path / PREDICTIONS, columns=["label", "prediction"])
    return (table["label"].to_numpy() == table["prediction"].to_numpy()).astype(np.float64)
