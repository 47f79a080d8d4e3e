"""The config of a ladder."""

from dataclasses import dataclass, field

from configs.bounds import require_at_least, require_between, require_different
from configs.fields import outside_digest
from finetune.comparison.config import MINIMUM_SEEDS

# As many points as a curve has numbers; more leave some to check it by.
MINIMUM_RUNGS = 3
SEEDS = 10


@dataclass(frozen=True)
class LadderConfig:
    """Ask how far more pretraining would help: short runs of a comparison's pretraining, and a curve through them.

    Each is pretrained with its own whole schedule, fine-tuned, and judged without a look at the test texts.
    """

    name: str = "ladder"
    """The run folder is `runs/ladder/<name>-<digest>`."""
    comparison: str = outside_digest("configs/compare/demo.yaml")
    """The comparison's config file, which has the stages and the model's settings."""
    model: str = "bert"
    """The model in it whose pretraining is asked about."""
    label_budget: int | None = None
    """The number of training labels; null: the smallest of the comparison."""
    step_shares: list[float] = field(default_factory=lambda: [0.0625, 0.125, 0.25, 0.5])
    """Shares of the pretraining's duration; at least three."""
    corpus_shares: list[float] = field(default_factory=lambda: [0.25])
    """Shares of the pretraining's documents, from all over the corpus, each pretrained for the largest of
    `step_shares`: what is missing beside the whole corpus is missing by the text alone. `[]` leaves them out."""
    seeds: list[int] = field(default_factory=lambda: list(range(SEEDS)))
    """Fine-tuning seeds, each with its own labels. One run a seed and rung: more seeds make narrower intervals."""
    pretraining_seeds: list[int] | None = None
    """Seeds of pretraining; with several, the intervals allow for the variance between them. null: the comparison's."""
    horizons: list[float] = field(default_factory=lambda: [1.0, 2.0, 4.0])
    """What the score is predicted for, as multiples of the pretraining's duration."""
    confidence: float = 0.95
    """Confidence level of all intervals."""
    data_folder: str | None = outside_digest(None)
    """As of a comparison: look for the data set `owner/name` in `<data_folder>/name`. null: the comparison's."""
    processes: int | None = outside_digest(None)
    """Number of parallel fine-tuning runs. null: as the comparison."""
    dry_run: bool = outside_digest(False)
    """Print the rungs and what of them is not finished, and run none of it but the tokenizer's stage."""
    runs: str = outside_digest("runs")
    """The parent folder of all run folders."""

    def __post_init__(self) -> None:
        """Validate the keys."""
        require_different(step_shares=self.step_shares, corpus_shares=self.corpus_shares, horizons=self.horizons)
        require_different(seeds=self.seeds)
        require_at_least(MINIMUM_RUNGS, number_of_step_shares=len(self.step_shares))
        require_at_least(MINIMUM_SEEDS, number_of_seeds=len(self.seeds))
        require_at_least(1, number_of_horizons=len(self.horizons))
        for key in ("step_shares", "corpus_shares"):
            require_between(0.0001, 1, **{f"{key}: {share:g}": share for share in getattr(self, key)})
        require_between(0.01, 100, **{f"horizons: {times:g}": times for times in self.horizons})
        require_between(0.5, 0.999, confidence=self.confidence)
        if self.pretraining_seeds is not None:
            require_at_least(1, number_of_pretraining_seeds=len(self.pretraining_seeds))
            require_different(pretraining_seeds=self.pretraining_seeds)
        for key in ("label_budget", "processes"):
            if getattr(self, key) is not None:
                require_at_least(1, **{key: getattr(self, key)})
