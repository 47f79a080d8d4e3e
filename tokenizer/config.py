"""Every key of a tokenizer run."""

from dataclasses import dataclass, field

from configs.bounds import require_at_least
from configs.fields import outside_digest
from tokenizer.corpus.config import CorpusConfig
from tokenizer.vocabulary.config import VocabularyConfig


@dataclass(frozen=True)
class TokenizerConfig(VocabularyConfig):
    """Train a tokenizer on a corpus and audit it, or add the corpus's words to an existing tokenizer."""

    name: str = "tokenizer"
    """The run folder is `runs/tokenizer/<name>-<digest>`."""
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    base: str | None = outside_digest(None)
    """Train nothing: take this tokenizer (a run's YAML file or folder, any folder with a tokenizer, or a Hub id) and
    add `added_words` to it; of the other keys only `corpus` is used. Recognised by its content, not by the path."""
    added_words: int = 1000
    """With `base`: the most words of the corpus to add; those that save the most tokens are chosen."""
    runs: str = outside_digest("runs")
    """The folder that receives run folders."""

    def __post_init__(self) -> None:
        """Refuse sizes that cannot hold the special tokens."""
        super().__post_init__()
        require_at_least(1, added_words=self.added_words)
