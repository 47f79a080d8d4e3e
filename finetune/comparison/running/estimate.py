"""How long a comparison will take on this machine, and how much disk: from short runs of its stages and models."""

import contextlib
import dataclasses
import io
import json
import math
import shutil
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from configs.command_line import load
from configs.processes import in_processes
from configs.run_folder import RunFolder
from finetune.classification.corpora import corpora_of
from finetune.classification.predictions import TIMINGS
from finetune.comparison.config import CompareConfig, Overrides
from finetune.comparison.grid import cell_config, stage_command, stage_name, stage_overrides
from finetune.comparison.running import subprocesses
from finetune.comparison.running.devices import gpus, take_gpu
from finetune.config import BAG_OF_WORDS, FinetuneConfig
from finetune.run_paths import run_folder as finetune_folder
from pretrain.config import PretrainConfig
from pretrain.data.store import store_folder
from pretrain.models.config import is_frozen
from pretrain.run_paths import run_folder as pretrain_folder
from pretrain.training.schedule import Duration
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.documents import read as read_documents
from tokenizer.run_paths import find as find_tokenizer

if TYPE_CHECKING:
    from rich.table import Table

FineTune = Callable[[FinetuneConfig], RunFolder]

PROBE = "probe"
STAGE_SECONDS = 10
CELL_STEPS, CELL_LABELS, CELL_TEXTS = 24, 200, 200
# The start of a stage's process, its imports and its audits, in seconds.
STAGE_START = 12.0
# Of a parameter, in bytes; values that an optimizer keeps beside it; checkpoints that are kept.
PARAMETER_BYTES, OPTIMIZER_STATES, CHECKPOINTS = 4, 2, 3
# Of a tested text in `predictions.parquet`, in bytes.
PREDICTION_BYTES = 1000


class CellRate(NamedTuple):
    """How fast a model is fine-tuned and tested."""

    step_seconds: float
    """Of a training step."""
    text_seconds: float
    """Of a text that is scored; of bag-of-words, of a text in any part."""
    start_seconds: float
    parameters: int
    step_arithmetic: float = 1.0
    """Of that step, beside one with texts as they are."""


@dataclasses.dataclass(frozen=True)
class Rates:
    """What short runs took."""

    tokens_per_second: dict[str, float]
    """Of each pretraining stage."""
    corpus_tokens: dict[str, int]
    """Tokens of the text of each pretraining stage."""
    parameters: dict[str, int]
    """Of the model of each pretraining stage."""
    cells: dict[str, CellRate]
    """Of each model."""


@dataclasses.dataclass(frozen=True)
class Part:
    """A stage, or all runs of a model, as expected."""

    name: str
    runs: int
    seconds: float
    """Of all its runs, one after the other."""
    bytes: float


def measure(
    config: CompareConfig,
    tokenizer_run: RunFolder,
    stages: Mapping[str, PretrainConfig],
    at_a_time: int,
    fine_tune: FineTune,
) -> Rates:
    """Run every pretraining stage for ten seconds and every model for a few steps; these runs are deleted.

    Of a stage that is finished, its own rate is taken.

    Args:
        config: of the comparison.
        tokenizer_run: the finished run of the tokenizer.
        stages: the pretraining stages that the models need.
        at_a_time: the number of parallel runs.
        fine_tune: what runs a fine-tuning config; a module-level function.

    Raises:
        InputError: a stage or run has a user error.
        RunError: a stage failed.
    """
    _, digest = find_tokenizer(str(tokenizer_run.path), config.runs)
    speeds: dict[str, float] = {}
    tokens: dict[str, int] = {}
    parameters: dict[str, int] = {}
    folders: dict[str, RunFolder] = {}
    probed: dict[str, RunFolder] = {}
    try:
        for name in dict.fromkeys(map(stage_name, stages)):
            stage = stages[name]
            folder = pretrain_folder(stage)
            if not folder.finished:
                folder = probed[name] = _stage_probe(config, name, stage, tokenizer_run)
            folders[name], result = folder, folder.result()
            speeds[name], parameters[name] = _median_rate(folder, result["tokens_per_second"]), result["parameters"]
            tokens[name] = store_folder(stage.corpus, digest, config.runs).result()["tokens"]
        probes = [_cell_probe(config, model, tokenizer_run, folders) for model in config.models]
        devices = gpus()
        items = [(model, probe, fine_tune, devices) for model, probe in zip(config.models, probes, strict=True)]
        results = in_processes(_run_probe, items, min(at_a_time, len(probes)), imports=[fine_tune.__module__])
        cells = {item[0]: rate for item, rate in results}
    finally:
        for folder in probed.values():
            shutil.rmtree(folder.path, ignore_errors=True)
    return Rates(speeds, tokens, parameters, cells)


def _stage_probe(config: CompareConfig, name: str, stage: PretrainConfig, tokenizer_run: RunFolder) -> RunFolder:
    """The folder of a pretraining run of a few seconds."""
    overrides: Overrides = stage_overrides(config, name) | {
        "tokenizer": str(tokenizer_run.path),
        "name": PROBE,
        "training.duration": f"{STAGE_SECONDS}seconds",
        "training.evaluations": 1,
        "training.log_every": 1,
        # It has no part in how long a step takes, and needs a run that ends after a number of steps.
        "masking.final_rate": None,
    }
    probe = load(PretrainConfig, getattr(config, name), overrides | {"runs": config.runs})
    folder = pretrain_folder(dataclasses.replace(probe, corpus=stage.corpus))
    shutil.rmtree(folder.path, ignore_errors=True)
    subprocesses.run_quietly(stage_command("pretrain", getattr(config, name), overrides, config, stage.corpus))
    return folder


def _cell_probe(
    config: CompareConfig, model: str, tokenizer_run: RunFolder, pretrained: Mapping[str, RunFolder]
) -> FinetuneConfig:
    """A short run of a model, on few labels and few test texts."""
    # Many classes need more labels.
    budget = min(max(CELL_LABELS, min(config.label_budgets)), max(config.label_budgets))
    probe, _ = cell_config(config, model, budget, config.seeds[0], {"tokenizer": str(tokenizer_run.path)}, pretrained)
    training = dataclasses.replace(probe.training, duration=f"{CELL_STEPS}steps", evaluations=1, log_every=4)
    return dataclasses.replace(probe, name=PROBE, refit=False, training=training, maximum_test_texts=CELL_TEXTS)


def _run_probe(item: tuple[str, FinetuneConfig, FineTune, Sequence[str]]) -> CellRate:
    """Run a probe, and delete its folder."""
    _, config, fine_tune, devices = item
    take_gpu(devices)
    folder = finetune_folder(config)
    shutil.rmtree(folder.path, ignore_errors=True)
    started = time.monotonic()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            result = fine_tune(config).result()
        rate_of_steps = _median_rate(folder, result.get("tokens_per_second", 1.0))
        timings = folder.path / TIMINGS
        test_seconds = json.loads(timings.read_text())["test_seconds"] if timings.is_file() else 0.0
    finally:
        shutil.rmtree(folder.path, ignore_errors=True)
    seconds = time.monotonic() - started
    counts = [result[f"{part}_texts"] for part in ("train", "validation", "test")]
    if config.model.name == BAG_OF_WORDS:
        return CellRate(0.0, seconds / sum(counts), 0.0, result["parameters"])
    step_seconds = 0.0
    if result["steps"]:
        step_seconds = result["tokens"] / result["steps"] / rate_of_steps
    text_seconds = test_seconds / result["test_texts"]
    rate = CellRate(step_seconds, text_seconds, 0.0, result["parameters"], config.step_arithmetic(counts[0]))
    start = seconds - cell_seconds(config, rate, counts)
    return rate._replace(start_seconds=max(0.0, start))


def _median_rate(folder: RunFolder, mean: float) -> float:
    """Tokens a second of a run's training steps, without the first ones, which are slow; the mean if it logged none."""
    from pretrain.training.metric_logger import read_metrics

    if not folder.metrics.is_file():
        return mean
    rates = [row["tokens_per_second"] for row in read_metrics(folder.metrics) if "tokens_per_second" in row]
    return statistics.median(rates) if rates else mean


def cell_seconds(config: FinetuneConfig, rate: CellRate, texts: Sequence[int]) -> float:
    """The expected duration of a run.

    Args:
        config: of the run.
        rate: of its model.
        texts: numbers of training, validation and test texts.
    """
    train, validation, test = texts
    if config.refit:
        # The second run moves word vectors where the first does.
        moves = {"adversarial_step": config.step_of(train), "adversarial_least_texts": 0}
        once = dataclasses.replace(config, refit=False, **moves)
        return cell_seconds(once, rate, texts) + cell_seconds(once, rate, (train + validation, 0, test))
    if config.model.name == BAG_OF_WORDS:
        return rate.text_seconds * sum(texts)
    fits_output_layer = is_frozen(config.model.name) or config.model.fits_output_layer
    scored = validation + test + (train + validation if fits_output_layer else 0)
    if is_frozen(config.model.name):
        return rate.start_seconds + scored * rate.text_seconds
    scored += config.training.evaluations * validation
    step_seconds = rate.step_seconds * config.step_arithmetic(train) / rate.step_arithmetic
    return rate.start_seconds + steps_of(config, train) * step_seconds + scored * rate.text_seconds


def steps_of(config: FinetuneConfig, train_texts: int) -> int:
    """The number of training steps, without early stopping; of a duration in tokens or seconds, of one epoch."""
    duration = Duration.parse(config.training.duration)
    epoch = math.ceil(train_texts / config.training.batch_size)
    steps = {"epochs": duration.amount * epoch, "steps": duration.amount}.get(duration.unit, epoch)
    return math.ceil(duration.bounded(steps, of_a_step=1))


def text_counts(config: FinetuneConfig) -> tuple[int, int, int]:
    """The expected numbers of training, validation and test texts of a run."""
    corpora = corpora_of(config)
    labels = config.label_budget or 0
    fold = 0 if config.folds is None else labels // config.folds
    budget = labels - fold
    validation = min(config.maximum_validation_texts, round(config.validation_share * budget))
    if config.validation is not None:
        validation = min(config.maximum_validation_texts, _count(corpora["validation"]))
    if config.folds is not None:
        test = fold
    else:
        test = _count(corpora["test"]) if "test" in corpora else round(config.test_share * _count(corpora["train"]))
    return budget - (0 if config.validation is not None else validation), validation, test


def _count(corpus: CorpusConfig) -> int:
    return sum(1 for _ in read_documents(corpus, labelled=True))


def expected(
    stages: Mapping[str, PretrainConfig], runs: Sequence[tuple[str, FinetuneConfig]], rates: Rates
) -> list[Part]:
    """What is expected of every stage and of every model's runs.

    Args:
        stages: the pretraining stages that are not finished.
        runs: the fine-tuning runs that are not finished, each with the name of its model in the table.
        rates: from `measure`.
    """
    parts = []
    for key, stage in stages.items():
        name = stage_name(key)
        speed = rates.tokens_per_second[name]
        disk = rates.parameters[name] * PARAMETER_BYTES * (1 + CHECKPOINTS * (1 + OPTIMIZER_STATES))
        seconds = STAGE_START + stage_tokens(stage, rates.corpus_tokens[name], speed) / speed
        parts.append(Part(key, 1, seconds, disk))
    counts: dict[str, tuple[int, int, int]] = {}
    for model in dict.fromkeys(name for name, _ in runs):
        seconds, disk, configs = 0.0, 0.0, [config for name, config in runs if name == model]
        for config in configs:
            key = repr((config.label_budget, config.folds, corpora_of(config)))
            counts[key] = counts.get(key) or text_counts(config)
            seconds += cell_seconds(config, rates.cells[model], counts[key])
            saved = 0 if config.model.name == BAG_OF_WORDS else rates.cells[model].parameters * PARAMETER_BYTES
            disk += saved + PREDICTION_BYTES * counts[key][2]
        parts.append(Part(model, len(configs), seconds, disk))
    return parts


def stage_tokens(stage: PretrainConfig, corpus_tokens: int, tokens_per_second: float) -> float:
    """Tokens that a pretraining stage reads."""
    duration = Duration.parse(stage.training.duration)
    length = stage.recurrent.bptt if stage.objective == "causal_lm" else stage.sequence_length
    step = stage.training.batch_size * length
    per_unit = {"epochs": corpus_tokens, "steps": step, "tokens": 1, "seconds": tokens_per_second}
    return duration.bounded(duration.amount * per_unit[duration.unit], of_a_step=step)


def table(parts: Sequence[Part], at_a_time: int, stages: Sequence[str]) -> "Table":
    """The expected time and disk of each part, and of all.

    Args:
        parts: from `expected`.
        at_a_time: the number of parallel fine-tuning runs.
        stages: the names of the parts that run alone.
    """
    from rich.table import Table

    shown = Table("part", "runs", "minutes", "MB on disk")
    total = 0.0
    for part in parts:
        minutes = part.seconds / 60 / (1 if part.name in stages else min(at_a_time, part.runs))
        total += minutes
        shown.add_row(part.name.replace("_", " "), str(part.runs), f"{minutes:.1f}", f"{part.bytes / 1e6:,.0f}")
    disk = sum(part.bytes for part in parts)
    shown.add_row("all", str(sum(part.runs for part in parts)), f"{total:.1f}", f"{disk / 1e6:,.0f}")
    return shown
