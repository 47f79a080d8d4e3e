"""`python -m finetune.demo RUN… [--to FOLDER] [--serve true]`: a page to try finished models in a browser.

The page is a folder of static files: the models answer in the visitor's browser, side by side, while a text is typed,
and no text leaves it. The folder is published as it is, for example as a static Space.
"""

import dataclasses
import logging
from pathlib import Path

from jsonargparse import Namespace

from configs.command_line import CommandLine
from configs.errors import advice_if_interrupted, run_command
from configs.terminal import show_progress_lines

log = logging.getLogger("finetune.demo")

PROGRAM = "python -m finetune.demo"


@dataclasses.dataclass(frozen=True)
class DemoConfig:
    """Make a page on which finished models answer side by side, in the visitor's browser."""

    models: list[str]
    """Folders of finished fine-tuning runs, one to six, with the same labels."""
    to: str | None = None
    """The folder of the page: new, empty, or that of a page, whose files are replaced; null: one below `runs`."""
    serve: bool = False
    """Serve the page on this machine until Ctrl-C."""
    port: int = 8001
    """Of the server; 0 takes a free one."""
    title: str | None = None
    """The page's title; null: the names of the runs."""
    examples: list[str] = dataclasses.field(default_factory=list)
    """Texts to click; without, a few short reviews that were made up."""
    quantized: bool = False
    """Take the weights in 8 bits: a third of the size or less, and scores that differ a little."""
    runs: str = "runs"
    """The parent folder of pages without `to`, and of what npm fetches for them."""


def run(config: DemoConfig) -> Path:
    """Make the page, unless it is there already; returns its folder.

    Raises:
        InputError: a run is unfinished, has other labels or no model; the folder holds something else; npm failed.
    """
    from finetune.page.site import Page, build

    page = Page.of(config.models, config.title, config.examples, config.quantized)
    target = Path(config.to) if config.to is not None else Path(config.runs) / "page" / page.digest
    return build(page, target, Path(config.runs))


def serve(folder: Path, port: int) -> None:
    """Serve a page until Ctrl-C.

    Raises:
        InputError: the port is taken.
    """
    from finetune.page.server import server

    with server(folder, port) as serving:
        host, actual = serving.server_address[:2]
        print(f"page: http://{host}:{actual}/ (end: Ctrl-C)", flush=True)
        try:
            serving.serve_forever()
        except KeyboardInterrupt:
            log.info("demo: ended")


def main() -> None:
    """Parse the command line, make the page, and serve it if asked to."""
    parser = CommandLine(PROGRAM, description=(DemoConfig.__doc__ or "").strip())
    parser.add_argument("models", type=str, nargs="+", metavar="RUN", help="Finished fine-tuning runs, one to six.")
    parser.add_class_arguments(DemoConfig, skip={"models"})
    options: Namespace = parser.parse_args()
    show_progress_lines()
    config = DemoConfig(**options.as_dict())
    with advice_if_interrupted("a page is there whole or not at all; run the same command again"):
        folder = run(config)
    print(f"page: {folder}", flush=True)
    if config.serve:
        serve(folder, config.port)


if __name__ == "__main__":
    run_command(PROGRAM, main)
