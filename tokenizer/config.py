"""Every key of a corpus and of a tokenizer run."""

from dataclasses import dataclass, field
from typing import Literal

from configs.errors import InputError
from configs.run_folder import outside_digest

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
    maximum_documents: int | None = None
    """Read only so many documents, for trials."""

    def __post_init__(self) -> None:
        """Refuse lengths below one."""
        require_at_least(1, corpus_maximum_sentence_characters=self.maximum_sentence_characters)
        if self.maximum_documents is not None:
            require_at_least(1, corpus_maximum_documents=self.maximum_documents)


@dataclass(frozen=True)
class TokenizerConfig:
    """Train a WordPiece tokenizer on a corpus and audit it."""

    name: str = "tokenizer"
    """The run folder is `runs/tokenizer/<name>-<digest>`."""
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    vocabulary_size: int = 8000
    """Entries at the most, the five special tokens included."""
    minimum_frequency: int = 2
    """A pair of pieces rarer than this is not merged."""
    lowercase: bool = True
    """Uncased (true) or cased (false)."""
    strip_accents: bool | None = None
    """Take accents off letters; null goes by `lowercase`, as BERT does."""
    maximum_length: int = 512
    """What `AutoTokenizer` reports as `model_max_length`, in tokens."""
    runs: str = outside_digest("runs")
    """The folder that receives run folders."""

    def __post_init__(self) -> None:
        """Refuse sizes that cannot hold the special tokens."""
        require_at_least(16, vocabulary_size=self.vocabulary_size, maximum_length=self.maximum_length)


def require_at_least(minimum: float, **values: float) -> None:
    """Refuse a value below `minimum`; an underscore behind a known group name stands for a dot.

    Raises:
        InputError: names the key, the value and the bound.

    >>> require_at_least(1, batch_size=4)
    """
    for name, value in values.items():
        if not value >= minimum:
            key = name.replace("corpus_", "corpus.")
            raise InputError(f"{key}: {value} is too small; give at least {minimum}")
