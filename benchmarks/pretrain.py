"""`python -m benchmarks.pretrain --data_folder DIR`: pretraining, against `transformers.Trainer` on the same model.

DIR holds `imdb/{train,unsupervised}.parquet`. Both sides train `BertForPreTraining` of the same size on the same kind
of pairs, at most 128 tokens long, 32 a batch, dropout 0.1, in processes of their own, in turn. Ours is the command
`python -m pretrain`, whose meter is read from `metrics.jsonl`; the peer pads each batch to its longest pair.
Printed are real tokens a second; and our useful arithmetic beside the rate of matrix products, both of the same run.
"""

import dataclasses
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.measuring import WARM_STEPS, in_its_own_process, line, metered
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
    """Sizes of BERT."""
    steps: dict[str, int] = dataclasses.field(
        default_factory=lambda: {"tiny": 40, "mini": 20, "small": 12, "medium": 10, "base": 8}
    )
    """Steps a round, the first few of which do not count."""
    rounds: int = 3
    """How often each side is measured; the medians count."""
    dropout: float = 0.1
    """Of both sides, on hidden states and attention."""
    vocabulary_size: int = 16384
    """Entries of the tokenizer, trained on IMDB first."""
    sequence_length: int = 128
    """Tokens a pair at the most."""
    batch_size: int = 32
    """Pairs a step."""
    peer: str | None = None
    """Measure the peer of this size in this very process (for the measurement itself)."""
    runs: str = "runs/benchmarks"
    """Where the tokenizer, the token store and the runs are kept."""

    def __post_init__(self) -> None:
        """Refuse counts below one."""
        require_at_least(1, rounds=self.rounds, least_steps=min(self.steps.values()) - WARM_STEPS)


def run(config: PretrainBenchmarkConfig) -> None:
    """Measure and print."""
    tokenizer = trained_tokenizer(config.data_folder, config.vocabulary_size, config.runs)
    if config.peer is not None:
        print(json.dumps(peer(config, config.peer, str(tokenizer.path))))
        return
    for size in config.sizes:
        measure(config, size, str(tokenizer.path))


def measure(config: PretrainBenchmarkConfig, size: str, tokenizer: str) -> None:
    """Both sides of a size in turn, and ours once more without dropout."""
    ours, still, theirs = [], [], []
    for number in range(config.rounds):
        keys = settings(config, size, tokenizer, f"round-{number}")
        ours.append(metered("pretrain", keys, FILE))
        still.append(metered("pretrain", keys | {"model.dropout": 0.0}, FILE))
        theirs.append(in_its_own_process("benchmarks.pretrain", config, peer=size))
        print(
            f"{size}, round {number + 1} of {config.rounds}: ours {ours[-1]['tokens_per_second']:,.0f}, "
            f"without dropout {still[-1]['tokens_per_second']:,.0f}, peer {theirs[-1]:,.0f} tokens/s",
            file=sys.stderr,
        )
    speed = statistics.median(found["tokens_per_second"] for found in ours)
    line(f"pretrain.bert-{size}", speed, statistics.median(theirs), "tokens/s")
    # Each process measured matrix products once, when it began; on a shared machine the median of all of them counts.
    matrices = statistics.median(found["model_gflops"] / found["mfu"] for found in (*ours, *still))
    for name, rounds in ((f"bert-{size}", ours), (f"bert-{size}.no-dropout", still)):
        useful = statistics.median(found["model_gflops"] for found in rounds)
        line(f"pretrain.gemm_share.{name}", useful, matrices, "GFLOP/s")
    line(
        f"pretrain.waiting.bert-{size}", statistics.median(found["data_wait_share"] for found in ours), None, "of time"
    )


def trained_tokenizer(data_folder: str, vocabulary_size: int, runs: str) -> RunFolder:
    """A tokenizer of IMDB's text, trained unless it is there."""
    from tokenizer.run import run as train_tokenizer

    overrides = {
        "corpus.source": str(Path(data_folder) / "imdb"),
        "vocabulary_size": vocabulary_size,
        "name": "benchmark",
        "runs": runs,
    }
    return train_tokenizer(load(TokenizerConfig, "configs/tokenizer/imdb-cpu.yaml", overrides))


def settings(config: PretrainBenchmarkConfig, size: str, tokenizer: str, name: str) -> dict[str, Any]:
    """What departs from the shipped file: BERT's own dropout, masks and batch, and no evaluation on the way."""
    return {
        "name": f"benchmark-{size}-{name}",
        "corpus.source": str(Path(config.data_folder) / "imdb"),
        "tokenizer": tokenizer,
        "leakage.split": None,
        "audited_documents": 0,
        "held_out_share": 0.0005,
        "sequence_length": config.sequence_length,
        "masking.rate": 0.15,
        "model.size": size,
        "model.dropout": config.dropout,
        "model.start": "random",
        "training.batch_size": config.batch_size,
        "training.duration": f"{config.steps[size]} steps",
        "training.evaluations": 1,
        "training.log_every": 1,
        "training.save_every": 100_000,
        "runs": config.runs,
    }


def peer(config: PretrainBenchmarkConfig, size: str, tokenizer_folder: str) -> float:
    """Real tokens a second of `Trainer` with `BertForPreTraining`."""
    import torch
    from transformers import BertForPreTraining

    from benchmarks.peers import trainer
    from pretrain.data.masked_lm_dataset import TokenLayout
    from pretrain.data.store import prepare, store_folder
    from pretrain.models.architectures import bert_config
    from pretrain.run import sources
    from tokenizer.run_paths import find
    from tokenizer.vocabulary.serialization import load as load_tokenizer

    recipe = load(PretrainConfig, FILE, settings(config, size, tokenizer_folder, "peer"))
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
    return trainer(model, rows, pad, config.steps[size], config.batch_size)


def rows_of(batch: dict[str, Any]) -> list[dict[str, Any]]:
    """A batch as the rows that `Trainer` takes, without padding."""
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
    """Parse the command line, then measure."""
    run(parse(PretrainBenchmarkConfig, PROGRAM))


if __name__ == "__main__":
    run_command(PROGRAM, main)
