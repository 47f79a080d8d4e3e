"""Rows that cannot be used: set aside with their place and the reason, counted, and too many of them refused."""

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
# A share means little before so many rows are read.
ENOUGH_ROWS = 1000
LONGEST_WORD = 10_000
# Bytes that Python's `surrogateescape` could not decode.
BAD_BYTE = re.compile("[\udc80-\udcff]")
LONG_WORD = re.compile(rf"\w{{{LONGEST_WORD + 1},}}")
NUL_SHARE = 0.01


class RowError(ValueError):
    """A row cannot be used; says why."""


class MissingColumnError(RowError):
    """A row lacks a column; a table lacks it in every row."""


@dataclasses.dataclass
class Quarantine:
    """What became of the rows of a corpus: kept, empty, or set aside."""

    limit: float
    """The largest share of rows that may be set aside: `corpus.maximum_set_aside`."""
    rows: int = 0
    empty: int = 0
    """Unlabelled rows without a visible character."""
    set_aside: list[dict[str, str]] = dataclasses.field(default_factory=list)
    """`place` and `reason` of each."""

    def reject(self, place: Any, reason: str) -> None:
        """Set a row aside.

        Raises:
            InputError: there are too many of them already.
        """
        self.set_aside.append({"place": str(place), "reason": reason})
        if self.rows >= ENOUGH_ROWS:
            self.check()

    def check(self) -> None:
        """Refuse a corpus of which too much is set aside; to be called once more at its end.

        Raises:
            InputError: names the first row, and how many there are.
        """
        count = len(self.set_aside)
        if count > self.limit * self.rows:
            first = self.set_aside[0]
            others = f" ({count} of {self.rows} rows cannot be used, and corpus.maximum_set_aside is {self.limit:g})"
            raise InputError(f"{first['place']}: {first['reason']}{others if self.rows > 1 else ''}")

    def counts(self) -> dict[str, int]:
        """For a result: rows, and those of them that were not used."""
        return {"rows": self.rows, "empty_rows": self.empty, "set_aside_rows": len(self.set_aside)}

    def tell(self, file: Path) -> None:
        """Write what was set aside, and say so in a line of the log."""
        self.write(file)
        if self.set_aside:
            log.warning("%d of %d rows set aside: %s", len(self.set_aside), self.rows, file)

    def write(self, file: Path) -> None:
        """One JSON object a row that was set aside, the counts in the first line."""
        lines: Iterable[Any] = [self.counts(), *self.set_aside]
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, "".join(f"{json.dumps(line)}\n" for line in lines))

    def add(self, file: Path) -> None:
        """Take in what `write` wrote."""
        counts, *rows = (json.loads(line) for line in file.read_text(encoding="utf-8").splitlines())
        self.rows, self.empty = self.rows + counts["rows"], self.empty + counts["empty_rows"]
        self.set_aside += rows


def decoded(text: str, encoding: str) -> str:
    """A text that was read with `surrogateescape`, if every byte of it could be decoded.

    Raises:
        RowError: names the byte.
    """
    found = None if text.isascii() else BAD_BYTE.search(text)
    if found is not None:
        byte = ord(found[0]) - 0xDC00
        raise RowError(
            f"byte 0x{byte:02x} is not {encoding}; set corpus.encoding (latin-1, cp1252, utf-16 …) or convert the file"
        )
    return text


def clean(text: str) -> str:
    r"""A text without what no tokenizer can use: half characters become `?`, NUL goes.

    Raises:
        RowError: more than a hundredth of it is NUL, or it holds a word of more than 10,000 letters.

    >>> clean("a\x00b" + "c" * 200)[:3], clean("\ud83d!")
    ('abc', '?!')
    """
    # Half a character, as of an emoji cut in two, cannot be encoded by anybody.
    text = text.encode("utf-8", "replace").decode("utf-8")
    if "\0" in text:
        if text.count("\0") > NUL_SHARE * len(text):
            raise RowError("more than 1 % of the text is NUL: binary, or another corpus.encoding")
        text = text.replace("\0", "")
    if len(text) > LONGEST_WORD and (found := LONG_WORD.search(text)):
        raise RowError(f"a word of {len(found[0])} letters; {LONGEST_WORD} are the most")
    return text
