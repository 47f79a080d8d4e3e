"""The files of a corpus: which of a folder's are read, and in which format."""

import collections
import dataclasses
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from configs.errors import InputError
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.text_files import COMPRESSIONS, lines_of_head, open_bytes

ENDINGS = {
    ".txt": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
# Of the files of both classes, with a sentence a line (Pang and Lee 2005).
CLASS_ENDINGS = {".pos", ".neg"}
# What lies beside the files of classes and is none.
COMPANION = re.compile(
    r"(readme|notes?|licen[cs]e|changelog|copying|citation)\b.*|.*\.(md|rst|pdf|html?|docx?|odt|rtf|ya?ml|json|py|zip)",
    re.I,
)
# Formats in which a note between the files would be read as rows.
WITHOUT_NOTES = ("csv", "tsv", "label_lines")
# Offset and magic bytes of archives.
ARCHIVES = {
    "zip": (0, b"PK\x03\x04"),
    "7z": (0, b"7z\xbc\xaf\x27\x1c"),
    "tar": (257, b"ustar"),
}
# Of workbooks: the kind by ending, and the magic bytes before 2007 or with a password; later ones are zip archives.
WORKBOOKS = dict.fromkeys((".xlsx", ".xlsm", ".xlsb", ".xls", ".xlt"), "an Excel") | {".ods": "an OpenDocument"}
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# What may hold a split, if no other file is called so.
PACKED = {".zip", ".7z", ".tar", ".tgz", *WORKBOOKS}
# In the first bytes of a workbook with another ending.
WORKBOOK_PARTS = {b"[Content_Types].xml": "an Excel", b"opendocument.spreadsheet": "an OpenDocument"}
# What programs leave beside data: hidden files, Spark's `_SUCCESS`, notes for people.
JUNK = re.compile(r"[._].*|Thumbs\.db|desktop\.ini|README(\.\w+)?|LICENSE(\.\w+)?|Makefile")
SHOWN = 5
# Of a set of files, such as those of a data set of the Hub.
SHARD = re.compile(r"(?P<name>.*?)(?P<number>\d+)-of-(?P<count>\d+)(?P<ending>\..*)?")
MAXIMUM_SHARDS = 100_000


def ending(file: Path) -> str:
    """The ending of a file's name, in lower case, without that of a compression.

    >>> ending(Path("a/Reviews.CSV")), ending(Path("a/train.jsonl.gz")), ending(Path("a/part-00000"))
    ('.csv', '.jsonl', '')
    """
    name = file.name.lower()
    for compression in COMPRESSIONS:
        name = name.removesuffix(compression)
    return Path(name).suffix


def stem_of(file: Path) -> str:
    """The name of a file without its ending and that of a compression, or of a folder.

    >>> stem_of(Path("a/reviews.train.CSV.gz"))
    'reviews.train'
    """
    suffix = "" if file.is_dir() else ending(file)
    return file.name[: file.name.lower().rindex(suffix)] if suffix else file.name


def format_of(file: Path, corpus: CorpusConfig, file_count: int) -> str:
    """The format given by `corpus.format` or the file's ending; a single `.txt` file is read as blocks.

    Raises:
        InputError: the file is an archive or a workbook, or `corpus.format` is `auto` and the ending is unknown.
    """
    reject_archive(file)
    if corpus.format != "auto":
        return corpus.format
    file_format = ENDINGS.get(ending(file))
    if file_format is None:
        known = " ".join(sorted(ENDINGS))
        raise InputError(f"{file}: unknown extension {file.suffix!r}; set corpus.format, or use one of {known}")
    if ending(file) == ".json" and not is_a_row_a_line(lines_of_head(file, corpus)):
        return "json"
    return "blocks" if file_format == "text" and file_count == 1 else file_format


def is_a_row_a_line(first_lines: list[str]) -> bool:
    """Whether JSON text has an object a line, told from its first lines; a lone line may be a table.

    >>> is_a_row_a_line(['{"text": "a"}']), is_a_row_a_line(['{"data": [{"text": "a"}]}']), is_a_row_a_line(["{"])
    (True, False, False)
    """
    filled = [line.strip() for line in first_lines if line.strip()] or ["{}"]
    if not (filled[0].startswith("{") and filled[0].endswith("}")):
        return False
    if len(filled) > 1:
        return True
    try:
        return not is_a_table(json.loads(filled[0]))
    except (ValueError, RecursionError):
        return True


def is_a_table(value: Any) -> bool:
    """Whether a JSON value is an object of nothing but lists and objects, as no row with a text is."""
    return isinstance(value, dict) and bool(value) and all(isinstance(inner, list | dict) for inner in value.values())


def reject_archive(file: Path) -> None:
    """Reject archives and workbooks: unpacking, and checking what is in them, is left to the user.

    Raises:
        InputError: the file is an archive or a workbook, or cannot be read.
    """
    try:
        with open_bytes(file) as stream:
            head = stream.read(512)
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from None
    if (kind := workbook_of(file, head)) is not None:
        raise InputError(f"{file}: {kind} workbook; save its sheet as CSV UTF-8, and give that file")
    for name, (offset, magic) in ARCHIVES.items():
        if head[offset : offset + len(magic)] == magic:
            raise InputError(f"{file}: a {name} archive; unpack it and give the unpacked file or folder")


def workbook_of(file: Path, head: bytes) -> str | None:
    """What made a workbook, from its ending and first bytes; None if it is none.

    >>> workbook_of(Path("a.xls"), b"a text"), workbook_of(Path("a.xls"), OLE), workbook_of(Path("a.csv"), OLE)
    (None, 'an Excel', 'an Excel')
    """
    if not head.startswith((OLE, ARCHIVES["zip"][1])):
        return None
    by_content = "an Excel" if head.startswith(OLE) else None
    by_content = next((kind for part, kind in WORKBOOK_PARTS.items() if part in head), by_content)
    return WORKBOOKS.get(ending(file)) or (by_content if ending(file) in {*ENDINGS, ""} else None)


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
            raise InputError(f"corpus.source: no file matches {corpus.source!r}{looked_in(path)}")
        return files
    looks_like_hub = re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", corpus.source) and ending(path) not in ENDINGS
    if corpus.format == "hub" or looks_like_hub:
        return None
    raise InputError(f"corpus.source: no such file or folder: {corpus.source!r}{looked_in(path)}")


def looked_in(path: Path) -> str:
    """Where a relative path was looked for: paths in YAML files are relative to the folder of the command, too."""
    return "" if path.is_absolute() else f" in {Path.cwd()}"


def _files_in(folder: Path, corpus: CorpusConfig) -> list[Path]:
    """The files of each split: `train.csv`, `train-00000-of-00002.parquet`, or all files in the folder `train/`."""
    files: list[Path] = []
    for split in corpus.split.split("+"):
        named, nested = _split_files(folder, split, corpus)
        if not named and not nested:
            all_files = files_read(folder, corpus)
            if split == "all" and not all_files:
                raise InputError(none_is_read(folder, corpus))
            if split != "all":
                entries = ", ".join(sorted(entry.name for entry in folder.iterdir())[:10]) or "nothing"
                raise InputError(
                    f"corpus.split: {split!r} is neither a file nor a folder in {folder} (it has: {entries}); "
                    "`all` reads every file in it"
                )
            nested = all_files
        files += named + nested
    return files


def none_is_read(folder: Path, corpus: CorpusConfig) -> str:
    """Why no file of a folder is read, in a message."""
    counts = collections.Counter(ending(file) for file in walk(folder))
    if not counts:
        return f"corpus.source: there is no file in {folder}"
    known = " ".join(sorted(ENDINGS))
    endings = _listed([f"{count} {name or 'without an ending'}" for name, count in counts.most_common()])
    advice = "; set corpus.format to read those without an ending" if counts[""] and corpus.format == "auto" else ""
    if not WORKBOOKS.keys().isdisjoint(counts):
        advice += "; save the sheets of workbooks as CSV UTF-8"
    return f"corpus.source: no file in {folder} has an ending that is read ({known}); it has: {endings}{advice}"


def _split_files(folder: Path, split: str, corpus: CorpusConfig) -> tuple[list[Path], list[Path]]:
    """Files named after a split (`train.csv`, `train-00000-of-00002.parquet`), and files in the folder of its name.

    Only those that are read: not `train.py`. If there are none, those which have its name in capitals or small letters
    (`Train.csv`), or else archives and workbooks.
    """
    entries, packed = sorted(folder.glob("*")), []
    for case in (re.NOFLAG, re.IGNORECASE):
        name = re.compile(rf"{re.escape(split)}(-\d[\w-]*)?\..+", case)
        named = [file for file in entries if name.fullmatch(file.name) and file.is_file()]
        # In a given format, they may have any ending.
        others = [] if corpus.format == "auto" else [file for file in named if not COMPANION.fullmatch(file.name)]
        packed = [file for file in named if ending(file) in PACKED]
        named = without_copies([file for file in named if is_read(file, corpus)] or others)
        inner = [entry for entry in entries if re.fullmatch(re.escape(split), entry.name, case)] or [folder / split]
        nested = [file for path in inner for file in files_read(path, corpus)]
        if named or nested:
            return named, nested
    # What has to be unpacked first is asked for, as another part would be taken for all texts.
    return packed, []


def has_split(corpus: CorpusConfig, split: str) -> bool:
    """Whether a corpus's folder holds files of every one of the splits joined by `+`, or `all` is asked for."""
    return split == "all" or all(any(_split_files(Path(corpus.source), part, corpus)) for part in split.split("+"))


def is_read(file: Path, corpus: CorpusConfig) -> bool:
    """Whether a file in a folder is read: one with a known ending or, if `corpus.format` is given, with none.

    Where files are called as their classes, these may be their endings; `class_files` chooses among them.
    """
    if corpus.format == "class_lines":
        return ENDINGS.get(ending(file), "text") == "text"
    return ending(file) in ENDINGS or (corpus.format != "auto" and not ending(file).removeprefix(".").isalpha())


def files_read(folder: Path, corpus: CorpusConfig) -> list[Path]:
    """The files below a folder that are read, sorted.

    Raises:
        InputError: one is a link to nowhere.
    """
    files = without_copies([file for file in walk(folder) if is_read(file, corpus)])
    if corpus.format == "class_lines":
        files = class_files(files)
    elif corpus.format in WITHOUT_NOTES:
        files = without_notes(files)
    for file in files:
        if not file.exists():
            raise InputError(f"{file}: a link to {os.path.realpath(file)}, which does not exist")
    return files


def without_copies(files: list[Path]) -> list[Path]:
    """The files without the compressed ones that lie beside what they were made of.

    >>> [file.name for file in without_copies([Path("a.csv"), Path("a.csv.gz"), Path("b.csv.gz")])]
    ['a.csv', 'b.csv.gz']
    """
    plain = {*files}
    return [file for file in files if file.suffix.lower() not in COMPRESSIONS or file.with_suffix("") not in plain]


def without_notes(files: list[Path]) -> list[Path]:
    """The files without text files that are called as notes beside tables are, unless there are no others.

    >>> [file.name for file in without_notes([Path("a.txt"), Path("readme.txt"), Path("notes.csv")])]
    ['a.txt', 'notes.csv']
    """
    return [file for file in files if ending(file) != ".txt" or not COMPANION.fullmatch(file.name)] or files


def class_files(files: list[Path]) -> list[Path]:
    """Which files are a class each: those called as the ones with the endings of classes, else all but companions.

    >>> [file.name for file in class_files([Path("neg.txt"), Path("notes.md"), Path("pos.txt"), Path("ugly.text")])]
    ['neg.txt', 'pos.txt', 'ugly.text']
    >>> [file.name for file in class_files([Path("rt.neg"), Path("rt.neu"), Path("rt.pos"), Path("rtdata.README.txt")])]
    ['rt.neg', 'rt.neu', 'rt.pos']
    """
    if have_class_endings(files):
        stems = {file.stem for file in files if ending(file) in CLASS_ENDINGS}
        return [file for file in files if file.stem in stems]
    return [file for file in files if not COMPANION.fullmatch(file.name)] or files


def have_class_endings(files: list[Path]) -> bool:
    """Whether files of both classes are called by them (`rt-polarity.pos`, `rt-polarity.neg`)."""
    return {ending(file) for file in files} >= CLASS_ENDINGS


def walk(folder: Path) -> list[Path]:
    """All files below a folder, sorted, through links to other folders, too, and links to nowhere.

    Those of `JUNK` are left out, and pipes and devices, which have no end.
    """
    found: list[Path] = []
    seen: set[str] = set()
    for directory, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(directory)
        # A link may lead back to where the walk came from.
        folders[:] = [] if real in seen else [name for name in folders if not JUNK.fullmatch(name)]
        if real in seen:
            continue
        seen.add(real)
        found += [Path(directory, name) for name in files if not JUNK.fullmatch(name)]
    return sorted(file for file in found if file.is_file() or not file.exists())


def inner_folders(corpus: CorpusConfig) -> Iterator[CorpusConfig]:
    """The corpora of the only folder with data in a folder, of the only one in that, and so on: as in a clone of a data
    set of the Hub, which has notes and descriptions of itself above them.
    """
    while True:
        folder = Path(corpus.source)
        read = [file for file in walk(folder) if is_read(file, corpus)]
        data = [file for file in read if file.parent != folder or not COMPANION.fullmatch(file.name)]
        entries = {entry_of(file, folder) for file in data}
        if len(entries) != 1 or entries & {*data}:
            return
        corpus = dataclasses.replace(corpus, source=str(entries.pop()))
        yield corpus


def entry_of(file: Path, folder: Path) -> Path:
    """The file or folder in a folder that a file is, or lies in.

    >>> str(entry_of(Path("a/b/c.txt"), Path("a"))), str(entry_of(Path("a/c.txt"), Path("a")))
    ('a/b', 'a/c.txt')
    """
    return folder / file.relative_to(folder).parts[0]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")


def missing_shards(files: list[Path]) -> Iterator[str]:
    """A line about each set of files numbered `NUMBER-of-COUNT` of which some are not there.

    >>> list(missing_shards([Path("d/train-00000-of-00003.parquet"), Path("d/train-00002-of-00003.parquet")]))
    ['d: train-00001-of-00003.parquet is missing: 2 of 3 files are there']
    """
    sets: dict[tuple[Path, str, str, str], set[str]] = {}
    for file in files:
        if match := SHARD.fullmatch(file.name):
            sets.setdefault((file.parent, match["name"], match["count"], match["ending"]), set()).add(match["number"])
    for (folder, name, count, suffix), numbers in sets.items():
        expected = [f"{number:0{len(count)}d}" for number in range(int(count))][:MAXIMUM_SHARDS]
        missing = [f"{name}{number}-of-{count}{suffix}" for number in expected if number not in numbers]
        if missing:
            verb = "is" if len(missing) == 1 else "are"
            yield f"{folder}: {_listed(missing)} {verb} missing: {len(numbers)} of {int(count)} files are there"


def passed_over(corpus: CorpusConfig, files: list[Path]) -> Iterator[str]:
    """A line about what a corpus lacks, and about each of its folders that holds files which are not read."""
    yield from missing_shards(files)
    source, read = Path(corpus.source), set(files)
    if not source.is_dir():
        return
    folders = [source]
    if corpus.split != "all":
        of_split = {entry_of(file, source) for file in files}
        entries = [path for path in sorted(source.iterdir()) if not JUNK.fullmatch(path.name)]
        if beside := [path.name for path in entries if path not in of_split]:
            yield f"{source}: beside {corpus.split!r} there are {_listed(beside)}"
        folders = sorted(path for path in of_split if path.is_dir())
    for folder in folders:
        names = [str(file.relative_to(folder)) for file in walk(folder) if file not in read]
        if names:
            yield f"{folder}: {len(names)} file(s) not read: {_listed(names)}"
