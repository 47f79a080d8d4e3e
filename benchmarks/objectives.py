"""`python -m benchmarks.objectives --data_folder DIR`: compare pretraining objectives on a CPU at equal time.

DIR holds `imdb/{train,unsupervised,test}.parquet`. Every objective pretrains a tiny encoder by the recipe of
`configs/pretrain/imdb-cpu.yaml`, or a BERT, for the same time on one thread; each encoder, and one from scratch, is
then fine-tuned with a few seeds on the same labels. Nothing is selected by the results; finished runs are not repeated.
"""

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any, Literal, NamedTuple

from benchmarks.measurement.measuring import print_measurement
from configs.bounds import require_at_least
from configs.command_line import load, parse
from configs.errors import run_command
from configs.processes import in_processes
from configs.run_folder import RunFolder
from finetune.config import FinetuneConfig
from pretrain.config import PretrainConfig
from tokenizer.config import TokenizerConfig

PROGRAM = "python -m benchmarks.objectives"
SCRATCH = "scratch"
PAIR_ACCURACIES = ("eval_nsp_accuracy", "eval_sop_accuracy")


class Recipe(NamedTuple):
    """What an architecture is pretrained and fine-tuned with; all else is in `configs/*/imdb-cpu.yaml`."""

    objectives: dict[str, dict[str, Any]]
    """By name, overrides of the pretraining file."""
    encoder: dict[str, Any]
    classifier: dict[str, Any]


# Small enough to be anywhere after minutes.
ENCODER = {"model.size": "tiny", "sequence_length": 128, "training.batch_size": 32}
CLASSIFIER = {
    "sequence_length": 128,
    "training.duration": "2 epochs, at least 200 steps",
    "training.batch_size": 32,
    "adversarial_step": 0.0,
}
RECIPES = {
    "modernbert": Recipe(
        {
            "mlm": {"objective": "mlm"},
            "mlm_nsp": {"objective": "mlm_nsp"},
            "mlm_nsp_0.1": {"objective": "mlm_nsp", "pair_weight": 0.1},
            "mlm_sop": {"objective": "mlm_sop"},
        },
        ENCODER,
        CLASSIFIER,
    ),
    # BERT as published; ELECTRA's discriminator is made of its layers, too.
    "bert": Recipe(
        {
            "mlm_nsp": {"objective": "mlm_nsp"},
            "mlm": {"objective": "mlm"},
            "mlm_sop": {"objective": "mlm_sop"},
            # ELECTRA's masking (Clark et al. 2020, appendix A: 85 % [MASK], the rest unchanged).
            "rtd": {
                "objective": "rtd",
                "masking.rate": 0.15,
                "masking.mask_share": 0.85,
                "masking.random_share": 0.0,
            },
        },
        ENCODER
        | {"model.architecture": "bert", "optimizer.name": "adamw", "optimizer.learning_rate": 3e-3},
        CLASSIFIER
        | {
            "model.reinitialized_layers": 1,
            "model.pooling": None,
            "model.classifier_init": "random",
            "token_masking": 0.0,
            "optimizer.name": "adamw",
            "optimizer.learning_rate": 1e-3,
            "optimizer.beta2": 0.999,
            "training.evaluations": 6,
        },
    ),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class ObjectivesBenchmarkConfig:
    """Pretrain with each objective for the same time, fine-tune, compare."""

    data_folder: str
    """The folder with `imdb/`."""
    architecture: Literal["modernbert", "bert"] = "modernbert"
    """Of the encoder: the shipped recipe's, or BERT as published."""
    minutes: float = 8.0
    """Minutes of pretraining per objective."""
    label_budget: int = 2500
    """Number of fine-tuning labels."""
    seeds: int = 3
    """Number of fine-tuning runs per encoder."""
    processes: int | None = None
    """Number of parallel runs, of one thread each; null uses all cores."""
    runs: str = "runs/objectives"
    """The parent folder of all run folders."""

    def __post_init__(self) -> None:
        """Validate the keys: an interval needs two seeds."""
        require_at_least(2, seeds=self.seeds)


def run(config: ObjectivesBenchmarkConfig) -> None:
    """Run the benchmark and print the measurements."""
    from tokenizer.run import run as train_tokenizer

    os.environ["OMP_NUM_THREADS"] = "1"
    source, recipe = str(Path(config.data_folder) / "imdb"), RECIPES[config.architecture]
    count = config.processes or os.cpu_count() or 1
    tokenizer = train_tokenizer(
        load(TokenizerConfig, "configs/tokenizer/imdb-cpu.yaml", {"corpus.source": source, "runs": config.runs})
    )
    shared_keys = {
        "training.speed.precision": "auto",
        "corpus.source": source,
        "tokenizer": str(tokenizer.path),
        "runs": config.runs,
        "training.threads": 1,
    }
    duration_keys = {
        "training.duration": f"{60 * config.minutes:g} seconds",
        "training.evaluations": 2,
        "audited_documents": 0,
    }
    duration_keys["held_out_share"] = 0.005
    recipes = {
        name: load(
            PretrainConfig,
            "configs/pretrain/imdb-cpu.yaml",
            {**shared_keys, **recipe.encoder, **duration_keys, "name": f"{config.architecture}-{name}", **keys},
        )
        for name, keys in recipe.objectives.items()
    }
    # All objectives share the token store; it is prepared before time is measured.
    _prepare(recipes["mlm"])
    folders = dict(result for _, result in in_processes(_pretrain, list(recipes.items()), count))
    for name, folder in folders.items():
        facts = folder.result()
        pairs = "".join(f", {key} {facts[key]:.3f}" for key in PAIR_ACCURACIES if key in facts)
        told = (
            f"{facts['tokens']:,} tokens, {facts['seconds']:.0f} s, masked-LM loss {facts['eval_mlm_loss']:.3f}{pairs}"
        )
        print(f"{name}: {told}", file=sys.stderr)
    cells = [
        (name, load(FinetuneConfig, "configs/finetune/imdb-cpu.yaml", shared_keys | recipe.classifier | keys))
        for seed in range(config.seeds)
        for name, keys in _classifiers(folders, config, seed).items()
    ]
    finetuned = [result for _, result in in_processes(_finetune, cells, count)]
    report(finetuned)


def _classifiers(folders: dict[str, RunFolder], config: ObjectivesBenchmarkConfig, seed: int) -> dict[str, dict]:
    keys = {"label_budget": config.label_budget, "seed": seed}
    classifiers = {
        name: keys | {"name": name, "model.name": "bert", "model.pretrained": str(folder.path)}
        for name, folder in folders.items()
    }
    scratch = {"name": SCRATCH, "model.name": "bert-scratch", "model.pretrained": str(folders["mlm_nsp"].path)}
    return classifiers | {SCRATCH: keys | scratch}


def report(finetuned: list[tuple[str, int, RunFolder]]) -> None:
    """Print one line per objective: mean test accuracy against that from scratch, in %; intervals go to stderr."""
    import numpy as np

    from finetune.classification.predictions import correctness
    from finetune.comparison.intervals import mean_interval

    correct = {
        name: np.stack([correctness(folder) for _, _, folder in sorted(runs, key=lambda run: run[1])])
        for name in dict.fromkeys(run[0] for run in finetuned)
        for runs in [[run for run in finetuned if run[0] == name]]
    }
    validation_accuracies = {
        name: np.mean([folder.result()["eval_accuracy"] for run_name, _, folder in finetuned if run_name == name])
        for name in correct
    }
    for name in sorted(correct):
        interval, gain = (mean_interval(values, 0.95) for values in (correct[name], correct[name] - correct[SCRATCH]))
        print_measurement(f"objectives.{name}", 100 * interval.estimate, 100 * correct[SCRATCH].mean(), "%")
        print(
            f"{name}: test {100 * interval.estimate:.1f} % [{100 * interval.low:.1f}, {100 * interval.high:.1f}], "
            f"gain over scratch {100 * gain.estimate:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}], "
            f"validation {100 * validation_accuracies[name]:.1f} %",
            file=sys.stderr,
        )


def _prepare(config: PretrainConfig) -> None:
    from pretrain.data.store import prepare, store_folder
    from pretrain.run_paths import tokenizer_of

    folder, digest = tokenizer_of(config)
    prepare(config.corpus, folder, store_folder(config.corpus, digest, config.runs), preparation=config.preparation)


def _pretrain(recipe: tuple[str, PretrainConfig]) -> tuple[str, RunFolder]:
    from pretrain.run import run as pretrain

    return recipe[0], pretrain(recipe[1])


def _finetune(cell: tuple[str, FinetuneConfig]) -> tuple[str, int, RunFolder]:
    from finetune.run import run as finetune

    return cell[0], cell[1].seed, finetune(cell[1])


def main() -> None:
    """Parse the command line, then run the benchmark."""
    run(parse(ObjectivesBenchmarkConfig, PROGRAM))


if __name__ == "__main__":
    run_command(PROGRAM, main)
