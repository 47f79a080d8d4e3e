"""What is told of columns: of those not found, what there is and which flag or name helps; of others, a line."""

import itertools
import json
import logging
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from finetune.own_data.contents import MAXIMUM_CLASSES, MAXIMUM_VALUES, SHORTEST_TEXTS, Content
from finetune.own_data.headers import LESSER_TEXT_NAMES, is_no_name, pair_in, plain
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.dialects import TABLES
from tokenizer.corpus.documents import label_key
from tokenizer.corpus.files import ENDINGS, ending, find_files
from tokenizer.corpus.joined_labels import MADE_LABELS, OTHER_JOINTS, OWN_TEXTS, joint_of, made_of_others
from tokenizer.corpus.row_labels import OneLabel

SHOWN_COLUMNS = 12
# Joined labels have a part in common with so many others, on average, at least.
LABELS_A_PART = 2
NESTED = "what is within objects is not read: write text and label as keys of each row"

log = logging.getLogger(__name__)


class Columns(NamedTuple):
    """The names of columns; without a header, their numbers from 1."""

    text: str
    label: str | None
    """None for texts without labels."""
    header: bool | None
    """As `corpus.header`."""


def as_labelled(name: str, likely: Columns) -> str:
    """What to do about a column of further texts that is not found: flags are about the labelled texts."""
    if likely.header is False and name.isdecimal():
        return f"it has to be column {name} of a table without a header, as in the labelled texts"
    return f"call the column {name!r}, as in the labelled texts"


def how_to_give_labels(
    possible: Sequence[str], others: Mapping[str, Content], contents: Mapping[str, Content], corpus: CorpusConfig
) -> str:
    """The flags for a label that is not found, for a message.

    Args:
        possible: columns that may be it.
        others: columns that are no texts.
        contents: what all columns hold.
        corpus: the corpus.
    """
    advice = f"give the column with `--label_column NAME`{or_without_header(contents)}"
    binary = [name for name in possible if contents[name].are_zero_or_one]
    if len(binary) > 1:
        given = shlex.quote(json.dumps(binary, ensure_ascii=False))
        return f"{advice}, or, if each of some is a label of its own, `--label_columns {given}`"
    if not possible and any(held.kind_of_objects is not None for held in others.values()):
        return f"{advice}; {NESTED}"
    if not possible and (joined := joined_labels(others)) is not None:
        return f"{advice}; if a text may have several labels, also `--label_separator {shlex.quote(joined)}`"
    if len(contents) == 1 and ENDINGS.get(ending(Path(corpus.source))) in TABLES:
        return f"{advice}; if it has several columns, give what stands between them with `--delimiter`"
    if not possible and Path(corpus.source).is_dir():
        files = find_files(corpus) or []
        if len(files) > 1 and all(ENDINGS.get(ending(file), "text") != "text" for file in files):
            return f"{advice}; a table has its labels in a column, as only text files may be a class each"
    return advice


def how_to_give_text(contents: dict[str, Content]) -> str:
    """The flags for a text that is not found, for a message."""
    nested = any(held.kind_of_objects is not None for held in contents.values())
    return f"give the column with `--text_column NAME`{or_without_header(contents)}{f'; {NESTED}' if nested else ''}"


def or_without_header(contents: Mapping[str, Content]) -> str:
    """What to do, too, if the first row is no header, where a cell of it is rather a text than a name.

    >>> or_without_header({"It was fine.": Content()}), or_without_header({"text": Content()})
    (', or, if the first row is none of names, `--header false`', '')
    """
    return ", or, if the first row is none of names, `--header false`" if any(map(is_no_name, contents)) else ""


def joined_labels(others: Mapping[str, Content]) -> str | None:
    """What stands between the labels in the cells of a column, if these are made of a few parts.

    >>> cells = {"drama;war", "war;comedy", "comedy;drama", "drama", "war", "comedy"}
    >>> joined_labels({"genre": Content(values=cells)}), joined_labels({"genre": Content(values={"war", "drama"})})
    (';', None)
    """
    for held in others.values():
        by_key: dict[str, list[OneLabel]] = {label_key(value): [value] for value in held.values}
        found = joint_of(by_key, dict.fromkeys(held.values, 1), max(1, len(held.values)))
        if found is not None and found[2] <= min(MAXIMUM_CLASSES, len(by_key) / LABELS_A_PART):
            return found[0]
        for joint in OTHER_JOINTS[:2]:
            if len(made_of_others(dict.fromkeys(by_key, OWN_TEXTS), joint)) >= max(MADE_LABELS, len(by_key) / 2):
                return joint
    return None


def described(contents: Mapping[str, Content]) -> str:
    """The columns and what they hold, for a message.

    >>> described({"a": Content(filled=1, objects=1), "b": Content(filled=1, lists=1, objects=1)})
    "'a' (an object), 'b' (a list of objects)"
    >>> described({str(number): Content() for number in range(13)}).endswith("'11' (0 values), …")
    True
    """
    told = []
    for name, held in itertools.islice(contents.items(), SHOWN_COLUMNS):
        values = f"{len(held.values)} values" if len(held.values) <= MAXIMUM_VALUES else "many values"
        kind = f"texts of {held.length:.0f} characters" if held.length >= SHORTEST_TEXTS else values
        kind = "numbers or dates" if held.holds_dates and held.length >= SHORTEST_TEXTS else kind
        kind = "bytes, which are no text" if held.binary else held.kind_of_objects or kind
        told.append(f"{name[:40]!r} ({kind})")
    return ", ".join([*told, *["…"] * (len(contents) > SHOWN_COLUMNS)])


def tell_of_other_texts(text: str, contents: dict[str, Content], corpus: CorpusConfig, label: str) -> None:
    """Tell, in a line, of a column with longer texts than the one that was found, of the other texts of pairs, or of
    others.
    """
    if corpus.second_text_column is not None:
        return
    texts = {name: held.length for name, held in contents.items() if held.holds_texts and name != label}
    longest = max(texts, key=lambda name: texts[name], default=text)
    by_name = {plain(name): name for name in contents if name not in (text, label)}
    if (pair := pair_in(contents, label)) is not None:
        log.info(
            "columns: the text is %r alone; for pairs of texts give `--text_column %s --second_text_column %s`",
            text, *pair,
        )  # fmt: skip
    elif passed := [by_name[name] for name in LESSER_TEXT_NAMES if name in by_name]:
        log.info("columns: the text is %r, and not %s (`--text_column`)", text, ", ".join(map(repr, passed)))
    elif contents[longest].length > contents[text].length:
        log.info(
            "columns: the text is %r, of %.0f characters on average; %r has longer ones, of %.0f (`--text_column`)",
            text, contents[text].length, longest, contents[longest].length,
        )  # fmt: skip
    elif passed := [name for name in texts if name != text and not contents[name].may_be_classes]:
        log.info("columns: the text is %r, and not %s (`--text_column`)", text, ", ".join(map(repr, passed)))


def tell_of_no_texts(text: str, held: Content) -> None:
    """Warn of a column with numbers, dates or addresses that is taken for the text."""
    if held.holds_addresses or held.holds_dates:
        kind = "addresses" if held.holds_addresses else "numbers or dates"
        log.warning("columns: the text is %r, which holds %s (`--text_column`)", text, kind)
