"""The corpus as ids on disk: tokenized once, memory-mapped, read by every run that shares it.

A `datasets` folder of one column `sentences`: a row a document, a list of sentences of token ids (uint16
where the vocabulary allows). Arrow keeps the ids of many documents in one flat buffer with offsets, so that
a span of tokens is a view into the mapped file. Labelled texts have their labels in two more columns, and their
"sentences" are the text and, for pairs, the second text.
"""

import dataclasses
import itertools
import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock
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
    labelled: bool
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
    labels: list[str | int]
    """Of labelled texts, their labels in document order."""
    label_names: dict[str | int, str]
    """Of labelled texts, the name of each label."""

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

        table: Any = datasets.load_from_disk(folder).data
        column = table.column("sentences")
        labels = [json.loads(text) for text in table.column("label").to_pylist() if text is not None]
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
            labels=labels,
            label_names=dict(zip(labels, table.column("label_name").to_pylist(), strict=False)),
        )


def _offsets(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def store_folder(source: CorpusConfig, tokenizer_digest: str, runs: str, labelled: bool = False) -> RunFolder:
    """Where the token store of this corpus and tokenizer lies."""
    name = Path(source.source.replace("*", "")).stem or "corpus"
    config = StoreConfig(name=name, corpus=source, labelled=labelled, runs=runs)
    return RunFolder.of("tokens", config, [corpus.fingerprint(source), tokenizer_digest])


def prepare(source: CorpusConfig, tokenizer_folder: str, folder: RunFolder, labelled: bool = False) -> TokenStore:
    """The token store, built unless it is there.

    Raises:
        InputError: the corpus cannot be read or is empty.
    """
    folder.path.parent.mkdir(parents=True, exist_ok=True)
    # Runs side by side may want the same store: one builds it, the others wait.
    with filelock.FileLock(folder.path.with_suffix(".lock")):
        _build_unless_finished(source, tokenizer_folder, folder, labelled)
    return TokenStore.open(folder.path / "store")


def _build_unless_finished(source: CorpusConfig, tokenizer_folder: str, folder: RunFolder, labelled: bool) -> None:
    if not folder.finished:
        log.info("tokens: %s (%s) → %s", source.source, source.split, folder.path)
        sentences.check_language(source.language)
        documents = corpus.read(source, labelled)
        documents = itertools.chain([next(documents)], documents)
        folder.begin(StoreConfig(name=folder.path.name, corpus=source, labelled=labelled))
        tokenizer = load_tokenizer(tokenizer_folder)
        folder.finish(build(documents, tokenizer, source, folder.path / "store", labelled))


def build(
    documents: Iterable[corpus.Document], tokenizer: Any, source: CorpusConfig, folder: Path, labelled: bool = False
) -> dict[str, Any]:
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
    schema = _features(dtype).arrow_schema
    with pyarrow.OSFile(str(staged), "wb") as sink, pyarrow.ipc.new_stream(sink, schema) as writer:
        for batch in _batches(progress(documents, "tokenizing", "documents")):
            encoded = [
                (document, _texts(document, tokenizer) if labelled else _sentences(document, tokenizer, source))
                for document in batch
            ]
            encoded = [(document, rows) for document, rows in encoded if rows]
            lengths = [len(rows) for _, rows in encoded]
            flat = [np.asarray(ids, dtype=dtype) for _, rows in encoded for ids in rows]
            if flat:
                counts += np.bincount(np.concatenate(flat), minlength=vocabulary)
                writer.write_batch(_record_batch([document for document, _ in encoded], lengths, flat, schema))
            totals["documents"] += len(lengths)
            totals["sentences"] += sum(lengths)
            totals["one_sentence_documents"] += lengths.count(1)
    if not counts.sum():
        raise InputError(f"corpus.source: {source.source!r} holds no token")
    datasets.Dataset.from_file(str(staged)).save_to_disk(folder)
    staged.unlink()
    return totals | {"tokens": int(counts.sum()), "unigram_entropy": entropy(counts)}


def _features(dtype: Any) -> Any:
    import datasets

    tokens = datasets.List(datasets.Value(np.dtype(dtype).name))
    label = datasets.Value("string")
    return datasets.Features({"sentences": datasets.List(tokens), "label": label, "label_name": label})


def _batches(documents: Iterable[corpus.Document]) -> Iterator[list[corpus.Document]]:
    stream = iter(documents)
    while batch := list(itertools.islice(stream, DOCUMENTS_A_BATCH)):
        yield batch


def _sentences(document: corpus.Document, tokenizer: Any, source: CorpusConfig) -> list[list[int]]:
    """The ids of each sentence; none where nothing is left of the text."""
    found = sentences.split(document.text, source.language, source.maximum_sentence_characters)
    return [ids for ids in _encoded(found, tokenizer) if ids]


def _texts(document: corpus.Document, tokenizer: Any) -> list[list[int]]:
    """The ids of a labelled text, and of its second text."""
    return _encoded([document.text] + ([] if document.second_text is None else [document.second_text]), tokenizer)


def _encoded(texts: list[str], tokenizer: Any) -> list[list[int]]:
    encodings = tokenizer.backend_tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    return [encoding.ids for encoding in encodings]


def _record_batch(
    documents: list[corpus.Document], lengths: list[int], flat: list[np.ndarray], schema: "pyarrow.Schema"
) -> "pyarrow.RecordBatch":
    import pyarrow

    inner_offsets = _offsets(np.array([len(ids) for ids in flat])).astype(np.int32)
    inner = pyarrow.ListArray.from_arrays(inner_offsets, pyarrow.array(np.concatenate(flat)))
    outer = pyarrow.ListArray.from_arrays(_offsets(np.array(lengths)).astype(np.int32), inner)
    labels = [None if document.label is None else json.dumps(document.label) for document in documents]
    names = [document.label_name or str(document.label) for document in documents]
    columns = [outer.cast(schema.field(0).type), pyarrow.array(labels, "string"), pyarrow.array(names, "string")]
    return pyarrow.RecordBatch.from_arrays(columns, schema=schema)


def entropy(counts: np.ndarray) -> float:
    """The entropy, in nats, of a distribution given by counts.

    >>> round(entropy(np.array([1, 1, 0])), 4)
    0.6931
    """
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
