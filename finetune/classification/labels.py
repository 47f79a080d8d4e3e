"""The classes of a task.

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
from finetune.classification.splits import document_keys, draw_splits
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.documents import read as read_documents

Label = str | int


@dataclasses.dataclass(frozen=True)
class LabelSet:
    """The classes of a task, numbered from 0."""

    values: list[Label]
    names: list[str]

    def encode(self, labels: Iterable[Label], corpus: CorpusConfig) -> np.ndarray:
        """The class index of each label, [N].

        Raises:
            InputError: a label does not occur in the training texts.
        """
        indices = {value: index for index, value in enumerate(self.values)}
        labels = list(labels)
        unknown = sorted({str(label) for label in labels if label not in indices})
        if unknown:
            raise InputError(
                f"{corpus.source!r} (split {corpus.split!r}) has the label {unknown[0]!r}, "
                f"which the training texts lack; they have {', '.join(map(str, self.values))}"
            )
        return np.array([indices[label] for label in labels], dtype=np.int64)


def label_set(labels: Iterable[Label], names: dict[Label, str], corpus: CorpusConfig) -> LabelSet:
    """The classes of the training texts, sorted by value.

    Raises:
        InputError: fewer than two classes, or numbers and strings mixed.
    """
    counts = Counter(labels)
    types = {type(label) for label in counts}
    if len(types) > 1:
        raise InputError(
            f"{corpus.source!r} (split {corpus.split!r}) mixes numbers and strings as labels: "
            f"{', '.join(repr(label) for label in itertools.islice(counts, 6))}"
        )
    if len(counts) < 2:
        raise InputError(
            f"{corpus.source!r} (split {corpus.split!r}) has one label only, {next(iter(counts))!r}; "
            "a classifier needs two"
        )
    values = sorted(counts)
    return LabelSet(values, [names[value] for value in values])


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
    # Read again only if a share is set aside: the texts themselves are not kept for the labels alone.
    draw_splits(
        config, classes_N, lambda: document_keys(read_documents(corpora["train"], labelled=True)), classes.names
    )
    return classes
