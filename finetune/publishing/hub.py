"""A folder → one commit on the Hugging Face Hub."""

import os
import re
from pathlib import Path

from configs.errors import InputError


def publish(model: Path, card: str, repository: str, private: bool) -> str:
    """Upload the folder `model` and its card as one commit; returns the URL of the commit.

    The token is read from HF_TOKEN only; HF_ENDPOINT selects another server.

    Raises:
        InputError: the token is missing, the name is invalid, or the Hub refused or could not be reached.
    """
    token = os.environ.get("HF_TOKEN")
    if not token:
        raise InputError("HF_TOKEN is not set; export a token with write access to publish")
    if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", repository):
        raise InputError(f"--to hub:{repository}: not of the form hub:owner/name")
    import httpx2
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    files = [file for file in sorted(model.rglob("*")) if file.is_file()]
    operations = [CommitOperationAdd(file.relative_to(model).as_posix(), file) for file in files]
    operations.append(CommitOperationAdd("README.md", card.encode()))
    api = HfApi(token=token)
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        commit = api.create_commit(repository, operations, commit_message="Model and card from Bertlet")
    except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, httpx2.HTTPError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"--to hub:{repository}: the Hub refused or could not be reached: {reason}") from None
    return commit.commit_url
