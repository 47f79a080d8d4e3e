"""`encode_shard` on Ray Data, for corpora too large for one machine (extra `ray`).

The corpus and the folder of runs must be on a file system that every machine of the cluster shares.
"""

import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from configs.errors import ROOMS, InputError
from pretrain.data.encode import ShardTask, encode_shard


def encode_shards(tasks: Sequence[ShardTask]) -> Iterator[str]:
    """Encode shards on a Ray cluster: that of `RAY_ADDRESS`, one already running here, or a new local one.

    Returns:
        The files, as they are finished.

    Raises:
        InputError: Ray is not installed, or a worker raised it.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError:
        raise InputError("preparation.backend: ray is not installed; pip install --editable '.[ray]'") from None
    started_here = not ray.is_initialized()
    if started_here:
        root = Path(__file__).resolve().parents[2]
        environment = {"py_modules": [str(root / room) for room in ROOMS[:3]]}
        ray.init(runtime_env=environment, log_to_driver=False, include_dashboard=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    absolute = [_absolute(task) for task in tasks]
    numbers = ray.data.from_items([{"number": number} for number in range(len(tasks))], override_num_blocks=len(tasks))
    try:
        for row in numbers.map(functools.partial(_encode, tasks=absolute)).iter_rows():
            yield row["file"]
    except Exception as error:
        if (cause := _input_error(error)) is not None:
            raise InputError(str(cause)) from None
        raise
    finally:
        if started_here:
            ray.shutdown()


def _input_error(error: BaseException | None) -> InputError | None:
    """The `InputError` of a worker, which Ray wraps in errors of its own with the worker's traceback."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, InputError):
            return error
        seen.add(id(error))
        error = getattr(error, "cause", None) or error.__cause__
    return None


def _encode(row: dict[str, Any], tasks: Sequence[ShardTask]) -> dict[str, str]:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    return {"file": encode_shard(tasks[row["number"]])}


def _absolute(task: ShardTask) -> ShardTask:
    """The task with absolute paths, so that workers can run in any folder."""
    parts = tuple(
        part._replace(source=str(Path(part.source).resolve())) if Path(part.source).exists() else part
        for part in task.shard
    )
    return task._replace(
        shard=parts, tokenizer_file=str(Path(task.tokenizer_file).resolve()), target=str(Path(task.target).resolve())
    )
