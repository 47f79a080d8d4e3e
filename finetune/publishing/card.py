"""The model card of a finished run."""

import html
import json
import re
from pathlib import Path
from typing import Any

import jinja2
import yaml

from configs.run_folder import RunFolder
from pretrain.objectives.registry import second_task_results

# How models of other objectives than those of encoders are loaded.
LOADERS = {"causal_lm": "AutoModelForCausalLM", "autoencode": "AutoModelForSeq2SeqLM"}
# The held-out losses that a pretraining run may have.
LOSSES = {"eval_mlm_loss": "masked-LM loss", "eval_lm_loss": "language-model loss"}
TEMPLATE = Path(__file__).with_name("model_card.md.j2")


def model_card(folder: RunFolder, result: dict[str, Any]) -> str:
    """The model card as Markdown: model, data, recipe, scores with intervals."""
    config = yaml.safe_load((folder.path / "config.yaml").read_text(encoding="utf-8"))
    model = json.loads((folder.model / "config.json").read_text(encoding="utf-8"))
    code_files = sorted(file.name for file in folder.model.glob("*.py"))
    environment = json.loads((folder.path / "environment.json").read_text(encoding="utf-8"))
    templates = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    templates.filters["plain"] = plain
    return templates.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        stage=folder.path.parent.name,
        config=config,
        model=model,
        result=result,
        second_task_results=second_task_results(result),
        loader=LOADERS.get(config.get("objective", ""), "AutoModelForPreTraining"),
        losses=[(label, result[key]) for key, label in LOSSES.items() if key in result],
        environment=environment,
        accuracy=None if "test_accuracy" not in result else _accuracy_interval(result),
        corpus=public_name(config["corpus"]["source"]),
        custom_code=bool(code_files),
        code_files=code_files,
        # Without line wrapping, so that no value can start a line and close the code block.
        recipe=yaml.safe_dump(
            without_paths({name: config[name] for name in ("model", "optimizer", "training") if name in config}),
            sort_keys=False,
            width=10**6,
        ),
    )


def plain(text: object) -> str:
    r"""A user-chosen name or label as inline text, without Markdown or HTML markup.

    >>> plain("`x` <script>\n# big"), plain("a|b")
    ("'x' &lt;script&gt; # big", 'a¦b')
    """
    return html.escape(" ".join(str(text).split()), quote=False).replace("`", "'").replace("|", "¦")


def _accuracy_interval(result: dict[str, Any]) -> str:
    """Accuracy with its 95 % Wilson interval over test texts; one run cannot give the variance between seeds."""
    import scipy.stats

    texts = result["test_texts"]
    correct = round(result["test_accuracy"] * texts)
    bounds = scipy.stats.binomtest(correct, texts).proportion_ci(0.95, method="wilson")
    return f"{100 * correct / texts:.1f} % [{100 * bounds.low:.1f}, {100 * bounds.high:.1f}]"


def public_name(value: str) -> str:
    """A data set's or model's name; of a path, only the last component, so that no private path is published.

    >>> public_name("/home/me/secret/reviews.csv"), public_name("runs/pretrain/demo-1"), public_name("owner/name")
    ('reviews.csv', 'demo-1', 'owner/name')
    """
    is_path = value.startswith((".", "~")) or "\\" in value or value.count("/") > 1 or Path(value).exists()
    return re.split(r"[/\\]", value.rstrip("/\\"))[-1] if is_path or value.startswith("/") else value


def without_paths(value: Any) -> Any:
    """A config with `public_name` of every string.

    >>> without_paths({"model": {"name": "bert", "pretrained": "/home/me/runs/p-1"}})
    {'model': {'name': 'bert', 'pretrained': 'p-1'}}
    """
    if isinstance(value, dict):
        return {key: without_paths(inner) for key, inner in value.items()}
    return public_name(value) if isinstance(value, str) else value
