"""Every key of the search for leaked test texts."""

from dataclasses import dataclass

from configs.fields import outside_digest


@dataclass(frozen=True)
class LeakageConfig:
    """The labelled test texts that pretraining should not have seen."""

    split: str | None = None
    """The split with the test texts, read like `corpus` but for the keys here; null looks for no leakage."""
    source: str | None = outside_digest(None)
    """Where the test texts lie; null takes the corpus's source. Recognised by what lies there, not by this path."""
    text_column: str | None = None
    """The column with the text; null takes the corpus's."""
    drop: bool = False
    """Leave out the documents that are test texts, or nearly so; else they are reported alone."""
