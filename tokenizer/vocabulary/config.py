"""Every key of a vocabulary."""

from dataclasses import dataclass
from typing import Literal

from configs.bounds import require_at_least


@dataclass(frozen=True)
class VocabularyConfig:
    """How text is normalised, and which pieces it is cut into."""

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

    def __post_init__(self) -> None:
        """Refuse sizes that cannot hold the special tokens."""
        require_at_least(16, vocabulary_size=self.vocabulary_size, maximum_length=self.maximum_length)
        require_at_least(1, minimum_frequency=self.minimum_frequency)
