"""Classes of a task, and which labelled texts a run trains and validates on.

Shapes: N texts.
"""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterable

import numpy as np

from configs.errors import InputError
from finetune.classification.config import TaskConfig
from finetune.classification.corpora import corpora_of
from pretrain.data.randomness import permutation
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.documents import read as read_documents

Label = str | int


@dataclasses.dataclass(frozen=True)
class LabelSet:
    """The classes of a task, numbered from 0."""

    values: list[Label]
    names: list[str]

    def numbers(self, labels: Iterable[Label], source: CorpusConfig) -> np.ndarray:
        """The class of each label.

        Raises:
            InputError: a label that the training texts lack.
        """
        places = {value: number for number, value in enumerate(self.values)}
        labels = list(labels)
        unknown = sorted({str(label) for label in labels if label not in places})
        if unknown:
            raise InputError(
                f"{source.source!r} (split {source.split!r}) has the label {unknown[0]!r}, "
                f"which the training texts lack; they have {', '.join(map(str, self.values))}"
            )
        return np.array([places[label] for label in labels], dtype=np.int64)


def label_set(labels: Iterable[Label], names: dict[Label, str], source: CorpusConfig) -> LabelSet:
    """The classes of the training texts, in the order of their values.

    Raises:
        InputError: fewer than two classes, or numbers and words mixed.
    """
    counts = Counter(labels)
    kinds = {type(label) for label in counts}
    if len(kinds) > 1:
        raise InputError(
            f"{source.source!r} (split {source.split!r}) mixes numbers and words as labels: "
            f"{', '.join(repr(label) for label in itertools.islice(counts, 6))}"
        )
    if len(counts) < 2:
        raise InputError(
            f"{source.source!r} (split {source.split!r}) has one label only, {next(iter(counts))!r}; "
            "a classifier needs two"
        )
    values = sorted(counts, key=lambda label: (label if isinstance(label, int) else 0, str(label)))
    return LabelSet(values, [names[value] for value in values])


def check(config: TaskConfig) -> LabelSet:
    """Read every labelled corpus of a run once, for its labels alone.

    Raises:
        InputError: a text, column or label is missing, or a label appears that the training texts lack.
    """
    found = corpora_of(config)
    train = [(document.label, document.label_name) for document in read_documents(found["train"], labelled=True)]
    labels = [label for label, _ in train if label is not None]
    names = {label: name or str(label) for label, name in train if label is not None}
    classes = label_set(labels, names, found["train"])
    for name, source in found.items():
        if name != "train":
            texts = read_documents(source, labelled=True)
            classes.numbers((text.label for text in texts if text.label is not None), source)
    draw_texts(config, classes.numbers(labels, found["train"]))
    return classes


def draw_texts(config: TaskConfig, classes_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The training and, where no validation texts are given, the validation texts of a run, as places in [0, N).

    Classes keep their proportions, and a smaller budget's texts are among a larger one's.

    Raises:
        InputError: the budget exceeds the labels there are.
    """
    budget = len(classes_N) if config.label_budget is None else config.label_budget
    if budget > len(classes_N):
        raise InputError(f"label_budget: {budget} exceeds the {len(classes_N)} labels of {config.corpus.source!r}")
    order = stratified_order(classes_N, config.seed)[:budget]
    if config.validation is not None:
        return order, order[:0]
    count = min(config.maximum_validation_texts, max(1, round(config.validation_share * budget)))
    if count >= budget:
        raise InputError(f"validation_share: leaves no training text of {budget}")
    # Every k-th text, so that the validation texts keep the proportions too.
    validation = np.linspace(0, budget - 1, count).round().astype(np.int64)
    return np.delete(order, validation), order[validation]


def draw_validation_texts(config: TaskConfig, classes_N: np.ndarray) -> np.ndarray:
    """Which of the N texts given for validation are used: the same for every seed and budget."""
    return np.sort(stratified_order(classes_N, seed=0)[: config.maximum_validation_texts])


def stratified_order(classes_N: np.ndarray, seed: int) -> np.ndarray:
    """A random order of N texts in which every beginning holds the classes in about their proportions.

    >>> order = stratified_order(np.array([0] * 6 + [1] * 3), seed=0)
    >>> np.bincount(np.array([0] * 6 + [1] * 3)[order[:3]]).tolist()
    [2, 1]
    """
    shuffled = permutation(len(classes_N), "labels", seed)
    place_N = np.empty(len(classes_N))
    for label in np.unique(classes_N):
        members = shuffled[classes_N[shuffled] == label]
        place_N[members] = (np.arange(len(members)) + 0.5) / len(members)
    return shuffled[np.argsort(place_N[shuffled], kind="stable")]
