"""The block of YAML at the top of a model card, by which the Hub files a model."""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.errors import InputError
from configs.hub_commit import cached_commit
from configs.model_reference import HUB_ID
from finetune.classification.corpora import DEFAULT_TEST, holds_split, is_path
from finetune.config import BAG_OF_WORDS
from finetune.publishing.kinds import CLASSIFIER, Kind
from finetune.publishing.markdown import one_line
from finetune.publishing.measured import Measure
from pretrain.models.config import RECURRENT, is_from_scratch, stage_of
from tokenizer.corpus.config import CorpusConfig

LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]+)*|multilingual|code")
# Corpora that a program writes.
SYNTHETIC = "sample"


@dataclasses.dataclass(frozen=True)
class Statements:
    """What a card says that no run folder knows."""

    license: str | None = None
    language: list[str] = dataclasses.field(default_factory=list)
    datasets: list[str] = dataclasses.field(default_factory=list)
    """Ids of data sets on the Hub."""
    base_model: str | None = None
    """A Hub id."""
    examples: list[str] = dataclasses.field(default_factory=list)
    """Texts to try the model with on its page."""

    def __post_init__(self) -> None:
        """Check what the Hub would refuse.

        Raises:
            InputError: a value of another form.
        """
        if self.license is not None and not LICENSE.fullmatch(self.license):
            raise InputError(f"--license {self.license!r}: give an identifier of the Hub, such as apache-2.0 or other")
        for code in self.language:
            if not LANGUAGE.fullmatch(code):
                raise InputError(f"--language {code!r}: give ISO 639 codes, such as en or [de, fr]")
        for name, identifier in [("datasets", one) for one in self.datasets] + [("base_model", self.base_model)]:
            if identifier is not None and not HUB_ID.fullmatch(identifier):
                raise InputError(f"--{name} {identifier!r}: not the id of a repository on the Hub (owner/name)")


@dataclasses.dataclass(frozen=True)
class Origins:
    """Where a run's data and weights came from, as far as that is public."""

    datasets: list[str]
    """Ids on the Hub."""
    base_model: str | None
    """The id on the Hub of the checkpoint that training began with."""

    @classmethod
    def of(cls, config: dict[str, Any], statements: Statements) -> "Origins":
        """The ids that were given, and those of the config that this machine has read from the Hub.

        An id and a relative path look alike: what was never fetched from the Hub may be a folder that is gone, and its
        name is nobody's business.
        """
        sources = [config["corpus"]["source"], config.get("validation"), config.get("test")]
        found = [source for source in sources if source is not None and is_on_hub(source, "dataset")]
        base = statements.base_model or checkpoint_of(config)
        is_public = base is not None and (base == statements.base_model or is_on_hub(base, "model"))
        return cls([*dict.fromkeys([*statements.datasets, *found])], base if is_public else None)

    @property
    def public(self) -> set[str]:
        """All ids that may be told."""
        return {*self.datasets, *([self.base_model] if self.base_model else [])}


@dataclasses.dataclass(frozen=True)
class ScoredTexts:
    """Where the texts that a classifier was tested on came from, as its config tells; they may be gone."""

    source: str
    """As `corpus.source`."""
    split: str | None
    """None: the source has no splits, a share of the training corpus was set aside, or nobody can tell any more."""
    is_of_corpus: bool
    """Whether they are a part of the training corpus."""
    is_named: bool
    """Whether the config names them; otherwise they are the split `test`, or a share of the training corpus."""

    @classmethod
    def of(cls, config: dict[str, Any]) -> "ScoredTexts":
        """Those of a run of fine-tuning.

        >>> ScoredTexts.of({"corpus": {"source": "owner/name"}, "test": "validation"})
        ScoredTexts(source='owner/name', split='validation', is_of_corpus=True, is_named=True)
        >>> ScoredTexts.of({"corpus": {"source": "owner/name"}, "test": "later/reviews.csv"})
        ScoredTexts(source='later/reviews.csv', split=None, is_of_corpus=False, is_named=True)
        >>> ScoredTexts.of({"corpus": {"source": "reviews.csv"}})
        ScoredTexts(source='reviews.csv', split=None, is_of_corpus=True, is_named=False)
        """
        corpus, reference = config["corpus"], config.get("test")
        if config.get("folds") is not None:
            return cls(corpus["source"], split_read(corpus), is_of_corpus=True, is_named=False)
        if reference is None:
            is_told = holds_split(_corpus(corpus), DEFAULT_TEST)
            if is_told is None:
                # A folder that is gone may have had none.
                is_told = is_on_hub(corpus["source"], "dataset")
            return cls(corpus["source"], DEFAULT_TEST if is_told else None, is_of_corpus=True, is_named=False)
        if not is_path(_corpus(corpus), reference):
            return cls(corpus["source"], reference, is_of_corpus=True, is_named=True)
        split = split_read({**corpus, "source": reference})
        return cls(reference, split, is_of_corpus=False, is_named=True)


def split_read(corpus: Mapping[str, Any]) -> str | None:
    """The split that a run read of a corpus, which may be gone; None if that has none, or was read as a whole.

    >>> split_read({"source": "owner/name", "split": "train"}), split_read({"source": "gone.csv", "split": "train"})
    ('train', None)
    >>> split_read({"source": "owner/name", "split": "all"})
    """
    split = corpus.get("split")
    return None if split in (None, "all") or holds_split(_corpus(corpus), split) is False else split


def _corpus(config: Mapping[str, Any]) -> CorpusConfig:
    """What tells the splits of a run's corpus."""
    return CorpusConfig(source=config["source"], format=config.get("format", "auto"))


def checkpoint_of(config: dict[str, Any]) -> str | None:
    """The checkpoint that a run of fine-tuning or pretraining began with; None if its weights were drawn.

    >>> checkpoint_of({"model": {"name": "owner/roberta", "pretrained": "runs/pretrain/a-1"}})
    'owner/roberta'
    >>> checkpoint_of({"model": {"name": "bert", "pretrained": "runs/pretrain/a-1"}})
    'runs/pretrain/a-1'
    >>> checkpoint_of({"model": {"name": "bert-scratch", "pretrained": "runs/pretrain/a-1"}})
    >>> checkpoint_of({"objective": "mlm", "model": {"init_from": None}})
    """
    model = config["model"]
    if "objective" in config:
        return model.get("init_from")
    name = model["name"]
    if name == BAG_OF_WORDS or name in RECURRENT or is_from_scratch(name):
        return None
    return model["pretrained"] if stage_of(name) else name


def is_on_hub(source: str, kind: str) -> bool:
    """Whether a name is the id of what this machine has read from the Hub.

    >>> is_on_hub("private/reviews", "dataset"), is_on_hub("sample", "dataset")
    (False, False)
    """
    is_id = "/" in source and HUB_ID.fullmatch(source) is not None and not Path(source).exists()
    return is_id and cached_commit(source, kind) is not None


def public_name(value: str, public: Iterable[str] = ()) -> str:
    r"""A data set's or model's name; of a path, only the last component, so that no private path is published.

    Args:
        value: a path, an id or any other word.
        public: ids that are told whole.

    >>> public_name("/home/me/secret/reviews.csv"), public_name("runs/pretrain/demo-1"), public_name("C:\\me\\a.csv")
    ('reviews.csv', 'demo-1', 'a.csv')
    >>> public_name("owner/name"), public_name("owner/name", ["owner/name"]), public_name("8 epochs")
    ('name', 'owner/name', '8 epochs')
    """
    if value in public:
        return value
    return re.split(r"[/\\]", value.rstrip("/\\"))[-1]


def public_split(split: str) -> str:
    """The names of splits, which may be folders in a path: of each, the last one.

    >>> public_split("train+clients/acme/test")
    'train+test'
    """
    return "+".join(map(public_name, split.split("+")))


def metadata(
    name: str, config: dict[str, Any], kind: Kind, statements: Statements, origins: Origins, scores: Sequence[Measure]
) -> str:
    """The YAML between the lines of dashes.

    Args:
        name: of the model.
        config: of the run.
        kind: of the model.
        statements: what the user says of it.
        origins: of data and weights.
        scores: on the test texts; empty for a pretraining run.
    """
    from huggingface_hub import EvalResult, ModelCardData

    source, tested = config["corpus"]["source"], ScoredTexts.of(config)
    on_hub = tested.source in origins.datasets
    data_set = tested.source if on_hub else "synthetic" if tested.source == SYNTHETIC else "local"
    subset = config["corpus"].get("subset") if tested.is_of_corpus else None
    entries = {
        "accuracy": ("accuracy", None),
        "subset accuracy": ("accuracy", None),
        "macro-F1": ("f1", {"average": "macro"}),
        "micro-F1": ("f1", {"average": "micro"}),
    }
    results = [
        EvalResult(
            task_type="text-classification",
            dataset_type=data_set,
            dataset_name=one_line(public_name(tested.source, origins.public)) or data_set,
            dataset_split=one_line(public_split(tested.split)) if tested.split else None,
            dataset_config=one_line(subset) if subset else None,
            metric_type=entries[score.name][0],
            metric_name=score.name,
            metric_args=entries[score.name][1],
            metric_value=round(score.value, 4),
        )
        for score in scores
    ]
    examples = statements.examples or (OWN_EXAMPLES if source == SYNTHETIC and kind.name == CLASSIFIER else [])
    data = ModelCardData(
        license=statements.license,
        language=statements.language or None,
        library_name="bertlet" if kind.name == BAG_OF_WORDS else "transformers",
        pipeline_tag=kind.pipeline_tag,
        tags=["bertlet"],
        datasets=origins.datasets or None,
        base_model=origins.base_model,
        model_name=one_line(name),
        eval_results=results or None,
        widget=[{"text": one_line(text)} for text in examples] or None,
    )
    if not results:
        data.model_name = None
    return data.to_yaml()


# Of the built-in texts, which a program writes; texts of a user are never shown.
OWN_EXAMPLES = ["The film was simply enchanting.", "The plot was dull, and the cast was worse."]
