"""Which labelled texts a run trains and validates on: stratified, at least one text a class in each part.

Classes are numbers, [N], or, where a text may have several labels, a 0 or 1 for each, [N, C].

Shapes: N texts, C classes.
"""

import dataclasses
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from configs.errors import InputError
from finetune.classification.config import TaskConfig
from finetune.classification.corpora import sets_test_aside
from finetune.classification.multi_label.stratification import part, ranks, stratified_label_order
from pretrain.data.randomness import permutation
from tokenizer.corpus.documents import Document

log = logging.getLogger(__name__)


class Splits(NamedTuple):
    """Numbers of texts of the training corpus."""

    train: np.ndarray
    validation: np.ndarray
    """Empty if validation texts are given."""
    test: np.ndarray | None
    """None if test texts are given, and no fold is tested on."""


def draw_splits(
    config: TaskConfig, classes_N: np.ndarray, keys: Callable[[], Sequence[str]], names: Sequence[str] = ()
) -> Splits:
    """The training, validation and test texts that a run takes from its training corpus.

    Args:
        config: budget, shares and seed.
        classes_N: the class of each text, or [N, C] labels.
        keys: the N texts, equal for copies of a text (`text_key`); called only if test texts are set aside.
        names: of the classes, for messages.

    Raises:
        InputError: the budget exceeds the labels there are, or a class would be missing from a part.
    """
    if not sets_test_aside(config):
        everything = np.arange(len(classes_N))
        return draw_parts(config, classes_N, everything, None, names)
    test = set_aside(keys(), classes_N, config.test_share, names)
    rest = np.setdiff1d(np.arange(len(classes_N)), test)
    log.info(
        "test: no test texts are named; %d of the %d texts of %s are set aside for testing (`test_share: %g`)",
        len(test), len(classes_N), config.corpus.source, config.test_share,
    )  # fmt: skip
    return draw_parts(config, classes_N, rest, test, names)


def draw_parts(
    config: TaskConfig, classes_N: np.ndarray, usable: np.ndarray, test: np.ndarray | None, names: Sequence[str]
) -> Splits:
    """The parts of a run; with `folds`, one of them takes the place of the test texts.

    Args:
        config: of the task.
        classes_N: the class of each text.
        usable: the texts that are not for testing.
        test: those that are; None if they are given.
        names: of the classes, for messages.

    Raises:
        InputError: as `draw_texts`.
    """
    train, validation = draw_texts(config, classes_N[usable], names)
    if config.folds is None:
        return Splits(usable[train], usable[validation], test)
    drawn = usable[np.concatenate([train, validation])]
    in_fold = _in_fold(config, classes_N[drawn])
    others = drawn[~in_fold]
    without_fold = dataclasses.replace(config, label_budget=None, folds=None, fold=0)
    train, validation = draw_texts(without_fold, classes_N[others], names)
    return Splits(others[train], others[validation], np.sort(drawn[in_fold]))


def _in_fold(config: TaskConfig, classes_N: np.ndarray) -> np.ndarray:
    """Which of the drawn texts are in the fold, [N]; those that a class needs to be trained and validated on are not.

    Raises:
        InputError: none is left.
    """
    order = stratified_order(classes_N, config.seed)
    in_fold = np.zeros(len(classes_N), dtype=bool)
    in_fold[order[config.fold :: config.folds]] = True
    labels_NC = classes_N if classes_N.ndim == 2 else np.eye(int(classes_N.max()) + 1, dtype=np.int64)[classes_N]
    rest_C, needed = labels_NC[~in_fold].sum(0), 1 if config.validation is not None else 2
    for text in order[config.fold :: config.folds]:
        has_C = labels_NC[text] > 0
        if (rest_C[has_C] < needed).any():
            in_fold[text] = False
            rest_C += has_C
    if not in_fold.any():
        raise InputError(
            f"folds: of {len(classes_N)} labels, training and validation need all, as they are of {labels_NC.shape[1]} "
            "classes; raise label_budget, or leave tuning out (tuning.trials)"
        )
    return in_fold


def text_key(text: str, second_text: str | None = None) -> str:
    r"""What copies of a text have in common: its words, whatever their case and the spaces between them.

    >>> text_key("A  good\nfilm", None) == text_key("a good film "), text_key("a", "b") == text_key("a b")
    (True, False)
    """
    return "\n".join(" ".join(part.casefold().split()) for part in (text, second_text or ""))


def document_keys(documents: Iterable[Document]) -> list[str]:
    """`text_key` of each document."""
    return [text_key(document.text, document.second_text) for document in documents]


def set_aside(keys: Sequence[str], classes_N: np.ndarray, share: float, names: Sequence[str] = ()) -> np.ndarray:
    """Texts to set aside for testing, ascending: the same at every call, stratified, copies of a text together.

    Raises:
        InputError: a class has fewer than two different texts, or all texts are copies of one.
    """
    _, firsts, groups_N = np.unique(np.array(keys, dtype=object), return_index=True, return_inverse=True)
    sizes_G, classes_G = np.bincount(groups_N), classes_N[firsts]
    if classes_N.ndim == 2:
        if len(sizes_G) < 2:
            raise InputError("corpus: all texts are copies of one; training and test need one each")
        order = stratified_label_order(classes_G, "test texts", 0)
        chosen_G = part(classes_G, sizes_G, order, max(1, round(share * len(keys))))
        if not chosen_G.any():
            # All have more copies than texts are wanted.
            chosen_G[sizes_G.argmin()] = True
        return np.flatnonzero(chosen_G[groups_N])
    order = permutation(len(sizes_G), "test texts", 0)
    chosen_G = np.zeros(len(sizes_G), dtype=bool)
    for label in range(int(classes_N.max()) + 1):
        members = order[classes_G[order] == label]
        if len(members) < 2:
            raise InputError(
                f"corpus: class {names[label] if names else label!r} has {len(members)} different text(s), and "
                "training and test need one each; add texts of this class, leave it out (`corpus.labels`, or `labels` "
                "with `--labelled`), or give test texts (`test`)"
            )
        remaining = max(1, round(share * int(sizes_G[members].sum())))
        for group in members[:-1]:
            if sizes_G[group] <= remaining:
                chosen_G[group], remaining = True, remaining - sizes_G[group]
        if not chosen_G[members].any():
            chosen_G[members[sizes_G[members].argmin()]] = True
    return np.flatnonzero(chosen_G[groups_N])


def draw_texts(config: TaskConfig, classes_N: np.ndarray, names: Sequence[str] = ()) -> tuple[np.ndarray, np.ndarray]:
    """The training texts of a run and, where no validation texts are given, its validation texts.

    A smaller budget's texts are among those of a larger one with the same seed.

    Args:
        config: budget, validation share and seed.
        classes_N: the class of each text.
        names: of the classes, for error messages.

    Returns:
        Numbers of texts in [0, N).

    Raises:
        InputError: the budget exceeds the labels there are, or a class would be missing from a part.
    """
    budget = len(classes_N) if config.label_budget is None else config.label_budget
    if budget > len(classes_N):
        raise InputError(f"label_budget: {budget} exceeds the {len(classes_N)} labels of {config.corpus.source!r}")
    parts = 1 if config.validation is not None else 2
    if classes_N.ndim == 2:
        return _draw_labelled(config, classes_N, budget, parts, names)
    _require_every_class(classes_N, budget, parts, names)
    texts = stratified_order(classes_N, config.seed, minimum=parts)[:budget]
    if config.validation is not None:
        return texts, texts[:0]
    counts_C = np.bincount(classes_N[texts])
    count = min(config.maximum_validation_texts, max(1, round(config.validation_share * budget)))
    shares_C = proportional_counts(counts_C, min(max(count, len(counts_C)), budget - len(counts_C)), counts_C - 1)
    # Every class gives the validation set its last texts, in the order of the draw.
    is_validation = ranks(classes_N[texts][::-1])[::-1] < shares_C[classes_N[texts]]
    return texts[~is_validation], texts[is_validation]


def _draw_labelled(
    config: TaskConfig, labels_NC: np.ndarray, budget: int, parts: int, names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """As `draw_texts`, of texts with several labels: every label is trained on, and validated on if it has two texts.

    Raises:
        InputError: the budget cannot hold a text of every label for each part.
    """
    order = stratified_label_order(labels_NC, "labels", config.seed, minimum=parts)
    texts, needed_C = order[:budget], np.minimum(parts, labels_NC.sum(0))
    held_NC = labels_NC[order].cumsum(0) >= needed_C
    if not held_NC[budget - 1].all():
        raise InputError(
            f"label_budget: {budget} texts cannot hold {parts} of each of the {len(needed_C)} labels; give at least "
            f"{int(held_NC.all(1).argmax()) + 1}"
        )
    if config.validation is not None:
        return texts, texts[:0]
    if rare := [str(names[label] if names else label) for label in np.flatnonzero(needed_C < parts)]:
        log.info("validation: has no text of %s, of which there is one text only", ", ".join(rare))
    count = min(config.maximum_validation_texts, max(1, round(config.validation_share * budget)))
    is_validation = part(labels_NC[texts], np.ones(budget, dtype=np.int64), np.arange(budget)[::-1], count)
    return texts[~is_validation], texts[is_validation]


def _require_every_class(classes_N: np.ndarray, budget: int, parts: int, names: Sequence[str]) -> None:
    """Refuse data or a budget that leaves a class without a text in training or validation.

    Raises:
        InputError: says what would do.
    """
    counts_C = np.bincount(classes_N)
    needed = "training and validation need one each" if parts == 2 else "training needs one"
    rare = int(counts_C.argmin())
    if counts_C[rare] < parts:
        name = names[rare] if names else rare
        raise InputError(
            f"corpus: class {name!r} has {counts_C[rare]} text(s), and {needed}; add texts of this class or leave it "
            "out (`corpus.labels`)" + (", or give validation texts (`validation`)" if parts == 2 else "")
        )
    if budget < parts * len(counts_C):
        raise InputError(
            f"label_budget: {budget} labels are too few for {len(counts_C)} classes, of which {needed}; give at least "
            f"{parts * len(counts_C)}"
        )


def draw_validation_texts(config: TaskConfig, classes_N: np.ndarray) -> np.ndarray:
    """Which of the N texts given for validation are used: the same for every seed and budget."""
    return np.sort(stratified_order(classes_N, seed=0)[: config.maximum_validation_texts])


def draw_test_texts(config: TaskConfig, classes_N: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Which of the test texts are used: all, or as many as the config allows.

    Args:
        config: of the task.
        classes_N: the class of each text of their corpus.
        indices: of the test texts in it.
    """
    maximum = config.maximum_test_texts
    if maximum is None or maximum >= len(indices):
        return indices
    return np.sort(indices[stratified_order(classes_N[indices], seed=0)[:maximum]])


def stratified_order(classes_N: np.ndarray, seed: int, minimum: int = 1) -> np.ndarray:
    """A random order of N texts of which every beginning holds the classes in proportion.

    The k-th text of a class of n comes at (k - 1/2) / n (the divisor method of Webster), but for the first `minimum`
    texts of each class, which come before all others.

    >>> classes = np.array([0] * 6 + [1] * 3)
    >>> np.bincount(classes[stratified_order(classes, seed=0)[:3]]).tolist()
    [2, 1]
    """
    if classes_N.ndim == 2:
        return stratified_label_order(classes_N, "labels", seed, minimum)
    shuffled = permutation(len(classes_N), "labels", seed)
    ranks_N = ranks(classes_N[shuffled])
    keys = (ranks_N + 0.5) / np.bincount(classes_N)[classes_N[shuffled]]
    keys[ranks_N < minimum] -= 1
    return shuffled[np.argsort(keys, kind="stable")]


def proportional_counts(counts_C: np.ndarray, total: int, most_C: np.ndarray) -> np.ndarray:
    """`total` seats shared out among classes in proportion to their counts, at least one and at most `most_C` each.

    >>> proportional_counts(np.array([90, 9, 1]), 20, np.array([89, 8, 1])).tolist()
    [17, 2, 1]
    """
    seats_C = np.minimum(1, most_C)
    while seats_C.sum() < total:
        priority_C = np.where(seats_C < most_C, counts_C / (seats_C + 0.5), -1.0)
        seats_C[int(priority_C.argmax())] += 1
    return seats_C
