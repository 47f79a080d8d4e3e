"""One pretraining run, from a tokenizer and a corpus to an encoder that `transformers` loads."""

import dataclasses
import functools
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from configs.command_line import as_dict
from configs.errors import InputError
from configs.run_folder import RunFolder
from pretrain import audits, sharded, start, telling
from pretrain.batches import Epoch, few_lengths, steps_of
from pretrain.config import PretrainConfig
from pretrain.continued import longest_input, quiet_transformers
from pretrain.engine import Training, on_device, part, train
from pretrain.folders import find, fingerprints, run_folder, tokenizer_of
from pretrain.heads import GENERATOR, WritingModel
from pretrain.interruption import safe_point
from pretrain.journal import Means, read_rows
from pretrain.meter import whole_run
from pretrain.models import pretraining_model, writing_model
from pretrain.objectives import OBJECTIVES, PretrainingObjective
from pretrain.optimization import Duration, parse_phases
from pretrain.randomness import key, permutation
from pretrain.sequences import Encoding, SequenceEpoch, SequenceSource, targets_of
from pretrain.setup import describe, new_accelerator, prepared
from pretrain.speed import Paths
from pretrain.store import TokenStore, prepare, store_folder
from pretrain.streams import PassageSource, StreamSource
from tokenizer.train import load as load_tokenizer

log = logging.getLogger(__name__)

MINIMUM_DOCUMENTS = 4
MINIMUM_LENGTH = 8
# So few may make no sequence at all in some layouts.
FEW_DOCUMENTS = 100


def run(config: PretrainConfig) -> RunFolder:
    """Prepare the corpus, pretrain, evaluate, save; a finished run is left as it is.

    Raises:
        InputError: something given cannot be used; nothing has been trained then.
    """
    Duration.parse(config.training.duration)
    lengths = phases_of(config)
    folder = run_folder(config)
    if folder.finished:
        log.info("pretrain: %s is finished", folder.path)
        return folder
    with folder.owned():
        # Whoever held it a moment ago may have finished it.
        return folder if folder.finished else _run(config, folder, lengths)


def _run(config: PretrainConfig, folder: RunFolder, lengths: list[tuple[float, int]]) -> RunFolder:
    tokenizer_folder, tokenizer_digest = tokenizer_of(config)
    accelerator = new_accelerator(config.log_with, config.training, folder, as_dict(config))
    tokenizer = load_tokenizer(tokenizer_folder)
    model = _model(config, tokenizer, max(length for _, length in lengths))
    with accelerator.main_process_first():
        place = store_folder(config.corpus, tokenizer_digest, config.runs)
        store = prepare(config.corpus, tokenizer_folder, place, preparation=config.preparation)
        leak = audits.leakage(config, store, place, (tokenizer_folder, tokenizer_digest))
    dropped = leak["near"] if leak is not None and config.leakage.drop else []
    training, held_out = sources(config, store, Encoding.of(tokenizer), dropped)
    if config.model.start == "cooccurrence" and config.model.init_from is None and not config.recurs:
        start.from_cooccurrences(model, store, training[0].documents, config.seed)
    if accelerator.is_main_process:
        folder.begin(config, **describe(accelerator))
        log.info("pretrain: %s", folder.path)
        _look(config, folder, store, leak, (training[0].epoch(0), held_out[0]), tokenizer)
    # What every evaluation adds to its measures.
    told = telling.of(config, folder, accelerator, model.encoder, tokenizer, held_out[0])
    objective = OBJECTIVES[config.objective]
    longest = config.recurrent.bptt if config.objective == "causal_lm" else max(length for _, length in lengths)
    tokens_a_step = config.training.batch_size * longest
    fast = prepared(accelerator, model, config.training, config.optimizer, tokens_a_step, store.token_count)
    training = [shaped(source, fast["paths"]) for source in training]
    position = train(
        Training(
            accelerator=accelerator,
            **fast,
            phases=[(end, source) for (end, _), source in zip(lengths, training, strict=True)],
            objective=objective.step,
            evaluate=lambda model, phase: told(evaluate(accelerator, model, held_out[phase], objective)),
            config=config.training,
            optimization=config.optimizer,
            folder=folder,
            seed=config.seed,
            fingerprints=fingerprints(folder, tokenizer_folder, [place.path / "store"]),
        ),
        "pretrain",
    )
    with quiet_transformers():
        model.save(folder.model, functools.partial(sharded.save_pretrained, accelerator))
    if accelerator.is_main_process:
        for place in (folder.model, folder.model / GENERATOR):
            if place.is_dir():
                tokenizer.save_pretrained(place)
        result = position.facts() | {"objective": config.objective}
        result |= _measured(folder, position.step, held_out[position.phase], objective)
        folder.finish(result | {"parameters": sum(parameter.numel() for parameter in model.encoder.parameters())})
    part(accelerator)
    return folder


def _look(
    config: PretrainConfig,
    folder: RunFolder,
    store: TokenStore,
    leak: dict[str, Any] | None,
    epochs: tuple[Any, Any],
    tokenizer: Any,
) -> None:
    """What a careful engineer would look at before a run: audits, and a sequence."""
    if not (folder.path / audits.FILE).is_file():
        audits.write(folder.path / audits.FILE, audits.audit(config, store, leak, *epochs))
    log.info("%s", described_sequence(epochs[0], tokenizer, config.objective))


def shaped(source: Any, paths: Paths) -> Any:
    """A source of training sequences whose batches suit the chosen paths; streams and passages suit all."""
    if not isinstance(source, SequenceSource):
        return source
    lengths = few_lengths(source.sequence_length) if paths.compiled else ()
    return dataclasses.replace(source, device_masks=paths.device_masks, lengths=lengths)


def _measured(folder: RunFolder, step: int, held_out: Epoch, objective: PretrainingObjective) -> dict[str, float]:
    """The last held-out measures, beside what a model reaches that knows nothing."""
    evaluated = [row for row in read_rows(folder.metrics) if row["step"] == step and "eval_loss" in row]
    measured = {name: value for name, value in evaluated[-1].items() if name.startswith("eval_")}
    audits.with_model(folder.path / audits.FILE, measured.get("eval_nsp_accuracy"))
    return measured | held_out_facts(held_out, objective, measured) | whole_run(read_rows(folder.metrics))


def phases_of(config: PretrainConfig) -> list[tuple[float, int]]:
    """Where each phase ends, as a share of the run, and its sequence length.

    Raises:
        InputError: `phases` cannot be read, or a length is too short.
    """
    phases = parse_phases(config.phases) if config.phases is not None else [(1.0, config.sequence_length)]
    shortest = min(length for _, length in phases)
    if shortest < MINIMUM_LENGTH:
        raise InputError(f"phases: a sequence of {shortest} tokens is too short; give at least {MINIMUM_LENGTH}")
    return phases


def _model(config: PretrainConfig, tokenizer: Any, longest: int) -> Any:
    """The model to train; refused where it cannot read the longest sequence."""
    if config.recurs:
        made = WritingModel(writing_model(config.objective, config.recurrent, tokenizer, config.seed))
        made.encoder.config.pretraining_objective = config.objective
        return made
    given = config.model.init_from
    checkpoint = None if given is None else find(given, config.runs)[0]
    model = pretraining_model(config.objective, config.model, tokenizer, checkpoint, config.seed)
    # Whoever loads the model can tell what its second head was trained for.
    model.encoder.config.pretraining_objective = config.objective
    most = longest_input(model.encoder.config)
    if longest > most:
        raise InputError(
            f"sequence_length: {longest} tokens are more than the model's {most} positions; "
            + ("raise model.maximum_positions" if checkpoint is None else f"{given} was made with so many")
        )
    return model


def sources(
    config: PretrainConfig, store: TokenStore, encoding: Encoding, dropped: Sequence[int] = ()
) -> tuple[list[Any], list[Any]]:
    """Of each phase, its training sequences, and held-out sequences from other documents; none from dropped ones.

    Raises:
        InputError: too few documents to pair each with another on both sides.
    """
    kept = np.setdiff1d(np.arange(store.document_count), np.asarray(dropped, dtype=np.int64))
    count = len(kept)
    if count < MINIMUM_DOCUMENTS:
        raise InputError(
            f"corpus.source: {config.corpus.source!r} holds {count} document(s); next-sentence pairs need at least "
            f"{MINIMUM_DOCUMENTS} (one document a file, or blank lines between documents)"
        )
    held_out_count = min(max(2, round(config.held_out_share * count)), count - 2)
    order = kept[permutation(count, "held-out documents", config.seed)]
    documents = {"training": np.sort(order[held_out_count:]), "held out": np.sort(order[:held_out_count])}
    training = [source_of(config, store, encoding, documents["training"], length) for _, length in phases_of(config)]
    held_out = [dataclasses.replace(source, documents=documents["held out"]).held_out() for source in training]
    few = [source.epoch(0) for source in training if len(source.documents) < FEW_DOCUMENTS]
    if any(not epoch.batches for epoch in [*held_out, *few]):
        raise InputError(
            f"corpus.source: {config.corpus.source!r} holds too little text for {layout_of(config)} pairs in "
            "training and held out; raise held_out_share, or choose `pairs: faithful` or `objective: mlm`"
        )
    return training, held_out


def layout_of(config: PretrainConfig) -> str:
    """How an objective's sequences are made of sentences."""
    return {"mlm_nsp": config.pairs, "mlm_sop": "ordered"}.get(config.objective, "packed")


def source_of(config: PretrainConfig, store: TokenStore, encoding: Encoding, documents: np.ndarray, length: int) -> Any:
    """What an objective reads of some documents: pairs or packed sentences of so many tokens, streams, or passages."""
    batch_size, seed = config.training.batch_size, config.seed
    if config.objective == "causal_lm":
        reading = config.recurrent
        return StreamSource(store, documents, encoding, reading.bptt, batch_size, reading.bidirectional, seed)
    if config.objective == "autoencode":
        return PassageSource(store, documents, encoding, length, batch_size, seed)
    return SequenceSource(
        store=store,
        documents=documents,
        encoding=encoding,
        masking=config.masking,
        sequence_length=length,
        layout=layout_of(config),
        short_probability=config.short_sequence_probability,
        batch_size=batch_size,
        seed=seed,
    )


def evaluate(
    accelerator: Accelerator, model: torch.nn.Module, held_out: Epoch, objective: PretrainingObjective
) -> dict[str, float]:
    """Losses and accuracies on the held-out sequences, whose masks are always the same."""
    model.eval()
    means, carry = Means(), None
    device = [accelerator.device] if accelerator.device.type == "cuda" else []
    with torch.inference_mode(), torch.random.fork_rng(devices=device):
        # What a generator puts in place of masks is always the same, too.
        torch.manual_seed(key("held-out", accelerator.process_index))
        for batches in steps_of(held_out, 0, accelerator.process_index, accelerator.num_processes, 1, 0):
            for batch in batches:
                with accelerator.autocast():
                    _, metrics, carry = objective.step(
                        model, on_device(batch, accelerator.device) | {"totals": batch["counts"]}, carry
                    )
                means.add(metrics)
            safe_point(accelerator)
    measured = means.means(accelerator)
    return measured | {"loss": sum(weight * measured[name] for name, weight in objective.weights.items())}


def held_out_facts(held_out: Epoch, objective: PretrainingObjective, measured: dict[str, float]) -> dict[str, float]:
    """What a model that knows nothing reaches on the held-out sequences.

    `eval_unigram_entropy`: the cross-entropy, in nats, of the very tokens to predict under their own frequencies.
    `eval_nsp_majority`, `eval_sop_majority`, `eval_rtd_majority`: the share of the more frequent label.
    """
    labels = np.concatenate(list(targets_of(held_out)))
    shares = np.bincount(labels) / len(labels)
    shares = shares[shares > 0]
    facts = {
        "eval_unigram_entropy": float(-(shares * np.log(shares)).sum()),
        "eval_sequences": sum(map(len, held_out.batches)),
    }
    if isinstance(held_out, SequenceEpoch) and held_out.plan.relations is not None:
        share = float(held_out.plan.relations.mean())
        facts[f"eval_{objective.relation}_majority"] = max(share, 1 - share)
    if "eval_rtd_replaced" in measured:
        facts["eval_rtd_majority"] = 1 - measured["eval_rtd_replaced"]
    return facts


def described_sequence(epoch: Epoch, tokenizer: Any, objective: str) -> str:
    """One sequence as a person can read it, masks and all."""
    batch = epoch.collate(epoch.batches[0][:1])
    text = tokenizer.decode(batch["input_ids"][0])
    if "masked_labels" not in batch:
        return f"pretrain: a sequence as the model reads it:\n  {text}"
    hidden = tokenizer.convert_ids_to_tokens(batch["masked_labels"].tolist())
    relation = ""
    if "relation" in batch:
        names = ("B follows A", "A follows B" if objective == "mlm_sop" else "B is random")
        relation = f" ({names[int(batch['relation'][0])]})"
    return f"pretrain: a sequence as the model sees it{relation}:\n  {text}\n  hidden: {' '.join(hidden)}"
