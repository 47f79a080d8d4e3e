"""Safe loading of third-party models: weights as safetensors, and code only from a pinned commit."""

import contextlib
from collections.abc import Generator
from typing import Any

from safetensors import SafetensorError

from configs.errors import InputError
from configs.hub_commit import COMMIT, revision_of

SAFE: dict[str, Any] = {"trust_remote_code": False}
# Reading a pickle can run code; safetensors hold only tensors. Weights in half precision would be computed with in half
# precision, in which scores hang on the other texts of a batch.
SAFE_WEIGHTS: dict[str, Any] = SAFE | {"use_safetensors": True, "dtype": "float32"}
# Errors from loading a folder that is damaged or holds no model.
UNREADABLE = (OSError, ValueError, KeyError, SafetensorError)


def check_commit(commit: str | None) -> None:
    """Refuse revisions that can move, such as branches and tags.

    Raises:
        InputError: neither null nor a full commit hash.
    """
    if commit is not None and not COMMIT.fullmatch(commit):
        raise InputError(
            f"model.trust_remote_code: {commit!r} is not a commit; give all 40 hexadecimal digits of the one whose "
            "code you have read, or null to run no code"
        )


def load_arguments(checkpoint: str, commit: str | None = None) -> dict[str, Any]:
    """The `from_pretrained` arguments for a configuration.

    Args:
        checkpoint: folder or Hub id; of an id, the commit is loaded that its digest names.
        commit: the commit whose code may run, or None.
    """
    return SAFE | revision_of(checkpoint) if commit is None else {"trust_remote_code": True, "revision": commit}


@contextlib.contextmanager
def quiet_transformers() -> Generator[None]:
    """Silence the warnings of transformers about newly initialised heads, which are expected, and its progress bars."""
    import transformers

    verbosity, bars = transformers.logging.get_verbosity(), transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(verbosity)
        if bars:
            transformers.logging.enable_progress_bar()
