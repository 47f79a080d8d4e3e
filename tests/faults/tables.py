"""Faults of what files hold: rows swallowed by quotes, and content that changes under a finished run."""

import gzip
import json
import random
from collections import Counter
from pathlib import Path

import pyarrow
import pyarrow.parquet

from tests.helpers.tables import any_dialect
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.documents import read as read_documents
from tokenizer.corpus.quarantine import Quarantine
from tokenizer.corpus.shards import fingerprint

LARGE = 3 << 20


def dialects(folder: Path, count: int, seed: int = 0) -> dict[str, int]:
    """Tables in dialects by chance: how many rows were read as they were written, set aside, or neither."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, found = random.Random(seed), Counter({"tables": count, "rows": 0, "set aside": 0, "lost or merged": 0})
    for number in range(count):
        dialect = any_dialect(rng)
        rows = dialect.rows(rng.randrange(20, 80), rng)
        ending = "tsv" if dialect.delimiter == "\t" else "csv"
        file = dialect.write(rows, folder / f"{number}.{ending}")
        corpus, quarantine = CorpusConfig(source=str(file), clean_html=False, **dialect.keys), Quarantine(1.0)
        read = Counter(
            (document.text, str(document.label))
            for document in read_documents(corpus, labelled=True, quarantine=quarantine)
        )
        found["rows"] += len(rows)
        found["set aside"] += len(quarantine.set_aside)
        found["lost or merged"] += max(0, (Counter(rows) - read).total() - len(quarantine.set_aside))
    return dict(found)


def changed_content(folder: Path, count: int, seed: int = 0) -> dict[str, int]:
    """Files of every kind, each with single bytes changed: how often the fingerprint stayed the same."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    text = "\n".join(json.dumps({"text": f"{number} {rng.random()}", "label": number % 2}) for number in range(80_000))
    large = text.encode()
    assert len(large) > LARGE
    (folder / "large.jsonl").write_bytes(large)
    (folder / "small.jsonl").write_bytes(large[:5000])
    (folder / "packed.jsonl.gz").write_bytes(gzip.compress(large))
    table = pyarrow.table({"text": [str(rng.random()) for _ in range(200_000)]})
    pyarrow.parquet.write_table(table, folder / "table.parquet")
    files = sorted(folder.iterdir())
    stale = 0
    for _ in range(count):
        file = rng.choice(files)
        corpus = CorpusConfig(source=str(file), format="lines" if file.suffix == ".gz" else "auto")
        before, place = fingerprint(corpus), rng.randrange(8, file.stat().st_size)
        with file.open("r+b") as stream:
            stream.seek(place)
            byte = stream.read(1)[0]
            stream.seek(place)
            stream.write(bytes([byte ^ (1 << rng.randrange(8))]))
        stale += fingerprint(corpus) == before
    return {"changes": count, "stale": stale}
