"""`python -m pretrain.prepare`: build only the token store of a pretraining run.

A run builds its store by itself. For a large corpus, build it in advance on a machine with many cores and no
accelerator, or on a Ray cluster, so that the processes of a distributed run do not wait for it.
"""

from configs.command_line import parse
from configs.errors import run_command
from configs.run_folder import RunFolder
from configs.terminal import show_progress_lines
from pretrain.config import PretrainConfig

PROGRAM = "python -m pretrain.prepare"


def run(config: PretrainConfig) -> RunFolder:
    """Build the store unless it exists; the keys are those of a pretraining run.

    Raises:
        InputError: the tokenizer is not finished, or the corpus cannot be read.
    """
    from pretrain.data.store import prepare, store_folder
    from pretrain.run_paths import tokenizer_of

    tokenizer_folder, digest = tokenizer_of(config)
    folder = store_folder(config.corpus, digest, config.runs)
    commit = config.model.trust_remote_code
    prepare(config.corpus, tokenizer_folder, folder, preparation=config.preparation, commit=commit)
    return folder


def main() -> None:
    """Parse the command line, then prepare."""
    config = parse(PretrainConfig, PROGRAM)
    show_progress_lines()
    folder = run(config)
    result = folder.result()
    counts = ", ".join(f"{result[name]:,} {name}" for name in ("documents", "sentences", "tokens"))
    print(f"prepare: {counts}\nprepare: {folder.path}")


if __name__ == "__main__":
    run_command(PROGRAM, main)
