"""`python -m finetune.predict RUN FILE… --to OUT.csv`: label texts with a finished classifier.

Reads lines, CSV, TSV, JSON lines or Parquet from files, or from a pipe (`-`), and writes the input's own columns with
the label and its probability beside them. Run again after an interruption, the same command goes on where it was.
"""

import dataclasses
import hashlib
import itertools
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace

from configs.command_line import CommandLine
from configs.errors import InputError, run_command
from configs.terminal import progress, show_progress_lines
from finetune.inference import rows
from finetune.inference.classifier import Classifier, check_runtime, load
from finetune.inference.output import Output, free_name
from finetune.inference.rows import Row
from tokenizer.corpus import shards
from tokenizer.corpus.config import CorpusConfig

log = logging.getLogger("finetune.predict")

PROGRAM = "python -m finetune.predict"
# Rows that are read, sorted by length and classified together.
WINDOW = 4096
# Rows that cannot be labelled, of which the first few are told.
TOLD = 5


@dataclasses.dataclass(frozen=True)
class PredictConfig:
    """Label texts with a finished classifier."""

    run: str
    """The folder of a fine-tuning run or of an exported model, or a Hub id."""
    inputs: list[str] = dataclasses.field(default_factory=lambda: [rows.STDIN])
    """Files, folders or glob patterns; `-`, the default, is a pipe."""
    to: str | None = None
    """The file to write: .csv, .tsv or .jsonl; null: standard output."""
    text_column: str | None = None
    """The column of the text; null: that of the run, or the one that holds texts."""
    second_text_column: str | None = None
    """A second text column, for text-pair tasks; null: that of the run."""
    format: str = "auto"
    """As `corpus.format`; a pipe and a .txt file are a line a text."""
    probabilities: bool = False
    """Write the probability of every label, not of the best one alone."""
    long_texts: str = "cut"
    """`cut`: texts that are too long are cut as in training; `windows`: they are read in overlapping windows, whose
    scores are averaged."""
    runtime: str = "torch"
    """`torch`, or for a folder that was exported with `--onnx`: `onnx` (floats) or `onnx-int8` (8 bits, fastest)."""

    def __post_init__(self) -> None:
        """Validate the keys."""
        if self.long_texts not in ("cut", "windows"):
            raise InputError(f"long_texts: {self.long_texts!r} is neither `cut` nor `windows`")
        check_runtime(self.runtime)


def run(config: PredictConfig) -> int:
    """Label all rows; returns their number.

    Raises:
        InputError: the run holds no classifier, an input cannot be read, or the output holds something else.
    """
    trained = trained_corpus(config.run)
    classifier = load(config.run, windows=config.long_texts == "windows", runtime=config.runtime)
    corpus = CorpusConfig(
        clean_html=classifier.cleans_html,
        second_text_column=config.second_text_column or trained.get("second_text_column"),
    )
    with rows.opened(config.inputs, config.format, corpus) as sources:
        corpora = [rows.with_text_column(one, config.text_column, trained.get("text_column")) for one in sources]
        for source, one in zip(config.inputs, corpora, strict=True):
            log.info("predict: text in column %r of %s", one.text_column, source)
        taken = [name for one in corpora for name in rows.first_columns(one)]
        shares = [f"p_{label}" for label in classifier.labels] if config.probabilities else []
        names = [free_name(name, taken) for name in ("prediction", "probability", *shares)]
        identity = {
            "model": model_digest(config.run),
            "input": [shards.fingerprint(one) for one in corpora],
            "settings": repr((corpora[0].text_column, config.probabilities, config.long_texts, config.runtime)),
        }
        with Output(config.to, identity) as output:
            if output.rows:
                log.info("predict: %d rows were labelled before", output.rows)
            everything = itertools.chain.from_iterable(rows.read(one) for one in corpora)
            problems = label_rows(classifier, itertools.islice(everything, output.rows, None), output, names)
            if output.ignored and output.format != "jsonl":
                log.warning("predict: columns that the first rows lack are left out: %s", ", ".join(output.ignored))
    for problem in problems[:TOLD]:
        log.warning("predict: no label for %s", problem)
    if len(problems) > TOLD:
        log.warning("predict: … and for %d more rows", len(problems) - TOLD)
    return output.rows


def label_rows(classifier: Classifier, unlabelled: Iterator[Row], output: Output, names: Sequence[str]) -> list[str]:
    """Label rows, a window at a time; gives why some have no label.

    Raises:
        InputError: none of the first rows can be labelled.
    """
    problems: list[str] = []
    bar = progress(_windows(unlabelled), "predicting", f"x {WINDOW} rows")
    for window in bar:
        usable = [row for row in window if row.problem is None]
        problems += [row.problem for row in window if row.problem is not None]
        texts = [row.text if row.second_text is None else (row.text, row.second_text) for row in usable]
        if not usable and not output.rows:
            raise InputError(f"no row can be labelled: {problems[0]}")
        found = iter(classifier(texts))
        output.write([row.columns | _answer(row, found, names, classifier.labels) for row in window])
    return problems


def _windows(unlabelled: Iterator[Row]) -> Iterator[list[Row]]:
    while window := list(itertools.islice(unlabelled, WINDOW)):
        yield window


def _answer(row: Row, found: Iterator[Any], names: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    """The columns of a row's prediction; empty cells if it has none."""
    if row.problem is not None:
        return dict.fromkeys(names)
    prediction = next(found)
    shares = [prediction.probabilities[label] for label in labels][: len(names) - 2]
    return dict(
        zip(names, [prediction.label, *(round(share, 4) for share in (prediction.probability, *shares))], strict=True)
    )


def trained_corpus(run: str) -> dict[str, Any]:
    """The columns that a run was trained on; empty for a model without a run."""
    file = Path(run) / "config.yaml"
    if not file.is_file():
        return {}
    corpus = yaml.safe_load(file.read_text(encoding="utf-8")).get("corpus", {})
    return {name: corpus.get(name) for name in ("text_column", "second_text_column")}


def model_digest(run: str) -> str:
    """What tells one model from another: the content of its result or weights; of a Hub id, the id."""
    state = hashlib.sha256(run.encode() if not Path(run).is_dir() else b"")
    for name in ("result.json", "config.json", "model.safetensors"):
        file = Path(run) / name
        if file.is_file():
            with file.open("rb") as stream:
                state.update(hashlib.file_digest(stream, "sha256").digest())
    return state.hexdigest()[:16]


def main() -> None:
    """Parse the command line, then label."""
    parser = CommandLine(PROGRAM, description=(PredictConfig.__doc__ or "").strip())
    parser.add_argument("run", type=str, metavar="RUN", help="A fine-tuning run, an exported model, or a Hub id.")
    parser.add_argument("inputs", type=str, nargs="*", metavar="FILE", help="Inputs; without, a pipe.")
    parser.add_class_arguments(PredictConfig, skip={"run", "inputs"})
    options: Namespace = parser.parse_args()
    show_progress_lines()
    values = options.as_dict() if hasattr(options, "as_dict") else vars(options)
    inputs = values.pop("inputs") or [rows.STDIN]
    config = PredictConfig(**values, inputs=inputs)
    count = run(config)
    log.info("predict: %d rows%s", count, "" if config.to is None else f" in {config.to}")


if __name__ == "__main__":
    run_command(PROGRAM, main)
