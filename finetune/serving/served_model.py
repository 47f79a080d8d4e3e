"""The model of a service: what it is, which texts it is given, what they cost, and logits → scores.

Shapes: N texts, C classes.
"""

import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from finetune.classification.calibration import calibrated
from finetune.inference.classifier import Classifier, NetworkClassifier, NeuralClassifier, load
from finetune.serving.batching import BatchLimits
from finetune.serving.config import ServeConfig
from finetune.serving.wire_format import Pair
from tokenizer.corpus.documents import clean_html
from tokenizer.corpus.quarantine import clean

# The classifier's batches in one of the service: texts of many requests are sorted by length before they are computed.
NETWORK_BATCHES = 4
# What a batch costs beside its tokens is measured when the model is warmed up, in tokens; within these.
LEAST_START, LARGEST_START = 16, 8192
NETWORK_BATCH_TEXTS = 128
# Counting words does without padding and costs little for one text more: all texts are alike, but for whole chapters.
LINEAR_CHARACTERS = 20_000
LINEAR_START = 64
LINEAR_BATCH_TEXTS = 256
# Texts whose ids are kept from when they were counted until they are classified.
REMEMBERED = 1024
# The longer texts are as long as any model reads, unless it was made for shorter ones.
WARM_TEXTS, WARM_TOKENS, WARM_ROUNDS = 8, 128, 3


class ServedModel:
    """A classifier with what a service needs of it."""

    def __init__(self, classifier: Classifier, name: str, runtime: str = "torch") -> None:
        self.classifier, self.name, self.labels, self.runtime = classifier, name, classifier.labels, runtime
        self.start_tokens: float = LEAST_START
        """What a batch costs beside its texts, as the cost of so many tokens."""
        self.tokenizer: RememberingTokenizer | None = None
        if isinstance(classifier, NetworkClassifier):
            self.tokenizer = classifier.tokenizer = RememberingTokenizer(classifier.tokenizer)

    def prepare(self, text: str) -> str:
        """A text as the model was trained on: half emojis and NUL replaced, HTML cleaned if it was in training.

        Raises:
            RowError: it is binary data, or holds a word of more than 10,000 letters.
        """
        return clean_html(clean(text)) if self.classifier.cleans_html else clean(text)

    def costs(self, texts: Sequence[Pair]) -> list[float]:
        """How long texts are for the model: in tokens, as far as it reads; without a tokenizer, 1 for most texts."""
        if self.tokenizer is None:
            return [1.0 + (len(first) + len(second or "")) // LINEAR_CHARACTERS for first, second in texts]
        return self.tokenizer.count(texts, truncated=not getattr(self.classifier, "windows", False))

    def batch_limits(self, wait: float) -> BatchLimits:
        """Some of the classifier's batches at once."""
        if not isinstance(self.classifier, NetworkClassifier):
            return BatchLimits(LINEAR_BATCH_TEXTS, LINEAR_START, LINEAR_BATCH_TEXTS, wait)
        return BatchLimits(NETWORK_BATCHES * self.classifier.batch_tokens, self.start_tokens, NETWORK_BATCH_TEXTS, wait)

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
        each_for_itself = self.classifier.multi_label if function is None else function == "sigmoid"
        return calibrated(logits_NC, self.classifier.temperature, each_for_itself)

    def warm_up(self) -> None:
        """Classify short and long texts: the first batches take longer; and measure what a batch costs beside them."""
        longest = WARM_TOKENS if self.tokenizer is None else min(self.tokenizer.model_max_length, WARM_TOKENS)
        short, long = [("a", None)], [("a " * longest, None)] * WARM_TEXTS
        seconds = {"short": float("inf"), "long": float("inf")}
        for name, texts in [("short", short), ("long", long)] * WARM_ROUNDS:
            started = time.perf_counter()
            self.logits(texts)
            seconds[name] = min(seconds[name], time.perf_counter() - started)
        a_token = max(seconds["long"] - seconds["short"], 1e-9) / (WARM_TEXTS * longest)
        self.start_tokens = min(max(seconds["short"] / a_token, LEAST_START), LARGEST_START)

    def description(self) -> dict[str, Any]:
        """What `/info` tells of it, as JSON."""
        facts: dict[str, Any] = {
            "model": self.name,
            "task": "text-classification",
            "labels": self.labels,
            "temperature": self.classifier.temperature,
            "thresholds": self.classifier.thresholds,
            "cleans_html": self.classifier.cleans_html,
            "runtime": self.runtime,
        }
        if isinstance(self.classifier, NetworkClassifier):
            facts |= {
                "maximum_tokens": int(self.classifier.tokenizer.model_max_length),
                "long_texts": "windows" if self.classifier.windows else "cut",
            }
        if isinstance(self.classifier, NeuralClassifier):
            model = self.classifier.model
            return facts | {
                "kind": model.config.model_type,
                "architecture": type(model).__name__,
                "parameters": sum(parameter.numel() for parameter in model.parameters()),
                "device": str(self.classifier.device),
                "precision": str(self.classifier.dtype).removeprefix("torch."),
            }
        return facts | {"kind": "network" if self.tokenizer is not None else "bag-of-words"}


def load_model(config: ServeConfig) -> ServedModel:
    """The model of a command, warmed up.

    Raises:
        InputError: it is not finished, holds no classifier, or cannot be loaded.
    """
    # The one place that chooses what computes.
    classifier = load(config.run, windows=config.long_texts == "windows", runtime=config.runtime)
    folder = Path(config.run)
    name = config.name or (folder.resolve().name if folder.is_dir() else config.run)
    model = ServedModel(classifier, name, config.runtime)
    model.warm_up()
    return model


class RememberingTokenizer:
    """A tokenizer that reads a text once: to count its tokens, and no second time when it is classified."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer, self._rows = tokenizer, OrderedDict[Pair, dict[str, list[int]]]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def count(self, texts: Sequence[Pair], truncated: bool) -> list[float]:
        """The number of tokens of each text; `truncated` to what the model reads, and then remembered."""
        found: list[float] = [0.0] * len(texts)
        for is_pair in (False, True):
            numbers = [number for number, (_, second) in enumerate(texts) if (second is not None) == is_pair]
            chosen = [texts[number] for number in numbers]
            if not chosen:
                continue
            seconds = [second or "" for _, second in chosen] if is_pair else None
            encoded = self._tokenizer([first for first, _ in chosen], seconds, truncation=truncated, verbose=False)
            for position, (number, text) in enumerate(zip(numbers, chosen, strict=True)):
                found[number] = float(len(encoded["input_ids"][position]))
                if truncated:
                    self._rows[text] = {name: encoded[name][position] for name in encoded}
                    self._rows.move_to_end(text)
        while len(self._rows) > REMEMBERED:
            self._rows.popitem(last=False)
        return found

    def __call__(self, firsts: Sequence[str], seconds: Sequence[str] | None = None, **options: Any) -> Any:
        """What the tokenizer gives; remembered if all of these texts are."""
        if options == {"truncation": True, "verbose": False}:
            pairs = zip(firsts, [None] * len(firsts) if seconds is None else seconds, strict=True)
            rows = [self._rows.get(pair) for pair in pairs]
            known = [row for row in rows if row is not None]
            if known and len(known) == len(rows):
                return {name: [row[name] for row in known] for name in known[0]}
        return self._tokenizer(firsts, seconds, **options)
