"""Which labelled texts a run trains and validates on: stratified, at least one text a class in each part.

Copies of a text stay in one part, as a score on a text that was trained on says nothing of others; where there are
none, draws are those of earlier versions.

Classes are numbers, [N], or, where a text may have several labels, a 0 or 1 for each, [N, C].

Shapes: N texts, C classes, G groups of copies.
"""

import dataclasses
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from configs.errors import InputError
from configs.processes import IN_POOL
from finetune.classification.config import TaskConfig
from finetune.classification.copies.folds import folds_of
from finetune.classification.copies.validation import labels_of_groups, validation_of_classes, validation_of_labels
from finetune.classification.corpora import sets_test_aside
from finetune.classification.multi_label.stratification import part, ranks, stratified_label_order
from pretrain.data.randomness import permutation
from tokenizer.corpus.documents import Document

log = logging.getLogger(__name__)

# What copies of a text have in common (`text_key`), of the texts with these numbers.
Keys = Callable[[np.ndarray], Sequence[str]]


class Splits(NamedTuple):
    """Numbers of texts of the training corpus."""

    train: np.ndarray
    validation: np.ndarray
    """Empty if validation texts are given."""
    test: np.ndarray | None
    """None if test texts are given, and no fold is tested on."""


def draw_splits(config: TaskConfig, classes_N: np.ndarray, keys: Keys, names: Sequence[str] = ()) -> Splits:
    """The training, validation and test texts that a run takes from its training corpus.

    Args:
        config: budget, shares and seed.
        classes_N: the class of each text, or [N, C] labels.
        keys: of the texts; asked for all of them only if test texts are set aside.
        names: of the classes, for messages.

    Raises:
        InputError: the budget exceeds the labels there are, or a class would be missing from a part.
    """
    everything = np.arange(len(classes_N))
    if not sets_test_aside(config):
        return draw_parts(config, classes_N, everything, None, names, keys)
    test = set_aside(keys(everything), classes_N, config.test_share, names)
    rest = np.setdiff1d(everything, test)
    log.info(
        "test: no test texts are named; %d of the %d texts of %s are set aside for testing (`test_share: %g`)",
        len(test), len(classes_N), config.corpus.source, config.test_share,
    )  # fmt: skip
    return draw_parts(config, classes_N, rest, test, names, keys)


def draw_parts(
    config: TaskConfig,
    classes_N: np.ndarray,
    usable: np.ndarray,
    test: np.ndarray | None,
    names: Sequence[str],
    keys: Keys,
) -> Splits:
    """The parts of a run; with `folds`, one of them takes the place of the test texts.

    Of copies that are parted, the run tells that is alone or the first of its folds. For those of a comparison, its
    check of the labels does.

    Args:
        config: of the task.
        classes_N: the class of each text.
        usable: the texts that are not for testing.
        test: those that are; None if they are given.
        names: of the classes, for messages.
        keys: of the texts.

    Raises:
        InputError: as `draw_texts`.
    """
    tell = IN_POOL not in os.environ and config.fold == 0
    train, validation = draw_texts(
        config, classes_N[usable], names, lambda numbers: keys(usable[numbers]), tell and config.folds is None
    )
    if config.folds is None:
        return Splits(usable[train], usable[validation], test)
    drawn = usable[np.concatenate([train, validation])]
    groups_N = _groups(keys(drawn))
    in_fold, are_parted = _in_fold(config, classes_N[drawn], groups_N)
    others = drawn[~in_fold]
    without_fold = dataclasses.replace(config, label_budget=None, folds=None, fold=0)
    train, validation = draw_texts(without_fold, classes_N[others], names, lambda numbers: keys(others[numbers]), tell)
    if are_parted and tell:
        log.warning(
            "folds: the %d labelled texts are copies of %d, too few for %d folds, so some have copies outside of their "
            "fold", len(drawn), groups_N.max() + 1, config.folds,
        )  # fmt: skip
    return Splits(others[train], others[validation], np.sort(drawn[in_fold]))


def _in_fold(config: TaskConfig, classes_N: np.ndarray, groups_N: np.ndarray) -> tuple[np.ndarray, bool]:
    """Which of the drawn texts are in the fold, [N], and whether copies are in and outside of a fold.

    Raises:
        InputError: none is left.
    """
    assert config.folds is not None
    labels_NC = classes_N if classes_N.ndim == 2 else np.eye(int(classes_N.max()) + 1, dtype=np.int64)[classes_N]
    order, needed = stratified_order(classes_N, config.seed), 1 if config.validation is not None else 2
    folds_N, are_parted = folds_of(labels_NC, groups_N, order, config.folds, needed)
    chosen = folds_N == config.fold
    if not chosen.any():
        raise InputError(
            f"folds: of {len(classes_N)} labels, training and validation need all, as they are of {labels_NC.shape[1]} "
            "classes; raise label_budget, or leave tuning out (tuning.trials)"
        )
    return chosen, are_parted


def _groups(keys: Sequence[str]) -> np.ndarray:
    """The number of the group of copies that each text is in, by their first texts.

    >>> _groups(["b", "a", "b", "c"]).tolist()
    [0, 1, 0, 2]
    """
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def warn_of_copies(train: Sequence[str], others: Sequence[str], part: str) -> None:
    """Tell how many texts that are given for a part are copies of training texts; nothing if there are none.

    Args:
        train: the keys of the training texts.
        others: those of the part.
        part: what it is called.
    """
    known = set(train)
    if shared := sum(key in known for key in others):
        log.warning(
            "%s: %d of the %d %s texts are copies of training texts, so scores on them are too good; remove them there",
            part, shared, len(others), part,
        )  # fmt: skip


def tell_copies(train: Callable[[], Sequence[str]], others: Mapping[str, Callable[[], Sequence[str]]]) -> None:
    """`warn_of_copies` for each part whose texts are given, unless a comparison started this run and has told it.

    Args:
        train: gives the keys of the training texts.
        others: by the name of a part, give the keys of its texts.
    """
    if others and IN_POOL not in os.environ:
        known = train()
        for name, keys in others.items():
            warn_of_copies(known, keys(), name)


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
        labels_GC = labels_of_groups(classes_N, groups_N)
        order = stratified_label_order(labels_GC, "test texts", 0)
        chosen_G = part(labels_GC, sizes_G, order, max(1, round(share * len(keys))))
        if not chosen_G.any():
            # None can be spared, as a label is of one of them alone.
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


def draw_texts(
    config: TaskConfig,
    classes_N: np.ndarray,
    names: Sequence[str] = (),
    keys: Keys | None = None,
    tell: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """The training texts of a run and, where no validation texts are given, its validation texts.

    Copies of a text are in one of both, unless a class has no other. A smaller budget's texts are among those of a
    larger one with the same seed.

    Args:
        config: budget, validation share and seed.
        classes_N: the class of each text.
        names: of the classes, for error messages.
        keys: of the texts; None: there are no copies.
        tell: warn of a class that is validated on copies of training texts.

    Returns:
        Numbers of texts in [0, N).

    Raises:
        InputError: the budget exceeds the labels there are, a class would be missing from a part, or no text can
            validate.
    """
    budget = len(classes_N) if config.label_budget is None else config.label_budget
    if budget > len(classes_N):
        raise InputError(f"label_budget: {budget} exceeds the {len(classes_N)} labels of {config.corpus.source!r}")
    parts = 1 if config.validation is not None else 2
    if classes_N.ndim == 2:
        return _draw_labelled(config, classes_N, budget, parts, names, keys, tell)
    _require_every_class(classes_N, budget, parts, names)
    texts = stratified_order(classes_N, config.seed, minimum=parts)[:budget]
    if config.validation is not None:
        return texts, texts[:0]
    counts_C = np.bincount(classes_N[texts])
    count = min(config.maximum_validation_texts, max(1, round(config.validation_share * budget)))
    shares_C = proportional_counts(counts_C, min(max(count, len(counts_C)), budget - len(counts_C)), counts_C - 1)
    # Every class gives the validation set its last texts, in the order of the draw.
    groups_T = np.arange(budget) if keys is None else _groups(keys(texts))
    if groups_T.max() + 1 < budget:
        is_validation = validation_of_classes(classes_N[texts], groups_T, shares_C, names, tell)
    else:
        is_validation = ranks(classes_N[texts][::-1])[::-1] < shares_C[classes_N[texts]]
    return texts[~is_validation], texts[is_validation]


def _draw_labelled(
    config: TaskConfig,
    labels_NC: np.ndarray,
    budget: int,
    parts: int,
    names: Sequence[str],
    keys: Keys | None,
    tell: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """As `draw_texts`, of texts with several labels: every label is trained on, and validated on if it has two texts.

    Raises:
        InputError: the budget cannot hold a text of every label for each part, or no text can validate.
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
    if tell and (rare := [str(names[label] if names else label) for label in np.flatnonzero(needed_C < parts)]):
        log.info("validation: has no text of %s, of which there is one text only", ", ".join(rare))
    count = min(config.maximum_validation_texts, max(1, round(config.validation_share * budget)))
    # The last ones in the order of the draw first; without copies, every text is a group.
    groups_T = np.arange(budget)[::-1] if keys is None else _groups(keys(texts[::-1]))[::-1]
    is_validation = validation_of_labels(labels_NC[texts], groups_T, count, names, tell)
    if not is_validation.any():
        raise InputError(
            f"validation: each of the {budget} texts is the only one with some label, so none can be spared for "
            "validation; add texts of these labels, or give validation texts (`validation`)"
        )
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
