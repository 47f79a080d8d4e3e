"""Every key of masking and of corpus preparation."""

import os
from dataclasses import dataclass
from typing import Literal

from configs.bounds import require_at_least, require_between
from configs.fields import added_later


@dataclass(frozen=True)
class MaskingConfig:
    """Which tokens are masked (Devlin et al. 2018, section 3.1)."""

    rate: float = 0.15
    """Share of a sequence's tokens to predict; the count is exact and at least one."""
    final_rate: float | None = added_later(None)
    """The rate at the end of the run, reached from `rate` in a straight line (Ankner et al. 2023, arXiv 2305.15096);
    held-out texts are masked at this rate. null: `rate` throughout."""
    unit: Literal["token", "word", "span"] = "token"
    """What is masked together: single tokens; whole words, with all their pieces; or spans of words with geometric
    lengths, where a whole span becomes [MASK], becomes random or stays (Joshi et al. 2020, SpanBERT, section 3.1)."""
    span_probability: float = 0.2
    """For spans: the parameter of the geometric distribution of their length in words."""
    maximum_span: int = 10
    """For spans: the maximum length in words."""
    maximum_predictions: int | None = None
    """Maximum number of predictions per sequence; null sets no limit."""
    mask_share: float = 0.8
    """Share of the chosen tokens that become [MASK]."""
    random_share: float = 0.1
    """Share of the chosen tokens that become a random vocabulary entry; the rest stay unchanged."""

    def __post_init__(self) -> None:
        """Reject shares outside their ranges."""
        require_between(
            0.001, 0.9, rate=self.rate, final_rate=self.rate if self.final_rate is None else self.final_rate
        )
        require_between(0, 1, mask_share=self.mask_share, random_share=self.random_share)
        require_between(0, 1, mask_share_plus_random_share=self.mask_share + self.random_share)
        require_between(0.001, 1, span_probability=self.span_probability)
        maximum_predictions = 1 if self.maximum_predictions is None else self.maximum_predictions
        require_at_least(1, maximum_span=self.maximum_span, maximum_predictions=maximum_predictions)


@dataclass(frozen=True)
class PreparationConfig:
    """How text is tokenized in parallel; the result does not depend on it."""

    backend: Literal["processes", "ray"] = "processes"
    """`processes`: processes on this machine; `ray`: Ray Data on a cluster with access to this folder (extra `ray`)."""
    processes: int | None = None
    """Number of processes; null uses every core."""

    def __post_init__(self) -> None:
        """Reject counts below one."""
        require_at_least(1, processes=self.count)

    @property
    def count(self) -> int:
        """The number of processes."""
        return (os.cpu_count() or 1) if self.processes is None else self.processes
