"""What a person sees while a command runs."""

import logging
import os
import sys


def show_progress_lines() -> None:
    """Send this project's INFO lines to stderr, and keep the libraries to warnings."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    for room in ("configs", "tokenizer", "pretrain", "finetune"):
        logging.getLogger(room).setLevel(logging.INFO)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
