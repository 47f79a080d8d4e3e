"""A finished classifier as a function of texts.

Shapes: N texts, C classes or labels, B texts of a batch, T tokens.
"""

import dataclasses
import json
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from configs.command_line import load as load_config
from configs.errors import InputError, RunError
from configs.run_folder import RunFolder
from finetune.classification.calibration import calibrated
from finetune.classification.config import MULTI_LABEL
from finetune.classification.multi_label.thresholds import EVEN, decide
from finetune.config import BAG_OF_WORDS, FinetuneConfig
from finetune.inference import encoding, model_files
from finetune.inference.encoding import Text, as_pair
from pretrain.data.token_budget import token_budget_batches
from tokenizer.corpus.tables import distinct

if TYPE_CHECKING:
    from finetune.classification.bag_of_words import BagOfWords

# How a network is computed: by torch, or by onnxruntime from one of the files that `finetune.export --onnx` writes.
RUNTIMES = ("torch", "onnx", "onnx-int8")
# Tokens of a torch encoder's batch for each thread of a CPU: with more, what a layer computes leaves the core's cache.
# Recurrent models gain from larger batches.
ENCODER_TOKENS_PER_THREAD = 1024

NO_SCORES = "the model gives NaN or infinity"
# Characters of a text in a message.
SHOWN = 60


class Prediction(NamedTuple):
    """What a classifier says of a text."""

    label: str
    probability: float
    """Calibrated on the validation texts of the run."""
    probabilities: dict[str, float]
    """Of all labels."""


class MultiLabelPrediction(NamedTuple):
    """What a classifier says of a text that may have several labels."""

    labels: list[str]
    """Those whose probability reaches their threshold; perhaps none."""
    probabilities: dict[str, float]
    """Of all labels, each for itself, calibrated on the validation texts of the run."""


class Classifier(ABC):
    """Texts → class probabilities.

    >>> class Coin(Classifier):
    ...     def logits(self, texts):
    ...         return np.zeros((len(texts), 2))
    >>> Coin(["heads", "tails"])("a text")
    Prediction(label='heads', probability=0.5, probabilities={'heads': 0.5, 'tails': 0.5})
    """

    def __init__(
        self,
        labels: Sequence[str],
        temperature: float = 1.0,
        cleans_html: bool = True,
        thresholds: Sequence[float] | None = None,
    ) -> None:
        """Without a model.

        Args:
            labels: the names of classes or labels.
            temperature: to divide logits by.
            cleans_html: whether it was trained on texts without HTML.
            thresholds: the probability from which on each label applies; None of one class a text.
        """
        # Models of others may call two of them the same.
        self.labels = distinct(list(labels))
        self.temperature, self.cleans_html = temperature, cleans_html
        self.thresholds = None if thresholds is None else list(thresholds)

    @property
    def multi_label(self) -> bool:
        """Whether a text may have several labels, or none."""
        return self.thresholds is not None

    @abstractmethod
    def logits(self, texts: Sequence[Text]) -> np.ndarray:
        """Scores before the softmax or, of several labels a text, the sigmoid, [N, C]."""

    def probabilities(self, texts: Sequence[Text]) -> np.ndarray:
        """Calibrated class probabilities, or those of each label, [N, C].

        Raises:
            RunError: the model gives NaN or infinity for a text.
        """
        shares_NC = self.probabilities_or_nan(texts)
        without = np.flatnonzero(np.isnan(shares_NC).any(1))
        if len(without):
            shown = textwrap.shorten(as_pair(texts[without[0]])[0], SHOWN, placeholder=" …")
            raise RunError(f"{NO_SCORES} for {len(without)} of {len(texts)} texts, the first of them {shown!r}")
        return shares_NC

    def probabilities_or_nan(self, texts: Sequence[Text]) -> np.ndarray:
        """The same, [N, C]; a text for which the model gives NaN or infinity has NaN for every label."""
        if not texts:
            return np.zeros((0, len(self.labels)))
        logits_NC = self.logits(texts)
        is_finite_NC = np.isfinite(logits_NC)
        shares_NC = calibrated(np.where(is_finite_NC, logits_NC, 0.0), self.temperature, self.multi_label)
        shares_NC[np.flatnonzero((~is_finite_NC).any(1))] = np.nan
        return shares_NC

    def decided(self, probabilities_C: np.ndarray) -> str | list[str]:
        """The label of the highest probability; where a text may have several labels, those that apply."""
        if self.thresholds is None:
            return self.labels[int(probabilities_C.argmax())]
        applies_C = decide(probabilities_C[None], np.array(self.thresholds))[0]
        return [self.labels[label] for label in np.flatnonzero(applies_C)]

    def __call__(self, texts: Any) -> Any:
        """The prediction for a text, or a list of those for a list of texts; a pair of texts is a tuple."""
        is_one = isinstance(texts, str | tuple)
        many: Sequence[Text] = [texts] if is_one else list(texts)
        found = [self._prediction(row_C) for row_C in self.probabilities(many)]
        return found[0] if is_one else found

    def _prediction(self, probabilities_C: np.ndarray) -> Prediction | MultiLabelPrediction:
        shares = dict(zip(self.labels, map(float, probabilities_C), strict=True))
        decided = self.decided(probabilities_C)
        if isinstance(decided, list):
            return MultiLabelPrediction(decided, shares)
        return Prediction(decided, float(probabilities_C.max()), shares)


class LinearClassifier(Classifier):
    """Bag-of-words."""

    def __init__(self, model: "BagOfWords", temperature: float = 1.0, cleans_html: bool = True) -> None:
        evenly = [EVEN] * len(model.labels) if model.multi_label else None
        super().__init__(model.labels, temperature, cleans_html, model.thresholds or evenly)
        self.model = model

    def logits(self, texts: Sequence[Text]) -> np.ndarray:
        """Logarithms of the model's probabilities or, of several labels a text, their log-odds, [N, C]."""
        return self.model.logits([f"{first}\n{second or ''}" for first, second in map(as_pair, texts)])


class NetworkClassifier(Classifier):
    """An encoder or a recurrent model, with its tokenizer; texts of like lengths are classified together."""

    def __init__(
        self,
        labels: Sequence[str],
        tokenizer: Any,
        batch_tokens: int,
        temperature: float = 1.0,
        cleans_html: bool = True,
        windows: bool = False,
        thresholds: Sequence[float] | None = None,
    ) -> None:
        super().__init__(labels, temperature, cleans_html, thresholds)
        self.tokenizer, self.batch_tokens, self.windows = tokenizer, batch_tokens, windows

    @abstractmethod
    def forward(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """The logits [B, C] of a batch, from the model's inputs [B, T] by name."""

    def logits(self, texts: Sequence[Text]) -> np.ndarray:
        """Scores before the softmax or the sigmoid; of a text in windows, the mean over them."""
        rows, owners = encoding.encode(self.tokenizer, [as_pair(text) for text in texts], self.windows)
        logits_RC = np.zeros((len(rows), len(self.labels)), dtype=np.float32)
        lengths = np.array([len(row["input_ids"]) for row in rows])
        for batch in token_budget_batches(lengths, self.batch_tokens):
            logits_RC[batch] = self.forward(
                encoding.padded([rows[number] for number in batch], self.tokenizer.pad_token_id)
            )
        counts_N = np.bincount(owners, minlength=len(texts))[:, None]
        sums_NC = np.zeros((len(texts), len(self.labels)))
        np.add.at(sums_NC, owners, logits_RC)
        return sums_NC / counts_N


class NeuralClassifier(NetworkClassifier):
    """A model that torch computes."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        precision: str = "auto",
        temperature: float = 1.0,
        cleans_html: bool = True,
        windows: bool = False,
    ) -> None:
        import torch

        from finetune.classification.evaluation import EVALUATION_TOKENS
        from pretrain.models.modeling.configuration_recurrent import RecurrentConfig
        from pretrain.training import fast_paths
        from pretrain.training.config import SpeedConfig

        fast_paths.set_threads(None)
        hardware = fast_paths.this_hardware()
        workload = fast_paths.Workload(
            padding_mask_only=fast_paths.attends_by_padding_alone(model),
            has_faster_layers=fast_paths.has_faster_layers(model),
        )
        config = dataclasses.replace(SpeedConfig(dropout="torch"), precision=precision)
        paths = fast_paths.choose(config, hardware, workload)
        fast_paths.apply(dataclasses.replace(paths, compiled=False), model)
        self.device, self.dtype = torch.device(hardware.device), fast_paths.PRECISIONS[paths.precision]
        self.model = model.to(self.device).eval()
        labels = [model.config.id2label[number] for number in range(len(model.config.id2label))]
        batch_tokens = EVALUATION_TOKENS.get(self.device.type, EVALUATION_TOKENS["cpu"])
        if self.device.type == "cpu" and not isinstance(model.config, RecurrentConfig):
            batch_tokens = min(batch_tokens, ENCODER_TOKENS_PER_THREAD * torch.get_num_threads())
        own = getattr(model.config, "thresholds", None)
        thresholds = thresholds_of(model.config.problem_type, own, len(labels))
        super().__init__(labels, tokenizer, batch_tokens, temperature, cleans_html, windows, thresholds)

    def forward(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """The logits of a batch, [B, C]."""
        import torch

        on_device = {name: torch.from_numpy(array).to(self.device) for name, array in inputs.items()}
        reduced = self.dtype != torch.float32
        with torch.inference_mode(), torch.autocast(self.device.type, dtype=self.dtype, enabled=reduced):
            return self.model(**on_device).logits.float().cpu().numpy()


class OnnxClassifier(NetworkClassifier):
    """A graph that `finetune.export --onnx` wrote, run by onnxruntime; torch is not needed."""

    def __init__(self, folder: Path, runtime: str, windows: bool = False) -> None:
        """Open a graph.

        Args:
            folder: of an exported model.
            runtime: a key of `GRAPHS`.
            windows: as of `load`.

        Raises:
            InputError: onnxruntime is not installed, or there is no such graph, or it cannot be read.
        """
        from finetune.inference import onnx_session, tokenizer_file

        file = folder / onnx_session.FOLDER / onnx_session.GRAPHS[runtime]
        threads = onnx_session.thread_count()
        self.session = onnx_session.opened(file, threads)
        self.names = [one.name for one in self.session.get_inputs()]
        labels = onnx_session.labels_of(folder, self.session)
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        thresholds = thresholds_of(settings.get("problem_type"), settings.get("thresholds"), len(labels))
        batch_tokens = onnx_session.TOKENS_PER_THREAD * threads
        cleans_html = settings.get("cleans_html", True)
        tokenizer = tokenizer_file.load(folder)
        super().__init__(labels, tokenizer, batch_tokens, 1.0, cleans_html, windows, thresholds)

    def forward(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """The logits of a batch, [B, C]."""
        return self.session.run(["logits"], {name: inputs[name] for name in self.names})[0]


def thresholds_of(problem_type: str | None, thresholds: Sequence[float] | None, labels: int) -> list[float] | None:
    """From which probability on each label applies; a half if a model does not say so; None of one class a text.

    >>> thresholds_of("multi_label_classification", None, 2), thresholds_of("single_label_classification", None, 2)
    ([0.5, 0.5], None)
    """
    if problem_type != MULTI_LABEL:
        return None
    return list(thresholds or [EVEN] * labels)


def load(
    reference: str | Path, windows: bool = False, precision: str | None = None, runtime: str = "torch"
) -> Classifier:
    """A finished classifier.

    Args:
        reference: the folder of a fine-tuning run, of an exported model, or a Hub id.
        windows: read texts that are longer than the model's in windows, instead of cutting them as in training.
        precision: as `training.speed.precision`; None takes that of the run. Of torch only.
        runtime: one of `RUNTIMES`; those of ONNX are for folders that were exported with `--onnx`.

    Raises:
        InputError: it is not finished, holds no classifier, cannot be loaded, or has no file for the runtime.
    """
    check_runtime(runtime)
    folder = model_files.local(reference, runtime)
    if runtime != "torch":
        if precision is not None:
            raise InputError(f"precision: {precision!r} is for the runtime torch; {runtime} has that of its file")
        return OnnxClassifier(folder, runtime, windows)
    # It imports torch, by way of `evaluate`.
    from finetune.classification.bag_of_words import SETTINGS, BagOfWords

    if (folder / "config.yaml").is_file():
        return _load_run(RunFolder(folder), windows, precision)
    if (folder / SETTINGS).is_file():
        model = BagOfWords.load(folder)
        return LinearClassifier(model, model.temperature, model.cleans_html)
    return _load_model(str(folder), windows, precision or "auto")


def check_runtime(runtime: str) -> None:
    """Refuse what is no runtime.

    Raises:
        InputError: it is none of `RUNTIMES`.
    """
    if runtime not in RUNTIMES:
        raise InputError(f"runtime: {runtime!r} is none of {', '.join(RUNTIMES)}")


def _load_run(run: RunFolder, windows: bool, precision: str | None) -> Classifier:
    """A fine-tuning run's classifier, with its temperature.

    Raises:
        InputError: the run is not finished, or not one of fine-tuning.
    """
    from finetune.classification.bag_of_words import SETTINGS, BagOfWords

    result = run.result()
    if "labels" not in result:
        raise InputError(f"{run.path}: a run without labels; give a fine-tuning run")
    config = load_config(FinetuneConfig, run.path / "config.yaml")
    temperature = result.get("temperature", 1.0)
    if config.model.name == BAG_OF_WORDS:
        if not (run.model / SETTINGS).is_file():
            raise InputError(f"{run.path}: made before bag-of-words models were saved; delete it and run it again")
        classifier: Classifier = LinearClassifier(BagOfWords.load(run.model), temperature, config.corpus.clean_html)
        classifier.thresholds = result.get("thresholds")
        return classifier
    if not run.model.is_dir():
        raise InputError(f"{run.path}: its model/ is missing; delete the run and run it again, or copy it whole")
    classifier = _load_model(str(run.model), windows, precision or config.training.speed.precision)
    classifier.temperature, classifier.cleans_html = temperature, config.corpus.clean_html
    classifier.thresholds = result.get("thresholds")
    return classifier


def _load_model(reference: str, windows: bool, precision: str) -> NeuralClassifier:
    """A model that `transformers` loads, as a function of texts.

    Raises:
        InputError: it cannot be loaded, or is no classifier.
    """
    model, tokenizer = load_model(reference)
    # Where nobody says so, HTML is cleaned, as is the default in training.
    cleans_html = getattr(model.config, "cleans_html", True)
    return NeuralClassifier(model, tokenizer, precision, cleans_html=cleans_html, windows=windows)


def load_model(reference: str) -> tuple[Any, Any]:
    """A sequence classifier in 32 bits and its tokenizer, without running code from its folder.

    Raises:
        InputError: it cannot be loaded, or is no classifier.
    """
    from transformers import AutoConfig

    from finetune.classification.tokenization_head_tail import BOTH_ENDS, HeadTailTokenizer
    from pretrain.models import builders
    from pretrain.models.safe_loading import SAFE, SAFE_WEIGHTS, UNREADABLE, load_arguments, quiet_transformers
    from tokenizer.vocabulary.serialization import load as load_tokenizer

    try:
        model_config = AutoConfig.from_pretrained(reference, **load_arguments(reference))
        if not builders.is_classifier(model_config):
            raise InputError(f"{reference!r} is no classifier; fine-tune it first (python -m finetune)")
        options = SAFE_WEIGHTS | load_arguments(reference)
        with quiet_transformers():
            model = builders.AutoModelForSequenceClassification.from_pretrained(reference, **options)
    except UNREADABLE as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"model: {reference!r} cannot be loaded: {' '.join(str(error).split())}") from None
    settings = Path(reference) / "tokenizer_config.json"
    keeps_both_ends = settings.is_file() and json.loads(settings.read_text()).get("truncation_side") == BOTH_ENDS
    tokenizer: Any = (
        HeadTailTokenizer.from_pretrained(reference, **SAFE) if keeps_both_ends else load_tokenizer(reference)
    )
    return model, tokenizer
