"""Run fine-tuning: one model, one seed, one label budget."""

import dataclasses
import functools
import logging
import os
import shutil
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from configs.command_line import as_dict
from configs.errors import InputError
from configs.machine_meter import MachineMeter
from configs.run_folder import RunFolder, run_unless_finished
from finetune.classification import bag_of_words
from finetune.classification.calibration import calibrated, calibration_facts, fit_bias, fit_temperature
from finetune.classification.config import MULTI_LABEL
from finetune.classification.evaluation import EVALUATION_TOKENS, evaluate, latency_alone, logit_scores, predict
from finetune.classification.frozen import fit_linear, output_layer, require_bias, shift_logits, without_output_layer
from finetune.classification.labels import class_weights
from finetune.classification.multi_label.thresholds import at_temperature
from finetune.classification.objective import adversarial_loss, classification_loss
from finetune.classification.predictions import (
    Chosen,
    label_decisions,
    label_thresholds,
    scores_as_tested,
    write_result,
    write_timings,
)
from finetune.classification.task import Task, load_task, longer_than_pretrained, tell_copies_in, text_counts
from finetune.classification.text_dataset import TextSource, evaluation_epoch, lengths_of
from finetune.classification.tokenization_head_tail import with_truncation
from finetune.config import BAG_OF_WORDS, FinetuneConfig
from finetune.run_paths import run_folder, upstream
from pretrain.data.loader import length_buckets
from pretrain.models.builders import classifier
from pretrain.models.config import is_from_scratch, is_frozen
from pretrain.models.fit import check_fit
from pretrain.models.pretraining_models import takes_token_types
from pretrain.models.safe_loading import quiet_transformers
from pretrain.objectives.objective import LossOutput
from pretrain.run_paths import fingerprints
from pretrain.training import averaging, checkpoints, sharded
from pretrain.training.config import TrainingConfig
from pretrain.training.engine import Training, leave_process_group, train
from pretrain.training.metric_logger import read_metrics
from pretrain.training.schedule import Duration
from pretrain.training.setup import describe, new_accelerator, prepare_for_training
from pretrain.training.throughput import whole_run
from tokenizer.vocabulary.serialization import load as load_tokenizer

log = logging.getLogger(__name__)


def run(config: FinetuneConfig) -> RunFolder:
    """Fine-tune, keep the checkpoint with the best validation score, test it once; a finished run is not repeated.

    Raises:
        InputError: an invalid config, checkpoint or text, reported before anything is trained.
    """
    Duration.parse(config.training.duration)
    folder = run_folder(config)
    chosen = None
    if config.refit and not folder.finished:
        if config.model.calibrated_bias:
            log.warning("finetune: no bias is fitted (`model.calibrated_bias`): `refit` leaves no validation texts")
        chosen = Chosen.of(_run_that_chooses(config), config.training.duration)
    if config.model.name == BAG_OF_WORDS:
        return run_unless_finished(folder, "finetune", lambda: bag_of_words.train_and_test(config, folder, chosen))
    work = _run_frozen if is_frozen(config.model.name) else _run_neural
    return run_unless_finished(folder, "finetune", lambda: work(config, folder, chosen))


def _run_that_chooses(config: FinetuneConfig) -> RunFolder:
    """The finished run with validation texts, of a config that asks for one on all labels after it.

    Raises:
        InputError: as `run`; or several processes would have to run it.
    """
    choosing = dataclasses.replace(config, refit=False)
    folder = run_folder(choosing)
    if folder.finished:
        return folder
    # A process group can be left, but not joined again.
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("refit: with several processes, run the command with `--refit false` first, then with `true`")
    # In a comparison of a model with and without, another process may be at it.
    folder.wait()
    return run(choosing)


@dataclasses.dataclass(frozen=True)
class Start:
    """What every run of a neural model begins with."""

    accelerator: Accelerator
    tokenizer: Any
    tokenizer_folder: str
    task: Task
    model: Any
    meter: MachineMeter


def _start(config: FinetuneConfig, folder: RunFolder) -> Start:
    """The texts and the untrained model, in a begun run folder.

    Raises:
        InputError: an invalid config, checkpoint or text.
    """
    meter = MachineMeter()
    checkpoint, tokenizer_folder, _ = upstream(config)
    accelerator = new_accelerator(config.log_with, config.training, folder, as_dict(config))
    tokenizer = load_tokenizer(tokenizer_folder, config.model.trust_remote_code)
    with accelerator.main_process_first():
        task = load_task(config, tokenizer, tokenizer_folder, config.runs)
    config.score_of(task.classes.multi_label)
    problem_type = MULTI_LABEL if task.classes.multi_label else None
    model = classifier(config.model, checkpoint, tokenizer, task.classes.names, config.seed, problem_type)
    check_fit(model, tokenizer, config.sequence_length)
    if config.model.calibrated_bias:
        require_bias(model)
    names = [name for name in tokenizer.model_input_names if name != "token_type_ids"]
    if takes_token_types(model):
        names.append("token_type_ids")
    else:
        task = task.without_token_types()
    # As the exported tokenizer gives them to `pipeline`.
    tokenizer.model_input_names = names
    if accelerator.is_main_process:
        folder.begin(config, **describe(accelerator))
        log.info("finetune: %s", folder.path)
        log.info("finetune: %s", task.classes.counts_line(task.train.classes_N[task.train_indices]))
        if not config.refit:
            tell_copies_in(task)
        longer = longer_than_pretrained(task, model)
        if longer is not None and not is_from_scratch(config.model.name):
            log.warning("finetune: %s", longer)
    return Start(accelerator, tokenizer, tokenizer_folder, task, model, meter)


def without_workers(config: TrainingConfig) -> TrainingConfig:
    """The config with no processes that prepare batches, unless it names their number.

    A batch of labelled texts is put together in under a millisecond, while an epoch of 250 labels is 13 steps, after
    which such processes begin anew: on a GPU, with many runs side by side, that took thirty times as long as the steps.
    """
    return config if config.workers is not None else dataclasses.replace(config, workers=0)


def _loss(config: FinetuneConfig, task: Task, adversarial_step: float) -> Callable[..., LossOutput]:
    """The loss of a run, with the weights of its classes."""
    weights = class_weights(config, task.train.classes_N[task.train_indices], task.classes.names)
    weights_C = None if weights is None else torch.tensor(weights)
    if adversarial_step:
        return functools.partial(adversarial_loss, weights_C=weights_C, size=adversarial_step)
    return functools.partial(classification_loss, weights_C=weights_C)


def _run_neural(config: FinetuneConfig, folder: RunFolder, chosen: Chosen | None = None) -> None:
    start = _start(config, folder)
    accelerator, model = start.accelerator, start.model
    task = start.task if chosen is None else start.task.with_all_labels()
    lengths = np.minimum(lengths_of(task.train.store, task.train_indices), config.sequence_length)
    tokens = int(lengths.sum())
    tokens_per_step = config.training.batch_size * tokens // len(task.train_indices)
    if config.model.fits_output_layer:
        _fit_output_layer(config, start)
    training = without_workers(config.training)
    # With all labels, too, those of the run that chose.
    choosing_texts = len(start.task.train_indices)
    adversarial_step = config.step_of(choosing_texts)
    if adversarial_step:
        # A compiled model would not see its word vectors move.
        training = dataclasses.replace(training, speed=dataclasses.replace(training.speed, compile=False))
    prepared = prepare_for_training(accelerator, model, training, config.optimizer, tokens_per_step, tokens, folder)
    flops = prepared.meter.flops
    passes = round(flops.passes * config.step_arithmetic(choosing_texts))
    prepared.meter.flops = dataclasses.replace(flops, passes=passes)
    buckets = length_buckets(config.sequence_length) if prepared.fast_paths.compiled else ()
    train_texts = dataclasses.replace(task.train, buckets=buckets)
    source = TextSource(train_texts, task.train_indices, config.training.batch_size, config.seed, config.token_masking)
    held_out = evaluation_epoch(task.validation, task.validation_indices, evaluation_tokens(accelerator))

    def evaluate_held_out(model: Any, phase: int) -> dict[str, float]:
        return evaluate(accelerator, held_out, model, config)

    state = train(
        Training(
            accelerator=accelerator,
            **prepared._asdict(),
            phases=[(1.0, source)],
            loss=_loss(config, task, adversarial_step),
            evaluate=evaluate_held_out if chosen is None else None,
            config=training,
            optimizer_config=config.optimizer,
            folder=folder,
            seed=config.seed,
            best_metric=config.score_of(task.classes.multi_label) if chosen is None else None,
            patience=config.patience if chosen is None else None,
            until=1.0 if chosen is None else chosen.share,
            fingerprints=fingerprints(
                folder, start.tokenizer_folder, [store_run.path / "store" for store_run in task.store_runs.values()]
            ),
        ),
        "finetune",
    )
    if state.best_step is not None:
        optimizer = prepared.optimizer.optimizer
        checkpoints.load_best(folder.checkpoints, state.best_step, model, optimizer)
        averaging.keep(optimizer)
    facts = state.facts() | whole_run(read_metrics(folder.metrics))
    _test_and_save(config, folder, start, prepared.model, facts, chosen)
    if accelerator.is_main_process:
        # The best weights are in `model/`; checkpoints were only needed to resume.
        shutil.rmtree(folder.checkpoints, ignore_errors=True)
    leave_process_group(accelerator)


def _run_frozen(config: FinetuneConfig, folder: RunFolder, chosen: Chosen | None = None) -> None:
    """Fit a linear classifier to what the encoder of a checkpoint makes of the texts; the encoder stays as it is."""
    start = _start(config, folder)
    # Of training, as of other models: without reading texts and testing.
    started = time.monotonic()
    inverse_penalty = _fit_output_layer(config, start)
    facts = {"steps": 0, "inverse_penalty": inverse_penalty, "seconds": time.monotonic() - started}
    _test_and_save(config, folder, start, start.model, facts, chosen)
    leave_process_group(start.accelerator)


def _fit_output_layer(config: FinetuneConfig, start: Start) -> float:
    """Fit the output layer alone, by logistic regression; gives the inverse penalty.

    Raises:
        InputError: the model has no linear output layer.
    """
    accelerator, task, model = start.accelerator, start.task, start.model
    model.to(accelerator.device)
    with without_output_layer(model) as features:
        train, held_out = (
            predict(accelerator, evaluation_epoch(*texts, evaluation_tokens(accelerator)), features)
            for texts in ((task.train, task.train_indices), (task.validation, task.validation_indices))
        )
    parent, name = output_layer(model)
    weights, weights_of_all = (
        class_weights(config, labels_N, task.classes.names)
        for labels_N in (train[1], np.concatenate([train[1], held_out[1]]))
    )
    layer = getattr(parent, name)
    return fit_linear(layer, train, held_out, config, weights, refit=config.refit, refit_weights_C=weights_of_all)


def _test_and_save(
    config: FinetuneConfig,
    folder: RunFolder,
    start: Start,
    model: Any,
    facts: dict[str, Any],
    chosen: Chosen | None = None,
) -> None:
    """Test the final model, and write it, its predictions and its result.

    Args:
        config: of the run.
        folder: of the run.
        start: the texts, the tokenizer, and the model without its wrappers.
        model: the same model as it computes, possibly wrapped.
        facts: entries of the result.
        chosen: what another run has chosen on validation texts, on which this one was trained.
    """
    accelerator, task = start.accelerator, start.task
    if chosen is None:
        held_out = evaluation_epoch(task.validation, task.validation_indices, evaluation_tokens(accelerator))
        validation = predict(accelerator, held_out, model)
        if config.model.calibrated_bias:
            weights_C = class_weights(config, task.train.classes_N[task.train_indices], task.classes.names)
            bias_C = fit_bias(*validation, weights_C).astype(np.float32)
            shift_logits(start.model, bias_C)
            facts |= {"bias_shift": bias_C.tolist()}
            # As the model says it, in its own precision.
            validation = predict(accelerator, held_out, model)
        temperature = fit_temperature(*validation)
        thresholds_C = label_thresholds(validation, temperature, config)
        scores = scores_as_tested(logit_scores(*validation, config), validation, temperature, thresholds_C)
    else:
        task = task.with_all_labels()
        temperature, scores = chosen.temperature, chosen.validation_scores
        thresholds_C = chosen.thresholds
    test = evaluation_epoch(task.test, task.test_indices, evaluation_tokens(accelerator))
    started = time.monotonic()
    logits_NC, labels_N = predict(accelerator, test, model)
    seconds = time.monotonic() - started
    decisions = label_decisions(thresholds_C, logits_NC, temperature)
    if thresholds_C is not None:
        # For who has the model alone: thresholds of its own probabilities.
        start.model.config.thresholds = at_temperature(thresholds_C, temperature).tolist()
    with quiet_transformers():
        sharded.save_pretrained(accelerator, start.model, folder.model)
    if accelerator.is_main_process:
        # Beside the result, which is the same whenever the run is repeated.
        alone = {} if accelerator.num_processes > 1 else {"latency_seconds": latency_alone(accelerator, test, model)}
        timings = {"test_seconds": seconds} | alone | start.meter.facts()
        write_timings(folder, timings, chosen)
        cutting = with_truncation(start.tokenizer, config.sequence_length, config.truncation_head_share)
        cutting.save_pretrained(folder.model)
        facts |= {"parameters": sum(parameter.numel() for parameter in start.model.parameters())} | text_counts(task)
        probabilities_NC = calibrated(logits_NC, 1.0, task.classes.multi_label)
        test_rows = task.test.store.texts.take(task.test_indices)
        facts |= calibration_facts(temperature, logits_NC, labels_N)
        facts |= {} if chosen is None else chosen.facts(facts)
        write_result(folder, facts, scores, task.classes, probabilities_NC, labels_N, test_rows, decisions)


def evaluation_tokens(accelerator: Accelerator) -> int:
    """Tokens per evaluation batch on the device of this process."""
    return EVALUATION_TOKENS.get(accelerator.device.type, EVALUATION_TOKENS["cpu"])
