"""`python -m benchmarks.finetune --data_folder DIR`: fine-tuning on IMDB's mix of lengths, against the usual ways.

DIR holds `imdb/train.parquet`. Texts are cut at 512 tokens. BERT's peer is `transformers.Trainer` with dynamic padding,
the recurrent model's a plain PyTorch loop over padded batches; each side of a pair is of the same size, with the same
dropout and batch, in a process of its own, in turn. Ours is the command `python -m finetune`. Printed are real tokens a
second of training.
"""

import dataclasses
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.measuring import WARM_STEPS, in_its_own_process, line, metered
from benchmarks.pretrain import trained_tokenizer
from configs.bounds import require_at_least
from configs.command_line import load, parse
from configs.errors import InputError, run_command
from finetune.config import FinetuneConfig

PROGRAM = "python -m benchmarks.finetune"
FILE = "configs/finetune/imdb-cpu.yaml"
HELD_OUT = 64


@dataclasses.dataclass(frozen=True)
class FinetuneBenchmarkConfig:
    """Measure fine-tuning of BERT and of a BiLSTM against the usual ways."""

    data_folder: str
    """The folder with `imdb/train.parquet`."""
    models: list[str] = dataclasses.field(default_factory=lambda: ["bert-mini", "bilstm"])
    """`bert-` and a size, or `bilstm`."""
    steps: dict[str, int] = dataclasses.field(default_factory=lambda: {"bert-mini": 30, "bert-tiny": 60, "bilstm": 60})
    """Steps a round, the first few of which do not count."""
    rounds: int = 3
    """How often each side is measured; the medians count."""
    vocabulary_size: int = 16384
    """Entries of the tokenizer, trained on IMDB first."""
    sequence_length: int = 512
    """Tokens a text at the most."""
    batch_size: int = 16
    """Texts a step."""
    dropout: float = 0.1
    """Of both sides."""
    peer: str | None = None
    """Measure the peer of this model in this very process (for the measurement itself)."""
    runs: str = "runs/benchmarks"
    """Where everything is kept."""

    def __post_init__(self) -> None:
        """Refuse counts below one."""
        require_at_least(1, rounds=self.rounds, least_steps=min(self.steps.values()) - WARM_STEPS)


def run(config: FinetuneBenchmarkConfig) -> None:
    """Measure and print."""
    tokenizer = str(trained_tokenizer(config.data_folder, config.vocabulary_size, config.runs).path)
    folder = labelled(config)
    if config.peer is not None:
        print(json.dumps(peer(config, config.peer, tokenizer, folder)))
        return
    for model in config.models:
        name = untrained(config, model, tokenizer) if model.startswith("bert-") else model
        ours, theirs = [], []
        for number in range(config.rounds):
            changes = settings(config, model, name, tokenizer, folder) | {"name": f"benchmark-{model}-{number}"}
            ours.append(metered("finetune", changes, FILE)["tokens_per_second"])
            theirs.append(in_its_own_process("benchmarks.finetune", config, peer=model))
            print(
                f"{model}, round {number + 1} of {config.rounds}: ours {ours[-1]:,.0f}, peer {theirs[-1]:,.0f}",
                file=sys.stderr,
            )
        line(f"finetune.{model}", statistics.median(ours), statistics.median(theirs), "tokens/s")


def labelled(config: FinetuneBenchmarkConfig) -> Path:
    """A folder with IMDB's training texts and a few of them again to be tested on, so that testing takes no time."""
    import pyarrow.parquet

    folder, source = Path(config.runs) / "labelled-imdb", Path(config.data_folder) / "imdb" / "train.parquet"
    if not source.is_file():
        raise InputError(f"data_folder: {source} is missing")
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "train.parquet").exists():
        (folder / "train.parquet").symlink_to(source.resolve())
        table = pyarrow.parquet.read_table(source)
        both = [*range(HELD_OUT // 2), *range(table.num_rows - HELD_OUT // 2, table.num_rows)]
        pyarrow.parquet.write_table(table.take(both), folder / "test.parquet")
    return folder


def untrained(config: FinetuneBenchmarkConfig, model: str, tokenizer: str) -> str:
    """The folder of a fresh BERT, as if somebody had pretrained it."""
    from transformers import BertForSequenceClassification

    from pretrain.models.architectures import bert_config
    from pretrain.models.config import EncoderConfig
    from tokenizer.vocabulary.serialization import load as load_tokenizer

    loaded = load_tokenizer(str(Path(tokenizer) / "model"))
    folder = Path(config.runs) / f"untrained-{model}"
    size: Any = model.removeprefix("bert-")
    BertForSequenceClassification(bert_config(EncoderConfig(size=size), loaded)).save_pretrained(folder)
    loaded.save_pretrained(folder)
    return str(folder)


def settings(config: FinetuneBenchmarkConfig, model: str, name: str, tokenizer: str, folder: Path) -> dict[str, Any]:
    """What departs from the shipped file."""
    return {
        "corpus.source": str(folder),
        "tokenizer": tokenizer,
        "sequence_length": config.sequence_length,
        "maximum_validation_texts": HELD_OUT,
        "model.name": name,
        "model.dropout": config.dropout,
        "model.reinitialized_layers": 0,
        "training.batch_size": config.batch_size,
        "training.duration": f"{config.steps[model]} steps",
        "training.evaluations": 1,
        "training.log_every": 1,
        "training.threads": None,
        "runs": config.runs,
    }


def peer(config: FinetuneBenchmarkConfig, model: str, tokenizer: str, folder: Path) -> float:
    """Real tokens a second of the usual way."""
    import torch

    from benchmarks.peers import PlainLSTM, padded_loop, trainer
    from finetune.run import task_of
    from tokenizer.vocabulary.serialization import load as load_tokenizer

    recipe = load(FinetuneConfig, FILE, settings(config, model, "bilstm", tokenizer, folder))
    loaded = load_tokenizer(str(Path(tokenizer) / "model"))
    task = task_of(recipe, loaded, tokenizer)
    chosen = torch.randperm(len(task.train_chosen), generator=torch.Generator().manual_seed(0))
    rows = []
    for place in task.train_chosen[chosen[: config.batch_size * config.steps[model]].numpy()].tolist():
        ids = task.train.encoded(place)[0].tolist()
        rows.append({"input_ids": ids, "attention_mask": [1] * len(ids), "labels": int(task.train.classes_N[place])})
    torch.manual_seed(0)
    if model == "bilstm":
        plain = PlainLSTM(len(loaded), recipe.model.hidden_size, recipe.model.layers, True, config.dropout)
        return padded_loop(plain, rows, config.steps[model], config.batch_size)
    from transformers import BertForSequenceClassification

    from pretrain.models.safe_loading import SAFE_WEIGHTS

    bert = BertForSequenceClassification.from_pretrained(Path(config.runs) / f"untrained-{model}", **SAFE_WEIGHTS)
    return trainer(bert, rows, {"input_ids": 0, "attention_mask": 0}, config.steps[model], config.batch_size)


def main() -> None:
    """Parse the command line, then measure."""
    run(parse(FinetuneBenchmarkConfig, PROGRAM))


if __name__ == "__main__":
    run_command(PROGRAM, main)
