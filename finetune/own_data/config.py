"""The few keys of a comparison on one's own data."""

import contextlib
import re
from collections.abc import Collection, Generator
from dataclasses import dataclass, fields
from typing import Literal

from configs.bounds import require_at_least, require_between, require_different
from configs.errors import InputError
from configs.fields import added_later, outside_digest
from finetune.comparison.config import MINIMUM_SEEDS
from finetune.config import check_model_name
from pretrain.models.config import stage_of
from tokenizer.corpus.config import Format


@dataclass(frozen=True)
class OwnDataConfig:
    """Compare models on your own text: columns, sizes, lengths, label budgets and seeds are chosen, and told."""

    labelled: str
    """Labelled texts: a file, a folder, a glob pattern, the id of a data set on the Hub, or `sample`. In a folder with
    files or folders named train, test and unlabelled or unsupervised, these are what they are called; a folder of texts
    beside folders with other names is a class."""
    unlabelled: str | None = None
    """More text of the same kind, for pretraining: as `labelled`; labels in it are not read. null: the labelled
    training texts alone."""
    test: str | None = None
    """Labelled test texts. null sets a fifth of the labelled texts aside, near duplicates together."""
    minutes: float = 30.0
    """The time for everything, on this machine. More time: longer pretraining, more label budgets and seeds."""
    text_column: str | None = None
    """The column of the text; null finds it by name and content."""
    second_text_column: str | None = None
    """A second text column, for text-pair tasks."""
    label_column: str | None = None
    """The column of the label; null finds it by name and content."""
    label_separator: str | None = added_later(None)
    """Where a text may have several labels: what stands between them in a cell, such as `;`, or `list`, as
    `corpus.label_separator`. null finds it where it is beyond doubt, and tells; with an empty string, a cell is one."""
    label_columns: list[str] | None = added_later(None)  # noqa: RUF009
    """Where a text may have several labels: a column for each, of 0 and 1, instead of `label_column`."""
    labels: list[str] | None = added_later(None)  # noqa: RUF009
    """Read only texts with these labels, as `corpus.labels`: without a class that has too few texts, say. Numbers, and
    words such as yes and no, are in quotes: `["0", "1"]`. Where a text may have several labels, other labels are left
    out, not texts."""
    format: Format = added_later("auto")  # noqa: RUF009
    """As `corpus.format`, of the labelled texts; of test and unlabelled texts where the ending of a file tells none."""
    encoding: str = added_later("auto")
    """As `corpus.encoding`, of all texts: character encoding of text, CSV and JSON files, such as `cp1252`."""
    delimiter: str | None = added_later(None)
    """As `corpus.delimiter`, of labelled and test texts: what stands between the columns of a CSV or TSV file."""
    header: bool | None = added_later(None)
    """As `corpus.header`, of labelled and test texts: whether the first line of a CSV or TSV file has the column names.
    """
    maximum_set_aside: float = added_later(0.01)
    """As `corpus.maximum_set_aside`, of all texts: the maximum share of unusable rows; a larger one stops the run."""
    score: Literal["accuracy", "macro_f1", "micro_f1", "subset_accuracy"] | None = added_later(None)
    """What is compared; null: accuracy or, where a text may have several labels, micro_f1. macro_f1 is the mean F1 over
    classes or labels, however rare."""
    language: str = "en"
    """ISO 639 code, for sentence splitting."""
    label_budgets: list[int] | None = None
    """Numbers of labels to compare at; null chooses them."""
    seeds: list[int] | None = None
    """Seeds of fine-tuning; null chooses how many."""
    models: list[str] | None = None
    """The models to compare; null: counting words, recurrent models, and the encoder, pretrained and not."""
    name: str = "own"
    """The plan's folder is `runs/plans/<name>-<digest>`."""
    dry_run: bool = outside_digest(False)
    """Choose, measure how fast this machine is, and print what would run, how long and how much disk it would take."""
    processes: int | None = outside_digest(None)
    """As of a comparison: the number of parallel runs."""
    runs: str = outside_digest("runs")
    """The parent folder of all run folders."""

    def __post_init__(self) -> None:
        """Validate the keys."""
        require_between(1, 100_000, minutes=self.minutes)
        if self.seeds is not None:
            require_at_least(MINIMUM_SEEDS, number_of_seeds=len(self.seeds))
            require_different(seeds=self.seeds)
        if self.label_budgets is not None:
            require_different(label_budgets=self.label_budgets)
            require_at_least(1, number_of_label_budgets=len(self.label_budgets))
            require_at_least(2, label_budgets=min(self.label_budgets))
        if self.models is not None:
            require_at_least(1, number_of_models=len(self.models))
            require_different(models=self.models)
            for name in self.models:
                check_model_name(name)
                if stage_of(name) == "autoencoder":
                    raise InputError(
                        f"models: {name!r} needs a sequence autoencoder, which has no rules here; leave it out"
                    )
        if self.label_columns is not None and (self.label_column or self.label_separator):
            raise InputError("label_columns: are instead of `label_column` and `label_separator`; give one of them")
        columns = [self.text_column, self.second_text_column, self.label_column, *(self.label_columns or [])]
        twice = [name for name in columns if name is not None and columns.count(name) > 1]
        if twice:
            raise InputError(
                f"text_column, second_text_column, label_column and label_columns: {twice[0]!r} is given twice; a text "
                "and a label are different columns"
            )
        if self.labelled == self.test:
            raise InputError(f"test: {self.test!r} are the labelled texts; give others, or leave `test` out")


# The flags of the command, and how a message begins to speak of them.
FLAGS, WHERE = tuple(field.name for field in fields(OwnDataConfig)), "with `--labelled`"


@contextlib.contextmanager
def with_flags(flags: Collection[str] = FLAGS, where: str = WHERE) -> Generator[None]:
    """Let an error within that names keys of a corpus say which flags of a command these are."""
    try:
        yield
    except InputError as error:
        if (told := told_as_flags(str(error), flags, where)) == str(error):
            raise
        raise InputError(told) from None


def told_as_flags(message: str, flags: Collection[str] = FLAGS, where: str = WHERE) -> str:
    """A message with the flags for the keys of a corpus in it.

    >>> told_as_flags("a.csv:2: byte 0xe9 is not utf-8; set corpus.encoding: cp1252")
    'a.csv:2: byte 0xe9 is not utf-8; set corpus.encoding: cp1252 (with `--labelled`: `--encoding`)'
    >>> told_as_flags("set corpus.encoding: cp1252, as of 'there'", ["encoding"], "here")
    "set corpus.encoding: cp1252, as of 'there' (here: `--encoding`)"
    """
    keys = [flag for flag in flags if re.search(rf"\bcorpus\.{flag}\b", message)]
    if not keys or f"({where}: " in message or "--labelled" in message:
        return message
    return f"{message} ({where}: {', '.join(f'`--{key}`' for key in keys)})"
