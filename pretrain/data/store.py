"""The corpus as token ids on disk: tokenized once, memory-mapped, shared by all runs that need it.

A folder of Arrow IPC streams, one file per shard. A row is a document: a list of sentences of token ids (uint16 if they
fit), and its length in characters. Arrow keeps the ids of many documents in one flat buffer with offsets, so that a
span of tokens is a view into the mapped file. Labelled texts have two more columns for their labels, and their
"sentences" are the text and, for pairs, the second text.
"""

import dataclasses
import itertools
import json
import logging
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from configs.errors import InputError
from configs.fields import outside_digest
from configs.processes import in_processes
from configs.run_folder import RunFolder, write_atomically
from configs.terminal import progress
from pretrain.data.config import PreparationConfig
from pretrain.data.encode import ShardTask, encode_shard, quarantine_file
from tokenizer.corpus import quarantine, sentences, shards
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.documents import read as read_documents
from tokenizer.corpus.quarantine import Quarantine
from tokenizer.corpus.row_labels import Label
from tokenizer.vocabulary.serialization import load as load_tokenizer

log = logging.getLogger(__name__)

# Raised when the columns change: 2 added the documents' characters, and the texts of labelled ones.
STORE_VERSION = 2


@dataclasses.dataclass(frozen=True)
class StoreConfig:
    """What determines the content of a token store; runs that need the same store share its folder."""

    name: str
    corpus: CorpusConfig
    labelled: bool
    version: int = STORE_VERSION
    runs: str = outside_digest("runs")


@dataclasses.dataclass(frozen=True)
class TokenStore:
    """A corpus of D documents, S sentences and N tokens.

    `document_offsets` [D + 1] counts sentences, `sentence_offsets` [S + 1] counts tokens.
    """

    document_offsets: np.ndarray
    sentence_offsets: np.ndarray
    buffers: list[np.ndarray]
    buffer_starts: np.ndarray
    characters: np.ndarray
    """[D], the characters of each document as it was read, before normalisation."""
    labels: list[Label]
    """For labelled texts, the labels in document order; a tuple where a text may have several."""
    label_names: dict[Label, str]
    """For labelled texts, the name of each label."""
    texts: Any = None
    """For labelled texts, a memory-mapped Arrow table with the columns `text`, `second_text`, `file` and `row`."""

    @property
    def document_count(self) -> int:
        """D."""
        return len(self.document_offsets) - 1

    @property
    def token_count(self) -> int:
        """N."""
        return int(self.sentence_offsets[-1])

    def tokens(self, begin: int, end: int) -> np.ndarray:
        """The ids [begin, end) of one document, as offsets into the whole corpus: a view, not a copy."""
        buffer = int(np.searchsorted(self.buffer_starts, begin, side="right")) - 1
        start = int(self.buffer_starts[buffer])
        return self.buffers[buffer][begin - start : end - start]

    def in_pieces(self, sentences: int) -> "TokenStore":
        """The same unlabelled text as documents of at most this many sentences, which share out their characters."""
        spans = itertools.pairwise(self.document_offsets.tolist())
        starts = [np.arange(first, last, sentences) for first, last in spans]
        document_offsets = np.concatenate([*starts, self.document_offsets[-1:]])
        piece_tokens = np.diff(self.sentence_offsets[document_offsets])
        document_tokens = np.diff(self.sentence_offsets[self.document_offsets])
        owners = np.repeat(np.arange(self.document_count), [len(places) for places in starts])
        shares = piece_tokens / np.maximum(1, document_tokens[owners])
        characters = np.rint(self.characters[owners] * shares).astype(np.int64)
        return dataclasses.replace(self, document_offsets=document_offsets, characters=characters)

    @classmethod
    def open(cls, folder: Path) -> "TokenStore":
        """Map a store that `prepare` wrote."""
        import pyarrow

        mapped = (pyarrow.memory_map(str(file)) for file in sorted(folder.glob("data-*.arrow")))
        table: Any = pyarrow.concat_tables(pyarrow.ipc.open_stream(shard).read_all() for shard in mapped)
        column = table.column("sentences")
        stored = [json.loads(text) for text in table.column("label").to_pylist() if text is not None]
        labels = [tuple(label) if isinstance(label, list) else label for label in stored]
        buffers, document_lengths, sentence_lengths = [], [], []
        for chunk in column.chunks:
            inner = chunk.values
            document_lengths.append(np.diff(chunk.offsets.to_numpy()))
            sentence_lengths.append(np.diff(inner.offsets.to_numpy()))
            buffers.append(inner.values.to_numpy())
        starts = np.concatenate([[0], np.cumsum([len(buffer) for buffer in buffers])])
        return cls(
            document_offsets=_offsets(np.concatenate(document_lengths)),
            sentence_offsets=_offsets(np.concatenate(sentence_lengths)),
            buffers=buffers,
            buffer_starts=starts[:-1],
            characters=table.column("characters").to_numpy(),
            texts=table.select(["text", "second_text", "file", "row"]),
            labels=labels,
            label_names=dict(zip(labels, table.column("label_name").to_pylist(), strict=False)),
        )


def _offsets(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def store_folder(source: CorpusConfig, tokenizer_digest: str, runs: str, labelled: bool = False) -> RunFolder:
    """The folder of the token store of this corpus and tokenizer."""
    name = re.sub(r"[^\w+-]+", "-", Path(source.source).stem).strip("-")[:60] or "corpus"
    config = StoreConfig(name=name, corpus=source, labelled=labelled, runs=runs)
    return RunFolder.of("tokens", config, [shards.fingerprint(source), tokenizer_digest])


def prepare(
    source: CorpusConfig,
    tokenizer_folder: str,
    folder: RunFolder,
    labelled: bool = False,
    preparation: PreparationConfig | None = None,
    commit: str | None = None,
) -> TokenStore:
    """Open the token store; build it if it does not exist. Shards finished by an earlier attempt are reused.

    Args:
        source: the corpus.
        tokenizer_folder: a local folder or a Hub id.
        folder: the folder of the store, from `store_folder`.
        labelled: whether to store texts and labels instead of sentences.
        preparation: backend and processes; None for this process alone.
        commit: of a tokenizer on the Hub whose code may run; see `serialization.load`.

    Raises:
        InputError: the corpus cannot be read or is empty.
    """
    folder.path.parent.mkdir(parents=True, exist_ok=True)
    # If concurrent runs need the same store, one builds it and the others wait.
    with filelock.FileLock(folder.path.with_suffix(".lock")):
        if not folder.finished:
            log.info("tokens: %s (%s) → %s", source.source, source.split, folder.path)
            for way in shards.describe(source):
                log.info("tokens: %s", way)
            sentences.check_language(source.language)
            next(read_documents(source, labelled))
            folder.begin(StoreConfig(name=folder.path.name, corpus=source, labelled=labelled))
            backend = load_tokenizer(tokenizer_folder, commit).backend_tokenizer.to_str()
            folder.finish(_build(source, backend, folder, labelled, preparation or PreparationConfig(processes=1)))
    return _opened(folder)


def _opened(folder: RunFolder) -> TokenStore:
    """The token store of a finished run.

    Raises:
        InputError: it is damaged.
    """
    documents = folder.result()["documents"]
    try:
        store = TokenStore.open(folder.path / "store")
        if store.document_count == documents:
            return store
        reason = f"{store.document_count:,} documents, not {documents:,}"
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
    raise InputError(f"{folder.path}: the token store is damaged ({reason}); delete the folder, and it is made again")


def _build(
    source: CorpusConfig, backend_tokenizer: str, folder: RunFolder, labelled: bool, preparation: PreparationConfig
) -> dict[str, Any]:
    """Encode every shard; return the counts."""
    store, tokenizer_file = folder.path / "store", folder.path / "tokenizer.json"
    store.mkdir(exist_ok=True)
    write_atomically(tokenizer_file, backend_tokenizer)
    corpus_shards = shards.shards(source)
    names = [f"data-{number:05d}-of-{len(corpus_shards):05d}.arrow" for number in range(len(corpus_shards))]
    tasks = [
        ShardTask(shard, source, labelled, str(tokenizer_file), str(store / name))
        for shard, name in zip(corpus_shards, names, strict=True)
    ]
    for _ in progress(_encode_missing(tasks, preparation), "tokenizing", "shards", total=len(tasks)):
        pass
    made = {file for name in names for file in (store / name, quarantine_file(store / name))}
    for other in set(store.iterdir()) - made:
        # Temporary, or of an attempt in which the corpus had another number of shards.
        other.unlink()
    set_aside = Quarantine(source.maximum_set_aside)
    for name in names:
        set_aside.merge(quarantine_file(store / name))
    set_aside.check()
    set_aside.write_and_log(folder.path / quarantine.FILE)
    totals = set_aside.counts() | _totals([store / name for name in names])
    if not totals["tokens"]:
        raise InputError(f"corpus.source: {source.source!r} holds no token")
    return totals


def _encode_missing(tasks: list[ShardTask], preparation: PreparationConfig) -> Iterable[Any]:
    # A shard is finished only if its quarantine file exists, too; that file is written first.
    for task in tasks:
        if not quarantine_file(Path(task.target)).exists():
            Path(task.target).unlink(missing_ok=True)
    missing = [task for task in tasks if not Path(task.target).exists()]
    if len(missing) < len(tasks):
        log.info("tokens: %d of %d shards were finished before", len(tasks) - len(missing), len(tasks))
    if not missing:
        return []
    if preparation.backend == "ray":
        from pretrain.data.ray_backend import encode_shards

        return encode_shards(missing)
    if min(preparation.count, len(missing)) > 1:
        return in_processes(encode_shard, missing, preparation.count)
    return map(encode_shard, missing)


def _totals(files: list[Path]) -> dict[str, Any]:
    """Counts over all shards, and the entropy of the unigram distribution in nats."""
    import pyarrow

    documents = sentence_count = one_sentence_documents = 0
    counts = np.zeros(0, dtype=np.int64)
    for file in files:
        with pyarrow.memory_map(str(file)) as mapped:
            for batch in pyarrow.ipc.open_stream(mapped):
                rows = batch.column(0)
                lengths = np.diff(rows.offsets.to_numpy())
                documents, sentence_count = documents + len(lengths), sentence_count + int(lengths.sum())
                one_sentence_documents += int((lengths == 1).sum())
                batch_counts = np.bincount(rows.values.values.to_numpy())
                size = max(len(counts), len(batch_counts))
                counts = np.pad(counts, (0, size - len(counts))) + np.pad(batch_counts, (0, size - len(batch_counts)))
    return {
        "documents": documents,
        "sentences": sentence_count,
        "one_sentence_documents": one_sentence_documents,
        "tokens": int(counts.sum()),
        "unigram_entropy": entropy(counts),
    }


def entropy(counts: np.ndarray) -> float:
    """The entropy, in nats, of a distribution given as counts; 0 if there are none.

    >>> round(entropy(np.array([1, 1, 0])), 4)
    0.6931
    """
    shares = counts[counts > 0] / max(1, counts.sum())
    return float(-(shares * np.log(shares)).sum())
