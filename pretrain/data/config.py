"""Every key of masking and of corpus preparation."""

import os
from dataclasses import dataclass
from typing import Literal

from configs.bounds import require_at_least, require_between


@dataclass(frozen=True)
class MaskingConfig:
    """Which tokens are hidden (Devlin et al. 2018, section 3.1)."""

    rate: float = 0.15
    """Share of a sequence's tokens to predict; the count is exact, and at least one."""
    unit: Literal["token", "word", "span"] = "token"
    """What is hidden together: single tokens; whole words, all pieces of them; or spans of words, of a geometric
    length, which all become [MASK], random or stay (Joshi et al. 2020, SpanBERT, section 3.1)."""
    span_probability: float = 0.2
    """Of spans: the parameter of the geometric distribution of their length in words."""
    maximum_span: int = 10
    """Of spans: words in the longest."""
    maximum_predictions: int | None = None
    """At the most so many a sequence; null sets no bound."""
    mask_share: float = 0.8
    """Share of the chosen tokens that become [MASK]."""
    random_share: float = 0.1
    """Share of the chosen tokens that become a random entry of the vocabulary; the rest stays."""

    def __post_init__(self) -> None:
        """Refuse shares that do not add up."""
        require_between(0.001, 0.9, rate=self.rate)
        require_between(0, 1, mask_share=self.mask_share, random_share=self.random_share)
        require_between(0, 1, mask_share_plus_random_share=self.mask_share + self.random_share)
        require_between(0.001, 1, span_probability=self.span_probability)
        most = 1 if self.maximum_predictions is None else self.maximum_predictions
        require_at_least(1, maximum_span=self.maximum_span, maximum_predictions=most)


@dataclass(frozen=True)
class PreparationConfig:
    """Who turns text into ids; the result does not depend on it."""

    backend: Literal["processes", "ray"] = "processes"
    """`processes` of this machine, or `ray`: Ray Data on a cluster that sees this folder (extra `ray`)."""
    processes: int | None = None
    """How many; null takes every core."""

    def __post_init__(self) -> None:
        """Refuse counts below one."""
        require_at_least(1, processes=self.count)

    @property
    def count(self) -> int:
        """How many processes."""
        return (os.cpu_count() or 1) if self.processes is None else self.processes
