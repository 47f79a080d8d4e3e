"""Texts and time → the YAML files of a comparison, chosen once and kept.

`runs/plans/<name>-<digest>/`: `data/` (the texts by part), a YAML file for each stage, `compare.yaml` for all, and
`result.json` with the choices and why.
"""

import dataclasses
import itertools
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from configs.command_line import load
from configs.errors import InputError
from configs.run_folder import RunFolder, run_unless_finished, write_atomically
from finetune.comparison.compared_score import compared_score, score_name
from finetune.comparison.config import CompareConfig
from finetune.comparison.grid import cell_config, stage_command, stage_configs, with_tokenizer
from finetune.comparison.running import estimate
from finetune.comparison.running.devices import gpus, runs_at_a_time
from finetune.comparison.running.subprocesses import run_stage
from finetune.own_data import rules, sources, texts
from finetune.own_data.config import OwnDataConfig
from finetune.own_data.rules import Design, Places
from finetune.own_data.texts import Texts
from pretrain.models.config import stage_of
from tokenizer.corpus import shards
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.documents import read as read_documents
from tokenizer.run_paths import run_folder as tokenizer_folder
from tokenizer.vocabulary.serialization import load as load_tokenizer

log = logging.getLogger(__name__)

STAGES = ("tokenizer", "pretrain", "language_model", "finetune", "compare")
# More text is not copied: a second of pretraining reads about as many characters.
CHARACTERS_A_SECOND = {"cpu": 100_000, "gpu": 5_000_000}
# Training texts of which the tokens are counted.
COUNTED_TEXTS = 2000


def run(config: OwnDataConfig, fine_tune: estimate.FineTune) -> RunFolder:
    """Choose the settings of a comparison on one's own data and write them; a finished plan is kept.

    Args:
        config: the data and the time.
        fine_tune: what runs a fine-tuning config, to measure how fast that is.

    Raises:
        InputError: a file, column, text or label is missing or unusable, or a probe failed.
    """
    corpora = sources.find_sources(config)
    upstream = [shards.fingerprint(corpus) for corpus in corpora.corpora()]
    folder = RunFolder.of("plans", config, upstream)
    return run_unless_finished(folder, "plan", lambda: _run(config, folder, corpora, fine_tune))


def _run(config: OwnDataConfig, folder: RunFolder, corpora: sources.Sources, fine_tune: estimate.FineTune) -> None:
    started = time.monotonic()
    folder.begin(config)
    data = folder.path / "data"
    speed = CHARACTERS_A_SECOND["gpu" if gpus() else "cpu"]
    facts = texts.write(corpora, data, round(60 * config.minutes * speed))
    if (most := max(config.label_budgets or [0])) > facts.train_texts:
        raise InputError(
            f"label_budgets: {most} exceeds the {facts.train_texts} labelled texts that are not for testing"
        )
    score = compared_score(CompareConfig(score=config.score), facts.multi_label)
    first = dataclasses.replace(_first_design(config, facts), score=None if score == "accuracy" else score)
    _write_stages(config, folder, first, facts)
    comparison = comparison_of(folder, config)
    tokenizer_config, _ = stage_configs(comparison)
    tokenizer_run = tokenizer_folder(tokenizer_config)
    run_stage(stage_command("tokenizer", comparison.tokenizer, {}, comparison, tokenizer_config.corpus), tokenizer_run)
    length, is_long, pretraining_length = rules.lengths(token_counts(data, facts, tokenizer_run))
    design = dataclasses.replace(
        first, sequence_length=length, long_texts=is_long, pretraining_length=pretraining_length
    )
    _write_stages(config, folder, design, facts)
    log.info("plan: measuring how fast this machine is")
    comparison = comparison_of(folder, config)
    rates = measured(comparison, tokenizer_run, fine_tune)
    design = fitted(config, design, facts, rates, folder, 60 * config.minutes - (time.monotonic() - started))
    _write_stages(config, folder, design, facts)
    choices = choices_of(design, facts)
    for name, value, reason in choices:
        log.info("plan: %s: %s (%s)", name, value, reason)
    folder.finish(
        {
            "choices": [dict(zip(("name", "value", "reason"), choice, strict=True)) for choice in choices],
            "texts": dataclasses.asdict(facts),
            "rates": dataclasses.asdict(rates)
            | {"cells": {name: rate._asdict() for name, rate in rates.cells.items()}},
        }
    )


def comparison_of(folder: RunFolder, config: OwnDataConfig) -> CompareConfig:
    """The comparison that a plan holds."""
    overrides: dict[str, Any] = {"runs": config.runs, "processes": config.processes, "dry_run": config.dry_run}
    return load(CompareConfig, folder.path / "compare.yaml", overrides)


def rates_of(folder: RunFolder) -> estimate.Rates:
    """The rates that a finished plan measured."""
    rates = folder.result()["rates"]
    return estimate.Rates(
        **rates | {"cells": {name: estimate.CellRate(**rate) for name, rate in rates["cells"].items()}}
    )


def measured(comparison: CompareConfig, tokenizer_run: RunFolder, fine_tune: estimate.FineTune) -> estimate.Rates:
    """How fast this machine is at the stages and models of a comparison."""
    _, stages = stage_configs(comparison)
    run, _ = cell_config(comparison, next(iter(comparison.models)), comparison.label_budgets[0], 0, {}, {})
    at_a_time = runs_at_a_time(comparison, run)
    stages = with_tokenizer(stages, tokenizer_run)
    return estimate.measure(comparison, tokenizer_run, stages, at_a_time, fine_tune)


def _first_design(config: OwnDataConfig, facts: Texts) -> Design:
    """What is known before the tokenizer is trained and the machine is measured."""
    budgets = config.label_budgets or rules.label_budgets(facts, rules.DESIGNS[0][0])
    models = list(config.models or rules.MODELS)
    return Design(
        size=rules.encoder_size(config.minutes * rules.PRETRAINING_SHARE * (1 - rules.LANGUAGE_MODEL_SHARE)),
        vocabulary_size=rules.vocabulary_size(facts),
        sequence_length=rules.LONGEST,
        long_texts=False,
        pretraining_length=rules.PRETRAINING_LENGTHS[0],
        label_budgets=budgets,
        seeds=config.seeds or list(range(rules.DESIGNS[0][1])),
        models=models,
        pretraining_tokens=1_000_000,
        language_model_tokens=1_000_000,
    )


def token_counts(data: Path, facts: Texts, tokenizer_run: RunFolder) -> list[int]:
    """The tokens of some training texts, spread over all of them, with those of second texts."""
    corpus = CorpusConfig(
        source=str(data),
        split=sources.TRAIN,
        text_column=facts.text_column,
        second_text_column=facts.second_text_column,
    )
    read = [f"{text.text}\n{text.second_text or ''}" for text in read_documents(corpus)]
    chosen = np.linspace(0, len(read) - 1, min(len(read), COUNTED_TEXTS)).astype(int)
    tokenizer: Any = load_tokenizer(str(tokenizer_run.model))
    encoded = tokenizer([read[number] for number in chosen], add_special_tokens=False, verbose=False)["input_ids"]
    return [len(ids) for ids in encoded]


def fitted(
    config: OwnDataConfig, design: Design, facts: Texts, rates: estimate.Rates, folder: RunFolder, seconds: float
) -> Design:
    """The design with as many label budgets and seeds as fit the time, and pretraining that takes what is left.

    Args:
        config: the time, and what was asked for.
        design: with the lengths of the texts.
        facts: what the texts are.
        rates: of this machine.
        folder: of the plan.
        seconds: that are left.
    """
    for budgets, seeds in rules.DESIGNS:
        design = dataclasses.replace(
            design,
            label_budgets=sorted(config.label_budgets or rules.label_budgets(facts, budgets)),
            seeds=config.seeds or list(range(seeds)),
        )
        _write_stages(config, folder, design, facts)
        fine_tuning = finetuning_seconds(comparison_of(folder, config), facts, rates)
        if fine_tuning <= rules.FINETUNING_SHARE * seconds:
            break
    if fine_tuning > rules.FINETUNING_SHARE * seconds:
        log.warning(
            "plan: fine-tuning alone takes about %.0f minutes, which leaves pretraining little or exceeds the time; "
            "give more --minutes, or fewer --models", fine_tuning / 60,
        )  # fmt: skip
    left = max(
        seconds - fine_tuning - estimate.STAGE_START * len(rates.tokens_per_second), rules.PRETRAINING_SHARE * seconds
    )
    speeds, tokens = rates.tokens_per_second, rates.corpus_tokens
    share = rules.LANGUAGE_MODEL_SHARE if "language_model" in speeds else 0.0
    if "pretrain" not in speeds:
        share = 1.0
    counts = {}
    for name, part in (("pretrain", 1 - share), ("language_model", share)):
        counts[name] = rules.pretraining_tokens(left * part, speeds[name], tokens[name]) if name in speeds else 0
    return dataclasses.replace(
        design,
        pretraining_tokens=counts["pretrain"] or design.pretraining_tokens,
        language_model_tokens=counts["language_model"] or design.language_model_tokens,
    )


def finetuning_seconds(comparison: CompareConfig, facts: Texts, rates: estimate.Rates) -> float:
    """The expected duration of all fine-tuning runs of a plan, as many at a time as the machine takes."""
    total = 0.0
    for model, budget in itertools.product(comparison.models, comparison.label_budgets):
        run, _ = cell_config(comparison, model, budget, 0, {}, {})
        validation = min(run.maximum_validation_texts, round(run.validation_share * budget))
        counts = (budget - validation, validation, facts.test_texts)
        total += len(comparison.seeds) * estimate.cell_seconds(run, rates.cells[model], counts)
    return total / runs_at_a_time(comparison, run)


def _write_stages(config: OwnDataConfig, folder: RunFolder, design: Design, facts: Texts) -> None:
    """Write the YAML file of each stage."""
    paths = {name: str(folder.path / f"{name.replace('_', '-')}.yaml") for name in STAGES}
    places = Places.of(facts, str(folder.path / "data"), paths, config.language)
    settings = rules.stage_settings(design, places, facts)
    for name, keys in settings.items():
        write_atomically(Path(paths[name]), yaml.safe_dump(keys, sort_keys=False, allow_unicode=True))


def choices_of(design: Design, facts: Texts) -> list[tuple[str, str, str]]:
    """What was chosen, and why, in words."""
    counts = ", ".join(f"{name} {count:,}" for name, count in zip(facts.classes, facts.counts, strict=True))
    unlabelled = f"{facts.unlabelled_texts:,} unlabelled and {facts.train_texts:,} labelled texts"
    kind = "long" if design.long_texts else "short"
    reason = "each class counts by its texts"
    if facts.multi_label or design.score is not None:
        reason = "a text may have several labels" if facts.multi_label else "as asked for"
    elif (times := rules.unevenness(facts)) >= rules.UNEVEN:
        reason = (
            f"tells little of the smallest class, {times:.0f} times smaller than the largest; "
            "`--score macro_f1` counts all classes alike"
        )
    pretraining = [
        ("encoder", design.size, "what learns most in the time that pretraining has"),
        (
            "pretraining",
            rules.tokens_text(design.pretraining_tokens),
            f"on {unlabelled}, in what time fine-tuning leaves",
        ),
    ]
    return [
        ("texts", f"{facts.train_texts:,} for training, {facts.test_texts:,} for testing", counts),
        ("score", score_name(design.score or "accuracy"), reason),
        ("vocabulary", f"{design.vocabulary_size:,} entries at most", f"{facts.characters:,} characters of text"),
        ("length", f"{design.sequence_length} tokens", "95 % of the training texts are no longer, or it is the most"),
        ("pooling", "max, with hidden tokens" if design.long_texts else "mean", f"the texts are {kind}"),
        *(pretraining if any(stage_of(model) == "pretrain" for model in design.models) else []),
        (
            "label budgets",
            ", ".join(f"{budget:,}" for budget in design.label_budgets),
            "all labels, and quarters of them",
        ),
        ("seeds", str(len(design.seeds)), "as many as fit the time, at most five"),
    ]
