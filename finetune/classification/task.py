"""The labelled texts of a run, tokenized once and shared between runs, and what a model needs to read them."""

import dataclasses
import functools
from typing import Any

import numpy as np

from configs.run_folder import RunFolder
from finetune.classification.config import TaskConfig
from finetune.classification.corpora import corpora_of
from finetune.classification.labels import LabelSet, label_set
from finetune.classification.splits import (
    draw_splits,
    draw_test_texts,
    draw_validation_texts,
    tell_copies,
    text_key,
)
from finetune.classification.text_dataset import TextEpoch, lengths_of
from pretrain.data.masked_lm_dataset import TokenLayout
from pretrain.data.store import TokenStore, prepare, store_folder
from pretrain.models.architectures import encoder_config
from tokenizer.run_paths import find as find_tokenizer

# [CLS] and [SEP].
SPECIAL_TOKENS = 2


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

    def with_all_labels(self) -> "Task":
        """The same task with its validation texts, which are of the same corpus, among those it trains on."""
        return dataclasses.replace(self, train_indices=np.concatenate([self.train_indices, self.validation_indices]))

    def without_token_types(self) -> "Task":
        """The same task for a model that takes no `token_type_ids`."""
        names = ("train", "validation", "test")
        return dataclasses.replace(
            self, **{name: dataclasses.replace(getattr(self, name), token_types=False) for name in names}
        )


def load_task(config: TaskConfig, tokenizer: Any, tokenizer_folder: str, runs: str) -> Task:
    """The labelled texts of a run, tokenized once and shared between runs.

    Raises:
        InputError: a text, column or label is missing, or a label does not occur in the training texts.
    """
    corpora = corpora_of(config)
    commit = config.model.trust_remote_code
    _, digest = find_tokenizer(tokenizer_folder, runs, commit)
    store_runs = {name: store_folder(corpus, digest, runs, labelled=True) for name, corpus in corpora.items()}
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
    splits = draw_splits(
        config, texts["train"].classes_N, lambda numbers: text_keys(stores["train"], numbers), classes.names
    )
    validation_indices = splits.validation
    if "validation" in stores:
        validation_indices = draw_validation_texts(config, texts["validation"].classes_N)
    test_texts = texts.get("test", texts["train"])
    test_indices = np.arange(test_texts.store.document_count) if splits.test is None else splits.test
    return Task(
        classes=classes,
        train=texts["train"],
        train_indices=splits.train,
        validation=texts.get("validation", texts["train"]),
        validation_indices=validation_indices,
        test=test_texts,
        test_indices=draw_test_texts(config, test_texts.classes_N, test_indices),
        store_runs=store_runs,
    )


def text_keys(store: TokenStore, numbers: np.ndarray | None = None) -> list[str]:
    """What copies of a text have in common, for each labelled text of a store, or for those with these numbers."""
    columns = [store.texts.column(name) for name in ("text", "second_text")]
    if numbers is None:
        return [text_key(*texts) for texts in zip(*(column.to_pylist() for column in columns), strict=True)]
    # `take` would join the chunks, which may be too long for one.
    return [text_key(*(column[int(number)].as_py() for column in columns)) for number in numbers]


def tell_copies_in(task: Task) -> None:
    """Warn of given validation and test texts that are copies of the labels of a run, which train or are set aside.

    For a run that begins and chooses: one that trains on all labels after it, or loads its texts, has been told.
    """
    labelled = task.with_all_labels() if task.validation.store is task.train.store else task
    given = {"validation": task.validation.store, "test": task.test.store}
    tell_copies(
        lambda: text_keys(task.train.store, labelled.train_indices),
        {name: functools.partial(text_keys, store) for name, store in given.items() if store is not task.train.store},
    )


def longer_than_pretrained(task: Task, model: Any) -> str | None:
    """A sentence about training texts longer than any that the model was pretrained on; None if there are none.

    Pretraining runs of this toolkit note their length in the model's configuration.
    """
    pretrained = getattr(encoder_config(model.config), "pretraining_sequence_length", None)
    if pretrained is None or task.train.sequence_length <= pretrained:
        return None
    lengths_N = lengths_of(task.train.store, task.train_indices) + SPECIAL_TOKENS
    share = float((lengths_N > pretrained).mean())
    if not share:
        return None
    return (
        f"the model was pretrained on at most {pretrained} tokens, and {share:.0%} of the training texts are longer "
        f"(sequence_length: {task.train.sequence_length}): it has not learned what stands further back"
    )


def text_counts(task: Task) -> dict[str, int]:
    """The numbers of training, validation and test texts."""
    return {
        "train_texts": len(task.train_indices),
        "validation_texts": len(task.validation_indices),
        "test_texts": len(task.test_indices),
    }
