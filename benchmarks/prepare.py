"""`python -m benchmarks.prepare --data_folder DIR`: preparing IMDB's text, against bare `tokenizers`.

DIR holds `imdb/train.parquet` and `imdb/unsupervised.parquet` (column `text`). Measured are the time of preparation
(read, clean, split into sentences, encode, write) against encoding the same texts and nothing else, with the same
number of processes; the pair plan of an epoch on one core; and the peak memory, of the corpus and of four times it.
"""

import dataclasses
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.measuring import in_turn, line, peak_megabytes, seconds
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
    """A tokenizer's run or folder; null trains that of `configs/tokenizer/imdb-cpu.yaml` first."""
    processes: int | None = None
    """How many work; null takes every core."""
    rounds: int = 3
    """How often time is measured; the medians count."""
    copies: int = 4
    """How many times the larger corpus of the memory measurement is the smaller one."""
    only_prepare: str | None = None
    """Prepare the corpus of this folder and measure nothing (for the memory measurement itself)."""
    runs: str = "runs"
    """Where a tokenizer is looked for, and trained."""

    def __post_init__(self) -> None:
        """Refuse counts below one."""
        require_at_least(1, rounds=self.rounds, copies=self.copies)


def run(config: PrepareBenchmarkConfig) -> None:
    """Measure and print."""
    tokenizer = config.tokenizer or _trained(config)
    if config.only_prepare is not None:
        _prepare(Path(config.only_prepare), tokenizer, config)
        return
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        whole = _corpus(folder / "1", config, copies=1)
        count = config.processes or os.cpu_count() or 1
        tasks = bare_tasks(whole, tokenizer, config)
        ours, bare = in_turn(
            config.rounds,
            lambda: _prepare(whole, tokenizer, config),
            lambda: list(in_processes(bare_tokenizers, tasks, count)),
        )
        line("prepare.time", statistics.median(ours), statistics.median(bare), "s")
        store = TokenStore.open(_place(whole, tokenizer, config).path / "store")
        every = np.arange(store.document_count)
        plans = [
            seconds(lambda epoch=epoch: epoch_plan(store, every, PairRule("bert", 128, 0.1), 0, epoch))
            for epoch in range(3)
        ]
        line("prepare.plan", statistics.median(plans), None, "s")
        many = _corpus(folder / "many", config, config.copies)
        single, fold = (peak_megabytes(_command(source, tokenizer, config)) for source in (whole, many))
        line("prepare.memory", fold, single, "MB")


def _trained(config: PrepareBenchmarkConfig) -> str:
    source = {"corpus.source": str(Path(config.data_folder) / "imdb"), "runs": config.runs}
    return str(train_tokenizer(load(TokenizerConfig, "configs/tokenizer/imdb-cpu.yaml", source)).path)


def _corpus(folder: Path, config: PrepareBenchmarkConfig, copies: int) -> Path:
    """A folder with links to the files, so many times."""
    folder.mkdir()
    for file in (Path(config.data_folder) / "imdb" / name for name in FILES):
        if not file.is_file():
            raise InputError(f"data_folder: {file} is missing")
        for number in range(copies):
            (folder / f"{file.stem}-{number}.parquet").symlink_to(file.resolve())
    return folder


def _source(folder: Path) -> CorpusConfig:
    return CorpusConfig(source=str(folder), split="all")


def _place(folder: Path, tokenizer: str, config: PrepareBenchmarkConfig):  # noqa: ANN202
    return store_folder(_source(folder), find_tokenizer(tokenizer, config.runs)[1], str(folder.parent))


def _prepare(folder: Path, tokenizer: str, config: PrepareBenchmarkConfig) -> None:
    place = _place(folder, tokenizer, config)
    shutil.rmtree(place.path, ignore_errors=True)
    found = find_tokenizer(tokenizer, config.runs)[0]
    prepare(_source(folder), found, place, preparation=PreparationConfig(processes=config.processes))


def bare_tasks(folder: Path, tokenizer: str, config: PrepareBenchmarkConfig) -> list[ShardTask]:
    """The same shards, for `bare_tokenizers`."""
    file = str(Path(find_tokenizer(tokenizer, config.runs)[0]) / "tokenizer.json")
    return [ShardTask(shard, _source(folder), False, file, "") for shard in shards.shards(_source(folder))]


def bare_tokenizers(task: ShardTask) -> int:
    """Read a shard and encode its texts whole; nothing is cleaned, split, kept or written."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(task.tokenizer_file)
    tokenizer.no_truncation()
    plain = dataclasses.replace(task.corpus, clean_html=False)
    documents = (document for part in task.shard for document in read_part(part, plain))
    tokens = 0
    for batch in batches(documents):
        encodings = tokenizer.encode_batch_fast([document.text for document in batch], add_special_tokens=False)
        tokens += sum(map(len, encodings))
    return tokens


def _command(folder: Path, tokenizer: str, config: PrepareBenchmarkConfig) -> list[str]:
    flags = ["--data_folder", config.data_folder, "--tokenizer", tokenizer, "--only_prepare", str(folder)]
    count = [] if config.processes is None else ["--processes", str(config.processes)]
    return [sys.executable, "-m", "benchmarks.prepare", *flags, *count, "--runs", config.runs]


def main() -> None:
    """Parse the command line, then measure."""
    run(parse(PrepareBenchmarkConfig, PROGRAM))


if __name__ == "__main__":
    run_command(PROGRAM, main)
