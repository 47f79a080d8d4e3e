"""Every key of the leakage audit."""

from dataclasses import dataclass

from configs.fields import outside_digest


@dataclass(frozen=True)
class LeakageConfig:
    """The labelled test texts that should not be in the pretraining corpus."""

    split: str | None = None
    """The split with the test texts, read like `corpus` except for the keys here; null disables the audit."""
    source: str | None = outside_digest(None)
    """The source of the test texts; null uses that of the corpus. Identified by its content, not by this path."""
    text_column: str | None = None
    """The column with the text; null uses that of the corpus."""
    drop: bool = False
    """Drop documents that are exact or near duplicates of test texts; otherwise they are only reported."""
