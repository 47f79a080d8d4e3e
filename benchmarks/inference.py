"""`python -m benchmarks.inference --data_folder DIR`: classifying IMDB reviews, against common alternatives.

DIR holds `imdb/train.parquet`. Both sides classify the same tokenized reviews of at most 512 tokens with the same
model in fp32, alternately in separate processes. Ours evaluates as fine-tuning does (batches of similar lengths, about
8,192 tokens each); the peer of BERT is `Trainer.predict`, that of the recurrent model a plain loop over padded batches
of 32. Prints texts per second.
"""

import dataclasses
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.finetune import FILE, FinetuneBenchmarkConfig, labelled_folder, overrides, untrained_bert
from benchmarks.measurement.measuring import print_measurement, run_in_subprocess
from benchmarks.pretrain import trained_tokenizer
from configs.bounds import require_at_least
from configs.command_line import load, parse
from configs.errors import run_command
from configs.launch import tune_allocator
from finetune.config import FinetuneConfig

PROGRAM = "python -m benchmarks.inference"


@dataclasses.dataclass(frozen=True)
class InferenceBenchmarkConfig:
    """Measure classification against common alternatives."""

    data_folder: str
    """The folder with `imdb/train.parquet`."""
    models: list[str] = dataclasses.field(default_factory=lambda: ["bert-mini", "bilstm"])
    """`bert-<size>` or `bilstm`."""
    texts: int = 512
    """Texts per round."""
    rounds: int = 3
    """Measurements of each side; their median is reported."""
    side: str | None = None
    """Measure only `ours` or `peer` of the model `only`, in this process (used internally)."""
    only: str | None = None
    """The model to measure with `side`."""
    runs: str = "runs/benchmarks"
    """The parent folder of all run folders and data."""

    def __post_init__(self) -> None:
        """Validate the keys."""
        require_at_least(1, rounds=self.rounds, texts=self.texts)


def run(config: InferenceBenchmarkConfig) -> None:
    """Run the benchmark and print the measurements."""
    if config.side is not None and config.only is not None:
        if config.side == "ours":
            tune_allocator(enabled=True)
        print(json.dumps(texts_per_second(config, config.only, config.side)))
        return
    for model in config.models:
        rates_by_side: dict[str, list[float]] = {"ours": [], "peer": []}
        for number in range(config.rounds):
            for side, rates in rates_by_side.items():
                rates.append(run_in_subprocess("benchmarks.inference", config, side=side, only=model))
            latest = ", ".join(f"{side} {rates[-1]:,.1f}" for side, rates in rates_by_side.items())
            print(f"{model}, round {number + 1} of {config.rounds}: {latest} texts/s", file=sys.stderr)
        print_measurement(
            f"inference.{model}", *(statistics.median(rates) for rates in rates_by_side.values()), "texts/s"
        )


def texts_per_second(config: InferenceBenchmarkConfig, name: str, side: str) -> float:
    """Throughput in the second pass over the texts; the first is warm-up."""
    import numpy as np
    from accelerate import Accelerator
    from transformers import AutoModelForSequenceClassification

    from finetune.classification.evaluation import EVALUATION_TOKENS, predict
    from finetune.classification.task import load_task
    from finetune.classification.text_dataset import evaluation_epoch
    from pretrain.models.builders import classifier
    from pretrain.models.safe_loading import SAFE_WEIGHTS
    from pretrain.training import fast_paths
    from tokenizer.vocabulary.serialization import load as load_tokenizer

    finetune_config = FinetuneBenchmarkConfig(config.data_folder, runs=config.runs)
    tokenizer_folder = str(trained_tokenizer(config.data_folder, finetune_config.vocabulary_size, config.runs).path)
    tokenizer = load_tokenizer(str(Path(tokenizer_folder) / "model"))
    folder = labelled_folder(finetune_config)
    recipe = load(FinetuneConfig, FILE, overrides(finetune_config, name, "bilstm", tokenizer_folder, folder))
    texts = load_task(recipe, tokenizer, str(Path(tokenizer_folder) / "model"), recipe.runs).train
    indices = np.random.default_rng(0).permutation(texts.store.document_count)[: config.texts]
    if name == "bilstm":
        model: Any = classifier(recipe.model, "", tokenizer, ["no", "yes"], seed=0)
    else:
        bert_folder = untrained_bert(finetune_config, name, tokenizer_folder)
        model = AutoModelForSequenceClassification.from_pretrained(bert_folder, **SAFE_WEIGHTS)
    fast_paths.set_threads(None)
    if side == "ours":
        fast_paths.apply(fast_paths.choose(recipe.training.speed, fast_paths.this_hardware(), workload(model)), model)
        epoch = evaluation_epoch(texts, indices, EVALUATION_TOKENS["cpu"])
        accelerator = Accelerator(cpu=True)
        return _timed(lambda: predict(accelerator, epoch, model), len(indices))
    rows = [texts.encode(int(index))[0].tolist() for index in indices]
    return _timed(_plain_loop(model, rows) if name == "bilstm" else _trainer_predict(model, rows), len(indices))


def workload(model: Any) -> Any:
    """The workload that `fast_paths.choose` needs, for a model in evaluation."""
    from pretrain.training.fast_paths import Workload, attends_by_padding_alone

    return Workload(padding_mask_only=attends_by_padding_alone(model))


def _timed(classify: Any, texts: int) -> float:
    """Texts per second of a second call."""
    classify()
    started = time.perf_counter()
    classify()
    return texts / (time.perf_counter() - started)


def _trainer_predict(model: Any, rows: list[list[int]]) -> Any:
    import tempfile

    from transformers import Trainer, TrainingArguments

    from benchmarks.measurement.peers import padding_collator

    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(), report_to="none", use_cpu=True, disable_tqdm=True, per_device_eval_batch_size=32
    )
    data: Any = [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in rows]
    collate = padding_collator({"input_ids": 0, "attention_mask": 0})
    return lambda: Trainer(model=model, args=arguments, data_collator=collate).predict(data)


def _plain_loop(model: Any, rows: list[list[int]]) -> Any:
    import torch
    from torch.nn.utils.rnn import pad_sequence

    def classify() -> None:
        model.eval()
        with torch.inference_mode():
            for start in range(0, len(rows), 32):
                ids_BT = pad_sequence([torch.tensor(ids) for ids in rows[start : start + 32]], batch_first=True)
                model(input_ids=ids_BT, attention_mask=(ids_BT != 0).long())

    return classify


def main() -> None:
    """Parse the command line, then run the benchmark."""
    run(parse(InferenceBenchmarkConfig, PROGRAM))


if __name__ == "__main__":
    run_command(PROGRAM, main)
