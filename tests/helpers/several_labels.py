"""Made-up texts with several labels each, or none, which their words give away."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from tests.helpers.finetuning import THINGS

WORDS = {"billing": ("invoice", "price"), "bug": ("broken", "crash"), "praise": ("great", "lovely")}


def rows_with_labels(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows with a text and the list of its labels; a tenth of the texts have none."""
    rng, rows = random.Random(seed), []
    for _ in range(count):
        labels = [label for label in WORDS if rng.random() < (0.5, 0.3, 0.6)[list(WORDS).index(label)]]
        sentences = [f"the {rng.choice(THINGS)} was {rng.choice(WORDS[label])}." for label in labels]
        rng.shuffle(sentences)
        rows.append({"text": " ".join(sentences) or f"the {rng.choice(THINGS)} was so so.", "label": labels})
    return rows


def write_splits(folder: Path) -> Path:
    """JSON lines for training, validation and test."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (split, count) in enumerate((("train", 240), ("validation", 60), ("test", 160))):
        rows = rows_with_labels(count, seed)
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def random_labels(texts: int, frequencies: list[float], seed: int = 0) -> np.ndarray:
    """Labels [N, C] that come together more often than by chance."""
    rng = np.random.default_rng(seed)
    frequencies_NC = np.array(frequencies) * rng.choice([0.3, 1.7], (texts, 1))
    return (rng.random((texts, len(frequencies))) < frequencies_NC).astype(np.int8)
