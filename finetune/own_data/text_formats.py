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
from finetune.own_data.contents import BETWEEN_PARTS, MAXIMUM_CLASSES, SPLIT_NAMES, TEXTS_A_CLASS, words_in_name
from finetune.own_data.headers import LABEL_NAMES, are_names
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.documents import label_key
from tokenizer.corpus.files import COMPANION, ENDINGS, class_files, ending, find_files, walk, without_notes
from tokenizer.corpus.formats import FASTTEXT_LABEL, class_of
from tokenizer.corpus.text_files import HEAD_LINES, Part, lines, lines_of_head

log = logging.getLogger(__name__)

DIGITS = re.compile(r"\d+")
# The share of the first lines of a table with as many separators as each other: a text may hold one.
ALIKE = 0.9
# What may stand between a text and its label; the last only before a label, as tweets begin with it.
SEPARATORS = ";,|@"
SHOWN_WORDS = 6
LABEL_LINES = "label_lines"
# What the first lines of text files may look like, by the format that reads it.
KINDS = {
    "tsv": "a table with tabs between its columns",
    "csv": "a table under a header",
    "jsonl": "JSON objects",
    LABEL_LINES: "texts behind their labels",
}
# Lines of documents with blank lines between, on average, at most; else a few blank lines stand between texts.
LONGEST_DOCUMENT = 100
# Files whose first lines tell what others are.
SHOWN_FILES = 8


def with_text_format(corpus: CorpusConfig, is_labelled: bool) -> CorpusConfig:
    """The corpus, if all of its files are `.txt`, as tables with tabs between their columns or as a text a line, if
    they look like it.

    Raises:
        InputError: labelled texts have no labels that are read unasked: a single file has none, files look like another
            format, or they are classes of several splits.
    """
    files = find_files(corpus) if corpus.format == "auto" else None
    if not files or any(ending(file) != ".txt" for file in files):
        return corpus
    files = without_notes(files) if is_labelled and Path(corpus.source).is_dir() else files
    is_one = Path(corpus.source).is_file()
    gaps, count = gaps_and_lines(files[0], corpus) if is_one and not is_labelled else (0, 0)
    are_documents = gaps > 0 and count <= LONGEST_DOCUMENT * (gaps + 1)
    # Texts in several folders have these as their labels.
    may_be_table = len({file.parent for file in files}) == 1 if is_labelled else is_one and not are_documents
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
        return with_labels_in_files(files, corpus)
    tell_of_lines(files, corpus, is_labelled)
    if not is_one:
        return corpus
    if are_documents:
        length = count / (gaps + 1)
        log.log(
            logging.WARNING if length > HEAD_LINES else logging.INFO,
            "own data: %s is read as documents of %.0f lines on average, with blank lines between; if each line is a "
            "text, remove the blank lines", files[0], length,
        )  # fmt: skip
        return corpus
    if gaps:
        log.warning(
            "own data: each line of %s is read as a text, as blank lines are few in it (%d between %d others); if they "
            "stand between documents, make a file of each document, in a folder", files[0], gaps, count,
        )  # fmt: skip
    return dataclasses.replace(corpus, format="lines")


def with_labels_in_files(files: Sequence[Path], corpus: CorpusConfig) -> CorpusConfig:
    """Labelled text files in one folder that are no tables: lines that begin with their labels, or a file for a class.

    Raises:
        InputError: they look like another format or are the same classes in several splits, or a file has no labels.
    """
    if (kind := table_format(files, corpus)) is not None:
        raise InputError(
            f"{corpus.source}: the first lines look like {KINDS[kind]}; give `--format {kind}` "
            f"(or call test files `.{kind}`); if they are none, `--format class_lines` (each file is a class) or "
            "`--format label_lines` (each line begins with its label)"
        )
    are_parts = all(is_called(file, corpus.split) for file in files) or len(files) == 1
    if have_labels(files, corpus, are_parts):
        log.info("own data: %s is read as lines that begin with their label (see `--format`)", corpus.source)
        return dataclasses.replace(corpus, format="label_lines")
    between = separator_of(files, corpus)
    if len(files) > 1:
        if between is not None:
            raise InputError(
                f"{corpus.source}: {between!r} seems to stand between each text and its label; give `--format csv "
                f"--delimiter {between!r}` (or call test files `.csv`), which reads all files as one part, or, if "
                "each is a class, `--format class_lines`"
            )
        ask_about_labels_beside(files, corpus, "class")
        if all(sum(map(bool, map(str.strip, lines_of_head(file, corpus)))) > 1 for file in files):
            return as_classes(files, corpus)
        return corpus
    as_table = f"; `csv` if {between!r} stands between a text and its label, with `--delimiter {between!r}`"
    # A given format is not that of test files with an ending.
    as_table += ", for which a test file has to be called `.csv`"
    raise InputError(
        f"{files[0]}: the first lines are no table with tabs between its columns and begin with no label; "
        "give a CSV, TSV or JSON file, a folder with a folder or a file for each class, or the file's "
        f"`--format` (`label_lines` if each line begins with its label{as_table if between else ''})"
    )


def ask_about_labels_beside(files: Sequence[Path], corpus: CorpusConfig, kind: Literal["class", "document"]) -> None:
    """Ask about a file with a label for each line of another, as of TweetEval, which would be a class of its own, or a
    document; a document may have few different lines, as lyrics have, and is called as labels are.

    Raises:
        InputError: there is one.
    """
    counts, of_labels = {}, []
    for file in files:
        counts[file], values = 0, set()
        for line in lines(Part(str(file), "text"), corpus):
            counts[file] += 1
            if len(values) <= MAXIMUM_CLASSES:
                values.add(line.strip())
        if 2 <= len(values) <= min(MAXIMUM_CLASSES, counts[file] / TEXTS_A_CLASS):
            of_labels.append(file)
    if kind == "document":
        of_labels = [file for file in of_labels if not words_in_name(file.stem).isdisjoint(LABEL_NAMES)]
    for labels in of_labels:
        others = (file for file in files if file not in of_labels and counts[file] == counts[labels])
        beside = (file for file in others if file.parent == labels.parent)
        if (texts := next(beside, None)) is not None:
            part = next((word for word in BETWEEN_PARTS.split(texts.stem.lower()) if word in SPLIT_NAMES), "train")
            raise InputError(
                f"{corpus.source}: {labels.name} seems to hold the labels of the lines of {texts.name}; make one table "
                "of each two such files, with a text and its label in each row, in another folder (`paste "
                f"{texts.name} {labels.name} > OTHER/{part}.tsv`); if each file is a {kind}, give "
                f"`--format {'class_lines' if kind == 'class' else 'text'}`"
            )


def tell_of_lines(files: Sequence[Path], corpus: CorpusConfig, is_labelled: bool) -> None:
    """Warn of files whose lines are no texts alone, and of those that are a document each, if they may have a text a
    line: more lines than there are files, of a class if they are labelled, and no blank line between.

    Raises:
        InputError: one has the labels of the lines of another.
    """
    first = files[:: max(1, len(files) // SHOWN_FILES)]
    if not is_labelled and (kind := kind_of_lines(first, corpus)) is not None:
        log.warning(
            "own data: the first lines of %s look like %s, and are read as texts; %s",
            corpus.source, KINDS[kind], "remove the labels" if kind == LABEL_LINES else f"give a `.{kind}` file",
        )  # fmt: skip
    heads = [lines_of_head(file, corpus) for file in first]
    # More documents have fewer lines, as they have a file each.
    may_have_lines = len(files) < HEAD_LINES * len({file.parent for file in files})
    if is_labelled and may_have_lines:
        ask_about_labels_beside(files, corpus, "document")
    if (
        not Path(corpus.source).is_file()
        and may_have_lines
        and all(len(head) == HEAD_LINES and all(map(str.strip, head)) for head in heads)
    ):
        log.warning(
            "own data: %d files of %s are one document each, of %d lines or more; if each line is a text, join them "
            "into one file%s", len(files), corpus.source, HEAD_LINES,
            " for each class, in one folder (`pos.txt`, `neg.txt`)" if is_labelled else "",
        )  # fmt: skip


def kind_of_lines(files: Sequence[Path], corpus: CorpusConfig, labels: Iterable[str] = ()) -> str | None:
    """The format of text files that look like a table, like JSON lines, or like texts behind their labels, which are
    fastText's or given; None if they look like texts.
    """
    if files and all(has_columns(file, corpus) for file in files) and not are_marked(files, corpus):
        return "tsv"
    if files and (kind := table_format(files, corpus)) is not None:
        return kind
    known = {label_key(label) for label in labels}
    heads = [labels_before(line for line in lines_of_head(file, corpus) if line.strip()) for file in files]
    are_labels = heads and all(
        head and all(label.startswith(FASTTEXT_LABEL) or label_key(label) in known for label in head) for head in heads
    )
    return LABEL_LINES if are_labels else None


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
        return are_few and (come_often or is_sorted) and separator_of(files, corpus) is None
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


def separator_of(files: Sequence[Path], corpus: CorpusConfig) -> str | None:
    """What stands between a text and a word that comes again on other lines, if something does on all first lines."""
    heads = [[line.strip() for line in lines_of_head(file, corpus) if line.strip()] for file in files]
    for separator in SEPARATORS:
        if not all(separator in line for head in heads for line in head):
            continue
        for place in (0, -1) if separator != SEPARATORS[-1] else (-1,):
            of_files = [{line.split(separator)[place].strip() for line in head} for head in heads]
            cells = {*itertools.chain.from_iterable(of_files)}
            # Of several words, it is the beginning of a text behind its label: `pos: well, so it is`.
            are_words = "" not in cells and not any(" " in cell for cell in cells)
            # The number of a line comes once in each file.
            come_often = all(2 * len(found) <= len(head) for found, head in zip(of_files, heads, strict=True))
            if are_words and come_often and len(cells) == 1:
                # They may be sorted by label, or all begin alike: `Hello, this is a text`.
                rest = itertools.chain.from_iterable(lines(Part(str(file), "text"), corpus) for file in files)
                cells = {line.strip().split(separator)[place].strip() for line in rest if line.strip()}
                are_words = len(cells) <= MAXIMUM_CLASSES and not any(" " in cell for cell in cells)
            if are_words and come_often and len(cells) > 1:
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


def gaps_and_lines(file: Path, corpus: CorpusConfig) -> tuple[int, int]:
    """How often blank lines stand between others in the first million characters of a file, and how many others."""
    gaps, count, characters, is_after_blank = 0, 0, 0, False
    for line in lines(Part(str(file), "text"), corpus):
        if line.strip():
            gaps += is_after_blank and count > 0
            count += 1
        is_after_blank = not line.strip()
        characters += len(line)
        if characters > 1 << 20:
            break
    return gaps, count
