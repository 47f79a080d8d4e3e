"""One pretraining run: from a tokenizer and a corpus to an encoder that `transformers` loads."""

import contextlib
import dataclasses
import functools
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from accelerate import Accelerator

from configs.command_line import as_dict
from configs.errors import InputError
from configs.run_folder import RunFolder, run_unless_finished
from pretrain.audits import corpus_audit
from pretrain.config import PretrainConfig
from pretrain.data.loader import Epoch, length_buckets
from pretrain.data.masked_lm_dataset import MaskedLMSource, TokenLayout
from pretrain.data.randomness import permutation
from pretrain.data.store import TokenStore, prepare, store_folder
from pretrain.hub.checkpoints import CheckpointHub
from pretrain.models.builders import pretraining_model, recurrent_lm
from pretrain.models.config import GENERATOR
from pretrain.models.embedding_init import init_from_cooccurrences
from pretrain.models.fit import check_fit
from pretrain.models.pretraining_models import RecurrentPretrainingModel
from pretrain.models.safe_loading import quiet_transformers
from pretrain.objectives.lm_evaluation import SAMPLES
from pretrain.objectives.objective import DataSettings, EvaluationHook, EvaluationSettings, Objective
from pretrain.objectives.registry import objective_named
from pretrain.run_paths import (
    MINIMUM_DOCUMENTS,
    find,
    fingerprints,
    leakage_corpus,
    minimum_documents,
    run_folder,
    tokenizer_of,
)
from pretrain.training import sharded
from pretrain.training.engine import Training, leave_process_group, train
from pretrain.training.evaluation import evaluate, held_out_baselines
from pretrain.training.fast_paths import FastPaths
from pretrain.training.metric_logger import read_metrics
from pretrain.training.schedule import Duration, parse_phases
from pretrain.training.setup import describe, new_accelerator, prepare_for_training
from pretrain.training.throughput import whole_run
from pretrain.training.train_state import TrainState
from tokenizer.vocabulary.serialization import load as load_tokenizer

log = logging.getLogger(__name__)

MINIMUM_LENGTH = 8
# With fewer documents, some arrangements may give no sequences at all.
FEW_DOCUMENTS = 100
# Of a corpus of fewer documents than the minimum: at least this many pieces, if there are enough sentences.
PIECES = 100
# In sentences.
MAXIMUM_PIECE = 50


@dataclasses.dataclass(frozen=True)
class PretrainingData:
    """The token store of a run, and its training and held-out data."""

    store: TokenStore
    store_run: RunFolder
    training: list[Any]
    """The training source of each phase."""
    held_out: list[Any]
    """The held-out epoch of each phase."""
    leak: dict[str, Any] | None
    """The result of `find_leakage`; None without a leakage audit."""


def run(config: PretrainConfig) -> RunFolder:
    """Prepare the corpus, pretrain, evaluate and save; a finished run is not repeated.

    Raises:
        InputError: a key of the config cannot be used; raised before training.
    """
    Duration.parse(config.training.duration)
    phases = phases_of(config)
    folder = run_folder(config)
    return run_unless_finished(folder, "pretrain", lambda: _run(config, folder, phases))


def _run(config: PretrainConfig, folder: RunFolder, phases: list[tuple[float, int]]) -> None:
    objective = objective_named(config.objective).weighted(config.pair_weight)
    tokenizer_folder, tokenizer_digest = tokenizer_of(config)
    accelerator = new_accelerator(config.log_with, config.training, folder, as_dict(config))
    hub = None
    if config.checkpoint_hub is not None and accelerator.is_main_process:
        hub = CheckpointHub(config.checkpoint_hub, folder)
    tokenizer = load_tokenizer(tokenizer_folder, config.model.trust_remote_code)
    model = _build_model(config, objective, tokenizer, max(length for _, length in phases))
    data = _prepare_data(config, tokenizer, tokenizer_folder, tokenizer_digest, accelerator)
    from_scratch = config.model.init_from is None and not objective.recurrent
    if config.model.embedding_init == "cooccurrence" and from_scratch:
        init_from_cooccurrences(model, data.store, data.training[0].documents, config.seed)
    if accelerator.is_main_process:
        folder.begin(config, **describe(accelerator))
        log.info("pretrain: %s", folder.path)
        if hub is not None:
            hub.restore()
        _write_audits(config, folder, objective, data)
        log.info("%s", sequence_text(data.training[0].epoch(0), tokenizer, objective))
    hook = _evaluation_hook(config, folder, objective, data, (model.encoder, tokenizer), accelerator.is_main_process)
    longest = config.recurrent.bptt if objective.carries_state else max(length for _, length in phases)
    prepared = prepare_for_training(
        accelerator, model, config.training, config.optimizer, config.training.batch_size * longest,
        data.store.token_count, folder,
    )  # fmt: skip
    sources = [_for_fast_paths(source, prepared.fast_paths) for source in data.training]
    training = Training(
        accelerator=accelerator,
        **prepared._asdict(),
        phases=[(end, source) for (end, _), source in zip(phases, sources, strict=True)],
        loss=objective.compute,
        evaluate=lambda model, phase: hook(evaluate(accelerator, model, data.held_out[phase], objective)),
        config=config.training,
        optimizer_config=config.optimizer,
        folder=folder,
        seed=config.seed,
        fingerprints=fingerprints(folder, tokenizer_folder, [data.store_run.path / "store"]),
    )
    with contextlib.nullcontext() if hub is None else hub.pushing():
        state = train(training, "pretrain")
        with quiet_transformers():
            model.save(folder.model, functools.partial(sharded.save_pretrained, accelerator))
        if accelerator.is_main_process:
            _save_tokenizer(folder, tokenizer)
            parameters = sum(parameter.numel() for parameter in model.encoder.parameters())
            metrics = _final_metrics(folder, state, data.held_out[state.phase], objective)
            folder.finish(state.facts() | {"objective": config.objective} | metrics | {"parameters": parameters})
    leave_process_group(accelerator)


def _prepare_data(
    config: PretrainConfig, tokenizer: Any, tokenizer_folder: str, tokenizer_digest: str, accelerator: Accelerator
) -> PretrainingData:
    """The token store and the data of each phase, without leaked test texts if `leakage.drop`.

    Raises:
        InputError: the corpus cannot be read, or holds too little text.
    """
    store_run = store_folder(config.corpus, tokenizer_digest, config.runs)
    leak = None
    with accelerator.main_process_first():
        commit = config.model.trust_remote_code
        store = prepare(config.corpus, tokenizer_folder, store_run, preparation=config.preparation, commit=commit)
        if config.leakage.split is not None:
            tests = corpus_audit.TestTexts(
                leakage_corpus(config), tokenizer_folder, tokenizer_digest, config.runs, config.preparation, commit
            )
            leak = corpus_audit.find_leakage(store, store_run, tests)
    store = in_pieces_if_few(config, store)
    dropped = leak["near"] if leak is not None and config.leakage.drop else []
    training, held_out = sources(config, store, TokenLayout.of(tokenizer), dropped)
    return PretrainingData(store, store_run, training, held_out, leak)


def in_pieces_if_few(config: PretrainConfig, store: TokenStore) -> TokenStore:
    """The corpus with its documents cut into pieces if they are too few to hold some out, as with a single book."""
    if not minimum_documents(config) <= store.document_count < MINIMUM_DOCUMENTS:
        return store
    sentence_count = len(store.sentence_offsets) - 1
    sentences = min(MAXIMUM_PIECE, max(1, sentence_count // PIECES))
    log.info("pretrain: %d document(s) are taken as pieces of %d sentence(s)", store.document_count, sentences)
    return store.in_pieces(sentences)


def _write_audits(config: PretrainConfig, folder: RunFolder, objective: Objective, data: PretrainingData) -> None:
    """Write `audits.json`, unless it was written before the run was interrupted."""
    file = folder.path / corpus_audit.FILE
    if file.is_file():
        return
    pairs = (data.training[0].epoch(0), data.held_out[0]) if objective.audits_pairs else None
    report = corpus_audit.audit(data.store, config.audited_documents, config.seed, pairs)
    if data.leak is not None:
        report["leakage"] = corpus_audit.leakage_report(data.leak, config.leakage.drop)
    corpus_audit.write(file, report)


def _evaluation_hook(
    config: PretrainConfig,
    folder: RunFolder,
    objective: Objective,
    data: PretrainingData,
    model_and_tokenizer: tuple[Any, Any],
    writes: bool,
) -> EvaluationHook:
    """The hook that adds to the metrics of every evaluation."""
    model, tokenizer = model_and_tokenizer
    samples_file = folder.path / SAMPLES if writes else None
    settings = EvaluationSettings(
        model, tokenizer, data.held_out[0], config.recurrent.sample, samples_file,
        lambda: sum("eval_loss" in row for row in read_metrics(folder.metrics)), config.seed,
    )  # fmt: skip
    return objective.evaluation_hook(settings)


def _for_fast_paths(source: Any, paths: FastPaths) -> Any:
    """The training source adapted to the chosen fast paths; only masked-LM sources depend on them."""
    if not isinstance(source, MaskedLMSource):
        return source
    buckets = length_buckets(source.sequence_length) if paths.compiled else ()
    return dataclasses.replace(source, device_masks=paths.device_masks, buckets=buckets)


def _save_tokenizer(folder: RunFolder, tokenizer: Any) -> None:
    """Save the tokenizer beside each model of a finished run."""
    for model_folder in (folder.model, folder.model / GENERATOR):
        if model_folder.is_dir():
            tokenizer.save_pretrained(model_folder)


def _final_metrics(folder: RunFolder, state: TrainState, held_out: Epoch, objective: Objective) -> dict[str, float]:
    """The last held-out metrics, the baselines, and the throughput of the whole run."""
    rows = read_metrics(folder.metrics)
    last = [row for row in rows if row["step"] == state.step and "eval_loss" in row][-1]
    metrics = {name: value for name, value in last.items() if name.startswith("eval_")}
    corpus_audit.add_model_accuracy(folder.path / corpus_audit.FILE, metrics.get("eval_nsp_accuracy"))
    return metrics | held_out_baselines(held_out, objective, metrics) | whole_run(rows)


def phases_of(config: PretrainConfig) -> list[tuple[float, int]]:
    """The end of each phase, as a share of the run, and its sequence length in tokens.

    Raises:
        InputError: `phases` cannot be read, or a length is too short.
    """
    phases = parse_phases(config.phases) if config.phases is not None else [(1.0, config.sequence_length)]
    shortest = min(length for _, length in phases)
    if shortest < MINIMUM_LENGTH:
        raise InputError(f"phases: a sequence of {shortest} tokens is too short; give at least {MINIMUM_LENGTH}")
    return phases


def _build_model(config: PretrainConfig, objective: Objective, tokenizer: Any, longest: int) -> Any:
    """Build the model to train; its configuration stores the name of the objective.

    Raises:
        InputError: the checkpoint cannot be loaded, or the longest sequence exceeds the model's positions.
    """
    init_from = config.model.init_from
    if objective.recurrent:
        model: Any = RecurrentPretrainingModel(recurrent_lm(objective.head, config.recurrent, tokenizer, config.seed))
    else:
        checkpoint = None if init_from is None else find(init_from, config.runs)[0]
        model = pretraining_model(objective.head, config.model, tokenizer, checkpoint, config.seed)
        remedy = (
            "raise model.maximum_positions" if init_from is None else "shorten it, or choose another model.init_from"
        )
        check_fit(model.encoder, tokenizer, longest, remedy)
        # So that fine-tuning can say that texts are longer.
        model.encoder.config.pretraining_sequence_length = longest
    # So that a loaded model shows which task its second head was trained on.
    model.encoder.config.pretraining_objective = objective.name
    return model


def sources(
    config: PretrainConfig, store: TokenStore, layout: TokenLayout, dropped: Sequence[int] = ()
) -> tuple[list[Any], list[Any]]:
    """The training source of each phase, and its held-out epoch from other documents; `dropped` ones are not used.

    Raises:
        InputError: there are too few documents or too little text.
    """
    documents = np.setdiff1d(np.arange(store.document_count), np.asarray(dropped, dtype=np.int64))
    count = len(documents)
    if count < MINIMUM_DOCUMENTS:
        raise InputError(
            f"corpus.source: {config.corpus.source!r} holds {count} document(s); {config.objective} needs at least "
            f"{MINIMUM_DOCUMENTS} (one document a file, or blank lines between documents), `objective: mlm` does not"
        )
    held_out_count = min(max(2, round(config.held_out_share * count)), count - 2)
    order = documents[permutation(count, "held-out documents", config.seed)]
    training_documents, held_out_documents = np.sort(order[held_out_count:]), np.sort(order[:held_out_count])
    objective = objective_named(config.objective)
    settings = [_data_settings(config, store, layout, training_documents, length) for _, length in phases_of(config)]
    training: list[Any] = [objective.source(phase_settings) for phase_settings in settings]
    if config.masking.final_rate is not None and isinstance(training[0], MaskedLMSource):
        training = [dataclasses.replace(training[0], epochs=epochs_of_run(config, training[0]))]
    held_out = [dataclasses.replace(source, documents=held_out_documents).held_out() for source in training]
    small_epochs = [source.epoch(0) for source in training if len(source.documents) < FEW_DOCUMENTS]
    if any(not epoch.batches for epoch in [*held_out, *small_epochs]):
        raise InputError(
            f"corpus.source: {config.corpus.source!r} holds too little text for {config.pairs} pairs in training and "
            "held out; raise held_out_share, or choose `pairs: bert` or `objective: mlm`"
        )
    return training, held_out


def epochs_of_run(config: PretrainConfig, source: MaskedLMSource) -> float:
    """The length of a run in epochs; that of an epoch in tokens is taken from the first.

    Of a run with `masking.final_rate`, whose duration is no time and which has no phases (`PretrainConfig`).
    """
    duration = Duration.parse(config.training.duration)
    epoch = source.epoch(0)
    in_an_epoch = {"epochs": 1, "steps": len(epoch.batches), "tokens": int(epoch.plan.lengths.sum())}
    return duration.bounded(duration.amount / in_an_epoch[duration.unit], of_a_step=1 / len(epoch.batches))


def _data_settings(
    config: PretrainConfig, store: TokenStore, layout: TokenLayout, documents: np.ndarray, length: int
) -> DataSettings:
    """The data settings of a phase."""
    return DataSettings(
        store=store,
        documents=documents,
        layout=layout,
        sequence_length=length,
        batch_size=config.training.batch_size,
        seed=config.seed,
        masking=config.masking,
        pairs=config.pairs,
        short_sequence_probability=config.short_sequence_probability,
        bptt=config.recurrent.bptt,
        bidirectional=config.recurrent.bidirectional,
    )


def sequence_text(epoch: Epoch, tokenizer: Any, objective: Objective) -> str:
    """One training sequence as readable text, with its masks."""
    batch = epoch.collate(epoch.batches[0][:1])
    text = tokenizer.decode(batch["input_ids"][0])
    if "masked_labels" not in batch:
        return f"pretrain: a training sequence:\n  {text}"
    masked = tokenizer.convert_ids_to_tokens(batch["masked_labels"].tolist())
    relation = ""
    if "relation" in batch and objective.second_task is not None:
        relation = f" ({objective.second_task.classes[int(batch['relation'][0])]})"
    return f"pretrain: a training sequence{relation}:\n  {text}\n  masked: {' '.join(masked)}"
