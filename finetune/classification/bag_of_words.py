"""The linear baseline: logistic regression on words and pairs of words, weighted by TF-IDF or by naive Bayes.

Shapes: N texts, C classes or labels, F features.
"""

import dataclasses
import functools
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import safetensors
import safetensors.numpy
import scipy.special
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from configs.errors import InputError
from configs.machine_meter import MachineMeter
from configs.run_folder import RunFolder, write_atomically
from finetune.classification.calibration import calibration_facts, fit_temperature
from finetune.classification.config import TaskConfig
from finetune.classification.corpora import corpora_of
from finetune.classification.labels import LabelSet, class_weights, label_set
from finetune.classification.metrics import TINY, probability_scores
from finetune.classification.multi_label.one_versus_rest import OneVersusRest
from finetune.classification.multi_label.thresholds import at_temperature
from finetune.classification.predictions import (
    Chosen,
    label_decisions,
    label_thresholds,
    latency,
    scores_as_tested,
    write_result,
    write_timings,
)
from finetune.classification.splits import (
    document_keys,
    draw_splits,
    draw_test_texts,
    draw_validation_texts,
    tell_copies,
)
from pretrain.data.encode import document_row
from tokenizer.corpus.documents import Document
from tokenizer.corpus.documents import read as read_documents

# Inverse strengths of the L2 penalty, to be selected on the validation texts.
INVERSE_PENALTIES = (0.1, 1.0, 10.0, 100.0)
# In `model/`.
SETTINGS, WEIGHTS = "bag_of_words.json", "bag_of_words.safetensors"
Labelled = tuple[list[str], np.ndarray]
TOKEN = r"\w+|[^\w\s]"


def train_and_test(config: TaskConfig, folder: RunFolder, chosen: Chosen | None = None) -> None:
    """Fit, select features and penalty on the validation texts, test once.

    Args:
        config: of the run.
        folder: of the run.
        chosen: what a run has selected; this one is fitted to the validation texts as well.

    Raises:
        InputError: a text, column or label is missing, or a label does not occur in the training texts.
    """
    meter = MachineMeter()
    documents, labels, classes = read(config)
    parts = draw(config, documents, labels, classes)
    drawn = [[documents[name][index] for index in indices] for name, indices in parts]
    train_labels, held_out_labels, test_labels = (labels[name][indices] for name, indices in parts)
    train_texts, held_out_texts, test_texts = map(joined_texts, drawn)
    if chosen is None:
        _tell_copies_in(documents, parts)
    # Both refuse what cannot be used, before there is a folder.
    class_weights(config, train_labels, classes.names)
    config.score_of(classes.multi_label)
    folder.begin(config)
    started = time.monotonic()
    fit_texts = select if chosen is None else functools.partial(fit_to_all, chosen)
    (kind, inverse_penalty, vectorizer, model), validation_scores = fit_texts(
        config, (train_texts, train_labels), (held_out_texts, held_out_labels), classes.names
    )
    # Of training, as of other models: without reading texts and testing.
    seconds = time.monotonic() - started
    fitted = BagOfWords.of(kind, vectorizer, model, classes.names, classes.multi_label)
    if chosen is None:
        validation = fitted.logits(held_out_texts), held_out_labels
        temperature = fit_temperature(*validation)
        thresholds_C = label_thresholds(validation, temperature, config)
        validation_scores = scores_as_tested(validation_scores, validation, temperature, thresholds_C)
    else:
        temperature, thresholds_C = chosen.temperature, chosen.thresholds
    started = time.monotonic()
    test_logits_NC = fitted.logits(test_texts)
    timings = {"test_seconds": time.monotonic() - started}
    timings["latency_seconds"] = latency(lambda number: fitted.logits([test_texts[number]]), len(test_texts))
    if thresholds_C is not None:
        fitted = dataclasses.replace(fitted, thresholds=at_temperature(thresholds_C, temperature).tolist())
    fitted.save(folder.model)
    write_timings(folder, timings | meter.facts(), chosen)
    facts = {
        "seconds": seconds,
        "parameters": len(fitted.bias_K) * (len(vectorizer.vocabulary_) + 1),
        "features": kind,
        "inverse_penalty": inverse_penalty,
    }
    facts |= counts_of(train_texts, held_out_texts, test_texts, chosen)
    facts |= calibration_facts(temperature, test_logits_NC, test_labels) | (chosen.facts(facts) if chosen else {})
    rows = [document_row(document, labelled=True) for document in drawn[-1]]
    table = pyarrow.table({name: [row[name] for row in rows] for name in ("text", "second_text", "file", "row")})
    probabilities_NC = fitted.probabilities(test_texts)
    decisions = label_decisions(thresholds_C, test_logits_NC, temperature)
    write_result(folder, facts, validation_scores, classes, probabilities_NC, test_labels, table, decisions)


def _tell_copies_in(documents: dict[str, list[Document]], parts: list[tuple[str, np.ndarray]]) -> None:
    given = {name: functools.partial(document_keys, rows) for name, rows in documents.items() if name != "train"}
    of_train = [documents["train"][number] for name, numbers in parts[:2] if name == "train" for number in numbers]
    tell_copies(functools.partial(document_keys, of_train), given)


def counts_of(
    train: Sequence[str], held_out: Sequence[str], test: Sequence[str], chosen: Chosen | None
) -> dict[str, int]:
    """Entries of the result: the number of texts of each part; of a run on all labels, those trained on with them."""
    return {
        "train_texts": len(train) + (0 if chosen is None else len(held_out)),
        "validation_texts": len(held_out),
        "test_texts": len(test),
    }


def select(
    config: TaskConfig, train: Labelled, held_out: Labelled, names: Sequence[str]
) -> tuple[tuple[str, float, Any, Any], dict[str, float]]:
    """The features, inverse penalty, vectorizer and classifier that are best on validation texts, and their scores.

    Args:
        config: of the task.
        train: texts, and class indices or [N, C] labels.
        held_out: as `train`, of the validation texts.
        names: of the classes.
    """
    weights_C = class_weights(config, train[1], names)
    score, best = config.score_of(train[1].ndim == 2), None
    for kind, vectorizer in vectorizers(config.model.longest_word_sequence).items():
        train_features, held_out_features = vectorizer.fit_transform(train[0]), vectorizer.transform(held_out[0])
        for inverse_penalty in INVERSE_PENALTIES:
            model = fit(kind, inverse_penalty, config.seed, train_features, train[1], weights_C)
            values = probability_scores(model.predict_proba(held_out_features), held_out[1], config)
            rank = values[score], -values["loss"]
            if best is None or rank > best:
                best, chosen, scores = rank, (kind, inverse_penalty, vectorizer, model), values
    return chosen, scores


def fit_to_all(
    chosen: Chosen, config: TaskConfig, train: Labelled, held_out: Labelled, names: Sequence[str]
) -> tuple[tuple[str, float, Any, Any], dict[str, float]]:
    """As `select`, with what a run has selected, fitted to the texts of both parts; its validation scores."""
    kind, inverse_penalty = chosen.result["features"], chosen.result["inverse_penalty"]
    vectorizer = vectorizers(config.model.longest_word_sequence)[kind]
    features_NF = vectorizer.fit_transform(train[0] + held_out[0])
    labels_N = np.concatenate([train[1], held_out[1]])
    weights_C = class_weights(config, labels_N, names)
    model = fit(kind, inverse_penalty, config.seed, features_NF, labels_N, weights_C)
    return (kind, inverse_penalty, vectorizer, model), chosen.validation_scores


def read(config: TaskConfig) -> tuple[dict[str, list[Document]], dict[str, np.ndarray], LabelSet]:
    """The documents and class indices of each corpus, and the classes.

    Raises:
        InputError: a text, column or label is missing, or a label does not occur in the training texts.
    """
    corpora = corpora_of(config)
    documents = {name: list(read_documents(corpus, labelled=True)) for name, corpus in corpora.items()}
    labels = {name: [text.label for text in rows if text.label is not None] for name, rows in documents.items()}
    names = {text.label: text.label_name or str(text.label) for text in documents["train"] if text.label is not None}
    classes = label_set(labels["train"], names, corpora["train"])
    return documents, {name: classes.encode(labels[name], corpora[name]) for name in corpora}, classes


def draw(
    config: TaskConfig, documents: dict[str, list[Document]], labels: dict[str, np.ndarray], classes: LabelSet
) -> list[tuple[str, np.ndarray]]:
    """The corpus and the numbers of the training, validation and test texts: the same as of the other models.

    Raises:
        InputError: a class would be missing from a part.
    """

    def keys(numbers: np.ndarray) -> list[str]:
        return document_keys(documents["train"][number] for number in numbers)

    splits = draw_splits(config, labels["train"], keys, classes.names)
    validation = ("train", splits.validation)
    if "validation" in documents:
        validation = ("validation", draw_validation_texts(config, labels["validation"]))
    part, indices = ("test", np.arange(len(documents["test"]))) if splits.test is None else ("train", splits.test)
    return [("train", splits.train), validation, (part, draw_test_texts(config, labels[part], indices))]


def joined_texts(documents: list[Document]) -> list[str]:
    """The texts; a second one is appended to the first."""
    return [f"{text.text}\n{text.second_text or ''}" for text in documents]


def vectorizers(longest: int) -> dict[str, Any]:
    """How texts become features: TF-IDF, or which n-grams occur, for naive Bayes."""
    options: dict[str, Any] = {"ngram_range": (1, longest), "token_pattern": TOKEN, "min_df": 1}
    return {
        "tf-idf": TfidfVectorizer(sublinear_tf=True, **options),
        "naive-bayes": CountVectorizer(binary=True, dtype=np.float64, **options),
    }


def logistic_regression(inverse_penalty: float, seed: int) -> LogisticRegression:
    """An untrained logistic regression with an L2 penalty."""
    return LogisticRegression(C=inverse_penalty, max_iter=1000, random_state=seed)


def fit(
    kind: str,
    inverse_penalty: float,
    seed: int,
    features_NF: Any,
    labels_N: np.ndarray,
    weights_C: np.ndarray | None = None,
) -> Any:
    """A fitted classifier of a key of `CLASSIFIERS`, with `predict_proba`; of several labels a text, one for each.

    Args:
        kind: `tf-idf` or `naive-bayes`.
        inverse_penalty: inverse strength of the L2 penalty.
        seed: of the solver.
        features_NF: sparse.
        labels_N: class indices, or [N, C] labels.
        weights_C: of the classes, or of texts that have a label; None if all weigh the same.
    """
    if labels_N.ndim == 2:
        make = functools.partial(logistic_regression, inverse_penalty, seed)
        ratios = log_count_ratios if kind == "naive-bayes" else None
        return OneVersusRest(make, ratios).fit(features_NF, labels_N, weights_C)
    weights_N = None if weights_C is None else weights_C[labels_N]
    return CLASSIFIERS[kind](inverse_penalty, seed).fit(features_NF, labels_N, weights_N)


class NaiveBayesLogisticRegression:
    """Logistic regression on features weighted by naive Bayes' log-count ratios, one class against the rest.

    Wang and Manning 2012, "Baselines and bigrams: simple, good sentiment and topic classification", section 2.3, with
    logistic regression in place of the SVM, and without interpolation: r = log((p / |p|) / (q / |q|)), where p counts
    the texts of a class that have a feature, plus one, and q those of the others.
    """

    def __init__(self, inverse_penalty: float, seed: int) -> None:
        self.inverse_penalty, self.seed = inverse_penalty, seed

    def fit(
        self, features_NF: Any, labels_N: np.ndarray, weights_N: np.ndarray | None = None
    ) -> "NaiveBayesLogisticRegression":
        """Fit one classifier a class; of two classes, one for the second; texts may have weights."""
        self.classes = int(labels_N.max()) + 1
        self.models = []
        for label in [1] if self.classes == 2 else range(self.classes):
            is_label_N = labels_N == label
            ratios_F = log_count_ratios(features_NF, is_label_N)
            model = logistic_regression(self.inverse_penalty, self.seed)
            self.models.append((ratios_F, model.fit(features_NF.multiply(ratios_F).tocsr(), is_label_N, weights_N)))
        return self

    def predict_proba(self, features_NF: Any) -> np.ndarray:
        """Class probabilities [N, C]."""
        shares = [model.predict_proba(features_NF.multiply(ratios).tocsr())[:, 1] for ratios, model in self.models]
        shares_NC = np.stack([1 - shares[0], shares[0]] if self.classes == 2 else shares, axis=1)
        return shares_NC / shares_NC.sum(1, keepdims=True)


@dataclasses.dataclass(frozen=True)
class BagOfWords:
    """A fitted linear model: everything needed to classify texts, and nothing that runs when it is loaded.

    Shapes: K weight vectors: one for two classes, else C; C labels have C.
    """

    kind: str
    """`tf-idf` or `naive-bayes`."""
    labels: list[str]
    longest: int
    """Words of the longest sequence."""
    vocabulary: list[str]
    """Sequences of words, in the order of the features."""
    idf_F: np.ndarray
    """Inverse document frequencies; empty for naive Bayes."""
    weights_KF: np.ndarray
    bias_K: np.ndarray
    multi_label: bool = False
    """Whether a text may have several labels."""
    thresholds: list[float] | None = None
    """From which probability on each label applies, where a text may have several."""
    temperature: float = 1.0
    """What divides the logarithms of the probabilities, in an exported model: a run has it in its result."""
    cleans_html: bool = True
    """Whether it was trained on texts without HTML, in an exported model: a run has it in its config."""

    @classmethod
    def of(
        cls, kind: str, vectorizer: Any, model: Any, labels: Sequence[str], multi_label: bool = False
    ) -> "BagOfWords":
        """What a fitted vectorizer and classifier know."""
        vocabulary = [str(word) for word in vectorizer.get_feature_names_out()]
        idf_F = vectorizer.idf_ if kind == "tf-idf" else np.zeros(0)
        if kind == "tf-idf" or multi_label:
            weights_KF, bias_K = model.coef_, model.intercept_
        else:
            weights_KF = np.stack([ratios_F * part.coef_[0] for ratios_F, part in model.models])
            bias_K = np.concatenate([part.intercept_ for _, part in model.models])
        return cls(kind, list(labels), vectorizer.ngram_range[1], vocabulary, idf_F, weights_KF, bias_K, multi_label)

    def save(self, folder: Path) -> None:
        """Write `bag_of_words.json` and `bag_of_words.safetensors`."""
        folder.mkdir(parents=True, exist_ok=True)
        names = ["kind", "labels", "longest", "vocabulary"]
        names += ["multi_label", "thresholds"] if self.multi_label else []
        names += [] if self.temperature == 1 else ["temperature"]
        names += [] if self.cleans_html else ["cleans_html"]
        settings = {name: getattr(self, name) for name in names}
        write_atomically(folder / SETTINGS, json.dumps(settings) + "\n")
        arrays = {"idf": self.idf_F, "weights": np.ascontiguousarray(self.weights_KF), "bias": self.bias_K}
        safetensors.numpy.save_file(arrays, folder / WEIGHTS)

    @classmethod
    def load(cls, folder: Path) -> "BagOfWords":
        """Read what `save` wrote.

        Raises:
            InputError: the files are missing or damaged.
        """
        try:
            settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
            arrays = safetensors.numpy.load_file(folder / WEIGHTS)
            return cls(**settings, idf_F=arrays["idf"], weights_KF=arrays["weights"], bias_K=arrays["bias"])
        except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
            raise InputError(f"{folder}: no bag-of-words model ({' '.join(str(error).split())})") from None

    @functools.cached_property
    def vectorizer(self) -> Any:
        """Texts → features."""
        vectorizer = vectorizers(self.longest)[self.kind].set_params(vocabulary=self.vocabulary)
        if self.kind == "tf-idf":
            vectorizer.idf_ = self.idf_F
        return vectorizer

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """What is divided by the temperature, [N, C]: logarithms of class probabilities, or a label's log-odds."""
        if self.multi_label:
            return self.vectorizer.transform(texts) @ self.weights_KF.T + self.bias_K
        return np.log(np.maximum(self.probabilities(texts), TINY))

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Class probabilities, or those of each label, [N, C]."""
        logits_NK = self.vectorizer.transform(texts) @ self.weights_KF.T + self.bias_K
        if self.multi_label:
            return scipy.special.expit(logits_NK)
        if len(self.bias_K) == 1:
            share_N = scipy.special.expit(logits_NK[:, 0])
            return np.stack([1 - share_N, share_N], axis=1)
        if self.kind == "tf-idf":
            return scipy.special.softmax(logits_NK, axis=1)
        shares_NC = scipy.special.expit(logits_NK)
        return shares_NC / shares_NC.sum(1, keepdims=True)


def log_count_ratios(features_NF: Any, is_label_N: np.ndarray) -> np.ndarray:
    """The log-count ratio of each feature, [F].

    >>> import scipy.sparse
    >>> features = scipy.sparse.csr_matrix(np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]))
    >>> log_count_ratios(features, np.array([True, True, False])).round(3).tolist()
    [0.588, -0.511]
    """
    p_F = 1 + np.asarray(features_NF[is_label_N].sum(axis=0)).ravel()
    q_F = 1 + np.asarray(features_NF[~is_label_N].sum(axis=0)).ravel()
    return np.log((p_F / p_F.sum()) / (q_F / q_F.sum()))


CLASSIFIERS: dict[str, Callable[[float, int], Any]] = {
    "tf-idf": logistic_regression,
    "naive-bayes": NaiveBayesLogisticRegression,
}
