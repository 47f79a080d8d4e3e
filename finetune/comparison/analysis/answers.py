"""What runs answered to each test text, as far as a part of the report needs more than right or wrong.

Shapes: R runs, N test texts, C classes.
"""

import dataclasses
import functools
import json
from collections.abc import Sequence

import numpy as np
import pyarrow
import pyarrow.parquet

from finetune.classification.predictions import PREDICTIONS
from finetune.comparison.scores import Run


@dataclasses.dataclass(frozen=True)
class LabelledTexts:
    """The test texts, with their place."""

    texts: list[str]
    truths: list[str]
    """The names of their labels."""
    places: list[str]
    """File and row."""


@dataclasses.dataclass(frozen=True)
class Answers:
    """Classes and probabilities of the runs of one model at one label budget."""

    classes: list[str]
    labels_N: np.ndarray
    predictions_RN: np.ndarray
    probabilities_RNC: np.ndarray
    """Calibrated where the run knows its temperature."""
    calibrated: bool

    @functools.cached_property
    def truth_probability(self) -> np.ndarray:
        """The probability of the true class, mean over the runs."""
        return self.probabilities_RNC.mean(0)[np.arange(len(self.labels_N)), self.labels_N]


def read_texts(run: Run) -> LabelledTexts | None:
    """The test texts of a run; None of runs made before they were stored with the predictions."""
    file = run.folder.path / PREDICTIONS
    names = pyarrow.parquet.read_schema(file).names
    if "text" not in names:
        return None
    wanted = [name for name in ("text", "second_text", "label", "prediction", "file", "row") if name in names]
    table = pyarrow.parquet.read_table(file, columns=wanted).to_pydict()
    count = len(table["text"])
    seconds, files = table.get("second_text") or [None] * count, table.get("file") or [""] * count
    rows = table.get("row") or list(range(count))
    return LabelledTexts(
        texts=[
            text if second is None else f"{text}\n{second}" for text, second in zip(table["text"], seconds, strict=True)
        ],
        truths=[_name(label) for label in table["label"]],
        places=[f"{str(file).rsplit('/', 1)[-1]}, row {row}" for file, row in zip(files, rows, strict=True)],
    )


def _name(label: str | list[str]) -> str:
    """The name of a label, or those of several."""
    return label if isinstance(label, str) else ", ".join(label)


def read_answers(runs: Sequence[Run]) -> Answers | None:
    """The classes and probabilities of runs; None where texts have several labels, or of older runs without ids."""
    tables = []
    for run in runs:
        file = run.folder.path / PREDICTIONS
        schema = pyarrow.parquet.read_schema(file)
        if not {"label_id", "prediction_id", "probabilities"} <= set(schema.names):
            return None
        if pyarrow.types.is_list(schema.field("label_id").type):
            return None
        tables.append(pyarrow.parquet.read_table(file, columns=["label_id", "prediction_id", "probabilities"]))
    stored = json.loads((tables[0].schema.metadata or {}).get(b"classes", b"null"))
    temperatures = [run.folder.result().get("temperature") for run in runs]
    known = [temperature for temperature in temperatures if temperature is not None]
    probabilities_RNC = np.stack([_matrix(table.column("probabilities")) for table in tables])
    if len(known) == len(runs):
        probabilities_RNC = np.stack(
            [tempered(values_NC, value) for values_NC, value in zip(probabilities_RNC, known, strict=True)]
        )
    return Answers(
        classes=stored or runs[0].folder.result()["labels"],
        labels_N=tables[0].column("label_id").to_numpy(),
        predictions_RN=np.stack([table.column("prediction_id").to_numpy() for table in tables]),
        probabilities_RNC=probabilities_RNC,
        calibrated=len(known) == len(runs),
    )


def _matrix(column: pyarrow.ChunkedArray) -> np.ndarray:
    """A column of lists of the same length, [N, C]."""
    return column.combine_chunks().flatten().to_numpy().astype(np.float64).reshape(len(column), -1)


def tempered(probabilities_NC: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities as if their logits had been divided by a temperature.

    >>> tempered(np.array([[0.9, 0.1]]), 2.0).round(2).tolist()
    [[0.75, 0.25]]
    """
    # The least number that the stored float32 has.
    logits_NC = np.log(np.maximum(probabilities_NC, 1e-38)) / temperature
    powers_NC = np.exp(logits_NC - logits_NC.max(1, keepdims=True))
    return powers_NC / powers_NC.sum(1, keepdims=True)
