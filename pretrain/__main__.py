"""`accelerate launch -m pretrain`, or `python -m pretrain`: pretrain a BERT on a corpus."""

from configs.command_line import parse
from configs.errors import run_command
from configs.launch import launched_rank, tune_allocator, tune_waiting
from configs.run_folder import FINISHED_BEFORE
from configs.terminal import show_progress_lines
from pretrain.config import PretrainConfig
from pretrain.run_paths import run_folder

PROGRAM = "python -m pretrain"


def main() -> None:
    """Parse the command line, then pretrain; a finished run is reported without importing torch."""
    config = parse(PretrainConfig, PROGRAM)
    show_progress_lines()
    folder = run_folder(config)
    if folder.finished:
        print(f"pretrain: {FINISHED_BEFORE}")
    else:
        tune_allocator(config.training.speed.allocator)
        tune_waiting(config.training.speed.waiting, config.training.threads)
        from pretrain.run import run

        folder = run(config)
    if launched_rank() == 0:
        print(f"pretrain: {folder.path}")


if __name__ == "__main__":
    run_command(PROGRAM, main, several_processes=True)
