"""`accelerate launch -m pretrain`, or `python -m pretrain`: pretrain a BERT on a corpus."""

from configs.command_line import parse
from configs.errors import run_command
from configs.terminal import show_progress_lines
from pretrain.config import PretrainConfig

PROGRAM = "python -m pretrain"


def main() -> None:
    """Parse the command line, then pretrain."""
    config = parse(PretrainConfig, PROGRAM)
    show_progress_lines()
    from pretrain.run import run

    print(f"pretrain: {run(config).path}")


if __name__ == "__main__":
    run_command(PROGRAM, main)
