"""The report of a comparison: `report.html`, `report.md`, a CSV file for every table, an SVG file for every figure.

Reads run folders only.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from configs.run_folder import RunFolder, write_atomically
from finetune.comparison.analysis.words import percent
from finetune.comparison.config import CompareConfig
from finetune.comparison.grid import Failure
from finetune.comparison.reporting.build import sections_of
from finetune.comparison.reporting.content import Findings, decisions_of, report_of
from finetune.comparison.reporting.markdown import markdown
from finetune.comparison.reporting.page import figure_file, page
from finetune.comparison.reporting.score_tables import Column, columns
from finetune.comparison.reporting.settings_table import settings_section
from finetune.comparison.reporting.tables import csv_text
from finetune.comparison.reporting.tuning_table import failed_lines, tuning_sections
from finetune.comparison.scores import Comparison, Run
from finetune.comparison.tuning import Tuned

__all__ = ["Column", "columns", "percent", "write"]

# Folders of the comparison's run folder.
TABLES, FIGURES = "tables", "figures"


def write(
    folder: RunFolder,
    config: CompareConfig,
    comparison: Comparison,
    runs: Sequence[Run],
    stages: Mapping[str, RunFolder],
    tuned: Sequence[Tuned] = (),
    failures: Sequence[Failure] = (),
) -> dict[str, Any]:
    """Write the report to a comparison's folder; returns the content of `result.json`.

    Args:
        folder: the run folder of the comparison.
        config: the comparison's config.
        comparison: the scores, gains and verdicts.
        runs: the fine-tuning runs of the comparison.
        stages: the pretraining runs that models started from, by their keys in the config.
        tuned: the trials of equal tuning.
        failures: runs that failed, whose models are left out.
    """
    findings = Findings.of(comparison, runs, stages, config.quoted_texts)
    decisions, steps = decisions_of(findings)
    sections = [
        *sections_of(findings, decisions, steps, columns(comparison)),
        settings_section(config, runs),
        *tuning_sections(tuned),
    ]
    report = report_of(config.name, findings, sections, decisions)
    report = dataclasses.replace(report, problems=[*failed_lines(failures), *report.problems])
    for part in (TABLES, FIGURES):
        (folder.path / part).mkdir(exist_ok=True)
    for name, records in report.tables().items():
        write_atomically(folder.path / TABLES / f"{name}.csv", csv_text(records))
    for figure in (report.figure, *(figure for section in sections for figure in section.figures)):
        write_atomically(folder.path / FIGURES / f"{figure.name}.svg", figure_file(figure))
    write_atomically(folder.path / "report.md", markdown(report))
    # Last, as its presence means that the report is written.
    write_atomically(folder.path / "report.html", page(report))
    return dataclasses.asdict(comparison) | report.record()
