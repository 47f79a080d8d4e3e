"""`python -m benchmarks.predict --run RUN --file FILE`: labelling texts, against transformers' pipeline.

Both sides classify the same texts with the same finished model in one process, in turn: `finetune.load`, and
`pipeline("text-classification")` with batches of eight. Prints texts per second, and how far the probabilities differ.
"""

import dataclasses
import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks.measurement.measuring import print_measurement
from configs.bounds import require_at_least
from configs.command_line import parse
from configs.errors import run_command
from configs.launch import tune_allocator

PROGRAM = "python -m benchmarks.predict"
BATCH = 8


@dataclasses.dataclass(frozen=True)
class PredictBenchmarkConfig:
    """Measure how fast a finished run labels texts."""

    run: str
    """A fine-tuning run of a neural model."""
    file: str
    """Texts: a file of which the first are taken, such as IMDB's `test.parquet`."""
    texts: int = 256
    """Texts of a round, spread over the first ten thousand."""
    rounds: int = 4
    """Measurements of each side; the first is not counted."""
    precision: str = "fp32"
    """Of our side; the pipeline computes in fp32."""

    def __post_init__(self) -> None:
        """Validate the keys."""
        require_at_least(2, rounds=self.rounds, texts=self.texts)


def run(config: PredictBenchmarkConfig) -> None:
    """Run the benchmark and print the measurements."""
    import torch
    import transformers

    from finetune.inference import rows
    from finetune.inference.classifier import load
    from tokenizer.corpus.config import CorpusConfig

    with rows.opened([config.file], "auto", CorpusConfig()) as (corpus,):
        read = rows.read(rows.with_text_column(corpus, None, "text"))
        found = [row.text for row in itertools.islice(read, 10_000)]
    texts = found[:: max(1, len(found) // config.texts)][: config.texts]
    classifier = load(config.run, precision=config.precision)
    classifier.temperature = 1.0
    model = f"{config.run}/model"
    pipeline: Any = transformers.pipeline(
        "text-classification", model=model, batch_size=BATCH, trust_remote_code=True, device="cpu"
    )
    sides: dict[str, Callable[[], object]] = {
        "ours": lambda: classifier.probabilities(texts),
        "peer": lambda: pipeline(texts, truncation=True, top_k=None),
    }
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for side, classify in itertools.chain.from_iterable([sides.items()] * config.rounds):
        started = time.perf_counter()
        classify()
        seconds[side].append(time.perf_counter() - started)
    rates = [len(texts) / statistics.median(seconds[side][1:]) for side in ("ours", "peer")]
    print_measurement(f"predict.{config.precision}", rates[0], rates[1], "texts/s")
    theirs = [{one["label"]: one["score"] for one in answer} for answer in pipeline(texts, truncation=True, top_k=None)]
    ours = [answer.probabilities for answer in classifier(texts)]
    largest = max(abs(one[label] - other[label]) for one, other in zip(ours, theirs, strict=True) for label in one)
    print(f"largest difference of a probability: {largest:.2g} ({torch.get_num_threads()} threads)")


def main() -> None:
    """Parse the command line, then run the benchmark."""
    config = parse(PredictBenchmarkConfig, PROGRAM)
    tune_allocator(enabled=True)
    run(config)


if __name__ == "__main__":
    run_command(PROGRAM, main)
