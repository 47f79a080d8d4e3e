"""The config of a corpus."""

from dataclasses import dataclass
from typing import Literal

from configs.bounds import require_at_least, require_between, require_different
from configs.errors import InputError
from configs.fields import added_later, digested_as, outside_digest

Quoting = Literal["auto", "quotes", "none"]
Format = Literal[
    "auto", "text", "blocks", "lines", "class_lines", "label_lines", "jsonl", "json", "csv", "tsv", "parquet", "hub",
    "sample",
]  # fmt: skip

# A value of `label_separator`.
LIST_CELLS = "list"


@dataclass(frozen=True)
class CorpusConfig:
    """The source of a corpus, its format, and how its text is cleaned and split."""

    source: str = outside_digest("sample")
    """A file, a folder, a glob pattern, the id of a data set on the Hub, or `sample`: the built-in synthetic reviews.
    Runs are identified by its content, not by this path."""
    split: str = "unlabelled"
    """One or more splits joined by `+`: a Hub split, a file stem or a folder in `source`; unused for a single file."""
    subset: str | None = None
    """The configuration of a Hub data set with several, such as `sst2` of `nyu-mll/glue`."""
    format: Format = "auto"
    """`auto` uses the file extensions (a single `.txt` file is read as `blocks`). `text`: one document per file,
    labelled by its folder; `blocks`: documents between blank lines; `lines`: one document per line; `class_lines`: the
    same, labelled by the file's name (`positive.txt`, `rt-polarity.pos`); `label_lines`: a label, a space and a
    document per line, as of fastText; `jsonl`, `json` (an array), `csv`, `tsv`, `parquet`: one document per row. Files
    may be compressed (`.gz`, `.bz2`, `.xz`, `.zst`)."""
    text_column: str = "text"
    """The column (or JSON key) of the text."""
    second_text_column: str | None = None
    """A second text column, for text-pair tasks."""
    label_column: str = "label"
    """The column of the label; read only for labelled data. A list of labels, in JSON and Parquet, makes it a task in
    which a text may have several labels, or none."""
    label_separator: str | None = added_later(None)
    """What stands between the labels of a cell, such as `;` in `billing;bug`: a text may then have several labels, and
    one with an empty cell has none. `list`: a cell is a list as JSON or Python writes it, `["billing", "bug"]`. null: a
    cell is one label, and cells that seem to hold several are refused; with an empty string they are not."""
    label_columns: list[str] | None = added_later(None)  # noqa: RUF009
    """Instead of `label_column`: a column for each label, with 1 in the rows of the texts that have it and 0 in others.
    """
    label_name_column: str | None = None
    """A column with the label names, if `label_column` holds numbers."""
    labels: list[str] | None = None
    """Read only documents with these labels, such as `[neg, pos]` to skip the folder `unsup` of aclImdb, whatever the
    case and however numbers are written. Where a text may have several labels, other labels are left out, not texts."""
    encoding: str = digested_as("auto", "utf-8")
    """Character encoding of text, CSV and JSON files. `auto`: UTF-8, UTF-16 where a byte order mark or zeros tell
    it, UTF-32 where a mark does."""
    delimiter: str | None = added_later(None)
    """What stands between the columns of a CSV or TSV file; null finds it: comma, tab, semicolon or bar."""
    quoting: Quoting = added_later("auto")  # noqa: RUF009
    """`quotes`: fields of a CSV or TSV file may be in double quotes; `none`: quotes are text, as in GLUE and Hive."""
    header: bool | None = added_later(None)
    """Whether the first line of a CSV or TSV file has the column names. Without, columns are given by number, from 1;
    null: there is one, unless `text_column` is a number that no column is called."""
    clean_html: bool = True
    """Convert HTML line breaks and paragraphs to newlines, and entities such as `&amp;` to characters."""
    language: str = "en"
    """ISO 639 code, for sentence splitting."""
    sentence_a_line: bool = False
    """Treat each line as one sentence, without further splitting."""
    maximum_sentence_characters: int = 600
    """Longer sentences, such as reviews without full stops, are split at a space."""
    maximum_set_aside: float = outside_digest(0.01)
    """The maximum share of unusable rows; they are listed in `quarantine.jsonl` with file, line and reason, and a
    larger share stops the run."""
    maximum_documents: int | None = None
    """Read only this many documents, the first ones, for trials."""
    share: float = added_later(1.0)
    """Read only about this share of the documents (of the first `maximum_documents`, if it is set), chosen by a hash of
    their text: they stand all over the corpus, copies stay together, and a smaller share is a part of a larger one."""

    def __post_init__(self) -> None:
        """Reject values outside their ranges."""
        require_at_least(1, **{"corpus.maximum_sentence_characters": self.maximum_sentence_characters})
        require_between(0, 1, **{"corpus.maximum_set_aside": self.maximum_set_aside})
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n'):
            raise InputError(f"corpus.delimiter: {self.delimiter!r} is not one character, such as `;` or a tab")
        if self.label_columns is not None:
            require_at_least(2, **{"number of corpus.label_columns": len(self.label_columns)})
            require_different(**{"corpus.label_columns": self.label_columns})
            if self.label_separator is not None:
                raise InputError("corpus.label_separator: a column for each label (`label_columns`) has no separator")
        if self.label_name_column is not None and (self.label_columns is not None or self.label_separator):
            raise InputError("corpus.label_name_column: a text with several labels has no column for one name")
        require_between(0.0001, 1, **{"corpus.share": self.share})
        if self.maximum_documents is not None:
            require_at_least(1, **{"corpus.maximum_documents": self.maximum_documents})
