"""`python -m benchmarks.inference --data_folder DIR`: classifying texts of IMDB's lengths, against the usual ways.

DIR holds `imdb/train.parquet`. Both sides classify the same tokenized reviews of at most 512 tokens with the same
model in fp32, in processes of their own, in turn: ours as fine-tuning evaluates (batches of like lengths, of about
8,192 tokens), BERT's peer with `Trainer.predict`, the recurrent model's in a plain loop over padded batches of 32.
Printed are texts a second.
"""

import dataclasses
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.finetune import FILE, FinetuneBenchmarkConfig, labelled, settings, untrained
from benchmarks.measuring import in_its_own_process, line
from benchmarks.pretrain import trained_tokenizer
from configs.bounds import require_at_least
from configs.command_line import load, parse
from configs.errors import run_command
from configs.launch import tune_allocator
from finetune.config import FinetuneConfig

PROGRAM = "python -m benchmarks.inference"


@dataclasses.dataclass(frozen=True)
class InferenceBenchmarkConfig:
    """Measure classification against the usual ways."""

    data_folder: str
    """The folder with `imdb/train.parquet`."""
    models: list[str] = dataclasses.field(default_factory=lambda: ["bert-mini", "bilstm"])
    """`bert-` and a size, or `bilstm`."""
    texts: int = 512
    """How many are classified a round."""
    rounds: int = 3
    """How often each side is measured; the medians count."""
    side: str | None = None
    """Measure `ours` or the `peer` of `only` in this very process (for the measurement itself)."""
    only: str | None = None
    """The model that `side` is about."""
    runs: str = "runs/benchmarks"
    """Where everything is kept."""

    def __post_init__(self) -> None:
        """Refuse counts below one."""
        require_at_least(1, rounds=self.rounds, texts=self.texts)


def run(config: InferenceBenchmarkConfig) -> None:
    """Measure and print."""
    if config.side is not None and config.only is not None:
        if config.side == "ours":
            tune_allocator(wanted=True)
        print(json.dumps(texts_per_second(config, config.only, config.side)))
        return
    for model in config.models:
        found: dict[str, list[float]] = {"ours": [], "peer": []}
        for number in range(config.rounds):
            for side, rates in found.items():
                rates.append(in_its_own_process("benchmarks.inference", config, side=side, only=model))
            shown = ", ".join(f"{side} {rates[-1]:,.1f}" for side, rates in found.items())
            print(f"{model}, round {number + 1} of {config.rounds}: {shown} texts/s", file=sys.stderr)
        line(f"inference.{model}", *(statistics.median(rates) for rates in found.values()), "texts/s")


def texts_per_second(config: InferenceBenchmarkConfig, model: str, side: str) -> float:
    """Of the second pass over the texts; the first warms up."""
    import numpy as np
    from accelerate import Accelerator
    from transformers import AutoModelForSequenceClassification

    from finetune.classification.evaluation import predict
    from finetune.classification.text_dataset import evaluation_epoch
    from finetune.run import EVALUATION_TOKENS, task_of
    from pretrain.models.builders import classifier
    from pretrain.models.safe_loading import SAFE_WEIGHTS
    from pretrain.training import fast_paths
    from tokenizer.vocabulary.serialization import load as load_tokenizer

    same = FinetuneBenchmarkConfig(config.data_folder, runs=config.runs)
    tokenizer = str(trained_tokenizer(config.data_folder, same.vocabulary_size, config.runs).path)
    loaded = load_tokenizer(str(Path(tokenizer) / "model"))
    folder = labelled(same)
    recipe = load(FinetuneConfig, FILE, settings(same, model, "bilstm", tokenizer, folder))
    texts = task_of(recipe, loaded, tokenizer).train
    chosen = np.random.default_rng(0).permutation(texts.store.document_count)[: config.texts]
    if model == "bilstm":
        made: Any = classifier(recipe.model, "", loaded, ["no", "yes"], seed=0)
    else:
        made = AutoModelForSequenceClassification.from_pretrained(untrained(same, model, tokenizer), **SAFE_WEIGHTS)
    fast_paths.set_threads(None)
    if side == "ours":
        fast_paths.apply(fast_paths.choose(recipe.training.speed, fast_paths.this_hardware(), work(made)), made)
        epoch = evaluation_epoch(texts, chosen, EVALUATION_TOKENS["cpu"])
        accelerator = Accelerator(cpu=True)
        return _timed(lambda: predict(accelerator, epoch, made), len(chosen))
    rows = [texts.encoded(int(place))[0].tolist() for place in chosen]
    return _timed(_padded(made, rows) if model == "bilstm" else _trainer(made, rows), len(chosen))


def work(model: Any) -> Any:
    """What `choose` is told of a model that is not trained."""
    from pretrain.training.fast_paths import Workload, attends_by_padding_alone

    return Workload(padding_mask_only=attends_by_padding_alone(model))


def _timed(once: Any, texts: int) -> float:
    once()
    begun = time.perf_counter()
    once()
    return texts / (time.perf_counter() - begun)


def _trainer(model: Any, rows: list[list[int]]) -> Any:
    import tempfile

    from transformers import Trainer, TrainingArguments

    from benchmarks.peers import padded

    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(), report_to="none", use_cpu=True, disable_tqdm=True, per_device_eval_batch_size=32
    )
    data: Any = [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in rows]
    collate = padded({"input_ids": 0, "attention_mask": 0})
    return lambda: Trainer(model=model, args=arguments, data_collator=collate).predict(data)


def _padded(model: Any, rows: list[list[int]]) -> Any:
    import torch
    from torch.nn.utils.rnn import pad_sequence

    def once() -> None:
        model.eval()
        with torch.inference_mode():
            for first in range(0, len(rows), 32):
                ids_BT = pad_sequence([torch.tensor(ids) for ids in rows[first : first + 32]], batch_first=True)
                model(input_ids=ids_BT, attention_mask=(ids_BT != 0).long())

    return once


def main() -> None:
    """Parse the command line, then measure."""
    run(parse(InferenceBenchmarkConfig, PROGRAM))


if __name__ == "__main__":
    run_command(PROGRAM, main)
