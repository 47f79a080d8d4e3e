"""Random bytes and structures for every reader: what is not read ends in one line, and every row is accounted for."""

import bz2
import contextlib
import gzip
import io
import json
import lzma
import math
import random
import shutil
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow
import pyarrow.parquet
import yaml

from configs.command_line import load
from configs.errors import InputError
from finetune.classification.labels import label_set
from finetune.config import FinetuneConfig
from pretrain import minimal_pairs
from pretrain.config import PretrainConfig
from pretrain.training import checkpoints
from pretrain.training.metric_logger import read_metrics
from tests.faults import store as faults_store
from tests.faults.input import LABELS, OTHERS, TEXTS, a_row
from tests.helpers.tables import any_dialect
from tokenizer.config import TokenizerConfig
from tokenizer.corpus import shards as shards_module
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.documents import read as read_documents
from tokenizer.corpus.quarantine import Quarantine
from tokenizer.corpus.shards import describe, fingerprint
from tokenizer.vocabulary import serialization

Target = Callable[[random.Random, Path], None]
# What breaks readers: ends of lines and files, quotes, marks, zeros, halves of characters, deep nesting.
PIECES = (
    b"\0", b"\r", b"\r\n", b"\n\n", b'"', b'""', b"'", b",", b"\t", b";", b"|", b"sep=;\n", b"\xef\xbb\xbf",
    b"\xff\xfe", b"\xfe\xff", b"\x1a", b"\x80", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f", b"[" * 3000, b"{" * 3000, b"{}",
    b"[]", b"null", b"\x1f\x8b", b"BZh9", b"PAR1", b"\x28\xb5\x2f\xfd", b"9" * 5000, b"\\", b"\\u0000", b"\\ud800",
    b"nan", b"1e999", b"#", b"---\n", b"&a [*a]", b"\xe2\x80\xa8", b"\x0b", b"\x0c", b"\x85", b" " * 4000,
    b"a" * 12_000,
)  # fmt: skip
ENDINGS = (".txt", ".csv", ".tsv", ".jsonl", ".json", ".parquet", "", ".md", ".text", ".ndjson")
PACKED: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def spoiled(content: bytes, rng: random.Random) -> bytes:
    """The bytes with a few changes."""
    for _ in range(rng.choice((0, 1, 1, 2, 5, 20))):
        first = rng.randrange(len(content) + 1)
        last = min(len(content), first + rng.choice((0, 0, 1, 1, 8, 100)))
        kind = rng.randrange(5)
        if kind == 0:
            insertion = rng.randbytes(rng.randrange(1, 9))
        elif kind == 1:
            insertion = content[first:last] * 2
        else:
            insertion = rng.choice(PIECES)
        content = content[:first] + insertion + content[last:]
    return content[: rng.randrange(len(content) + 1)] if rng.random() < 0.1 else content


@contextlib.contextmanager
def refused_in_a_line() -> Generator[None]:
    """What cannot be used is told in one line."""
    try:
        yield
    except InputError as error:
        line = str(error)
    else:
        return
    assert line.strip()
    assert "\n" not in line.strip(), line


def any_json(rng: random.Random, depth: int = 0) -> Any:
    """A JSON value, nested at random."""
    kind = rng.randrange(8 if depth < 4 else 5)
    if kind < 2:
        return rng.choice(TEXTS)
    if kind < 4:
        return rng.choice(LABELS)
    if kind == 4:
        return rng.choice(OTHERS)
    values = [any_json(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind == 5:
        return values
    return {rng.choice(("text", "label", "data", "x", "", "text ", "\0")): value for value in values}


def table_bytes(rng: random.Random, folder: Path) -> bytes:
    """A sound table in some dialect."""
    dialect = any_dialect(rng)
    file = folder / "sound"
    return dialect.write(dialect.rows(rng.randrange(1, 30), rng), file).read_bytes()


def parquet_bytes(rng: random.Random) -> bytes:
    """A sound Parquet file with columns of various types."""
    count, stream = rng.randrange(6), io.BytesIO()
    texts = pyarrow.array([rng.choice(("fine", "", None, "b" * 300)) for _ in range(count)])
    labels: Any = rng.choice(
        (
            pyarrow.array([rng.randrange(3) for _ in range(count)], pyarrow.int8()),
            pyarrow.array([rng.random() for _ in range(count)]),
            pyarrow.array([[1]] * count, pyarrow.list_(pyarrow.int32())),
            pyarrow.array([rng.choice((True, False, None)) for _ in range(count)], pyarrow.bool_()),
            pyarrow.array([b"\xff"] * count, pyarrow.binary()),
            pyarrow.array(["a", "b", "c", "a", "b", "c"][:count]).dictionary_encode(),
        )
    )
    pyarrow.parquet.write_table(pyarrow.table({"text": texts, "label": labels}), stream)
    return stream.getvalue()


def corpus_bytes(rng: random.Random, folder: Path) -> bytes:
    """A sound file of some format."""
    kind = rng.randrange(6)
    if kind == 0:
        return table_bytes(rng, folder)
    if kind == 1:
        return b"\n".join(a_row(rng) for _ in range(rng.randrange(30)))
    if kind == 2:
        values = [any_json(rng) for _ in range(rng.randrange(6))]
        return json.dumps(rng.choice((values, {"data": values})), indent=rng.choice((None, 2))).encode()
    if kind == 3:
        return parquet_bytes(rng)
    if kind == 4:
        return rng.randbytes(rng.randrange(200))
    texts = "\n".join(rng.choice(TEXTS) for _ in range(20)).encode("utf-8", "surrogatepass")
    return texts.decode("utf-8", "replace").encode(rng.choice(("utf-8", "utf-16", "utf-32", "cp1252")), "replace")


def corpus_file(rng: random.Random, folder: Path) -> None:
    """Any content under any ending, read in any format: every row is kept, found empty, or set aside."""
    content, ending = spoiled(corpus_bytes(rng, folder), rng), rng.choice(ENDINGS)
    if rng.random() < 0.2:
        packing = rng.choice(sorted(PACKED))
        content, ending = PACKED[packing](content), ending + packing
        content = spoiled(content, rng) if rng.random() < 0.5 else content
    file = folder / f"file{ending}"
    file.write_bytes(content)
    formats = ("auto", "auto", "auto", "text", "blocks", "lines", "jsonl", "json", "csv", "tsv", "parquet")
    corpus = CorpusConfig(
        source=str(file if rng.random() < 0.7 else folder),
        split=rng.choice(("train", "file", "all")),
        format=rng.choice(formats),
        encoding=rng.choice(("auto", "auto", "utf-8", "latin-1", "utf-16")),
        quoting=rng.choice(("auto", "quotes", "none")),
        text_column=rng.choice(("text", "text", "1", "2")),
        clean_html=rng.random() < 0.5,
    )
    labelled, quarantine, kept, to_the_end = rng.random() < 0.5, Quarantine(1.0), [], False
    with refused_in_a_line():
        fingerprint(corpus)
        describe(corpus)
        for document in read_documents(corpus, labelled, quarantine):
            document.text.encode()
            kept.append(document)
        to_the_end = True
        if labelled:
            labels = [row.label for row in kept if row.label is not None]
            label_set(labels, {label: str(label) for label in labels}, corpus).encode(labels, corpus)
    if to_the_end:
        assert len(kept) + quarantine.empty + len(quarantine.set_aside) == quarantine.rows
    assert all(row["reason"] and row["place"] for row in quarantine.set_aside)


def cut_at_any_place(rng: random.Random, folder: Path) -> None:
    """A file that is cut into shards at any place gives the rows of the whole."""
    rows = [spoiled(rng.choice(TEXTS).encode("utf-8", "surrogatepass"), rng).replace(b"\n", b" ") for _ in range(30)]
    file = folder / rng.choice(("file.txt", "file.jsonl"))
    lines = [json.dumps({"text": row.decode("utf-8", "replace")}).encode() for row in rows]
    file.write_bytes(rng.choice((b"\n", b"\n\n", b"\r\n")).join(lines if file.suffix == ".jsonl" else rows))
    formats = ("auto",) if file.suffix == ".jsonl" else ("blocks", "lines")
    corpus = CorpusConfig(source=str(file), format=rng.choice(formats))

    def texts() -> list[str] | str:
        try:
            return [document.text for document in read_documents(corpus, quarantine=Quarantine(1.0))]
        except InputError as error:
            return str(error)

    whole = texts()
    with mock.patch.object(shards_module, "SHARD_BYTES", rng.randrange(1, 20_000)):
        assert texts() == whole


def config_file(rng: random.Random, folder: Path) -> None:
    """A YAML file of a stage with random values and spoiled bytes."""
    config_class = rng.choice((TokenizerConfig, PretrainConfig, FinetuneConfig))
    keys = {
        rng.choice(("name", "model", "corpus", "training", "seed", "runs", "x", "optimizer")): any_json(rng)
        for _ in range(3)
    }
    file = folder / "run.yaml"
    sound = yaml.safe_dump(keys, allow_unicode=True).encode("utf-8", "surrogatepass")
    file.write_bytes(spoiled(sound, rng))
    with refused_in_a_line():
        load(config_class, file)


def tokenizer_folder(rng: random.Random, folder: Path) -> None:
    """A tokenizer's files, spoiled."""
    files = {
        "tokenizer_config.json": {"tokenizer_class": rng.choice(("BertTokenizer", "PreTrainedTokenizerFast", 7, "X"))},
        "config.json": {"model_type": rng.choice(("bert", "roberta", "none", None))},
        "special_tokens_map.json": any_json(rng),
    }
    for name, keys in files.items():
        if rng.random() < 0.7:
            (folder / name).write_bytes(spoiled(json.dumps(keys).encode(), rng))
    if rng.random() < 0.8:
        (folder / "vocab.txt").write_bytes(spoiled(b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n##s\n", rng))
    if rng.random() < 0.3:
        (folder / "tokenizer.json").write_bytes(spoiled(b'{"model": {"type": "WordPiece", "vocab": {}}}', rng))
    with refused_in_a_line():
        serialization.load(folder)


def checkpoint_folder(rng: random.Random, folder: Path) -> None:
    """Checkpoints with spoiled files: a sound one is found, or none is."""
    sound = faults_store.save(folder, 10)
    newer = faults_store.save(folder, 20)
    file = rng.choice(sorted(newer.iterdir()))
    before = file.read_bytes()
    after = spoiled(before, rng)
    file.write_bytes(after)
    found = checkpoints.newest(folder)
    # A manifest may say the same in other bytes, with one more space.
    same = after == before or (found == newer and json.loads(after) == json.loads(before))
    assert found == (newer if same else sound)


def metrics_file(rng: random.Random, folder: Path) -> None:
    """Rows of metrics, spoiled: those that are whole are read."""
    file = folder / "metrics.jsonl"
    rows = b"".join(json.dumps({"step": step, "loss": 1.0}).encode() + b"\n" for step in range(9))
    file.write_bytes(spoiled(rows, rng))
    assert all(isinstance(row["step"], int) for row in read_metrics(file))


def pairs_file(rng: random.Random, folder: Path) -> None:
    """Minimal pairs, spoiled."""
    row = {"sentence_good": "a", "sentence_bad": "b", "UID": "c", "linguistics_term": any_json(rng)}
    file = folder / "pairs.jsonl"
    file.write_bytes(spoiled(json.dumps(row).encode("utf-8", "surrogatepass") + b"\n", rng))
    with refused_in_a_line():
        minimal_pairs.read(file)


TARGETS: dict[str, Target] = {
    "corpora": corpus_file,
    "shards": cut_at_any_place,
    "configs": config_file,
    "tokenizers": tokenizer_folder,
    "checkpoints": checkpoint_folder,
    "metrics": metrics_file,
    "minimal pairs": pairs_file,
}


def fuzz(name: str, folder: Path, first: int = 0, seconds: float = math.inf, tries: float = math.inf) -> int:
    """Try a reader for so long or so often; gives the number of tries.

    Raises:
        AssertionError: names the number of the try, from which it can be repeated.
    """
    deadline, number = time.monotonic() + seconds, first
    while time.monotonic() < deadline and number - first < tries:
        place = folder / str(number)
        place.mkdir()
        try:
            TARGETS[name](random.Random(f"{name} {number}"), place)
        except Exception as error:
            raise AssertionError(f"{name}, number {number}: {type(error).__name__}: {error} ({place})") from error
        shutil.rmtree(place)
        number += 1
    return number - first
