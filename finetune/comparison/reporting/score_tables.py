"""The tables of scores, gains and worths."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

from finetune.comparison.analysis.words import amount, bounds, more_labels, percent
from finetune.comparison.compared_score import score_name
from finetune.comparison.intervals import Interval
from finetune.comparison.reporting.tables import Cell, Record, Table
from finetune.comparison.scores import Comparison, Score
from finetune.comparison.verdict import points

NOTE = (
    "Spread: the standard deviation over the runs. Failed: runs that are not shown to be better than one answer for "
    "all texts."
)


class Column(NamedTuple):
    """A column of the table of scores."""

    title: str
    cell: Callable[[Score], str]
    order: Callable[[Score], float | None] | None = None
    """What sorting by this column compares; None compares the texts."""


def columns(comparison: Comparison) -> list[Column]:
    """The columns of the table of scores; a new column is a new entry here.

    Args:
        comparison: the scores.
    """

    def difference(score: Score) -> str:
        if score.difference is not None:
            return amount(score.difference)
        return "is that" if comparison.best_unpretrained.get(score.label_budget) == score.model else "–"

    return [
        Column("model", lambda score: score.model),
        Column(
            f"{score_name(comparison.score)}, %",
            lambda score: percent(score.accuracy.estimate),
            lambda score: score.accuracy.estimate,
        ),
        Column(
            f"{100 * comparison.confidence:g} % interval",
            lambda score: bounds(score.accuracy),
            lambda score: score.accuracy.low,
        ),
        Column(
            "vs best unpretrained, points",
            difference,
            lambda score: 0.0 if score.difference is None else score.difference.estimate,
        ),
        Column(
            "failed",
            lambda score: f"{score.failed_runs} of {len(score.accuracies)}" if score.failed_runs else "–",
            lambda score: score.failed_runs,
        ),
        Column("spread, points", lambda score: percent(score.spread), lambda score: score.spread),
        *(
            []
            if comparison.score == "macro_f1"
            else [Column("macro-F1, %", lambda score: percent(score.macro_f1), lambda score: score.macro_f1)]
        ),
        *(
            Column(
                f"{score_name(name)}, %",
                lambda score, name=name: percent(score.others[name]),
                lambda score, name=name: score.others[name],
            )
            for name in comparison.scores[0].others
        ),
        # Zero is added to what is rounded, as a zero may have a sign.
        Column("Matthews", lambda score: f"{round(score.matthews, 3) + 0.0:.3f}", lambda score: score.matthews),
        Column(
            "calibration error, points",
            lambda score: "–" if score.calibration_error is None else percent(score.calibration_error),
            lambda score: score.calibration_error,
        ),
    ]


def score_tables(comparison: Comparison, shown: Sequence[Column]) -> list[Table]:
    """The scores of each label budget, the best first."""
    tables = []
    for budget in sorted({score.label_budget for score in comparison.scores}):
        scores = sorted(
            (score for score in comparison.scores if score.label_budget == budget),
            key=lambda score: -score.accuracy.estimate,
        )
        rows = [
            [Cell(column.cell(score), None if column.order is None else column.order(score)) for column in shown]
            for score in scores
        ]
        tables.append(
            Table(
                "scores",
                f"{budget:,} labels",
                [column.title for column in shown],
                rows,
                [score_record(score, comparison.score) for score in scores],
                frozenset({0}),
                note=NOTE,
            )
        )
    return tables


def score_record(score: Score, compared: str) -> Record:
    """A row of the table of scores in numbers; the estimate, its interval and the differences are of `compared`."""
    record: Record = {
        "model": score.model,
        "label_budget": score.label_budget,
        "family": score.family,
        "pretrained": score.pretrained,
        "score": compared,
        **interval_record("", score.accuracy),
        **interval_record("difference_", score.difference),
        "spread": score.spread,
        "runs": len(score.accuracies),
        "failed_runs": score.failed_runs,
        "macro_f1": score.macro_f1,
        **score.others,
        "matthews": score.matthews,
        f"validation_{compared}": score.validation_accuracy,
        "validation_texts": score.validation_texts,
        "calibration_error": score.calibration_error,
        "parameters": score.parameters,
        "seconds": score.seconds,
    }
    return record


def interval_record(prefix: str, interval: Interval | None) -> Record:
    """An interval as columns.

    >>> interval_record("gain_", Interval(0.1, 0.05, 0.15))
    {'gain_estimate': 0.1, 'gain_low': 0.05, 'gain_high': 0.15}
    """
    ends = (None,) * 3 if interval is None else (interval.estimate, interval.low, interval.high)
    return dict(zip((f"{prefix}estimate", f"{prefix}low", f"{prefix}high"), ends, strict=True))


def worth_table(comparison: Comparison) -> Table | None:
    """What pretraining is worth in labels; None with one label budget or no verdict."""
    if not comparison.worths:
        return None
    rows = [
        [
            Cell(worth.model),
            Cell(f"{worth.label_budget:,}", worth.label_budget),
            Cell(more_labels(worth.estimate, worth), float("inf") if worth.estimate is None else worth.estimate),
            Cell(f"[{more_labels(worth.low, worth)}, {more_labels(worth.high, worth)}]", worth.low),
        ]
        for worth in comparison.worths
    ]
    records: list[Record] = [dataclasses.asdict(worth) for worth in comparison.worths]
    return Table(
        "worth",
        "Labels that the best models without pretraining need to do as well",
        ["model", "labels it has", "more labels they need", f"{100 * comparison.confidence:g} % interval"],
        rows,
        records,
        note="“Beyond” means that they do not do as well with the largest number of labels compared.",
    )


def gain_table(comparison: Comparison) -> Table | None:
    """Pretrained models against themselves from scratch; None if there are none."""
    if not comparison.gains:
        return None
    rows = [
        [
            Cell(gain.model),
            Cell(f"{gain.label_budget:,}", gain.label_budget),
            Cell(points(gain.difference.estimate), gain.difference.estimate),
            Cell(f"[{points(gain.difference.low)}, {points(gain.difference.high)}]", gain.difference.low),
        ]
        for gain in comparison.gains
    ]
    records: list[Record] = [
        {"model": gain.model, "label_budget": gain.label_budget, **interval_record("", gain.difference)}
        for gain in comparison.gains
    ]
    return Table(
        "gains",
        "Against the same model from scratch",
        ["model", "labels", "pretraining's gain, points", f"{100 * comparison.confidence:g} % interval"],
        rows,
        records,
    )
