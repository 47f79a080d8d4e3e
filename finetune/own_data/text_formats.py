"""Text files that hold more than texts: a table, labels before the lines, or a class each."""

import csv
import dataclasses
import itertools
import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from configs.errors import InputError
from finetune.own_data.contents import MAXIMUM_CLASSES, SPLIT_NAMES, TEXTS_A_CLASS
from finetune.own_data.headers import are_names
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.files import COMPANION, ENDINGS, class_files, ending, find_files, walk, without_notes
from tokenizer.corpus.formats import FASTTEXT_LABEL, class_of
from tokenizer.corpus.text_files import HEAD_LINES, Part, lines, lines_of_head

log = logging.getLogger(__name__)

# Between the parts of a file's name.
BETWEEN_PARTS = re.compile(r"[\W_]+")
DIGITS = re.compile(r"\d+")
# The share of the first lines of a table with as many separators as each other: a text may hold one.
ALIKE = 0.9
# What may stand between a text and its label, for a message.
SEPARATORS = ";,|"
SHOWN_WORDS = 6
# Files whose first lines tell what others are.
SHOWN_FILES = 8


def with_text_format(corpus: CorpusConfig, is_labelled: bool) -> CorpusConfig:
    """The corpus, if all of its files are `.txt`, as tables with tabs between their columns or as a text a line, if
    they look like it.

    Raises:
        InputError: a single file of labelled texts is no table, so there is no label in it; or files are classes of
            several splits.
    """
    files = find_files(corpus) if corpus.format == "auto" else None
    if not files or any(ending(file) != ".txt" for file in files):
        return corpus
    files = without_notes(files) if is_labelled and Path(corpus.source).is_dir() else files
    is_one = Path(corpus.source).is_file()
    is_divided = is_one and has_blank_lines(files[0], corpus)
    # Texts in several folders have these as their labels.
    may_be_table = len({file.parent for file in files}) == 1 if is_labelled else is_one and not is_divided
    # A tab may stand behind fastText's mark, too.
    tables = [] if not may_be_table or are_marked(files, corpus) else [f for f in files if has_columns(f, corpus)]
    if tables == files:
        log.info("own data: %s is read as a table with tabs between its columns (see `--format`)", corpus.source)
        return dataclasses.replace(corpus, format="tsv", delimiter=corpus.delimiter or "\t")
    if 2 * len(tables) > len(files):
        others = ", ".join(file.name for file in files if file not in tables)
        raise InputError(
            f"{corpus.source}: {others} is no table with tabs between its columns, as the other files are; move it "
            "elsewhere, or give the files' `--format` (`tsv` for tables, `class_lines` if each file is a class)"
        )
    if is_labelled and may_be_table:
        are_parts = all(is_called(file, corpus.split) for file in files) or len(files) == 1
        if have_labels(files, corpus, are_parts):
            log.info("own data: %s is read as lines that begin with their label (see `--format`)", corpus.source)
            return dataclasses.replace(corpus, format="label_lines")
        if len(files) > 1 and all(sum(map(bool, map(str.strip, lines_of_head(file, corpus)))) > 1 for file in files):
            return as_classes(files, corpus)
    if is_labelled and len(files) == 1:
        between = separator_of(files[0], corpus)
        as_table = "" if between is None else f"; `csv` if {between!r} stands between a text and its label"
        raise InputError(
            f"{files[0]}: the first lines are no table with tabs between its columns and begin with no label; "
            "give a CSV, TSV or JSON file, a folder with a folder or a file for each class, or the file's "
            f"`--format` (`label_lines` if each line begins with its label{as_table})"
        )
    if not is_labelled and not is_one:
        tell_of_lines(files, corpus)
    return dataclasses.replace(corpus, format="lines") if is_one and not is_divided else corpus


def tell_of_lines(files: Sequence[Path], corpus: CorpusConfig) -> None:
    """Warn of files that are a document each, if they may have a text a line: more lines than there are files, and no
    blank line between.
    """
    heads = [lines_of_head(file, corpus) for file in files[:SHOWN_FILES]]
    if len(files) < HEAD_LINES and all(len(head) == HEAD_LINES and all(map(str.strip, head)) for head in heads):
        log.warning(
            "own data: %d files of %s are one document each, of %d lines or more; if each line is a text, join them "
            "into one file", len(files), corpus.source, HEAD_LINES,
        )  # fmt: skip


def is_called(file: Path, split: str) -> bool:
    """Whether a file has the name of a split, with a number or without, and not that of a class.

    >>> is_called(Path("train.txt"), "train"), is_called(Path("train/pos.txt"), "train")
    (True, False)
    """
    return split != "all" and re.fullmatch(rf"{re.escape(split)}(-\d[\w-]*)?\..+", file.name, re.IGNORECASE) is not None


def are_marked(files: Sequence[Path], corpus: CorpusConfig) -> bool:
    """Whether all of the first lines of text files begin with fastText's mark, and have a text behind it."""
    heads = (labels_before(line for line in lines_of_head(file, corpus) if line.strip()) for file in files)
    labels = [*itertools.chain.from_iterable(heads)]
    return bool(labels) and all(label.startswith(FASTTEXT_LABEL) for label in labels)


def have_labels(files: Sequence[Path], corpus: CorpusConfig, are_parts: bool) -> bool:
    """Whether the lines of text files begin with labels: fastText's, numbers, or a few words.

    Many texts begin with the same few words. So lines of files that are not parts of each other begin with labels only
    if fastText's mark is there, or all lines of each of them begin with the same few words or numbers.

    Args:
        files: in one folder.
        corpus: their corpus.
        are_parts: whether there is one of them, or all have the name of a split.
    """
    heads = [labels_before([line for line in lines_of_head(file, corpus) if line.strip()]) for file in files]
    first = [label for head in heads for label in head]
    if not first or not all(first):
        return False
    if are_marked(files, corpus):
        return True
    if any(is_numbered(head) for head in heads):
        return False
    labels = [[label for label in labels_before(lines(Part(str(file), "text"), corpus)) if label] for file in files]
    names, total = {*itertools.chain.from_iterable(labels)}, sum(map(len, labels))
    are_few = 2 <= len(names) <= min(MAXIMUM_CLASSES, total / TEXTS_A_CLASS)
    if all(label.isdecimal() for label in first):
        return are_parts or (are_few and all({*of_file} == names for of_file in labels))
    come_often = 2 <= len({*first}) <= len(first) / TEXTS_A_CLASS
    if are_parts:
        is_sorted = all(len(list(itertools.groupby(of_file))) == len({*of_file}) for of_file in labels)
        return are_few and (come_often or is_sorted) and separator_of(files[0], corpus) is None
    if come_often and are_few and all({*of_file} == names for of_file in labels):
        # Files with the names of classes may have sentences that begin alike.
        are_alike = len({DIGITS.sub("", file.name.lower()) for file in files}) == 1
        if are_alike or not any(map(str.istitle, names)):
            return True
    if come_often:
        log.warning(
            "own data: the first lines of the files of %s begin with a few words, %s; if these are their labels, and "
            "not the names of the files, give `--format label_lines`",
            corpus.source, ", ".join(list(dict.fromkeys(first))[:SHOWN_WORDS]),
        )  # fmt: skip
    return False


def separator_of(file: Path, corpus: CorpusConfig) -> str | None:
    """What stands between a text and a word that comes again on other lines, if something does on the first lines."""
    head = [line.strip() for line in lines_of_head(file, corpus) if line.strip()]
    for separator in SEPARATORS:
        for place in (0, -1):
            cells = {line.split(separator)[place].strip() for line in head}
            # Of several words, it is the beginning of a text behind its label: `pos: well, so it is`.
            are_words = not any(" " in cell for cell in cells)
            if are_words and has_columns(file, corpus, separator) and 2 * len(cells) <= len(head):
                return separator
    return None


def as_classes(files: Sequence[Path], corpus: CorpusConfig) -> CorpusConfig:
    """The corpus as files of a class each, with a text a line.

    Raises:
        InputError: they are the same classes in several splits.
    """
    by_class: dict[str, list[str]] = {}
    of_splits: set[str] = set()
    for file in class_files([*files]):
        words = BETWEEN_PARTS.split(class_of(file).lower())
        name = " ".join(word for word in words if word not in SPLIT_NAMES)
        by_class.setdefault(name, []).append(file.name)
        if not SPLIT_NAMES.isdisjoint(words):
            of_splits.add(name)
    # Names may differ only in what is between their parts: `c.txt` and `c++.txt`.
    same = next((names for name, names in by_class.items() if name in of_splits - {""} and len(names) > 1), None)
    if same is not None:
        raise InputError(
            f"{corpus.source}: {' and '.join(same)} are one class in several splits; make a folder `train` and a "
            "folder `test`, with a file for each class in each"
        )
    left_out = [
        file.name for file in walk(files[0].parent) if file.parent == files[0].parent and is_a_note(file, corpus)
    ]
    if left_out:
        log.warning(
            "own data: %s of %s is taken for a note beside the classes; give it another name if it is one of them",
            ", ".join(left_out), corpus.source,
        )  # fmt: skip
    log.info("own data: %s is read as a file for each class, with a text a line (see `--format`)", corpus.source)
    return dataclasses.replace(corpus, format="class_lines")


def is_a_note(file: Path, corpus: CorpusConfig) -> bool:
    """Whether a text file is taken for a companion of others, and has several lines, as those of a class have."""
    is_text = ENDINGS.get(ending(file)) == "text" and COMPANION.fullmatch(file.name) is not None
    return is_text and sum(map(bool, map(str.strip, lines_of_head(file, corpus)))) > 1


def is_numbered(labels: Sequence[str]) -> bool:
    """Whether lines begin with their number.

    >>> is_numbered(["1.", "2.", "3."]), is_numbered(["7", "8", "9"]), is_numbered(["0", "1", "1"])
    (True, True, False)
    """
    numbers = [label.rstrip(".):") for label in labels]
    if len(numbers) < 3 or not all(number.isdecimal() for number in numbers):
        return False
    return all(int(after) == int(before) + 1 for before, after in itertools.pairwise(numbers))


def labels_before(head: Iterable[str]) -> list[str]:
    """The first word of each line, as a label that may stand before a text; empty where no text follows.

    >>> labels_before(["pos: a good film", "__label__1 bad", "Well!"])
    ['pos', '__label__1', '']
    """
    words = (line.split(maxsplit=1) for line in head)
    return [line[0].removesuffix(":") if len(line) > 1 else "" for line in words]


def table_format(files: Sequence[Path], corpus: CorpusConfig) -> Literal["jsonl", "csv"] | None:
    """The format that reads text files whose first lines are JSON objects, or a table with a usual name above it."""
    heads = [[line.strip() for line in lines_of_head(file, corpus) if line.strip()] for file in files]
    if all(head and all(map(is_json_object, head)) for head in heads):
        return "jsonl"
    if any(len(line) > csv.field_size_limit() for head in heads for line in head):
        return None
    for separator in ",;":
        tables = [list(csv.reader(head, delimiter=separator)) for head in heads]
        widths = [{len(cells) for cells in table} for table in tables]
        if all(len(found) == 1 and min(found) > 1 for found in widths) and all(len(table) > 1 for table in tables):
            return "csv" if all(are_names(table[0]) for table in tables) else None
    return None


def is_json_object(line: str) -> bool:
    """Whether a line is a JSON object.

    >>> is_json_object('{"text": "a"}'), is_json_object('"a"'), is_json_object("{a}")
    (True, False, False)
    """
    try:
        return line.startswith("{") and isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def has_columns(file: Path, corpus: CorpusConfig, separator: str = "\t") -> bool:
    """Whether the first lines of a text file, but for a few, have the same number of tabs, or of another separator."""
    counts = Counter(line.count(separator) for line in lines_of_head(file, corpus) if line.strip())
    usual, count = max(counts.items(), key=lambda item: item[1], default=(0, 0))
    return counts.total() > 1 and usual > 0 and count >= ALIKE * counts.total()


def has_blank_lines(file: Path, corpus: CorpusConfig) -> bool:
    """Whether there are blank lines, between documents, in the first million characters of a text file."""
    characters, has_text, is_after_blank = 0, False, False
    for line in lines(Part(str(file), "text"), corpus):
        if line.strip() and is_after_blank:
            return True
        has_text = has_text or bool(line.strip())
        is_after_blank = has_text and not line.strip()
        characters += len(line)
        if characters > 1 << 20:
            break
    return False
