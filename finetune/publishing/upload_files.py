"""Which files of an exported folder go to the Hub: known names alone, no links, and none with a secret in it."""

import dataclasses
import fnmatch
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from configs.errors import InputError
from finetune.publishing.model_folder import is_known

CARD = "README.md"
# Files that other parts of an export put beside the model, by their folder.
BESIDE = {"onnx": ("*.onnx", "*.onnx.data", "*.onnx_data", "*.json"), "generator": ()}
# What may stand in a model's file but never in a repository: its form, and how it begins, which is found faster. A
# letter or digit before it makes it part of another word.
SECRETS = {
    "Hugging Face token": (rb"(?:hf|api_org)_[A-Za-z0-9]{30,}", b"hf_", b"api_org_"),
    "AWS access key": (rb"(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])", b"AKIA", b"ASIA"),
    "GitHub token": (
        rb"(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})",
        *(b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_"),
    ),
    "OpenAI-style key": (rb"sk-(?:[A-Za-z0-9]{20,}|(?:proj|svcacct|admin|ant|or)-[A-Za-z0-9_-]{20,})", b"sk-"),
    "Google API key": (rb"AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9])", b"AIza"),
    "Slack token": (rb"xox[abeoprs]-[A-Za-z0-9-]{10,}", *(b"xox%c-" % letter for letter in b"abeoprs")),
    "private key": (rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----", b"-----BEGIN "),
}
# Files are read in pieces that overlap by more than what tells a secret.
PIECE, OVERLAP = 8 << 20, 256


@dataclasses.dataclass(frozen=True)
class UploadFile:
    """A file that goes to the Hub."""

    name: str
    """In the repository."""
    path: Path
    size: int
    """In bytes."""
    sha256: str
    blob: str
    """The SHA-1 by which git knows the content, as the Hub lists it."""

    @classmethod
    def of(cls, name: str, path: Path) -> "UploadFile":
        """Read a file for its sums."""
        size = path.stat().st_size
        sha256, blob = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        with path.open("rb") as stream:
            while piece := stream.read(PIECE):
                sha256.update(piece)
                blob.update(piece)
        return cls(name, path, size, sha256.hexdigest(), blob.hexdigest())


def upload_files(folder: Path) -> tuple[list[UploadFile], list[str]]:
    """The files to send, and which others stay behind, with the reason.

    Raises:
        InputError: there are no weights among them, or one of them holds a secret.
    """
    files, left = [], []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_dir() and not path.is_symlink():
            continue
        if reason := _refused(name, path):
            left.append(f"{name.as_posix()} ({reason})")
        else:
            files.append(UploadFile.of(name.as_posix(), path))
    if not any(file.name.endswith(".safetensors") for file in files):
        raise InputError(f"{folder} has no weights to publish (*.safetensors)" + (f"; left: {left}" if left else ""))
    for file in files:
        if kind := secret_in(file.path):
            raise InputError(f"{file.name} holds what looks like a secret ({kind}); nothing was published")
    return files, left


def _refused(name: Path, path: Path) -> str | None:
    """Why a file does not go, or None."""
    if any(part.startswith(".") for part in name.parts):
        return "hidden"
    parents = [path, *path.parents][: len(name.parts)]
    if any(parent.is_symlink() for parent in parents):
        return "a link"
    if len(name.parts) == 1:
        known = name.name == CARD or is_known(name.name)
    else:
        patterns = BESIDE.get(name.parts[0]) if len(name.parts) == 2 else None
        known = patterns is not None and (
            is_known(name.name) or any(fnmatch.fnmatchcase(name.name, pattern) for pattern in patterns)
        )
    return None if known else "not a file of a model"


def secret_in(file: Path) -> str | None:
    """The kind of secret that a file holds, or None."""
    with file.open("rb") as stream:
        return secret_in_pieces(iter(lambda: stream.read(PIECE), b""))


def secret_in_pieces(pieces: Iterable[bytes]) -> str | None:
    """The kind of secret in a file's content, read piece by piece.

    >>> secret_in_pieces([b'{"a": "AKIA', b'ABCDEFGHIJKLMNOP"}']), secret_in_pieces([b"hf_loopback sk-learn"])
    ('AWS access key', None)
    """
    for text in _overlapping(pieces):
        for kind, (form, *beginnings) in SECRETS.items():
            pattern = re.compile(rb"(?<![A-Za-z0-9])" + form)
            if any(pattern.match(text, place) for beginning in beginnings for place in _places(text, beginning)):
                return kind
    return None


def _places(text: bytes, part: bytes) -> Iterator[int]:
    """Where a part occurs."""
    place = text.find(part)
    while place >= 0:
        yield place
        place = text.find(part, place + 1)


def _overlapping(pieces: Iterable[bytes]) -> Iterator[bytes]:
    before = b""
    for piece in pieces:
        yield before + piece
        before = (before + piece)[-OVERLAP:]


def listing(files: Sequence[UploadFile]) -> str:
    """A line a file: its sum, its size in bytes, its name."""
    return "\n".join(f"{file.sha256}  {file.size:>12,}  {file.name}" for file in files)
