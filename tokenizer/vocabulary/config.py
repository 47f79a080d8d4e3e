"""The config of a vocabulary."""

from dataclasses import dataclass
from typing import Literal

from configs.bounds import require_at_least
from configs.fields import added_later


@dataclass(frozen=True)
class VocabularyConfig:
    """How text is normalised and split into tokens."""

    model: Literal["wordpiece", "bpe", "unigram", "characters", "bytes"] = "wordpiece"
    """`wordpiece`: as in BERT; `bpe`: byte-level as in RoBERTa, without unknown tokens; `unigram`: as in ALBERT, also
    for languages without spaces; `characters`; `bytes`: 256 entries and the special tokens, without training."""
    vocabulary_size: int = 8000
    """Maximum number of entries, including the five special tokens; unused by `bytes`."""
    minimum_frequency: int = 2
    """Minimum count of a pair of pieces, or with `characters` of a character, to get an entry."""
    limit_alphabet: int | None = added_later(None)
    """For `wordpiece` and `unigram`: keep this many characters, the most frequent ones; the others are unknown tokens.
    null: a quarter of `vocabulary_size`, at least 128, so that an alphabet as large as the Korean or Chinese one leaves
    room for words."""
    lowercase: bool = True
    """Uncased (true) or cased (false)."""
    strip_accents: bool | None = None
    """Strip accents; null follows `lowercase`, as in BERT."""
    normalisation: Literal["by_script", "bert"] = "by_script"
    """How accents are stripped: `by_script` only from Latin, Greek and Cyrillic letters; `bert` as
    google-research/bert, which also splits Hangul into jamo and removes Japanese voicing and Indic vowel marks."""
    split_chinese: bool = True
    """For `wordpiece`: treat every Chinese character as a word, as in BERT."""
    maximum_length: int = 512
    """`model_max_length` of the saved tokenizer, in tokens."""

    def __post_init__(self) -> None:
        """Reject sizes that are too small."""
        require_at_least(16, vocabulary_size=self.vocabulary_size, maximum_length=self.maximum_length)
        require_at_least(1, minimum_frequency=self.minimum_frequency)
        require_at_least(1, limit_alphabet=1 if self.limit_alphabet is None else self.limit_alphabet)

    @property
    def alphabet_limit(self) -> int:
        """The maximum number of characters."""
        return max(128, self.vocabulary_size // 4) if self.limit_alphabet is None else self.limit_alphabet
