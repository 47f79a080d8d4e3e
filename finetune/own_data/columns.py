"""Which column of a table is the text and which the label: by its name, else by what it holds."""

import dataclasses
import itertools
import json
import logging
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from configs.errors import InputError
from finetune.own_data.contents import MAXIMUM_VALUES, TEXTS_A_CLASS, Content
from finetune.own_data.headers import (
    ALL_TEXT_NAMES,
    LABEL_NAMES,
    LESSER_TEXT_NAMES,
    MUCH_LONGER,
    PAIRS,
    TEXT_NAMES,
    are_names,
    is_data,
    is_no_name,
    plain,
)
from tokenizer.corpus import formats
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.dialects import DELIMITERS
from tokenizer.corpus.files import ENDINGS, ending, find_files
from tokenizer.corpus.quarantine import RowError
from tokenizer.corpus.row_labels import APPLIES
from tokenizer.corpus.shards import shards
from tokenizer.corpus.text_files import lines_of_head

# Below these, many different values are classes, whatever stands beside them.
SURE_LABEL_NAMES = ("label", "labels", "class")
# What a text is about, or whom, has these names as often as its label has; a number below the last is its label.
TOPIC_NAMES, TARGET = ("category", "categories", "topic", "topics"), "target"
# The names of labels beside which a topic is asked about, also as the last word of longer ones (`star_rating`).
JUDGEMENTS = ({*LABEL_NAMES} | {"stance", "verdict", "judgement", "judgment"}) - {*TOPIC_NAMES, TARGET}
# Characters of the texts in a column, on average, at least, where most have one word.
SHORTEST_TEXTS = 12
# Rows of a corpus without labels that are looked at.
ENOUGH_ROWS = 2000

log = logging.getLogger(__name__)


class Columns(NamedTuple):
    """The names of columns; without a header, their numbers from 1."""

    text: str
    label: str | None
    """None for texts without labels."""
    header: bool | None
    """As `corpus.header`."""


def find_columns(
    corpus: CorpusConfig, text: str | None, label: str | None, labelled: bool, likely: Columns | None = None
) -> Columns:
    """The columns of a corpus.

    Args:
        corpus: the corpus.
        text: the name of the text column, if it was given.
        label: the name of the label column, if it was given.
        labelled: whether a label is needed.
        likely: the columns of another corpus, which are taken if they are here, too.

    Raises:
        InputError: none, or more than one, may be it; the message names the columns and the key to set.
    """
    if text is not None:
        # Of a table without a header, a number.
        corpus = dataclasses.replace(corpus, text_column=text)
    elif not labelled:
        corpus = with_lone_name(corpus)
    contents = read_contents(corpus, labelled)
    header = corpus.header
    if text is None and header is None and is_data(contents):
        if not any(map(is_no_name, contents)):
            log.info("columns: the first row of %s is taken for one of its texts (`--header`)", corpus.source)
        corpus, header = dataclasses.replace(corpus, header=False, text_column="1"), False
        contents = read_contents(corpus, labelled)
    if likely is not None:
        text = called(likely.text, contents) if text is None else text
        label = called(likely.label, contents) if label is None and likely.label is not None else label
    is_given, text = text is not None, find_text(contents, corpus, label, likely) if text is None else text
    if not labelled:
        return Columns(text, None, header)
    if not is_given:
        tell_of_other_texts(text, contents, corpus)
    return Columns(text, find_label(contents, corpus, text, likely) if label is None else label, header)


def with_lone_name(corpus: CorpusConfig) -> CorpusConfig:
    """The corpus with the usual name that stands alone on the first line of a table: its texts may hold commas."""
    for part in itertools.islice(itertools.chain.from_iterable(shards(corpus)), 1):
        head = lines_of_head(Path(part.source), corpus) if part.format in ("csv", "tsv") else []
        name, below = [*(line.strip().strip('"') for line in head if line.strip()), "", ""][:2]
        is_free = corpus.header is None and corpus.delimiter is None and not is_a_row_of_names(below)
        if is_free and plain(name) in ALL_TEXT_NAMES:
            return dataclasses.replace(corpus, text_column=name)
    return corpus


def is_a_row_of_names(line: str) -> bool:
    """Whether a line is the header of a table with several columns, one of which has a usual name.

    >>> is_a_row_of_names('"id";"text"'), is_a_row_of_names("Good, long"), is_a_row_of_names("comment")
    (True, False, False)
    """
    tables = (line.split(delimiter) for delimiter in DELIMITERS if delimiter in line)
    return any(are_names(cell.strip().strip('"') for cell in cells) for cells in tables)


def called(name: str, columns: Iterable[str]) -> str | None:
    """The column with a name or, if there is none, the only one that has it but for the case and what is between words.

    >>> called("text", ["Text", "text"]), called("Review text", ["review_text"]), called("text", ["Text", "TEXT"])
    ('text', 'review_text', None)
    """
    columns = list(columns)
    alike = [column for column in columns if plain(column) == plain(name)]
    return name if name in columns else alike[0] if len(alike) == 1 else None


def read_contents(corpus: CorpusConfig, labelled: bool) -> dict[str, Content]:
    """What each column holds; of texts without labels, in the first rows.

    Raises:
        InputError: no row can be read.
    """
    contents: dict[str, Content] = {}
    problems: list[str] = []
    for row in itertools.islice(readable_rows(corpus, problems), None if labelled else ENOUGH_ROWS):
        for name, value in row.items():
            contents.setdefault(name, Content()).add(value, corpus.label_separator)
    if not contents:
        reason = f": {problems[0]}" if problems else ""
        split = "" if corpus.split == "all" else f" (split {corpus.split!r})"
        raise InputError(f"{corpus.source!r}{split} holds no row that can be read{reason}")
    return contents


def readable_rows(corpus: CorpusConfig, problems: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of a corpus with all their columns, without those that cannot be read.

    Args:
        corpus: the corpus.
        problems: gets the place of the first of the others, and what is wrong with it.
    """
    for part in itertools.chain.from_iterable(shards(corpus)):
        for row, location in formats.READERS[part.format](part, corpus):
            if not isinstance(row, RowError):
                yield row
            elif problems is not None and not problems:
                problems.append(f"{location}: {row}")


def find_text(
    contents: dict[str, Content], corpus: CorpusConfig, taken: str | None = None, likely: Columns | None = None
) -> str:
    """The column of the text: one with a usual name, else the one with the longest texts; in most rows, if one is.

    Args:
        contents: what each column holds.
        corpus: the corpus.
        taken: the column of the label, if it is known.
        likely: the columns of the labelled texts, if these are others.

    Raises:
        InputError: no column holds text.
    """
    taken_names = (taken, corpus.second_text_column)
    candidates = {name: held for name, held in contents.items() if held.length > 0 and name not in taken_names}
    others = {name: held for name, held in candidates.items() if not held.may_be_classes}
    # Of JSON, rows may lack a column.
    rows = max(held.rows for held in contents.values())
    free = {name: held for name, held in others.items() if 2 * held.filled > rows}
    by_name = {plain(name): name for name, held in free.items() if not held.holds_numbers}
    longest = max((held.length for held in free.values() if held.holds_texts), default=0.0)
    for name in ALL_TEXT_NAMES:
        if name in by_name:
            found = by_name[name]
            if name in TEXT_NAMES or MUCH_LONGER * candidates[found].length >= longest:
                return found
    # Rather what has several words than several numbers or an address, and these than a name of a class; dates last.
    texts = {name: held.length for name, held in free.items() if held.holds_texts}
    in_words = {name: length for name, length in texts.items() if not free[name].is_wordless}
    long_enough = (
        {name: held.length for name, held in kind.items() if held.length >= SHORTEST_TEXTS and not held.holds_dates}
        for kind in (free, others, candidates)
    )
    lengths = in_words or texts or next(filter(None, long_enough), None) or dates_alone(others)
    if lengths is None:
        raise InputError(
            f"text_column: no column of {corpus.source!r} holds texts; it has {_described(contents)}; "
            + ("give the column with `--text_column NAME`" if likely is None else as_labelled(likely.text, likely))
        )
    found = max(lengths, key=lambda name: lengths[name])
    if contents[found].holds_addresses or contents[found].holds_dates:
        kind = "addresses" if contents[found].holds_addresses else "numbers or dates"
        log.warning("columns: the text is %r, which holds %s (`--text_column`)", found, kind)
    return found


def dates_alone(others: dict[str, Content]) -> dict[str, float] | None:
    """The length of the only column that is long enough for texts, though it holds dates, and no classes."""
    lengths = {name: held.length for name, held in others.items() if held.length >= SHORTEST_TEXTS}
    return lengths if len(lengths) == 1 else None


def as_labelled(name: str, likely: Columns) -> str:
    """What to do about a column of further texts that is not found: flags are about the labelled texts."""
    if likely.header is False and name.isdecimal():
        return f"it has to be column {name} of a table without a header, as in the labelled texts"
    return f"call the column {name!r}, as in the labelled texts"


def tell_of_other_texts(text: str, contents: dict[str, Content], corpus: CorpusConfig) -> None:
    """Tell, in a line, of a column with longer texts than the one that was found, or with the other texts of pairs.

    Of shorter texts, too, where the one that was found has no usual name.
    """
    if corpus.second_text_column is not None:
        return
    longest = max(contents, key=lambda name: contents[name].length if contents[name].holds_texts else 0.0)
    by_name = {plain(name): name for name in contents}
    pair = next((pair for pair in PAIRS if {*pair} <= by_name.keys()), None)
    if pair is not None:
        first, second = (by_name[name] for name in pair)
        log.info(
            "columns: the text is %r alone; for pairs of texts give `--text_column %s --second_text_column %s`",
            text, first, second,
        )  # fmt: skip
    elif passed := [by_name[name] for name in LESSER_TEXT_NAMES if name in by_name and by_name[name] != text]:
        log.info("columns: the text is %r, and not %s (`--text_column`)", text, ", ".join(map(repr, passed)))
    elif contents[longest].length > contents[text].length and contents[longest].holds_texts:
        log.info(
            "columns: the text is %r, of %.0f characters on average; %r has longer ones, of %.0f (`--text_column`)",
            text, contents[text].length, longest, contents[longest].length,
        )  # fmt: skip
    elif plain(text) not in ALL_TEXT_NAMES:
        others = [name for name, held in contents.items() if held.holds_texts and not held.may_be_classes]
        if passed := [name for name in others if name != text]:
            log.info("columns: the text is %r, and not %s (`--text_column`)", text, ", ".join(map(repr, passed)))


def find_label(contents: dict[str, Content], corpus: CorpusConfig, text: str, likely: Columns | None = None) -> str:
    """The column of the label: one with a usual name, else the only one with a few values that come often.

    Args:
        contents: what each column holds.
        corpus: the corpus.
        text: the column of the text.
        likely: the columns of the labelled texts, if these are others.

    Raises:
        InputError: no column, or more than one, may be it.
    """
    others = {name: held for name, held in contents.items() if name not in (text, corpus.second_text_column)}
    by_name = {plain(name): name for name in others}
    named = [by_name[name] for name in LABEL_NAMES if name in by_name]
    possible = [name for name, held in others.items() if held.may_be_classes]
    for name in named:
        if name in possible and is_topic(name, contents[name]):
            beside = [other for other in possible if other != name and not contents[other].are_splits]
            if any(may_be_judgement(other) for other in beside):
                break
            if beside:
                log.info("columns: the label is %r, and not %s (`--label_column`)", name, ", ".join(map(repr, beside)))
        is_sure = plain(name) in SURE_LABEL_NAMES or not (possible or others[name].holds_numbers)
        if others[name].may_be_classes or (is_sure and others[name].repeats(TEXTS_A_CLASS)):
            return name
        if others[name].repeats(2):
            # Many classes, or a topic or a number of votes beside the label.
            break
    if len(possible) == 1 and not named:
        return possible[0]
    if not possible and named:
        # What is wrong with it is told when its values are read.
        return named[0]
    which = "none has a few values that come often"
    if possible:
        # One with a usual name and many values may be it as well as another with few.
        which = f"{', '.join(map(repr, dict.fromkeys([*named, *possible])))} may all be it"
    raise InputError(
        f"label_column: which column of {corpus.source!r} is the label? {which}; it has {_described(contents)}; "
        + (
            how_to_give_labels(possible, contents, corpus)
            if likely is None
            else as_labelled(likely.label or "label", likely)
        )
    )


def is_topic(name: str, held: Content) -> bool:
    """Whether a column may say what a text is about, as well as what is to be found out about it.

    >>> is_topic("Category", Content()), is_topic("target", Content(filled=9, numbers=9)), is_topic("stars", Content())
    (True, False, False)
    """
    return plain(name) in TOPIC_NAMES or (plain(name) == TARGET and not held.holds_numbers)


def may_be_judgement(name: str) -> bool:
    """Whether a column is called as one that says what is found out about a text.

    >>> may_be_judgement("Star Rating"), may_be_judgement("topic"), may_be_judgement("sub_category")
    (True, True, False)
    """
    words = plain(name)
    return words in LABEL_NAMES or words.rpartition("_")[2] in JUDGEMENTS


def how_to_give_labels(possible: list[str], contents: dict[str, Content], corpus: CorpusConfig) -> str:
    """The flags for a label that is not found, for a message."""
    advice = "give the column with `--label_column NAME`"
    binary = [name for name in possible if {key.lower() for key in contents[name].values} <= {*APPLIES}]
    if len(binary) > 1:
        given = shlex.quote(json.dumps(binary, ensure_ascii=False))
        return f"{advice}, or, if each of some is a label of its own, `--label_columns {given}`"
    if not possible and Path(corpus.source).is_dir():
        files = find_files(corpus) or []
        if len(files) > 1 and all(ENDINGS.get(ending(file), "text") != "text" for file in files):
            return f"{advice}; a table has its labels in a column, as only text files may be a class each"
    return advice


def _described(contents: dict[str, Content]) -> str:
    """The columns and what they hold, for a message."""
    described = []
    for name, held in itertools.islice(contents.items(), 12):
        values = f"{len(held.values)} values" if len(held.values) <= MAXIMUM_VALUES else "many values"
        kind = f"texts of {held.length:.0f} characters" if held.length >= SHORTEST_TEXTS else values
        kind = "numbers or dates" if held.holds_dates and held.length >= SHORTEST_TEXTS else kind
        kind = "bytes, which are no text" if held.binary else kind
        described.append(f"{name[:40]!r} ({kind})")
    return ", ".join(described)
