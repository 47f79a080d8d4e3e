"""`python -m benchmarks.finetune --data_folder DIR`: fine-tuning on IMDB against common alternatives.

DIR holds `imdb/train.parquet`. Texts are truncated to 512 tokens. The peer of BERT is `transformers.Trainer` with
dynamic padding, that of the recurrent model a plain PyTorch loop over padded batches; ours is the command
`python -m finetune`. Both sides have the same model size, dropout and batch size, and run alternately in separate
processes, in fp32; ours once more in the precision of the shipped recipes (`.fastest`: bf16 on a CPU with instructions
for it). Prints real training tokens per second.
"""

import dataclasses
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.measurement.measuring import WARM_STEPS, measure_stage, print_measurement, run_in_subprocess
from benchmarks.pretrain import trained_tokenizer
from configs.bounds import require_at_least
from configs.command_line import load, parse
from configs.errors import InputError, run_command
from finetune.config import FinetuneConfig

PROGRAM = "python -m benchmarks.finetune"
FILE = "configs/finetune/imdb-cpu.yaml"
HELD_OUT = 64
# The ending of a measurement's name, and our precision.
PRECISIONS = {"": "auto", ".fastest": "fastest"}


@dataclasses.dataclass(frozen=True)
class FinetuneBenchmarkConfig:
    """Measure fine-tuning of BERT and of a BiLSTM against common alternatives."""

    data_folder: str
    """The folder with `imdb/train.parquet`."""
    models: list[str] = dataclasses.field(default_factory=lambda: ["bert-mini", "bilstm"])
    """`bert-<size>` or `bilstm`."""
    steps: dict[str, int] = dataclasses.field(default_factory=lambda: {"bert-mini": 30, "bert-tiny": 60, "bilstm": 60})
    """Steps per round, warm-up included."""
    rounds: int = 3
    """Measurements of each side; their median is reported."""
    vocabulary_size: int = 16384
    """Entries of the tokenizer, which is trained on IMDB first."""
    sequence_length: int = 512
    """Maximum tokens per text."""
    batch_size: int = 16
    """Texts per step."""
    dropout: float = 0.1
    """Dropout rate of both sides."""
    peer: str | None = None
    """Measure only the peer of this model, in this process (used internally)."""
    runs: str = "runs/benchmarks"
    """The parent folder of all run folders and data."""

    def __post_init__(self) -> None:
        """Validate the keys."""
        require_at_least(1, rounds=self.rounds, least_steps=min(self.steps.values()) - WARM_STEPS)


def run(config: FinetuneBenchmarkConfig) -> None:
    """Run the benchmark and print the measurements."""
    tokenizer_folder = str(trained_tokenizer(config.data_folder, config.vocabulary_size, config.runs).path)
    folder = labelled_folder(config)
    if config.peer is not None:
        print(json.dumps(measure_peer(config, config.peer, tokenizer_folder, folder)))
        return
    for model in config.models:
        name = untrained_bert(config, model, tokenizer_folder) if model.startswith("bert-") else model
        ours: dict[str, list[float]] = {ending: [] for ending in PRECISIONS}
        theirs = []
        for number in range(config.rounds):
            keys = overrides(config, model, name, tokenizer_folder, folder) | {"name": f"benchmark-{model}-{number}"}
            for ending, precision in PRECISIONS.items():
                found = measure_stage("finetune", keys | {"training.speed.precision": precision}, FILE)
                ours[ending].append(found["tokens_per_second"])
            theirs.append(run_in_subprocess("benchmarks.finetune", config, peer=model))
            rates = ", ".join(f"ours{ending} {rounds[-1]:,.0f}" for ending, rounds in ours.items())
            print(f"{model}, round {number + 1} of {config.rounds}: {rates}, peer {theirs[-1]:,.0f}", file=sys.stderr)
        for ending, rounds in ours.items():
            print_measurement(
                f"finetune.{model}{ending}", statistics.median(rounds), statistics.median(theirs), "tokens/s"
            )


def labelled_folder(config: FinetuneBenchmarkConfig) -> Path:
    """A folder with IMDB's training texts, a few of which are also the test texts, so that testing takes no time."""
    import pyarrow.parquet

    folder, source = Path(config.runs) / "labelled-imdb", Path(config.data_folder) / "imdb" / "train.parquet"
    if not source.is_file():
        raise InputError(f"data_folder: {source} is missing")
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "train.parquet").exists():
        (folder / "train.parquet").symlink_to(source.resolve())
        table = pyarrow.parquet.read_table(source)
        first_and_last = [*range(HELD_OUT // 2), *range(table.num_rows - HELD_OUT // 2, table.num_rows)]
        pyarrow.parquet.write_table(table.take(first_and_last), folder / "test.parquet")
    return folder


def untrained_bert(config: FinetuneBenchmarkConfig, model: str, tokenizer_folder: str) -> str:
    """The folder of a randomly initialized BERT, in the format of a pretrained one."""
    from transformers import BertForSequenceClassification

    from pretrain.models.architectures import bert_config
    from pretrain.models.config import EncoderConfig
    from tokenizer.vocabulary.serialization import load as load_tokenizer

    tokenizer = load_tokenizer(str(Path(tokenizer_folder) / "model"))
    folder = Path(config.runs) / f"untrained-{model}"
    size: Any = model.removeprefix("bert-")
    BertForSequenceClassification(bert_config(EncoderConfig(size=size), tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def overrides(
    config: FinetuneBenchmarkConfig, model: str, name: str, tokenizer_folder: str, folder: Path
) -> dict[str, Any]:
    """The overrides of the shipped config file."""
    return {
        "corpus.source": str(folder),
        "tokenizer": tokenizer_folder,
        "sequence_length": config.sequence_length,
        "maximum_validation_texts": HELD_OUT,
        "model.name": name,
        "model.dropout": config.dropout,
        "model.reinitialized_layers": 0,
        "model.pooling": None,
        "model.classifier_init": "random",
        "token_masking": 0.0,
        "adversarial_step": 0.0,
        "optimizer.name": "adamw",
        "training.batch_size": config.batch_size,
        "training.duration": f"{config.steps[model]} steps",
        "training.evaluations": 1,
        "training.log_every": 1,
        "training.threads": None,
        "runs": config.runs,
    }


def measure_peer(config: FinetuneBenchmarkConfig, model: str, tokenizer_folder: str, folder: Path) -> float:
    """Real tokens per second of the peer."""
    import torch

    from benchmarks.measurement.peers import PlainLSTM, train_in_plain_loop, train_with_trainer
    from finetune.classification.task import load_task
    from tokenizer.vocabulary.serialization import load as load_tokenizer

    recipe = load(FinetuneConfig, FILE, overrides(config, model, "bilstm", tokenizer_folder, folder))
    tokenizer = load_tokenizer(str(Path(tokenizer_folder) / "model"))
    task = load_task(recipe, tokenizer, str(Path(tokenizer_folder) / "model"), recipe.runs)
    order = torch.randperm(len(task.train_indices), generator=torch.Generator().manual_seed(0))
    rows = []
    for index in task.train_indices[order[: config.batch_size * config.steps[model]].numpy()].tolist():
        ids = task.train.encode(index)[0].tolist()
        rows.append({"input_ids": ids, "attention_mask": [1] * len(ids), "labels": int(task.train.classes_N[index])})
    torch.manual_seed(0)
    if model == "bilstm":
        lstm = PlainLSTM(len(tokenizer), recipe.model.hidden_size, recipe.model.layers, True, config.dropout)
        return train_in_plain_loop(lstm, rows, config.steps[model], config.batch_size)
    from transformers import BertForSequenceClassification

    from pretrain.models.safe_loading import SAFE_WEIGHTS

    bert = BertForSequenceClassification.from_pretrained(Path(config.runs) / f"untrained-{model}", **SAFE_WEIGHTS)
    return train_with_trainer(bert, rows, {"input_ids": 0, "attention_mask": 0}, config.steps[model], config.batch_size)


def main() -> None:
    """Parse the command line, then run the benchmark."""
    run(parse(FinetuneBenchmarkConfig, PROGRAM))


if __name__ == "__main__":
    run_command(PROGRAM, main)
