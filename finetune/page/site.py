"""Models and sources → the folder of a page."""

import dataclasses
import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from configs.errors import InputError
from finetune.page.models import PageModel, same_labels, write_model
from finetune.page.packages import installed, packages_and_licences
from finetune.page.server import ISOLATION
from tokenizer.corpus import synthetic_reviews

HERE = Path(__file__).parent
SOURCES = (
    "index.html", "style.css", "app.js", "client.js", "worker.js", "classifiers.js", "bag_of_words.js", "encoding.js",
    "words.js",
)  # fmt: skip
DESCRIPTION, VENDOR, MODELS, README = "models.json", "vendor", "models", "README.md"
# All that a page is made of; the description comes last.
PARTS = (*SOURCES, VENDOR, MODELS, README, DESCRIPTION)
MADE_BY = "python -m finetune.demo"
MOST_RUNS = 6
SAMPLE = "sample"
# Short reviews of the built-in sample, of each label this many.
SAMPLE_EXAMPLES, SAMPLE_CHARACTERS = 2, 170
EXAMPLES = (
    "The first half drags, but the last ten minutes are worth the whole evening.",
    "Not once did I believe a word of it, and the songs do not help.",
    "I expected little and got a small, warm and very funny surprise.",
    "Great cast, lovely pictures, no story at all.",
)


@dataclasses.dataclass(frozen=True)
class Page:
    """What a page is made of."""

    models: list[PageModel]
    labels: list[str]
    title: str
    examples: list[str]
    quantized: bool

    @classmethod
    def of(cls, runs: Sequence[str], title: str | None, examples: Sequence[str], quantized: bool) -> "Page":
        """Read the runs.

        Raises:
            InputError: there are none, too many, one is no finished fine-tuning run, or their labels differ.
        """
        if not 1 <= len(runs) <= MOST_RUNS:
            raise InputError(f"{len(runs)} runs; a page shows 1 to {MOST_RUNS}")
        if len({Path(run).resolve() for run in runs}) < len(runs):
            raise InputError(f"runs: {', '.join(runs)}: one is given twice")
        for text in (title or "", *examples):
            if any("\ud800" <= character <= "\udfff" for character in text):
                raise InputError(f"title or examples: {text!r} is not Unicode text")
        models = [PageModel.of(run) for run in runs]
        labels = same_labels(models)
        from_sample = all(model.config.corpus.source == SAMPLE for model in models)
        texts = [text for text in examples if text.strip()] or (sample_texts() if from_sample else list(EXAMPLES))
        names = dict.fromkeys(model.config.name for model in models)
        title = " ".join((title or "").split()) or f"Try the models of {', '.join(names)}"
        return cls(models, labels, title, texts, quantized)

    @property
    def digest(self) -> str:
        """Ten hexadecimal digits: of the runs and their results, and of everything else that is in the page."""
        runs = [(model.name, json.dumps(model.result, sort_keys=True)) for model in self.models]
        state = hashlib.sha256(repr((runs, self.title, self.examples, self.quantized)).encode())
        for file in sorted(file for file in HERE.iterdir() if file.is_file()):
            state.update(file.read_bytes())
        return state.hexdigest()[:10]


def sample_texts() -> list[str]:
    """Short test reviews of the built-in sample, on which nothing was trained.

    >>> len(sample_texts())
    4
    """
    texts: dict[str, list[str]] = {label: [] for label in synthetic_reviews.LABELS}
    for row, _ in synthetic_reviews.rows("test"):
        chosen = texts[row["label"]]
        if len(row["text"]) <= SAMPLE_CHARACTERS and len(chosen) < SAMPLE_EXAMPLES:
            chosen.append(row["text"])
        if all(len(chosen) == SAMPLE_EXAMPLES for chosen in texts.values()):
            break
    return [text for pair in zip(*texts.values(), strict=True) for text in pair]


def build(page: Page, target: Path, cache: Path) -> Path:
    """Make the folder of a page; one that is there is replaced when the new one is whole, unless it is the same.

    What lies beside a page, such as the `.git` of a Space, stays.

    Args:
        page: what it shows.
        target: a new or empty folder, or one that holds a page.
        cache: the folder below which npm's packages are kept.

    Raises:
        InputError: the folder holds something else, npm failed, or a model cannot be exported.
    """
    check_target(target)
    digest = page.digest
    if target.exists() and (description_of(target) or {}).get("digest") == digest:
        return target
    packages = installed(cache)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".page-", dir=target.parent) as temporary:
        folder = Path(temporary) / "page"
        folder.mkdir()
        for name in SOURCES:
            shutil.copyfile(HERE / name, folder / name)
        shutil.copytree(packages, folder / VENDOR)
        models = [
            {"folder": f"{MODELS}/{number}"}
            | write_model(model, folder / MODELS / str(number), page.examples, page.quantized)
            for number, model in enumerate(page.models)
        ]
        description = {
            "made_by": MADE_BY,
            "digest": digest,
            "title": page.title,
            "labels": page.labels,
            "examples": page.examples,
            "runtime_bytes": (folder / VENDOR / "ort-wasm-simd-threaded.wasm").stat().st_size,
            "models": models,
        }
        (folder / DESCRIPTION).write_text(json.dumps(description, ensure_ascii=False, indent=1), encoding="utf-8")
        (folder / README).write_text(readme(page), encoding="utf-8")
        _put(folder, target, Path(temporary) / "before")
    return target


def _put(folder: Path, target: Path, before: Path) -> None:
    """Give a page its place, and move the parts of the one that is there to `before`."""
    if not target.exists() or not any(target.iterdir()):
        folder.replace(target)
        return
    before.mkdir()
    for name in PARTS:
        if (target / name).exists():
            (target / name).rename(before / name)
        (folder / name).rename(target / name)


def check_target(target: Path) -> None:
    """Whether a page may be written there.

    Raises:
        InputError: it is a file, or a folder that holds something else.
    """
    if not target.exists():
        return
    if not target.is_dir() or (any(target.iterdir()) and description_of(target) is None):
        raise InputError(f"--to {target}: exists and is neither an empty folder nor a page made by {MADE_BY}")


def description_of(folder: Path) -> dict[str, Any] | None:
    """The description of the page in a folder; None if there is none."""
    try:
        content = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and content.get("made_by") == MADE_BY else None


def readme(page: Page) -> str:
    """The README.md of a static Space: its settings, and what lies where."""
    headers = {name.lower(): value for name, value in ISOLATION.items()}
    headers["cross-origin-resource-policy"] = "cross-origin"
    settings = {
        "title": page.title,
        "sdk": "static",
        "app_file": "index.html",
        "pinned": False,
        "custom_headers": headers,
    }
    text = f"""\
# A page to try {len(page.models)} classifier{"s" * (len(page.models) > 1)}

One types a text, and the models answer side by side, in the browser: no text leaves it. Made by Bertlet
(`{MADE_BY}`); publish the folder as it is as a static Space, or with any host of files:

```sh
hf upload OWNER/NAME FOLDER . --repo-type space
```

- `models/`: the weights, and `models.json`, which describes them. A model that counts words carries every word and
  pair of words of its training texts.
- `vendor/`: {packages_and_licences()}, as npm gives them.
"""
    return f"---\n{yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)}---\n\n{text}"
