"""Run folders of tokenizers, and how tokenizer references are resolved."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from configs.command_line import load
from configs.errors import InputError
from configs.hub_commit import hub_commit
from configs.model_reference import local_folder
from configs.run_folder import RunFolder
from tokenizer.config import TokenizerConfig
from tokenizer.corpus import shards
from tokenizer.vocabulary.serialization import DECIDING_FILES, TOKENIZER_FILES


def run_folder(config: TokenizerConfig) -> RunFolder:
    """The run folder of a config, finished or not."""
    upstream = [shards.fingerprint(config.corpus)]
    if config.base is not None:
        upstream.append(find(config.base, config.runs)[1])
    return RunFolder.of("tokenizer", config, upstream)


def find(reference: str, runs: str, commit: str | None = None) -> tuple[str, str]:
    """A folder or Hub id that `AutoTokenizer` can load, and a digest of its content.

    Args:
        reference: a tokenizer run's YAML file or folder, any folder with a `tokenizer.json`, or a Hub id.
        runs: the parent folder of all run folders, used for a YAML file.
        commit: the pinned commit of a Hub id, or None.

    Raises:
        InputError: the reference does not exist, or the run is not finished.
    """

    def run_folder_of(file: Path) -> RunFolder:
        return run_folder(load(TokenizerConfig, file, {"runs": runs}))

    folder = local_folder(reference, "tokenizer", "python -m tokenizer", run_folder_of)
    if folder is None:
        return reference, hub_digest(reference, commit)
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise InputError(f"tokenizer: {folder} holds no tokenizer.json (or {', '.join(TOKENIZER_FILES[1:])})")
    # `transformers` reads casing, accents and added tokens from other files than `tokenizer.json`, and the vocabulary
    # from `vocab.txt` if there is one.
    return str(folder), content_digest(folder, DECIDING_FILES)


def hub_digest(reference: str, commit: str | None) -> str:
    """What stands for a Hub id in digests: the id, with its commit, pinned or the newest, as far as it is known.

    >>> hub_digest("owner/name", "0a1b")
    'owner/name@0a1b'
    """
    commit = hub_commit(reference, "model") if commit is None else commit
    return reference if commit is None else f"{reference}@{commit}"


def content_digest(folder: Path, patterns: Iterable[str]) -> str:
    """Ten hexadecimal digits from the names and contents of a folder's files that match a pattern."""
    digest = hashlib.sha256()
    for file in sorted({file for pattern in patterns for file in folder.glob(pattern)}):
        with file.open("rb") as stream:
            digest.update(file.name.encode() + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:10]
