"""A digest sees every byte, and is computed again as soon as a file may have changed."""

import os
import random

import pytest

from configs import file_digest

SIZE = file_digest.SMALL + 4096


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "large.bin"
    file.write_bytes(random.Random(0).randbytes(SIZE))
    return file


def settle(file, monkeypatch):
    """Let the file's last change be long ago."""
    status = file.stat()
    later = max(status.st_mtime_ns, status.st_ctime_ns) + 2 * file_digest.SETTLED_NS
    monkeypatch.setattr(file_digest.time, "time_ns", lambda: later)


def flip(file, position):
    with file.open("r+b") as stream:
        stream.seek(position)
        byte = stream.read(1)[0]
        stream.seek(position)
        stream.write(bytes([byte ^ 1]))


def test_any_byte_of_any_size_counts(tmp_path, file):
    rng = random.Random(1)
    small = tmp_path / "small.bin"
    small.write_bytes(b"x" * 1000)
    for changed, size in ((file, SIZE), (small, 1000)):
        for _ in range(30):
            before = file_digest.content(changed)
            flip(changed, rng.randrange(size))
            assert file_digest.content(changed) != before


def test_a_file_is_hashed_once_while_it_stays_as_it_is(file, monkeypatch):
    hashed = []
    original = file_digest._hash
    monkeypatch.setattr(file_digest, "_hash", lambda given: hashed.append(given) or original(given))
    settle(file, monkeypatch)
    before = file_digest.content(file)
    assert file_digest.content(file) == before
    assert len(hashed) == 1
    # The time of the last change set back does not hide a change.
    status = file.stat()
    flip(file, 77)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    settle(file, monkeypatch)
    assert file_digest.content(file) != before


def test_a_file_that_has_just_changed_is_hashed_each_time(file, monkeypatch):
    hashed = []
    original = file_digest._hash
    monkeypatch.setattr(file_digest, "_hash", lambda given: hashed.append(given) or original(given))
    file.touch()
    file_digest.content(file)
    file_digest.content(file)
    assert len(hashed) == 2
