"""`python -m tokenizer`: train a tokenizer on a corpus."""

from configs.command_line import parse
from configs.errors import run_command
from configs.terminal import show_progress_lines
from tokenizer.config import TokenizerConfig
from tokenizer.run_paths import run_folder

PROGRAM = "python -m tokenizer"


def main() -> None:
    """Parse the command line, then train."""
    config = parse(TokenizerConfig, PROGRAM)
    show_progress_lines()
    from tokenizer.run import run

    if run_folder(config).finished:
        print("tokenizer: finished before, nothing is run; delete the folder to run it again")
    print(f"tokenizer: {run(config).path}")


if __name__ == "__main__":
    run_command(PROGRAM, main)
