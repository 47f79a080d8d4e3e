"""The report of a ladder: `report.md`, and its pictures as SVG."""

from collections.abc import Sequence
from typing import Any

from configs.run_folder import RunFolder, write_atomically
from finetune.comparison.analysis.words import amount, bounds, percent, plain, short_duration
from finetune.comparison.compared_score import score_name
from finetune.comparison.report import FIGURES
from finetune.comparison.reporting.page import figure_file
from finetune.comparison.reporting.tables import Cell, Table, markdown_table, markdown_text
from finetune.ladders.config import LadderConfig
from finetune.ladders.figure import figures
from finetune.ladders.forecast import Finished, Forecast
from finetune.ladders.words import method, sentences, times_text, tokens_text


def write(folder: RunFolder, config: LadderConfig, found: Forecast, finished: Sequence[Finished]) -> dict[str, Any]:
    """Write the report to a ladder's folder; returns its sentences and commands for `result.json`."""
    told = sentences(found)
    commands = [cell.command for one in finished for cell in one.cells]
    (folder.path / FIGURES).mkdir(exist_ok=True)
    drawn = figures(found)
    for figure in drawn:
        write_atomically(folder.path / FIGURES / f"{figure.name}.svg", figure_file(figure))
    parts = [
        "# How far would more pretraining help?",
        f"Ladder “{markdown_text(config.name)}”: {markdown_text(plain(found.model))} at {found.label_budget:,} labels.",
        "\n".join(f"- {markdown_text(sentence)}" for sentence in told),
        *(f"![{markdown_text(figure.title)}]({FIGURES}/{figure.name}.svg)" for figure in drawn),
        drawn[0].caption,
        markdown_table(_rung_table(found)),
        markdown_table(_horizon_table(found)),
        "## How this was measured",
        "\n".join(f"- {markdown_text(sentence)}" for sentence in method(found)),
    ]
    write_atomically(folder.path / "report.md", "\n\n".join(parts) + "\n")
    return {"sentences": told, "commands": commands}


def _rung_table(found: Forecast) -> Table:
    rows = [
        [
            f"{rung.step_share:g}",
            "all" if rung.documents is None else f"{rung.documents:,}",
            tokens_text(rung.tokens),
            short_duration(rung.seconds),
            "–" if rung.loss is None else f"{rung.loss:.3f}",
            f"{percent(rung.score.estimate)} {bounds(rung.score)}",
        ]
        for rung in found.rungs
    ]
    headings = [
        "share of the duration",
        "documents",
        "tokens",
        "time",
        "held-out loss",
        f"{score_name(found.score)}, %",
    ]
    note = "The loss on fewer documents is of other held-out ones." if found.text_effects else ""
    return Table("rungs", "The rungs", headings, [[Cell(text) for text in row] for row in rows], [], note=note)


def _horizon_table(found: Forecast) -> Table:
    rows = [
        [
            times_text(horizon.times),
            tokens_text(horizon.tokens),
            short_duration(horizon.seconds),
            "–"
            if horizon.loss is None
            else f"{horizon.loss.estimate:.3f} [{horizon.loss.low:.3f}, {horizon.loss.high:.3f}]",
            f"{percent(horizon.score.estimate)} {bounds(horizon.score)}",
            amount(horizon.gain),
        ]
        for horizon in found.horizons
    ]
    headings = ["pretraining", "tokens", "time", "held-out loss", f"{score_name(found.score)}, %", "gain, points"]
    note = "Gains are over the curve at the longest rung."
    return Table(
        "horizons", "What the curve predicts", headings, [[Cell(text) for text in row] for row in rows], [], note=note
    )
