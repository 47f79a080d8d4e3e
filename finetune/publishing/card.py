"""The model card of a finished run."""

import html
import json
from pathlib import Path
from typing import Any

import jinja2
import yaml

from configs.run_folder import RunFolder
from pretrain.objectives.registry import second_task_results

TEMPLATE = Path(__file__).with_name("model_card.md.j2")


def model_card(folder: RunFolder, result: dict[str, Any]) -> str:
    """The model card as Markdown: model, data, recipe, scores with intervals."""
    config = yaml.safe_load((folder.path / "config.yaml").read_text(encoding="utf-8"))
    model = json.loads((folder.model / "config.json").read_text(encoding="utf-8"))
    environment = json.loads((folder.path / "environment.json").read_text(encoding="utf-8"))
    templates = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    templates.filters["plain"] = plain
    return templates.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        stage=folder.path.parent.name,
        config=config,
        model=model,
        result=result,
        second_task_results=second_task_results(result),
        environment=environment,
        accuracy=None if "test_accuracy" not in result else _accuracy_interval(result),
        corpus=_corpus_name(config["corpus"]["source"]),
        custom_code="auto_map" in model,
        # Without line wrapping, so that no value can start a line and close the code block.
        recipe=yaml.safe_dump(
            {name: config[name] for name in ("model", "optimizer", "training") if name in config},
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


def _corpus_name(source: str) -> str:
    """The data set's name; for a path, only its last component, so that no private path is published."""
    return source if not Path(source).exists() else Path(source).name
