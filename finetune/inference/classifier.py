"""A finished classifier as a function of texts.

Shapes: N texts, C classes or labels, B texts of a batch, T tokens.
"""

import dataclasses
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from configs.command_line import load as load_config
from configs.errors import InputError
from configs.run_folder import RunFolder
from finetune.classification.bag_of_words import SETTINGS, BagOfWords
from finetune.classification.calibration import calibrated
from finetune.classification.multi_label.thresholds import EVEN, decide
from finetune.classification.predictions import MULTI_LABEL
from finetune.config import BAG_OF_WORDS, FinetuneConfig

# Of a long text that is read in windows, neighbours share this part.
OVERLAP = 0.25

Text = str | tuple[str, str | None]


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
        self.labels, self.temperature, self.cleans_html = list(labels), temperature, cleans_html
        self.thresholds = None if thresholds is None else list(thresholds)

    @property
    def multi_label(self) -> bool:
        """Whether a text may have several labels, or none."""
        return self.thresholds is not None

    @abstractmethod
    def logits(self, texts: Sequence[Text]) -> np.ndarray:
        """Scores before the softmax or, of several labels a text, the sigmoid, [N, C]."""

    def probabilities(self, texts: Sequence[Text]) -> np.ndarray:
        """Calibrated class probabilities, or those of each label, [N, C]."""
        if not texts:
            return np.zeros((0, len(self.labels)))
        return calibrated(self.logits(texts), self.temperature, self.multi_label)

    def __call__(self, texts: Any) -> Any:
        """The prediction for a text, or a list of those for a list of texts; a pair of texts is a tuple."""
        is_one = isinstance(texts, str | tuple)
        many: Sequence[Text] = [texts] if is_one else list(texts)
        found = [self._prediction(row_C) for row_C in self.probabilities(many)]
        return found[0] if is_one else found

    def _prediction(self, probabilities_C: np.ndarray) -> Prediction | MultiLabelPrediction:
        shares = dict(zip(self.labels, map(float, probabilities_C), strict=True))
        if self.thresholds is not None:
            applies_C = decide(probabilities_C[None], np.array(self.thresholds))[0]
            return MultiLabelPrediction([self.labels[label] for label in np.flatnonzero(applies_C)], shares)
        best = int(probabilities_C.argmax())
        return Prediction(self.labels[best], float(probabilities_C[best]), shares)


class LinearClassifier(Classifier):
    """Bag-of-words."""

    def __init__(self, model: BagOfWords, temperature: float = 1.0, cleans_html: bool = True) -> None:
        evenly = [EVEN] * len(model.labels) if model.multi_label else None
        super().__init__(model.labels, temperature, cleans_html, model.thresholds or evenly)
        self.model = model

    def logits(self, texts: Sequence[Text]) -> np.ndarray:
        """Logarithms of the model's probabilities or, of several labels a text, their log-odds, [N, C]."""
        return self.model.logits([f"{first}\n{second or ''}" for first, second in map(as_pair, texts)])


class NeuralClassifier(Classifier):
    """An encoder or a recurrent model, with its tokenizer; texts of like lengths are classified together."""

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

        from pretrain.training import fast_paths
        from pretrain.training.config import SpeedConfig

        labels = [model.config.id2label[number] for number in range(len(model.config.id2label))]
        super().__init__(labels, temperature, cleans_html, thresholds_of(model.config))
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
        self.model, self.tokenizer, self.windows = model.to(self.device).eval(), tokenizer, windows

    def logits(self, texts: Sequence[Text]) -> np.ndarray:
        """Scores before the softmax or the sigmoid; of a text in windows, the mean over them."""
        from finetune.classification.evaluation import EVALUATION_TOKENS
        from pretrain.data.loader import token_budget_batches

        pairs = [as_pair(text) for text in texts]
        rows, owners = self._encode(pairs)
        logits_RC = np.zeros((len(rows), len(self.labels)), dtype=np.float32)
        lengths = np.array([len(row["input_ids"]) for row in rows])
        budget = EVALUATION_TOKENS.get(self.device.type, EVALUATION_TOKENS["cpu"])
        for batch in token_budget_batches(lengths, budget):
            logits_RC[batch] = self._forward([rows[number] for number in batch])
        counts_N = np.bincount(owners, minlength=len(texts))[:, None]
        sums_NC = np.zeros((len(texts), len(self.labels)))
        np.add.at(sums_NC, owners, logits_RC)
        return sums_NC / counts_N

    def _encode(self, pairs: Sequence[tuple[str, str | None]]) -> tuple[list[dict[str, Any]], np.ndarray]:
        """The rows of ids of texts, and to which text each belongs."""
        from finetune.classification.task import SPECIAL_TOKENS

        firsts = [first for first, _ in pairs]
        has_pairs = any(second is not None for _, second in pairs)
        seconds = [second or "" for _, second in pairs] if has_pairs else None
        if not self.windows or has_pairs:
            encoded = self.tokenizer(firsts, seconds, truncation=True, verbose=False)
            names = [name for name in encoded if name != "attention_mask"]
            rows = [dict(zip(names, values, strict=True)) for values in zip(*(encoded[n] for n in names), strict=True)]
            return rows, np.arange(len(pairs))
        cls_id, sep_id = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
        longest = self.tokenizer.model_max_length - SPECIAL_TOKENS
        rows, owners = [], []
        for owner, ids in enumerate(self.tokenizer(firsts, add_special_tokens=False, verbose=False)["input_ids"]):
            for window in windows_of(ids, longest):
                rows.append({"input_ids": [cls_id, *window, sep_id]})
                owners.append(owner)
        return rows, np.array(owners)

    def _forward(self, rows: Sequence[dict[str, Any]]) -> np.ndarray:
        """The logits of a batch, [B, C]."""
        import torch

        longest = max(len(row["input_ids"]) for row in rows)
        padding = {"input_ids": self.tokenizer.pad_token_id}
        inputs = {
            name: torch.tensor([row[name] + [padding.get(name, 0)] * (longest - len(row[name])) for row in rows])
            for name in rows[0]
        }
        inputs["attention_mask"] = torch.tensor(
            [[1] * len(row["input_ids"]) + [0] * (longest - len(row["input_ids"])) for row in rows]
        )
        on_device = {name: tensor.to(self.device) for name, tensor in inputs.items()}
        reduced = self.dtype != torch.float32
        with torch.inference_mode(), torch.autocast(self.device.type, dtype=self.dtype, enabled=reduced):
            return self.model(**on_device).logits.float().cpu().numpy()


def thresholds_of(model_config: Any) -> list[float] | None:
    """From which probability on each label applies; a half if a model does not say so; None of one class a text."""
    if model_config.problem_type != MULTI_LABEL:
        return None
    return list(getattr(model_config, "thresholds", None) or [EVEN] * len(model_config.id2label))


def as_pair(text: Text) -> tuple[str, str | None]:
    """A text, and its second one or None."""
    return (text, None) if isinstance(text, str) else text


def windows_of(ids: list[int], longest: int) -> list[list[int]]:
    """The windows of a text that is longer than a model reads; neighbours overlap, and the last ends with the text.

    >>> windows_of(list(range(10)), 8), windows_of([1, 2], 8), windows_of([], 8)
    ([[0, 1, 2, 3, 4, 5, 6, 7], [2, 3, 4, 5, 6, 7, 8, 9]], [[1, 2]], [[]])
    """
    if len(ids) <= longest:
        return [ids]
    step = max(1, round(longest * (1 - OVERLAP)))
    starts = [*range(0, len(ids) - longest, step), len(ids) - longest]
    return [ids[start : start + longest] for start in starts]


def load(reference: str | Path, windows: bool = False, precision: str | None = None) -> Classifier:
    """A finished classifier.

    Args:
        reference: the folder of a fine-tuning run, of an exported model, or a Hub id.
        windows: read texts that are longer than the model's in windows, instead of cutting them as in training.
        precision: as `training.speed.precision`; None takes that of the run.

    Raises:
        InputError: it is not finished, holds no classifier, or cannot be loaded.
    """
    folder = Path(reference)
    if folder.is_dir() and (folder / "config.yaml").is_file():
        return _load_run(RunFolder(folder), windows, precision)
    if (folder / SETTINGS).is_file():
        return LinearClassifier(BagOfWords.load(folder))
    return _load_model(str(reference), windows, precision or "auto")


def _load_run(run: RunFolder, windows: bool, precision: str | None) -> Classifier:
    """A fine-tuning run's classifier, with its temperature.

    Raises:
        InputError: the run is not finished, or not one of fine-tuning.
    """
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
    classifier = _load_model(str(run.model), windows, precision or config.training.speed.precision)
    classifier.temperature, classifier.cleans_html = temperature, config.corpus.clean_html
    classifier.thresholds = result.get("thresholds")
    return classifier


def _load_model(reference: str, windows: bool, precision: str) -> NeuralClassifier:
    """A model that `transformers` loads, without running code from its folder.

    Raises:
        InputError: it cannot be loaded, or is no classifier.
    """
    import torch
    from transformers import AutoConfig

    from finetune.classification.tokenization_head_tail import BOTH_ENDS, HeadTailTokenizer
    from pretrain.models import builders
    from pretrain.models.safe_loading import SAFE, SAFE_WEIGHTS, UNREADABLE, load_arguments, quiet_transformers
    from tokenizer.vocabulary.serialization import load as load_tokenizer

    try:
        model_config = AutoConfig.from_pretrained(reference, **load_arguments(reference))
        if not builders.is_classifier(model_config):
            raise InputError(f"{reference!r} is no classifier; fine-tune it first (python -m finetune)")
        options = SAFE_WEIGHTS | load_arguments(reference) | {"dtype": torch.float32}
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
    return NeuralClassifier(model, tokenizer, precision, windows=windows)
