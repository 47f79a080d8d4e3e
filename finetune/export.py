"""`python -m finetune.export RUN --to FOLDER`, or `--to hub:owner/name`: export a finished run's model."""

import dataclasses
import logging
import shutil
import tempfile
from pathlib import Path

from jsonargparse import Namespace

from configs.command_line import CommandLine
from configs.errors import InputError, run_command
from configs.run_folder import RunFolder
from configs.terminal import show_progress_lines
from finetune.publishing import hub
from finetune.publishing.card import model_card

log = logging.getLogger("finetune.export")

PROGRAM = "python -m finetune.export"
HUB = "hub:"


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """Copy a run's model and a model card to a folder or to the Hub."""

    run: str
    """The folder of a finished pretraining or fine-tuning run."""
    to: str
    """A new or empty folder, or `hub:owner/name`; the Hub token is read from HF_TOKEN only."""
    private: bool = False
    """Create the Hub repository as private, if it does not exist yet."""
    update: bool = False
    """Change a Hub repository that holds files: replace, and remove what an earlier model left; all else is kept."""
    onnx: bool = False
    """Write a classifier as ONNX, too, in floats and in 8 bits, for onnxruntime and browsers; checked against torch."""


def run(config: ExportConfig) -> str:
    """Export; returns the folder, or the URL of the commit.

    Raises:
        InputError: the run is unfinished or has no model, the folder is not empty, or the upload failed.
    """
    folder = RunFolder(Path(config.run))
    result = folder.result()
    if not (folder.model / "config.json").is_file():
        raise InputError(f"{folder.path} has no model/ to export (transformers loads no bag-of-words model)")
    card, target = model_card(folder, result), Path(config.to)
    if config.to.startswith(HUB):
        with tempfile.TemporaryDirectory(prefix="bertlet-export-") as staging:
            write(config, folder, Path(staging))
            return hub.publish(Path(staging), card, config.to.removeprefix(HUB), config.private, config.update)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"--to {target}: exists and is not an empty folder")
    is_new = not target.exists()
    try:
        write(config, folder, target)
    except InputError:
        shutil.rmtree(target)
        if not is_new:
            target.mkdir()
        raise
    (target / "README.md").write_text(card, encoding="utf-8")
    return str(target)


def write(config: ExportConfig, folder: RunFolder, target: Path) -> None:
    """Copy a run's model to a folder that is empty or missing.

    Raises:
        InputError: it cannot be written as ONNX.
    """
    shutil.copytree(folder.model, target, dirs_exist_ok=True)
    if config.onnx:
        from finetune.publishing.check_texts import VALIDATION_TEXTS, validation_texts
        from finetune.publishing.onnx import export_onnx

        log.info("export: onnx: %s", export_onnx(target, validation_texts(folder, VALIDATION_TEXTS)))


def main() -> None:
    """Parse the command line, then export."""
    parser = CommandLine(PROGRAM, description=(ExportConfig.__doc__ or "").strip())
    parser.add_argument("run", type=str, metavar="RUN", help="A finished run's folder.")
    parser.add_argument("--to", type=str, required=True, help="A new folder, or hub:owner/name (token: HF_TOKEN).")
    parser.add_argument("--private", action="store_true", help="Create the Hub repository as private.")
    parser.add_argument(
        "--update", action="store_true",
        help="Change a Hub repository that holds files; without it, what would change is listed.",
    )  # fmt: skip
    parser.add_argument(
        "--onnx", action="store_true",
        help="Write a classifier as ONNX, too, in floats and in 8 bits, for onnxruntime and browsers.",
    )  # fmt: skip
    options: Namespace = parser.parse_args()
    show_progress_lines()
    config = ExportConfig(options.run, options.to, options.private, options["update"], options.onnx)
    print(f"export: {run(config)}")


if __name__ == "__main__":
    run_command(PROGRAM, main)
