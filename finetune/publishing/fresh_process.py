"""The check of an export: a process that knows nothing of this toolkit loads the folder as the card says.

It runs elsewhere, without the environment variables that point to this checkout, to a token or to the network, and its
answers to a few texts are compared with those of the run's own model.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet

from configs.errors import InputError
from configs.run_folder import RunFolder
from finetune.classification.predictions import PREDICTIONS
from finetune.publishing import outputs
from finetune.publishing.kinds import AUTOENCODER, CLASSIFIER, LANGUAGE_MODEL, Kind, uses_own_code

# Texts of the run's test that are classified; the card never shows one.
TEST_TEXTS = 6
ENGLISH = "The plot was thin, but the cast was wonderful."
OTHERS = ["x", "Ünïcödé — 漢字 🙂", " ".join([ENGLISH] * 60)]
# Of logits computed twice in 32 bits; another product library makes 1e-5 of it.
TOLERANCE = 1e-4
SECONDS = 600
# What would lead to this checkout, to models and code that lie elsewhere, or into a repository.
HIDDEN = (
    "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT", "HF_HUB_CACHE",
    "HF_MODULES_CACHE", "TRANSFORMERS_CACHE", "HUGGINGFACE_HUB_CACHE",
)  # fmt: skip
# A graphics card would round otherwise, and may be busy.
ON_CPU = {"CUDA_VISIBLE_DEVICES": ""}
ROOMS = ("configs", "tokenizer", "pretrain", "finetune")

# Follows the code of the card and of `outputs.py`.
ENDING = f"""
import json, sys
import safetensors.torch
assert not set(sys.modules) & set({ROOMS!r})
texts = json.load(open(sys.argv[1], encoding="utf-8"))
if sys.argv[3] == "classifier":
    model, tokenizer = classify.model, classify.tokenizer
found = OUTPUTS[sys.argv[3]](model.eval(), tokenizer, texts)
if sys.argv[3] == "classifier":
    asked = [text if isinstance(text, str) else {{"text": text[0], "text_pair": text[1]}} for text in texts]
    scores = [sorted(entry["score"] for entry in classify(text, top_k=None)) for text in asked]
    found["scores"] = torch.tensor(scores)
safetensors.torch.save_file({{name: values.contiguous() for name, values in found.items()}}, sys.argv[2])
"""


def check_texts(run: RunFolder, kind: Kind) -> list[Any]:
    """The texts to ask about: some of the run's test texts, one of many tokens, one of other letters, one of a letter.

    A pair of texts is a list of two.
    """
    if kind.name in (LANGUAGE_MODEL, AUTOENCODER):
        return ["the", ENGLISH]
    if kind.name != CLASSIFIER:
        return [ENGLISH, [ENGLISH, "It was dull."]]
    texts: list[Any] = [[text, ENGLISH] for text in OTHERS] if kind.reads_pairs else list(OTHERS)
    file = run.path / PREDICTIONS
    names = pyarrow.parquet.read_schema(file).names if file.is_file() else []
    if "text" in names:
        second = ["second_text"] if kind.reads_pairs and "second_text" in names else []
        table = pyarrow.parquet.read_table(file, columns=["text", *second]).slice(0, TEST_TEXTS).to_pydict()
        pairs = [[text, other or ""] for text, other in zip(*table.values(), strict=True)] if second else []
        texts += pairs or ([[text, ""] for text in table["text"]] if kind.reads_pairs else table["text"])
    return texts


def check(folder: Path, kind: Kind, expected: dict[str, Any], texts: Sequence[Any]) -> None:
    """Load `folder` in a fresh process as its card says, and compare.

    Args:
        folder: the exported model.
        kind: what it is.
        expected: the outputs of the run's own model for `texts` (`outputs.py`), and for a classifier `scores`, the
            calibrated probabilities in ascending order, [N, C].
        texts: what both are asked.

    Raises:
        InputError: it does not load there, or answers otherwise.
    """
    found = answers_elsewhere(folder, kind, texts)
    for name, values in expected.items():
        difference = _difference(values, found.get(name))
        if difference > TOLERANCE:
            raise InputError(
                f"the exported model is not the run's: loaded by transformers alone, its {name} differ by "
                f"{difference:.2g}; nothing was exported (--check false exports without this comparison)"
            )


def _difference(expected: Any, found: Any) -> float:
    """The largest difference, relative where numbers are large; infinite if they cannot be compared."""
    if found is None or found.shape != expected.shape:
        return float("inf")
    if not expected.is_floating_point():
        return 0.0 if bool((expected == found).all()) else float("inf")
    difference = ((expected - found).abs() / expected.abs().clamp(min=1)).max()
    return float(difference) if bool(difference.isfinite()) else float("inf")


def answers_elsewhere(folder: Path, kind: Kind, texts: Sequence[Any]) -> dict[str, Any]:
    """The outputs of a model folder in a process of its own, whose working folder is empty.

    Raises:
        InputError: it does not load there.
    """
    import safetensors.torch

    code = kind.code(str(folder.resolve()), uses_own_code(folder))
    program = code + Path(outputs.__file__).read_text(encoding="utf-8") + ENDING
    with tempfile.TemporaryDirectory(prefix="bertlet-check-") as name:
        elsewhere = Path(name)
        (elsewhere / "texts.json").write_text(json.dumps(list(texts)), encoding="utf-8")
        (elsewhere / "program.py").write_text(program, encoding="utf-8")
        variables = {key: value for key, value in os.environ.items() if key not in HIDDEN}
        variables |= {"HF_HOME": str(elsewhere / "hub"), "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
        variables |= ON_CPU
        # `-I`: neither the working folder nor a variable adds to the path; only installed packages are found.
        words = [sys.executable, "-I", "program.py", "texts.json", "outputs.safetensors", kind.name]
        try:
            # Without an input: `transformers` would ask there whether to run a model's code.
            ended = subprocess.run(
                words,
                cwd=elsewhere,
                env=variables,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise InputError(
                f"the exported model did not answer within {SECONDS} s; nothing was exported (--check false)"
            ) from None
        if ended.returncode != 0 or not (elsewhere / "outputs.safetensors").is_file():
            reason = " ".join((ended.stderr.strip().splitlines() or ["no reason given"])[-1].split())[:300]
            raise InputError(
                "the exported model does not load with transformers alone; nothing was exported "
                f"(--check false exports all the same): {reason}"
            )
        return safetensors.torch.load_file(elsewhere / "outputs.safetensors")
