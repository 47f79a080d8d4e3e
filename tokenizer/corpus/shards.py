"""A corpus → shards that can be read in parallel; they depend only on the corpus.

Text and JSON lines are split between documents, Parquet between row groups, Hub data sets between rows. A CSV file is
not split, because a newline may be inside quotes, nor is a compressed file or one in an encoding with newlines of
several bytes.
"""

import functools
import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from configs import file_digest
from configs.errors import InputError
from configs.hub_commit import hub_commit
from tokenizer.corpus import formats, synthetic_reviews
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.dialects import TABLES, dialect_of
from tokenizer.corpus.files import find_files, format_of, passed_over
from tokenizer.corpus.text_files import Part, encoding_of, is_divisible

SHARD_BYTES = 8 << 20
MAXIMUM_SHARDS = 1024

Shard = tuple[Part, ...]
SizedPart = tuple[Part, int]


def shards(corpus: CorpusConfig) -> list[Shard]:
    """The parts of a corpus in order, grouped into shards of at least 8 MiB and 1/1024 of the corpus.

    With `maximum_documents` there is one shard.

    Raises:
        InputError: the source cannot be found, or its format is unknown.
    """
    parts = list(_parts(corpus))
    if corpus.maximum_documents is not None:
        return [tuple(part for part, _ in parts)]
    return group_parts(parts, max(SHARD_BYTES, sum(size for _, size in parts) // MAXIMUM_SHARDS))


def group_parts(parts: Iterable[SizedPart], minimum_size: int) -> list[Shard]:
    """Group consecutive parts into shards of at least `minimum_size` bytes; the last one may be smaller.

    >>> group_parts([(Part("a", "csv"), 3), (Part("b", "csv"), 2), (Part("c", "csv"), 9)], 5) == [
    ...     (Part("a", "csv"), Part("b", "csv")),
    ...     (Part("c", "csv"),),
    ... ]
    True
    """
    complete: list[Shard] = []
    shard: list[Part] = []
    shard_size = 0
    for part, size in parts:
        shard.append(part)
        shard_size += size
        if shard_size >= minimum_size:
            complete.append(tuple(shard))
            shard, shard_size = [], 0
    return [*complete, tuple(shard)] if shard else complete


def _parts(corpus: CorpusConfig) -> Iterator[SizedPart]:
    """The smallest parts of a corpus, with their sizes in bytes."""
    splits = corpus.split.split("+")
    if corpus.source == "sample" or corpus.format == "sample":
        yield from ((Part("sample", "sample", split=split), SHARD_BYTES) for split in splits)
        return
    files = find_files(corpus)
    if files is None:
        for split in splits:
            yield from _hub_parts(corpus, split)
        return
    total = sum(file.stat().st_size for file in files)
    for file in files:
        file_format = format_of(file, corpus, len(files))
        yield from _file_parts(file, file_format, corpus, max(SHARD_BYTES, total // MAXIMUM_SHARDS))


def _hub_parts(corpus: CorpusConfig, split: str) -> Iterator[SizedPart]:
    rows = formats.hub_rows(corpus.source, corpus.subset, split)
    row_size = max(1, rows.data.nbytes // max(1, len(rows)))
    step = max(1, SHARD_BYTES // row_size, len(rows) // MAXIMUM_SHARDS)
    for begin in range(0, len(rows), step):
        end = min(begin + step, len(rows))
        yield Part(corpus.source, "hub", begin, end, split, corpus.subset), row_size * (end - begin)


def _file_parts(file: Path, file_format: str, corpus: CorpusConfig, step: int) -> Iterator[SizedPart]:
    size = file.stat().st_size
    if file_format == "parquet":
        yield from _row_groups(file)
    elif file_format in BOUNDARIES and size > step and is_divisible(file, corpus):
        begin = 0
        while begin < size:
            end = boundary(file, begin + step, BOUNDARIES[file_format])
            yield Part(str(file), file_format, begin, end), end - begin
            begin = end
    else:
        yield Part(str(file), file_format), size


def _row_groups(file: Path) -> Iterator[SizedPart]:
    import pyarrow
    import pyarrow.parquet

    try:
        metadata = pyarrow.parquet.ParquetFile(file).metadata
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{file}: not readable as Parquet ({' '.join(str(error).split())})") from None
    for group in range(metadata.num_row_groups):
        yield Part(str(file), "parquet", group, group + 1), metadata.row_group(group).total_byte_size


# Separators between documents.
BOUNDARIES = dict.fromkeys(("jsonl", "lines", "class_lines", "label_lines"), re.compile(rb"\n"))
BOUNDARIES |= {"blocks": re.compile(rb"\n[ \t\r]*\n")}


def boundary(file: Path, position: int, separator: re.Pattern[bytes]) -> int:
    """The end of the next separator at or after `position`, in bytes; the file size if there is none."""
    size, window = file.stat().st_size, 1 << 16
    with file.open("rb") as stream:
        while position < size:
            stream.seek(position)
            data = stream.read(window)
            if match := separator.search(data):
                return position + match.end()
            # A separator may cross the end of the window.
            window *= 2
            if position + len(data) >= size:
                break
    return size


def describe(corpus: CorpusConfig) -> list[str]:
    """How tables and texts in other encodings than UTF-8 are read, a line a way, and which files are not read."""
    files = None if "sample" in (corpus.source, corpus.format) else find_files(corpus)
    ways: dict[str, list[Path]] = {}
    for file in files or ():
        file_format = format_of(file, corpus, len(files or ()))
        if file_format == "parquet":
            continue
        encoding = encoding_of(file, corpus)
        dialect = str(dialect_of(str(file), corpus)) if file_format in TABLES else ""
        way = "; ".join(part for part in (dialect, "" if encoding == "utf-8" else encoding) if part)
        if way:
            ways.setdefault(way, []).append(file)
    told = [
        f"{group[0]}{f' and {len(group) - 1} more' if len(group) > 1 else ''}: {way}" for way, group in ways.items()
    ]
    return told + list(passed_over(corpus, files or []))


def fingerprint(corpus: CorpusConfig) -> str:
    """Ten hexadecimal digits: a hash of all content of a corpus, whatever its path; of a Hub id, its commit.

    Files are read once a process, as long as they do not change.
    """
    if corpus.source == "sample" or corpus.format == "sample":
        return hashlib.sha256(synthetic_reviews.VERSION.encode()).hexdigest()[:10]
    files = find_files(corpus)
    if files is None:
        return hashlib.sha256(_hub_name(corpus.source).encode()).hexdigest()[:10]
    # The folder name counts only if it is the label.
    named = tuple((file.parent.name if format_of(file, corpus, len(files)) == "text" else "", file) for file in files)
    states = tuple(file_digest.settled_state(file) for file in files)
    return _hash(named) if None in states else _known_hash(named, states)


@functools.lru_cache(maxsize=64)
def _known_hash(named: tuple[tuple[str, Path], ...], states: tuple[tuple[int, ...] | None, ...]) -> str:
    return _hash(named)


def _hub_name(source: str) -> str:
    commit = hub_commit(source, "dataset")
    return source if commit is None else f"{source}@{commit}"


def _hash(named: tuple[tuple[str, Path], ...]) -> str:
    """The hash of files, given with their labels."""
    state = hashlib.sha256()
    for label, file in named:
        # The bytes of a name need not be UTF-8.
        told = f"{label}/{file.name} {file.stat().st_size}\n".encode(errors="surrogateescape")
        state.update(told + file_digest.content(file))
    return state.hexdigest()[:10]
