"""Labelled text → batches of ids.

Shapes: B texts of a micro-batch, T positions, N texts.
"""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterable

import numpy as np
import torch

from configs.errors import InputError
from finetune.config import FinetuneConfig, parts
from pretrain.batches import Batch, arithmetic_counts, bucketed, filled, next_length
from pretrain.randomness import permutation
from pretrain.sequences import Encoding
from pretrain.store import TokenStore
from tokenizer import corpus
from tokenizer.config import CorpusConfig

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


def check(config: FinetuneConfig) -> LabelSet:
    """Read every labelled corpus of a run once, for its labels alone.

    Raises:
        InputError: a text, column or label is missing, or a label appears that the training texts lack.
    """
    found = parts(config)
    train = [(document.label, document.label_name) for document in corpus.read(found["train"], labelled=True)]
    labels = [label for label, _ in train if label is not None]
    names = {label: name or str(label) for label, name in train if label is not None}
    classes = label_set(labels, names, found["train"])
    for name, source in found.items():
        if name != "train":
            texts = corpus.read(source, labelled=True)
            classes.numbers((text.label for text in texts if text.label is not None), source)
    drawn(config, classes.numbers(labels, found["train"]))
    return classes


def drawn(config: FinetuneConfig, classes_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The training and, where no validation texts are given, the validation texts of a run, as places in [0, N).

    Classes keep their proportions, and a smaller budget's texts are among a larger one's.

    Raises:
        InputError: the budget exceeds the labels there are.
    """
    budget = len(classes_N) if config.label_budget is None else config.label_budget
    if budget > len(classes_N):
        raise InputError(f"label_budget: {budget} exceeds the {len(classes_N)} labels of {config.corpus.source!r}")
    order = in_proportion(classes_N, config.seed)[:budget]
    if config.validation is not None:
        return order, order[:0]
    count = min(config.maximum_validation_texts, max(1, round(config.validation_share * budget)))
    if count >= budget:
        raise InputError(f"validation_share: leaves no training text of {budget}")
    # Every k-th text, so that the validation texts keep the proportions too.
    validation = np.linspace(0, budget - 1, count).round().astype(np.int64)
    return np.delete(order, validation), order[validation]


def validation_places(config: FinetuneConfig, classes_N: np.ndarray) -> np.ndarray:
    """Which of the N texts given for validation are used: the same for every seed and budget."""
    return np.sort(in_proportion(classes_N, seed=0)[: config.maximum_validation_texts])


def in_proportion(classes_N: np.ndarray, seed: int) -> np.ndarray:
    """A random order of N texts in which every beginning holds the classes in about their proportions.

    >>> order = in_proportion(np.array([0] * 6 + [1] * 3), seed=0)
    >>> np.bincount(np.array([0] * 6 + [1] * 3)[order[:3]]).tolist()
    [2, 1]
    """
    shuffled = permutation(len(classes_N), "labels", seed)
    place_N = np.empty(len(classes_N))
    for label in np.unique(classes_N):
        members = shuffled[classes_N[shuffled] == label]
        place_N[members] = (np.arange(len(members)) + 0.5) / len(members)
    return shuffled[np.argsort(place_N[shuffled], kind="stable")]


@dataclasses.dataclass(frozen=True)
class TextEpoch:
    """Labelled texts in batches, laid out as [CLS] text [SEP], or [CLS] text [SEP] second text [SEP]."""

    store: TokenStore
    classes_N: np.ndarray
    encoding: Encoding
    sequence_length: int
    head_share: float
    batches: list[np.ndarray]
    lengths: tuple[int, ...] = ()
    """T is one of these; with none, it is as small as can be."""

    def collate(self, samples_B: np.ndarray) -> Batch:
        """`input_ids`, `token_type_ids`, `attention_mask` [B, T] and `labels` [B]; T holds the longest."""
        rows = [self.encoded(int(sample)) for sample in samples_B]
        length = next_length(max(len(ids) for ids, _ in rows), self.lengths)
        ids_BT = np.full((len(rows), length), self.encoding.pad_id, dtype=np.int64)
        types_BT, attention_BT = np.zeros_like(ids_BT), np.zeros_like(ids_BT)
        for index, (ids, second) in enumerate(rows):
            ids_BT[index, : len(ids)] = ids
            types_BT[index, second : len(ids)] = 1
            attention_BT[index, : len(ids)] = 1
        return {
            "input_ids": torch.from_numpy(ids_BT),
            "token_type_ids": torch.from_numpy(types_BT),
            "attention_mask": torch.from_numpy(attention_BT),
            "labels": torch.from_numpy(self.classes_N[samples_B]),
            "counts": {"labels": len(rows)} | arithmetic_counts(attention_BT.sum(1)),
        }

    def encoded(self, sample: int) -> tuple[np.ndarray, int]:
        """The ids of a text, special ones included, and where its second text begins (its length if there is none)."""
        texts = texts_of(self.store, sample)
        kept = shared_out([len(ids) for ids in texts], self.sequence_length - 1 - len(texts))
        pieces: list[np.ndarray] = [np.array([self.encoding.cls_id])]
        for ids, length in zip(texts, kept, strict=True):
            pieces += [head_and_tail(ids, length, self.head_share), np.array([self.encoding.sep_id])]
        joined = np.concatenate(pieces).astype(np.int64)
        return joined, kept[0] + 2


def texts_of(store: TokenStore, document: int) -> list[np.ndarray]:
    """The ids of a labelled text, and of its second text where there is one."""
    first, last = store.document_offsets[document], store.document_offsets[document + 1]
    bounds = store.sentence_offsets[first : last + 1].tolist()
    return [store.tokens(begin, end) for begin, end in itertools.pairwise(bounds)]


def shared_out(lengths: list[int], budget: int) -> list[int]:
    """How many tokens each of one or two texts keeps: the longer one gives way first.

    >>> shared_out([300], 126), shared_out([300, 20], 125), shared_out([300, 200], 125), shared_out([5, 6], 125)
    ([126], [105, 20], [63, 62], [5, 6])
    """
    if len(lengths) == 1:
        return [min(lengths[0], budget)]
    first, second = lengths
    kept_second = min(second, max(budget // 2, budget - first))
    return [min(first, budget - kept_second), kept_second]


def head_and_tail(ids: np.ndarray, length: int, head_share: float) -> np.ndarray:
    """The beginning and the end of a text that is longer than `length` (Sun et al. 2019, section 5.3.1).

    >>> head_and_tail(np.arange(10), 4, 0.25)
    array([0, 7, 8, 9])
    """
    if len(ids) <= length:
        return ids
    head = round(head_share * length)
    return np.concatenate([ids[:head], ids[len(ids) - (length - head) :]])


@dataclasses.dataclass(frozen=True)
class TextSource:
    """The training texts, in another order each epoch."""

    texts: TextEpoch
    chosen: np.ndarray
    batch_size: int
    seed: int

    def epoch(self, number: int) -> TextEpoch:
        """The shuffled batches of an epoch."""
        lengths = lengths_of(self.texts.store, self.chosen)
        batches = bucketed(lengths, self.batch_size, self.seed, number)
        return dataclasses.replace(self.texts, batches=[self.chosen[batch] for batch in batches])


def for_evaluation(texts: TextEpoch, chosen: np.ndarray, tokens: int) -> TextEpoch:
    """The chosen texts once, sorted by length, in batches of about so many tokens."""
    lengths = np.minimum(lengths_of(texts.store, chosen), texts.sequence_length)
    return dataclasses.replace(texts, batches=[chosen[batch] for batch in filled(lengths, tokens)])


def lengths_of(store: TokenStore, documents: np.ndarray) -> np.ndarray:
    """Tokens of each text, second texts included."""
    bounds = store.sentence_offsets[store.document_offsets]
    return (bounds[1:] - bounds[:-1])[documents]
