"""The corpus as ids on disk: tokenized once, memory-mapped, read by every run that shares it.

A `datasets` folder of one column `sentences`: a row a document, a list of sentences of token ids (uint16
where the vocabulary allows). Arrow keeps the ids of many documents in one flat buffer with offsets, so that
a span of tokens is a view into the mapped file.
"""

import dataclasses
import itertools
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from configs.errors import InputError
from configs.run_folder import RunFolder, outside_digest
from configs.terminal import progress
from tokenizer import corpus, sentences
from tokenizer.config import CorpusConfig
from tokenizer.train import load as load_tokenizer

if TYPE_CHECKING:
    import pyarrow

log = logging.getLogger(__name__)

DOCUMENTS_A_BATCH = 512


@dataclasses.dataclass(frozen=True)
class StoreConfig:
    """What a token store is made from; its folder is shared by all runs that need the same one."""

    name: str
    corpus: CorpusConfig
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

    @property
    def document_count(self) -> int:
        """D."""
        return len(self.document_offsets) - 1

    @property
    def token_count(self) -> int:
        """N."""
        return int(self.sentence_offsets[-1])

    def tokens(self, begin: int, end: int) -> np.ndarray:
        """The ids [begin, end) of one document, counted over the whole corpus: a view, not a copy."""
        buffer = int(np.searchsorted(self.buffer_starts, begin, side="right")) - 1
        start = int(self.buffer_starts[buffer])
        return self.buffers[buffer][begin - start : end - start]

    @classmethod
    def open(cls, folder: Path) -> "TokenStore":
        """Map the store that `build` wrote."""
        import datasets

        column = datasets.load_from_disk(folder).data.column("sentences")
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
        )


def _offsets(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def store_folder(source: CorpusConfig, tokenizer_digest: str, runs: str) -> RunFolder:
    """Where the token store of this corpus and tokenizer lies."""
    name = Path(source.source.replace("*", "")).stem or "corpus"
    config = StoreConfig(name=name, corpus=source, runs=runs)
    return RunFolder.of("tokens", config, [corpus.fingerprint(source), tokenizer_digest])


def prepare(source: CorpusConfig, tokenizer_folder: str, folder: RunFolder) -> TokenStore:
    """The token store, built unless it is there.

    Raises:
        InputError: the corpus cannot be read or is empty.
    """
    if not folder.finished:
        log.info("tokens: %s → %s", source.source, folder.path)
        sentences.check_language(source.language)
        documents = corpus.read(source)
        documents = itertools.chain([next(documents)], documents)
        folder.begin(StoreConfig(name=folder.path.name, corpus=source))
        folder.finish(build(documents, load_tokenizer(tokenizer_folder), source, folder.path / "store"))
    return TokenStore.open(folder.path / "store")


def build(documents: Iterable[corpus.Document], tokenizer: Any, source: CorpusConfig, folder: Path) -> dict[str, Any]:
    """Split, encode and write a stream of documents; memory does not grow with their number.

    Returns:
        The number of documents, sentences and tokens written, and the entropy of the unigram distribution in nats.
    """
    import datasets
    import pyarrow

    datasets.disable_progress_bars()
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    vocabulary = len(tokenizer)
    dtype = np.uint16 if vocabulary <= np.iinfo(np.uint16).max + 1 else np.uint32
    counts = np.zeros(vocabulary, dtype=np.int64)
    totals = {"documents": 0, "sentences": 0, "one_sentence_documents": 0}
    staged = folder.with_name("staged.arrow")
    schema = datasets.Features({"sentences": datasets.List(datasets.List(datasets.Value(np.dtype(dtype).name)))})
    with pyarrow.OSFile(str(staged), "wb") as sink, pyarrow.ipc.new_stream(sink, schema.arrow_schema) as writer:
        for batch in _batches(progress(documents, "tokenizing", "documents")):
            encoded = [_encode(document.text, tokenizer, source) for document in batch]
            encoded = [rows for rows in encoded if rows]
            lengths = [len(rows) for rows in encoded]
            flat = [np.asarray(ids, dtype=dtype) for rows in encoded for ids in rows]
            if flat:
                counts += np.bincount(np.concatenate(flat), minlength=vocabulary)
                writer.write_batch(_record_batch(lengths, flat, schema.arrow_schema, pyarrow))
            totals["documents"] += len(lengths)
            totals["sentences"] += sum(lengths)
            totals["one_sentence_documents"] += lengths.count(1)
    if not totals["documents"]:
        raise InputError(f"corpus.source: {source.source!r} holds no token")
    datasets.Dataset.from_file(str(staged)).save_to_disk(folder)
    staged.unlink()
    return totals | {"tokens": int(counts.sum()), "unigram_entropy": entropy(counts)}


def _batches(documents: Iterable[corpus.Document]) -> Iterator[list[corpus.Document]]:
    stream = iter(documents)
    while batch := list(itertools.islice(stream, DOCUMENTS_A_BATCH)):
        yield batch


def _encode(text: str, tokenizer: Any, source: CorpusConfig) -> list[list[int]]:
    found = sentences.split(text, source.language, source.maximum_sentence_characters)
    encodings = tokenizer.backend_tokenizer.encode_batch_fast(found, add_special_tokens=False)
    return [encoding.ids for encoding in encodings if encoding.ids]


def _record_batch(lengths: list[int], flat: list[np.ndarray], schema: "pyarrow.Schema", pyarrow: Any) -> Any:
    inner_offsets = _offsets(np.array([len(ids) for ids in flat])).astype(np.int32)
    inner = pyarrow.ListArray.from_arrays(inner_offsets, pyarrow.array(np.concatenate(flat)))
    outer = pyarrow.ListArray.from_arrays(_offsets(np.array(lengths)).astype(np.int32), inner)
    return pyarrow.RecordBatch.from_arrays([outer.cast(schema.field(0).type)], schema=schema)


def entropy(counts: np.ndarray) -> float:
    """The entropy, in nats, of a distribution given by counts.

    >>> round(entropy(np.array([1, 1, 0])), 4)
    0.6931
    """
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
