"""`python -m benchmarks.pretrain --data_folder DIR`: pretraining, against `transformers.Trainer` on the same model.

DIR holds `imdb/{train,unsupervised}.parquet`. Both sides train `BertForPreTraining` of the same size on the same kind
of pairs (at most 128 tokens, 32 per batch, dropout 0.1), alternately in separate processes. Ours is the command
`python -m pretrain`, measured in its `metrics.jsonl`; the peer pads each batch to its longest pair. Prints real tokens
per second, and our model FLOP/s compared with the rate of matrix products in the same run.
"""

import dataclasses
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.measurement.measuring import WARM_STEPS, measure_stage, print_measurement, run_in_subprocess
from configs.bounds import require_at_least
from configs.command_line import load, parse
from configs.errors import run_command
from configs.run_folder import RunFolder
from pretrain.config import PretrainConfig
from tokenizer.config import TokenizerConfig

PROGRAM = "python -m benchmarks.pretrain"
FILE = "configs/pretrain/imdb-cpu.yaml"


@dataclasses.dataclass(frozen=True)
class PretrainBenchmarkConfig:
    """Measure pretraining against `Trainer`."""

    data_folder: str
    """The folder with `imdb/train.parquet` and `imdb/unsupervised.parquet`."""
    sizes: list[str] = dataclasses.field(default_factory=lambda: ["tiny", "mini", "small"])
    """BERT sizes."""
    steps: dict[str, int] = dataclasses.field(
        default_factory=lambda: {"tiny": 40, "mini": 20, "small": 12, "medium": 10, "base": 8}
    )
    """Steps per round, warm-up included."""
    rounds: int = 3
    """Measurements of each side; their median is reported."""
    dropout: float = 0.1
    """Dropout rate of both sides, on hidden states and attention."""
    vocabulary_size: int = 16384
    """Entries of the tokenizer, which is trained on IMDB first."""
    sequence_length: int = 128
    """Maximum tokens per pair."""
    batch_size: int = 32
    """Pairs per step."""
    peer: str | None = None
    """Measure only the peer of this size, in this process (used internally)."""
    runs: str = "runs/benchmarks"
    """The parent folder of all run folders."""

    def __post_init__(self) -> None:
        """Validate the keys."""
        require_at_least(1, rounds=self.rounds, least_steps=min(self.steps.values()) - WARM_STEPS)


def run(config: PretrainBenchmarkConfig) -> None:
    """Run the benchmark and print the measurements."""
    tokenizer = trained_tokenizer(config.data_folder, config.vocabulary_size, config.runs)
    if config.peer is not None:
        print(json.dumps(measure_peer(config, config.peer, str(tokenizer.path))))
        return
    for size in config.sizes:
        measure(config, size, str(tokenizer.path))


def measure(config: PretrainBenchmarkConfig, size: str, tokenizer: str) -> None:
    """Measure both sides of a size alternately, and ours also without dropout."""
    ours, no_dropout, theirs = [], [], []
    for number in range(config.rounds):
        keys = overrides(config, size, tokenizer, f"round-{number}")
        ours.append(measure_stage("pretrain", keys, FILE))
        no_dropout.append(measure_stage("pretrain", keys | {"model.dropout": 0.0}, FILE))
        theirs.append(run_in_subprocess("benchmarks.pretrain", config, peer=size))
        print(
            f"{size}, round {number + 1} of {config.rounds}: ours {ours[-1]['tokens_per_second']:,.0f}, "
            f"without dropout {no_dropout[-1]['tokens_per_second']:,.0f}, peer {theirs[-1]:,.0f} tokens/s",
            file=sys.stderr,
        )
    tokens_per_second = statistics.median(rates["tokens_per_second"] for rates in ours)
    print_measurement(f"pretrain.bert-{size}", tokens_per_second, statistics.median(theirs), "tokens/s")
    # Each process measures matrix products once, at its start; the median is robust to load on a shared machine.
    matmul_gflops = statistics.median(rates["model_gflops"] / rates["mfu"] for rates in (*ours, *no_dropout))
    for name, rounds in ((f"bert-{size}", ours), (f"bert-{size}.no-dropout", no_dropout)):
        model_gflops = statistics.median(rates["model_gflops"] for rates in rounds)
        print_measurement(f"pretrain.gemm_share.{name}", model_gflops, matmul_gflops, "GFLOP/s")
    print_measurement(
        f"pretrain.waiting.bert-{size}", statistics.median(rates["data_wait_share"] for rates in ours), None, "of time"
    )


def trained_tokenizer(data_folder: str, vocabulary_size: int, runs: str) -> RunFolder:
    """The run folder of a tokenizer for IMDB; it is trained unless finished."""
    from tokenizer.run import run as train_tokenizer

    keys = {
        "corpus.source": str(Path(data_folder) / "imdb"),
        "vocabulary_size": vocabulary_size,
        "name": "benchmark",
        "runs": runs,
    }
    return train_tokenizer(load(TokenizerConfig, "configs/tokenizer/imdb-cpu.yaml", keys))


def overrides(config: PretrainBenchmarkConfig, size: str, tokenizer: str, name: str) -> dict[str, Any]:
    """The overrides of the shipped config file: BERT as published, AdamW, and a single evaluation."""
    return {
        "name": f"benchmark-{size}-{name}",
        "corpus.source": str(Path(config.data_folder) / "imdb"),
        "tokenizer": tokenizer,
        "objective": "mlm_nsp",
        "leakage.split": None,
        "leakage.drop": False,
        "audited_documents": 0,
        "held_out_share": 0.0005,
        "sequence_length": config.sequence_length,
        "masking.rate": 0.15,
        "model.architecture": "bert",
        "model.size": size,
        "model.dropout": config.dropout,
        "model.embedding_init": "random",
        "optimizer.name": "adamw",
        "training.speed.precision": "auto",
        "training.batch_size": config.batch_size,
        "training.duration": f"{config.steps[size]} steps",
        "training.evaluations": 1,
        "training.log_every": 1,
        "training.save_every": 100_000,
        "runs": config.runs,
    }


def measure_peer(config: PretrainBenchmarkConfig, size: str, tokenizer_folder: str) -> float:
    """Real tokens per second of `Trainer` with `BertForPreTraining`."""
    import torch
    from transformers import BertForPreTraining

    from benchmarks.measurement.peers import train_with_trainer
    from pretrain.data.masked_lm_dataset import TokenLayout
    from pretrain.data.store import prepare, store_folder
    from pretrain.models.architectures import bert_config
    from pretrain.run import sources
    from tokenizer.run_paths import find
    from tokenizer.vocabulary.serialization import load as load_tokenizer

    recipe = load(PretrainConfig, FILE, overrides(config, size, tokenizer_folder, "peer"))
    folder = str(Path(tokenizer_folder) / "model")
    tokenizer = load_tokenizer(folder)

    store = prepare(
        recipe.corpus, folder, store_folder(recipe.corpus, find(tokenizer_folder, config.runs)[1], config.runs)
    )
    (source,), _ = sources(recipe, store, TokenLayout.of(tokenizer))
    epoch = source.epoch(0)
    rows = [row for samples in epoch.batches[: config.steps[size] + 1] for row in rows_of(epoch.collate(samples))]
    torch.manual_seed(0)
    model = BertForPreTraining(bert_config(recipe.model, tokenizer))
    pad = {"input_ids": 0, "token_type_ids": 0, "attention_mask": 0, "labels": -100}
    return train_with_trainer(model, rows, pad, config.steps[size], config.batch_size)


def rows_of(batch: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a batch in the format of `Trainer`, without padding."""
    import torch

    labels = torch.full_like(batch["input_ids"], -100)
    labels.view(-1)[batch["masked_positions"]] = batch["masked_labels"]
    rows = []
    for number, length in enumerate(batch["attention_mask"].sum(1).tolist()):
        row = {
            name: batch[name][number, :length].tolist() for name in ("input_ids", "token_type_ids", "attention_mask")
        }
        row |= {"labels": labels[number, :length].tolist()}
        rows.append(row | {"next_sentence_label": int(batch["relation"][number])})
    return rows


def main() -> None:
    """Parse the command line, then run the benchmark."""
    run(parse(PretrainBenchmarkConfig, PROGRAM))


if __name__ == "__main__":
    run_command(PROGRAM, main)
