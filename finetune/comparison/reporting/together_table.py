"""What two models have together: a sentence and a table."""

from collections.abc import Sequence

from finetune.comparison.analysis.together import Together
from finetune.comparison.analysis.words import amount, bounds, listed, percent
from finetune.comparison.reporting.score_tables import interval_record
from finetune.comparison.reporting.tables import Cell, Table

NOTE = (
    "A run of each with the same seed, and so the same labels; probabilities are calibrated where a run knows its "
    "temperature. Both have to be run on each text. “Ahead of both” allows for all differences of this table (Holm)."
)


def together_sentence(found: Sequence[Together]) -> str | None:
    """Whether two models together are ahead of both alone; None if that is not known.

    >>> from finetune.comparison.intervals import Interval
    >>> some = Interval(0.01, 0.005, 0.015)
    >>> first = Together(250, "bert", "bag-of-words", Interval(0.88, 0.87, 0.89), some, some, True)
    >>> together_sentence([first])
    'Together (the mean of their probabilities) the two are ahead of both alone with 250 labels.'
    >>> together_sentence([first._replace(is_ahead=False)])
    'Together (the mean of their probabilities) the two are not shown to be ahead of both alone.'
    """
    if not found:
        return None
    budgets = [f"{one.label_budget:,}" for one in found if one.is_ahead]
    start = "Together (the mean of their probabilities) the two are"
    if not budgets:
        return f"{start} not shown to be ahead of both alone."
    return f"{start} ahead of both alone with {listed(budgets)} labels."


def together_table(found: Sequence[Together], confidence: float) -> Table | None:
    """The accuracy of two models together, and how far it is from each alone; None if that is not known."""
    if not found:
        return None
    level = f"{100 * confidence:g} %"
    rows = [
        [
            Cell(f"{one.label_budget:,}", one.label_budget),
            Cell(one.model),
            Cell(one.rival),
            Cell(percent(one.accuracy.estimate), one.accuracy.estimate),
            Cell(bounds(one.accuracy), one.accuracy.low),
            Cell(amount(one.over_model), one.over_model.estimate),
            Cell(amount(one.over_rival), one.over_rival.estimate),
            Cell("yes" if one.is_ahead else "not shown"),
        ]
        for one in found
    ]
    records = [
        {
            "label_budget": one.label_budget,
            "model": one.model,
            "rival": one.rival,
            **interval_record("accuracy_", one.accuracy),
            **interval_record("over_model_", one.over_model),
            **interval_record("over_rival_", one.over_rival),
            "is_ahead": one.is_ahead,
        }
        for one in found
    ]
    return Table(
        "together",
        "Two models together",
        [
            "labels", "model", "rival", "together, %", f"{level} interval", "over the model, points",
            "over the rival, points", "ahead of both",
        ],
        rows,
        records,
        note=NOTE,
    )  # fmt: skip
