"""The corpora that a config names: which splits of a folder, which format, which columns."""

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from configs.errors import InputError
from finetune.own_data.advice import Columns
from finetune.own_data.columns import column_names, find_columns, read_contents, readable_rows
from finetune.own_data.config import OwnDataConfig, with_flags
from finetune.own_data.contents import SPLIT_NAMES, UNLABELLED_NAMES, words_in_name
from finetune.own_data.headers import HIDDEN, MISSING
from finetune.own_data.other_columns import (
    columns_of_others,
    columns_of_split,
    where_in,
    with_columns,
    with_label_columns,
)
from finetune.own_data.separators import find_separator
from finetune.own_data.text_formats import with_text_format
from tokenizer.corpus.config import LIST_CELLS, CorpusConfig
from tokenizer.corpus.files import (
    ENDINGS,
    JUNK,
    ending,
    entry_of,
    find_files,
    has_split,
    have_class_endings,
    inner_folders,
    is_read,
    stem_of,
    walk,
)

log = logging.getLogger(__name__)

TRAIN, TEST, UNLABELLED = "train", "test", "unlabelled"
NAMES = {TRAIN: (TRAIN, "training"), TEST: (TEST, "testing"), UNLABELLED: UNLABELLED_NAMES}
# Splits that are tested on where those of the test split are hidden.
VALIDATION_NAMES = ("validation", "valid", "val", "dev", "development")
SHOWN_FILES = 6
# Among as many texts for each, those in a folder that are called as splits are texts of a class, about trains or tests.
MANY_TEXTS = 8


@dataclasses.dataclass(frozen=True)
class Sources:
    """Where the texts of each part come from."""

    labelled: CorpusConfig
    test: CorpusConfig | None
    """None: a share of the labelled texts."""
    unlabelled: CorpusConfig | None

    def corpora(self) -> list[CorpusConfig]:
        """All corpora."""
        return [corpus for corpus in (self.labelled, self.test, self.unlabelled) if corpus is not None]


@with_flags()
def find_sources(config: OwnDataConfig) -> Sources:
    """The corpora that the config names, with their columns.

    Raises:
        InputError: one cannot be found, or a column is not clear.
    """
    labelled = corpus_of(config, config.labelled, TRAIN)
    by_column = config.label_columns is None
    columns = find_columns(labelled, config.text_column, config.label_column, labelled=by_column)
    labelled = with_columns(labelled, columns)
    tell_of_nested_folders(labelled)
    where = (
        f"label in column {columns.label!r}"
        if by_column
        else f"labels in columns {', '.join(config.label_columns or ())}"
    )
    split = "" if labelled.split == "all" else f" (split {labelled.split!r})"
    log.info("own data: text in column %r, %s of %s%s", columns.text, where, config.labelled, split)
    if by_column and config.label_separator is None and (separator := find_separator(labelled)) is not None:
        kind = "is a list" if separator == LIST_CELLS else f"may hold several, between {separator!r}"
        log.info("own data: a cell of labels %s (`--label_separator ''` if each is one label)", kind)
        labelled = dataclasses.replace(labelled, label_separator=separator)
    parts: dict[str, CorpusConfig | None] = {}
    for part, given in ((TEST, config.test), (UNLABELLED, config.unlabelled)):
        corpus = corpus_of(config, given, part) if given is not None else sibling(labelled, NAMES[part])
        if corpus is not None and part == UNLABELLED:
            # Pretraining reads no pairs, and no labels.
            corpus = dataclasses.replace(corpus, second_text_column=None, labels=None)
        if corpus is not None and given is not None:
            corpus = dataclasses.replace(corpus, label_separator=labelled.label_separator)
            corpus = with_label_columns(corpus) if part == TEST else corpus
            found = columns_of_others(corpus, part == TEST and by_column, columns, labelled)
            corpus = with_columns(corpus, found)
            log.info("own data: %s texts in %s of %s", part, where_in(found, columns), given)
        elif corpus is not None and part == TEST and by_column:
            corpus = labelled_sibling(labelled, corpus, columns, config.header)
        elif corpus is not None:
            found = columns_of_split(corpus, columns._replace(label=None), config.header, labelled)
            corpus = with_columns(corpus, found)
            log.info(
                "own data: %s texts are the split %r of %s, in %s",
                part, corpus.split, corpus.source, where_in(found, columns),
            )  # fmt: skip
        parts[part] = corpus
    return Sources(labelled, parts[TEST], parts[UNLABELLED])


def labelled_sibling(
    labelled: CorpusConfig, test: CorpusConfig, columns: Columns, header: bool | None
) -> CorpusConfig | None:
    """The split to test on: the test split or, where its labels are hidden, one for validation; None if none has any.

    Args:
        labelled: the training texts.
        test: the test split, which has no labels in a competition.
        columns: of the training texts.
        header: as it was given.
    """
    found, reason = with_labels(test, labelled, columns, header)
    if found is not None:
        return found
    instead = None
    if (validation := sibling(labelled, VALIDATION_NAMES)) is not None:
        instead, _ = with_labels(validation, labelled, columns, header)
    may_have_some = reason and any(held.may_be_classes for held in read_contents(test, labelled=True).values())
    log.warning(
        "own data: the split %r of %s has no labels%s, and is left out; %s for testing%s", test.split, test.source,
        " that are known as such" if may_have_some else "",
        "other texts are set aside" if instead is None else f"the split {instead.split!r} is taken", reason,
    )  # fmt: skip
    return instead


def with_labels(
    corpus: CorpusConfig, labelled: CorpusConfig, columns: Columns, header: bool | None
) -> tuple[CorpusConfig | None, str]:
    """A split with its columns, if it has labels, or if no row can be read; else None, and which column it lacks."""
    try:
        found = columns_of_split(corpus, columns, header, labelled)
    except InputError:
        name = "of labels" if columns.label is None or columns.label.isdecimal() else repr(columns.label)
        return None, f"; it has no column {name} (it has {', '.join(map(repr, column_names(corpus)))})"
    corpus = with_columns(corpus, found)
    if not has_labels(corpus, labelled):
        return None, ""
    if (found.text, found.label) != (columns.text, columns.label):
        log.info("own data: texts of the split %r are in %s", corpus.split, where_in(found, columns))
    log.info("own data: test texts are the split %r of %s", corpus.split, corpus.source)
    return corpus, ""


def has_labels(corpus: CorpusConfig, labelled: CorpusConfig) -> bool:
    """Whether a split has labels, or no row can be read; in the test split of a competition, they may all be hidden."""
    hidden: set[str] = set()
    for label in labels_of(corpus):
        if label.lower() not in (*MISSING, HIDDEN):
            return True
        hidden.add(label)
    # Where all are alike, it may be that the training texts have such labels, too.
    return not hidden or any(label in hidden - {""} for label in labels_of(labelled))


def labels_of(corpus: CorpusConfig) -> Iterator[str]:
    """The cells of the label column, as text; none of a missing one."""
    for row in readable_rows(corpus):
        label: Any = row.get(corpus.label_column)
        yield "" if label is None else str(label).strip()


def corpus_of(config: OwnDataConfig, source: str, part: str) -> CorpusConfig:
    """A corpus as it is read: the first split with a name of the part that a folder has, else all of its files."""
    splits, is_labelled = NAMES[part], part != UNLABELLED
    corpus = CorpusConfig(
        source=source,
        second_text_column=config.second_text_column,
        language=config.language,
        split="all",
        # Further texts may be of another kind: a table beside `notes.txt`, or beside Parquet.
        format=config.format if part == TRAIN or not has_known_ending(source) else "auto",
        encoding=config.encoding,
        delimiter=config.delimiter if is_labelled else None,
        header=config.header if is_labelled else None,
        maximum_set_aside=config.maximum_set_aside,
        label_separator=config.label_separator,
        label_columns=config.label_columns,
        labels=config.labels,
    )
    if "sample" in (source, corpus.format):
        return dataclasses.replace(corpus, split=splits[0])
    if Path(source).is_dir():
        return corpus_of_folder(corpus, splits, is_labelled)
    if find_files(corpus) is None:
        there = hub_splits(source)
        found = splits_called((*splits, TRAIN), there)
        return dataclasses.replace(corpus, split=found[0] if found else there[0])
    return with_text_format(corpus, is_labelled)


def corpus_of_folder(corpus: CorpusConfig, splits: Sequence[str], is_labelled: bool) -> CorpusConfig:
    """The first split with one of the names that a folder has, or the only folder with data in it; else all files.

    Raises:
        InputError: there are splits in several folders in it, or files that may be copies of each other in a split.
    """
    if is_labelled and corpus.format == "auto" and have_class_endings(walk(Path(corpus.source))):
        log.info("own data: %s is read as a file for each class, with a text a line", corpus.source)
        return dataclasses.replace(corpus, format="class_lines")
    within = [corpus, *inner_folders(corpus)]
    for inner in within:
        found = folder_splits(inner, splits)
        if is_labelled and found and (other := class_beside(inner, found[0])) is not None:
            log.info("own data: %s is read as a class, as %s is beside it", Path(inner.source) / found[0], other)
        elif found:
            if inner is not corpus:
                log.info("own data: the splits of %s are those of %s", corpus.source, inner.source)
            return with_text_format(checked_split(inner, found[0]), is_labelled)
    if not is_labelled:
        return with_text_format(corpus, is_labelled)
    ask_about_inner_splits(corpus)
    corpus = with_text_format(corpus, is_labelled)
    parts = [part for inner in within for part in parts_named(inner) if class_beside(inner, part.name) is None]
    if parts:
        log.warning(
            "own data: all files of %s are read as one part, also %s; call one train and one test (`train.csv`, or a "
            "folder `train`), or give one with `--labelled` and one with `--test`",
            corpus.source, ", ".join(part.name for part in parts[:SHOWN_FILES]),
        )  # fmt: skip
    return corpus


def ask_about_inner_splits(corpus: CorpusConfig) -> None:
    """Ask which of the folders in a folder is meant, if some have splits: test texts would be trained on.

    Raises:
        InputError: one has both texts to train on and to test on.
    """
    folder = Path(corpus.source)
    below = {parent for file in walk(folder) if is_read(file, corpus) for parent in file.relative_to(folder).parents}
    found = []
    for inner in sorted(str(place) for place in below - {Path()}):
        one = dataclasses.replace(corpus, source=str(folder / inner))
        texts = [*(folder / inner).glob("*.txt")]
        if len(texts) > MANY_TEXTS * sum(bool(words_in_name(text.stem) & SPLIT_NAMES) for text in texts) > 0:
            continue
        train, test = (folder_splits(one, names) for names in (NAMES[TRAIN], (*NAMES[TEST], *VALIDATION_NAMES)))
        if train and test and class_beside(one, train[0]) is None:
            found.append(inner)
    if found:
        raise InputError(
            f"{corpus.source}: texts to train on and to test on are in {', '.join(found[:SHOWN_FILES])}, and all would "
            "be read as one part; give one of these folders or, if each is a class, make a folder `train` and a folder "
            "`test`, with a folder for each class in each"
        )


def checked_split(corpus: CorpusConfig, split: str) -> CorpusConfig:
    """A split of a folder.

    Raises:
        InputError: a file with just its name, and others of it, may be copies of each other: `train.csv`,
            `train.v2.csv`.
    """
    corpus, folder = dataclasses.replace(corpus, split=split), Path(corpus.source)
    files = find_files(corpus) or []
    if corpus.format == "auto" and split.lower() not in UNLABELLED_NAMES:
        # Texts beside tables and the folders of classes are left out of labelled ones, as those that a table tells of.
        files = [file for file in files if ending(file) != ".txt" or file.parent not in folders_of(corpus)] or files
    names = list(dict.fromkeys(entry_of(file, folder).name for file in files))
    if len(names) > 1 and any(file.parent == folder and stem_of(file) == split for file in files):
        raise InputError(
            f"{folder}: {', '.join(names[:SHOWN_FILES])} are all the split {split!r}; if they are copies or versions "
            f"of the same texts, leave one of them there; if they are parts, move them into a folder {split!r}"
        )
    return corpus


def folders_of(corpus: CorpusConfig) -> set[Path]:
    """The folder of a corpus and those of its splits, in which the folders of classes lie, and notes beside them."""
    folder = Path(corpus.source)
    return {folder, *(folder / split for split in corpus.split.split("+"))}


def class_beside(corpus: CorpusConfig, name: str) -> str | None:
    """The folder of a class beside one with the name of a split, if this has text files alone, as that of a class."""
    folder, inner = Path(corpus.source), Path(corpus.source) / name
    files = walk(inner)
    is_split = any(file.parent != inner or ENDINGS.get(ending(file), "text") != "text" for file in files)
    if not files or is_split or any(folder.glob(f"{name}.*")):
        return None
    read = [file.relative_to(folder).parts for file in walk(folder) if is_read(file, corpus)]
    beside = {parts[0] for parts in read if len(parts) > 1}
    return min((other for other in beside if words_in_name(other).isdisjoint(SPLIT_NAMES)), default=None)


def has_known_ending(source: str) -> bool:
    """Whether the name of a file, or of one in a folder, tells its format."""
    path = Path(source)
    return any(ending(file) in ENDINGS for file in (walk(path) if path.is_dir() else [path]))


def sibling(labelled: CorpusConfig, splits: Sequence[str]) -> CorpusConfig | None:
    """Another split of the labelled corpus, if that has splits, in a folder or on the Hub; None if there is none."""
    if labelled.split == "all":
        return None
    if "sample" in (labelled.source, labelled.format):
        return dataclasses.replace(labelled, split=splits[0])
    if find_files(labelled) is None:
        found = splits_called(splits, hub_splits(labelled.source))
    else:
        found = folder_splits(labelled, splits)
        return checked_split(labelled, found[0]) if found else None
    return dataclasses.replace(labelled, split=found[0]) if found else None


def splits_called(names: Sequence[str], splits: Iterable[str]) -> list[str]:
    """The splits that have one of the names, whatever the case, in the order of the names.

    >>> splits_called(["test", "dev"], ["Dev", "TRAIN", "Test"])
    ['Test', 'Dev']
    """
    splits = list(splits)
    return [split for name in names for split in splits if split.lower() == name]


def folder_splits(corpus: CorpusConfig, names: Sequence[str]) -> list[str]:
    """The splits of a folder that have one of the names, whatever the case, as `corpus.split` names them.

    If there are none, the one file or folder that has a name among other words, such as `reviews_train.csv`.
    """
    folder = Path(corpus.source)
    # Small letters first.
    there = sorted({entry.name[: len(name)] for entry in folder.iterdir() for name in names}, reverse=True)
    found = [split for split in splits_called(names, there) if has_split(corpus, split)]
    if found:
        return found
    parts = parts_named(corpus)
    # A word may be about something else: another split of the same set tells, and only one set has splits.
    counterparts = {other_words for words, other_words in parts.values() if words.isdisjoint(names)}
    named = [(part, other_words) for part, (words, other_words) in parts.items() if not words.isdisjoint(names)]
    return [stem_of(named[0][0])] if len(named) == 1 and named[0][1] in counterparts else []


def parts_named(corpus: CorpusConfig) -> dict[Path, tuple[set[str], frozenset[str]]]:
    """The files of a folder that are read, and the folders with such files, that have the name of a split among the
    words of theirs.

    With each the names of splits, in small letters, and the other words.
    """
    folder = Path(corpus.source)
    # Few are called so, and folders may hold many files.
    entries = [entry for entry in sorted(folder.iterdir()) if words_in_name(entry.name) & SPLIT_NAMES]
    words = {entry: words_in_name(stem_of(entry)) for entry in entries if not JUNK.fullmatch(entry.name)}
    return {
        entry: (of_entry & SPLIT_NAMES, frozenset(of_entry - SPLIT_NAMES))
        for entry, of_entry in words.items()
        if of_entry & SPLIT_NAMES
        and any(is_read(file, corpus) for file in (walk(entry) if entry.is_dir() else [entry]))
    }


def tell_of_nested_folders(corpus: CorpusConfig) -> None:
    """Warn if folders with the same name lie in several others, as the labels of texts are the innermost ones."""
    if corpus.format not in ("auto", "text") or corpus.source == "sample":
        return
    outer: dict[str, set[Path]] = {}
    for file in find_files(corpus) or ():
        if corpus.format == "text" or ENDINGS.get(ending(file)) == "text":
            outer.setdefault(file.parent.name, set()).add(file.parent.parent)
    inner = sorted(name for name, folders in outer.items() if len(folders) > 1)
    if inner:
        log.warning(
            "own data: the labels are the innermost folders, %s, and not those in which they lie, %s; if these are the "
            "labels, move the texts up into them",
            ", ".join(inner[:SHOWN_FILES]),
            ", ".join(sorted({folder.name for name in inner for folder in outer[name]})[:SHOWN_FILES]),
        )


def hub_splits(identifier: str) -> list[str]:
    """The splits of a data set on the Hub.

    Raises:
        InputError: it cannot be asked for them.
    """
    import datasets
    import datasets.exceptions

    try:
        return [str(name) for name in datasets.get_dataset_split_names(identifier)]
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise InputError(f"{identifier!r}: its splits cannot be read ({' '.join(str(error).split())})") from None
