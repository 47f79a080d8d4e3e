"""Which column of a table is the text and which the label: by its name, else by what it holds."""

import dataclasses
import itertools
import logging
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from configs.errors import InputError
from finetune.own_data.contents import MAXIMUM_VALUES, QUESTION_ENDS, TEXTS_A_CLASS, Content, weight
from tokenizer.corpus import formats
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.documents import is_number
from tokenizer.corpus.quarantine import RowError
from tokenizer.corpus.row_labels import APPLIES
from tokenizer.corpus.shards import shards

# What such columns are called in published data sets, the most frequent first.
TEXT_NAMES = (
    "text", "review", "sentence", "texts", "reviews", "sentences", "full_text", "review_text", "reviewtext",
    "review_body", "comment_text", "tweet_text", "content", "comment", "message", "tweet", "post", "comments", "tweets",
    "utterance", "question",
)  # fmt: skip
# Other columns may be called so, too: taken only if none has much longer texts.
LESSER_TEXT_NAMES = ("body", "document", "description", "abstract", "title")
MUCH_LONGER = 3
# What the columns of pairs of texts are called.
PAIRS = (
    ("premise", "hypothesis"), ("sentence1", "sentence2"), ("sentence_1", "sentence_2"), ("sentence_a", "sentence_b"),
    ("text1", "text2"), ("text_1", "text_2"), ("text_a", "text_b"), ("question1", "question2"), ("question", "answer"),
)  # fmt: skip
LABEL_NAMES = (
    "label", "labels", "sentiment", "class", "category", "target", "polarity", "stars", "rating", "score", "topic",
    "intent", "emotion", "y", "tags", "genres", "topics", "categories", "emotions", "intents",
)  # fmt: skip
# Below these, many different values are classes, whatever stands beside them.
SURE_LABEL_NAMES = ("label", "labels", "class")
# Characters of the texts in a column, on average, at least.
SHORTEST_TEXTS = 12
# Rows of a corpus without labels that are looked at.
ENOUGH_ROWS = 2000
# A name of a column does not have as many words.
LONGEST_NAME = 6
# A column has fewer questions among its texts, if the one above them is its name.
FEW_QUESTIONS = 0.05
# What stands for a number that is missing.
MISSING = ("", "na", "n/a", "nan", "none", "null", "-", "?")
# Between the words of a name.
BETWEEN_WORDS = re.compile(r"[\s_-]+")
SENTENCE_ENDS = (".", "?")
# Of what is no name even if it is one word, and of Chinese and Japanese, which has no spaces.
SURE_ENDS = ("!", "\u3002", "\uff01", "\uff1f")

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
    contents = read_contents(corpus, labelled)
    header = corpus.header
    if text is None and header is None and is_data(contents):
        corpus, header = dataclasses.replace(corpus, header=False, text_column="1"), False
        contents = read_contents(corpus, labelled)
    if likely is not None:
        text = likely.text if text is None and likely.text in contents else text
        label = likely.label if label is None and likely.label in contents else label
    is_given, text = text is not None, find_text(contents, corpus, taken=label) if text is None else text
    if not labelled:
        return Columns(text, None, header)
    if not is_given:
        tell_of_other_texts(text, contents, corpus)
    return Columns(text, find_label(contents, corpus, text) if label is None else label, header)


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
        raise InputError(f"{corpus.source!r} (split {corpus.split!r}) holds no row that can be read{reason}")
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


def is_data(contents: Mapping[str, Content]) -> bool:
    """Whether what was taken for the names of columns is a row: one of them is a text, and none is known.

    A question of a survey is a text, too; but of a row, what stands above a few values is one of them. If so, a text is
    also what is as long as the texts below it.

    >>> few = Content(rows=9, filled=9, values={"1", "0"})
    >>> is_data({"I liked this film a good deal.": Content(), "1": few}), is_data({"text": Content(), "label": few})
    (True, False)
    >>> is_data({"What did you like about this film?": Content(), "How much?": few})
    False
    >>> texts = Content(rows=9, filled=9, texts=9, words=9, characters=110)
    >>> is_data({"superb plot": texts, "1": few}), is_data({"Note": texts, "1": few})
    (True, False)
    >>> words = Content(rows=9, filled=9, values={"good", "bad"})
    >>> is_data({"is so": texts, "good": words}), is_data({"sms": texts, "good": words})
    (True, False)
    """
    # A cell that stands there twice has got a number as a name.
    names = {name: cell_of(name, contents) for name in contents}
    classes = [name for name, held in contents.items() if held.may_be_classes]
    if not all(names[name] in contents[name].values for name in classes):
        return False
    if are_names(names.values()) or any(is_above_numbers(names[name], held) for name, held in contents.items()):
        return False
    texts = {name: held for name, held in contents.items() if held.holds_texts and name not in classes}
    longest = max(texts, key=lambda name: texts[name].length, default=None)
    if classes and longest is not None:
        # Texts of several words are seldom the name of a column, and a class in words is seldom that of another.
        has_words = " " in names[longest] and not all(is_number(names[name]) for name in classes)
        if is_long_enough(names[longest], texts[longest], 3 if has_words else 2):
            return True
    if not classes and any(is_question_above_answers(names[name], held) for name, held in contents.items()):
        return False
    return any(
        len(name.split()) > LONGEST_NAME
        or (len(name.split()) > 1 and name.endswith(SENTENCE_ENDS))
        or name.endswith(SURE_ENDS)
        for name in names.values()
    )


def is_above_numbers(cell: str, held: Content) -> bool:
    """Whether a cell is no number, as all below it are: it is the name of their column.

    >>> is_above_numbers("id", Content(filled=9, numbers=9)), is_above_numbers("1", Content(filled=9, numbers=9))
    (True, False)
    """
    return cell.lower() not in MISSING and held.numbers == held.filled > 0 and not is_number(cell)


def is_question_above_answers(cell: str, held: Content) -> bool:
    """Whether a cell is a question, as hardly any text below it is.

    >>> texts = Content(filled=9, texts=9, words=9, characters=110)
    >>> is_question_above_answers("Why?", texts), is_question_above_answers("So.", texts)
    (True, False)
    """
    is_question = cell.endswith(QUESTION_ENDS) and held.holds_texts
    return is_question and held.questions < FEW_QUESTIONS * held.filled


def are_names(cells: Iterable[str]) -> bool:
    """Whether a cell of a row is a usual name of a column."""
    return any(plain(cell) in (*TEXT_NAMES, *LESSER_TEXT_NAMES, *LABEL_NAMES) for cell in cells)


def is_long_enough(cell: str, held: Content, shorter: float = 2) -> bool:
    """Whether a cell may be one of the texts below it, by its length; those may be so many times as long."""
    return shorter * weight(cell) >= held.length > 0


def cell_of(name: str, names: Container[str]) -> str:
    """The cell of the first row that a column is called by, without what tells it from another with the same.

    >>> cell_of("0_2", ["0", "text", "0_2"]), cell_of("a_2", ["a_2"])
    ('0', 'a_2')
    """
    cell, _, number = name.rpartition("_")
    return (cell if number.isdecimal() and cell in names else name).strip()


def plain(name: str) -> str:
    """The name of a column as it stands in the lists of usual names.

    >>> plain(" Review Text"), plain("review-text")
    ('review_text', 'review_text')
    """
    return BETWEEN_WORDS.sub("_", name.strip().casefold())


def find_text(contents: dict[str, Content], corpus: CorpusConfig, taken: str | None = None) -> str:
    """The column of the text: one with a usual name, else the one with the longest texts; in most rows, if one is.

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
    for name in (*TEXT_NAMES, *LESSER_TEXT_NAMES):
        if name in by_name:
            found = by_name[name]
            if name in TEXT_NAMES or MUCH_LONGER * candidates[found].length >= longest:
                return found
    # Rather what has several words than an address, and rather an address than a name of a class.
    kinds = ({name: held for name, held in free.items() if held.holds_texts}, free, others, candidates)
    found_of_kinds = (
        {name: held.length for name, held in kind.items() if held.length >= SHORTEST_TEXTS} for kind in kinds
    )
    long_enough = next(filter(None, found_of_kinds), None)
    if long_enough is None:
        raise InputError(
            f"text_column: no column of {corpus.source!r} holds texts; it has {_described(contents)}; give the column "
            "with `--text_column NAME`"
        )
    return max(long_enough, key=lambda name: long_enough[name])


def tell_of_other_texts(text: str, contents: dict[str, Content], corpus: CorpusConfig) -> None:
    """Tell, in a line, of a column with longer texts than the one that was found, or with the other texts of pairs."""
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


def find_label(contents: dict[str, Content], corpus: CorpusConfig, text: str) -> str:
    """The column of the label: one with a usual name, else the only one with a few values that come often.

    Raises:
        InputError: no column, or more than one, may be it.
    """
    others = {name: held for name, held in contents.items() if name not in (text, corpus.second_text_column)}
    by_name = {plain(name): name for name in others}
    named = [by_name[name] for name in LABEL_NAMES if name in by_name]
    possible = [name for name, held in others.items() if held.may_be_classes]
    for name in named:
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
    binary = [name for name in possible if {key.lower() for key in others[name].values} <= {*APPLIES}]
    each = f", or, if each of some is a label of its own, `--label_columns '[{', '.join(binary)}]'`" * (len(binary) > 1)
    raise InputError(
        f"label_column: which column of {corpus.source!r} is the label? {which}; it has {_described(contents)}; give "
        f"the column with `--label_column NAME`{each}"
    )


def _described(contents: dict[str, Content]) -> str:
    """The columns and what they hold, for a message."""
    described = []
    for name, held in itertools.islice(contents.items(), 12):
        values = f"{len(held.values)} values" if len(held.values) <= MAXIMUM_VALUES else "many values"
        kind = f"texts of {held.length:.0f} characters" if held.length >= SHORTEST_TEXTS else values
        described.append(f"{name[:40]!r} ({kind})")
    return ", ".join(described)
