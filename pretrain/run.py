"""One pretraining run, from a tokenizer and a corpus to a standard BERT."""

import dataclasses
import logging
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from configs.command_line import as_dict
from configs.errors import InputError
from configs.run_folder import RunFolder
from pretrain import start
from pretrain.batches import PairEncoding, PairEpoch, PairSource, steps_of
from pretrain.config import PretrainConfig, run_folder
from pretrain.engine import Training, describe, new_accelerator, on_device, train
from pretrain.journal import Means
from pretrain.models import PretrainingModel, new_encoder
from pretrain.objectives import mlm_nsp
from pretrain.optimization import Duration, adamw
from pretrain.randomness import permutation
from pretrain.store import TokenStore, prepare, store_folder
from tokenizer.train import find as find_tokenizer
from tokenizer.train import load as load_tokenizer

log = logging.getLogger(__name__)

MINIMUM_DOCUMENTS = 4


def run(config: PretrainConfig) -> RunFolder:
    """Prepare the corpus, pretrain, evaluate, save; a finished run is left as it is.

    Raises:
        InputError: something given cannot be used; nothing has been trained then.
    """
    Duration.parse(config.training.duration)
    folder = run_folder(config)
    if folder.finished:
        log.info("pretrain: %s is finished", folder.path)
        return folder
    tokenizer_folder, tokenizer_digest = find_tokenizer(config.tokenizer, config.runs)
    accelerator = new_accelerator(config.log_with, config.training.threads, folder, as_dict(config))
    tokenizer = load_tokenizer(tokenizer_folder)
    with accelerator.main_process_first():
        store = prepare(config.corpus, tokenizer_folder, store_folder(config.corpus, tokenizer_digest, config.runs))
    training_source, held_out = sources(config, store, PairEncoding.of(tokenizer))

    bert = new_encoder(config.model, tokenizer, config.seed)
    if config.model.start == "cooccurrence":
        start.from_cooccurrences(bert, store, training_source.documents, config.seed)
    if accelerator.is_main_process:
        folder.begin(config, **describe(accelerator))
        log.info("pretrain: %s", folder.path)
        log.info("%s", described_pair(training_source.epoch(0), tokenizer))
    model = PretrainingModel(bert)
    model, optimizer = accelerator.prepare(model, adamw(model, config.optimizer))
    position = train(
        Training(
            accelerator=accelerator,
            model=model,
            optimizer=optimizer,
            source=training_source,
            objective=mlm_nsp,
            evaluate=lambda model: evaluate(accelerator, model, held_out),
            config=config.training,
            optimization=config.optimizer,
            folder=folder,
            seed=config.seed,
        ),
        "pretrain",
    )
    measured = evaluate(accelerator, model, held_out)
    if accelerator.is_main_process:
        bert.save_pretrained(folder.model)
        tokenizer.save_pretrained(folder.model)
        folder.finish(
            position.facts()
            | {f"eval_{name}": value for name, value in measured.items()}
            | held_out_facts(held_out)
            | {"parameters": sum(parameter.numel() for parameter in bert.parameters())}
        )
    accelerator.wait_for_everyone()
    return folder


def sources(config: PretrainConfig, store: TokenStore, encoding: PairEncoding) -> tuple[PairSource, PairEpoch]:
    """Training pairs, and held-out pairs from other documents.

    Raises:
        InputError: too few documents to pair each with another on both sides.
    """
    count = store.document_count
    if count < MINIMUM_DOCUMENTS:
        raise InputError(
            f"corpus.source: {config.corpus.source!r} holds {count} document(s); next-sentence pairs need at least "
            f"{MINIMUM_DOCUMENTS} (one document a file, or blank lines between documents)"
        )
    held_out_count = min(max(2, round(config.held_out_share * count)), count - 2)
    order = permutation(count, "held-out documents", config.seed)
    make = dataclasses.replace
    training = PairSource(
        store=store,
        documents=np.sort(order[held_out_count:]),
        encoding=encoding,
        masking=config.masking,
        sequence_length=config.sequence_length,
        short_probability=config.short_sequence_probability,
        batch_size=config.training.batch_size,
        seed=config.seed,
    )
    return training, make(training, documents=np.sort(order[:held_out_count])).held_out()


def evaluate(accelerator: Accelerator, model: torch.nn.Module, held_out: PairEpoch) -> dict[str, float]:
    """Losses and accuracies on the held-out pairs, whose masks are always the same."""
    model.eval()
    means = Means()
    with torch.inference_mode():
        for batches in steps_of(held_out, 0, accelerator.process_index, accelerator.num_processes, 1, 0):
            for batch in batches:
                with accelerator.autocast():
                    _, metrics, _ = mlm_nsp(
                        model, on_device(batch, accelerator.device) | {"totals": batch["counts"]}, None
                    )
                means.add(metrics)
    measured = means.means(accelerator)
    return measured | {"loss": measured["mlm_loss"] + measured["nsp_loss"]}


def held_out_facts(held_out: PairEpoch) -> dict[str, float]:
    """What a model that knows nothing reaches on the held-out pairs.

    `eval_unigram_entropy`: the cross-entropy, in nats, of the very tokens to predict under their own frequencies.
    `eval_nsp_majority`: the share of the more frequent next-sentence label.
    """
    labels = np.concatenate([held_out.collate(batch)["masked_labels"].numpy() for batch in held_out.batches])
    shares = np.bincount(labels) / len(labels)
    shares = shares[shares > 0]
    random_share = float(held_out.plan["next_sentence_label"].mean())
    return {
        "eval_unigram_entropy": float(-(shares * np.log(shares)).sum()),
        "eval_nsp_majority": max(random_share, 1 - random_share),
        "eval_pairs": len(held_out.plan),
    }


def described_pair(epoch: PairEpoch, tokenizer: Any) -> str:
    """One masked pair as a person can read it."""
    batch = epoch.collate(epoch.batches[0][:1])
    text = tokenizer.decode(batch["input_ids"][0])
    hidden = tokenizer.convert_ids_to_tokens(batch["masked_labels"].tolist())
    relation = "B is random" if batch["next_sentence_label"][0] else "B follows A"
    return f"pretrain: a pair as the model sees it ({relation}):\n  {text}\n  hidden: {' '.join(hidden)}"
