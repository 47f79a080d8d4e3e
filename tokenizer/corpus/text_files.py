"""Text files → lines, in the encoding of the file; a part of a file is read without what is before it."""

import bz2
import codecs
import functools
import gzip
import io
import itertools
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

from configs.errors import InputError
from tokenizer.corpus.config import CorpusConfig

T = TypeVar("T")

# `corpus.encoding`: UTF-8, unless the file begins with a byte order mark of another encoding or looks like UTF-16.
AUTO = "auto"
SAMPLE_BYTES = 1 << 16
# UTF-32's mark begins with UTF-16's.
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# Of every other byte of UTF-16, for text in an alphabet of fewer than 256 characters.
ZERO_SHARE = 0.7


# By the ending of the file's name: the first bytes.
COMPRESSIONS = {
    ".gz": b"\x1f\x8b",
    ".bz2": b"BZh",
    ".xz": b"\xfd7zXZ\x00",
    ".zst": b"\x28\xb5\x2f\xfd",
}
# Text shrinks to a third, rarely to a tenth; what grows more than this is a bomb.
MAXIMUM_GROWTH = 200
ALWAYS_ALLOWED_BYTES = 64 << 20
HEAD_LINES = 20


class Part(NamedTuple):
    """A range of a file, a Hub data set or the sample, which can be read independently."""

    source: str
    """A file, the id of a Hub data set, or `sample`."""
    format: str
    """A key of `READERS`."""
    begin: int = 0
    """The first byte of a text file, row group of a Parquet file, or row of a Hub data set."""
    end: int | None = None
    """Exclusive; None reads to the end."""
    split: str = ""
    """For a Hub data set and the sample."""
    subset: str | None = None
    """For a Hub data set."""
    keeps_blanks: bool = False
    """Whether blank lines and rows of empty cells are read, too, where an answer to each row is in step with it."""


class Location(NamedTuple):
    """A line of a part; its line number in the file is computed on demand."""

    part: Part
    line_in_part: int

    def __str__(self) -> str:
        return f"{self.part.source}:{self.line}"

    @property
    def line(self) -> int:
        """The line number in the file."""
        return self.line_in_part + _lines_before(Path(self.part.source), self.part.begin)


def encoding_of(file: Path | str, corpus: CorpusConfig) -> str:
    """The encoding of a text file: `corpus.encoding`, or what the first bytes of the file tell.

    Raises:
        InputError: the file is missing or cannot be read.
    """
    if corpus.encoding != AUTO:
        return corpus.encoding
    try:
        status = Path(file).stat()
        return _found_encoding(str(file), status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from None


@functools.lru_cache(maxsize=1024)
def _found_encoding(file: str, size: int, modified: int) -> str:
    with open_bytes(Path(file)) as stream:
        return find_encoding(stream.read(SAMPLE_BYTES))


def find_encoding(head: bytes) -> str:
    """The encoding that the first bytes of a file tell by a byte order mark or by zeros; else UTF-8.

    Other encodings cannot be told apart with certainty: a row that is not UTF-8 is set aside with the encoding that
    would read it.

    >>> find_encoding("text".encode("utf-16")), find_encoding("a text".encode("utf-16-le")), find_encoding(b"text")
    ('utf-16', 'utf-16-le', 'utf-8')
    """
    for mark, encoding in MARKS.items():
        if head.startswith(mark):
            return encoding
    half = max(1, len(head) // 2)
    even, odd = (head[start::2].count(0) / half for start in (0, 1))
    if max(even, odd) > ZERO_SHARE and min(even, odd) < 1 - ZERO_SHARE:
        return "utf-16-le" if odd > even else "utf-16-be"
    return "utf-8"


def lines(part: Part, corpus: CorpusConfig) -> Iterator[str]:
    """The lines of a part, including line ends.

    Raises:
        InputError: the file is missing, or its bytes are not in the encoding.
    """
    file, number = Path(part.source), 0
    encoding = encoding_of(file, corpus)
    try:
        with open_bytes(file) as stream, _open_text(stream, part, encoding) as text:
            for line in text:
                number += 1
                # A byte order mark is not part of the text.
                is_first = number == 1 and part.begin == 0
                yield (line.removeprefix("\ufeff") if is_first else line).replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{file}: after line {Location(part, number).line}: byte 0x{error.object[error.start]:02x} is not "
            f"{encoding} ({error.reason}); set corpus.encoding (latin-1, cp1252, utf-16 …) or convert the file"
        ) from None
    except UnicodeError as error:
        raise InputError(f"{file}: not {encoding} ({error}); set corpus.encoding or convert the file") from None
    except LookupError:
        raise InputError(f"corpus.encoding: {encoding!r} is unknown to Python") from None
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}") from None


def without_blank_end(items: Iterable[T], is_blank: Callable[[T], bool]) -> Iterator[T]:
    """All items but the blank ones at the end.

    >>> list(without_blank_end(["a", "", "b", "", ""], lambda line: not line))
    ['a', '', 'b']
    """
    held: list[T] = []
    for item in items:
        held.append(item)
        if not is_blank(item):
            yield from held
            held.clear()


def lines_of_head(file: Path, corpus: CorpusConfig) -> list[str]:
    """The first lines of a file."""
    return list(itertools.islice(lines(Part(str(file), "text"), corpus), HEAD_LINES))


def is_divisible(file: Path, corpus: CorpusConfig) -> bool:
    """Whether a text file can be read from the middle: it is not compressed, and a newline is one byte."""
    return compression_of(file) is None and line_end_is_one_byte(encoding_of(file, corpus))


def compression_of(file: Path) -> str | None:
    """How a file is compressed, by its first bytes; None if it is not."""
    with file.open("rb") as stream:
        head = stream.read(8)
    return next((name.removeprefix(".") for name, magic in COMPRESSIONS.items() if head.startswith(magic)), None)


def open_bytes(file: Path) -> IO[bytes]:
    """Open a file, decompressed.

    Raises:
        InputError: while reading, if the file grows out of all proportion.
    """
    compression = compression_of(file)
    if compression is None:
        return file.open("rb")
    stream: Any
    if compression == "zst":
        import pyarrow

        stream = pyarrow.input_stream(str(file), compression="zstd")
    else:
        stream = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}[compression](file, "rb")
    return io.BufferedReader(_Decompressed(stream, file, compression))


def _open_text(stream: IO[bytes], part: Part, encoding: str) -> io.TextIOWrapper:
    """Open a part as a text stream."""
    if part.begin:
        stream.seek(part.begin)
    raw = stream if part.end is None else io.BufferedReader(_Bounded(stream, part.end - part.begin))
    # With one-byte line ends, undecodable bytes invalidate only their own row.
    errors = "surrogateescape" if line_end_is_one_byte(encoding) else "strict"
    return io.TextIOWrapper(raw, encoding=encoding, newline="", errors=errors)


def line_end_is_one_byte(encoding: str) -> bool:
    """Whether a file in this encoding can be split after a newline byte."""
    try:
        return codecs.encode("\n", encoding) == b"\n" and not encoding.lower().replace("_", "-").startswith("utf-7")
    except (LookupError, TypeError, UnicodeError):
        # Unknown to Python, or one of its encodings of bytes, such as `hex`; who reads the file is told.
        return False


class _Bounded(io.RawIOBase):
    """The next `size` bytes of a stream."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self.stream, self.remaining = stream, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.stream.read(min(len(buffer), self.remaining))
        buffer[: len(data)] = data
        self.remaining -= len(data)
        return len(data)


class _Decompressed(_Bounded):
    """A decompressed file, which may not grow out of all proportion."""

    def __init__(self, stream: Any, file: Path, compression: str) -> None:
        super().__init__(stream, max(ALWAYS_ALLOWED_BYTES, MAXIMUM_GROWTH * file.stat().st_size))
        self.file, self.compression, self.limit = file, compression, self.remaining

    def readinto(self, buffer: Any) -> int:
        try:
            count = super().readinto(buffer)
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise InputError(f"{self.file}: not readable as {self.compression} ({error})") from None
        if not self.remaining:
            raise InputError(f"{self.file}: more than {self.limit:,} bytes when decompressed")
        return count

    def close(self) -> None:
        self.stream.close()
        super().close()


def _lines_before(file: Path, position: int) -> int:
    """The number of newlines in the first `position` bytes of a file."""
    count = 0
    with file.open("rb") as stream:
        while position > 0 and (data := stream.read(min(position, 1 << 20))):
            count += data.count(b"\n")
            position -= len(data)
    return count
