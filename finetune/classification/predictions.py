"""The outputs of a fine-tuning run: `result.json` and the prediction for every test text."""

import hashlib
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow
import pyarrow.parquet

from configs.errors import InputError
from configs.run_folder import RunFolder, write_atomically
from finetune.classification.calibration import calibrated
from finetune.classification.config import MULTI_LABEL, TaskConfig
from finetune.classification.labels import LabelSet
from finetune.classification.metrics import scores
from finetune.classification.multi_label import label_scores
from finetune.classification.multi_label.thresholds import choose_thresholds, decide

PREDICTIONS = "predictions.parquet"
TIMINGS = "timings.json"
# What a result with `refit` has of both trainings.
TAKEN_BY_BOTH = ("seconds", "tokens", "steps")
# Before the scores of a result that are not of test texts.
VALIDATION = "eval_"
# Of epochs in a log.
ROUNDED = 1e-3
# Texts that are classified alone, one after the other.
ALONE = 24
SIGNIFICANCE = 0.05


class Chosen(NamedTuple):
    """What a finished run has chosen on validation texts, for one on all labels (`refit`, as in scikit-learn)."""

    result: dict[str, Any]
    share: float
    """The share of the training's duration after which the weights were best; 1 without such checkpoints."""
    timings: dict[str, float]
    """What the run took of the machine."""

    @classmethod
    def of(cls, folder: RunFolder, duration: str) -> "Chosen":
        """What the run in a folder has chosen.

        Args:
            folder: of the run that kept validation texts.
            duration: of its training, as configured.

        Raises:
            InputError: its log does not tell how far it was when it was best.
        """
        from pretrain.training.metric_logger import read_metrics
        from pretrain.training.schedule import Duration

        result, timings = folder.result(), timings_of(folder)
        if (best := result.get("best_step")) is None:
            return cls(result, 1.0, timings)
        rows = [row for row in read_metrics(folder.metrics) if "eval_loss" in row and row["step"] == best]
        if not rows:
            raise InputError(
                f"refit: {folder.metrics} has no evaluation of step {best}; delete its folder and run again"
            )
        row = rows[-1]
        share = Duration.parse(duration).progress(row["epoch"], row["step"], row["tokens"], row["seconds"])
        # Rows have rounded epochs.
        return cls(result, 1.0 if share > 1 - ROUNDED else share, timings)

    @property
    def temperature(self) -> float:
        """Of the calibration."""
        return self.result["temperature"]

    @property
    def thresholds(self) -> np.ndarray | None:
        """From which calibrated probability on each label applies, where a text may have several."""
        thresholds = self.result.get("thresholds")
        return None if thresholds is None else np.array(thresholds)

    @property
    def validation_scores(self) -> dict[str, float]:
        """Loss and scores on the texts that were validated on then."""
        return {
            name.removeprefix(VALIDATION): value for name, value in self.result.items() if name.startswith(VALIDATION)
        }

    def facts(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """Entries of the result of the training on all labels: what both trainings took, and how long the second was.

        Args:
            own: entries of the training on all labels alone.
        """
        both = {name: own[name] + self.result[name] for name in TAKEN_BY_BOTH if name in own}
        return {"refit": True, "refit_share": self.share} | both

    def taken(self, own: Mapping[str, float]) -> dict[str, float]:
        """`timings.json` of the training on all labels: the energy and the memory of both runs.

        Args:
            own: those of the second run alone.
        """
        both = dict(own)
        for name, combine in (("joules", sum), ("peak_memory_bytes", max)):
            if name in own:
                both.pop(name)
                if name in self.timings:
                    both[name] = combine([own[name], self.timings[name]])
        return both


def timings_of(folder: RunFolder) -> dict[str, float]:
    """What a run took of its machine: beside the result, or of older runs the test's seconds in it."""
    try:
        return json.loads((folder.path / TIMINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        result = folder.result()
        return {"test_seconds": result["test_seconds"]} if "test_seconds" in result else {}


def write_timings(folder: RunFolder, timings: dict[str, float], chosen: Chosen | None) -> None:
    """Write `timings.json`; of a run on all labels, with what the run took that has chosen for it."""
    both = timings if chosen is None else chosen.taken(timings)
    write_atomically(folder.path / TIMINGS, json.dumps(both) + "\n")


class LabelDecisions(NamedTuple):
    """Which labels apply, where a text may have several."""

    thresholds_C: np.ndarray
    """The calibrated probability from which on each label applies."""
    test_NC: np.ndarray
    """1 where a label applies to a test text."""


def label_thresholds(
    validation: tuple[np.ndarray, np.ndarray], temperature: float, config: TaskConfig
) -> np.ndarray | None:
    """The calibrated probability from which on each label applies, [C]; None of one class a text.

    Args:
        validation: logits of the validation texts, and their class indices, or [N, C] labels.
        temperature: of the calibration.
        config: of the task.
    """
    logits_NC, labels_N = validation
    if labels_N.ndim == 1:
        return None
    return choose_thresholds(calibrated(logits_NC.astype(np.float64), temperature, multi_label=True), labels_N, config)


def label_decisions(
    thresholds_C: np.ndarray | None, test_logits_NC: np.ndarray, temperature: float
) -> LabelDecisions | None:
    """Decisions about the labels of test texts; None of one class a text, where there are no thresholds.

    Args:
        thresholds_C: chosen on validation texts.
        test_logits_NC: of the test texts.
        temperature: of the calibration.
    """
    if thresholds_C is None:
        return None
    test_NC = calibrated(test_logits_NC.astype(np.float64), temperature, multi_label=True)
    return LabelDecisions(thresholds_C, decide(test_NC, thresholds_C))


def scores_as_tested(
    validation_scores: dict[str, float],
    validation: tuple[np.ndarray, np.ndarray],
    temperature: float,
    thresholds_C: np.ndarray | None,
) -> dict[str, float]:
    """The loss, and the metrics by the decisions that are tested: calibrated probabilities at the thresholds.

    Args:
        validation_scores: loss and metrics of the validation texts, as one class a text has them.
        validation: as in `label_thresholds`.
        temperature: of the calibration.
        thresholds_C: from `label_thresholds`.
    """
    logits_NC, labels_N = validation
    decisions = label_decisions(thresholds_C, logits_NC, temperature)
    if decisions is None:
        return validation_scores
    return {"loss": validation_scores["loss"]} | scores(decisions.test_NC, labels_N)


def write_result(
    folder: RunFolder,
    facts: dict[str, Any],
    validation_scores: dict[str, float],
    classes: LabelSet,
    probabilities_NC: np.ndarray,
    labels_N: np.ndarray,
    texts: pyarrow.Table,
    decisions: LabelDecisions | None = None,
) -> None:
    """Write the predictions, then the result, which marks the run as finished.

    Shapes: N test texts, C classes or labels.

    Args:
        folder: the run folder.
        facts: other entries of the result.
        validation_scores: loss and scores of the final model on the validation texts.
        classes: the classes of the task.
        probabilities_NC: class probabilities of each test text, or those of each label, not calibrated.
        labels_N: true class indices, or [N, C] labels.
        texts: the test texts, [N] rows with the columns `text`, `second_text`, `file` and `row`.
        decisions: where a text may have several labels, which apply.
    """
    predictions_N = probabilities_NC.argmax(1)
    if decisions is not None:
        predictions_N = decisions.test_NC
        facts |= {"problem_type": MULTI_LABEL, "thresholds": decisions.thresholds_C.tolist()}
    columns = _answers(labels_N, predictions_N, classes.names)
    columns["probabilities"] = list(probabilities_NC.astype(np.float32))
    table = pyarrow.table(columns | {name: texts.column(name) for name in texts.column_names})
    # The order of the probabilities.
    table = table.replace_schema_metadata({"classes": json.dumps(classes.names)})
    pyarrow.parquet.write_table(table, folder.path / PREDICTIONS)
    test_scores = scores(predictions_N, labels_N)
    several = labels_N.ndim == 2
    by_class, constant = (
        (label_scores.per_label, label_scores.against_constant) if several else (per_class, against_majority)
    )
    folder.finish(
        facts
        | {"labels": classes.names}
        | {f"{VALIDATION}{name}": value for name, value in validation_scores.items()}
        | {f"test_{name}": value for name, value in test_scores.items()}
        | dict(constant(predictions_N, labels_N))
        | {"test_per_class": by_class(predictions_N, labels_N, classes.names)}
    )


def _answers(labels_N: np.ndarray, predictions_N: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """The columns of truth and prediction, as names and as numbers; lists where a text may have several labels."""
    columns: dict[str, Any] = {}
    for name, values_N in (("label", labels_N), ("prediction", predictions_N)):
        if values_N.ndim == 1:
            columns[name], columns[f"{name}_id"] = np.array(names, dtype=object)[values_N], values_N.astype(np.int32)
            continue
        ids = [np.flatnonzero(row_C).tolist() for row_C in values_N]
        columns[name] = pyarrow.array([[names[label] for label in row] for row in ids], pyarrow.list_(pyarrow.string()))
        columns[f"{name}_id"] = pyarrow.array(ids, pyarrow.list_(pyarrow.int32()))
    return {name: columns[name] for name in ("label", "prediction", "label_id", "prediction_id")}


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
    """1.0 for each correctly classified test text and 0.0 for every other one, [N]; all of its labels must be right."""
    predictions_N, labels_N = predicted_and_true(folder)
    right = predictions_N == labels_N
    return (right.all(1) if right.ndim == 2 else right).astype(np.float64)


def predicted_and_true(folder: RunFolder) -> tuple[np.ndarray, np.ndarray]:
    """The predicted and the true class of each test text, [N]; where it may have several labels, [N, C]."""
    file = folder.path / PREDICTIONS
    # Two classes may have the same name. Runs made before there were names have ids in the columns without suffix.
    schema = pyarrow.parquet.read_schema(file)
    suffix = "_id" if "label_id" in schema.names else ""
    table = pyarrow.parquet.read_table(file, columns=[f"prediction{suffix}", f"label{suffix}"])
    if not pyarrow.types.is_list(table.schema.field(0).type):
        return table.column(0).to_numpy(), table.column(1).to_numpy()
    count = len(json.loads((schema.metadata or {})[b"classes"]))
    several = []
    for column in table.columns:
        ids = column.combine_chunks()
        matrix_NC = np.zeros((len(ids), count), dtype=np.int8)
        lengths_N = ids.value_lengths().to_numpy()
        matrix_NC[np.repeat(np.arange(len(ids)), lengths_N), ids.flatten().to_numpy()] = 1
        several.append(matrix_NC)
    return several[0], several[1]


def digest_of_test_texts(folder: RunFolder) -> str:
    """A digest of the test texts and their labels, in order; of runs made before it was stored, of the labels."""
    file = folder.path / PREDICTIONS
    columns = [name for name in ("label", "text", "second_text") if name in pyarrow.parquet.read_schema(file).names]
    digest = hashlib.sha256()
    for values in pyarrow.parquet.read_table(file, columns=columns).to_pydict().values():
        digest.update(json.dumps(values).encode())
    return digest.hexdigest()


def latency(classify: Callable[[int], object], count: int) -> float:
    """Seconds for a text alone: the median over some that are spread over `count` texts.

    Args:
        classify: called with the number of a text.
        count: of the texts.
    """
    seconds = []
    for number in spread(count):
        started = time.monotonic()
        classify(number)
        seconds.append(time.monotonic() - started)
    # The first one may still find something to set up.
    return statistics.median(seconds[1:] or seconds)


def spread(count: int) -> list[int]:
    """The numbers of the texts that are classified alone.

    >>> spread(3), len(spread(1000)), spread(47)[-1]
    ([0, 1, 2], 24, 46)
    """
    return np.linspace(0, count - 1, min(ALONE, count)).round().astype(int).tolist()
