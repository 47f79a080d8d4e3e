"""`python -m finetune.predict RUN FILE… --to OUT.csv`: label texts with a finished classifier.

Reads lines, CSV, TSV, JSON lines or Parquet from files, or from a pipe (`-`), and writes the input's own columns with
the label and its probability beside them; where a text may have several labels, all that apply. Run again after an
interruption, the same command goes on where it was.
"""

import dataclasses
import itertools
import logging
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jsonargparse import Namespace

from configs.bounds import require_at_least
from configs.command_line import CommandLine
from configs.errors import RESUME, InputError, advice_if_interrupted, run_command
from configs.terminal import progress, show_progress_lines
from finetune.inference import model_files, rows
from finetune.inference.classifier import NO_SCORES, Classifier, Text, check_runtime, load
from finetune.inference.explanation import explain, strongest
from finetune.inference.output import Output, check_target
from finetune.inference.rows import Row
from finetune.own_data.config import told_as_flags, with_flags
from tokenizer.corpus import shards
from tokenizer.corpus.config import LIST_CELLS, CorpusConfig
from tokenizer.corpus.tables import free_name

log = logging.getLogger("finetune.predict")

PROGRAM = "python -m finetune.predict"
# Rows that are read, sorted by length and classified together.
WINDOW = 4096
# The same where each word of a row costs a classification: an interruption loses less.
EXPLAINED_WINDOW = 64
# So many rows are looked at before it is said that none of them can be labelled.
TRIED = 4096
# What may join the labels of a text, the first that no label holds.
SEPARATORS = (";", "|", ",")
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
    encoding: str = "auto"
    """As `corpus.encoding`: character encoding of text, CSV and JSON files, such as `cp1252`."""
    delimiter: str | None = None
    """As `corpus.delimiter`: what stands between the columns of a CSV or TSV file."""
    header: bool | None = None
    """As `corpus.header`: whether the first line of a CSV or TSV file has the column names; null finds out."""
    probabilities: bool = False
    """Write the probability of every label, not of the best one alone. Where a text may have several labels, without it
    no probability is written."""
    explain: int = 0
    """Write this many words that moved the label most, with the fall of its log-odds without them; each word of a text
    costs a classification. Where a text may have several labels: those of the most probable."""
    long_texts: str = "cut"
    """`cut`: texts that are too long are cut as in training; `windows`: they are read in overlapping windows, whose
    scores are averaged."""
    runtime: str = "torch"
    """`torch`, or for a folder that was exported with `--onnx`: `onnx` (floats) or `onnx-int8` (8 bits, fastest)."""

    def __post_init__(self) -> None:
        """Validate the keys."""
        if self.long_texts not in ("cut", "windows"):
            raise InputError(f"long_texts: {self.long_texts!r} is neither `cut` nor `windows`")
        require_at_least(0, explain=self.explain)
        check_runtime(self.runtime)


# The flags of the command, and how a message begins to speak of them.
FLAGS, WHERE = tuple(field.name for field in dataclasses.fields(PredictConfig)), "here"


def run(config: PredictConfig) -> int:
    """Label all rows; returns their number.

    Raises:
        InputError: the run holds no classifier, an input cannot be read, or the output holds something else.
    """
    if config.to is not None:
        check_target(Path(config.to))
    folder = model_files.local(config.run, config.runtime)
    trained = trained_corpus(folder)
    classifier = load(folder, windows=config.long_texts == "windows", runtime=config.runtime)
    corpus = CorpusConfig(
        clean_html=classifier.cleans_html,
        second_text_column=config.second_text_column or trained.get("second_text_column"),
        encoding=config.encoding,
        delimiter=config.delimiter,
        header=config.header,
    )
    with with_flags(FLAGS, WHERE), rows.opened(config.inputs, config.format, corpus, classifier.labels) as sources:
        corpora = [rows.with_text_column(one, config.text_column, trained.get("text_column")) for one in sources]
        for source, one in zip(config.inputs, corpora, strict=True):
            log.info("predict: text in column %r of %s", one.text_column, source)
        everything = itertools.chain.from_iterable(rows.read(one) for one in corpora)
        first = list(itertools.islice(everything, WINDOW))
        taken = {name for one in corpora for name in rows.first_columns(one)}
        taken |= {name for row in first for name in row.columns}
        names = answer_names(classifier, config, taken)
        words = free_name("words", taken) if config.explain else None
        identity = {
            "model": model_files.digest(folder),
            "input": [shards.fingerprint(one) for one in corpora],
            # A pipe has another temporary file each time.
            "settings": repr(
                (
                    [dataclasses.replace(one, source="") for one in corpora],
                    (config.probabilities, config.long_texts, config.explain, config.runtime),
                )
            ),
        }
        separator = label_separator(classifier.labels, trained.get("label_separator"))
        with Output(config.to, identity) as output:
            if classifier.multi_label and output.format != "jsonl":
                log.info(
                    "predict: %s",
                    f"labels of a text are joined by {separator!r}" if separator else "labels of a text are a list",
                )
            if output.rows:
                log.info("predict: %d rows were labelled before", output.rows)
            unlabelled = itertools.islice(itertools.chain(first, everything), output.rows, None)
            problems, count = label_rows(classifier, unlabelled, output, names, separator, words, config.explain)
            if output.ignored:
                left_out = ", ".join(sorted(output.ignored))
                log.warning("predict: columns that the first rows lack are left out: %s", left_out)
    for problem in problems:
        log.warning("predict: no label for %s", told_as_flags(problem, FLAGS, WHERE))
    if count > len(problems):
        log.warning("predict: … and for %d more rows", count - len(problems))
    return output.rows


def answer_names(classifier: Classifier, config: PredictConfig, taken: Collection[str]) -> list[str]:
    """The names of the columns of an answer, none of which is taken."""
    shares = [f"p_{label}" for label in classifier.labels] if config.probabilities else []
    best = [] if classifier.multi_label else ["probability"]
    return [free_name(name, taken) for name in ("prediction", *best, *shares)]


def label_separator(labels: Sequence[str], trained: str | None) -> str | None:
    """What joins the labels of a text in a cell: what did in training, or what no label holds; None: nothing can.

    >>> label_separator(["bug", "praise"], None), label_separator(["bug; severe", "praise"], ";")
    (';', '|')
    """
    candidates = (trained if trained != LIST_CELLS else None, *SEPARATORS)
    return next((one for one in candidates if one and not any(one in label for label in labels)), None)


def label_rows(
    classifier: Classifier,
    unlabelled: Iterator[Row],
    output: Output,
    names: Sequence[str],
    separator: str | None = None,
    words: str | None = None,
    word_count: int = 0,
) -> tuple[list[str], int]:
    """Label rows, a window at a time; gives why the first of those without a label have none, and their number.

    Args:
        classifier: a finished one.
        unlabelled: the rows.
        output: the table to write.
        names: of the columns of an answer.
        separator: between several labels in a cell; None, and in JSON lines: they are a list.
        words: the column of the words that moved the label; None for none.
        word_count: how many words.

    Raises:
        InputError: none of the first rows can be labelled.
    """
    problems, count = list[str](), 0
    window_rows = EXPLAINED_WINDOW if words else WINDOW
    bar = progress(_windows(unlabelled, window_rows), "predicting", f"x {window_rows} rows")
    joint = None if output.format == "jsonl" else separator
    for window in bar:
        labelled = list(_with_probabilities(classifier, window))
        found_problems = [row.told for row, _ in labelled if row.problem is not None]
        problems, count = (problems + found_problems)[:TOLD], count + len(found_problems)
        if len(found_problems) == len(window) and not output.rows:
            raise InputError(f"none of the first {len(window)} rows can be labelled: {problems[0]}")
        answers = [_answer(classifier, shares_C, names, joint) for _, shares_C in labelled]
        if words:
            moved = [
                None if row.problem is not None else _words(classifier, _text_of(row), word_count, output.format)
                for row, _ in labelled
            ]
            answers = [answer | {words: found} for answer, found in zip(answers, moved, strict=True)]
        output.write([row.columns for row in window], answers)
    return problems, count


def _windows(unlabelled: Iterator[Row], count: int) -> Iterator[list[Row]]:
    """The rows, `count` at a time; as long as none of the first can be labelled, more with them."""
    first = list[Row]()
    while len(first) < TRIED and (more := list(itertools.islice(unlabelled, count))):
        first += more
        if any(row.problem is None for row in more):
            break
    if first:
        yield first
    while window := list(itertools.islice(unlabelled, count)):
        yield window


def _text_of(row: Row) -> Text:
    return row.text if row.second_text is None else (row.text, row.second_text)


def _with_probabilities(classifier: Classifier, window: Sequence[Row]) -> Iterator[tuple[Row, np.ndarray | None]]:
    """Rows with their probabilities, [C]; None of those with a problem, which may be that the model has none."""
    found = iter(classifier.probabilities_or_nan([_text_of(row) for row in window if row.problem is None]))
    for row in window:
        shares_C = None if row.problem is not None else next(found)
        if shares_C is not None and np.isnan(shares_C).any():
            yield row._replace(problem=NO_SCORES), None
        else:
            yield row, shares_C


def _answer(
    classifier: Classifier, shares_C: np.ndarray | None, names: Sequence[str], separator: str | None
) -> dict[str, Any]:
    """The columns of a row's prediction; empty cells if it has none."""
    if shares_C is None:
        return dict.fromkeys(names)
    decided = classifier.decided(shares_C)
    if isinstance(decided, list):
        answer, best = decided if separator is None else separator.join(decided), ()
    else:
        answer, best = decided, (shares_C.max(),)
    # All of them, or none.
    others = shares_C[: len(names) - 1 - len(best)]
    return dict(zip(names, [answer, *(round(float(share), 4) for share in (*best, *others))], strict=True))


def _words(classifier: Classifier, text: Text, count: int, file_format: str) -> Any:
    """The words that moved a label most: as text in a table (`great +1.9, bore -0.4`), as a list in JSON lines."""
    weights = [(word.text, round(word.weight, 2)) for word in strongest(explain(classifier, text), count)]
    return weights if file_format == "jsonl" else ", ".join(f"{word} {weight:+.2f}" for word, weight in weights)


def trained_corpus(folder: Path) -> dict[str, Any]:
    """The columns that a run was trained on; empty for a model without a run."""
    file = folder / "config.yaml"
    if not file.is_file():
        return {}
    corpus = yaml.safe_load(file.read_text(encoding="utf-8")).get("corpus", {})
    return {name: corpus.get(name) for name in ("text_column", "second_text_column", "label_separator")}


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
    advice = RESUME if config.to is not None else "with --to FILE, the same command would go on where it was"
    with advice_if_interrupted(advice):
        count = run(config)
    log.info("predict: %d rows%s", count, "" if config.to is None else f" in {config.to}")


if __name__ == "__main__":
    run_command(PROGRAM, main)
