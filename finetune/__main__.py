"""`accelerate launch -m finetune`, or `python -m finetune`: train a classifier on labelled text."""

from configs.command_line import parse
from configs.errors import run_command
from configs.launch import launched_rank, tune_allocator
from configs.run_folder import FINISHED_BEFORE
from configs.terminal import show_progress_lines
from finetune.config import BAG_OF_WORDS, FinetuneConfig
from finetune.run_paths import run_folder

PROGRAM = "python -m finetune"


def main() -> None:
    """Parse the command line, then fine-tune; a finished run is reported without importing torch."""
    config = parse(FinetuneConfig, PROGRAM)
    show_progress_lines()
    folder = run_folder(config)
    if launched_rank() != 0 and config.model.name == BAG_OF_WORDS:
        # It needs no other processes; those of a launcher have nothing to do.
        return
    if folder.finished:
        print(f"finetune: {FINISHED_BEFORE}")
    else:
        tune_allocator(config.training.speed.allocator)
        from finetune.run import run

        folder = run(config)
    if launched_rank() != 0:
        return
    result = folder.result()
    print(f"finetune: {folder.path}")
    if result.get("beats_majority", True) is None:
        print(f"finetune: {result['test_texts']} test text(s) of this mixture are too few to tell a model from chance")
    if result.get("beats_majority") is False:
        majority = result["test_majority"]
        print(f"finetune: FAILED: no better than always saying the majority label ({majority:.4f} of the test texts)")
    print(f"finetune: test accuracy {result['test_accuracy']:.4f}, macro-F1 {result['test_macro_f1']:.4f}")


if __name__ == "__main__":
    run_command(PROGRAM, main)
