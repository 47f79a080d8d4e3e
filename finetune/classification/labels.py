"""The classes of a task, or the labels of which a text may have several.

Shapes: N texts, C classes or labels.
"""

import dataclasses
import decimal
import hashlib
import itertools
import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from configs.errors import InputError
from configs.processes import IN_POOL
from finetune.classification.config import TaskConfig
from finetune.classification.corpora import corpora_of
from finetune.classification.splits import document_keys, draw_splits, warn_of_copies
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.documents import Document, is_number, label_key
from tokenizer.corpus.documents import read as read_documents
from tokenizer.corpus.joined_labels import (
    JOINED_SHARE,
    JOINTS,
    MADE_LABELS,
    OTHER_JOINTS,
    have_decimal_commas,
    joint_of,
    made_of_others,
    parts_in,
)
from tokenizer.corpus.row_labels import Label, OneLabel

log = logging.getLogger(__name__)

# More different numbers with fractions are measurements, not classes.
MAXIMUM_FRACTIONS = 20
# The same, of fewer than 40 texts.
FEW_FRACTIONS = 5
# More classes are told of if most texts have one of their own: ids, or texts in the wrong column.
MANY_CLASSES = 100


@dataclasses.dataclass(frozen=True)
class LabelSet:
    """The classes of a task, numbered from 0."""

    keys: list[str]
    """What the labels of each class have in common (`label_key`)."""
    names: list[str]
    spellings: list[list[str]]
    """The labels of each class as the training texts have them."""
    multi_label: bool = False
    """Whether a text may have several of them, or none."""

    def encode(self, labels: Iterable[Label], corpus: CorpusConfig) -> np.ndarray:
        """The class index of each label, [N]; where a text may have several labels, a 0 or 1 for each, [N, C].

        Raises:
            InputError: a label does not occur in the training texts.
        """
        indices = {key: index for index, key in enumerate(self.keys)}
        labels = list(labels)
        if any(isinstance(label, tuple) != self.multi_label for label in labels):
            kinds = ("one label a text", "a list of labels a text")
            here, there = kinds if self.multi_label else kinds[::-1]
            raise InputError(
                f"{corpus.source!r} (split {corpus.split!r}) has {here}, and the training texts have {there}"
            )
        ones = set(itertools.chain.from_iterable(map(labels_in, labels)))
        keys = {label: label_key(label) for label in ones}
        unknown = sorted({str(label) for label, key in keys.items() if key not in indices})
        if unknown:
            raise InputError(
                f"{corpus.source!r} (split {corpus.split!r}) has the label {unknown[0]!r}, "
                f"which the training texts lack; they have {', '.join(spelling[0] for spelling in self.spellings)}"
            )
        if not self.multi_label:
            return np.array([indices[keys[label]] for one in labels for label in labels_in(one)], dtype=np.int64)
        labels_NC = np.zeros((len(labels), len(self.keys)), dtype=np.int8)
        for row_C, several in zip(labels_NC, labels, strict=True):
            row_C[[indices[keys[label]] for label in labels_in(several)]] = 1
        return labels_NC

    def counts_line(self, classes_N: np.ndarray) -> str:
        """How many texts each class has, and which labels were taken as one.

        >>> LabelSet(["0", "yes"], ["0", "yes"], [["0"], ["Yes", "yes"]]).counts_line(np.array([1, 1, 0]))
        "classes: 0 1, yes 2 ('Yes' and 'yes' are one)"
        """
        counts = class_counts(classes_N, len(self.names)).tolist()
        line = ", ".join(f"{name} {count:,}" for name, count in zip(self.names, counts, strict=True))
        merged = [" and ".join(map(repr, labels)) + " are one" for labels in self.spellings if len(labels) > 1]
        told = f"{line} ({'; '.join(merged)})" if merged else line
        if not self.multi_label:
            return f"classes: {told}"
        without = int((classes_N.sum(1) == 0).sum())
        return (
            f"labels, {classes_N.sum(1).mean():.1f} a text: {told}; {without:,} of {len(classes_N):,} texts have none"
        )


def labels_in(label: Label) -> tuple[OneLabel, ...]:
    """The labels of a text: one, or several.

    >>> labels_in("bug"), labels_in(("bug", "billing")), labels_in(())
    (('bug',), ('bug', 'billing'), ())
    """
    return label if isinstance(label, tuple) else (label,)


def class_counts(classes_N: np.ndarray, count: int) -> np.ndarray:
    """How many texts each of `count` classes has, [C]; of several labels, each label."""
    return classes_N.sum(0, dtype=np.int64) if classes_N.ndim == 2 else np.bincount(classes_N, minlength=count)


def groups_of_each(classes_N: np.ndarray, count: int, keys: Sequence[str]) -> np.ndarray:
    """How many groups of texts with the same key begin with a text of each of the classes, [C].

    >>> groups_of_each(np.array([0, 1, 1]), 2, ["a", "a", "b"]).tolist()
    [1, 1]
    """
    _, firsts = np.unique(np.array(keys, dtype=object), return_index=True)
    return class_counts(classes_N[firsts], count)


def label_set(
    labels: Iterable[Label], names: dict[Label, str], corpus: CorpusConfig, tell_joined: bool = True
) -> LabelSet:
    """The classes of the training texts, in the order of numbers, else of the alphabet.

    Labels that mean the same, such as 1 and "1.0" or "Good" and "good", are one class, with the name of the most
    frequent of them.

    Labels in tuples are those of texts that may have several; columns of 0 and 1 keep the order of
    `corpus.label_columns`.

    Args:
        labels: of the texts.
        names: of the labels.
        corpus: of the texts.
        tell_joined: warn of labels that are made of others, and are taken for classes, unless a comparison started
            this run and has told it.

    Raises:
        InputError: fewer than two classes, two of the same name, one of `corpus.labels` that no text has, or labels
            that are no classes: measurements, ids, several labels in one.
    """
    labels = list(labels)
    multi_label = any(isinstance(label, tuple) for label in labels)
    counts = Counter(itertools.chain.from_iterable(map(labels_in, labels)))
    by_key: dict[str, list[OneLabel]] = {}
    for label, _ in counts.most_common():
        by_key.setdefault(label_key(label), []).append(label)
    check_wanted(corpus, by_key)
    check_classes(by_key, counts, corpus, len(labels))
    if tell_joined and IN_POOL not in os.environ and corpus.label_separator is None:
        tell_of_joined(by_key, counts)
    if multi_label and all(len(label) == len(by_key) for label in map(labels_in, labels)):
        raise InputError(
            f"{corpus.source!r} (split {corpus.split!r}): every text has every label ({', '.join(by_key)}); a 0 or 1 "
            "for each label is a column for each (`corpus.label_columns`)"
        )
    are_numbers = all(map(is_number, by_key))
    keys = sorted(by_key, key=decimal.Decimal if are_numbers else str)
    if corpus.label_columns is not None:
        keys = in_columns(by_key, corpus)
    spellings = [sorted({str(label) for label in by_key[key]}) for key in keys]
    class_names = [names.get(by_key[key][0], str(by_key[key][0])) for key in keys]
    twice = next((name for name, count in Counter(class_names).items() if count > 1), None)
    if twice is not None:
        same = [repr(key) for key, name in zip(keys, class_names, strict=True) if name == twice]
        raise InputError(
            f"corpus.label_name_column: in {corpus.source!r} (split {corpus.split!r}), column "
            f"{corpus.label_name_column!r} calls the labels {' and '.join(same)} both {twice!r}; give each a name of "
            "its own, or leave the key out"
        )
    return LabelSet(keys, class_names, spellings, multi_label)


def contradictions(keys: Sequence[str], classes_N: np.ndarray) -> int:
    """How many texts have a copy with another class, or other labels.

    Args:
        keys: one a text, the same for copies of it (`splits.document_keys`).
        classes_N: class indices, or [N, C] labels.

    >>> contradictions(["a", "b", "a", "c", "c"], np.array([0, 0, 1, 1, 1]))
    2
    """
    different: dict[str, set[bytes]] = {}
    for key, row in zip(keys, classes_N, strict=True):
        different.setdefault(key, set()).add(row.tobytes())
    return sum(len(different[key]) > 1 for key in keys)


def in_columns(by_key: Mapping[str, object], corpus: CorpusConfig) -> list[str]:
    """The keys of labels that are columns, in the order of the columns.

    Raises:
        InputError: a column holds no 1.
    """
    keys = list(dict.fromkeys(map(label_key, corpus.label_columns or ())))
    for key in keys:
        if key not in by_key:
            raise InputError(
                f"corpus.label_columns: no text of {corpus.source!r} (split {corpus.split!r}) has a 1 for {key!r}; "
                "leave it out"
            )
    return keys


def check_wanted(corpus: CorpusConfig, by_key: Mapping[str, object]) -> None:
    """Check that texts have each label of `corpus.labels`: one that is mistyped would leave its texts out.

    Raises:
        InputError: no text has one of them.
    """
    for wanted in corpus.labels or ():
        if by_key and label_key(wanted) not in by_key:
            raise InputError(
                f"corpus.labels: no text of {corpus.source!r} (split {corpus.split!r}) has the label {wanted!r}"
            )


def check_classes(
    by_key: Mapping[str, list[OneLabel]], counts: Counter[OneLabel], corpus: CorpusConfig, texts: int
) -> None:
    """Check that labels are classes.

    Args:
        by_key: the labels by what they have in common.
        counts: of each label.
        corpus: their corpus.
        texts: their number.

    Raises:
        InputError: they are not.
    """
    where = f"{corpus.source!r} (split {corpus.split!r}), column {corpus.label_column!r}"
    examples = ", ".join(str(labels[0]) for labels in itertools.islice(by_key.values(), 4))
    if any(isinstance(label, int) for label in counts) and not all(map(is_number, counts)):
        raise InputError(
            f"{corpus.source!r} (split {corpus.split!r}) mixes numbers and strings as labels: "
            f"{', '.join(repr(label) for label in itertools.islice(counts, 6))}"
        )
    if len(by_key) < 2:
        only = f"one label only, {next(iter(counts))!r}" if counts else "no label at all"
        source = Path(corpus.source)
        is_folder = source.is_dir() and not {source.resolve().name, corpus.split}.isdisjoint(map(str, counts))
        advice = ": the labels of text files are the names of their folders, so make a folder for each class"
        needs = f"a classifier needs two{advice if is_folder else ''}"
        raise InputError(f"{corpus.source!r} (split {corpus.split!r}) has {only}; {needs}")
    fractions = [key for key in by_key if is_number(key) and "." in key]
    if len(fractions) > (MAXIMUM_FRACTIONS if texts > 2 * MAXIMUM_FRACTIONS else FEW_FRACTIONS):
        raise InputError(
            f"{where}: {len(by_key)} different numbers with fractions ({examples} …) are measurements, not classes; "
            "round them to a few classes, or choose another corpus.label_column"
        )
    found = None if corpus.label_separator == "" else joint_of(by_key, counts, texts)
    if found is not None:
        joint, joined, parts = found
        if have_decimal_commas(by_key):
            raise InputError(
                f"{where}: {len(by_key)} labels such as {joined!r} seem to be numbers with a decimal comma; if each is "
                "one label, set corpus.label_separator: '' (an empty string); if a text may have several labels, set "
                f"it to {joint!r}"
            )
        raise InputError(
            f"{where}: {len(by_key)} labels made of {parts} others by {joint!r} ({joined!r} …); if a text may have "
            f"several labels, set corpus.label_separator: {joint!r}; if each of these is one label, set it to '' (an "
            "empty string)"
        )
    if len(by_key) > max(MANY_CLASSES, texts / 2):
        raise InputError(
            f"{where}: {len(by_key)} different labels for {texts} texts ({examples} …) are ids or texts, not classes; "
            "choose another corpus.label_column"
        )


def tell_of_joined(by_key: Mapping[str, list[OneLabel]], counts: Mapping[OneLabel, int]) -> None:
    """Tell of labels that are made of others, and are taken for classes."""
    split = ((key, joint, parts_in(key, joint)) for key in by_key for joint in JOINTS)
    joined = {key: joint for key, joint, parts in split if len(parts) > 1 and parts <= by_key.keys()}
    if not joined:
        tell_of_recombined(by_key, counts)
    elif not have_decimal_commas(by_key):
        key, joint = next(iter(joined.items()))
        texts = sum(counts[label] for label in by_key[key])
        log.warning(
            "labels: %r (%d text%s) is taken for a class of its own; if it is several labels, set "
            "corpus.label_separator: %r, and if it is one, '' (an empty string)", str(by_key[key][0]), texts,
            "" if texts == 1 else "s", joint,
        )  # fmt: skip


def tell_of_recombined(by_key: Mapping[str, list[OneLabel]], counts: Mapping[OneLabel, int]) -> None:
    """Warn of labels that seem to be several, with a space or a slash between them, or in angle brackets."""
    texts = {key: sum(counts[label] for label in labels) for key, labels in by_key.items()}
    for joint in OTHER_JOINTS:
        made = made_of_others(texts, joint)
        count = sum(texts[key] for key in made)
        if len(made) >= MADE_LABELS and count >= JOINED_SHARE * sum(texts.values()):
            separator = "write them with `;` between, and " if joint == "><" else ""
            log.warning(
                "labels: %r and %d others (%d texts) are taken for classes, but seem to be made of several labels; if "
                "they are, %sset corpus.label_separator: %r", str(by_key[made[0]][0]),
                len(made) - 1, count, separator, ";" if separator else joint,
            )  # fmt: skip
            return


def class_weights(config: TaskConfig, classes_N: np.ndarray, names: Sequence[str]) -> np.ndarray | None:
    """The weight of each class in training, [C], one on average over the training texts; None if all weigh the same.

    Where a text may have several labels, it is the weight of a text that has the label beside one that has not;
    `balanced` gives both the same in sum.

    Args:
        config: `class_weights`.
        classes_N: of the training texts, or [N, C] labels.
        names: of the classes.

    Raises:
        InputError: not one weight a class.
    """
    if config.class_weights is None:
        return None
    counts_C = class_counts(classes_N, len(names))
    weights_C = 1 / counts_C if config.class_weights == "balanced" else np.array(config.class_weights)
    if len(weights_C) != len(names):
        raise InputError(
            f"class_weights: {len(weights_C)} weights for {len(names)} classes, which are {', '.join(names)}"
        )
    if classes_N.ndim == 2:
        # A label of every text, or of none (in a fold), has nothing to be balanced with.
        return (
            np.maximum(len(classes_N) - counts_C, 1) / np.maximum(counts_C, 1)
            if config.class_weights == "balanced"
            else weights_C
        )
    return weights_C * len(classes_N) / (counts_C * weights_C).sum()


def check_labels(config: TaskConfig, tell: bool = True) -> LabelSet:
    """Read and check the labels of every corpus of a run; returns the classes.

    Args:
        config: of the task.
        tell: warn of validation and test texts that are copies of training texts, and of labels that are made of
            others.

    Raises:
        InputError: a text, column or label is missing, or a label does not occur in the training texts.
    """
    corpora = corpora_of(config)
    train = [
        (document.label, document.label_name, _brief_key(document))
        for document in read_documents(corpora["train"], labelled=True)
    ]
    labels = [label for label, _, _ in train if label is not None]
    names = {label: name or str(label) for label, name, _ in train if label is not None}
    keys = [key for _, _, key in train]
    classes = label_set(labels, names, corpora["train"], tell)
    for name, corpus in corpora.items():
        if name != "train":
            texts = [(text.label, _brief_key(text)) for text in read_documents(corpus, labelled=True)]
            classes.encode((label for label, _ in texts if label is not None), corpus)
            if tell:
                warn_of_copies(keys, [key for _, key in texts], name)
    classes_N = classes.encode(labels, corpora["train"])
    class_weights(config, classes_N, classes.names)
    config.score_of(classes.multi_label)
    draw_splits(config, classes_N, lambda numbers: [keys[number] for number in numbers], classes.names)
    return classes


def _brief_key(document: Document) -> str:
    """What copies of a text have in common, hashed: the texts themselves are not kept for the labels alone."""
    (key,) = document_keys([document])
    return hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=12).hexdigest()
