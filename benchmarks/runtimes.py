"""`python -m benchmarks.runtimes --data_folder DIR`: classifying with torch, ours and ONNX, in one process, in turn.

DIR holds `imdb/train.parquet`. Untrained classifiers of the size of BERT-mini (4 layers of 256) and an LSTM read the
same reviews: their first 128 tokens, and all of them up to the 512 that a model has positions for. A call is from texts
to probabilities, with tokenizer. The peer is torch as it is installed: the tokenizer and the model of `transformers`,
in fp32, as `pipeline` calls them. Ours are `finetune.load` in fp32 and, where the processor has its instructions, in
bf16, which is less exact; and the files of `finetune.export --onnx`, in fp32 and in 8 bits.

Lines end in `.one` (texts a second, one at a time, by the median latency), `.one_p99` (the 99th percentile of the
latency, in ms: less is better) or `.eight` (texts a second, eight at a time).
"""

import dataclasses
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.measurement.measuring import print_measurement
from benchmarks.pretrain import trained_tokenizer
from configs.bounds import require_at_least
from configs.command_line import parse
from configs.errors import InputError, run_command
from configs.launch import tune_allocator

PROGRAM = "python -m benchmarks.runtimes"
PEER = "torch"
LENGTHS = {"128": 128, "imdb": 512}
EIGHT = 8
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclasses.dataclass(frozen=True)
class RuntimesConfig:
    """Measure classification with torch, ours and ONNX."""

    data_folder: str
    """The folder with `imdb/train.parquet`."""
    models: list[str] = dataclasses.field(default_factory=lambda: ["bert", "modernbert", "lstm"])
    """Of `bert`, `modernbert` and `lstm`."""
    texts: int = 48
    """Texts of a round."""
    rounds: int = 6
    """Measurements of each side; the first is not counted."""
    clock: Literal["wall", "cpu"] = "wall"
    """`cpu` counts the seconds that this process computed, for a machine that does other work; with OMP_NUM_THREADS=1,
    since a thread that waits for another counts, too."""
    vocabulary_size: int = 8000
    runs: str = "runs/benchmarks"
    """The parent folder of the tokenizer's run."""

    def __post_init__(self) -> None:
        """Validate the keys."""
        require_at_least(2, rounds=self.rounds)
        require_at_least(EIGHT, texts=self.texts)
        if unknown := set(self.models) - set(MODELS):
            raise InputError(f"models: {min(unknown)!r} is none of {', '.join(MODELS)}")


def run(config: RuntimesConfig) -> None:
    """Run the benchmark and print the measurements."""
    import pyarrow.parquet
    import torch

    from finetune.inference.onnx_session import thread_count

    tokenizer_folder = trained_tokenizer(config.data_folder, config.vocabulary_size, config.runs).model
    file = Path(config.data_folder) / "imdb" / "train.parquet"
    reviews = pyarrow.parquet.read_table(file, columns=["text"]).column("text").to_pylist()
    # Spread over the file, which is sorted by label.
    texts = reviews[:: len(reviews) // config.texts][: config.texts]
    torch.set_num_threads(thread_count())
    print(f"{thread_count()} thread(s) on each side", file=sys.stderr)
    for model, (name, length) in itertools.product(config.models, LENGTHS.items()):
        with tempfile.TemporaryDirectory(prefix="bertlet-") as folder:
            write_model(model, tokenizer_folder, length, Path(folder))
            cut = [beginning(text, folder) for text in texts]
            measure(f"runtimes.{model}.{name}", sides_of(folder), cut, config.rounds, CLOCKS[config.clock])


def beginning(text: str, folder: str) -> str:
    """What a tokenizer does not cut off."""
    from tokenizers import Tokenizer

    from finetune.inference.tokenizer_file import TOKENIZER, load

    tokenizer = Tokenizer.from_file(str(Path(folder) / TOKENIZER))
    tokenizer.enable_truncation(load(Path(folder)).model_max_length)
    return text[: max(end for _, end in tokenizer.encode(text).offsets)]


def encoder_config(model: str, tokenizer: Any) -> Any:
    """The configuration of an encoder of the size of BERT-mini, with the architecture's own classifier."""
    from pretrain.models.architectures import fresh_config
    from pretrain.models.config import EncoderConfig

    size: Any = {"architecture": model, "size": "mini"}
    return fresh_config("masked_lm", EncoderConfig(**size), tokenizer)[1]


def recurrent_config(tokenizer: Any) -> Any:
    """The configuration of an LSTM as wide as the encoders."""
    from pretrain.models.modeling.configuration_recurrent import RecurrentConfig

    return RecurrentConfig(
        vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, embedding_size=256, hidden_size=256
    )


MODELS: dict[str, Callable[[Any], Any]] = {
    "bert": lambda tokenizer: encoder_config("bert", tokenizer),
    "modernbert": lambda tokenizer: encoder_config("modernbert", tokenizer),
    "lstm": recurrent_config,
}


def write_model(model: str, tokenizer_folder: Path, length: int, folder: Path) -> None:
    """Write an untrained classifier to a folder, and its graphs; of one that is untrained, labels are not checked."""
    import torch

    from finetune.inference import onnx_session
    from finetune.inference.classifier import load_model
    from finetune.publishing import onnx, onnx_graph
    from pretrain.models.builders import AutoModelForSequenceClassification
    from tokenizer.vocabulary.serialization import load as load_tokenizer

    tokenizer: Any = load_tokenizer(str(tokenizer_folder))
    torch.manual_seed(0)
    classifier = AutoModelForSequenceClassification.from_config(MODELS[model](tokenizer))
    classifier.save_pretrained(folder)
    tokenizer.model_max_length = length
    tokenizer.model_input_names = onnx_graph.input_names(classifier, tokenizer)
    tokenizer.save_pretrained(folder)
    (folder / onnx_session.FOLDER).mkdir()
    floats, whole = (folder / onnx_session.FOLDER / name for name in onnx_session.GRAPHS.values())
    names = onnx_graph.input_names(classifier, tokenizer)
    onnx_graph.traced(load_model(str(folder))[0], names).save(floats, external_data=False)
    onnx.quantize(floats, whole, onnx.QUANTIZATIONS[0])


def sides_of(folder: str) -> dict[str, Callable[[list[str]], Any]]:
    """Functions of texts, the peer first."""
    from finetune.inference.classifier import load, load_model
    from pretrain.training import fast_paths

    model, tokenizer = load_model(folder)
    ours = {"fp32": load(folder, precision="fp32")}
    if fast_paths.this_hardware().bf16:
        ours["bf16"] = load(folder, precision="bf16")
    library = fast_paths.this_hardware().products
    sides: dict[str, Callable[[list[str]], Any]] = {PEER: _as_pipeline(model.eval(), tokenizer)}
    for name, classifier in ours.items():
        sides[name] = _with_products(library, classifier.probabilities)
    for runtime in ("onnx", "onnx-int8"):
        sides[runtime] = load(folder, runtime=runtime).probabilities
    return sides


def _as_pipeline(model: Any, tokenizer: Any) -> Callable[[list[str]], Any]:
    import torch

    from pretrain.training import products

    def classify(texts: list[str]) -> Any:
        products.use("torch")
        inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            return model(**inputs).logits.softmax(-1).numpy()

    return classify


def _with_products(library: str, classify: Callable[[list[str]], Any]) -> Callable[[list[str]], Any]:
    """A side that has the library of products that `finetune.load` chose, which is a setting of the process."""
    from pretrain.training import products

    def call(texts: list[str]) -> Any:
        products.use(library)
        return classify(texts)

    return call


def measure(
    name: str,
    sides: dict[str, Callable[[list[str]], Any]],
    texts: list[str],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> None:
    """Measure all sides in turn, and print each against the peer."""
    batches = [texts[start : start + EIGHT] for start in range(0, len(texts) - EIGHT + 1, EIGHT)]
    latencies: dict[str, list[float]] = {side: [] for side in sides}
    rates: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(rounds):
        for side, classify in sides.items():
            one = [_seconds(classify, [text], clock) for text in texts]
            eight = sum(_seconds(classify, batch, clock) for batch in batches)
            if number:
                latencies[side] += one
                rates[side].append(EIGHT * len(batches) / eight)
        print(f"{name}: round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    one = {side: 1 / statistics.median(values) for side, values in latencies.items()}
    p99 = {side: 1000 * float(np.quantile(values, 0.99)) for side, values in latencies.items()}
    eight = {side: statistics.median(values) for side, values in rates.items()}
    for side in sides:
        if side != PEER:
            print_measurement(f"{name}.{side}.one", one[side], one[PEER], "texts/s")
            print_measurement(f"{name}.{side}.one_p99", p99[side], p99[PEER], "ms")
            print_measurement(f"{name}.{side}.eight", eight[side], eight[PEER], "texts/s")


def _seconds(classify: Callable[[list[str]], Any], texts: list[str], clock: Callable[[], float]) -> float:
    started = clock()
    classify(texts)
    return clock() - started


def main() -> None:
    """Parse the command line, then run the benchmark."""
    config = parse(RuntimesConfig, PROGRAM)
    tune_allocator(enabled=True)
    run(config)


if __name__ == "__main__":
    run_command(PROGRAM, main)
