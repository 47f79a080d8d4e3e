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


def card(folder: RunFolder, result: dict[str, Any]) -> str:
    """The model card: what it is, data, recipe, scores with intervals."""
    config = yaml.safe_load((folder.path / "config.yaml").read_text(encoding="utf-8"))
    model = json.loads((folder.model / "config.json").read_text(encoding="utf-8"))
    environment = json.loads((folder.path / "environment.json").read_text(encoding="utf-8"))
    pages = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    pages.filters["plain"] = plain
    return pages.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        stage=folder.path.parent.name,
        config=config,
        model=model,
        result=result,
        second_task_results=second_task_results(result),
        environment=environment,
        accuracy=None if "test_accuracy" not in result else _accuracy(result),
        corpus=_corpus(config["corpus"]["source"]),
        custom_code="auto_map" in model,
        # Every value on its line, so that none can close the block of code.
        recipe=yaml.safe_dump(
            {name: config[name] for name in ("model", "optimizer", "training") if name in config},
            sort_keys=False,
            width=10**6,
        ),
    )


def plain(text: object) -> str:
    r"""What somebody chose as a name or label, as text that cannot leave its place in a page of Markdown.

    >>> plain("`x` <script>\n# big"), plain("a|b")
    ("'x' &lt;script&gt; # big", 'a¦b')
    """
    return html.escape(" ".join(str(text).split()), quote=False).replace("`", "'").replace("|", "¦")


def _accuracy(result: dict[str, Any]) -> str:
    """Accuracy with its interval over the choice of test texts (one run: the seed's part cannot be known)."""
    import scipy.stats

    texts = result["test_texts"]
    right = round(result["test_accuracy"] * texts)
    bounds = scipy.stats.binomtest(right, texts).proportion_ci(0.95, method="wilson")
    return f"{100 * right / texts:.1f} % [{100 * bounds.low:.1f}, {100 * bounds.high:.1f}]"


def _corpus(source: str) -> str:
    """The data set's name; of a path, the last part alone, as the rest is nobody's business."""
    return source if not Path(source).exists() else Path(source).name
