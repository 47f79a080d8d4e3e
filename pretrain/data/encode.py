"""A shard of text → a file of token ids: a pure function, the same wherever it runs.

A file is an Arrow stream of record batches. A row is a document: its sentences as lists of ids and, of labelled texts,
the label and its name. The file is written beside its place and renamed, so that it is whole or not there.
"""

import functools
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from configs.run_folder import flush
from tokenizer.corpus import sentences
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.documents import Document, read_part
from tokenizer.corpus.quarantine import Quarantine
from tokenizer.corpus.shards import Shard

if TYPE_CHECKING:
    import pyarrow
    from tokenizers import Tokenizer


DOCUMENTS_PER_BATCH = 512
CHARACTERS_PER_BATCH = 1 << 20


class ShardTask(NamedTuple):
    """All that encoding a shard takes."""

    shard: Shard
    corpus: CorpusConfig
    labelled: bool
    tokenizer_file: str
    """A `tokenizer.json`."""
    target: str
    """The file to write."""


def encode_shard(task: ShardTask) -> str:
    """Read, clean, split and encode a shard, unless its file is there; memory does not grow with its size.

    Returns:
        The file.
    """
    import pyarrow

    target = Path(task.target)
    if target.exists():
        return task.target
    tokenizer = load_backend(task.tokenizer_file)
    schema = store_schema(id_type(tokenizer))
    staged = target.with_name(f".{target.name}.{os.getpid()}")
    aside = Quarantine(task.corpus.maximum_set_aside)
    documents = (document for part in task.shard for document in read_part(part, task.corpus, task.labelled, aside))
    # With a bound there is one shard.
    documents = itertools.islice(documents, task.corpus.maximum_documents)
    with pyarrow.OSFile(str(staged), "wb") as sink, pyarrow.ipc.new_stream(sink, schema) as writer:
        for batch in batches(documents):
            encoded = _encoded(batch, tokenizer, task)
            if encoded:
                writer.write_batch(_record_batch(encoded, schema))
    flush(staged)
    aside.write(quarantine_of(target))
    staged.rename(target)
    return task.target


def quarantine_of(target: Path) -> Path:
    """Where the rows are listed that a shard set aside."""
    return target.parent.parent / "quarantine" / f"{target.stem}.jsonl"


@functools.lru_cache(maxsize=2)
def load_backend(file: str) -> "Tokenizer":
    """The tokenizer of a `tokenizer.json`, for whole texts in which nothing is special."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(file)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    # A "[SEP]" that somebody typed is text.
    tokenizer.encode_special_tokens = True
    return tokenizer


def id_type(tokenizer: "Tokenizer") -> type[np.unsignedinteger]:
    """Two bytes an id where the vocabulary allows, else four."""
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values())
    return np.uint16 if largest <= np.iinfo(np.uint16).max else np.uint32


def store_schema(dtype: type[np.unsignedinteger]) -> "pyarrow.Schema":
    """The columns of a store: sentences as lists of ids, and of labelled texts the label as JSON and its name."""
    import pyarrow

    ids = pyarrow.list_(pyarrow.from_numpy_dtype(dtype))
    label = pyarrow.string()
    return pyarrow.schema([("sentences", pyarrow.list_(ids)), ("label", label), ("label_name", label)])


def batches(documents: Iterator[Document]) -> Iterator[list[Document]]:
    """Documents in groups of at most 512, and of about a million characters."""
    batch: list[Document] = []
    characters = 0
    for document in documents:
        batch.append(document)
        characters += len(document.text)
        if len(batch) == DOCUMENTS_PER_BATCH or characters >= CHARACTERS_PER_BATCH:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


Encoded = tuple[Document, list[list[int]]]


def _encoded(batch: list[Document], tokenizer: "Tokenizer", task: ShardTask) -> list[Encoded]:
    """The ids of each document's sentences; documents of which nothing is left are passed over."""
    texts = [_texts(document, task) for document in batch]
    flat = [text for part in texts for text in part]
    ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(flat, add_special_tokens=False)]
    found, start = [], 0
    for document, part in zip(batch, texts, strict=True):
        rows = ids[start : start + len(part)]
        start += len(part)
        # A labelled text that comes to nothing still has its place; an empty sentence has none.
        rows = rows if task.labelled else [row for row in rows if row]
        if rows:
            found.append((document, rows))
    return found


def _texts(document: Document, task: ShardTask) -> list[str]:
    """What is encoded of a document: its sentences or, of a labelled one, the text and the second text."""
    if task.labelled:
        return [document.text] + ([] if document.second_text is None else [document.second_text])
    return sentences.split(document.text, task.corpus)


def _record_batch(encoded: list[Encoded], schema: "pyarrow.Schema") -> "pyarrow.RecordBatch":
    import pyarrow

    rows = [ids for _, document in encoded for ids in document]
    offsets = _offsets([len(ids) for ids in rows])
    id_type = schema.field(0).type.value_type.value_type.to_pandas_dtype()
    values = np.fromiter(itertools.chain.from_iterable(rows), dtype=id_type, count=offsets[-1])
    inner = pyarrow.ListArray.from_arrays(offsets, pyarrow.array(values))
    outer = pyarrow.ListArray.from_arrays(_offsets([len(document) for _, document in encoded]), inner)
    documents = [document for document, _ in encoded]
    labels = [None if document.label is None else json.dumps(document.label) for document in documents]
    names = [document.label_name or str(document.label) for document in documents]
    columns = [outer.cast(schema.field(0).type), pyarrow.array(labels, "string"), pyarrow.array(names, "string")]
    return pyarrow.RecordBatch.from_arrays(columns, schema=schema)


def _offsets(lengths: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
