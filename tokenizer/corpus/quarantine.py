"""Unusable rows: counted, listed with file, line and reason, and limited to a share of the corpus."""

import contextlib
import dataclasses
import json
import logging
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from configs.errors import InputError
from configs.run_folder import write_atomically

log = logging.getLogger(__name__)

FILE = "quarantine.jsonl"
# The share is checked only after this many rows.
ENOUGH_ROWS = 1000
LONGEST_WORD = 10_000
# Bytes that Python's `surrogateescape` could not decode.
BAD_BYTE = re.compile("[\udc80-\udcff]")
# Only where a word begins, which takes linear time.
LONG_WORD = re.compile(rf"(?<!\w)\w{{{LONGEST_WORD + 1},}}")
NUL_SHARE = 0.01
# Letters beyond ASCII in Western languages, at most; texts in other alphabets have more.
WESTERN_SHARE = 0.4
# Of Western Europe, of Central Europe and of Turkey; most letters are the same in all of them.
WESTERN_ENCODINGS = ("cp1252", "cp1250", "cp1254")
SHOWN_CHARACTERS = 20


class RowError(ValueError):
    """A row cannot be used; the message is the reason."""


class MissingColumnError(RowError):
    """A row lacks a column; in a table, every row lacks it."""


@dataclasses.dataclass
class Quarantine:
    """Counts the rows of a corpus, and collects those that were set aside."""

    limit: float
    """The maximum share of rows set aside: `corpus.maximum_set_aside`."""
    rows: int = 0
    empty: int = 0
    """Unlabelled rows without a visible character."""
    other_labels: int = 0
    """Rows with a label that is none of `corpus.labels`."""
    set_aside: list[dict[str, str]] = dataclasses.field(default_factory=list)
    """The `place` (file and line) and `reason` of each row."""

    def reject(self, location: Any, reason: str) -> None:
        """Set a row aside.

        Raises:
            InputError: too many rows are set aside.
        """
        self.set_aside.append({"place": str(location), "reason": reason})
        if self.rows >= ENOUGH_ROWS:
            self.check()

    def check(self) -> None:
        """Check the share of rows set aside; call it at the end of the corpus.

        Raises:
            InputError: the share is too large; names the first row and the counts.
        """
        count = len(self.set_aside)
        if count > self.limit * self.rows:
            first = self.set_aside[0]
            counts = f" ({count} of {self.rows} rows cannot be used; corpus.maximum_set_aside is {self.limit:g})"
            raise InputError(f"{first['place']}: {first['reason']}{counts if self.rows > 1 else ''}")

    def counts(self) -> dict[str, int]:
        """The number of rows, of those that are empty, have other labels or are set aside, for `result.json`."""
        return {
            "rows": self.rows,
            "empty_rows": self.empty,
            "other_label_rows": self.other_labels,
            "set_aside_rows": len(self.set_aside),
        }

    def write_and_log(self, file: Path) -> None:
        """Write the rows set aside, and log their number and that of the rows with other labels."""
        self.write(file)
        if self.other_labels:
            log.info("%d of %d rows are left out for their labels (`labels`)", self.other_labels, self.rows)
        if self.set_aside:
            log.warning("%d of %d rows set aside: %s", len(self.set_aside), self.rows, file)

    def write(self, file: Path) -> None:
        """Write JSON lines: first the counts, then one object per row set aside."""
        lines: Iterable[Any] = [self.counts(), *self.set_aside]
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, "".join(f"{json.dumps(line)}\n" for line in lines))

    def merge(self, file: Path) -> None:
        """Add the counts and rows of a file from `write`."""
        counts, *rows = (json.loads(line) for line in file.read_text(encoding="utf-8").splitlines())
        self.rows, self.empty = self.rows + counts["rows"], self.empty + counts["empty_rows"]
        # Files of earlier versions count them as empty.
        self.other_labels += counts.get("other_label_rows", 0)
        self.set_aside += rows


def check_decoded(text: str, encoding: str) -> str:
    """Return a text read with `surrogateescape`, if all its bytes were decoded.

    Raises:
        RowError: names the first byte that was not.
    """
    match = None if text.isascii() else BAD_BYTE.search(text)
    if match is not None:
        byte = ord(match[0]) - 0xDC00
        raise RowError(f"byte 0x{byte:02x} is not {encoding}; set {other_encoding(text, match.start())}")
    return text


def other_encoding(text: str, position: int) -> str:
    """The encodings that would read a text which was read with `surrogateescape`, and how they read some words of it.

    Western text is told by its few letters beyond ASCII, and may be in one of three encodings, of which those are named
    that differ; else the encoding is guessed from the letters' frequencies.
    """
    raw = text.encode("utf-8", "surrogateescape")
    encodings = list(WESTERN_ENCODINGS)
    if len(BAD_BYTE.findall(text)) > WESTERN_SHARE * len(text):
        import charset_normalizer

        best = charset_normalizer.from_bytes(raw).best()
        encodings = [] if best is None else [best.encoding]
    readings: dict[str, str] = {}
    for encoding in encodings:
        with contextlib.suppress(LookupError, UnicodeDecodeError):
            readings.setdefault(raw.decode(encoding), encoding)
    if not readings:
        return "corpus.encoding (latin-1, cp1252, utf-16 …) or convert the file"
    different = (place for place, letters in enumerate(zip(*readings, strict=False)) if len(set(letters)) > 1)
    before = text[:position].encode("utf-8", "surrogateescape")
    place = next(different, len(before.decode(encodings[0], "replace")))
    shown = slice(max(0, place - SHOWN_CHARACTERS), place + SHOWN_CHARACTERS)
    told = [
        f"{encoding}, which would read {' '.join(reading[shown].split())!r}" for reading, encoding in readings.items()
    ]
    return f"corpus.encoding: {', or '.join(told)}, or convert the file"


def clean(text: str) -> str:
    r"""Replace lone surrogates by `?` and remove NUL characters.

    Raises:
        RowError: more than 1 % of the text is NUL, or a word has more than 10,000 letters.

    >>> clean("a\x00b" + "c" * 200)[:3], clean("\ud83d!")
    ('abc', '?!')
    """
    # A lone surrogate, such as half an emoji, cannot be encoded.
    text = text.encode("utf-8", "replace").decode("utf-8")
    if "\0" in text:
        if text.count("\0") > NUL_SHARE * len(text):
            raise RowError("more than 1 % of the text is NUL: binary data, or wrong corpus.encoding")
        text = text.replace("\0", "")
    if len(text) > LONGEST_WORD and (match := LONG_WORD.search(text)):
        raise RowError(f"a word of {len(match[0])} letters; the maximum is {LONGEST_WORD}")
    return text
