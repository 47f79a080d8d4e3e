"""Rows with their predictions → a file that grows, or a pipe; an interrupted command goes on where it was."""

import csv
import io
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from configs.errors import InputError
from configs.run_folder import json_text, write_atomically

FORMATS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
DELIMITERS = {"csv": ",", "tsv": "\t"}


class Output:
    """A table of rows, in CSV, TSV or JSON lines.

    Beside a file stands `.NAME.progress`, which says how many rows are in it for sure, and of which model and input. It
    is there until the file is whole.
    """

    def __init__(self, target: str | None, identity: Mapping[str, Any], file_format: str = "csv") -> None:
        """Open a file, or standard output.

        Args:
            target: the file; None for standard output.
            identity: what must be the same to go on: model, inputs, settings.
            file_format: of standard output.

        Raises:
            InputError: the file holds other rows, or cannot be written (`check_target`).
        """
        self.identity, self.rows, self.names = dict(identity), 0, list[str]()
        self.ignored: set[str] = set()
        """Columns that came after the first rows and are left out: of a table all, of JSON lines those which are called
        as a column of an answer."""
        self.file = None if target is None else Path(target)
        self.format = file_format
        if self.file is None:
            self.stream: TextIO = sys.stdout
            return
        check_target(self.file)
        self.format = FORMATS[self.file.suffix.lower()]
        self.progress = progress_of(self.file)
        begin = self._begun()
        self.stream = self.file.open("r+" if begin else "w", encoding="utf-8", newline="")
        self.stream.seek(begin)
        self.stream.truncate()
        self._note(begin)

    def _begun(self) -> int:
        """The bytes of the file that are kept.

        Raises:
            InputError: the file was not begun by such a command.
        """
        assert self.file is not None
        if not self.file.exists():
            return 0
        begun = json.loads(self.progress.read_text(encoding="utf-8"))
        if not begun["rows"]:
            # A command that failed before its first row, perhaps by a mistake that was put right.
            return 0
        changed = [name for name, value in self.identity.items() if begun["identity"].get(name) != value]
        if changed:
            raise InputError(
                f"to: {self.file} was begun with another {', '.join(changed)}; delete it, or give another file"
            )
        self.rows, self.names = begun["rows"], begun["names"]
        return begun["bytes"]

    def write(self, rows: Sequence[Mapping[str, Any]], answers: Sequence[Mapping[str, Any]]) -> None:
        """Append rows and the columns of their answers beside their own, and make sure that they are on the disk."""
        text = io.StringIO()
        writer = None if self.format == "jsonl" else csv.writer(text, delimiter=DELIMITERS[self.format])
        if not self.names and rows:
            self.names = list(dict.fromkeys(name for row in (*rows, *answers) for name in row))
            if writer is not None:
                writer.writerow(self.names)
        names = set(self.names)
        for row, answer in zip(rows, answers, strict=True):
            # An answer is never taken for what was there, nor is what was there for an answer.
            self.ignored |= row.keys() & answer.keys()
            both = {**row, **answer}
            if writer is None:
                text.write(json_text(both, ensure_ascii=False, default=str) + "\n")
            else:
                self.ignored |= both.keys() - names
                writer.writerow([_cell(both.get(name)) for name in self.names])
        # Half an emoji cannot be written.
        self.stream.write(text.getvalue().encode("utf-8", "replace").decode())
        self.stream.flush()
        self.rows += len(rows)
        if self.file is not None:
            os.fsync(self.stream.fileno())
            self._note(self.file.stat().st_size)

    def _note(self, size: int) -> None:
        """Write down how much of the file is there for sure."""
        state = {"rows": self.rows, "bytes": size, "names": self.names, "identity": self.identity}
        write_atomically(self.progress, json.dumps(state) + "\n")

    def __enter__(self) -> "Output":
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        """Close the file; it is whole unless there was an error."""
        if self.file is not None:
            self.stream.close()
            if kind is None:
                self.progress.unlink(missing_ok=True)


def progress_of(file: Path) -> Path:
    """The file that says how much of an output is there for sure."""
    return file.with_name(f".{file.name}.progress")


def check_target(file: Path) -> None:
    """Check that a file may be written, before anything is loaded.

    Raises:
        InputError: its ending is unknown, its folder is missing, or it was not begun by such a command.
    """
    if file.suffix.lower() not in FORMATS:
        raise InputError(f"to: {str(file)!r} must end in one of {', '.join(FORMATS)}")
    if not file.parent.is_dir():
        raise InputError(f"to: {str(file)!r}: there is no folder {str(file.parent)!r}; make it, or give another file")
    if file.exists() and not progress_of(file).is_file():
        raise InputError(f"to: {file} exists; delete it, or give another file")


def _cell(value: Any) -> Any:
    """A value as a cell of a table: lists and dictionaries as JSON."""
    return json_text(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else value
