"""`python -m pretrain.minimal_pairs MODEL FILE.jsonl …`: does a language model prefer grammatical sentences?

Files are in the format of BLiMP (Warstadt et al. 2020): a JSON object a line with `sentence_good`, `sentence_bad`,
`UID` (the paradigm) and perhaps `linguistics_term` (the phenomenon). A pair is right where the good sentence is the
likelier one.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jsonargparse import Namespace

from configs.command_line import CommandLine
from configs.errors import InputError, run_command
from configs.run_folder import write_atomically
from configs.terminal import show_progress_lines
from tokenizer.corpus.formats import Part, read_jsonl
from tokenizer.corpus.quarantine import RowError

PROGRAM = "python -m pretrain.minimal_pairs"
KEYS = ("sentence_good", "sentence_bad", "UID")
# Scores that differ by less are one number computed in two batches.
TIE = 1e-4


class MinimalPair(NamedTuple):
    """Two sentences that differ in one thing."""

    good: str
    bad: str
    uid: str
    phenomenon: str


def read(file: Path) -> list[MinimalPair]:
    """The pairs of a file.

    Raises:
        InputError: the file cannot be read, a key is missing or no text, or it is empty.
    """
    pairs = []
    for row, place in read_jsonl(Part(str(file), "jsonl"), "utf-8"):
        if isinstance(row, RowError):
            raise InputError(f"{place}: {row}")
        for key in KEYS:
            if not isinstance(row.get(key), str) or not row[key].strip():
                raise InputError(f"{place}: `{key}` is missing or no text")
        uid = row["UID"]
        pairs.append(MinimalPair(row["sentence_good"], row["sentence_bad"], uid, row.get("linguistics_term", uid)))
    if not pairs:
        raise InputError(f"{file}: no minimal pairs")
    return pairs


def share_right(good: float, bad: float) -> float:
    """1 where the good sentence is likelier, 0 where the bad one is, one half for a tie.

    >>> share_right(-3.0, -4.0), share_right(-4.0, -3.0), share_right(-3.0, -3.0)
    (1.0, 0.0, 0.5)
    """
    return 0.5 if abs(good - bad) < TIE else float(good > bad)


def accuracies(pairs: Sequence[MinimalPair], right: Sequence[float]) -> dict[str, Any]:
    """Accuracy of each paradigm and phenomenon, and the mean over paradigms, as BLiMP reports it.

    >>> pairs = [MinimalPair("a", "b", "x", "p"), MinimalPair("a", "b", "x", "p"), MinimalPair("a", "b", "y", "p")]
    >>> accuracies(pairs, [1, 0, 1])["mean"], accuracies(pairs, [1, 0, 1])["paradigms"]["x"]["accuracy"]
    (0.75, 0.5)
    """
    paradigms: dict[str, dict[str, Any]] = {}
    for uid in dict.fromkeys(pair.uid for pair in pairs):
        mine = [(pair, share) for pair, share in zip(pairs, right, strict=True) if pair.uid == uid]
        accuracy = sum(share for _, share in mine) / len(mine)
        paradigms[uid] = {"phenomenon": mine[0][0].phenomenon, "pairs": len(mine), "accuracy": accuracy}
    phenomena = {}
    for name in dict.fromkeys(found["phenomenon"] for found in paradigms.values()):
        mine_too = [found["accuracy"] for found in paradigms.values() if found["phenomenon"] == name]
        phenomena[name] = sum(mine_too) / len(mine_too)
    mean = sum(found["accuracy"] for found in paradigms.values()) / len(paradigms)
    return {"mean": mean, "pairs": len(pairs), "phenomena": phenomena, "paradigms": paradigms}


def evaluate(model: str, files: Sequence[Path], batch_size: int, runs: str = "runs") -> dict[str, Any]:
    """Score every pair of the files with a model.

    Args:
        model: a run's YAML file or folder, any folder with a `config.json`, or a Hub id.
        files: of JSON lines.
        batch_size: masked sentences (of causal models, sentences) at a time.
        runs: the folder of runs.

    Returns:
        What `accuracies` gives, and how sentences were scored.

    Raises:
        InputError: a file or the model cannot be used.
    """
    pairs = [pair for file in files for pair in read(file)]
    from pretrain.models.scoring import load, sentence_scores
    from pretrain.run_paths import find

    language_model = load(find(model, runs)[0])
    sentences = list(dict.fromkeys(sentence for pair in pairs for sentence in (pair.good, pair.bad)))
    scores = dict(zip(sentences, sentence_scores(language_model, sentences, batch_size).tolist(), strict=True))
    found = accuracies(pairs, [share_right(scores[pair.good], scores[pair.bad]) for pair in pairs])
    return {"scored_by": "log-likelihood" if language_model.causal else "pseudo-log-likelihood"} | found


def print_table(found: dict[str, Any]) -> None:
    """Accuracy of each phenomenon and its paradigms, in %."""
    import rich
    from rich.table import Table

    table = Table("phenomenon", "paradigm", "pairs", "accuracy, %")
    for name, accuracy in found["phenomena"].items():
        mine = {uid: part for uid, part in found["paradigms"].items() if part["phenomenon"] == name}
        table.add_row(name, "", f"{sum(part['pairs'] for part in mine.values()):,}", f"{100 * accuracy:.1f}")
        for uid, part in mine.items():
            if uid != name:
                table.add_row("", uid, f"{part['pairs']:,}", f"{100 * part['accuracy']:.1f}")
    table.add_row("mean over paradigms", "", f"{found['pairs']:,}", f"{100 * found['mean']:.1f}", style="bold")
    rich.print(table)


def main() -> None:
    """Parse the command line, then score."""
    parser = CommandLine(PROGRAM, description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("model", type=str, metavar="MODEL", help="A run, a folder with a model, or a Hub id.")
    parser.add_argument("files", type=str, nargs="+", metavar="FILE", help="JSON lines in the format of BLiMP.")
    parser.add_argument("--batch_size", type=int, default=128, help="Sentences at a time, each with one mask.")
    parser.add_argument("--json", type=str, default=None, help="Write the numbers to this file, too.")
    parser.add_argument("--runs", type=str, default="runs", help="The folder of runs.")
    given: Namespace = parser.parse_args()
    if given.batch_size < 1:
        raise InputError(f"--batch_size: {given.batch_size} is too small; give at least 1")
    show_progress_lines()
    found = evaluate(given.model, [Path(file) for file in given.files], given.batch_size, given.runs)
    print_table(found)
    if given.json is not None:
        write_atomically(Path(given.json), json.dumps({"model": given.model} | found, indent=2) + "\n")


if __name__ == "__main__":
    run_command(PROGRAM, main)
