"""A corpus → shards that can be read in parallel; they depend only on the corpus.

Text and JSON lines are split between documents, Parquet between row groups, Hub data sets between rows. A CSV file is
not split, because a newline may be inside quotes, nor is a text file in an encoding with newlines of several bytes.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from configs.errors import InputError
from tokenizer.corpus import formats, synthetic_reviews
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.formats import Part

HEAD_AND_TAIL = 1 << 20
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
        yield from _file_parts(file, file_format, corpus.encoding, max(SHARD_BYTES, total // MAXIMUM_SHARDS))


def _hub_parts(corpus: CorpusConfig, split: str) -> Iterator[SizedPart]:
    rows = formats.hub_rows(corpus.source, corpus.subset, split)
    row_size = max(1, rows.data.nbytes // max(1, len(rows)))
    step = max(1, SHARD_BYTES // row_size, len(rows) // MAXIMUM_SHARDS)
    for begin in range(0, len(rows), step):
        end = min(begin + step, len(rows))
        yield Part(corpus.source, "hub", begin, end, split, corpus.subset), row_size * (end - begin)


def _file_parts(file: Path, file_format: str, encoding: str, step: int) -> Iterator[SizedPart]:
    size = file.stat().st_size
    if file_format == "parquet":
        yield from _row_groups(file)
    elif file_format in BOUNDARIES and size > step and formats.line_end_is_one_byte(encoding):
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
BOUNDARIES = {"jsonl": re.compile(rb"\n"), "blocks": re.compile(rb"\n[ \t\r]*\n")}


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


def format_of(file: Path, corpus: CorpusConfig, file_count: int) -> str:
    """The format given by `corpus.format` or the file extension; a single `.txt` file is read as blocks.

    Raises:
        InputError: the file is an archive, or `corpus.format` is `auto` and the extension is unknown.
    """
    reject_archive(file)
    if corpus.format != "auto":
        return corpus.format
    file_format = formats.ENDINGS.get(file.suffix.lower())
    if file_format is None:
        known = " ".join(sorted(formats.ENDINGS))
        raise InputError(f"{file}: unknown extension {file.suffix!r}; set corpus.format, or use one of {known}")
    return "blocks" if file_format == "text" and file_count == 1 else file_format


# Offset and magic bytes of compressed files and archives.
ARCHIVES = {
    "gzip": (0, b"\x1f\x8b"),
    "zip": (0, b"PK\x03\x04"),
    "bzip2": (0, b"BZh"),
    "xz": (0, b"\xfd7zXZ\x00"),
    "zstandard": (0, b"\x28\xb5\x2f\xfd"),
    "7z": (0, b"7z\xbc\xaf\x27\x1c"),
    "tar": (257, b"ustar"),
}


def reject_archive(file: Path) -> None:
    """Reject compressed files and archives: unpacking, and checking the unpacked size, is left to the user.

    Raises:
        InputError: the file is compressed or an archive.
    """
    with file.open("rb") as stream:
        head = stream.read(512)
    for name, (offset, magic) in ARCHIVES.items():
        if head[offset : offset + len(magic)] == magic:
            raise InputError(f"{file}: a {name} archive; unpack it and give the unpacked file or folder")


def find_files(corpus: CorpusConfig) -> list[Path] | None:
    """The files of `source` and `split`, sorted; None if `source` is a Hub id.

    Raises:
        InputError: `source` does not exist, or the folder lacks the split.
    """
    path = Path(corpus.source)
    if path.is_file():
        return [path]
    if path.is_dir():
        return _files_in(path, corpus)
    if any(wildcard in corpus.source for wildcard in "*?["):
        anchor = Path(path.anchor)
        files = sorted(file for file in anchor.glob(str(path.relative_to(anchor))) if file.is_file())
        if not files:
            raise InputError(f"corpus.source: no file matches {corpus.source!r}")
        return files
    looks_like_hub = re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", corpus.source) and path.suffix not in formats.ENDINGS
    if corpus.format == "hub" or looks_like_hub:
        return None
    raise InputError(f"corpus.source: no such file or folder: {corpus.source!r}")


def _files_in(folder: Path, corpus: CorpusConfig) -> list[Path]:
    """The files of each split: `train.csv`, `train-00000-of-00002.parquet`, or all files in the folder `train/`."""
    files: list[Path] = []
    for split in corpus.split.split("+"):
        named, nested = _split_files(folder, split)
        if not named and not nested:
            all_files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in formats.ENDINGS)
            if split != "all" or not all_files:
                entries = ", ".join(sorted(entry.name for entry in folder.iterdir())[:10]) or "nothing"
                raise InputError(
                    f"corpus.split: {split!r} is neither a file nor a folder in {folder} (it has: {entries}); "
                    "`all` reads every file in it"
                )
            nested = all_files
        files += named + nested
    return files


def _split_files(folder: Path, split: str) -> tuple[list[Path], list[Path]]:
    """Files named after a split (`train.csv`, `train-00000-of-00002.parquet`), and files in the folder of its name."""
    name = re.compile(rf"{re.escape(split)}(-\d[\w-]*)?\..+")
    named = [file for file in sorted(folder.glob("*")) if name.fullmatch(file.name) and file.is_file()]
    nested = sorted(file for file in (folder / split).rglob("*") if file.suffix.lower() in formats.ENDINGS)
    return named, nested


def has_split(folder: Path, split: str) -> bool:
    """Whether a folder holds files of every one of the splits joined by `+`, or `all` is asked for."""
    return split == "all" or all(any(_split_files(folder, part)) for part in split.split("+"))


def fingerprint(corpus: CorpusConfig) -> str:
    """Ten hexadecimal digits: a hash of the content of a corpus, independent of its path.

    For a file larger than 2 MiB, the hash covers the size and the first and last MiB; for a Hub data set, its id.
    """
    state = hashlib.sha256()
    if corpus.source == "sample" or corpus.format == "sample":
        state.update(synthetic_reviews.VERSION.encode())
    elif (files := find_files(corpus)) is None:
        state.update(corpus.source.encode())
    else:
        for file in files:
            size = file.stat().st_size
            # The folder name counts only if it is the label.
            label = file.parent.name if format_of(file, corpus, len(files)) == "text" else ""
            state.update(f"{label}/{file.name} {size}\n".encode() + head_and_tail(file))
    return state.hexdigest()[:10]


def head_and_tail(file: Path) -> bytes:
    """The first and last MiB of a file, or all of a smaller file."""
    with file.open("rb") as stream:
        head = stream.read(HEAD_AND_TAIL)
        stream.seek(max(stream.tell(), file.stat().st_size - HEAD_AND_TAIL))
        return head + stream.read(HEAD_AND_TAIL)
