"""The labelled, test and unlabelled texts of a plan: read once, split, and kept as Parquet files.

Shapes: N texts.
"""

import dataclasses
import itertools
import json
import logging
import zlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import scipy.sparse
import scipy.sparse.csgraph

from configs.errors import InputError
from configs.run_folder import write_atomically
from finetune.classification.labels import LabelSet, class_counts, contradictions, groups_of_each, label_set, labels_in
from finetune.classification.splits import document_keys, set_aside, text_key
from finetune.own_data.config import with_flags
from finetune.own_data.contents import words_in
from finetune.own_data.missing_labels import divided, without_missing
from finetune.own_data.sources import TEST, TRAIN, UNLABELLED, Sources, folders_of
from pretrain.audits import duplicates
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.documents import Document, label_key
from tokenizer.corpus.documents import read as read_documents
from tokenizer.corpus.files import ending
from tokenizer.corpus.quarantine import FILE as QUARANTINE
from tokenizer.corpus.quarantine import Quarantine
from tokenizer.corpus.shards import describe

log = logging.getLogger(__name__)

TEST_SHARE = 0.2
# So many tell two models apart that differ by a point (McNemar, models that agree on nine of ten texts).
MAXIMUM_TEST_TEXTS = 5000
# Of more labelled texts, only copies are kept together, not near duplicates.
COMPARED_TEXTS = 50_000
BATCH = 4096
# Of a class: one to train on and one to validate or test on.
MINIMUM_TEXTS = 2
TOO_SIMILAR = (
    "own data: of class %s, most texts are near duplicates of %s, so only copies are kept apart: scores will be too "
    "good, as test texts are so much like training texts, and pretraining, which leaves out what is like test texts, "
    "may need others (`--unlabelled`)"
)
# What may be done about rows that cannot be used, by what is wrong with them.
WITHOUT_LABEL = "texts without a label may be given with `--unlabelled`, in a file of their own"
ADVICE = {f"holds {value}, which is not a label": WITHOUT_LABEL for value in ("None", "''", "nan")} | {
    "the label is '": f"{WITHOUT_LABEL}; if it is a class, give `--labels` with it and the others",
    "(corpus.label_column); the columns are": f"{WITHOUT_LABEL}; labels in another file belong into a table with texts",
    "neither 0 nor 1": "write 1 where the label applies and 0 where it does not, also for words and empty cells",
}


@dataclasses.dataclass(frozen=True)
class Texts:
    """What the texts are, as far as choices depend on it."""

    train_texts: int
    test_texts: int
    unlabelled_texts: int
    classes: list[str]
    counts: list[int]
    """Training texts of each class or label."""
    characters: int
    """Of the training and unlabelled texts."""
    different_characters: int
    """Of a thousand training texts."""
    text_column: str = "text"
    """Columns have the names that they have in the given labelled texts, by which further texts are known."""
    label_column: str = "label"
    second_text_column: str | None = None
    multi_label: bool = False
    """Whether a text may have several labels; they are lists in the Parquet files."""
    label_separator: str | None = None
    """As `corpus.label_separator`, for the Parquet files: an empty string if a label is one, whatever it looks like."""


@with_flags()
def write(sources: Sources, folder: Path, maximum_characters: int) -> Texts:
    """Read all texts, set test texts aside where none are given, and write one Parquet file a part.

    Args:
        sources: the corpora.
        folder: where the files go.
        maximum_characters: of unlabelled texts; the rest is not read.

    Raises:
        InputError: a file, column, text or label is missing or unusable.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tell_of_files(sources)
    labelled, loose = divided(read_labelled(sources.labelled, folder / QUARANTINE))
    labelled = without_strays(labelled, sources.labelled)
    if not labelled:
        raise InputError(f"labelled: every text of {sources.labelled.source!r} has a label that says it has none")
    names = {text.label: text.label_name or str(text.label) for text in labelled if text.label is not None}
    wanted = without_loose(sources, loose)
    classes = label_set([text.label for text in labelled if text.label is not None], names, wanted)
    classes_N = encoded(labelled, classes, sources.labelled)
    if torn := contradictions(document_keys(labelled), classes_N):
        log.warning("own data: %d labelled texts stand there more than once, with different labels", torn)
    if sources.test is None:
        train, test = with_test_share(labelled, classes_N, classes.names)
        test_N = encoded(test, classes, sources.labelled)
    else:
        test = read_labelled(sources.test, quarantine_of(folder, TEST), classes.keys)
        test = without_strays(test, sources.test)
        test_N = encoded(test, classes, sources.test)
        train = without_tested(labelled, test, classes, sources.labelled)
    warn_of_one_class(test_N, classes.names)
    train_N = encoded(train, classes, sources.labelled)
    counts = class_counts(train_N, len(classes.names)).tolist()
    check_counts(counts, classes.names, classes.multi_label)
    log.info("own data: %s", classes.counts_line(train_N))
    name_of = dict(zip(classes.keys, classes.names, strict=True))
    corpus = with_label_column(sources.labelled)
    write_parquet(folder / f"{TRAIN}.parquet", (row_of(text, corpus, name_of) for text in train))
    write_parquet(folder / f"{TEST}.parquet", (row_of(text, corpus, name_of) for text in test))
    unlabelled_texts, characters = write_unlabelled(sources, loose, folder, maximum_characters)
    characters += sum(len(text.text) for text in train)
    sample = {character for text in train[:1000] for character in text.text}
    texts = Texts(
        len(train), len(test), unlabelled_texts, classes.names, counts, characters, len(sample),
        corpus.text_column, corpus.label_column, corpus.second_text_column,
        classes.multi_label, "" if corpus.label_separator == "" else None,
    )  # fmt: skip
    write_atomically(folder / "texts.json", json.dumps(dataclasses.asdict(texts)) + "\n")
    return texts


def tell_of_files(sources: Sources) -> None:
    """Tell which files are read in which way, which are not read, and which are missing."""
    by_source: dict[str, list[CorpusConfig]] = {}
    for corpus in sources.corpora():
        by_source.setdefault(corpus.source, []).append(corpus)
    for corpora in by_source.values():
        # Splits of one folder are not beside each other.
        splits = dict.fromkeys(corpus.split for corpus in corpora)
        split = "all" if "all" in splits else "+".join(splits)
        for line in describe(dataclasses.replace(corpora[0], split=split)):
            log.info("own data: %s", line)


def quarantine_of(folder: Path, part: str) -> Path:
    """The file of the rows of a part that were set aside; that of the labelled texts has no part in its name."""
    return folder / f"{Path(QUARANTINE).stem}-{part}{Path(QUARANTINE).suffix}"


def read_labelled(corpus: CorpusConfig, quarantine_file: Path, classes: Collection[str] = ()) -> list[Document]:
    """The texts of a corpus with their labels; rows that cannot be used are listed in a file and counted in the log.

    Args:
        corpus: the corpus.
        quarantine_file: of these rows.
        classes: the keys of those that are known (`label_key`).

    Raises:
        InputError: they cannot be read, or too many rows cannot be used.
    """
    quarantine = Quarantine(corpus.maximum_set_aside)
    try:
        texts = list(read_documents(corpus, labelled=True, quarantine=quarantine))
        if corpus.labels is None:
            texts = without_missing(texts, quarantine, classes)
    except InputError as error:
        advice = next((f"; {advice}" for problem, advice in ADVICE.items() if problem in str(error)), "")
        raise InputError(f"{error}{advice}") from None
    quarantine.write_and_log(quarantine_file)
    return texts


def with_test_share(
    texts: Sequence[Document], classes_N: np.ndarray, names: Sequence[str]
) -> tuple[list[Document], list[Document]]:
    """The training texts and the share that is set aside for testing, near duplicates on one side.

    Where they leave a class without a text for both, as texts by a template do, only copies stay on one side.

    Raises:
        InputError: a class has fewer than two different texts.
    """
    share = min(TEST_SHARE, MAXIMUM_TEST_TEXTS / len(texts))
    keys, copies = groups(texts), document_keys(texts)
    near_C, exact_C = (groups_of_each(classes_N, len(names), found) for found in (keys, copies))
    lacking_C = (near_C < MINIMUM_TEXTS) & (exact_C >= MINIMUM_TEXTS)
    if lacking_C.any():
        is_lacking_N = lacking_C[classes_N] if classes_N.ndim == 1 else classes_N[:, lacking_C].any(axis=1)
        apart = {keys[number] for number in np.flatnonzero(is_lacking_N)}
        keys = [copy if key in apart else key for key, copy in zip(keys, copies, strict=True)]
        log.warning(TOO_SIMILAR, ", ".join(names[label] for label in np.flatnonzero(lacking_C)), "each other")
    chosen = set_aside(keys, classes_N, share, names)
    is_test = np.isin(np.arange(len(texts)), chosen)
    log.info("own data: %d of %d labelled texts are set aside for testing", len(chosen), len(texts))
    train = [text for text, tested in zip(texts, is_test, strict=True) if not tested]
    return train, [text for text, tested in zip(texts, is_test, strict=True) if tested]


def without_loose(sources: Sources, loose: Sequence[Document]) -> CorpusConfig:
    """The labelled corpus without the labels that say that a text has none, if some were asked for."""
    wanted, names = sources.labelled.labels, {str(text.label).casefold() for text in loose}
    kept = None if wanted is None else [label for label in wanted if label.casefold() not in names]
    return dataclasses.replace(sources.labelled, labels=kept)


def write_unlabelled(
    sources: Sources, loose: Sequence[Document], folder: Path, maximum_characters: int
) -> tuple[int, int]:
    """Write the unlabelled texts, if there are any; gives how many, and their characters.

    Args:
        sources: the corpora.
        loose: unlabelled texts from among the labelled ones.
        folder: where the file goes.
        maximum_characters: of all of them.
    """
    if sources.unlabelled is None and not loose:
        return 0, 0
    more = iter(loose)
    if sources.unlabelled is not None:
        quarantine = Quarantine(sources.unlabelled.maximum_set_aside)
        more = itertools.chain(loose, read_documents(sources.unlabelled, quarantine=quarantine))
    limited = Limited(more, maximum_characters)
    try:
        write_parquet(folder / f"{UNLABELLED}.parquet", (row_of(text, sources.labelled) for text in limited))
    except InputError as error:
        told, missing, rest = str(error).partition(" (corpus.text_column)")
        if sources.unlabelled is None or not missing:
            raise
        name = sources.unlabelled.text_column
        raise InputError(f"{told}{rest}; call their column {name!r} in all files of `--unlabelled`") from None
    if sources.unlabelled is not None:
        quarantine.write_and_log(quarantine_of(folder, UNLABELLED))
    if limited.reached:
        log.info("own data: the first %d unlabelled texts are used; more would not be read in this time", limited.texts)
    return limited.texts, limited.characters


class Limited:
    """Documents up to a number of characters, counted."""

    def __init__(self, documents: Iterator[Document], maximum_characters: int) -> None:
        self.documents, self.maximum_characters = documents, maximum_characters
        self.texts, self.characters, self.reached = 0, 0, False

    def __iter__(self) -> Iterator[Document]:
        for document in self.documents:
            if self.characters > self.maximum_characters:
                self.reached = True
                return
            self.texts, self.characters = self.texts + 1, self.characters + len(document.text)
            yield document


def encoded(texts: Sequence[Document], classes: LabelSet, corpus: CorpusConfig) -> np.ndarray:
    """The classes of texts, as `LabelSet.encode` gives them."""
    return classes.encode([text.label for text in texts if text.label is not None], corpus)


def warn_of_one_class(test_N: np.ndarray, names: Sequence[str]) -> None:
    """Warn of test texts of one class alone, where training texts have more."""
    there_C = np.flatnonzero(class_counts(test_N, len(names)))
    if len(there_C) == 1 < len(names):
        only = names[there_C[0]]
        log.warning("own data: all test texts are of class %s, so scores will tell little of the others", only)


def without_strays(texts: list[Document], corpus: CorpusConfig) -> list[Document]:
    """The texts without those that lie beside the folders of the classes, such as aclImdb's lists of addresses."""
    beside = folders_of(corpus)
    is_file = [ending(Path(str(text.location))) == ".txt" for text in texts]
    strays = [at and Path(str(text.location)).parent in beside for at, text in zip(is_file, texts, strict=True)]
    if not any(strays) or all(strays):
        return texts
    kept = [text for text, is_stray in zip(texts, strays, strict=True) if not is_stray]
    log.warning("own data: %d file(s) beside the folders of the classes are left out", len(texts) - len(kept))
    return kept


def with_label_column(corpus: CorpusConfig) -> CorpusConfig:
    """The corpus with a name for its column of labels that no text has."""
    taken = (corpus.text_column, corpus.second_text_column)
    name = next(name for name in (corpus.label_column, "label", "labels", "all_labels") if name not in taken)
    return dataclasses.replace(corpus, label_column=name)


def check_counts(counts: Sequence[int], names: Sequence[str], multi_label: bool = False) -> None:
    """Check that every class has a text to train and one to validate on; a label that has one may have to do.

    Raises:
        InputError: names the rarest class.
    """
    rarest = min(range(len(counts)), key=counts.__getitem__)
    if counts[rarest] < (1 if multi_label else MINIMUM_TEXTS):
        raise InputError(
            f"labelled: class {names[rarest]!r} has {counts[rarest]} text(s) beside those for testing, and training "
            "and validation need one each; add texts of this class, or leave it out (`--labels` with the others)"
        )
    if counts[rarest] < MINIMUM_TEXTS:
        rare = ", ".join(name for name, count in zip(names, counts, strict=True) if count < MINIMUM_TEXTS)
        log.warning("own data: only one text is left to train on for %s; no model will know them", rare)


def row_of(document: Document, corpus: CorpusConfig, name_of: dict[str, str] | None = None) -> dict[str, Any]:
    """A document as a row, with the name of its class if it is labelled; columns are called as in `corpus`."""
    # The name of a file need not be UTF-8.
    place = str(document.location).encode(errors="backslashreplace").decode()
    row: dict[str, Any] = {"_place": place, corpus.text_column: document.text}
    if document.second_text is not None and corpus.second_text_column is not None:
        row[corpus.second_text_column] = document.second_text
    if name_of is not None and document.label is not None:
        names = [name_of[label_key(label)] for label in labels_in(document.label)]
        row[corpus.label_column] = names if isinstance(document.label, tuple) else names[0]
    return row


def write_parquet(file: Path, rows: Iterator[dict[str, Any]]) -> None:
    """Write rows of texts, and lists of them, to a Parquet file, a batch at a time."""
    writer = None
    while batch := list(itertools.islice(rows, BATCH)):
        if writer is None:
            # By the first row, as a whole batch of empty lists does not tell what they are lists of.
            kinds = {True: pyarrow.list_(pyarrow.string()), False: pyarrow.string()}
            schema = pyarrow.schema([(name, kinds[isinstance(value, list)]) for name, value in batch[0].items()])
            writer = pyarrow.parquet.ParquetWriter(file, schema, compression="zstd")
        writer.write_table(pyarrow.Table.from_pylist(batch, schema=writer.schema))
    if writer is None:
        raise InputError(f"{file.stem}: no text is left")
    writer.close()


def words_of(text: Document) -> np.ndarray:
    """A number for each word of a text, whatever its case; for each character, in scripts without spaces."""
    words = words_in(text_key(text.text, text.second_text))
    return np.array([zlib.crc32(word.encode()) for word in words], dtype=np.uint64)


def groups(texts: Sequence[Document]) -> list[str]:
    """A key for each text, the same for near duplicates (`pretrain.audits.duplicates`), and for copies."""
    keys = [text_key(text.text, text.second_text) for text in texts]
    if len(texts) > COMPARED_TEXTS:
        log.info("own data: %d texts are too many to look for near duplicates; copies stay together", len(texts))
        return keys
    first_of = {key: number for number, key in reversed(list(enumerate(keys)))}
    index = duplicates.Index()
    pairs: list[tuple[int, int]] = []
    for number in sorted(first_of.values()):
        hashes = duplicates.shingles(words_of(texts[number]))
        pairs += [(number, near) for near in index.near_duplicates(hashes)]
        index.add(number, hashes)
    if not pairs:
        return keys
    ones, others = zip(*pairs, strict=True)
    near = scipy.sparse.coo_array((np.ones(len(pairs)), (ones, others)), shape=(len(texts), len(texts)))
    _, components_N = scipy.sparse.csgraph.connected_components(near, directed=False)
    return [str(components_N[first_of[key]]) for key in keys]


def without_tested(
    texts: Sequence[Document], tests: Sequence[Document], classes: LabelSet, corpus: CorpusConfig
) -> list[Document]:
    """The texts that are no near duplicates of a test text; where none would be left of a class, no copies."""
    copies = without_copies(texts, tests)
    rest = copies if len(texts) + len(tests) > COMPARED_TEXTS else without_near_duplicates(copies, tests)
    counts_C, rest_C = (class_counts(encoded(part, classes, corpus), len(classes.names)) for part in (copies, rest))
    if (lacking_C := (rest_C < MINIMUM_TEXTS) & (counts_C >= MINIMUM_TEXTS)).any():
        rest = copies
        names = ", ".join(classes.names[label] for label in np.flatnonzero(lacking_C))
        log.warning(TOO_SIMILAR, names, "test texts")
    if len(rest) < len(texts):
        log.warning(
            "own data: %d of %d labelled texts are copies of test texts and are left out",
            len(texts) - len(rest), len(texts),
        )  # fmt: skip
    return rest


def without_copies(texts: Sequence[Document], tests: Sequence[Document]) -> list[Document]:
    """The texts that are no copies of a test text."""
    keys = {text_key(test.text, test.second_text) for test in tests}
    return [text for text in texts if text_key(text.text, text.second_text) not in keys]


def without_near_duplicates(texts: Sequence[Document], tests: Sequence[Document]) -> list[Document]:
    """The texts that are no near duplicates of a test text."""
    index = duplicates.Index()
    for number, test in enumerate(tests):
        index.add(number, duplicates.shingles(words_of(test)))
    return [text for text in texts if not index.near_duplicates(duplicates.shingles(words_of(text)))]
