"""`python -m tokenizer`: train a tokenizer on a corpus."""

from configs.command_line import parse
from configs.errors import run_command
from configs.run_folder import FINISHED_BEFORE
from configs.terminal import show_progress_lines
from tokenizer.config import TokenizerConfig
from tokenizer.run_paths import run_folder

PROGRAM = "python -m tokenizer"


def main() -> None:
    """Parse the command line, then train."""
    config = parse(TokenizerConfig, PROGRAM)
    show_progress_lines()
    folder = run_folder(config)
    if folder.finished:
        print(f"tokenizer: {FINISHED_BEFORE}")
    else:
        from tokenizer.run import run

        folder = run(config)
    print(f"tokenizer: {folder.path}")


if __name__ == "__main__":
    run_command(PROGRAM, main)
