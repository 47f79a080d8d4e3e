"""The commit that a Hub id stands for now: what is under the same name tomorrow may be another model or data set."""

import functools
import logging
import re
from pathlib import Path

log = logging.getLogger(__name__)

COMMIT = re.compile(r"[0-9a-f]{40}")
SECONDS = 10


def revision_of(reference: str | Path) -> dict[str, str]:
    """The `revision` argument of `from_pretrained` for a Hub id, so that what is loaded is what digests name.

    >>> revision_of(".")
    {}
    """
    commit = None if Path(reference).exists() else hub_commit(str(reference), "model")
    return {} if commit is None else {"revision": commit}


@functools.cache
def hub_commit(identifier: str, kind: str) -> str | None:
    """The newest commit on the Hub; if that cannot be asked, the one in the local cache; None if there is neither.

    Args:
        identifier: `owner/name`.
        kind: `model` or `dataset`.
    """
    import httpx2
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    if not constants.HF_HUB_OFFLINE:
        try:
            return HfApi().repo_info(identifier, repo_type=kind, timeout=SECONDS).sha
        except HFValidationError:
            return None
        except (HfHubHTTPError, OfflineModeIsEnabled, httpx2.HTTPError, OSError) as error:
            log.info("%s: the Hub cannot be asked for the commit (%s)", identifier, " ".join(str(error).split())[:200])
    return cached_commit(identifier, kind)


def cached_commit(identifier: str, kind: str) -> str | None:
    """The newest commit in the local cache, which tells an id that was read from the Hub; the Hub is not asked.

    Args:
        identifier: `owner/name`.
        kind: `model` or `dataset`.
    """
    return _cached_dataset(identifier) if kind == "dataset" else _cached_model(identifier)


def _cached_model(identifier: str) -> str | None:
    from huggingface_hub import constants

    reference = Path(constants.HF_HUB_CACHE) / f"models--{identifier.replace('/', '--')}" / "refs" / "main"
    return reference.read_text(encoding="utf-8").strip() if reference.is_file() else None


def _cached_dataset(identifier: str) -> str | None:
    """The newest commit that `datasets` has prepared; its cache is `owner___name/subset/version/commit`."""
    import datasets.config

    folder = Path(datasets.config.HF_DATASETS_CACHE) / identifier.replace("/", "___")
    commits = [path for path in folder.glob("*/*/*") if COMMIT.fullmatch(path.name)]
    return max(commits, key=lambda path: path.stat().st_mtime).name if commits else None
