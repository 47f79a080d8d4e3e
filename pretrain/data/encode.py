"""A shard of text → a file of token ids; the result does not depend on where it runs.

A file is an Arrow stream of record batches. A row is a document: its sentences as lists of ids, its length in
characters and, for labelled texts, the label, its name, the texts and where they stand. The file is written under a
temporary name and renamed, so that it is never incomplete.
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
from tokenizer.corpus.documents import Document, is_in_share, read_part
from tokenizer.corpus.formats import file_and_row
from tokenizer.corpus.quarantine import Quarantine
from tokenizer.corpus.shards import Shard

if TYPE_CHECKING:
    import pyarrow
    from tokenizers import Tokenizer


DOCUMENTS_PER_BATCH = 512
CHARACTERS_PER_BATCH = 1 << 20


class ShardTask(NamedTuple):
    """The arguments of `encode_shard`."""

    shard: Shard
    corpus: CorpusConfig
    labelled: bool
    tokenizer_file: str
    """A `tokenizer.json`."""
    target: str
    """The file to write."""


def encode_shard(task: ShardTask) -> str:
    """Read, clean, split and encode a shard unless its file exists; memory use does not grow with the shard.

    Returns:
        The path of the file.
    """
    import pyarrow

    target = Path(task.target)
    if target.exists():
        return task.target
    tokenizer = load_backend(task.tokenizer_file)
    schema = store_schema(id_type(tokenizer))
    staged = target.with_name(f".{target.name}.{os.getpid()}")
    quarantine = Quarantine(task.corpus.maximum_set_aside)
    documents = (
        document for part in task.shard for document in read_part(part, task.corpus, task.labelled, quarantine)
    )
    # With `maximum_documents` there is only one shard.
    first = itertools.islice(documents, task.corpus.maximum_documents)
    documents = (document for document in first if is_in_share(document, task.corpus))
    with pyarrow.OSFile(str(staged), "wb") as sink, pyarrow.ipc.new_stream(sink, schema) as writer:
        for batch in batches(documents):
            encoded = _encode_batch(batch, tokenizer, task)
            if encoded:
                writer.write_batch(_record_batch(encoded, schema, task.labelled))
    flush(staged)
    quarantine.write(quarantine_file(target))
    staged.rename(target)
    return task.target


def quarantine_file(target: Path) -> Path:
    """The file that lists the rows of a shard that were set aside."""
    return target.parent.parent / "quarantine" / f"{target.stem}.jsonl"


@functools.lru_cache(maxsize=2)
def load_backend(file: str) -> "Tokenizer":
    """Load a `tokenizer.json` without truncation or padding; special tokens in a text are read as plain text."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(file)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    # A literal "[SEP]" in the corpus is plain text.
    tokenizer.encode_special_tokens = True
    return tokenizer


def id_type(tokenizer: "Tokenizer") -> type[np.unsignedinteger]:
    """uint16 if every id fits, else uint32."""
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values())
    return np.uint16 if largest <= np.iinfo(np.uint16).max else np.uint32


def store_schema(dtype: type[np.unsignedinteger]) -> "pyarrow.Schema":
    """The columns of a store: sentences as lists of ids and the document's characters; for labelled texts, the label as
    JSON, its name, the texts, and the file and row that they come from.
    """
    import pyarrow

    ids = pyarrow.list_(pyarrow.from_numpy_dtype(dtype))
    strings = [(name, pyarrow.string()) for name in ("label", "label_name", "text", "second_text", "file")]
    return pyarrow.schema(
        [("sentences", pyarrow.list_(ids)), ("characters", pyarrow.int64()), *strings, ("row", pyarrow.int64())]
    )


def batches(documents: Iterator[Document]) -> Iterator[list[Document]]:
    """Group documents into batches of at most 512 documents or about a million characters."""
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


def _encode_batch(batch: list[Document], tokenizer: "Tokenizer", task: ShardTask) -> list[Encoded]:
    """The ids of each document's sentences; documents without tokens are skipped."""
    texts = [_texts(document, task) for document in batch]
    flat = [text for document_texts in texts for text in document_texts]
    ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(flat, add_special_tokens=False)]
    encoded, start = [], 0
    for document, document_texts in zip(batch, texts, strict=True):
        rows = ids[start : start + len(document_texts)]
        start += len(document_texts)
        # An empty labelled text is kept, because its label counts; an empty sentence is dropped.
        rows = rows if task.labelled else [row for row in rows if row]
        if rows:
            encoded.append((document, rows))
    return encoded


def _texts(document: Document, task: ShardTask) -> list[str]:
    """The texts of a document to encode: its sentences or, if labelled, the text and the second text."""
    if task.labelled:
        return [document.text] + ([] if document.second_text is None else [document.second_text])
    return sentences.split(document.text, task.corpus)


def _record_batch(encoded: list[Encoded], schema: "pyarrow.Schema", labelled: bool) -> "pyarrow.RecordBatch":
    import pyarrow

    rows = [ids for _, document in encoded for ids in document]
    offsets = _offsets([len(ids) for ids in rows])
    id_type = schema.field(0).type.value_type.value_type.to_pandas_dtype()
    values = np.fromiter(itertools.chain.from_iterable(rows), dtype=id_type, count=offsets[-1])
    inner = pyarrow.ListArray.from_arrays(offsets, pyarrow.array(values))
    outer = pyarrow.ListArray.from_arrays(_offsets([len(document) for _, document in encoded]), inner)
    documents = [document for document, _ in encoded]
    rows_of_texts = [document_row(document, labelled) for document in documents]
    texts = [pyarrow.array([row[name] for row in rows_of_texts], schema.field(name).type) for name in schema.names[1:]]
    return pyarrow.RecordBatch.from_arrays([outer.cast(schema.field(0).type), *texts], schema=schema)


def document_row(document: Document, labelled: bool) -> dict[str, str | int | None]:
    """The columns of a document besides its ids."""
    label = None if document.label is None else json.dumps(document.label)
    row: dict[str, str | int | None] = dict.fromkeys(("text", "second_text", "file", "row"))
    row |= {"characters": len(document.text), "label": label, "label_name": document.label_name or str(document.label)}
    if labelled:
        file, number = file_and_row(document.location)
        row |= {"text": document.text, "second_text": document.second_text, "file": file, "row": number}
    return row


def _offsets(lengths: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
