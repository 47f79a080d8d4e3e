"""Run folders of tokenizers, and how tokenizer references are resolved."""

import hashlib
from pathlib import Path

from configs.command_line import load
from configs.errors import InputError
from configs.model_reference import local_folder
from configs.run_folder import RunFolder
from tokenizer.config import TokenizerConfig
from tokenizer.corpus import shards
from tokenizer.vocabulary.serialization import TOKENIZER_FILES


def run_folder(config: TokenizerConfig) -> RunFolder:
    """The run folder of a config, finished or not."""
    upstream = [shards.fingerprint(config.corpus)]
    if config.base is not None:
        upstream.append(find(config.base, config.runs)[1])
    return RunFolder.of("tokenizer", config, upstream)


def find(reference: str, runs: str) -> tuple[str, str]:
    """A folder or Hub id that `AutoTokenizer` can load, and a digest of its content.

    Args:
        reference: a tokenizer run's YAML file or folder, any folder with a `tokenizer.json`, or a Hub id.
        runs: the parent folder of all run folders, used for a YAML file.

    Raises:
        InputError: the reference does not exist, or the run is not finished.
    """

    def run_folder_of(file: Path) -> RunFolder:
        return run_folder(load(TokenizerConfig, file, {"runs": runs}))

    folder = local_folder(reference, "tokenizer", "python -m tokenizer", run_folder_of)
    if folder is None:
        return reference, reference
    for name in TOKENIZER_FILES:
        if (folder / name).is_file():
            return str(folder), hashlib.sha256((folder / name).read_bytes()).hexdigest()[:10]
    raise InputError(f"tokenizer: {folder} holds no tokenizer.json (or {', '.join(TOKENIZER_FILES[1:])})")
