"""`python -m pretrain.minimal_pairs MODEL FILE.jsonl …`: does a language model prefer grammatical sentences?

Files are in the format of BLiMP (Warstadt et al. 2020): one JSON object per line with `sentence_good`, `sentence_bad`,
`UID` (the paradigm) and optionally `linguistics_term` (the phenomenon). A pair is right if the good sentence has the
higher score.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jsonargparse import Namespace

from configs.command_line import CommandLine
from configs.errors import InputError, run_command
from configs.run_folder import json_text, write_atomically
from configs.terminal import show_progress_lines
from tokenizer.corpus.config import CorpusConfig
from tokenizer.corpus.formats import read_jsonl
from tokenizer.corpus.quarantine import RowError
from tokenizer.corpus.text_files import Part

PROGRAM = "python -m pretrain.minimal_pairs"
KEYS = ("sentence_good", "sentence_bad", "UID")
# Smaller differences come from computing the same score in different batches.
TIE = 1e-4


class MinimalPair(NamedTuple):
    """A grammatical sentence and a minimally different ungrammatical one."""

    good: str
    bad: str
    uid: str
    phenomenon: str


def read(file: Path) -> list[MinimalPair]:
    """The pairs of a file.

    Raises:
        InputError: the file cannot be read, a key is missing, empty or not a string, the phenomenon is not a string,
            or the file is empty.
    """
    pairs = []
    for row, location in read_jsonl(Part(str(file), "jsonl"), CorpusConfig()):
        if isinstance(row, RowError):
            raise InputError(f"{location}: {row}")
        for key in KEYS:
            if not isinstance(row.get(key), str) or not row[key].strip():
                raise InputError(f"{location}: `{key}` is missing, empty or not a string")
        uid = row["UID"]
        phenomenon = row.get("linguistics_term", uid)
        if not isinstance(phenomenon, str) or not phenomenon.strip():
            raise InputError(f"{location}: `linguistics_term` is empty or not a string; leave it out, or name it")
        pairs.append(MinimalPair(row["sentence_good"], row["sentence_bad"], uid, phenomenon))
    if not pairs:
        raise InputError(f"{file}: no minimal pairs")
    return pairs


def pair_accuracy(good: float, bad: float) -> float:
    """1 if the good sentence is likelier, 0 if the bad one is, one half for a tie.

    >>> pair_accuracy(-3.0, -4.0), pair_accuracy(-4.0, -3.0), pair_accuracy(-3.0, -3.0)
    (1.0, 0.0, 0.5)
    """
    return 0.5 if abs(good - bad) < TIE else float(good > bad)


def accuracies(pairs: Sequence[MinimalPair], correct: Sequence[float]) -> dict[str, Any]:
    """Accuracy of each paradigm and phenomenon, and the mean over paradigms, as BLiMP reports it.

    >>> pairs = [MinimalPair("a", "b", "x", "p"), MinimalPair("a", "b", "x", "p"), MinimalPair("a", "b", "y", "p")]
    >>> accuracies(pairs, [1, 0, 1])["mean"], accuracies(pairs, [1, 0, 1])["paradigms"]["x"]["accuracy"]
    (0.75, 0.5)
    """
    paradigms: dict[str, dict[str, Any]] = {}
    for uid in dict.fromkeys(pair.uid for pair in pairs):
        scored = [(pair, share) for pair, share in zip(pairs, correct, strict=True) if pair.uid == uid]
        accuracy = sum(share for _, share in scored) / len(scored)
        paradigms[uid] = {"phenomenon": scored[0][0].phenomenon, "pairs": len(scored), "accuracy": accuracy}
    phenomena = {}
    for name in dict.fromkeys(paradigm["phenomenon"] for paradigm in paradigms.values()):
        shares = [paradigm["accuracy"] for paradigm in paradigms.values() if paradigm["phenomenon"] == name]
        phenomena[name] = sum(shares) / len(shares)
    mean = sum(paradigm["accuracy"] for paradigm in paradigms.values()) / len(paradigms)
    return {"mean": mean, "pairs": len(pairs), "phenomena": phenomena, "paradigms": paradigms}


def evaluate(model: str, files: Sequence[Path], batch_size: int, runs: str = "runs") -> dict[str, Any]:
    """Score every pair of the files with a model.

    Args:
        model: a run's YAML file or folder, any folder with a `config.json`, or a Hub id.
        files: JSON lines.
        batch_size: masked sentences (for causal models, sentences) per batch.
        runs: the folder of runs.

    Returns:
        The result of `accuracies`, and `scored_by`, how sentences were scored.

    Raises:
        InputError: a file or the model cannot be used.
    """
    pairs = [pair for file in files for pair in read(file)]
    from pretrain.models.scoring import load, sentence_scores
    from pretrain.run_paths import find

    language_model = load(find(model, runs)[0])
    sentences = list(dict.fromkeys(sentence for pair in pairs for sentence in (pair.good, pair.bad)))
    scores = dict(zip(sentences, sentence_scores(language_model, sentences, batch_size).tolist(), strict=True))
    report = accuracies(pairs, [pair_accuracy(scores[pair.good], scores[pair.bad]) for pair in pairs])
    return {"scored_by": "log-likelihood" if language_model.causal else "pseudo-log-likelihood"} | report


def print_table(report: dict[str, Any]) -> None:
    """Print the accuracy of each phenomenon and its paradigms, in %."""
    import rich
    from rich.table import Table

    table = Table("phenomenon", "paradigm", "pairs", "accuracy, %")
    for name, accuracy in report["phenomena"].items():
        paradigms = {uid: row for uid, row in report["paradigms"].items() if row["phenomenon"] == name}
        table.add_row(name, "", f"{sum(row['pairs'] for row in paradigms.values()):,}", f"{100 * accuracy:.1f}")
        for uid, row in paradigms.items():
            if uid != name:
                table.add_row("", uid, f"{row['pairs']:,}", f"{100 * row['accuracy']:.1f}")
    table.add_row("mean over paradigms", "", f"{report['pairs']:,}", f"{100 * report['mean']:.1f}", style="bold")
    rich.print(table)


def main() -> None:
    """Parse the command line, then score."""
    parser = CommandLine(PROGRAM, description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("model", type=str, metavar="MODEL", help="A run, a folder with a model, or a Hub id.")
    parser.add_argument("files", type=str, nargs="+", metavar="FILE", help="JSON lines in the format of BLiMP.")
    parser.add_argument("--batch_size", type=int, default=128, help="Sentences per batch, each with one mask.")
    parser.add_argument("--json", type=str, default=None, help="Also write the report to this file.")
    parser.add_argument("--runs", type=str, default="runs", help="The folder of runs.")
    options: Namespace = parser.parse_args()
    if options.batch_size < 1:
        raise InputError(f"--batch_size: {options.batch_size} is too small; give at least 1")
    show_progress_lines()
    report = evaluate(options.model, [Path(file) for file in options.files], options.batch_size, options.runs)
    print_table(report)
    if options.json is not None:
        write_atomically(Path(options.json), json_text({"model": options.model} | report, indent=2) + "\n")


if __name__ == "__main__":
    run_command(PROGRAM, main)
