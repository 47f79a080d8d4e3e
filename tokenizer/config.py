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
    maximum_set_aside: float = outside_digest(0.01)
    """Rows that cannot be used are set aside, with their place and the reason, in `quarantine.jsonl`; where they are a
    larger share than this, the run stops."""
    maximum_documents: int | None = None
    """Read only so many documents, for trials."""

    def __post_init__(self) -> None:
        """Refuse lengths below one."""
        require_at_least(1, corpus_maximum_sentence_characters=self.maximum_sentence_characters)
        require_between(0, 1, **{"corpus.maximum_set_aside": self.maximum_set_aside})
        if self.maximum_documents is not None:
            require_at_least(1, corpus_maximum_documents=self.maximum_documents)


@dataclass(frozen=True)
class TokenizerConfig:
    """Train a tokenizer on a corpus and audit it, or add the corpus's words to a tokenizer that exists."""

    name: str = "tokenizer"
    """The run folder is `runs/tokenizer/<name>-<digest>`."""
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    model: Literal["wordpiece", "bpe", "unigram", "characters", "bytes"] = "wordpiece"
    """`wordpiece`: BERT's; `bpe`: byte-level, as RoBERTa's, where nothing is unknown; `unigram`: as ALBERT's, for
    languages without spaces, too; `characters`; `bytes`: 256 entries and the special tokens, nothing to learn."""
    vocabulary_size: int = 8000
    """Entries at the most, the five special tokens included; unused by `bytes`."""
    minimum_frequency: int = 2
    """A pair of pieces, or a character of `characters`, rarer than this has no entry."""
    lowercase: bool = True
    """Uncased (true) or cased (false)."""
    strip_accents: bool | None = None
    """Take accents off letters; null goes by `lowercase`, as BERT does."""
    normalisation: Literal["by_script", "bert"] = "by_script"
    """Where accents are stripped: `by_script` takes them off Latin, Greek and Cyrillic letters alone. `bert` does as
    google-research/bert: it also tears Hangul into jamo, and drops Japanese voicing and Indic vowel marks."""
    split_chinese: bool = True
    """Of `wordpiece`: every Chinese character is a word, as in BERT."""
    maximum_length: int = 512
    """What `AutoTokenizer` reports as `model_max_length`, in tokens."""
    base: str | None = outside_digest(None)
    """Train nothing: take this tokenizer (a run's YAML file or folder, any folder with a tokenizer, or a Hub id) and
    add `added_words` to it; only `corpus` is used beside. Recognised by what lies there, not by the path."""
    added_words: int = 1000
    """Of `base`: so many words of the corpus at the most, those that save the most tokens."""
    runs: str = outside_digest("runs")
    """The folder that receives run folders."""

    def __post_init__(self) -> None:
        """Refuse sizes that cannot hold the special tokens."""
        require_at_least(16, vocabulary_size=self.vocabulary_size, maximum_length=self.maximum_length)
        require_at_least(1, minimum_frequency=self.minimum_frequency, added_words=self.added_words)


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


def require_between(minimum: float, maximum: float, **values: float) -> None:
    """Refuse a value outside [minimum, maximum], NaN included.

    Raises:
        InputError: names the key, the value and the bounds.

    >>> require_between(0, 1, warmup=0.1)
    """
    for key, value in values.items():
        if not minimum <= value <= maximum:
            raise InputError(f"{key}: {value} is outside [{minimum:g}, {maximum:g}]")
