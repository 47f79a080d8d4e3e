"""The classes of a task.

Shapes: N texts.
"""

import dataclasses
import decimal
import itertools
from collections import Counter
from collections.abc import Iterable

import numpy as np

from configs.errors import InputError
from finetune.classification.config import TaskConfig
from finetune.classification.corpora import corpora_of
from finetune.classification.splits import document_keys, draw_splits
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.documents import Label, is_number, label_key
from tokenizer.corpus.documents import read as read_documents

# More different numbers with fractions are measurements, not classes.
MAXIMUM_FRACTIONS = 20
# The same, of fewer than 40 texts.
FEW_FRACTIONS = 5
# More classes are told of if most texts have one of their own: ids, or texts in the wrong column.
MANY_CLASSES = 100
JOINTS = (",", ";", "|")
JOINED_SHARE = 0.1


@dataclasses.dataclass(frozen=True)
class LabelSet:
    """The classes of a task, numbered from 0."""

    keys: list[str]
    """What the labels of each class have in common (`label_key`)."""
    names: list[str]
    spellings: list[list[str]]
    """The labels of each class as the training texts have them."""

    def encode(self, labels: Iterable[Label], corpus: CorpusConfig) -> np.ndarray:
        """The class index of each label, [N].

        Raises:
            InputError: a label does not occur in the training texts.
        """
        indices = {key: index for index, key in enumerate(self.keys)}
        labels = list(labels)
        keys = {label: label_key(label) for label in set(labels)}
        unknown = sorted({str(label) for label, key in keys.items() if key not in indices})
        if unknown:
            raise InputError(
                f"{corpus.source!r} (split {corpus.split!r}) has the label {unknown[0]!r}, "
                f"which the training texts lack; they have {', '.join(spelling[0] for spelling in self.spellings)}"
            )
        return np.array([indices[keys[label]] for label in labels], dtype=np.int64)

    def counts_line(self, classes_N: np.ndarray) -> str:
        """How many texts each class has, and which labels were taken as one.

        >>> LabelSet(["0", "yes"], ["0", "yes"], [["0"], ["Yes", "yes"]]).counts_line(np.array([1, 1, 0]))
        "classes: 0 1, yes 2 ('Yes' and 'yes' are one)"
        """
        counts = np.bincount(classes_N, minlength=len(self.names)).tolist()
        line = ", ".join(f"{name} {count:,}" for name, count in zip(self.names, counts, strict=True))
        merged = [" and ".join(map(repr, labels)) + " are one" for labels in self.spellings if len(labels) > 1]
        return f"classes: {line}" + (f" ({'; '.join(merged)})" if merged else "")


def label_set(labels: Iterable[Label], names: dict[Label, str], corpus: CorpusConfig) -> LabelSet:
    """The classes of the training texts, in the order of numbers, else of the alphabet.

    Labels that mean the same, such as 1 and "1.0" or "Good" and "good", are one class, with the name of the most
    frequent of them.

    Raises:
        InputError: fewer than two classes, or labels that are no classes: measurements, ids, several labels in one.
    """
    counts = Counter(labels)
    by_key: dict[str, list[Label]] = {}
    for label, _ in counts.most_common():
        by_key.setdefault(label_key(label), []).append(label)
    check_classes(by_key, counts, corpus)
    are_numbers = all(map(is_number, by_key))
    keys = sorted(by_key, key=decimal.Decimal if are_numbers else str)
    spellings = [sorted({str(label) for label in by_key[key]}) for key in keys]
    return LabelSet(keys, [names[by_key[key][0]] for key in keys], spellings)


def check_classes(by_key: dict[str, list[Label]], counts: Counter[Label], corpus: CorpusConfig) -> None:
    """Check that labels are classes.

    Raises:
        InputError: they are not.
    """
    where = f"{corpus.source!r} (split {corpus.split!r}), column {corpus.label_column!r}"
    examples = ", ".join(str(labels[0]) for labels in itertools.islice(by_key.values(), 4))
    texts = counts.total()
    if any(isinstance(label, int) for label in counts) and not all(map(is_number, counts)):
        raise InputError(
            f"{corpus.source!r} (split {corpus.split!r}) mixes numbers and strings as labels: "
            f"{', '.join(repr(label) for label in itertools.islice(counts, 6))}"
        )
    if len(by_key) < 2:
        raise InputError(
            f"{corpus.source!r} (split {corpus.split!r}) has one label only, {next(iter(counts))!r}; "
            "a classifier needs two"
        )
    fractions = [key for key in by_key if is_number(key) and "." in key]
    if len(fractions) > (MAXIMUM_FRACTIONS if texts > 2 * MAXIMUM_FRACTIONS else FEW_FRACTIONS):
        raise InputError(
            f"{where}: {len(by_key)} different numbers with fractions ({examples} …) are measurements, not classes; "
            "round them to a few classes, or choose another corpus.label_column"
        )
    for joint in JOINTS:
        joined = [key for key in by_key if joint in key]
        parts = {part.strip() for key in by_key for part in key.split(joint)}
        share = sum(counts[label] for key in joined for label in by_key[key]) / texts
        if share >= JOINED_SHARE and len(joined) > 1 and len(parts) < len(by_key):
            raise InputError(
                f"{where}: {len(by_key)} labels made of {len(parts)} others by {joint!r} ({joined[0]!r} …); a text has "
                "one class here; keep one label a row"
            )
    if len(by_key) > max(MANY_CLASSES, texts / 2):
        raise InputError(
            f"{where}: {len(by_key)} different labels for {texts} texts ({examples} …) are ids or texts, not classes; "
            "choose another corpus.label_column"
        )


def class_weights(config: TaskConfig, classes_N: np.ndarray, names: list[str]) -> np.ndarray | None:
    """The weight of each class in training, [C], one on average over the training texts; None if all weigh the same.

    Args:
        config: `class_weights`.
        classes_N: of the training texts.
        names: of the classes.

    Raises:
        InputError: not one weight a class.
    """
    if config.class_weights is None:
        return None
    counts_C = np.bincount(classes_N, minlength=len(names))
    weights_C = 1 / counts_C if config.class_weights == "balanced" else np.array(config.class_weights)
    if len(weights_C) != len(names):
        raise InputError(
            f"class_weights: {len(weights_C)} weights for {len(names)} classes, which are {', '.join(names)}"
        )
    return weights_C * len(classes_N) / (counts_C * weights_C).sum()


def check_labels(config: TaskConfig) -> LabelSet:
    """Read and check the labels of every corpus of a run; returns the classes.

    Raises:
        InputError: a text, column or label is missing, or a label does not occur in the training texts.
    """
    corpora = corpora_of(config)
    train = [(document.label, document.label_name) for document in read_documents(corpora["train"], labelled=True)]
    labels = [label for label, _ in train if label is not None]
    names = {label: name or str(label) for label, name in train if label is not None}
    classes = label_set(labels, names, corpora["train"])
    for name, corpus in corpora.items():
        if name != "train":
            texts = read_documents(corpus, labelled=True)
            classes.encode((text.label for text in texts if text.label is not None), corpus)
    classes_N = classes.encode(labels, corpora["train"])
    class_weights(config, classes_N, classes.names)
    # Read again only if a share is set aside: the texts themselves are not kept for the labels alone.
    draw_splits(
        config, classes_N, lambda: document_keys(read_documents(corpora["train"], labelled=True)), classes.names
    )
    return classes
