"""Log lines and progress bars of a running command."""

import logging
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from configs.launch import launched_rank

T = TypeVar("T")


def show_progress_lines() -> None:
    """Log this project at INFO level to stderr, libraries and other processes than the first at WARNING."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    for package in ("configs", "tokenizer", "pretrain", "finetune"):
        logging.getLogger(package).setLevel(logging.INFO if launched_rank() == 0 else logging.WARNING)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def progress(items: Iterable[T], description: str, unit: str, total: int | None = None) -> Iterator[T]:
    """Iterate over `items` with a progress bar if stderr is a terminal."""
    from tqdm import tqdm

    yield from tqdm(items, total=total, desc=description, unit=f" {unit}", disable=None, leave=False)
