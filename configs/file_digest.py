"""The whole content of files, as digests see it."""

import functools
import hashlib
import time
from pathlib import Path

# Smaller files count with their bytes, larger ones with the hash of all of them.
SMALL = 2 << 20
# A file changed more recently may change again within the same tick of the file system's clock.
SETTLED_NS = 2_000_000_000


def content(file: Path) -> bytes:
    """All bytes of a small file, or the SHA-256 of all bytes of a larger one; the hash is computed once a process.

    A hash is reused only for the same `settled_state`.
    """
    if file.stat().st_size <= SMALL:
        return file.read_bytes()
    state = settled_state(file)
    return _hash(file) if state is None else _known_hash(file, state)


def settled_state(file: Path) -> tuple[int, ...] | None:
    """Size, times of change and inode: one of them changes with the content.

    None if the last change is not long enough ago for the next one to have another time.
    """
    status = file.stat()
    if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) < SETTLED_NS:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


@functools.lru_cache(maxsize=1 << 16)
def _known_hash(file: Path, state: tuple[int, ...]) -> bytes:
    return _hash(file)


def _hash(file: Path) -> bytes:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
