"""Every key of a corpus."""

from dataclasses import dataclass
from typing import Literal

from configs.bounds import require_at_least, require_between
from configs.fields import outside_digest

Format = Literal["auto", "text", "blocks", "jsonl", "csv", "tsv", "parquet", "hub", "sample"]


@dataclass(frozen=True)
class CorpusConfig:
    """Text, and where it lies."""

    source: str = outside_digest("sample")
    """A file, a folder, a glob pattern, the id of a data set on the Hub, or `sample`: the built-in made-up reviews.
    Runs are recognised by what lies there, not by this path."""
    split: str = "unlabelled"
    """Which part, several joined by `+`: a Hub split, a file stem or a folder under `source`; unused for one file."""
    subset: str | None = None
    """The configuration of a Hub data set that has several, such as `sst2` of `nyu-mll/glue`."""
    format: Format = "auto"
    """`auto` goes by the file endings (a lone `.txt` file holds blocks). `text`: a document a file, labelled by its
    folder; `blocks`: documents between blank lines; `jsonl`, `csv`, `tsv`, `parquet`: a document a row."""
    text_column: str = "text"
    """The column (or JSON key) that holds the text."""
    second_text_column: str | None = None
    """A second text column, for tasks on pairs of texts."""
    label_column: str = "label"
    """The column that holds the label; read for labelled data only."""
    label_name_column: str | None = None
    """A second label column with the name of each label, where `label_column` holds numbers."""
    labels: list[str] | None = None
    """Read only documents with these labels, such as `[neg, pos]` to pass over aclImdb's folder `unsup`."""
    encoding: str = "utf-8"
    """Character encoding of text, CSV and JSON files."""
    clean_html: bool = True
    """Turn HTML line breaks and paragraphs into new lines, and entities such as `&amp;` into characters."""
    language: str = "en"
    """ISO 639 code, for sentence splitting."""
    sentence_a_line: bool = False
    """Take each line of a text for one sentence, and split nothing else."""
    maximum_sentence_characters: int = 600
    """A longer sentence is cut at a space below this length (reviews without full stops)."""
    maximum_set_aside: float = outside_digest(0.01)
    """Rows that cannot be used are set aside, with their place and the reason, in `quarantine.jsonl`; where they are a
    larger share than this, the run stops."""
    maximum_documents: int | None = None
    """Read only so many documents, for trials."""

    def __post_init__(self) -> None:
        """Refuse lengths below one."""
        require_at_least(1, **{"corpus.maximum_sentence_characters": self.maximum_sentence_characters})
        require_between(0, 1, **{"corpus.maximum_set_aside": self.maximum_set_aside})
        if self.maximum_documents is not None:
            require_at_least(1, **{"corpus.maximum_documents": self.maximum_documents})
