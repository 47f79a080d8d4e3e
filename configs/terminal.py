"""What a person sees while a command runs."""

import logging
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def show_progress_lines() -> None:
    """Send this project's INFO lines to stderr, and keep the libraries to warnings."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    for room in ("configs", "tokenizer", "pretrain", "finetune"):
        logging.getLogger(room).setLevel(logging.INFO)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def progress(items: Iterable[T], description: str, unit: str, total: int | None = None) -> Iterator[T]:
    """`items` under a progress bar, which stays away where nobody looks (stderr is no terminal)."""
    from tqdm import tqdm

    yield from tqdm(items, total=total, desc=description, unit=f" {unit}", disable=None, leave=False)
