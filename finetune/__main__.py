"""`accelerate launch -m finetune`, or `python -m finetune`: train a classifier on labelled text."""

from configs.command_line import parse
from configs.errors import run_command
from configs.launch import launched_rank, tune_allocator, tune_waiting
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
        tune_waiting(config.training.speed.waiting, config.training.threads)
        from finetune.run import run

        folder = run(config)
    if launched_rank() != 0:
        return
    result = folder.result()
    print(f"finetune: {folder.path}")
    if result.get("beats_majority", True) is None:
        print(f"finetune: {result['test_texts']} test text(s) of this mixture are too few to tell a model from chance")
    several = "test_micro_f1" in result
    if result.get("beats_majority") is False:
        always = "giving every text the same labels" if several else "saying the majority label"
        score = (
            f"micro-F1 {result['test_majority_micro_f1']:.4f}"
            if several
            else f"{result['test_majority']:.4f} of the test texts"
        )
        print(f"finetune: FAILED: not shown to be better than always {always} ({score})")
    name, key = ("micro-F1", "test_micro_f1") if several else ("accuracy", "test_accuracy")
    print(f"finetune: test {name} {result[key]:.4f}, macro-F1 {result['test_macro_f1']:.4f}")


if __name__ == "__main__":
    run_command(PROGRAM, main, several_processes=True)
