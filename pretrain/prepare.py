"""`python -m pretrain.prepare`: the token store of a pretraining run, and nothing else.

A run makes its store by itself; of a large corpus it is better made beforehand, on a machine with many cores and no
accelerator, or on a Ray cluster, than while the processes of a distributed run wait for each other.
"""

from configs.command_line import parse
from configs.errors import run_command
from configs.run_folder import RunFolder
from configs.terminal import show_progress_lines
from pretrain.config import PretrainConfig

PROGRAM = "python -m pretrain.prepare"


def run(config: PretrainConfig) -> RunFolder:
    """Make the store unless it is there; the keys are those of a pretraining run.

    Raises:
        InputError: the tokenizer is not finished, or the corpus cannot be read.
    """
    from pretrain.data.store import prepare, store_folder
    from pretrain.run_paths import tokenizer_of

    folder, digest = tokenizer_of(config)
    place = store_folder(config.corpus, digest, config.runs)
    prepare(config.corpus, folder, place, preparation=config.preparation)
    return place


def main() -> None:
    """Parse the command line, then prepare."""
    config = parse(PretrainConfig, PROGRAM)
    show_progress_lines()
    place = run(config)
    found = place.result()
    counts = ", ".join(f"{found[name]:,} {name}" for name in ("documents", "sentences", "tokens"))
    print(f"prepare: {counts}\nprepare: {place.path}")


if __name__ == "__main__":
    run_command(PROGRAM, main)
