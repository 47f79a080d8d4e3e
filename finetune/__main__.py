"""`accelerate launch -m finetune`, or `python -m finetune`: train a classifier on labelled text."""

from configs.command_line import parse
from configs.errors import run_command
from configs.launch import tune_allocator
from configs.run_folder import FINISHED_BEFORE
from configs.terminal import show_progress_lines
from finetune.config import FinetuneConfig
from finetune.run_paths import run_folder

PROGRAM = "python -m finetune"


def main() -> None:
    """Parse the command line, then fine-tune; a finished run is reported without importing torch."""
    config = parse(FinetuneConfig, PROGRAM)
    show_progress_lines()
    folder = run_folder(config)
    if folder.finished:
        print(f"finetune: {FINISHED_BEFORE}")
    else:
        tune_allocator(config.training.speed.allocator)
        from finetune.run import run

        folder = run(config)
    result = folder.result()
    print(f"finetune: {folder.path}")
    if not result.get("beats_majority", True):
        majority = result["test_majority"]
        print(f"finetune: FAILED: no better than always saying the majority label ({majority:.4f} of the test texts)")
    print(f"finetune: test accuracy {result['test_accuracy']:.4f}, macro-F1 {result['test_macro_f1']:.4f}")


if __name__ == "__main__":
    run_command(PROGRAM, main)
