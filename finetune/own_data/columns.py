"""Which column of a table is the text and which the label: by its name, else by what it holds."""

import dataclasses
import itertools
import logging
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from configs.errors import InputError
from finetune.own_data.advice import (
    Columns,
    as_labelled,
    described,
    how_to_give_text,
    tell_of_no_texts,
    tell_of_other_texts,
)
from finetune.own_data.contents import SHORTEST_TEXTS, Content
from finetune.own_data.headers import (
    ALL_TEXT_NAMES,
    HIDDEN,
    LABEL_NAMES,
    MISSING,
    MUCH_LONGER,
    SURE_TEXT_NAMES,
    TEXT_NAMES,
    cell_of,
    first_of_pair,
    is_a_row_of_names,
    is_data,
    is_header_above,
    is_no_name,
    is_value,
    plain,
)
from finetune.own_data.label_columns import find_label, tell_of_splits
from tokenizer.corpus import formats
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.dialects import TABLES
from tokenizer.corpus.documents import label_key
from tokenizer.corpus.quarantine import RowError
from tokenizer.corpus.row_labels import label_of
from tokenizer.corpus.shards import shards
from tokenizer.corpus.text_files import lines_of_head

# Rows of a corpus without labels that are looked at.
ENOUGH_ROWS = 2000
# What stands there for a label that is not told.
HIDDEN_KEYS = {*map(label_key, (*MISSING, HIDDEN))}
# Which a row may hold as well.
USUAL_NAMES = {*ALL_TEXT_NAMES, *LABEL_NAMES}

log = logging.getLogger(__name__)


def find_columns(
    corpus: CorpusConfig,
    text: str | None,
    label: str | None,
    labelled: bool,
    likely: Columns | None = None,
    classes: Collection[str] = (),
    width: int | None = None,
) -> Columns:
    """The columns of a corpus.

    Args:
        corpus: the corpus.
        text: the name of the text column, if it was given.
        label: the name of the label column, if it was given.
        labelled: whether a label is needed.
        likely: the columns of another corpus, which are taken if they are here, too.
        classes: the keys of that corpus's labels (`label_key`), by which a number is known as that of its label.
        width: how many columns that corpus has.

    Raises:
        InputError: none, or more than one, may be it; the message names the columns and the key to set.
    """
    is_given, given_label = text is not None, label
    if text is not None:
        check_number(corpus, text, label, labelled)
        # Of a table without a header, a number.
        corpus = dataclasses.replace(corpus, text_column=text)
    elif not labelled:
        corpus = with_lone_name(corpus)
    # Of a first row, a cell of several labels is one of those below it only as a whole.
    contents = read_contents(dataclasses.replace(corpus, label_separator=None), labelled)
    header = corpus.header
    if text is None and header is None and begins_with_data(contents, corpus, label, likely):
        level = logging.WARNING if any(plain(name) in USUAL_NAMES for name in contents) else logging.INFO
        log.log(level, "columns: the first row of %s is taken for one of its texts (`--header`)", part_of(corpus))
        corpus, header = dataclasses.replace(corpus, header=False, text_column="1"), False
        contents = read_contents(corpus, labelled)
    elif corpus.label_separator is not None:
        contents = read_contents(corpus, labelled)
    if likely is not None and label is None and likely.label is not None:
        label = likely_label(likely.label, contents, corpus, classes)
    if likely is not None and text is None and (not labelled or has_place(likely, label)):
        text = likely_text(likely, contents, label if labelled else None, width)
    text = find_text(contents, corpus, label, likely) if text is None else text
    if not is_given and (likely is None or text != called(likely.text, contents)):
        tell_of_no_texts(text, contents[text])
    if not labelled:
        return Columns(text, None, header)
    label = find_label(contents, corpus, text, likely) if label is None else label
    if likely is None:
        tell_of_splits(contents, label)
        if not is_given:
            tell_of_other_texts(text, contents, corpus, label)
    is_named = likely is not None and likely.label is not None and label == called(likely.label, contents)
    if not (is_given or is_named) and given_label is None and header is None:
        tell_of_header(text, label, contents, corpus)
    return Columns(text, label, header)


def part_of(corpus: CorpusConfig) -> str:
    """The source of a corpus and, of one with splits, its split, for a line.

    >>> part_of(CorpusConfig(source="a", split="all")), part_of(CorpusConfig(source="a", split="test"))
    ('a', "a (split 'test')")
    """
    return corpus.source if corpus.split == "all" else f"{corpus.source} (split {corpus.split!r})"


def begins_with_data(
    contents: dict[str, Content], corpus: CorpusConfig, label: str | None, likely: Columns | None
) -> bool:
    """Whether the first row of a table is one of its texts, by what is known of its columns, else by what it holds.

    A name that is given stands in a header. A number that is given, and is no name there, is of a table without one.

    Raises:
        InputError: a number is given, and the first row looks like names of columns.
    """
    given = [name for name in (label, corpus.second_text_column, *(corpus.label_columns or ())) if name is not None]
    known = given if likely is None else [*given, likely.text, likely.label or likely.text]
    if any(name in contents and not name.isdecimal() for name in known):
        return False
    several = {*(corpus.label_columns or ())}
    if several and all(name in contents and contents[name].are_zero_or_one for name in several):
        # Two of 0 and 1 alone cannot both stand there in a row.
        return False
    numbers = [name for name in given if name.isdecimal() and likely is None]
    numbers = [name for name in numbers if name not in contents and 0 < int(name) <= len(contents)]
    if numbers and is_a_table(corpus):
        key = "label_column" if numbers[0] == label else "label_columns" if several else "second_text_column"
        labels = [name for name in numbers if name != corpus.second_text_column]
        ask_about_header(contents, corpus, key, numbers[0], labels)
        return True
    return is_data(contents)


def check_number(corpus: CorpusConfig, text: str, label: str | None, labelled: bool) -> None:
    """Check that the number of a text column is not given for a table with a header.

    Raises:
        InputError: the first row looks like names of columns.
    """
    if text.isdecimal() and corpus.header is None and is_a_table(corpus):
        try:
            contents = read_contents(dataclasses.replace(corpus, label_separator=None), labelled)
        except InputError:
            # As of two cells that are alike in a first row that is no header.
            return
        if text not in contents:
            labels = [name for name in (label, *(corpus.label_columns or ())) if name is not None]
            ask_about_header(contents, corpus, "text_column", text, labels)


def ask_about_header(
    contents: dict[str, Content], corpus: CorpusConfig, key: str, number: str, labels: Iterable[str]
) -> None:
    """Ask whether the first row is the header, if the number of a column is given and that row looks like names.

    Raises:
        InputError: it does.
    """
    if is_header_above(contents, labels):
        raise InputError(
            f"{key}: {part_of(corpus)} has no column {number!r}, as its first row looks like names of columns; "
            f"it has {described(contents)}; give one of these or, if that row is one of the texts, `--header false`"
        )


def is_a_table(corpus: CorpusConfig) -> bool:
    """Whether a corpus is read as CSV or TSV, where the first row may be a header."""
    return any(part.format in TABLES for part in itertools.chain.from_iterable(shards(corpus)))


def has_place(likely: Columns, label: str | None) -> bool:
    """Whether the text may stand where it does in the labelled texts: not by its number alone, without the label's.

    >>> [has_place(Columns("1", "2", False), label) for label in ("2", "3", None)]
    [True, False, False]
    """
    return not likely.text.isdecimal() or label == likely.label


def likely_text(
    likely: Columns, contents: dict[str, Content], label: str | None = None, width: int | None = None
) -> str | None:
    """The text column of the labelled texts, if other texts have it; one with a number only if it can be the text.

    That is: beside no much longer texts, unless there are as many columns and, in the place of the label, classes or
    nothing. The label of these texts is none, if it is known: it may have several words, beside texts of one.

    >>> texts, ids = Content(filled=9, texts=9, words=9, characters=180), Content(filled=9, texts=9, numbers=9)
    >>> one, words = Columns("1", "2", False), Content(filled=9, texts=9, characters=45)
    >>> [likely_text(one, {"1": held, "2": texts}) for held in (texts, ids, words)]
    ['1', None, None]
    >>> likely_text(one, {"1": words, "2": texts}, label="2")
    '1'
    >>> names = Content(filled=9, texts=9, words=9, characters=45)
    >>> likely_text(one, {"1": names, "2": texts}), likely_text(one, {"1": names, "2": ids, "3": texts}, "2", 3)
    (None, '1')
    """
    found = called(likely.text, contents)
    if found is None or not likely.text.isdecimal():
        return found
    held, place = contents[found], contents.get(likely.label or "")
    has_label = place is not None and (label == likely.label or place.may_be_classes or len(place.values) <= 1)
    is_alike = len(contents) == width and has_label
    others = [held for name, held in contents.items() if name not in (found, label) and not held.may_be_classes]
    if held.holds_texts:
        are_longer = any(other.holds_texts and other.length > MUCH_LONGER * held.length for other in others)
        return found if is_alike or not are_longer else None
    may_be_text = (other.holds_texts or (held.holds_no_texts and is_long_and_no_class(other)) for other in others)
    return None if any(may_be_text) else found


def is_long_and_no_class(held: Content) -> bool:
    """Whether a column may be the text where none has texts of several words."""
    return held.length >= SHORTEST_TEXTS and not (held.holds_no_texts or held.may_be_classes)


def likely_label(name: str, contents: dict[str, Content], corpus: CorpusConfig, classes: Collection[str]) -> str | None:
    """The label column of the labelled texts, if other texts have it; one with a number only if it holds classes."""
    found = called(name, contents)
    if found is None or not name.isdecimal():
        return found
    held = contents[found]
    # Numbers of rows may be classes, too.
    are_of_rows = held.are_all_different and (held.numbers == held.filled or held.holds_dates or held.holds_addresses)
    return found if not are_of_rows and holds_classes(corpus, found, classes) else None


def holds_classes(corpus: CorpusConfig, column: str, classes: Collection[str]) -> bool:
    """Whether half of the labels in a column, or more, are classes; also if all are hidden."""
    if not classes:
        return False
    known = {*classes}
    rows = [keys for row in readable_rows(corpus) if (keys := label_keys(row.get(column), corpus)) - HIDDEN_KEYS]
    return 2 * sum(keys <= known for keys in rows) >= len(rows)


def label_keys(value: Any, corpus: CorpusConfig) -> set[str]:
    """The keys of the labels in a cell (`label_key`); none of what is no label.

    >>> sorted(label_keys("Drama;war", CorpusConfig(label_separator=";"))), label_keys(None, CorpusConfig())
    (['drama', 'war'], set())
    """
    try:
        label = label_of(value, corpus)
    except RowError:
        return set()
    return {label_key(one) for one in (label if isinstance(label, tuple) else (label,))}


def holds_numbered(corpus: CorpusConfig, columns: Columns, classes: Collection[str], width: int) -> bool:
    """Whether the numbers of columns in another table, of so many, are those of its text and its label, too."""
    contents = read_contents(corpus, columns.label is not None)
    label = None if columns.label is None else likely_label(columns.label, contents, corpus, classes)
    has_label = columns.label is None or label is not None
    return has_label and likely_text(columns, contents, label, width) is not None


def with_lone_name(corpus: CorpusConfig) -> CorpusConfig:
    """The corpus with the usual name that stands alone on the first line of a table: its texts may hold commas."""
    for part in itertools.islice(itertools.chain.from_iterable(shards(corpus)), 1):
        head = lines_of_head(Path(part.source), corpus) if part.format in TABLES else []
        name, below = [*(line.strip().strip('"') for line in head if line.strip()), "", ""][:2]
        is_free = corpus.header is None and corpus.delimiter is None and not is_a_row_of_names(below)
        if is_free and plain(name) in ALL_TEXT_NAMES:
            return dataclasses.replace(corpus, text_column=name)
    return corpus


def called(name: str, columns: Iterable[str]) -> str | None:
    """The column with a name or, if there is none, the only one that has it but for the case and what is between words.

    >>> called("text", ["Text", "text"]), called("Review text", ["review_text"]), called("text", ["Text", "TEXT"])
    ('text', 'review_text', None)
    """
    columns = list(columns)
    alike = [column for column in columns if plain(column) == plain(name)]
    return name if name in columns else alike[0] if len(alike) == 1 else None


def column_names(corpus: CorpusConfig) -> list[str]:
    """The columns of the first rows: of JSON, one row may lack some."""
    return list(dict.fromkeys(itertools.chain.from_iterable(itertools.islice(readable_rows(corpus), ENOUGH_ROWS))))


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
    texts = {name: held.length for name, held in free.items() if held.holds_texts}
    # An id, an address or a date may be called `review`, `post` or `message`, too; a word, `text`.
    usual = [name for name, held in free.items() if not held.holds_no_texts and plain(name) in ALL_TEXT_NAMES]
    by_name = {plain(name): name for name in usual if name in texts or not texts or plain(name) in SURE_TEXT_NAMES}
    for name in ALL_TEXT_NAMES:
        if name in by_name:
            found = by_name[name]
            if name in TEXT_NAMES or MUCH_LONGER * candidates[found].length >= max(texts.values(), default=0.0):
                return found
    if passed := [name for name in usual if plain(name) in TEXT_NAMES]:
        log.warning("columns: the text is not %r, which holds no texts of several words (`--text_column`)", passed[0])
    if (first := first_of_pair(contents)) in free:
        return first
    # Rather what has several words than several numbers or an address, and these than a name of a class; dates last.
    in_words = {name: length for name, length in texts.items() if not free[name].is_wordless}
    long_enough = (
        {name: held.length for name, held in kind.items() if held.length >= SHORTEST_TEXTS and not held.holds_dates}
        for kind in (free, others, candidates)
    )
    lengths = in_words or texts or next(filter(None, long_enough), None) or dates_alone(others)
    if lengths is None:
        raise InputError(
            f"text_column: no column of {corpus.source!r} holds texts; it has {described(contents)}; "
            + (how_to_give_text(contents) if likely is None else as_labelled(likely.text, likely))
        )
    return max(lengths, key=lambda name: lengths[name])


def dates_alone(others: dict[str, Content]) -> dict[str, float] | None:
    """The length of the only column that is long enough for texts, though it holds dates, and no classes."""
    lengths = {name: held.length for name, held in others.items() if held.length >= SHORTEST_TEXTS}
    return lengths if len(lengths) == 1 else None


def tell_of_header(text: str, label: str, contents: dict[str, Content], corpus: CorpusConfig) -> None:
    """Tell of a first row that is taken for the header, though it may be one of the rows."""
    is_class = is_value(cell_of(label, contents), contents[label])
    if (is_class or is_no_name(text)) and is_a_table(corpus):
        log.log(
            logging.WARNING if is_class else logging.INFO,
            "columns: the first row of %s (%r, %r) is taken for names of columns; if it is one of its texts, give "
            "`--header false`", part_of(corpus), text, label,
        )  # fmt: skip
