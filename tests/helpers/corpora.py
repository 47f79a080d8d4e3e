"""The same few documents as files of every kind."""

import csv
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from configs.errors import InputError
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.documents import read
from tokenizer.corpus.row_labels import Label

ROWS = [
    {"text": "A fine film.\nTruly fine.", "label": "pos"},
    {"text": 'Dull, "long" and grey.', "label": "neg"},
    {"text": "Café noir — 좋은 영화.", "label": "pos"},
]
WITH_LABELS = sorted((row["text"], row["label"]) for row in ROWS)


def write_table(file: Path, rows: list[dict], delimiter: str = ",", encoding: str = "utf-8") -> Path:
    with file.open("w", newline="", encoding=encoding) as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return file


def write_jsonl(file: Path, rows: list[dict]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def write_parquet(file: Path, rows: list[dict]) -> Path:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    return file


def write_labelled_folders(folder: Path, rows: list[dict]) -> Path:
    for number, row in enumerate(rows):
        (folder / row["label"]).mkdir(parents=True, exist_ok=True)
        (folder / row["label"] / f"{number}_7.txt").write_text(row["text"], encoding="utf-8")
    return folder


def pairs(**keys) -> list[tuple[str, Label | None]]:
    return [(document.text, document.label) for document in read(CorpusConfig(**keys), labelled=True)]


def texts(**keys) -> list[str]:
    return [document.text for document in read(CorpusConfig(**keys))]


def refusal(labelled: bool = False, **keys) -> str:
    with pytest.raises(InputError) as caught:
        list(read(CorpusConfig(**keys), labelled=labelled))
    assert "\n" not in str(caught.value)
    return str(caught.value)


WRITERS = {
    "rows.jsonl": write_jsonl,
    "rows.ndjson": write_jsonl,
    "rows.csv": write_table,
    "rows.CSV": write_table,
    "rows.tsv": lambda file, rows: write_table(file, rows, "\t"),
    "rows.parquet": write_parquet,
}
