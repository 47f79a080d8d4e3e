"""What may happen when others' models are loaded: safetensors are read, and code runs of a pinned commit alone."""

import contextlib
import re
from collections.abc import Generator
from typing import Any

from safetensors import SafetensorError

from configs.errors import InputError

# A pickle runs code when it is read; safetensors hold numbers.
SAFE: dict[str, Any] = {"trust_remote_code": False}
SAFE_WEIGHTS: dict[str, Any] = SAFE | {"use_safetensors": True}
# What loading a folder that is none of a model, or a spoiled one, may raise.
UNREADABLE = (OSError, ValueError, KeyError, SafetensorError)
COMMIT = re.compile(r"[0-9a-f]{40}")


def check_commit(commit: str | None) -> None:
    """Refuse a name that may point at other code tomorrow.

    Raises:
        InputError: neither null nor a whole commit hash.
    """
    if commit is not None and not COMMIT.fullmatch(commit):
        raise InputError(
            f"model.trust_remote_code: {commit!r} is no commit; give all 40 hexadecimal digits of the one whose code "
            "you have read, or null to run no code"
        )


def load_arguments(commit: str | None) -> dict[str, Any]:
    """The arguments of `from_pretrained` for a configuration, given a commit whose code may run."""
    return SAFE if commit is None else {"trust_remote_code": True, "revision": commit}


@contextlib.contextmanager
def quiet_transformers() -> Generator[None]:
    """Without transformers' report of fresh heads, which are meant to be fresh, and its bars."""
    import transformers

    before, bars = transformers.logging.get_verbosity(), transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(before)
        if bars:
            transformers.logging.enable_progress_bar()
