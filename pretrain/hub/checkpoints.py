"""The newest checkpoint of a run → a repository on the Hub, while training goes on; and back, on another machine.

A repository may hold several runs, each in a folder with the name of its run folder: `<name>-<digest>/step-00001000/`
and `metrics.jsonl`. A push is one commit, which also removes the checkpoint before it. Whatever goes wrong with a push
is told and costs no training.
"""

import contextlib
import logging
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

from configs.errors import InputError, Interrupted
from configs.run_folder import RunFolder
from pretrain.hub.access import REPOSITORY, hub_api, hub_token
from pretrain.hub.retries import careful_client, patiently
from pretrain.training import checkpoints

log = logging.getLogger(__name__)

STEP = re.compile(r"step-\d+")
# Between two looks for a new checkpoint.
SECONDS = 2.0
# What a run waits for its last push, and one that was interrupted, which schedulers kill some time after.
LAST_SECONDS, INTERRUPTED_SECONDS = 300.0, 10.0
PUSHED, FETCHED = ".pushed-", ".fetched-"


class CheckpointHub:
    """The checkpoints of a run on the Hub."""

    def __init__(self, repository: str, folder: RunFolder) -> None:
        """Ask for the token; nothing is sent.

        Raises:
            InputError: it is no name of a repository, or there is no token.
        """
        if not REPOSITORY.fullmatch(repository):
            raise InputError(f"checkpoint_hub: {repository!r} is not of the form owner/name")
        self.repository, self.folder = repository, folder
        self.token = hub_token()
        self.api = hub_api(self.token)
        self.pushed: str | None = None
        """The name of the newest checkpoint that is there."""
        self.tried: str | None = None
        """The name of the last one that was to be pushed."""

    def restore(self) -> None:
        """Create the repository if it is missing; fetch its checkpoint of this run if it is newer than those here.

        Raises:
            InputError: the Hub cannot be reached, refuses, or what it holds is damaged.
        """
        # Of a process that was killed; they keep the space of checkpoints that were pruned.
        for kind in (PUSHED, FETCHED):
            for leftover in self.folder.path.parent.glob(f"{kind}{self.folder.path.name}-*"):
                shutil.rmtree(leftover, ignore_errors=True)
        try:
            with careful_client():
                self._create()
                self._fetch()
        except InputError:
            raise
        except Exception as error:  # noqa: BLE001
            # Libraries of the network raise what they like.
            raise InputError(f"checkpoint_hub: {self.repository}: {self._reason(error)}") from None

    def _create(self) -> None:
        def create() -> None:
            self.api.create_repo(self.repository, private=True, exist_ok=True)

        if not patiently(lambda: self.api.repo_exists(self.repository), "asking for the repository"):
            patiently(create, "creating the repository")

    def _fetch(self) -> None:
        """Put the newest checkpoint of the Hub into the run's folder, unless there is one as new.

        Raises:
            InputError: it is damaged.
        """
        from huggingface_hub import snapshot_download

        name, metrics = self.folder.path.name, self.folder.metrics
        head, steps = patiently(self._there, "asking for checkpoints")
        if not steps:
            return
        newest = max(steps, key=step_of)
        here = checkpoints.list_checkpoints(self.folder.checkpoints)
        if here and step_of(here[-1].name) >= step_of(newest):
            return
        log.info("checkpoint: fetching %s of %s from %s", newest, name, self.repository)
        self.folder.checkpoints.mkdir(parents=True, exist_ok=True)
        with self._staging(FETCHED) as staging:

            def fetch() -> None:
                snapshot_download(
                    self.repository,
                    revision=head,
                    allow_patterns=[f"{name}/{newest}/*", f"{name}/{metrics.name}"],
                    local_dir=staging,
                    token=self.token,
                    endpoint=self.api.endpoint,
                )

            patiently(fetch, "fetching the checkpoint")
            fetched = Path(staging) / name
            if (damage := checkpoints.find_damage(fetched / newest)) is not None:
                raise InputError(
                    f"checkpoint_hub: {self.repository}/{name}/{newest} is damaged ({damage}); delete it there, or "
                    "leave checkpoint_hub out, to start over"
                )
            if (fetched / metrics.name).is_file():
                shutil.move(fetched / metrics.name, metrics)
            # Last, as its presence means that it is whole.
            (fetched / newest).rename(self.folder.checkpoints / newest)
        self.pushed = newest

    def _staging(self, kind: str) -> Any:
        """A temporary folder on the same disk; not in the run's, which is flushed as a whole when it is finished."""
        return tempfile.TemporaryDirectory(prefix=f"{kind}{self.folder.path.name}-", dir=self.folder.path.parent)

    def _there(self) -> tuple[str, set[str]]:
        """The newest commit, and the names of this run's checkpoints in it; not tried again."""
        head = self.api.model_info(self.repository).sha
        parts = [name.split("/") for name in self.api.list_repo_files(self.repository, revision=head)]
        return head, {
            part[1] for part in parts if len(part) == 3 and part[0] == self.folder.path.name and STEP.fullmatch(part[1])
        }

    @contextlib.contextmanager
    def pushing(self) -> Generator[None]:
        """While this context is open, each new checkpoint is pushed, the newest first; at its end, the last one."""
        ended = threading.Event()
        thread = threading.Thread(target=self._push_until, args=(ended,), name="checkpoint-hub", daemon=True)
        thread.start()
        patience = LAST_SECONDS
        try:
            yield
        except Interrupted:
            patience = INTERRUPTED_SECONDS
            raise
        finally:
            ended.set()
            thread.join(patience)
            if thread.is_alive():
                log.warning("checkpoint: the last push to %s is not finished", self.repository)

    def _push_until(self, ended: threading.Event) -> None:
        """Push what is new until the run has ended, and then once more."""
        while not ended.wait(SECONDS):
            self.push_newest()
        self.push_newest(is_last=True)

    def push_newest(self, is_last: bool = False) -> None:
        """Push the newest checkpoint unless it is there, or was tried and is not the last; a failure is told."""
        existing = checkpoints.list_checkpoints(self.folder.checkpoints)
        if not existing or existing[-1].name in ((self.pushed,) if is_last else (self.pushed, self.tried)):
            return
        self.tried = existing[-1].name
        try:
            with self._staging(PUSHED) as staging:
                linked = self._linked(existing[-1], Path(staging))
                if linked is not None:
                    self._push(linked)
                    self.pushed = existing[-1].name
                    log.info("checkpoint: %s is in %s", self.pushed, self.repository)
        except Exception as error:  # noqa: BLE001
            # Of the network, of the disk: training goes on, and the next checkpoint is another try.
            log.warning(
                "checkpoint: %s was not pushed to %s: %s", existing[-1].name, self.repository, self._reason(error)
            )

    def _linked(self, checkpoint: Path, staging: Path) -> Path | None:
        """The checkpoint under another name, by which it stays when it is pruned; None if it was pruned before."""
        target = staging / checkpoint.name
        target.mkdir()
        try:
            for file in checkpoint.iterdir():
                os.link(file, target / file.name)
        except FileNotFoundError:
            return None
        return target if checkpoints.find_damage(target) is None else None

    def _push(self, checkpoint: Path) -> None:
        """One commit: this checkpoint and the metrics, without the earlier ones.

        Raises:
            InputError: another machine has gone on from there.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        run = self.folder.path.name

        def commit() -> None:
            # What is there is asked anew at each try: the answer to the one before may be all that was lost.
            others = self._there()[1] - {checkpoint.name}
            if any(step_of(step) > step_of(checkpoint.name) for step in others):
                raise InputError("there is a later one, of another machine")
            # In Python's own memory: training appends to the file.
            metrics = self.folder.metrics
            operations: list[Any] = [CommitOperationAdd(f"{run}/{metrics.name}", metrics.read_bytes())]
            operations += [
                CommitOperationAdd(f"{run}/{checkpoint.name}/{file.name}", file)
                for file in sorted(checkpoint.iterdir())
            ]
            operations += [CommitOperationDelete(f"{run}/{step}/", is_folder=True) for step in sorted(others)]
            self.api.create_commit(self.repository, operations, commit_message=f"{run}: {checkpoint.name}")

        with careful_client():
            patiently(commit, "the commit")

    def _reason(self, error: BaseException) -> str:
        return f"{type(error).__name__}: {' '.join(str(error).split())}".replace(self.token, "(the token)")


def step_of(name: str) -> int:
    """The number of a checkpoint's step.

    >>> step_of("step-00000120")
    120
    """
    return int(name.removeprefix("step-"))
