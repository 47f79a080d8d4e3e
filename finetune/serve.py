"""`python -m finetune.serve RUN`: a finished classifier as an HTTP service.

It answers as Hugging Face's Inference API does, so that `huggingface_hub.InferenceClient` is its client.
"""

import importlib.util
import logging

from jsonargparse import Namespace

from configs.command_line import CommandLine
from configs.errors import InputError, Interrupted, run_command
from configs.launch import tune_allocator
from configs.terminal import show_progress_lines
from finetune.serving.config import ServeConfig

log = logging.getLogger("finetune.serve")

PROGRAM = "python -m finetune.serve"
# What the extra `serve` installs.
LIBRARIES = ("fastapi", "uvicorn", "prometheus_client")


def run(config: ServeConfig) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        InputError: a library is missing, the address cannot be listened on, or the model cannot be loaded.
        RunError: requests were left unanswered.
    """
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        install = "pip install --constraint constraints.txt --editable '.[serve]'"
        raise InputError(f"serve: {', '.join(missing)} is not installed; {install}")
    from finetune.serving.server import serve

    serve(config)


def main() -> None:
    """Parse the command line, then serve."""
    parser = CommandLine(PROGRAM, description=(ServeConfig.__doc__ or "").strip())
    parser.add_argument("run", type=str, metavar="RUN", help="A fine-tuning run, an exported model, or a Hub id.")
    parser.add_class_arguments(ServeConfig, skip={"run"})
    options: Namespace = parser.parse_args()
    config = ServeConfig(**(options.as_dict() if hasattr(options, "as_dict") else vars(options)))
    show_progress_lines()
    tune_allocator(config.allocator, "--allocator false")
    try:
        run(config)
    except (KeyboardInterrupt, Interrupted):
        # While libraries are imported; later on the server sees to it, and nothing is to be resumed here, either.
        log.info("serve: ended before it listened")


if __name__ == "__main__":
    run_command(PROGRAM, main)
