"""A chain that is small enough for tests: made-up texts, and the YAML files of every stage."""

import json
import random
from pathlib import Path
from typing import Any

import yaml

from configs.command_line import load
from finetune.config import FinetuneConfig

GOOD = ("good", "fine", "lovely", "great")
BAD = ("bad", "poor", "awful", "dull")
THINGS = ("film", "plot", "cast", "song", "scene", "book", "play", "end")


def sentence(label: int, rng: random.Random) -> str:
    """A sentence whose adjective gives the label away."""
    return f"the {rng.choice(THINGS)} was {rng.choice(GOOD if label else BAD)}."


def write_chain(folder: Path) -> dict[str, Path]:
    """Write texts and a YAML file for each stage below `folder`; gives the files by stage."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(0)
    documents = []
    for _ in range(60):
        thing, mood = rng.choice(THINGS), rng.randrange(2)
        documents.append("\n".join(f"{sentence(mood, rng)} so the {thing} ends." for _ in range(3)))
    (folder / "texts.txt").write_text("\n\n".join(documents), encoding="utf-8")
    (folder / "labelled").mkdir(exist_ok=True)
    for split, count in (("train", 120), ("validation", 24), ("test", 40)):
        rows = []
        for number in range(count):
            label = number % 2
            text = " ".join(sentence(label, rng) for _ in range(2 + number % 3))
            rows.append(json.dumps({"text": text, "label": label, "label_text": ("negative", "positive")[label]}))
        (folder / "labelled" / f"{split}.jsonl").write_text("\n".join(rows), encoding="utf-8")
    return {stage: write_yaml(folder / f"{stage}.yaml", content(stage, folder)) for stage in STAGES}


STAGES = ("tokenizer", "pretrain", "finetune", "compare")


def content(stage: str, folder: Path) -> dict[str, Any]:
    """The keys of a stage's file."""
    corpus = {"source": str(folder / "texts.txt"), "format": "blocks"}
    # By timing, two runs of a busy machine might choose other products, and round differently.
    speed = {"products": "torch"}
    training = {"batch_size": 8, "evaluations": 3, "threads": 1, "log_every": 5, "speed": speed}
    runs = str(folder / "runs")
    keys: dict[str, dict[str, Any]] = {
        "tokenizer": {"name": "small", "corpus": corpus, "vocabulary_size": 120},
        "pretrain": {
            "name": "small",
            "tokenizer": str(folder / "tokenizer.yaml"),
            "corpus": corpus,
            "sequence_length": 32,
            "held_out_share": 0.1,
            "model": {"layers": 2, "hidden_size": 32, "heads": 2, "maximum_positions": 64, "initializer_range": None},
            "training": training | {"duration": "30 steps"},
        },
        "finetune": {
            "name": "small",
            "corpus": {
                "source": str(folder / "labelled"),
                "split": "train",
                "label_name_column": "label_text",
            },
            "validation": "validation",
            "tokenizer": str(folder / "tokenizer.yaml"),
            "sequence_length": 32,
            "model": {
                "pretrained": str(folder / "pretrain.yaml"),
                "embedding_size": 16,
                "hidden_size": 16,
                "dropout": 0.0,
            },
            "optimizer": {"learning_rate": 0.01},
            "training": training | {"duration": "60 steps"},
        },
        "compare": {
            "name": "small",
            **{stage: str(folder / f"{stage}.yaml") for stage in ("tokenizer", "pretrain", "finetune")},
            "models": {"bag-of-words": {}, "lstm": {"model.pooling": "max"}, "bert": {}},
            "seeds": [0, 1],
            "label_budgets": [20, 60],
            "set": {"finetune": {"training.duration": "20steps"}},
            "processes": 1,
        },
    }
    return keys[stage] | {"runs": runs}


def write_yaml(file: Path, keys: dict[str, Any]) -> Path:
    """Write keys as YAML."""
    file.write_text(yaml.safe_dump(keys, sort_keys=False), encoding="utf-8")
    return file


def finetune_config(folder: Path, **overrides: Any) -> FinetuneConfig:
    """The fine-tuning config of the chain in `folder`; a double underscore in a key stands for a dot."""
    return load(FinetuneConfig, folder / "finetune.yaml", {k.replace("__", "."): v for k, v in overrides.items()})
