"""`python -m benchmarks.prepare --data_folder DIR`: tokenizing IMDB, against bare `tokenizers`.

DIR holds `imdb/train.parquet` and `imdb/unsupervised.parquet` (column `text`). Measures the time of preparation (read,
clean, split into sentences, encode, write) against only encoding the same texts with the same number of processes; the
time of the pair plan of an epoch on one core; and the peak memory for the corpus and for four copies of it.
"""

import dataclasses
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.measurement.measuring import peak_megabytes, print_measurement, seconds, time_in_turn
from configs.bounds import require_at_least
from configs.command_line import load, parse
from configs.errors import InputError, run_command
from configs.processes import in_processes
from pretrain.data.config import PreparationConfig
from pretrain.data.encode import ShardTask, batches
from pretrain.data.pairs import PairRule, epoch_plan
from pretrain.data.store import TokenStore, prepare, store_folder
from tokenizer.config import TokenizerConfig
from tokenizer.corpus import shards
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.documents import read_part
from tokenizer.run import run as train_tokenizer
from tokenizer.run_paths import find as find_tokenizer

PROGRAM = "python -m benchmarks.prepare"
FILES = ("train.parquet", "unsupervised.parquet")


@dataclasses.dataclass(frozen=True)
class PrepareBenchmarkConfig:
    """Measure preparation: time, pair plan, memory."""

    data_folder: str
    """The folder with `imdb/train.parquet` and `imdb/unsupervised.parquet`."""
    tokenizer: str | None = None
    """A tokenizer run or folder; null trains that of `configs/tokenizer/imdb-cpu.yaml` first."""
    processes: int | None = None
    """Number of processes; null uses all cores."""
    rounds: int = 3
    """Measurements of time; their median is reported."""
    copies: int = 4
    """Copies of the corpus in the larger memory measurement."""
    only_prepare: str | None = None
    """Only prepare the corpus of this folder, without measuring (used internally)."""
    runs: str = "runs"
    """The parent folder of the tokenizer's run folder."""

    def __post_init__(self) -> None:
        """Validate the keys."""
        require_at_least(1, rounds=self.rounds, copies=self.copies)


def run(config: PrepareBenchmarkConfig) -> None:
    """Run the benchmark and print the measurements."""
    tokenizer = config.tokenizer or _train_tokenizer(config)
    if config.only_prepare is not None:
        _prepare(Path(config.only_prepare), tokenizer, config)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        corpus = _link_corpus(folder / "1", config, copies=1)
        count = config.processes or os.cpu_count() or 1
        tasks = bare_tasks(corpus, tokenizer, config)
        ours, bare = time_in_turn(
            config.rounds,
            lambda: _prepare(corpus, tokenizer, config),
            lambda: list(in_processes(bare_tokenizers, tasks, count)),
        )
        print_measurement("prepare.time", statistics.median(ours), statistics.median(bare), "s")
        store = TokenStore.open(_store_run(corpus, tokenizer, config).path / "store")
        documents = np.arange(store.document_count)
        plan_seconds = [
            seconds(lambda epoch=epoch: epoch_plan(store, documents, PairRule("bert", 128, 0.1), 0, epoch))
            for epoch in range(3)
        ]
        print_measurement("prepare.plan", statistics.median(plan_seconds), None, "s")
        copied_corpus = _link_corpus(folder / "many", config, config.copies)
        one_copy, all_copies = (
            peak_megabytes(_prepare_command(source, tokenizer, config)) for source in (corpus, copied_corpus)
        )
        print_measurement("prepare.memory", all_copies, one_copy, "MB")


def _train_tokenizer(config: PrepareBenchmarkConfig) -> str:
    overrides = {"corpus.source": str(Path(config.data_folder) / "imdb"), "runs": config.runs}
    return str(train_tokenizer(load(TokenizerConfig, "configs/tokenizer/imdb-cpu.yaml", overrides)).path)


def _link_corpus(folder: Path, config: PrepareBenchmarkConfig, copies: int) -> Path:
    """A new folder with `copies` links to each data file."""
    folder.mkdir()
    for file in (Path(config.data_folder) / "imdb" / name for name in FILES):
        if not file.is_file():
            raise InputError(f"data_folder: {file} is missing")
        for number in range(copies):
            (folder / f"{file.stem}-{number}.parquet").symlink_to(file.resolve())
    return folder


def _corpus_config(folder: Path) -> CorpusConfig:
    return CorpusConfig(source=str(folder), split="all")


def _store_run(folder: Path, tokenizer: str, config: PrepareBenchmarkConfig):  # noqa: ANN202
    return store_folder(_corpus_config(folder), find_tokenizer(tokenizer, config.runs)[1], str(folder.parent))


def _prepare(folder: Path, tokenizer: str, config: PrepareBenchmarkConfig) -> None:
    store_run = _store_run(folder, tokenizer, config)
    shutil.rmtree(store_run.path, ignore_errors=True)
    tokenizer_folder = find_tokenizer(tokenizer, config.runs)[0]
    prepare(
        _corpus_config(folder), tokenizer_folder, store_run, preparation=PreparationConfig(processes=config.processes)
    )


def bare_tasks(folder: Path, tokenizer: str, config: PrepareBenchmarkConfig) -> list[ShardTask]:
    """The tasks for `bare_tokenizers`: the same shards as in preparation."""
    file = str(Path(find_tokenizer(tokenizer, config.runs)[0]) / "tokenizer.json")
    return [
        ShardTask(shard, _corpus_config(folder), False, file, "") for shard in shards.shards(_corpus_config(folder))
    ]


def bare_tokenizers(task: ShardTask) -> int:
    """Read a shard and encode its texts, without cleaning, splitting or writing; returns the number of tokens."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(task.tokenizer_file)
    tokenizer.no_truncation()
    uncleaned = dataclasses.replace(task.corpus, clean_html=False)
    documents = (document for part in task.shard for document in read_part(part, uncleaned))
    tokens = 0
    for batch in batches(documents):
        encodings = tokenizer.encode_batch_fast([document.text for document in batch], add_special_tokens=False)
        tokens += sum(map(len, encodings))
    return tokens


def _prepare_command(folder: Path, tokenizer: str, config: PrepareBenchmarkConfig) -> list[str]:
    flags = ["--data_folder", config.data_folder, "--tokenizer", tokenizer, "--only_prepare", str(folder)]
    processes = [] if config.processes is None else ["--processes", str(config.processes)]
    return [sys.executable, "-m", "benchmarks.prepare", *flags, *processes, "--runs", config.runs]


def main() -> None:
    """Parse the command line, then run the benchmark."""
    run(parse(PrepareBenchmarkConfig, PROGRAM))


if __name__ == "__main__":
    run_command(PROGRAM, main)
