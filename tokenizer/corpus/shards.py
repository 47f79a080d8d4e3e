"""A corpus → shards that can be read side by side; which ones depends on the corpus alone.

Text and JSON lines are cut between documents, Parquet between row groups, Hub data sets between rows. A CSV file is
one part (a quoted line end cannot be told from the end of a row without reading from the start), as is a text file in
an encoding where a line end has more than one byte.
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
Sized = tuple[Part, int]


def shards(corpus: CorpusConfig) -> list[Shard]:
    """The parts of a corpus in order, grouped so that a shard has 8 MiB or a 1,024th of the whole.

    With `maximum_documents` there is one shard.

    Raises:
        InputError: the source cannot be found or its format cannot be told.
    """
    sized = list(_parts(corpus))
    if corpus.maximum_documents is not None:
        return [tuple(part for part, _ in sized)]
    return grouped(sized, max(SHARD_BYTES, sum(size for _, size in sized) // MAXIMUM_SHARDS))


def grouped(sized: Iterable[Sized], enough: int) -> list[Shard]:
    """Neighbouring parts, together until they have `enough` bytes.

    >>> grouped([(Part("a", "csv"), 3), (Part("b", "csv"), 2), (Part("c", "csv"), 9)], 5) == [
    ...     (Part("a", "csv"), Part("b", "csv")),
    ...     (Part("c", "csv"),),
    ... ]
    True
    """
    found: list[Shard] = []
    group: list[Part] = []
    bytes_of_group = 0
    for part, size in sized:
        group.append(part)
        bytes_of_group += size
        if bytes_of_group >= enough:
            found.append(tuple(group))
            group, bytes_of_group = [], 0
    return [*found, tuple(group)] if group else found


def _parts(corpus: CorpusConfig) -> Iterator[Sized]:
    """The smallest parts of a corpus with their sizes in bytes."""
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
        kind = format_of(file, corpus, len(files))
        yield from _file_parts(file, kind, corpus.encoding, max(SHARD_BYTES, total // MAXIMUM_SHARDS))


def _hub_parts(corpus: CorpusConfig, split: str) -> Iterator[Sized]:
    rows = formats.hub_rows(corpus.source, corpus.subset, split)
    size_of_row = max(1, rows.data.nbytes // max(1, len(rows)))
    step = max(1, SHARD_BYTES // size_of_row, len(rows) // MAXIMUM_SHARDS)
    for begin in range(0, len(rows), step):
        end = min(begin + step, len(rows))
        yield Part(corpus.source, "hub", begin, end, split, corpus.subset), size_of_row * (end - begin)


def _file_parts(file: Path, kind: str, encoding: str, step: int) -> Iterator[Sized]:
    size = file.stat().st_size
    if kind == "parquet":
        yield from _row_groups(file)
    elif kind in BOUNDARIES and size > step and formats.line_end_is_one_byte(encoding):
        begin = 0
        while begin < size:
            end = boundary(file, begin + step, BOUNDARIES[kind])
            yield Part(str(file), kind, begin, end), end - begin
            begin = end
    else:
        yield Part(str(file), kind), size


def _row_groups(file: Path) -> Iterator[Sized]:
    import pyarrow
    import pyarrow.parquet

    try:
        metadata = pyarrow.parquet.ParquetFile(file).metadata
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{file}: not readable as Parquet ({' '.join(str(error).split())})") from None
    for group in range(metadata.num_row_groups):
        yield Part(str(file), "parquet", group, group + 1), metadata.row_group(group).total_byte_size


# What may stand between two documents.
BOUNDARIES = {"jsonl": re.compile(rb"\n"), "blocks": re.compile(rb"\n[ \t\r]*\n")}


def boundary(file: Path, position: int, mark: re.Pattern[bytes]) -> int:
    """The first byte behind the next `mark` at or after a position; the file's size where there is none."""
    size, window = file.stat().st_size, 1 << 16
    with file.open("rb") as stream:
        while position < size:
            stream.seek(position)
            data = stream.read(window)
            if found := mark.search(data):
                return position + found.end()
            # A mark may lie across the end of the window.
            window *= 2
            if position + len(data) >= size:
                break
    return size


def format_of(file: Path, corpus: CorpusConfig, file_count: int) -> str:
    """The format that `corpus.format` or the file's ending gives; a lone `.txt` file holds blocks.

    Raises:
        InputError: the file is an archive, or `auto`, and the ending is unknown.
    """
    refuse_archive(file)
    if corpus.format != "auto":
        return corpus.format
    ending = formats.ENDINGS.get(file.suffix.lower())
    if ending is None:
        known = " ".join(sorted(formats.ENDINGS))
        raise InputError(f"{file}: unknown ending {file.suffix!r}; set corpus.format, or use one of {known}")
    return "blocks" if ending == "text" and file_count == 1 else ending


# What the first bytes of compressed files and archives are; Parquet's own compression is not among them.
ARCHIVES = {
    "gzip": (0, b"\x1f\x8b"),
    "zip": (0, b"PK\x03\x04"),
    "bzip2": (0, b"BZh"),
    "xz": (0, b"\xfd7zXZ\x00"),
    "zstandard": (0, b"\x28\xb5\x2f\xfd"),
    "7z": (0, b"7z\xbc\xaf\x27\x1c"),
    "tar": (257, b"ustar"),
}


def refuse_archive(file: Path) -> None:
    """Leave unpacking, and how much may come of it, to the person.

    Raises:
        InputError: the file is compressed or an archive.
    """
    with file.open("rb") as stream:
        head = stream.read(512)
    for name, (place, mark) in ARCHIVES.items():
        if head[place : place + len(mark)] == mark:
            raise InputError(f"{file}: a {name} archive; unpack it, and give the folder or file that comes of it")


def find_files(corpus: CorpusConfig) -> list[Path] | None:
    """The files that `source` and `split` name, sorted; None where `source` can only be a Hub id.

    Raises:
        InputError: `source` looks like a path but nothing lies there, or the folder lacks the split.
    """
    path = Path(corpus.source)
    if path.is_file():
        return [path]
    if path.is_dir():
        return _files_in(path, corpus)
    if any(mark in corpus.source for mark in "*?["):
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
    """The files of each split: `train.csv`, `train-00000-of-00002.parquet`, or all below the folder `train/`."""
    files: list[Path] = []
    for split in corpus.split.split("+"):
        named = [file for file in sorted(folder.glob(f"{split}*")) if re.match(rf"{re.escape(split)}[.-]", file.name)]
        below = sorted(file for file in (folder / split).rglob("*") if file.suffix.lower() in formats.ENDINGS)
        if not named and not below:
            everything = sorted(file for file in folder.rglob("*") if file.suffix.lower() in formats.ENDINGS)
            if split != "all" or not everything:
                there = ", ".join(sorted(entry.name for entry in folder.iterdir())[:10]) or "nothing"
                raise InputError(
                    f"corpus.split: {split!r} is neither a file nor a folder in {folder} (there: {there}); "
                    "`all` reads every file below it"
                )
            below = everything
        files += [file for file in named if file.is_file()] + below
    return files


def fingerprint(corpus: CorpusConfig) -> str:
    """Ten hexadecimal digits of the content that `corpus` points at, whatever the path that leads to it.

    Of a file larger than 2 MiB, the size and the first and last MiB are taken; of a Hub data set, its id.
    """
    state = hashlib.sha256()
    if corpus.source == "sample" or corpus.format == "sample":
        state.update(synthetic_reviews.VERSION.encode())
    elif (files := find_files(corpus)) is None:
        state.update(corpus.source.encode())
    else:
        for file in files:
            size = file.stat().st_size
            # The folder's name is content only where it is the label.
            label = file.parent.name if format_of(file, corpus, len(files)) == "text" else ""
            state.update(f"{label}/{file.name} {size}\n".encode() + head_and_tail(file))
    return state.hexdigest()[:10]


def head_and_tail(file: Path) -> bytes:
    """The first and last MiB of a file; all of it, where it is smaller than both."""
    with file.open("rb") as stream:
        head = stream.read(HEAD_AND_TAIL)
        stream.seek(max(stream.tell(), file.stat().st_size - HEAD_AND_TAIL))
        return head + stream.read(HEAD_AND_TAIL)
