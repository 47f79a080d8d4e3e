"""One fine-tuning run: a model, a seed, a label budget."""

import dataclasses
import logging
import shutil
from typing import Any

import numpy as np
import scipy.special
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from configs.command_line import as_dict
from configs.errors import InputError
from configs.run_folder import RunFolder
from finetune import bag_of_words
from finetune.config import BAG_OF_WORDS, FinetuneConfig, parts, run_folder, upstream
from finetune.results import finish
from finetune.scores import scores
from finetune.tasks import (
    LabelSet,
    TextEpoch,
    TextSource,
    drawn,
    for_evaluation,
    label_set,
    lengths_of,
    validation_places,
)
from pretrain import checkpoints, sharded
from pretrain.batches import few_lengths, steps_of
from pretrain.continued import quiet_transformers
from pretrain.engine import Training, on_device, part, train
from pretrain.folders import fingerprints
from pretrain.interruption import safe_point
from pretrain.journal import read_rows
from pretrain.meter import whole_run
from pretrain.models import classifier
from pretrain.objectives import classification
from pretrain.optimization import Duration
from pretrain.sequences import Encoding
from pretrain.setup import describe, new_accelerator, prepared
from pretrain.store import TokenStore, prepare, store_folder
from tokenizer.train import find as find_tokenizer
from tokenizer.train import load as load_tokenizer

log = logging.getLogger(__name__)

# A CPU is fastest while a batch fits its caches, a GPU when it is full.
TOKENS_EVALUATED = {"cpu": 8192, "cuda": 1 << 17}


@dataclasses.dataclass(frozen=True)
class Task:
    """The texts of a run, and which of them it may use for what."""

    classes: LabelSet
    train: TextEpoch
    train_chosen: np.ndarray
    validation: TextEpoch
    validation_chosen: np.ndarray
    test: TextEpoch


def run(config: FinetuneConfig) -> RunFolder:
    """Fine-tune, keep the best checkpoint on validation, test it once; a finished run is left as it is.

    Raises:
        InputError: something given cannot be used; nothing has been trained then.
    """
    Duration.parse(config.training.duration)
    folder = run_folder(config)
    if folder.finished:
        log.info("finetune: %s is finished", folder.path)
        return folder
    with folder.owned():
        if folder.finished:
            return folder
        if config.model.name == BAG_OF_WORDS:
            return bag_of_words.run(config, folder)
        return _run_neural(config, folder)


def _run_neural(config: FinetuneConfig, folder: RunFolder) -> RunFolder:
    checkpoint, tokenizer_folder, _ = upstream(config)
    accelerator = new_accelerator(config.log_with, config.training, folder, as_dict(config))
    tokenizer = load_tokenizer(tokenizer_folder)
    with accelerator.main_process_first():
        task = task_of(config, tokenizer, tokenizer_folder)
    model = classifier(config.model, checkpoint, tokenizer, task.classes.names, config.seed)
    check_fit(config, model, tokenizer)
    if accelerator.is_main_process:
        folder.begin(config, **describe(accelerator))
        log.info("finetune: %s", folder.path)
    tokens = int(np.minimum(lengths_of(task.train.store, task.train_chosen), config.sequence_length).sum())
    tokens_a_step = config.training.batch_size * tokens // len(task.train_chosen)
    fast = prepared(accelerator, model, config.training, config.optimizer, tokens_a_step, tokens)
    train_texts = task.train
    if fast["paths"].compiled:
        train_texts = dataclasses.replace(train_texts, lengths=few_lengths(config.sequence_length))
    tokens_at_once = TOKENS_EVALUATED.get(accelerator.device.type, TOKENS_EVALUATED["cpu"])
    held_out = for_evaluation(task.validation, task.validation_chosen, tokens_at_once)
    position = train(
        Training(
            accelerator=accelerator,
            **fast,
            phases=[(1.0, TextSource(train_texts, task.train_chosen, config.training.batch_size, config.seed))],
            objective=classification,
            evaluate=lambda model, phase: measured(accelerator, held_out, model),
            config=config.training,
            optimization=config.optimizer,
            folder=folder,
            seed=config.seed,
            best_metric=config.select_by,
            patience=config.patience,
            fingerprints=fingerprints(
                folder,
                tokenizer_folder,
                [place.path / "store" for place in store_folders(config, tokenizer_folder).values()],
            ),
        ),
        "finetune",
    )
    if position.best_step is not None:
        checkpoints.load(checkpoints.place_of(folder.checkpoints, position.best_step), model)
    validated = measured(accelerator, held_out, fast["model"])
    every_test_text = np.arange(task.test.store.document_count)
    final = for_evaluation(task.test, every_test_text, tokens_at_once)
    logits_NC, labels_N = predicted(accelerator, final, fast["model"])
    with quiet_transformers():
        sharded.save_pretrained(accelerator, model, folder.model)
    if accelerator.is_main_process:
        tokenizer.save_pretrained(folder.model)
        counts = {"parameters": sum(parameter.numel() for parameter in model.parameters())}
        facts = position.facts() | counts | sizes(task) | whole_run(read_rows(folder.metrics))
        finish(folder, facts, validated, task.classes, scipy.special.softmax(logits_NC, axis=1), labels_N)
        # The best weights are in `model/`; the checkpoints served resumption alone.
        shutil.rmtree(folder.checkpoints, ignore_errors=True)
    part(accelerator)
    return folder


def task_of(config: FinetuneConfig, tokenizer: Any, tokenizer_folder: str) -> Task:
    """The labelled texts of a run, tokenized once for all runs that share them.

    Raises:
        InputError: a text, column or label is missing, or a label appears that the training texts lack.
    """
    found = parts(config)
    stores: dict[str, TokenStore] = {}
    for name, place in store_folders(config, tokenizer_folder).items():
        stores[name] = prepare(found[name], tokenizer_folder, place, labelled=True)
    classes = label_set(stores["train"].labels, stores["train"].label_names, found["train"])
    encoding = Encoding.of(tokenizer)
    texts = {
        name: TextEpoch(
            store=store,
            classes_N=classes.numbers(store.labels, found[name]),
            encoding=encoding,
            sequence_length=config.sequence_length,
            head_share=config.head_share,
            batches=[],
        )
        for name, store in stores.items()
    }
    chosen, validation = drawn(config, texts["train"].classes_N)
    if "validation" in stores:
        validation = validation_places(config, texts["validation"].classes_N)
    return Task(classes, texts["train"], chosen, texts.get("validation", texts["train"]), validation, texts["test"])


def store_folders(config: FinetuneConfig, tokenizer_folder: str) -> dict[str, RunFolder]:
    """Where the token store of each part of a task lies."""
    _, digest = find_tokenizer(tokenizer_folder, config.runs)
    return {name: store_folder(source, digest, config.runs, labelled=True) for name, source in parts(config).items()}


def check_fit(config: FinetuneConfig, model: Any, tokenizer: Any) -> None:
    """Refuse texts longer than a model can read, and a tokenizer with more entries than the model has.

    Raises:
        InputError: either of them.
    """
    longest = getattr(model.config, "max_position_embeddings", None)
    if longest is not None and config.sequence_length > longest:
        raise InputError(f"sequence_length: {config.sequence_length} exceeds the {longest} positions of the model")
    if len(tokenizer) > model.config.vocab_size:
        raise InputError(
            f"model: the tokenizer has {len(tokenizer)} entries, the model's vocabulary {model.config.vocab_size}"
        )


def predicted(accelerator: Accelerator, epoch: TextEpoch, model: torch.nn.Module) -> tuple[np.ndarray, np.ndarray]:
    """Class scores [N, C] and classes [N] of the texts of an epoch, in the order of their numbers."""
    model.eval()
    rows: list[tuple[int, np.ndarray, int]] = []
    rank, world_size = accelerator.process_index, accelerator.num_processes
    with torch.inference_mode():
        for samples, batches in zip(epoch.batches, steps_of(epoch, 0, rank, world_size, 1, 0), strict=True):
            mine = samples[rank::world_size]
            for batch in batches if len(mine) else []:
                names = ("input_ids", "token_type_ids", "attention_mask")
                inputs = on_device({name: batch[name] for name in names}, accelerator.device)
                with accelerator.autocast():
                    logits_BC = model(**inputs).logits.float().cpu().numpy()
                rows += zip(mine.tolist(), logits_BC, batch["labels"].tolist(), strict=True)
            safe_point(accelerator)
    rows = sorted(gather_object(rows), key=lambda row: row[0])
    return np.stack([row[1] for row in rows]), np.array([row[2] for row in rows])


def measured(accelerator: Accelerator, epoch: TextEpoch, model: torch.nn.Module) -> dict[str, float]:
    """Loss and scores on held-out texts."""
    logits_NC, labels_N = predicted(accelerator, epoch, model)
    loss = torch.nn.functional.cross_entropy(torch.from_numpy(logits_NC), torch.from_numpy(labels_N))
    return {"loss": float(loss)} | scores(logits_NC.argmax(1), labels_N)


def sizes(task: Task) -> dict[str, int]:
    """How many texts served for what."""
    return {
        "train_texts": len(task.train_chosen),
        "validation_texts": len(task.validation_chosen),
        "test_texts": task.test.store.document_count,
    }
