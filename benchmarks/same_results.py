"""`python -m benchmarks.same_results REVISION`: does this checkout give the same results as a revision?

Runs the demo and short runs of every objective in both, then compares every row of `metrics.jsonl`, every result and
every prediction bit by bit, except for timings. Takes about fifteen minutes on two cores.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace

from configs.command_line import CommandLine
from configs.errors import InputError, run_command

PROGRAM = "python -m benchmarks.same_results"
ROOT = Path(__file__).resolve().parent.parent
# Timings, by their present and former names.
TIMINGS = {
    "seconds", "tokens_per_second", "model_gflops", "useful_gflops", "mfu", "utilisation", "data_wait_share",
    "waiting_share",
}  # fmt: skip
PRETRAIN_DEMO = "pretrain --config configs/pretrain/demo.yaml --training.evaluations 2 --training.duration"
CASES = (
    "finetune.compare --config configs/compare/demo.yaml",
    *(
        f"{PRETRAIN_DEMO} 60_steps --name short-{objective} --objective {objective}"
        for objective in ("mlm", "mlm_sop", "rtd")
    ),
    f"{PRETRAIN_DEMO} 60_steps --name short-balanced --pairs balanced --masking.unit span",
    "tokenizer --config configs/tokenizer/demo-characters.yaml",
    "pretrain --config configs/pretrain/demo-characters.yaml --training.duration 150_steps --training.evaluations 2",
    "pretrain --config configs/pretrain/demo-autoencoder.yaml --training.duration 80_steps --training.evaluations 2",
    "finetune --config configs/finetune/demo.yaml --name short-dropout --model.name bilstm-attention "
    "--model.dropout 0.3 --model.weight_dropout 0.2 --optimizer.layer_decay 0.8 --label_budget 500",
)


def run_cases(checkout: Path, runs: Path, cases: tuple[str, ...] = CASES) -> None:
    """Run every case in a checkout; finished runs are not repeated.

    Raises:
        InputError: a command failed; its output is in `runs.log`.
    """
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    runs.mkdir(parents=True, exist_ok=True)
    with (runs / "runs.log").open("a", encoding="utf-8") as log:
        for case in cases:
            print(f"{checkout.name}: {case}", flush=True)
            arguments = [word.replace("_steps", " steps") for word in case.split()]
            command = [sys.executable, "-m", *arguments, "--runs", str(runs)]
            if subprocess.run(command, cwd=checkout, env=environment, stdout=log, stderr=log, check=False).returncode:
                raise InputError(f"`{case}` failed in {checkout}; see {runs / 'runs.log'}")


def differences(before: Path, after: Path) -> list[str]:
    """The differences between two folders of runs, including runs that exist in only one of them."""
    sides = [{identity(file.parent): file.parent for file in runs.glob("*/*/result.json")} for runs in (before, after)]
    messages = [f"{name}: only in one of the two" for name in sorted(sides[0].keys() ^ sides[1].keys())]
    for name in sorted(sides[0].keys() & sides[1].keys()):
        outputs = [outputs_of(side[name]) for side in sides]
        messages += [f"{name}: {key} differs" for key in outputs[0] if outputs[0][key] != outputs[1].get(key)]
    return messages


def identity(run: Path) -> str:
    """A name for a run that does not depend on its digest: stage, name, data, model, label budget, seed."""
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    model = config.get("model")
    values = [
        run.parent.name,
        run.name if run.parent.name == "tokens" else run.name.rsplit("-", 1)[0],
        config.get("corpus", {}).get("split"),
        config.get("labelled"),
        config.get("tokenizer"),
        model.get("name") if isinstance(model, dict) else model,
        config.get("label_budget"),
        config.get("seed"),
    ]
    return " ".join(Path(str(value)).name for value in values if value is not None)


def outputs_of(run: Path) -> dict[str, Any]:
    """The outputs of a run that must be identical: result, metrics, predictions."""
    outputs: dict[str, Any] = {"result": without_timings(json.loads((run / "result.json").read_text(encoding="utf-8")))}
    if (run / "metrics.jsonl").is_file():
        rows = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        outputs["metrics"] = [without_timings(json.loads(row)) for row in rows]
    if (run / "predictions.parquet").is_file():
        import pyarrow.parquet

        outputs["predictions"] = pyarrow.parquet.read_table(run / "predictions.parquet").to_pylist()
    return outputs


def without_timings(value: Any) -> Any:
    """The value without timings, recursively.

    >>> without_timings({"loss": 1.5, "seconds": 3, "scores": [{"seconds": 4, "accuracy": 1.0}]})
    {'loss': 1.5, 'scores': [{'accuracy': 1.0}]}
    """
    if isinstance(value, dict):
        return {key: without_timings(inner) for key, inner in value.items() if key not in TIMINGS}
    return [without_timings(inner) for inner in value] if isinstance(value, list) else value


def main() -> None:
    """Parse the command line, run both checkouts, compare."""
    parser = CommandLine(PROGRAM, description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("revision", type=str, metavar="REVISION", help="A commit of this repository.")
    parser.add_argument(
        "--folder", type=str, default="runs/same-results", help="The folder for the checkout and the runs."
    )
    options: Namespace = parser.parse_args()
    folder = Path(options.folder).resolve()
    checkout = folder / "checkout"
    if not checkout.is_dir():
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(checkout)], check=True)
    subprocess.run(["git", "-C", str(checkout), "checkout", "--quiet", options.revision], check=True)
    run_cases(checkout, folder / "before")
    run_cases(ROOT, folder / "after")
    messages = differences(folder / "before", folder / "after")
    runs = len(list((folder / "after").glob("*/*/result.json")))
    print(
        "\n".join(messages)
        if messages
        else f"{runs} runs: every metric, result and prediction is the same to the last bit"
    )
    raise SystemExit(bool(messages))


if __name__ == "__main__":
    run_command(PROGRAM, main)
