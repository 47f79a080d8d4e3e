"""A folder → one commit on the Hugging Face Hub."""

import dataclasses
import fnmatch
import importlib.util
import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from configs.errors import InputError
from finetune.publishing.card import is_as_generated
from tokenizer.vocabulary.serialization import DECIDING_FILES

log = logging.getLogger(__name__)

CARD = "README.md"
# Where the card goes if the repository has one that somebody wrote.
OTHER_CARD = "BERTLET.md"
# Files that the Hub itself makes.
OF_THE_HUB = (".gitattributes",)
# What `transformers` would load beside or instead of our files, if an earlier model left it.
LOADED_FILES = (
    *DECIDING_FILES,
    "config.json",
    "generation_config.json",
    "adapter_*",
    "*.safetensors",
    "*.safetensors.index.json",
    "pytorch_model*.bin*",
    "tf_model.h5",
    "flax_model.msgpack",
    "modeling_*.py",
    "configuration_*.py",
    "chat_template*",
)
SECONDS_TO_REACH_XET = 10


@dataclasses.dataclass(frozen=True)
class Changes:
    """What a commit would change in a repository that holds files."""

    replaced: list[str]
    added: list[str]
    removed: list[str]
    """Files of an earlier model, which would change what is loaded."""
    kept: list[str]
    """Files that are not ours and contradict nothing."""
    card: str
    """The name of our card's file."""

    @classmethod
    def of(cls, ours: Iterable[str], present: Iterable[str], written_card: bool) -> "Changes":
        """The changes from the files of both sides; `written_card`: whether the repository's card is not ours.

        >>> str(Changes.of(["config.json"], ["config.json", "notes.md", "README.md"], written_card=True))
        'replaces config.json; adds BERTLET.md; keeps README.md, notes.md'
        """
        card = OTHER_CARD if written_card else CARD
        wanted, there = {*ours, card}, set(present) - set(OF_THE_HUB)
        others = sorted(there - wanted)
        folders = {PurePosixPath(name).parent for name in wanted}
        removed = [
            name
            for name in others
            if PurePosixPath(name).parent in folders
            and any(fnmatch.fnmatch(PurePosixPath(name).name, pattern) for pattern in LOADED_FILES)
        ]
        return cls(
            replaced=sorted(wanted & there),
            added=sorted(wanted - there),
            removed=removed,
            kept=[name for name in others if name not in removed],
            card=card,
        )

    def __str__(self) -> str:
        """One line for a person."""
        parts = {"replaces": self.replaced, "adds": self.added, "keeps": self.kept}
        said = [f"{verb} {', '.join(names)}" for verb, names in parts.items() if names]
        if self.removed:
            said.append(f"removes {', '.join(self.removed)}, which would be loaded with the new files")
        return "; ".join(said)


def publish(model: Path, card: str, repository: str, private: bool, update: bool = False) -> str:
    """Upload the folder `model` and its card as one commit; returns the URL of the commit.

    The token is read from HF_TOKEN only; HF_ENDPOINT selects another server.

    Args:
        model: the folder to upload.
        card: the model card.
        repository: `owner/name`; created if it does not exist.
        private: whether a new repository is private.
        update: change a repository that holds files: replace those of the same names, remove those of an earlier model
            that would be loaded with them, and keep everything else, a card that somebody wrote included.

    Raises:
        InputError: the token is missing, the name is invalid, the repository holds files and `update` is not set, or
            the Hub refused or could not be reached.
    """
    token = os.environ.get("HF_TOKEN")
    if not token:
        raise InputError("HF_TOKEN is not set; export a token with write access to publish")
    if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", repository):
        raise InputError(f"--to hub:{repository}: not of the form hub:owner/name")
    import httpx2
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    files = {file.relative_to(model).as_posix(): file for file in sorted(model.rglob("*")) if file.is_file()}
    api, created = HfApi(token=token), False
    try:
        if not api.repo_exists(repository):
            api.create_repo(repository, private=private)
            created = True
        changes, revision = _changes(api, repository, files)
        if (changes.replaced or changes.removed or changes.kept) and not update:
            raise InputError(
                f"--to hub:{repository}: the repository holds files; the export {changes}; add --update to do that"
            )
        if not created:
            log.info("export: %s", changes)
        operations: list[Any] = [CommitOperationAdd(name, file) for name, file in files.items()]
        operations.append(CommitOperationAdd(changes.card, card.encode()))
        operations += [CommitOperationDelete(name) for name in changes.removed]
        _avoid_xet_out_of_reach(api, repository, token)
        # What somebody else commits in the meantime is not overwritten.
        commit = api.create_commit(
            repository, operations, commit_message="Model and card from Bertlet", parent_commit=revision
        )
    except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, httpx2.HTTPError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        left = "; the new repository is there and holds nothing yet: run the same command again" if created else ""
        raise InputError(f"--to hub:{repository}: the Hub refused or could not be reached: {reason}{left}") from None
    return commit.commit_url


def _changes(api: Any, repository: str, ours: Iterable[str]) -> tuple[Changes, str | None]:
    """What a commit of our files would change, and the commit of the repository that it would follow."""
    info = api.model_info(repository)
    present = [file.rfilename for file in info.siblings or []]
    written_card = False
    if CARD in present:
        text = Path(api.hf_hub_download(repository, CARD, revision=info.sha)).read_text(encoding="utf-8")
        written_card = not is_as_generated(text)
    return Changes.of(ours, present, written_card), info.sha


def _avoid_xet_out_of_reach(api: Any, repository: str, token: str) -> None:
    """Upload by plain HTTP if the Hub's storage service cannot be reached, as behind many firewalls.

    `huggingface_hub` would try again for five minutes and then give up, although the Hub takes files both ways.
    """
    import httpx2
    from huggingface_hub import constants

    if constants.HF_HUB_DISABLE_XET or importlib.util.find_spec("hf_xet") is None:
        return
    address = f"{api.endpoint}/api/models/{repository}/xet-write-token/main"
    try:
        answer = httpx2.get(address, headers={"Authorization": f"Bearer {token}"}, timeout=SECONDS_TO_REACH_XET)
        httpx2.head(answer.raise_for_status().json()["casUrl"], timeout=SECONDS_TO_REACH_XET)
    except (httpx2.HTTPError, ValueError, KeyError) as error:
        log.info("export: the Hub's storage service is out of reach (%s); uploading by plain HTTP", error)
        constants.HF_HUB_DISABLE_XET = True
