"""A corpus, a tokenizer and a pretraining run small enough for a test of a second or two."""

import dataclasses
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from configs.run_folder import RunFolder
from pretrain.config import PretrainConfig
from pretrain.data.store import TokenStore
from pretrain.models.builders import pretraining_model
from pretrain.models.config import EncoderConfig
from pretrain.training.config import OptimizerConfig, SpeedConfig, TrainingConfig
from pretrain.training.metric_logger import read_metrics
from pretrain.training.throughput import RATES
from tokenizer import run as tokenizer_train
from tokenizer.config import TokenizerConfig
from tokenizer.corpus.config import CorpusConfig

DOCUMENTS = 48
CLOCK = ("seconds", *RATES)
TOPICS = {
    "garden": ("rose", "spade", "hedge", "lawn", "seed", "bloom"),
    "harbour": ("boat", "anchor", "sail", "wave", "gull", "mast"),
    "kitchen": ("stove", "bread", "spoon", "butter", "oven", "salt"),
    "railway": ("train", "signal", "track", "engine", "coach", "ticket"),
}
VERBS = ("meets", "follows", "leaves", "finds")
ADJECTIVES = ("old", "small", "bright", "quiet")


def corpus_text(documents: int = DOCUMENTS, seed: int = 0) -> str:
    """Documents between blank lines, each of three to eight sentences about one topic."""
    rng = random.Random(seed)
    blocks = []
    for number in range(documents):
        nouns = TOPICS[sorted(TOPICS)[number % len(TOPICS)]]
        lines = [
            f"The {rng.choice(ADJECTIVES)} {rng.choice(nouns)} {rng.choice(VERBS)} the {rng.choice(nouns)}."
            for _ in range(rng.randint(3, 8))
        ]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def small_corpus(folder: Path) -> CorpusConfig:
    """The corpus as a file in `folder`, written unless it is there."""
    file = folder / "corpus.txt"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(corpus_text(), encoding="utf-8")
    return CorpusConfig(source=str(file))


def small_tokenizer(folder: Path) -> str:
    """The folder of a tokenizer trained on the corpus, as `PretrainConfig.tokenizer` takes it."""
    config = TokenizerConfig(corpus=small_corpus(folder), vocabulary_size=160, runs=str(folder / "runs"))
    return str(tokenizer_train.run(config).model)


def small_run(folder: Path, **changes: Any) -> PretrainConfig:
    """The config of a run of 40 steps with everything under `folder`; its tokenizer is trained.

    Args:
        folder: of the corpus, the tokenizer and `runs/`; calls with the same folder share them.
        changes: fields of `PretrainConfig`; a dict changes fields of a part, such as `training={"workers": 2}`.
    """
    config = PretrainConfig(
        name="small",
        tokenizer=small_tokenizer(folder),
        corpus=small_corpus(folder),
        sequence_length=32,
        held_out_share=0.15,
        model=EncoderConfig(layers=1, hidden_size=32, heads=2, maximum_positions=64),
        optimizer=OptimizerConfig(learning_rate=1e-2),
        training=TrainingConfig(
            duration="40 steps",
            batch_size=16,
            evaluations=4,
            save_every=10,
            log_every=1,
            threads=1,
            # By timing, two runs of a busy machine might round differently.
            speed=SpeedConfig(products="torch"),
        ),
        runs=str(folder / "runs"),
    )
    return changed(config, **changes)


def changed(config: PretrainConfig, **changes: Any) -> PretrainConfig:
    """The config with other values; a dict changes fields of a part."""
    values = {
        name: dataclasses.replace(getattr(config, name), **value) if isinstance(value, dict) else value
        for name, value in changes.items()
    }
    return dataclasses.replace(config, **values)


def losses(folder: RunFolder, *names: str) -> list[float]:
    """The values of these metrics, `loss` by default, in the order in which a run logged them."""
    return [row[name] for row in read_metrics(folder.metrics) for name in names or ("loss",) if name in row]


def rows_without_clock(folder: RunFolder) -> list[dict[str, Any]]:
    """The rows of a run, without what a clock measured."""
    return [{key: value for key, value in row.items() if key not in CLOCK} for row in read_metrics(folder.metrics)]


def result_without_clock(folder: RunFolder) -> dict[str, Any]:
    """The result of a run, without what a clock measured."""
    return {key: value for key, value in folder.result().items() if key not in CLOCK}


def new_encoder(config: EncoderConfig, tokenizer: Any, seed: int) -> Any:
    """A fresh `BertForPreTraining`."""
    return pretraining_model("pair", config, tokenizer, None, seed).model


def store_of(documents: list[list[int]], ids: np.ndarray | None = None) -> TokenStore:
    """A token store in memory.

    Args:
        documents: the number of tokens of each sentence of each document.
        ids: all tokens; 0, 1, 2 … where None.
    """
    sentences = [length for document in documents for length in document]
    document_offsets = np.concatenate([[0], np.cumsum([len(document) for document in documents])])
    sentence_offsets = np.concatenate([[0], np.cumsum(sentences)])
    tokens = np.arange(sum(sentences)) if ids is None else ids
    characters = np.array([10 * sum(document) for document in documents])
    return TokenStore(document_offsets, sentence_offsets, [tokens], np.array([0]), characters, [], {})


def rewrite_state(place: Path, **changes: Any) -> None:
    """Change entries of a checkpoint's `state.json`, the manifest in step with it."""
    file, manifest_file = place / "state.json", place / "manifest.json"
    state = json.loads(file.read_text(encoding="utf-8")) | changes
    file.write_text(json.dumps(state), encoding="utf-8")
    manifest = json.loads(manifest_file.read_text(encoding="utf-8"))
    manifest["state.json"] = {"sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "bytes": file.stat().st_size}
    manifest_file.write_text(json.dumps(manifest), encoding="utf-8")
