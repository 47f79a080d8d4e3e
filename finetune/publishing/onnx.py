"""A classifier in a folder → two ONNX files beside it, checked against torch before they get their names.

The layout is that of transformers.js: `onnx/model.onnx`, and `onnx/model_quantized.onnx` with weights of 8 bits, each
with its weights inside.

Shapes: N texts, B texts of a batch, C classes, T tokens.
"""

import dataclasses
import itertools
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import InputError
from finetune.classification.bag_of_words import SETTINGS
from finetune.config import BAG_OF_WORDS
from finetune.inference import encoding, onnx_session, tokenizer_file
from finetune.inference.classifier import load_model, thresholds_of
from finetune.inference.encoding import Text, as_pair
from finetune.publishing.check_texts import texts_to_check
from finetune.publishing.kinds import CLASSIFIER, Kind

log = logging.getLogger(__name__)

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
# The largest difference of a logit from torch's, and the smallest share of texts with the same answer.
FLOAT_TOLERANCE = 1e-3
INT8_AGREEMENT = 0.995
# Texts of a batch of the check, in the order in which they come: with much padding. The first are also read alone.
BATCH, ALONE = 8, 16


@dataclasses.dataclass(frozen=True)
class Quantization:
    """A way to make weights whole numbers of 8 bits; activations become so while the graph runs."""

    words: str
    """What has 8 bits, for a person."""
    operators: tuple[str, ...]
    spares_output: bool = False
    """Whether the output layer keeps its floats."""
    reduce_range: bool = False
    """Weights of 7 bits, whose products cannot overflow 16 bits, as they can on processors of before 2019."""
    signed: bool = True
    """Whether weights are signed, for which processors have faster products; unsigned ones fit lopsided weights."""


# The smallest file first. All are by channel: it costs nothing, and one large weight coarsens its own channel alone.
QUANTIZATIONS = (
    Quantization("matrices and word vectors", ("MatMul", "LSTM", "Gather")),
    Quantization("matrices", ("MatMul", "LSTM")),
    Quantization("matrices but the last", ("MatMul", "LSTM"), spares_output=True),
    Quantization("matrices but the last and those of LSTMs", ("MatMul",), spares_output=True),
    Quantization("matrices but the last, in 7 bits", ("MatMul", "LSTM"), spares_output=True, reduce_range=True),
    Quantization("matrices but the last, unsigned", ("MatMul",), spares_output=True, signed=False),
)


@dataclasses.dataclass(frozen=True)
class OnnxCheck:
    """How far the files are from torch."""

    texts: int
    """N, the number of texts."""
    float_difference: float
    """The largest difference of a logit."""
    int8_agreement: float
    """The share of texts to which the file of 8 bits gives the same label, or all the same labels."""
    int8_difference: float
    """The largest difference of a logit of that file."""
    int8: str | None
    """What has 8 bits; None if no way was close enough, and there is no such file."""

    def __str__(self) -> str:
        """One line for a person."""
        return (
            f"checked with {self.texts} texts: floats differ from torch by at most {self.float_difference:.1g}; "
            f"in 8 bits ({self.int8 or 'not written'}), {self.int8_agreement:.1%} of the texts get the same labels"
        )


def check_exportable(run: str, kind: Kind) -> None:
    """Check, before anything is copied, that a run has a model for ONNX, and that the packages for it are here.

    Raises:
        InputError: the extra is not installed, or the model is no encoder or recurrent model that classifies.
    """
    onnx_session.require(*PACKAGES)
    if kind.name == BAG_OF_WORDS:
        raise InputError(f"{run}: ONNX is for encoders and recurrent models; bag-of-words is no network")
    if kind.name != CLASSIFIER:
        raise InputError(
            f"{run}: ONNX is for classifiers, and this run's model is none ({kind.name}); fine-tune it first"
        )


def export_onnx(folder: Path, texts: Sequence[Text] = ()) -> OnnxCheck:
    """Write the ONNX files of a classifier into its folder; an `onnx/` that is there is replaced.

    Args:
        folder: what `transformers` loads: weights, configuration and tokenizer.
        texts: to check with, beside the fixed ones; pairs for a model that reads pairs.

    Raises:
        InputError: the extra is not installed, it is no such model, it cannot be traced, or it gives other logits than
            torch.
    """
    onnx_session.require(*PACKAGES)
    if (folder / SETTINGS).is_file() or not (folder / "config.json").is_file():
        raise InputError(f"{folder}: ONNX is for encoders and recurrent models; bag-of-words is no network")
    from finetune.publishing import onnx_graph

    model, tokenizer = load_model(str(folder))
    pairs = [as_pair(text) for text in texts_to_check(texts)]
    batches = _batches(folder, tokenizer, pairs)
    # Before it is traced, which changes it.
    wanted_NC = _logits(batches, _torch_forward(model))
    names = onnx_graph.input_names(model, tokenizer)
    try:
        program = onnx_graph.traced(model, names)
    except Exception as error:
        # Of what cannot be traced, torch raises anything; its own words are many lines.
        log.debug("torch.onnx.export", exc_info=error)
        raise InputError(f"{folder}: torch cannot trace this model to ONNX: {_innermost(error)}") from None
    staging = Path(tempfile.mkdtemp(prefix=".onnx-", dir=folder))
    try:
        float_file, int8_file = (staging / name for name in onnx_session.GRAPHS.values())
        program.save(float_file, external_data=False)
        difference = _check_floats(float_file, batches, wanted_NC)
        own = thresholds_of(
            model.config.problem_type, getattr(model.config, "thresholds", None), model.config.num_labels
        )
        found = _quantized(float_file, int8_file, batches, wanted_NC, own)
        _put(staging, folder / onnx_session.FOLDER)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return dataclasses.replace(found, float_difference=difference)


def _batches(folder: Path, tokenizer: Any, pairs: list[tuple[str, str | None]]) -> list[dict[str, np.ndarray]]:
    """The inputs of the check's texts, `BATCH` of them at a time.

    Raises:
        InputError: read without `transformers`, the tokenizer gives other ids.
    """
    rows, _ = encoding.encode(tokenizer, pairs, windows=False)
    if rows != encoding.encode(tokenizer_file.load(folder), pairs, windows=False)[0]:
        raise InputError(f"{folder}: tokenizer.json gives other ids than the tokenizer that was trained with")
    starts = range(0, len(rows), BATCH)
    return [encoding.padded(rows[start : start + BATCH], tokenizer.pad_token_id) for start in starts]


Forward = Callable[[dict[str, np.ndarray]], np.ndarray]


def _torch_forward(model: Any) -> Forward:
    import torch

    def forward(inputs: dict[str, np.ndarray]) -> np.ndarray:
        with torch.inference_mode():
            return model(**{name: torch.from_numpy(array) for name, array in inputs.items()}).logits.numpy()

    return forward


def _onnx_forward(file: Path) -> Forward:
    session = onnx_session.opened(file, onnx_session.thread_count())
    names = [one.name for one in session.get_inputs()]
    return lambda inputs: session.run(["logits"], {name: inputs[name] for name in names})[0]


def _logits(batches: list[dict[str, np.ndarray]], forward: Forward) -> np.ndarray:
    """The logits of the check's texts, [N, C]."""
    return np.concatenate([forward(inputs) for inputs in batches])


def _check_floats(file: Path, batches: list[dict[str, np.ndarray]], wanted_NC: np.ndarray) -> float:
    """The largest difference of a logit from torch's, in batches with padding and of texts alone.

    Raises:
        InputError: it is too large.
    """
    forward = _onnx_forward(file)
    alone = list(itertools.islice(_alone(batches), ALONE))
    differences = [
        np.abs(_logits(inputs, forward) - wanted_NC[: len(inputs) if inputs is alone else None]).max()
        for inputs in (batches, alone)
    ]
    # A NaN is the largest of all.
    difference = float(np.max(differences))
    if not difference <= FLOAT_TOLERANCE:
        raise InputError(
            f"onnx: the logits of the graph differ from torch's by {difference:.2g}, more than {FLOAT_TOLERANCE:g}; "
            "this model cannot be exported to ONNX"
        )
    return difference


def _alone(batches: list[dict[str, np.ndarray]]) -> Iterator[dict[str, np.ndarray]]:
    """The check's texts one by one, without padding."""
    for inputs in batches:
        for row, length in enumerate(inputs[encoding.MASK].sum(1)):
            yield {name: array[row : row + 1, :length] for name, array in inputs.items()}


def decisions(logits_NC: np.ndarray, thresholds: Sequence[float] | None) -> np.ndarray:
    """The best label of each text, [N]; where a text may have several, whether each applies, [N, C].

    >>> decisions(np.array([[0.2, 0.1]]), None).tolist(), decisions(np.array([[0.2, -0.1]]), [0.5, 0.4]).tolist()
    ([0], [[True, True]])
    """
    if thresholds is None:
        return logits_NC.argmax(1)
    return 1 / (1 + np.exp(-logits_NC)) >= np.array(thresholds)


def agreement(logits_NC: np.ndarray, wanted_NC: np.ndarray, thresholds: Sequence[float] | None) -> float:
    """The share of texts that get the same label, or all the same labels.

    >>> agreement(np.array([[2.0, -1.0], [2.0, 1.0]]), np.array([[1.0, -2.0], [2.0, -1.0]]), [0.5, 0.5])
    0.5
    """
    same = decisions(logits_NC, thresholds) == decisions(wanted_NC, thresholds)
    return float(same.reshape(len(same), -1).all(1).mean())


def _quantized(
    float_file: Path,
    int8_file: Path,
    batches: list[dict[str, np.ndarray]],
    wanted_NC: np.ndarray,
    thresholds: Sequence[float] | None,
) -> OnnxCheck:
    """Write the file of 8 bits in the first way that answers as torch does, if there is one."""
    best = OnnxCheck(len(wanted_NC), 0.0, -1.0, 0.0, None)
    for way in QUANTIZATIONS:
        quantize(float_file, int8_file, way=way)
        logits_NC = _logits(batches, _onnx_forward(int8_file))
        share = agreement(logits_NC, wanted_NC, thresholds)
        difference = float(np.abs(logits_NC - wanted_NC).max())
        if share >= INT8_AGREEMENT:
            return dataclasses.replace(best, int8_agreement=share, int8_difference=difference, int8=way.words)
        log.info("export: 8 bits for %s: only %.1f%% of the texts get the same labels", way.words, 100 * share)
        if share > best.int8_agreement:
            best = dataclasses.replace(best, int8_agreement=share, int8_difference=difference)
    int8_file.unlink()
    log.warning(
        "export: no %s: in 8 bits, at most %.1f%% of the texts get the labels of torch; %.1f%% are needed",
        int8_file.name, 100 * best.int8_agreement, 100 * INT8_AGREEMENT,
    )  # fmt: skip
    return best


def quantize(float_file: Path, int8_file: Path, way: Quantization) -> None:
    """Write a graph with weights of 8 bits."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    from finetune.publishing.onnx_graph import quiet

    graph_model = onnx.load(float_file)
    with quiet():
        quantize_dynamic(
            graph_model,
            int8_file,
            op_types_to_quantize=list(way.operators),
            per_channel=True,
            reduce_range=way.reduce_range,
            weight_type=QuantType.QInt8 if way.signed else QuantType.QUInt8,
            nodes_to_exclude=_output_layer(graph_model.graph) if way.spares_output else [],
        )


def _output_layer(graph: Any) -> list[str]:
    """The name of the product that the logits come from."""
    producers = {name: node for node in graph.node for name in node.output}
    node = producers[graph.output[0].name]
    while node.op_type not in ("MatMul", "Gemm"):
        node = producers[node.input[0]]
    return [node.name]


def _innermost(error: BaseException) -> str:
    """The first line of the error that began it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _put(staging: Path, target: Path) -> None:
    """Give the finished folder its name."""
    mask = os.umask(0)
    os.umask(mask)
    staging.chmod(0o777 & ~mask)
    shutil.rmtree(target, ignore_errors=True)
    staging.rename(target)
