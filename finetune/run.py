"""Run fine-tuning: one model, one seed, one label budget."""

import dataclasses
import logging
import shutil
from typing import Any

import numpy as np
import scipy.special

from configs.command_line import as_dict
from configs.errors import InputError
from configs.run_folder import RunFolder, run_unless_finished
from finetune.classification import bag_of_words
from finetune.classification.corpora import corpora_of
from finetune.classification.evaluation import evaluate, predict
from finetune.classification.labels import LabelSet, label_set
from finetune.classification.objective import classification_loss
from finetune.classification.predictions import write_result
from finetune.classification.splits import draw_splits, draw_validation_texts, text_key
from finetune.classification.text_dataset import TextEpoch, TextSource, evaluation_epoch, lengths_of
from finetune.classification.tokenization_head_tail import with_truncation
from finetune.config import BAG_OF_WORDS, FinetuneConfig
from finetune.run_paths import run_folder, upstream
from pretrain.data.loader import length_buckets
from pretrain.data.masked_lm_dataset import TokenLayout
from pretrain.data.store import TokenStore, prepare, store_folder
from pretrain.models.architectures import encoder_config, longest_input
from pretrain.models.builders import classifier
from pretrain.models.pretraining_models import takes_token_types
from pretrain.models.safe_loading import quiet_transformers
from pretrain.run_paths import fingerprints
from pretrain.training import averaging, checkpoints, sharded
from pretrain.training.engine import Training, leave_process_group, train
from pretrain.training.metric_logger import read_metrics
from pretrain.training.schedule import Duration
from pretrain.training.setup import describe, new_accelerator, prepare_for_training
from pretrain.training.throughput import whole_run
from tokenizer.run_paths import find as find_tokenizer
from tokenizer.vocabulary.serialization import load as load_tokenizer

log = logging.getLogger(__name__)

# Tokens per evaluation batch: a CPU is fastest if the batch fits its caches, a GPU if the batch fills it.
EVALUATION_TOKENS = {"cpu": 8192, "cuda": 1 << 17}


@dataclasses.dataclass(frozen=True)
class Task:
    """The classes and texts of a run."""

    classes: LabelSet
    train: TextEpoch
    train_indices: np.ndarray
    """Which of the texts in `train` are trained on."""
    validation: TextEpoch
    validation_indices: np.ndarray
    test: TextEpoch
    test_indices: np.ndarray
    store_runs: dict[str, RunFolder]
    """The run folders of the token stores, by corpus."""

    def without_token_types(self) -> "Task":
        """The same task for a model that takes no `token_type_ids`."""
        names = ("train", "validation", "test")
        return dataclasses.replace(
            self, **{name: dataclasses.replace(getattr(self, name), token_types=False) for name in names}
        )


def run(config: FinetuneConfig) -> RunFolder:
    """Fine-tune, keep the checkpoint with the best validation score, test it once; a finished run is not repeated.

    Raises:
        InputError: an invalid config, checkpoint or text, reported before anything is trained.
    """
    Duration.parse(config.training.duration)
    folder = run_folder(config)
    if config.model.name == BAG_OF_WORDS:
        return run_unless_finished(folder, "finetune", lambda: bag_of_words.train_and_test(config, folder))
    return run_unless_finished(folder, "finetune", lambda: _run_neural(config, folder))


def _run_neural(config: FinetuneConfig, folder: RunFolder) -> None:
    checkpoint, tokenizer_folder, _ = upstream(config)
    accelerator = new_accelerator(config.log_with, config.training, folder, as_dict(config))
    tokenizer = load_tokenizer(tokenizer_folder, config.model.trust_remote_code)
    with accelerator.main_process_first():
        task = load_task(config, tokenizer, tokenizer_folder)
    model = classifier(config.model, checkpoint, tokenizer, task.classes.names, config.seed)
    check_fit(config, model, tokenizer)
    if not takes_token_types(model):
        tokenizer.model_input_names = [name for name in tokenizer.model_input_names if name != "token_type_ids"]
        task = task.without_token_types()
    if accelerator.is_main_process:
        folder.begin(config, **describe(accelerator))
        log.info("finetune: %s", folder.path)
    lengths = np.minimum(lengths_of(task.train.store, task.train_indices), config.sequence_length)
    tokens = int(lengths.sum())
    tokens_per_step = config.training.batch_size * tokens // len(task.train_indices)
    prepared = prepare_for_training(accelerator, model, config.training, config.optimizer, tokens_per_step, tokens)
    buckets = length_buckets(config.sequence_length) if prepared.fast_paths.compiled else ()
    train_texts = dataclasses.replace(task.train, buckets=buckets)
    evaluation_tokens = EVALUATION_TOKENS.get(accelerator.device.type, EVALUATION_TOKENS["cpu"])
    held_out = evaluation_epoch(task.validation, task.validation_indices, evaluation_tokens)
    state = train(
        Training(
            accelerator=accelerator,
            **prepared._asdict(),
            phases=[(1.0, TextSource(train_texts, task.train_indices, config.training.batch_size, config.seed))],
            loss=classification_loss,
            evaluate=lambda model, phase: evaluate(accelerator, held_out, model),
            config=config.training,
            optimizer_config=config.optimizer,
            folder=folder,
            seed=config.seed,
            best_metric=config.select_by,
            patience=config.patience,
            fingerprints=fingerprints(
                folder, tokenizer_folder, [store_run.path / "store" for store_run in task.store_runs.values()]
            ),
        ),
        "finetune",
    )
    if state.best_step is not None:
        optimizer = prepared.optimizer.optimizer
        checkpoints.load_best(folder.checkpoints, state.best_step, model, optimizer)
        averaging.keep(optimizer)
    validation_scores = evaluate(accelerator, held_out, prepared.model)
    test = evaluation_epoch(task.test, task.test_indices, evaluation_tokens)
    logits_NC, labels_N = predict(accelerator, test, prepared.model)
    with quiet_transformers():
        sharded.save_pretrained(accelerator, model, folder.model)
    if accelerator.is_main_process:
        cutting = with_truncation(tokenizer, config.sequence_length, config.truncation_head_share)
        cutting.save_pretrained(folder.model)
        facts = state.facts() | {"parameters": sum(parameter.numel() for parameter in model.parameters())}
        facts |= text_counts(task) | whole_run(read_metrics(folder.metrics))
        probabilities_NC = scipy.special.softmax(logits_NC, axis=1)
        test_rows = task.test.store.texts.take(task.test_indices)
        write_result(folder, facts, validation_scores, task.classes, probabilities_NC, labels_N, test_rows)
        # The best weights are in `model/`; checkpoints were only needed to resume.
        shutil.rmtree(folder.checkpoints, ignore_errors=True)
    leave_process_group(accelerator)


def load_task(config: FinetuneConfig, tokenizer: Any, tokenizer_folder: str) -> Task:
    """The labelled texts of a run, tokenized once and shared between runs.

    Raises:
        InputError: a text, column or label is missing, or a label does not occur in the training texts.
    """
    corpora = corpora_of(config)
    commit = config.model.trust_remote_code
    _, digest = find_tokenizer(tokenizer_folder, config.runs, commit)
    store_runs = {name: store_folder(corpus, digest, config.runs, labelled=True) for name, corpus in corpora.items()}
    stores: dict[str, TokenStore] = {}
    for name, store_run in store_runs.items():
        stores[name] = prepare(corpora[name], tokenizer_folder, store_run, labelled=True, commit=commit)
    classes = label_set(stores["train"].labels, stores["train"].label_names, corpora["train"])
    layout = TokenLayout.of(tokenizer)
    texts = {
        name: TextEpoch(
            store=store,
            classes_N=classes.encode(store.labels, corpora[name]),
            layout=layout,
            sequence_length=config.sequence_length,
            truncation_head_share=config.truncation_head_share,
            batches=[],
        )
        for name, store in stores.items()
    }
    splits = draw_splits(config, texts["train"].classes_N, lambda: text_keys(stores["train"]), classes.names)
    validation_indices = splits.validation
    if "validation" in stores:
        validation_indices = draw_validation_texts(config, texts["validation"].classes_N)
    test_texts = texts.get("test", texts["train"])
    return Task(
        classes=classes,
        train=texts["train"],
        train_indices=splits.train,
        validation=texts.get("validation", texts["train"]),
        validation_indices=validation_indices,
        test=test_texts,
        test_indices=np.arange(test_texts.store.document_count) if splits.test is None else splits.test,
        store_runs=store_runs,
    )


def text_keys(store: TokenStore) -> list[str]:
    """What copies of a text have in common, for each labelled text of a store."""
    columns = (store.texts.column(name).to_pylist() for name in ("text", "second_text"))
    return [text_key(*texts) for texts in zip(*columns, strict=True)]


def check_fit(config: FinetuneConfig, model: Any, tokenizer: Any) -> None:
    """Check that the model has enough positions and vocabulary entries.

    Raises:
        InputError: `sequence_length` exceeds the positions, or the tokenizer exceeds the vocabulary.
    """
    sizes = encoder_config(model.config)
    positions = longest_input(sizes) if hasattr(sizes, "max_position_embeddings") else None
    if positions is not None and config.sequence_length > positions:
        raise InputError(f"sequence_length: {config.sequence_length} exceeds the {positions} positions of the model")
    if len(tokenizer) > sizes.vocab_size:
        raise InputError(
            f"model: the tokenizer has {len(tokenizer)} entries, the model's vocabulary only {sizes.vocab_size}"
        )


def text_counts(task: Task) -> dict[str, int]:
    """The numbers of training, validation and test texts."""
    return {
        "train_texts": len(task.train_indices),
        "validation_texts": len(task.validation_indices),
        "test_texts": len(task.test_indices),
    }
