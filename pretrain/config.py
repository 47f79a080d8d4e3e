"""Every key of a pretraining run, composed of the keys of its parts."""

from dataclasses import dataclass, field
from typing import Literal

from configs.bounds import require_at_least, require_between
from configs.errors import InputError
from configs.fields import added_later, outside_digest, renamed
from pretrain.audits.config import LeakageConfig
from pretrain.data.config import MaskingConfig, PreparationConfig
from pretrain.models.config import EncoderConfig, RecurrentLMConfig
from pretrain.objectives.registry import objective_named
from pretrain.training.config import OptimizerConfig, TrainingConfig
from pretrain.training.schedule import Duration
from tokenizer.corpus.config import CorpusConfig


@dataclass(frozen=True)
class PretrainConfig:
    """Pretrain an encoder: masked-LM with next-sentence prediction, and other objectives."""

    name: str = "pretrain"
    """The run folder is `runs/pretrain/<name>-<digest>`."""
    tokenizer: str | None = outside_digest(None)
    """A tokenizer run's YAML file (the run must be finished), any folder with a tokenizer, or a Hub id. With
    `model.init_from`, one that adds words to the checkpoint's; with any other, or null, the checkpoint's is used.
    Identified by its content, not by this path."""
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    objective: str = "mlm_nsp"
    """`mlm_nsp`: masked-LM and next-sentence prediction (BERT); `mlm`: masked-LM on packed full sentences (RoBERTa);
    `mlm_sop`: masked-LM and sentence order (ALBERT); `rtd`: replaced-token detection (ELECTRA); `causal_lm`: a
    recurrent language model; `autoencode`: a recurrent sequence autoencoder (Dai and Le 2015). See docs/pretraining.md
    and docs/recurrent.md for which to choose."""
    pairs: Literal["bert", "balanced"] = renamed("bert", former_values={"bert": "faithful"})
    """For `mlm_nsp`: `bert` draws pairs as google-research/bert does, where more than half are random; `balanced`
    makes exactly half random, with the same lengths in both halves."""
    pair_weight: float = added_later(1.0)
    """For `mlm_nsp` and `mlm_sop`: the weight of the second task's loss beside that of masked-LM; BERT's is 1."""
    preparation: PreparationConfig = outside_digest(PreparationConfig())  # noqa: RUF009
    audited_documents: int = outside_digest(100_000)
    """Maximum number of documents to compare for near duplicates, sampled at random; 0 disables the audit."""
    leakage: LeakageConfig = field(default_factory=LeakageConfig)
    sequence_length: int = 128
    """Maximum tokens per sequence, including [CLS] and two [SEP]; not used by `causal_lm`, see `recurrent.bptt`."""
    phases: str | None = None
    """Sequence lengths over the run, instead of `sequence_length`: `90% at 128, then 10% at 512`."""
    short_sequence_probability: float = 0.1
    """For pairs: the share of documents whose pairs have a random shorter target length."""
    held_out_share: float = 0.02
    """Share of the documents held out for evaluation."""
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    model: EncoderConfig = field(default_factory=EncoderConfig)
    recurrent: RecurrentLMConfig = field(default_factory=RecurrentLMConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    seed: int = 0
    """Seed of initial weights, held-out documents, pairs, masks, order and dropout."""
    log_with: str | list[str] | None = outside_digest(None)  # noqa: RUF009
    """Trackers of accelerate in addition to `metrics.jsonl`, such as `tensorboard` or `[tensorboard, trackio]`."""
    checkpoint_hub: str | None = outside_digest(None)
    """`owner/name` on the Hub, a repository that is created as a private one if it is missing: each checkpoint is
    pushed there while training goes on, and a run without checkpoints on this machine goes on from there."""
    runs: str = outside_digest("runs")
    """The folder of runs."""

    def __post_init__(self) -> None:
        """Reject values outside their bounds, and keys that do not go together."""
        require_at_least(8, sequence_length=self.sequence_length)
        require_at_least(0, audited_documents=self.audited_documents)
        require_between(0, 100, pair_weight=self.pair_weight)
        require_between(0, 1, short_sequence_probability=self.short_sequence_probability)
        require_between(0.0001, 0.5, held_out_share=self.held_out_share)
        recurrent = objective_named(self.objective).recurrent
        if recurrent and (self.model.init_from is not None or self.phases is not None):
            raise InputError(f"objective: {self.objective} supports neither model.init_from nor phases; leave both out")
        from_scratch = self.model.init_from is None and self.phases is None and not recurrent
        if from_scratch and self.sequence_length > self.model.maximum_positions:
            raise InputError(
                f"sequence_length: {self.sequence_length} exceeds model.maximum_positions "
                f"({self.model.maximum_positions})"
            )
        moves = self.masking.final_rate is not None and not recurrent
        if moves and (self.phases is not None or Duration.parse(self.training.duration).unit == "seconds"):
            raise InputError(
                "masking.final_rate: the rate of a batch has to follow from its number; give training.duration in "
                "epochs, steps or tokens, and leave phases out"
            )
