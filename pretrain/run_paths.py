"""Run folders of pretraining, and how references to pretrained models are resolved; torch is not imported."""

import functools
import hashlib
import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from configs import file_digest
from configs.command_line import load
from configs.errors import InputError
from configs.launch import digested_precision
from configs.model_reference import local_folder
from configs.run_folder import RunFolder
from pretrain.config import PretrainConfig
from pretrain.models.config import GENERATOR
from pretrain.objectives.registry import objective_named
from tokenizer.corpus import shards
from tokenizer.corpus.config import CorpusConfig
from tokenizer.run_paths import content_digest, hub_digest
from tokenizer.run_paths import find as find_tokenizer
from tokenizer.vocabulary.serialization import DECIDING_FILES, extends

log = logging.getLogger(__name__)

# Of which two are held out.
MINIMUM_DOCUMENTS = 4


def run_folder(config: PretrainConfig) -> RunFolder:
    """The run folder of a config, finished or not.

    Raises:
        InputError: the tokenizer's run is not finished, or the corpus cannot be found.
    """
    upstream = [tokenizer_of(config)[1], shards.fingerprint(config.corpus)]
    if config.leakage.split is not None:
        upstream.append(shards.fingerprint(leakage_corpus(config)))
    if config.model.init_from is not None:
        start, digest = find(config.model.init_from, config.runs, config.model.trust_remote_code)
        upstream.append(digest)
        if config.objective == "rtd" and (generator := Path(start) / GENERATOR).is_dir():
            upstream.append(_content_digest(generator))
    return RunFolder.of("pretrain", config, [*upstream, *digested_precision(config.training.speed.precision)])


def minimum_documents(config: PretrainConfig) -> int:
    """How many documents a corpus must have for some to be held out.

    One is enough where it may be cut into pieces: not for pairs whose second segment comes from another document, nor
    where documents are compared with test texts.
    """
    may_be_cut = not objective_named(config.objective).audits_pairs and config.leakage.split is None
    return 1 if may_be_cut else MINIMUM_DOCUMENTS


def leakage_corpus(config: PretrainConfig) -> CorpusConfig:
    """The corpus of the test texts that `leakage` names."""
    leakage = config.leakage
    return replace(
        config.corpus,
        split=leakage.split or "",
        source=config.corpus.source if leakage.source is None else leakage.source,
        text_column=config.corpus.text_column if leakage.text_column is None else leakage.text_column,
    )


def tokenizer_of(config: PretrainConfig) -> tuple[str, str]:
    """The folder or Hub id of a run's tokenizer, and its digest.

    Raises:
        InputError: the config names no tokenizer, or its run is not finished.
    """
    if config.model.init_from is None:
        if config.tokenizer is None:
            raise InputError("tokenizer: give a tokenizer run's YAML file, a folder or a Hub id")
        return find_tokenizer(config.tokenizer, config.runs)
    checkpoint, _ = find(config.model.init_from, config.runs)
    if config.tokenizer is not None:
        folder, digest = find_tokenizer(config.tokenizer, config.runs)
        if extends(folder, checkpoint):
            return folder, digest
        log.info("tokenizer: using the checkpoint's; %s does not add words to it", config.tokenizer)
    return find_tokenizer(checkpoint, config.runs, config.model.trust_remote_code)


def find(reference: str, runs: str, commit: str | None = None, *, weights: bool = True) -> tuple[str, str]:
    """The folder of a pretrained model that `transformers` can load, and a digest of its content.

    Args:
        reference: a pretraining run's YAML file or folder, any folder with a `config.json`, or a Hub id.
        runs: the folder of runs to search for a YAML file's run.
        commit: the pinned commit of a Hub id, or None.
        weights: whether the weights of a folder count in the digest, or its architecture and tokenizer alone.

    Raises:
        InputError: the reference does not exist, or the run is not finished.
    """

    def folder_of_config(file: Path) -> RunFolder:
        return run_folder(load(PretrainConfig, file, {"runs": runs}))

    folder = local_folder(reference, "model", "python -m pretrain", folder_of_config)
    if folder is None:
        return reference, hub_digest(reference, commit)
    if not (folder / "config.json").is_file():
        raise InputError(f"model: {folder} holds no config.json (an unfinished run?)")
    return str(folder), _content_digest(folder, weights=weights)


def fingerprints(run: RunFolder, tokenizer_folder: str, stores: Iterable[Path]) -> dict[str, str]:
    """Fingerprints of config, tokenizer and data, compared when a run resumes.

    Args:
        run: the run folder, whose name ends with the digest of the config and everything upstream.
        tokenizer_folder: a local folder, or a Hub id, which is used as it is.
        stores: the folders of the token stores.
    """
    tokenizer, data = Path(tokenizer_folder), hashlib.sha256()
    for store in stores:
        for file in sorted(store.iterdir()):
            data.update(f"{file.name} {file.stat().st_size}\n".encode() + file_digest.content(file))
    return {
        "config": run.digest,
        "tokenizer": _content_digest(tokenizer) if tokenizer.is_dir() else tokenizer_folder,
        "data": data.hexdigest()[:10],
    }


@functools.cache
def _content_digest(folder: Path, *, weights: bool = True) -> str:
    tensors = ["*.safetensors"] if weights else []
    return content_digest(folder, ("*.json", *tensors, "*.py", *DECIDING_FILES))
