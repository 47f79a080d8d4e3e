"""`python -m finetune.export RUN --to FOLDER`, or `--to hub:owner/name`: a finished run as a folder to share."""

import dataclasses
import html
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import jinja2
import yaml
from jsonargparse import Namespace

from configs.command_line import CommandLine
from configs.errors import InputError, run_command
from configs.run_folder import RunFolder
from configs.terminal import show_progress_lines
from finetune import hub
from pretrain.config import second_tasks

log = logging.getLogger("finetune.export")

PROGRAM = "python -m finetune.export"
TEMPLATE = Path(__file__).with_name("model_card.md.j2")
HUB = "hub:"


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """Copy what `transformers` loads, with a model card, to a folder or to the Hub."""

    run: str
    """A finished run's folder, of pretraining or of fine-tuning."""
    to: str
    """A folder that does not exist or is empty, or `hub:owner/name`; the Hub's token is read from HF_TOKEN alone."""
    private: bool = False
    """Create the Hub repository as private, where it does not exist yet."""


def run(config: ExportConfig) -> str:
    """Export; gives the folder or the address of the commit.

    Raises:
        InputError: the run is not finished or has no model, the folder is taken, or the Hub refuses.
    """
    folder = RunFolder(Path(config.run))
    result = folder.result()
    if not (folder.model / "config.json").is_file():
        raise InputError(f"{folder.path} has no model/ to export (bag-of-words is a yardstick, not a model)")
    if config.to.startswith(HUB):
        return hub.publish(folder.model, card(folder, result), config.to.removeprefix(HUB), config.private)
    target = Path(config.to)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"--to {target}: exists and is not an empty folder")
    shutil.copytree(folder.model, target, dirs_exist_ok=True)
    (target / "README.md").write_text(card(folder, result), encoding="utf-8")
    return str(target)


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
        second_tasks=second_tasks(result),
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


def main() -> None:
    """Parse the command line, then export."""
    parser = CommandLine(PROGRAM, description=(ExportConfig.__doc__ or "").strip())
    parser.add_argument("run", type=str, metavar="RUN", help="A finished run's folder.")
    parser.add_argument("--to", type=str, required=True, help="A new folder, or hub:owner/name (token: HF_TOKEN).")
    parser.add_argument("--private", type=bool, default=False, help="Create the Hub repository as private.")
    given: Namespace = parser.parse_args()
    show_progress_lines()
    print(f"export: {run(ExportConfig(given.run, given.to, given.private))}")


if __name__ == "__main__":
    run_command(PROGRAM, main)
