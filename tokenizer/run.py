"""One tokenizer run: train or add words, save, audit."""

import itertools
import logging
from collections.abc import Iterator
from typing import Any

from configs.run_folder import RunFolder, run_unless_finished
from tokenizer.config import TokenizerConfig
from tokenizer.corpus import quarantine
from tokenizer.corpus.documents import read as read_documents
from tokenizer.corpus.quarantine import Quarantine
from tokenizer.corpus.shards import describe
from tokenizer.run_paths import find, run_folder
from tokenizer.vocabulary.added_words import extend
from tokenizer.vocabulary.algorithms import train
from tokenizer.vocabulary.config import VocabularyConfig
from tokenizer.vocabulary.serialization import load, save

log = logging.getLogger(__name__)

AUDITED_DOCUMENTS = 2_000


def run(config: TokenizerConfig) -> RunFolder:
    """Train on the whole corpus, save and audit, unless the run is finished.

    Raises:
        InputError: the corpus cannot be read, or is too small for a vocabulary.
    """
    folder = run_folder(config)
    if not folder.finished:
        # Fail before the folder is created if the corpus cannot be read.
        next(read_documents(config.corpus))
    return run_unless_finished(folder, "tokenizer", lambda: _run(config, folder))


def _run(config: TokenizerConfig, folder: RunFolder) -> None:
    from tokenizer.vocabulary import audit

    quarantines: list[Quarantine] = []

    def texts() -> Iterator[str]:
        # The corpus may be read several times, always with the same result; the first quarantine is reported.
        quarantines.append(Quarantine(config.corpus.maximum_set_aside))
        return (document.text for document in read_documents(config.corpus, quarantine=quarantines[-1]))

    folder.begin(config)
    for way in describe(config.corpus):
        log.info("tokenizer: %s", way)
    if config.base is None:
        log.info("tokenizer: training %s into %s", config.model, folder.path)
        tokenizer = train(config, texts)
        save(tokenizer, config, folder.model)
    else:
        extended: Any = load(find(config.base, config.runs)[0])
        words = extend(extended, texts(), config.added_words)
        log.info("tokenizer: added %d words to %s: %s …", len(words), config.base, ", ".join(words[:10]))
        extended.save_pretrained(folder.model)
        tokenizer = extended.backend_tokenizer
    audit_texts = [document.text for document in itertools.islice(read_documents(config.corpus), AUDITED_DOCUMENTS)]
    report = audit.audit(tokenizer, folder.model, audit_texts, None if config.base else config.model)
    quarantines[0].write_and_log(folder.path / quarantine.FILE)
    folder.finish(report | quarantines[0].counts())
    if config.base is None and report["vocabulary_size"] != config.vocabulary_size and config.model != "bytes":
        log.info("tokenizer: %s", size_line(config, report["vocabulary_size"]))
    log.info("%s", audit.summary_line(report))


def size_line(config: VocabularyConfig, size: int) -> str:
    """Why the vocabulary has another size than asked for.

    >>> size_line(VocabularyConfig(vocabulary_size=8000), 3120)
    '3,120 entries instead of vocabulary_size: 8,000; the corpus is too small for more (minimum_frequency: 2)'
    >>> size_line(VocabularyConfig(vocabulary_size=60), 93)
    '93 entries instead of vocabulary_size: 60; the alphabet alone needs them (limit_alphabet: 128)'
    """
    if size < config.vocabulary_size:
        reason = f"the corpus is too small for more (minimum_frequency: {config.minimum_frequency})"
    else:
        reason = f"the alphabet alone needs them (limit_alphabet: {config.alphabet_limit})"
    return f"{size:,} entries instead of vocabulary_size: {config.vocabulary_size:,}; {reason}"
