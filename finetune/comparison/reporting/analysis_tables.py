"""The tables of what the answers and costs tell beyond the scores."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from finetune.classification.calibration import BINS
from finetune.comparison.analysis.answers import Answers
from finetune.comparison.analysis.classes import Reliability, class_scores, confusion
from finetune.comparison.analysis.costs import Cost
from finetune.comparison.analysis.decision import Step
from finetune.comparison.analysis.disagreement import PairedTest
from finetune.comparison.analysis.headline import Pair
from finetune.comparison.analysis.slices import SliceScore
from finetune.comparison.analysis.words import amount, p_value, percent, short_duration
from finetune.comparison.intervals import Interval
from finetune.comparison.reporting.score_tables import interval_record
from finetune.comparison.reporting.tables import Cell, Record, Table

# A matrix of more classes does not fit a page; of more, only the most frequent confusions are told.
MATRIX_CLASSES = 12
MOST_CONFUSIONS = 20
SHADES = 9


def _number(value: float | None, text: str) -> Cell:
    return Cell("–" if value is None else text.format(value), value)


class CostColumn(NamedTuple):
    """A column of the table of costs."""

    heading: str
    form: str
    value: Callable[[Cost], float | None]


COSTS = (
    CostColumn("texts a second, tested", "{:,.0f}", lambda cost: cost.texts_per_second),
    CostColumn("one text alone, ms", "{:,.1f}", lambda cost: cost.latency_seconds and 1000 * cost.latency_seconds),
    CostColumn("tokens a second, trained", "{:,.0f}", lambda cost: cost.tokens_per_second),
    CostColumn("parameters", "{:,.0f}", lambda cost: cost.parameters),
    CostColumn("weights, MB", "{:,.1f}", lambda cost: cost.weights_megabytes),
    CostColumn("memory of a run, MB", "{:,.0f}", lambda cost: cost.memory_megabytes),
    CostColumn("joules of a run", "{:,.0f}", lambda cost: cost.joules),
)
TIMES = (
    "Times are of the machine that the runs were made on, several of them at a time; of training, without reading "
    "texts and testing. Trials of tuning are not in them. A text alone is timed from its tokens on; counting words has "
    "to find these, too. Memory is the peak of the process that made the run, with what it kept of runs before."
)
JOULES = " Joules are of the whole processor while a run was made, with all else that ran on it."


def cost_table(costs: Sequence[Cost], budget: int, score: str, folded: bool = False) -> Table:
    """What each model cost at a label budget, the cheapest first."""
    ordered = sorted(costs, key=lambda cost: (cost.total_seconds is None, cost.total_seconds or 0.0))
    # What no run of any model tells has no column.
    shown = [row for row in COSTS if any(row.value(cost) is not None for cost in costs)]
    rows, records = [], []
    for cost in ordered:
        front = "yes" if cost.on_front else "if pretraining is shared" if cost.on_shared_front else "no"
        pretraining = cost.pretraining_seconds
        # A time with pretraining has the unit of pretraining.
        times = [(pretraining, None), (cost.training_seconds, None), (cost.total_seconds, pretraining)]
        rows.append(
            [
                Cell(cost.model),
                Cell(percent(cost.score), cost.score),
                *(
                    Cell("unknown" if value is None else short_duration(value, like) if value else "–", value)
                    for value, like in times
                ),
                Cell(front),
                *(_number(row.value(cost), row.form) for row in shown),
            ]
        )
        records.append({**cost._asdict(), "total_seconds": cost.total_seconds})
    return Table(
        "costs",
        f"What it costs, with {budget:,} labels",
        [
            "model", f"{score}, %", "pretraining, once", "one training run", "both", "on the Pareto front",
            *(row.heading for row in shown),
        ],
        rows,
        records,
        note=TIMES + (JOULES if any(cost.joules for cost in costs) else ""),
        folded=folded,
    )  # fmt: skip


def decision_table(steps: Sequence[Step], confidence: float) -> Table | None:
    """What was gained from more labels, or longer pretraining; None if nothing was measured."""
    if not steps:
        return None
    rows, records = [], []
    for step, (larger, gain) in ((one, reached) for one in steps for reached in one.gains):
        # What a point takes is read off all gains of a step, and told beside the last.
        more, least, most = step.more
        shown = step.shown and larger == step.larger
        point = f"{more:,.0f} {step.unit}" if shown and more < 1e9 else "not shown" if larger == step.larger else ""
        rows.append(
            [
                Cell(step.model),
                Cell(f"{step.label_budget:,}", step.label_budget),
                Cell(f"{step.smaller:,.0f} to {larger:,.0f} {step.unit}", larger),
                Cell(amount(gain), gain.estimate),
                Cell(point, more if shown else None),
            ]
        )
        records.append(
            {
                "model": step.model,
                "label_budget": step.label_budget,
                "unit": step.unit,
                "smaller": step.smaller,
                "larger": larger,
                **interval_record("gain_", gain),
                "more_for_a_point": more if shown else None,
                "least": least if shown else None,
                "most": most if shown and np.isfinite(most) else None,
            }
        )
    return Table(
        "decision",
        "What a further point takes",
        ["model", "at labels", "measured from", f"gain, points [{100 * confidence:g} %]", "more for a point"],
        rows,
        records,
    )


def slice_table(
    scores: Sequence[SliceScore], pair: Pair | None, differences: Mapping[tuple[str, str], Interval], budget: int
) -> Table | None:
    """The accuracy of every model on every slice; None without texts.

    Args:
        scores: of models and slices.
        pair: two models whose difference is told; None if there is one model.
        differences: of the pair, by group and name of the slice.
        budget: of labels.
    """
    if not scores:
        return None
    models = list(dict.fromkeys(score.model for score in scores))
    rows: list[list[Cell]] = []
    parts = list(dict.fromkeys((score.part.group, score.part.name) for score in scores))
    by_cell = {(score.part.group, score.part.name, score.model): score for score in scores}
    for group, name in parts:
        cells = [by_cell[group, name, model] for model in models]
        texts = int(cells[0].part.members_N.sum())
        row = [Cell(name), Cell(f"{texts:,}", texts)]
        row += [Cell(percent(cell.accuracy.estimate), cell.accuracy.estimate) for cell in cells]
        if pair is not None:
            difference = differences[group, name]
            row.append(Cell(amount(difference), difference.estimate))
        rows.append(row)
    records: list[Record] = []
    for score in scores:
        # The difference stands in the row of the first of the two.
        is_first = pair is not None and score.model == pair.model
        records.append(
            {
                "group": score.part.group,
                "slice": score.part.name,
                "texts": int(score.part.members_N.sum()),
                "model": score.model,
                **interval_record("", score.accuracy),
                "rival": pair.rival if pair is not None and is_first else None,
                **interval_record("difference_", differences[score.part.group, score.part.name] if is_first else None),
            }
        )
    return Table(
        "slices",
        f"Right texts by slice, %, with {budget:,} labels",
        ["slice", "texts", *models, *([] if pair is None else [f"{pair.model} – {pair.rival}, points"])],
        rows,
        records,
    )


def paired_test_table(tests: Sequence[PairedTest]) -> Table | None:
    """Exact tests of single runs; None if there is no pair."""
    if not tests:
        return None
    rows = []
    for test in tests:
        seed = (
            f"{test.seed}" if test.pretraining_seed is None else f"{test.seed} of pretraining {test.pretraining_seed}"
        )
        rows.append(
            [
                Cell(test.model),
                Cell(test.rival),
                Cell(f"{test.label_budget:,}", test.label_budget),
                Cell(seed, test.seed),
                Cell(f"{test.only_model_right:,}", test.only_model_right),
                Cell(f"{test.only_rival_right:,}", test.only_rival_right),
                Cell(p_value(test.p_value), test.p_value),
            ]
        )
    return Table(
        "paired-tests",
        "Single runs against each other",
        ["model", "rival", "labels", "seed", "only the model is right", "only the rival", "McNemar, exact"],
        rows,
        [test._asdict() for test in tests],
        note="Each compares one run with one run, so it says nothing of other seeds; the verdict does. The two models "
        "are those that the top of the report is about, which may be others at another number of labels.",
        folded=True,
    )


def class_table(answers: Mapping[str, Answers], budget: int) -> Table:
    """Precision, recall and F1 of every class, by model."""
    rows: list[list[Cell]] = []
    records: list[Record] = []
    for model, one in answers.items():
        for found in class_scores(one):
            shares = found.precision, found.recall, found.f1
            rows.append(
                [
                    Cell(model),
                    Cell(found.name),
                    Cell(f"{found.texts:,}", found.texts),
                    *(Cell(percent(share), share) for share in shares),
                ]
            )
            records.append({"model": model, **found._asdict()})
    return Table(
        "classes",
        f"By class, with {budget:,} labels",
        ["model", "class", "texts", "precision, %", "recall, %", "F1, %"],
        rows,
        records,
    )


def confusion_tables(answers: Mapping[str, Answers], budget: int) -> list[Table]:
    """What each model takes for what, a matrix for each model or, of many classes, the most frequent confusions."""
    tables = []
    for model, one in answers.items():
        matrix, names = confusion(one), one.classes
        records: list[Record] = [
            {"model": model, "true": true, "predicted": predicted, "texts": float(matrix[row, column])}
            for row, true in enumerate(names)
            for column, predicted in enumerate(names)
        ]
        caption = f"{model}, {budget:,} labels: texts of a class (rows) by answer (columns), mean over the runs"
        if len(names) <= MATRIX_CLASSES:
            shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
            rows = [
                [
                    Cell(true),
                    *(
                        Cell(f"{matrix[row, column]:,.1f}", matrix[row, column], round(SHADES * shares[row, column]))
                        for column in range(len(names))
                    ),
                ]
                for row, true in enumerate(names)
            ]
            tables.append(Table("confusion", caption, ["class", *(f"→ {name}" for name in names)], rows, records))
            continue
        off = [
            (float(matrix[i, j]), names[i], names[j]) for i in range(len(names)) for j in range(len(names)) if i != j
        ]
        worst = sorted(off, key=lambda entry: -entry[0])[:MOST_CONFUSIONS]
        rows = [[Cell(true), Cell(told), Cell(f"{texts:,.1f}", texts)] for texts, true, told in worst if texts > 0]
        caption = f"{model}, {budget:,} labels: the most frequent confusions, mean over the runs"
        tables.append(Table("confusion", caption, ["class", "taken for", "texts"], rows, records))
    return tables


def reliability_table(found: Mapping[str, Reliability], budget: int) -> Table:
    """Confidence against accuracy by bin."""
    rows, records = [], []
    for model, one in found.items():
        for part in one.bins:
            rows.append(
                [
                    Cell(model),
                    Cell(f"{100 * part.low:.0f}–{100 * part.high:.0f}", part.low),
                    Cell(f"{part.answers:,}", part.answers),
                    Cell(percent(part.confidence), part.confidence),
                    Cell(percent(part.accuracy), part.accuracy),
                ]
            )
            records.append({"model": model, **part._asdict()})
    return Table(
        "reliability",
        f"Confidence against accuracy, with {budget:,} labels",
        ["model", "confidence, %", "answers", "mean confidence, %", "right, %"],
        rows,
        records,
        note="Answers of all runs together, by confidence; bins without answers are left out.",
        folded=True,
    )


def calibration_table(found: Mapping[str, Reliability], budget: int) -> Table:
    """How far confidence is from accuracy, in one number a model."""
    return Table(
        "calibration",
        f"In one number, with {budget:,} labels",
        ["model", "calibration error, points", "Brier score"],
        [
            [
                Cell(model),
                Cell(percent(one.calibration_error), one.calibration_error),
                Cell(f"{one.brier:.3f}", one.brier),
            ]
            for model, one in found.items()
        ],
        [
            {"model": model, "calibration_error": one.calibration_error, "brier": one.brier}
            for model, one in found.items()
        ],
        note=f"Calibration error: the mean distance of confidence and accuracy in {BINS} bins of confidence (ECE). "
        "Brier score: the mean squared distance of the probabilities from the truth. Both are means over the runs; "
        "less is better for both.",
    )
