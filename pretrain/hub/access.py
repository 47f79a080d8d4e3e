"""The token of the Hub, and a client that has it."""

import os
import re
from typing import Any

from configs.errors import InputError

# owner/name
REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w.-]+", re.ASCII)


def hub_token() -> str:
    """The token of HF_TOKEN, or of the Hub's own login.

    Raises:
        InputError: there is none, or it cannot be one.
    """
    from huggingface_hub import get_token

    token = get_token()
    if not token:
        raise InputError("no token for the Hub: set HF_TOKEN to one with write access, or run `hf auth login`")
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise InputError("the Hub's token has characters that no token has; set HF_TOKEN anew")
    return token


def hub_api(token: str) -> Any:
    """A client of the Hub, or of the server that HF_ENDPOINT names."""
    from huggingface_hub import HfApi

    return HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=token)
