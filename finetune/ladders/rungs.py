"""The rungs of a ladder: a comparison of one model at one label budget each, its pretraining cut short.

So every stage and run is one of the comparison's kind, found again by its digest: the rung of the whole duration is the
comparison's own pretraining.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from configs.command_line import load
from configs.errors import InputError
from configs.key_check import suggestion
from configs.run_folder import RunFolder
from finetune.classification.corpora import sets_test_aside
from finetune.comparison.config import CompareConfig, Overrides, TuningConfig
from finetune.comparison.grid import Cell, cell_config, cell_of, pretraining_stages, seeds_of_pretraining
from finetune.comparison.tuning import FOLDS
from finetune.ladders.config import LadderConfig
from pretrain.config import PretrainConfig
from pretrain.models.config import is_from_scratch, stage_of
from pretrain.run_paths import minimum_documents
from pretrain.training.schedule import Duration
from tokenizer.corpus.documents import place_of
from tokenizer.corpus.documents import read as read_documents


class Rung(NamedTuple):
    """A share of the pretraining's duration, on a share of its documents."""

    step_share: float
    corpus_share: float
    duration: str
    documents: int | None
    """So many, all over the corpus; None: as many as the comparison reads."""
    comparison: CompareConfig
    """Of the one model, with this rung's overrides of its pretraining stage."""

    @property
    def is_step(self) -> bool:
        """Whether it is on the curve: a share of the duration on all documents."""
        return self.documents is None

    def __str__(self) -> str:
        """As lines name it."""
        text = "" if self.documents is None else f", {self.documents:,} documents"
        return f"{self.step_share:g} of the duration ({self.duration}){text}"


def one_model(config: LadderConfig) -> CompareConfig:
    """The comparison, with the ladder's model, label budget and seeds alone, judged on texts that are no test texts.

    Where its fine-tuning stage names validation texts, they judge, and a share of the labels is set aside to choose
    checkpoints by. Else each seed judges on a fifth of its own labels, as tuning does.

    Raises:
        InputError: the comparison has no such model, or the model is not pretrained in it.
    """
    comparison = load(CompareConfig, config.comparison, {"runs": config.runs})
    if config.model not in comparison.models:
        known = list(comparison.models)
        raise InputError(
            f"model: {config.comparison} has no {config.model!r}{suggestion(config.model, known)} ({', '.join(known)})"
        )
    keys = comparison.models[config.model]
    name = keys.get("model.name", config.model)
    if stage_of(name) is None or is_from_scratch(name):
        raise InputError(f"model: {config.model!r} starts from no pretraining of {config.comparison}")
    one = dataclasses.replace(
        comparison,
        name=config.name,
        models={config.model: keys},
        seeds=config.seeds,
        pretraining_seeds=config.pretraining_seeds or comparison.pretraining_seeds,
        label_budgets=[config.label_budget or min(comparison.label_budgets)],
        tuning=TuningConfig(),
        confidence=config.confidence,
        data_folder=config.data_folder or comparison.data_folder,
        processes=config.processes or comparison.processes,
    )
    task, _ = cell_config(one, config.model, one.label_budgets[0], config.seeds[0], {}, {})
    judged: Overrides = {"folds": FOLDS}
    # Without test texts of its own, the corpus would lend those that are set aside for testing.
    if task.validation is not None and not sets_test_aside(task):
        judged = {"test": task.validation, "validation": None, "maximum_test_texts": task.maximum_validation_texts}
    return dataclasses.replace(one, models={config.model: keys | judged})


def stage_of_model(one: CompareConfig) -> str:
    """The pretraining stage that the model starts from, which is the comparison's key for its file."""
    (stage,) = pretraining_stages(one)
    return stage


def documents_of(stage: PretrainConfig, shares: Sequence[float]) -> dict[float, int]:
    """How many documents of the pretraining's corpus are in each share of it, and in the whole, by the share.

    Raises:
        InputError: the corpus cannot be read.
    """
    whole = stage.corpus.share
    places = np.array([place_of(document.text) for document in read_documents(stage.corpus)])
    return {share: int((places < share * whole).sum()) for share in {1.0, *shares}}


def rungs_of(
    config: LadderConfig, one: CompareConfig, stage: PretrainConfig, documents: Mapping[float, int]
) -> list[Rung]:
    """The rungs: shares of the duration first, then shares of the documents, each ascending.

    Args:
        config: of the ladder.
        one: from `one_model`.
        stage: its pretraining as the comparison has it.
        documents: from `documents_of`; may be empty without `corpus_shares`.

    Raises:
        InputError: a share leaves too few documents.
    """
    duration = Duration.parse(stage.training.duration)
    rungs = []
    for share in sorted(config.step_shares):
        # The whole is left as it is written: its run is the comparison's.
        text = stage.training.duration if share == 1 else duration.times(share)
        overrides: Overrides = {} if share == 1 else {"training.duration": text}
        rungs.append(Rung(share, 1.0, text, None, _with_stage(one, overrides)))
    if len({rung.duration for rung in rungs}) < len(rungs):
        durations = ", ".join(rung.duration for rung in rungs)
        raise InputError(f"step_shares: rungs of one duration ({durations}); give shares that are further apart")
    longest = rungs[-1]
    for share in sorted(share for share in config.corpus_shares if share < 1):
        count, least = documents[share], minimum_documents(stage)
        if count < least:
            raise InputError(
                f"corpus_shares: {share:g} of {documents[1.0]} documents are {count}, and pretraining needs {least}"
            )
        text, overrides = longest.duration, Overrides({"corpus.share": share * stage.corpus.share})
        if duration.unit == "epochs":
            # An epoch of fewer documents is shorter; how many they are hangs on the texts.
            amount = duration.amount * documents[1.0] / count
            text = dataclasses.replace(duration, amount=amount).times(longest.step_share)
        if text != stage.training.duration:
            overrides["training.duration"] = text
        rungs.append(Rung(longest.step_share, share, text, count, _with_stage(one, overrides)))
    return rungs


def _with_stage(one: CompareConfig, overrides: Overrides) -> CompareConfig:
    name = stage_of_model(one)
    return dataclasses.replace(one, set=dataclasses.replace(one.set, **{name: getattr(one.set, name) | overrides}))


def cells_of(rung: Rung, tokenizer_override: Overrides, pretrained: Mapping[str, RunFolder]) -> list[Cell]:
    """The fine-tuning runs of a rung: for each pretraining seed, one a seed.

    Args:
        rung: the rung.
        tokenizer_override: the tokenizer's folder.
        pretrained: the run folders of its pretraining, by their keys.
    """
    one = rung.comparison
    (model,), (budget,) = one.models, one.label_budgets
    cells = []
    for first in seeds_of_pretraining(one, model):
        for number, seed in enumerate(one.seeds):
            fold: Overrides = {"fold": number % FOLDS} if "folds" in one.models[model] else {}
            cells.append(cell_of(one, model, budget, seed, tokenizer_override, pretrained, first, fold))
    return cells
