"""An exported folder → one commit on the Hugging Face Hub, read back.

A commit is made once: where its answer is lost, the repository tells whether it was made.
"""

import dataclasses
import fnmatch
import functools
import importlib.util
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from configs.errors import InputError, RunError
from finetune.publishing.card import is_as_generated
from finetune.publishing.upload_files import BESIDE, CARD, UploadFile, listing, upload_files
from pretrain.hub.access import REPOSITORY, hub_api, hub_token
from pretrain.hub.retries import ATTEMPTS, careful_client, is_transient, patiently, pause
from tokenizer.vocabulary.serialization import DECIDING_FILES

log = logging.getLogger("finetune.export")

# Where the card goes if the repository has one that somebody wrote.
OTHER_CARD = "BERTLET.md"
# Files that the Hub itself makes.
OF_THE_HUB = (".gitattributes",)
# What `transformers` would load beside or instead of our files, if an earlier model left it.
LOADED_FILES = (
    *DECIDING_FILES,
    "config.json",
    "generation_config.json",
    # `finetune.load` takes a folder that has it for a bag-of-words model.
    "bag_of_words.json",
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
# Of git's names for branches, those that need no quoting anywhere.
BRANCH = re.compile(r"(?!.*\.\.)(?!.*//)[A-Za-z0-9][\w./-]*(?<![./])(?<!\.lock)", re.ASCII)
# The parent of a commit is no longer the newest one.
MOVED = (409, 412)
REPOSITORY_MADE, BRANCH_MADE = "repository", "branch"
MESSAGE = "Model and card from Bertlet"


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
        # All that lies in `onnx/` or `generator/` was made from the weights that are replaced.
        removed = [
            name
            for name in others
            if PurePosixPath(name).parts[0] in BESIDE
            or (
                PurePosixPath(name).parent in folders
                and any(fnmatch.fnmatch(PurePosixPath(name).name, pattern) for pattern in LOADED_FILES)
            )
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


@dataclasses.dataclass(frozen=True)
class Destination:
    """Where a model is published."""

    repository: str
    """`owner/name`; created if it does not exist."""
    revision: str | None = None
    """A branch, created if it does not exist; None: `main`."""
    private: bool = False
    """Whether a new repository is private."""
    update: bool = False
    """Change a repository that holds files: replace those of the same names, remove those of an earlier model that
    would be loaded with them, and keep everything else, a card that somebody wrote included."""

    def __post_init__(self) -> None:
        """Check the names.

        Raises:
            InputError: one of them is no name of a repository or branch.
        """
        if not REPOSITORY.fullmatch(self.repository):
            raise InputError(f"--to hub:{self.repository}: not of the form hub:owner/name")
        if self.revision is not None and not BRANCH.fullmatch(self.revision):
            raise InputError(f"--revision {self.revision!r}: not the name of a branch, such as v2 or trial/a")

    @property
    def flag(self) -> str:
        """How it was given."""
        return f"--to hub:{self.repository}" + (f" --revision {self.revision}" if self.revision else "")


def preview(folder: Path, destination: Destination) -> str:
    """What `publish` would send, a line a file; nothing is asked of the Hub, and no token is needed.

    Raises:
        InputError: the folder holds no model, or a secret.
    """
    files, left = upload_files(folder)
    total = sum(file.size for file in files)
    branch = f", branch {destination.revision}" if destination.revision else ""
    lines = [f"{len(files)} files of {total:,} bytes would go to {destination.repository}{branch} in one commit:"]
    return "\n".join([*lines, listing(files), *[f"stays: {name}" for name in left]])


def publish(folder: Path, destination: Destination) -> str:
    """Upload an exported folder as one commit, and read it back; returns the URL of the commit, or what it says.

    The token is that of HF_TOKEN, or of the Hub's own login; HF_ENDPOINT selects another server.

    Raises:
        InputError: there is no token, a file holds a secret, the repository holds files and `update` is not set, or
            the Hub refused or could not be reached.
        RunError: what the Hub holds after the commit is not what was sent.
    """
    files, left = upload_files(folder)
    for name in left:
        log.info("export: %s stays behind", name)
    token = hub_token()
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    errors = (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, httpx2.HTTPError, OSError, RuntimeError)
    upload = Upload(hub_api(token), destination, files)
    try:
        with careful_client():
            return upload.run()
    except RunError:
        raise
    except (*errors, ValueError) as error:
        # Of a large file the library says that it failed, and has the reason beside it.
        cause = error.__cause__ if isinstance(error, RuntimeError) else None
        reason = " ".join(f"{error} {cause or ''}".split()).replace(token, "(the token)")
        refused = "" if isinstance(error, InputError) else "the Hub refused or could not be reached: "
        raise InputError(f"{destination.flag}: {refused}{reason}{upload.left_behind()}") from None


class Upload:
    """One publication: what is known of the repository, step by step."""

    def __init__(self, api: Any, destination: Destination, files: Sequence[UploadFile]) -> None:
        self.api, self.destination, self.files = api, destination, files
        self.repository, self.revision = destination.repository, destination.revision
        self.created: str | None = None
        """What was made on the Hub before the commit: a repository or a branch."""

    def run(self) -> str:
        """Create what is missing, commit once, read back; returns the URL of the commit, or that nothing changed.

        Raises:
            InputError: the repository holds files and `update` is not set, or somebody else changed it.
            RunError: what the Hub holds after the commit is not what was sent.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        self._create_what_is_missing()
        head, present = self._state()
        ours = [file.name for file in self.files if file.name != CARD]
        changes = Changes.of(ours, present, self._has_written_card(head, present))
        wanted = {changes.card if file.name == CARD else file.name: file for file in self.files}
        if not changes.removed and not self._differences(wanted, present):
            return f"{self.api.endpoint}/{self.repository}/commit/{head} (nothing changed: no new commit)"
        # On a branch that was made here, nothing is lost: it began as a copy of main.
        is_theirs = not self.created and (changes.replaced or changes.removed or changes.kept)
        if is_theirs and not self.destination.update:
            raise InputError(f"the repository holds files; the export {changes}; add --update to do that")
        if present.keys() - set(OF_THE_HUB):
            log.info("export: %s", changes)
        operations: list[Any] = [CommitOperationAdd(name, file.path) for name, file in wanted.items()]
        operations += [CommitOperationDelete(name) for name in changes.removed]
        _avoid_xet_out_of_reach(self.api, self.repository, self.revision or "main")
        commit = self._commit(operations, head, wanted, changes.removed)
        self._verify(commit, wanted, changes.removed)
        return f"{self.api.endpoint}/{self.repository}/commit/{commit}"

    def left_behind(self) -> str:
        """What a failure left on the Hub, for the end of a message."""
        if self.created is None:
            return ""
        if self.created == REPOSITORY_MADE:
            return "; the new repository is there and holds nothing of this model yet: run the same command again"
        return f"; the new branch {self.revision} is there, as main is: run again with --update"

    def _create_what_is_missing(self) -> None:
        if not patiently(self._exists, "asking for the repository"):
            private = self.destination.private
            create = functools.partial(self.api.create_repo, self.repository, private=private, exist_ok=True)
            patiently(create, "creating the repository")
            self.created = REPOSITORY_MADE
        if self.revision is None or patiently(self._has_branch, "asking for the branch"):
            return
        create = functools.partial(self.api.create_branch, self.repository, branch=self.revision, exist_ok=True)
        patiently(create, "creating the branch")
        self.created = self.created or BRANCH_MADE

    def _exists(self) -> bool:
        import httpx2

        # A server that was never reached is not asked again and again.
        try:
            return self.api.repo_exists(self.repository)
        except httpx2.ConnectError as error:
            raise OSError(f"{self.api.endpoint}: {error}") from None

    def _has_branch(self) -> bool:
        refs = self.api.list_repo_refs(self.repository)
        return any(branch.name == self.revision for branch in refs.branches)

    def _state(self) -> tuple[str | None, dict[str, Any]]:
        """The newest commit, and its files by name."""
        head = patiently(lambda: self.api.model_info(self.repository, revision=self.revision).sha, "asking for files")
        return head, self._tree(head)

    def _tree(self, commit: str | None) -> dict[str, Any]:
        from huggingface_hub.hf_api import RepoFile

        def entries() -> list[Any]:
            return list(self.api.list_repo_tree(self.repository, recursive=True, revision=commit or self.revision))

        return {entry.path: entry for entry in patiently(entries, "reading back") if isinstance(entry, RepoFile)}

    def _has_written_card(self, head: str | None, present: Mapping[str, Any]) -> bool:
        """Whether the repository has a card that is not, or no longer, as this command made it."""
        if CARD not in present:
            return False
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

        revision = quote(head or self.revision or "main", safe="")
        address = f"{self.api.endpoint}/{self.repository}/resolve/{revision}/{CARD}"

        def card() -> str:
            answer = get_session().get(address, headers=build_hf_headers(token=self.api.token))
            hf_raise_for_status(answer)
            return answer.content.decode("utf-8", errors="replace")

        # Git may have changed the ends of lines.
        return not is_as_generated(patiently(card, "reading the card").replace("\r\n", "\n"))

    def _commit(
        self, operations: list[Any], parent: str | None, wanted: Mapping[str, UploadFile], removed: Sequence[str]
    ) -> str:
        """Commit exactly once, on top of `parent`; returns the commit.

        Raises:
            InputError: somebody else committed in the meantime.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                # What somebody else commits in the meantime is not overwritten.
                return self.api.create_commit(
                    self.repository,
                    operations,
                    commit_message=MESSAGE,
                    parent_commit=parent,
                    revision=self.revision,
                ).oid
            except Exception as error:
                status = getattr(getattr(error, "response", None), "status_code", None)
                if not is_transient(error) and status not in MOVED:
                    raise
                # The answer may have been lost, and not the request.
                head, present = self._state()
                if head is not None and head != parent:
                    if not self._differences(wanted, present) and not present.keys() & set(removed):
                        return head
                    raise InputError(
                        f"somebody else changed the repository in the meantime (commit {head[:8]}), and nothing was "
                        "published; run again"
                    ) from None
                if not is_transient(error) or attempt == ATTEMPTS:
                    raise
                pause(error, attempt, "the commit")

    def _verify(self, commit: str, wanted: Mapping[str, UploadFile], removed: Sequence[str]) -> None:
        """Compare what the Hub lists of the commit with what was sent.

        Raises:
            RunError: a file is missing, or has other content.
        """
        present = self._tree(commit)
        wrong = [*self._differences(wanted, present), *(f"{name}: still there" for name in removed if name in present)]
        if wrong:
            raise RunError(
                f"{self.destination.flag}: published as commit {commit[:8]}, but what the Hub holds is not what was "
                f"sent: {'; '.join(wrong)}; do not use it, and publish again with --update"
            )

    @staticmethod
    def _differences(wanted: Mapping[str, UploadFile], present: Mapping[str, Any]) -> list[str]:
        """The files that the Hub lacks or has with other content: by the SHA-256 of large files, by git's of others."""
        found = []
        for name, file in wanted.items():
            entry = present.get(name)
            if entry is None:
                found.append(f"{name}: missing")
            elif (
                (entry.lfs.sha256, entry.lfs.size) != (file.sha256, file.size)
                if entry.lfs
                else (entry.blob_id != file.blob)
            ):
                found.append(f"{name}: other content")
        return found


def _avoid_xet_out_of_reach(api: Any, repository: str, revision: str) -> None:
    """Upload by plain HTTP if the Hub's storage service cannot be reached, as behind many firewalls.

    `huggingface_hub` would try again for five minutes and then give up, although the Hub takes files both ways.
    """
    import httpx2
    from huggingface_hub import constants

    if constants.HF_HUB_DISABLE_XET or importlib.util.find_spec("hf_xet") is None:
        return
    address = f"{api.endpoint}/api/models/{repository}/xet-write-token/{quote(revision, safe='')}"
    try:
        answer = httpx2.get(address, headers={"Authorization": f"Bearer {api.token}"}, timeout=SECONDS_TO_REACH_XET)
        httpx2.head(answer.raise_for_status().json()["casUrl"], timeout=SECONDS_TO_REACH_XET)
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, KeyError, TypeError) as error:
        log.info("export: the Hub's storage service is out of reach (%s); uploading by plain HTTP", error)
        constants.HF_HUB_DISABLE_XET = True
