"""The config of a tokenizer run."""

from dataclasses import dataclass, field

from configs.bounds import require_at_least
from configs.fields import outside_digest
from tokenizer.corpus.config import CorpusConfig
from tokenizer.vocabulary.config import VocabularyConfig


@dataclass(frozen=True)
class TokenizerConfig(VocabularyConfig):
    """Train and audit a tokenizer on a corpus, or add words of the corpus to an existing tokenizer."""

    name: str = "tokenizer"
    """The run folder is `runs/tokenizer/<name>-<digest>`."""
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    base: str | None = outside_digest(None)
    """Extend this tokenizer (a run's YAML file or folder, any folder with a tokenizer, or a Hub id) with `added_words`
    instead of training one; of the other keys only `corpus` is used. Identified by its content, not by the path."""
    added_words: int = 1000
    """With `base`: the maximum number of words to add; those that save the most tokens are chosen."""
    runs: str = outside_digest("runs")
    """The parent folder of all run folders."""

    def __post_init__(self) -> None:
        """Reject sizes that are too small."""
        super().__post_init__()
        require_at_least(1, added_words=self.added_words)
