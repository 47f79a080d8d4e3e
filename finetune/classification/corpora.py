"""The labelled corpora of a run: the files or splits of its training, validation and test texts."""

import dataclasses
import itertools
from pathlib import Path

from configs.errors import InputError
from finetune.classification.config import TaskConfig
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.files import ENDINGS, ending, find_files, has_split

# The split that is tested on if none is named.
DEFAULT_TEST = "test"


def corpus_of(config: TaskConfig, key: str, reference: str) -> CorpusConfig:
    """The corpus that `validation` or `test` refers to: another split of the source, or a file or folder.

    A name with a slash or with the ending of a data file is a path. A plain name is a split of the source if there is
    one, else a file or folder.

    Args:
        config: of the task.
        key: `validation` or `test`, for error messages.
        reference: its value.

    Raises:
        InputError: there is no such file or folder, or the source has no splits.
    """
    if is_path(config.corpus, reference):
        if not Path(reference).exists():
            raise InputError(f"{key}: no such file or folder: {reference!r}")
        return dataclasses.replace(config.corpus, source=reference)
    if Path(config.corpus.source).is_file() or any(wildcard in config.corpus.source for wildcard in "*?["):
        raise InputError(
            f"{key}: {reference!r} is no file, and corpus.source {config.corpus.source!r} has no splits, so these "
            f"would be the training texts; give {key} texts as a file or folder (`{key}: FILE`)"
        )
    return dataclasses.replace(config.corpus, split=reference)


def is_path(corpus: CorpusConfig, reference: str) -> bool:
    """Whether `validation` or `test` refers to a file or folder, and not to another split; see `corpus_of`."""
    if "/" in reference or "\\" in reference or ending(Path(reference)) in ENDINGS:
        return True
    return holds_split(corpus, reference) is False and Path(reference).exists()


def holds_split(corpus: CorpusConfig, split: str) -> bool | None:
    """Whether a corpus has a split of this name: a folder by its files, a file or pattern never.

    None: nobody can tell without reading it, as its source is the id of a data set on the Hub (by `format: hub`, if it
    looks like a file), or a folder that is gone, which may look like one.
    """
    source = Path(corpus.source)
    if corpus.source == "sample":
        return True
    if source.is_dir():
        return has_split(corpus, split)
    if source.is_file() or any(wildcard in corpus.source for wildcard in "*?["):
        return False
    return False if corpus.format != "hub" and ending(source) in ENDINGS else None


def sets_test_aside(config: TaskConfig) -> bool:
    """Whether the test texts are a share of the training corpus: no others are named, and it has no split `test`."""
    return config.test is None and holds_split(config.corpus, DEFAULT_TEST) is False


def corpora_of(config: TaskConfig) -> dict[str, CorpusConfig]:
    """The labelled corpora of a run: `train`; `test`, unless it is a part of that; `validation`, if it is set.

    Raises:
        InputError: one of them does not exist, or two of them read the same rows.
    """
    corpora = {"train": config.corpus}
    if config.folds is None and not sets_test_aside(config):
        corpora["test"] = corpus_of(config, "test", config.test or DEFAULT_TEST)
    if config.validation is not None:
        corpora["validation"] = corpus_of(config, "validation", config.validation)
    for (one, first), (other, second) in itertools.combinations(corpora.items(), 2):
        if (shared := shared_rows(first, second)) is not None:
            raise InputError(
                f"{other}: reads {shared}, as {one} does; a score on texts that a model was trained on or chosen by "
                "says nothing; give other texts"
            )
    return corpora


def shared_rows(first: CorpusConfig, second: CorpusConfig) -> str | None:
    """A file or split that two corpora both read; None if there is none."""
    files, others = (None if corpus.source == "sample" else find_files(corpus) for corpus in (first, second))
    if files is not None and others is not None:
        both = {file.resolve() for file in files} & {file.resolve() for file in others}
        return str(min(both)) if both else None
    if (first.source, first.subset) == (second.source, second.subset):
        splits = {*first.split.split("+")} & {*second.split.split("+")}
        return f"split {min(splits)!r} of {first.source!r}" if splits else None
    return None
