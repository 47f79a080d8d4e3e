"""The labelled corpora of a run: the files or splits of its training, validation and test texts."""

import dataclasses
from pathlib import Path

from finetune.classification.config import TaskConfig
from tokenizer.corpus.config import CorpusConfig


def corpus_of(config: TaskConfig, reference: str) -> CorpusConfig:
    """The corpus that `validation` or `test` refers to: an existing file or folder, else another split."""
    if Path(reference).exists():
        return dataclasses.replace(config.corpus, source=reference)
    return dataclasses.replace(config.corpus, split=reference)


def corpora_of(config: TaskConfig) -> dict[str, CorpusConfig]:
    """The labelled corpora of a run: `train`, `test`, and `validation` if it is set."""
    corpora = {"train": config.corpus, "test": corpus_of(config, config.test)}
    return corpora if config.validation is None else corpora | {"validation": corpus_of(config, config.validation)}
