"""Where a pretraining run lies, and what it starts from: recognised by content, without loading anything heavy."""

import functools
import hashlib
import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from configs.command_line import load as load_config
from configs.errors import InputError
from configs.run_folder import RunFolder
from pretrain.config import PretrainConfig
from tokenizer import shards
from tokenizer.config import CorpusConfig
from tokenizer.train import HUB_ID, extends
from tokenizer.train import find as find_tokenizer

log = logging.getLogger(__name__)


def run_folder(config: PretrainConfig) -> RunFolder:
    """Where this config's run lies, finished or not.

    Raises:
        InputError: the tokenizer's run is not finished, or the corpus cannot be found.
    """
    upstream = [tokenizer_of(config)[1], shards.fingerprint(config.corpus)]
    if config.leakage.split is not None:
        upstream.append(shards.fingerprint(leakage_corpus(config)))
    if config.model.init_from is not None:
        upstream.append(find(config.model.init_from, config.runs)[1])
    return RunFolder.of("pretrain", config, upstream)


def leakage_corpus(config: PretrainConfig) -> CorpusConfig:
    """The texts that `leakage` is about."""
    given = config.leakage
    return replace(
        config.corpus,
        split=given.split or "",
        source=config.corpus.source if given.source is None else given.source,
        text_column=config.corpus.text_column if given.text_column is None else given.text_column,
    )


def tokenizer_of(config: PretrainConfig) -> tuple[str, str]:
    """The folder or Hub id of the tokenizer that a run uses, and a digest of it.

    Raises:
        InputError: there is none, or its run is not finished.
    """
    if config.model.init_from is None:
        if config.tokenizer is None:
            raise InputError("tokenizer: give a tokenizer run's YAML file, a folder or a Hub id")
        return find_tokenizer(config.tokenizer, config.runs)
    checkpoint, _ = find(config.model.init_from, config.runs)
    if config.tokenizer is not None:
        given = find_tokenizer(config.tokenizer, config.runs)
        if extends(given[0], checkpoint):
            return given
        log.info("tokenizer: the checkpoint's own; %s does not add words to it", config.tokenizer)
    return find_tokenizer(checkpoint, config.runs)


def find(reference: str, runs: str) -> tuple[str, str]:
    """The folder of a pretrained model that `transformers` can load, and a digest of its content.

    Args:
        reference: a pretraining run's YAML file or folder, any folder with a `config.json`, or a Hub id.
        runs: the folder of runs in which a YAML file's run is looked for.

    Raises:
        InputError: nothing lies there, or the run is not finished.
    """
    path = Path(reference)
    if path.suffix in (".yaml", ".yml"):
        folder = run_folder(load_config(PretrainConfig, path, {"runs": runs}))
        if not folder.finished:
            raise InputError(f"model: {folder.path} is not finished; run `python -m pretrain --config {path}` first")
        path = folder.path
    if path.is_dir():
        path = path / "model" if (path / "model").is_dir() else path
        if not (path / "config.json").is_file():
            raise InputError(f"model: {path} holds no config.json (a run that is not finished?)")
        return str(path), _content(path)
    if not HUB_ID.fullmatch(reference):
        raise InputError(f"model: no such file or folder: {reference!r}")
    return reference, reference


def fingerprints(folder: RunFolder, tokenizer_folder: str, stores: Iterable[Path]) -> dict[str, str]:
    """Of what a run is made of, to be compared when it is resumed: config, tokenizer and data.

    Args:
        folder: of the run; its name ends with the digest of the config and of what lies upstream.
        tokenizer_folder: a local folder, or a Hub id, which stands for itself.
        stores: the folders of the token stores that are read; of large files both ends are taken.
    """
    tokenizer, data = Path(tokenizer_folder), hashlib.sha256()
    for store in stores:
        for file in sorted(store.iterdir()):
            data.update(f"{file.name} {file.stat().st_size}\n".encode() + shards.head_and_tail(file))
    return {
        "config": folder.digest,
        "tokenizer": _content(tokenizer) if tokenizer.is_dir() else tokenizer_folder,
        "data": data.hexdigest()[:10],
    }


@functools.cache
def _content(folder: Path) -> str:
    state = hashlib.sha256()
    for file in sorted([*folder.glob("*.json"), *folder.glob("*.safetensors")]):
        with file.open("rb") as stream:
            state.update(file.name.encode() + hashlib.file_digest(stream, "sha256").digest())
    return state.hexdigest()[:10]
