"""The model of a service: what it is, which texts it is given, what they cost, and logits → scores.

Shapes: N texts, C classes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.special

from finetune.classification.calibration import calibrated
from finetune.inference.classifier import Classifier, LinearClassifier, NeuralClassifier, load
from finetune.serving.batching import BatchLimits
from finetune.serving.config import ServeConfig
from finetune.serving.wire_format import Pair
from tokenizer.corpus.documents import clean_html
from tokenizer.corpus.quarantine import clean

# About right for English, and enough to make a batch of the size at which the classifier computes one.
CHARACTERS_A_TOKEN = 4
# Counting words costs little more for many texts than for one.
LINEAR_BATCH_CHARACTERS = 1_000_000
BATCH_TEXTS = 256
WARM_UP = ["a text", "a longer text " * 50]


class ServedModel:
    """A classifier with what a service needs of it."""

    def __init__(self, classifier: Classifier, name: str) -> None:
        self.classifier, self.name, self.labels = classifier, name, classifier.labels
        self._longest: float = float("inf")
        """Characters beyond which a text is cut."""
        self._batch_characters = LINEAR_BATCH_CHARACTERS
        if isinstance(classifier, NeuralClassifier):
            from finetune.classification.evaluation import EVALUATION_TOKENS

            tokens = EVALUATION_TOKENS.get(classifier.device.type, EVALUATION_TOKENS["cpu"])
            self._batch_characters = tokens * CHARACTERS_A_TOKEN
            if not classifier.windows:
                self._longest = classifier.tokenizer.model_max_length * CHARACTERS_A_TOKEN

    def prepare(self, text: str) -> str:
        """A text as the model was trained on: half emojis and NUL replaced, HTML cleaned if it was in training.

        Raises:
            RowError: it is binary data, or holds a word of more than 10,000 letters.
        """
        return clean_html(clean(text)) if self.classifier.cleans_html else clean(text)

    def cost(self, text: Pair) -> float:
        """How long a text is for the model, in characters."""
        return min(self._longest, 1 + len(text[0]) + len(text[1] or ""))

    def batch_limits(self, wait: float) -> BatchLimits:
        """Batches as the classifier computes them."""
        return BatchLimits(self._batch_characters, BATCH_TEXTS, wait)

    def logits(self, texts: Sequence[Pair]) -> np.ndarray:
        """Scores before the softmax, [N, C]; texts are all pairs, or none."""
        return self.classifier.logits([first if second is None else (first, second) for first, second in texts])

    def scores(self, logits_NC: np.ndarray, function: str | None) -> np.ndarray:
        """Logits → scores, [N, C].

        Args:
            logits_NC: of texts.
            function: `softmax`: calibrated probabilities, which add up to 1; `sigmoid`: of each label by itself, with
                the same temperature; `none`: the logits; None: the classifier's own probabilities.
        """
        if function == "none":
            return logits_NC.astype(float)
        # A text may have several labels with some classifiers; then each label's probability is its own.
        own = "sigmoid" if getattr(self.classifier, "multi_label", False) else "softmax"
        if (function or own) == "softmax":
            return calibrated(logits_NC, self.classifier.temperature)
        return scipy.special.expit(logits_NC / self.classifier.temperature)

    def warm_up(self) -> None:
        """Classify a short and a longer text: the first batch of a process takes longer."""
        self.classifier.probabilities(WARM_UP)

    def description(self) -> dict[str, Any]:
        """What `/info` tells of it, as JSON."""
        facts: dict[str, Any] = {
            "model": self.name,
            "task": "text-classification",
            "labels": self.labels,
            "temperature": self.classifier.temperature,
            "cleans_html": self.classifier.cleans_html,
        }
        if isinstance(self.classifier, NeuralClassifier):
            model, settings = self.classifier.model, self.classifier.model.config
            return facts | {
                "kind": settings.model_type,
                "architecture": type(model).__name__,
                "parameters": sum(parameter.numel() for parameter in model.parameters()),
                "maximum_tokens": int(self.classifier.tokenizer.model_max_length),
                "long_texts": "windows" if self.classifier.windows else "cut",
                "device": str(self.classifier.device),
                "precision": str(self.classifier.dtype).removeprefix("torch."),
            }
        kind = "bag-of-words" if isinstance(self.classifier, LinearClassifier) else type(self.classifier).__name__
        return facts | {"kind": kind}


def load_model(config: ServeConfig) -> ServedModel:
    """The model of a command, warmed up.

    Raises:
        InputError: it is not finished, holds no classifier, or cannot be loaded.
    """
    # The one place that chooses what computes: a run that was exported to ONNX would be loaded for its runtime here.
    classifier = load(config.run, windows=config.long_texts == "windows")
    folder = Path(config.run)
    model = ServedModel(classifier, config.name or (folder.resolve().name if folder.is_dir() else config.run))
    model.warm_up()
    return model
