"""`python -m finetune.export RUN --to FOLDER`, or `--to hub:owner/name`: export a finished run's model."""

import contextlib
import dataclasses
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from configs.command_line import CommandLine
from configs.errors import InputError, advice_if_interrupted, run_command
from configs.run_folder import RunFolder
from configs.terminal import show_progress_lines

if TYPE_CHECKING:
    from finetune.publishing.model_folder import Exported

log = logging.getLogger("finetune.export")

PROGRAM = "python -m finetune.export"
HUB = "hub:"
# Flags that mean `true` where nothing follows them.
SWITCHES = ("--private", "--update", "--dry_run", "--onnx")


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """Copy a run's model and a model card to a folder or to the Hub."""

    run: str
    """The folder of a finished pretraining or fine-tuning run."""
    to: str
    """A new or empty folder, or `hub:owner/name` (with the token of HF_TOKEN or of `hf auth login`)."""
    private: bool = False
    """Create the Hub repository as private, if it does not exist yet."""
    update: bool = False
    """Change a Hub repository that holds files: replace, and remove what an earlier model left; all else is kept.
    Without it, what would change is listed."""
    revision: str | None = None
    """The branch of the Hub repository, made if it is missing; null: main."""
    dry_run: bool = False
    """List what would go to the Hub, with sizes and SHA-256 sums, and ask nothing of it."""
    onnx: bool = False
    """Write a classifier as ONNX, too, in floats and in 8 bits, for onnxruntime and browsers; checked against torch."""
    check: bool = True
    """Load the export in a fresh process with transformers alone, and compare its answers with those of the run."""
    calibrate: bool = True
    """Fold the temperature of a classifier into its output layer, so that its probabilities are calibrated anywhere."""
    license: str | None = None
    """The licence, as the Hub calls it, such as apache-2.0, cc-by-4.0 or other; null: the card states none."""
    language: list[str] = dataclasses.field(default_factory=list)
    """The languages of the texts, as ISO 639 codes, such as [en]; none: the card states none."""
    datasets: list[str] = dataclasses.field(default_factory=list)
    """Hub ids of the data sets, beside those that the run has read from the Hub."""
    base_model: str | None = None
    """The Hub id of the checkpoint it was trained from; null: that which the run has read from the Hub, if any."""
    examples: list[str] = dataclasses.field(default_factory=list)
    """Texts of your own to try the model with on its page; texts of the data are never shown."""
    comparison: str | None = None
    """The folder of a comparison, whose table and verdict go into the card."""


def run(config: ExportConfig) -> str:
    """Export; returns the folder, the URL of the commit, or the list of what would go.

    Raises:
        InputError: the run is unfinished or has no model, the folder is not empty, the exported model is another than
            the run's, or the upload failed.
        RunError: what the Hub holds after the upload is not what was sent.
    """
    from finetune.publishing import hub

    if not config.to.startswith(HUB):
        for name in ("private", "update", "revision", "dry_run"):
            if getattr(config, name):
                raise InputError(f"--{name} is about the Hub; give --to hub:owner/name, or leave it out")
        target = Path(config.to).resolve()
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise InputError(f"--to {config.to}: exists and is not an empty folder")
        with _beside(target) as staging:
            write(config, staging, ".")
            _put(staging, target)
        return config.to
    destination = hub.Destination(config.to.removeprefix(HUB), config.revision, config.private, config.update)
    with tempfile.TemporaryDirectory(prefix="bertlet-export-") as name:
        write(config, Path(name), destination.repository)
        if config.dry_run:
            return hub.preview(Path(name), destination)
        return hub.publish(Path(name), destination)


def write(config: ExportConfig, folder: Path, reference: str) -> None:
    """Write the model and its card to an empty folder.

    Args:
        config: of the export.
        folder: an empty folder.
        reference: what the card's code loads.

    Raises:
        InputError: as `run`.
    """
    from finetune.publishing import onnx
    from finetune.publishing.card import CardOptions, comparison, model_card
    from finetune.publishing.check_texts import VALIDATION_TEXTS, validation_texts
    from finetune.publishing.kinds import Kind, uses_own_code
    from finetune.publishing.metadata import Statements
    from finetune.publishing.model_folder import write_model
    from finetune.publishing.upload_files import CARD

    statements = Statements(config.license, config.language, config.datasets, config.base_model, config.examples)
    run_folder = RunFolder(Path(config.run))
    result = run_folder.result()
    if config.comparison is not None:
        # The card comes last; a folder that is none is told first.
        comparison(config.comparison)
    kind = Kind.of(run_folder, result)
    if config.onnx:
        onnx.check_exportable(config.run, kind)
    exported = write_model(run_folder, result, kind, folder, config.calibrate, config.check)
    if config.onnx:
        try:
            checked = onnx.export_onnx(folder, validation_texts(run_folder, VALIDATION_TEXTS))
        except InputError as error:
            # The folder is a temporary one.
            raise InputError(str(error).replace(str(folder), config.run)) from None
        log.info("export: onnx: %s", checked)
    options = CardOptions(
        statements, reference, config.revision, exported.temperature, uses_own_code(folder), config.comparison
    )
    (folder / CARD).write_text(model_card(run_folder, result, options), encoding="utf-8")
    for line in remarks(config, exported, is_classifier="labels" in result):
        log.info("export: %s", line)


def remarks(config: ExportConfig, exported: "Exported", is_classifier: bool) -> list[str]:
    """What a user should know of an export."""
    temperature, lines = exported.temperature, []
    if temperature is not None:
        lines.append(f"calibrated: the temperature {temperature:.3f} is folded into the output layer")
    elif is_classifier:
        reason = "the run has none" if config.calibrate else "--calibrate false"
        lines.append(f"not calibrated: no temperature is folded in ({reason}); the card says so")
    if exported.checked is None:
        lines.append("not checked: --check false")
    else:
        lines.append(f"checked: {exported.checked}, it gives the run's own answers")
    if config.license is None:
        lines.append("the card states no licence; give --license, such as apache-2.0 or other")
    return lines


@contextlib.contextmanager
def _beside(target: Path) -> Generator[Path]:
    """A folder to be renamed to `target`, on the same disk; it is gone if anything fails."""
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _put(staging: Path, target: Path) -> None:
    """Give a finished folder its name.

    Raises:
        InputError: something was put there in the meantime, or the place cannot be replaced.
    """
    # A temporary folder, and weights as they are written, are for their owner alone; these are as any other files.
    mask = os.umask(0)
    os.umask(mask)
    for path in (staging, *staging.rglob("*")):
        path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)
    try:
        if target.is_dir():
            target.rmdir()
        staging.rename(target)
    except OSError as error:
        raise InputError(
            f"--to {target}: cannot be written ({error.strerror}); give a folder that does not exist"
        ) from None


def switched(arguments: Sequence[str]) -> list[str]:
    """The command line with `true` after each switch that stands alone.

    >>> switched(["RUN", "--private", "--to", "x", "--dry_run", "false", "--update"])
    ['RUN', '--private=true', '--to', 'x', '--dry_run', 'false', '--update=true']
    """
    following = [*arguments[1:], ""]
    return [
        f"{word}=true" if word in SWITCHES and after.lower() not in ("true", "false") else word
        for word, after in zip(arguments, following, strict=True)
    ]


def main() -> None:
    """Parse the command line, then export."""
    parser = CommandLine(PROGRAM, description=(ExportConfig.__doc__ or "").strip())
    parser.add_argument("run", type=str, metavar="RUN", help="A finished run's folder.")
    parser.add_class_arguments(ExportConfig, skip={"run"})
    options: Namespace = parser.parse_args(switched(sys.argv[1:]))
    show_progress_lines()
    with advice_if_interrupted("an export is there whole or not at all; run the same command again"):
        print(f"export: {run(ExportConfig(**options.as_dict()))}")


if __name__ == "__main__":
    run_command(PROGRAM, main)
