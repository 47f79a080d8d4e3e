"""`python -m benchmarks.objectives --data_folder DIR`: which objective pays on a CPU, at equal seconds?

DIR holds `imdb/{train,unsupervised,test}.parquet`. Every objective pretrains the encoder of
`configs/pretrain/imdb-cpu.yaml` for the same time on one thread; each encoder, and one from scratch, is then fine-tuned
with a few seeds on the same labels. Nothing is chosen by the results; runs that are finished are not run again.
"""

import dataclasses
import os
import sys
from pathlib import Path

from benchmarks.measuring import line
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
# What departs from the file: ELECTRA's masks (Clark et al. 2020, appendix A; 85 % [MASK], the rest as it was).
OBJECTIVES = {
    "mlm_nsp": {},
    "mlm": {},
    "mlm_sop": {},
    "rtd": {"masking.rate": 0.15, "masking.mask_share": 0.85, "masking.random_share": 0.0},
}


@dataclasses.dataclass(frozen=True)
class ObjectivesBenchmarkConfig:
    """Pretrain with each objective for the same time, fine-tune, compare."""

    data_folder: str
    """The folder with `imdb/`."""
    minutes: float = 8.0
    """Of pretraining, each."""
    label_budget: int = 2500
    """Labels to fine-tune with."""
    seeds: int = 3
    """Fine-tuning runs of each encoder."""
    processes: int | None = None
    """Runs at a time, of one thread each; null takes every core."""
    runs: str = "runs/objectives"
    """Where everything is kept."""

    def __post_init__(self) -> None:
        """Refuse what gives no interval."""
        require_at_least(2, seeds=self.seeds)


def run(config: ObjectivesBenchmarkConfig) -> None:
    """Measure and print."""
    from tokenizer.run import run as train_tokenizer

    os.environ["OMP_NUM_THREADS"] = "1"
    source = str(Path(config.data_folder) / "imdb")
    count = config.processes or os.cpu_count() or 1
    tokenizer = train_tokenizer(
        load(TokenizerConfig, "configs/tokenizer/imdb-cpu.yaml", {"corpus.source": source, "runs": config.runs})
    )
    shared = {"corpus.source": source, "tokenizer": str(tokenizer.path), "runs": config.runs, "training.threads": 1}
    length = {
        "training.duration": f"{60 * config.minutes:g} seconds",
        "training.evaluations": 2,
        "audited_documents": 0,
    }
    length["held_out_share"] = 0.005
    recipes = {
        name: load(
            PretrainConfig,
            "configs/pretrain/imdb-cpu.yaml",
            {**shared, **length, "objective": name, "name": name, **keys},
        )
        for name, keys in OBJECTIVES.items()
    }
    # The store is made once, before the clock runs.
    _prepare(recipes["mlm"])
    folders = dict(result for _, result in in_processes(_pretrain, list(recipes.items()), count))
    for name, folder in folders.items():
        facts = folder.result()
        print(f"{name}: {facts['tokens']:,} tokens, masked-LM loss {facts['eval_mlm_loss']:.3f}", file=sys.stderr)
    cells = [
        (name, load(FinetuneConfig, "configs/finetune/imdb-cpu.yaml", shared | keys))
        for seed in range(config.seeds)
        for name, keys in _classifiers(folders, config, seed).items()
    ]
    tuned = [result for _, result in in_processes(_finetune, cells, count)]
    report(tuned)


def _classifiers(folders: dict[str, RunFolder], config: ObjectivesBenchmarkConfig, seed: int) -> dict[str, dict]:
    keys = {"label_budget": config.label_budget, "seed": seed}
    found = {
        name: keys | {"name": name, "model.name": "bert", "model.pretrained": str(folder.path)}
        for name, folder in folders.items()
    }
    scratch = {"name": SCRATCH, "model.name": "bert-scratch", "model.pretrained": str(folders["mlm_nsp"].path)}
    return found | {SCRATCH: keys | scratch}


def report(tuned: list[tuple[str, int, RunFolder]]) -> None:
    """A line an objective: mean test accuracy beside that from scratch, in %; intervals on stderr."""
    import numpy as np

    from finetune.classification.predictions import correct
    from finetune.comparison.statistics import mean_interval

    answers = {
        name: np.stack([correct(folder) for _, _, folder in sorted(part, key=lambda run: run[1])])
        for name in dict.fromkeys(run[0] for run in tuned)
        for part in [[run for run in tuned if run[0] == name]]
    }
    validated = {
        name: np.mean([folder.result()["eval_accuracy"] for other, _, folder in tuned if other == name])
        for name in answers
    }
    for name in sorted(answers):
        interval, gain = (mean_interval(values, 0.95) for values in (answers[name], answers[name] - answers[SCRATCH]))
        line(f"objectives.{name}", 100 * interval.estimate, 100 * answers[SCRATCH].mean(), "%")
        print(
            f"{name}: test {100 * interval.estimate:.1f} % [{100 * interval.low:.1f}, {100 * interval.high:.1f}], "
            f"gain over scratch {100 * gain.estimate:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}], "
            f"validation {100 * validated[name]:.1f} %",
            file=sys.stderr,
        )


def _prepare(config: PretrainConfig) -> None:
    from pretrain.data.store import prepare, store_folder
    from pretrain.run_paths import tokenizer_of

    folder, digest = tokenizer_of(config)
    prepare(config.corpus, folder, store_folder(config.corpus, digest, config.runs), preparation=config.preparation)


def _pretrain(item: tuple[str, PretrainConfig]) -> tuple[str, RunFolder]:
    from pretrain.run import run as pretrain

    return item[0], pretrain(item[1])


def _finetune(item: tuple[str, FinetuneConfig]) -> tuple[str, int, RunFolder]:
    from finetune.run import run as finetune

    return item[0], item[1].seed, finetune(item[1])


def main() -> None:
    """Parse the command line, then measure."""
    run(parse(ObjectivesBenchmarkConfig, PROGRAM))


if __name__ == "__main__":
    run_command(PROGRAM, main)
