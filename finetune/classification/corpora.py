"""The labelled corpora of a run: which files or splits its training, validation and test texts come from."""

import dataclasses
from pathlib import Path

from finetune.classification.config import TaskConfig
from tokenizer.corpus.config import CorpusConfig


def corpus_of(config: TaskConfig, reference: str) -> CorpusConfig:
    """The corpus behind `validation` or `test`: a file or folder if there is one, else another split."""
    if Path(reference).exists():
        return dataclasses.replace(config.corpus, source=reference)
    return dataclasses.replace(config.corpus, split=reference)


def corpora_of(config: TaskConfig) -> dict[str, CorpusConfig]:
    """The labelled corpora of a run: `train`, `test`, and `validation` where it is given."""
    corpora = {"train": config.corpus, "test": corpus_of(config, config.test)}
    return corpora if config.validation is None else corpora | {"validation": corpus_of(config, config.validation)}
