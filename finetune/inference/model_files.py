"""The files of a finished classifier: those of a Hub id are fetched once, and all are known by their content."""

from pathlib import Path

from configs.errors import InputError
from configs.hub_commit import revision_of
from configs.model_reference import HUB_ID
from finetune.inference.onnx_session import FOLDER, GRAPHS
from tokenizer.run_paths import content_digest
from tokenizer.vocabulary.serialization import DECIDING_FILES

# What decides what a model answers, but for its weights and what a run says of it; no code of others is run.
SETTINGS = ("config.json", "bag_of_words.*", *(name for name in DECIDING_FILES if not name.endswith(".py")))
WEIGHTS = ("model*.safetensors", "model*.safetensors.index.json")


def local(reference: str | Path, runtime: str = "torch") -> Path:
    """The folder of a classifier; of a Hub id, that of its newest commit, with what the runtime needs.

    Raises:
        InputError: there is no such folder, and it is no id, or its files cannot be fetched.
    """
    name = str(reference)
    if Path(reference).exists():
        return Path(reference)
    if not HUB_ID.fullmatch(name):
        raise InputError(f"model: no such file or folder: {name!r}")
    import httpx2
    from huggingface_hub import snapshot_download

    patterns = [*SETTINGS, *([f"{FOLDER}/{GRAPHS[runtime]}"] if runtime in GRAPHS else WEIGHTS)]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns, revision=revision_of(name).get("revision")))
    except (OSError, ValueError, httpx2.HTTPError) as error:
        raise InputError(f"model: {name!r} cannot be loaded: {' '.join(str(error).split())}") from None


def digest(folder: Path) -> str:
    """Ten hexadecimal digits that tell a run, or an exported model, from any other.

    Args:
        folder: of `local`.
    """
    of_model = (*SETTINGS, *WEIGHTS, *(f"{FOLDER}/{graph}" for graph in GRAPHS.values()))
    return content_digest(folder, ("result.json", "config.yaml", *of_model, *(f"model/{name}" for name in of_model)))
