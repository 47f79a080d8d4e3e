"""Texts among the labelled ones whose label says that they have none."""

import logging
from collections import Counter
from collections.abc import Collection, Sequence

from finetune.own_data.contents import UNLABELLED_NAMES
from finetune.own_data.headers import MISSING
from tokenizer.corpus.documents import Document, is_number, label_key
from tokenizer.corpus.quarantine import Quarantine

log = logging.getLogger(__name__)

# What a class beside another is called that would else be without a label.
OPPOSITES = {"supervised": "unsupervised", "sup": "unsup", "labelled": "unlabelled", "labeled": "unlabeled"}
# Beside words, a class may be called so: no stance, no emotion.
CLASS_NAMES = ("none",)


def unlabelled_names(labels: Collection[str]) -> set[str]:
    """What the label of a text without one may be, beside these labels in small letters.

    >>> "unsup" in unlabelled_names({"pos", "neg"}), "unsup" in unlabelled_names({"sup", "unsup"})
    (True, False)
    """
    return {*UNLABELLED_NAMES} - {opposite for name, opposite in OPPOSITES.items() if name in labels}


def divided(texts: Sequence[Document]) -> tuple[list[Document], list[Document]]:
    """The texts that have a label, and those whose label is that of unlabelled texts, such as aclImdb's `unsup`."""
    names = unlabelled_names({str(text.label).casefold() for text in texts})
    loose = [text for text in texts if str(text.label).casefold() in names]
    if loose:
        # The others are no names of classes.
        level = logging.WARNING if any(str(text.label).casefold() == "unsupervised" for text in loose) else logging.INFO
        log.log(
            level, "own data: %d texts with the label %r are taken for texts without one, to pretrain on; call it "
            "otherwise if it is a class", len(loose), str(loose[0].label),
        )  # fmt: skip
    return [text for text in texts if str(text.label).casefold() not in names], loose


def without_missing(texts: Sequence[Document], quarantine: Quarantine, classes: Collection[str] = ()) -> list[Document]:
    """The texts without those whose label stands for none, as R and pandas write it, where the others are numbers.

    Beside words, it may be one of them: a line tells of it.

    Args:
        texts: labelled ones.
        quarantine: gets what is set aside.
        classes: the keys of those that are known, which are none of these labels.

    Raises:
        InputError: too many are set aside.
    """

    def is_unknown(text: Document) -> bool:
        return is_missing(text) and label_key(str(text.label)) not in classes

    missing = Counter(str(text.label) for text in texts if is_unknown(text))
    others = {text.label for text in texts if not is_missing(text)}
    if not missing or any(isinstance(label, tuple) for label in others):
        return list(texts)
    if others and all(is_number(label) for label in others if label is not None and not isinstance(label, tuple)):
        for text in texts:
            if is_unknown(text):
                quarantine.reject(text.location, f"the label is {text.label!r}, which is not a label")
        quarantine.check()
        return [text for text in texts if not is_unknown(text)]
    if told := {label: count for label, count in missing.items() if label.casefold() not in CLASS_NAMES}:
        log.warning(
            "own data: these labels are taken for classes: %s; if they stand for missing ones, remove their rows, or "
            "give `--labels` with the others", ", ".join(f"{label!r} ({count} texts)" for label, count in told.items()),
        )  # fmt: skip
    return list(texts)


def is_missing(text: Document) -> bool:
    """Whether the label of a text stands for none, or may do so."""
    return isinstance(text.label, str) and text.label.casefold() in MISSING
