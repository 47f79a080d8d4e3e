"""Two models together, from probabilities that are known."""

import dataclasses

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from finetune.comparison.analysis.answers import read_answers
from finetune.comparison.analysis.headline import Pair
from finetune.comparison.analysis.together import together
from finetune.comparison.grid import Cell
from finetune.comparison.summary import Evidence
from tests.finetune.comparison.reporting.test_content import read_csv
from tests.helpers.comparisons import Made, make, texts_of, write_report

TEXTS = 300


def rewrite(cell: Cell, probabilities_NC: np.ndarray, labels_N: np.ndarray) -> None:
    """Give a run other answers."""
    file = cell.folder.path / "predictions.parquet"
    table = pyarrow.parquet.read_table(file)
    answers_N = probabilities_NC.argmax(1)
    names = ["negative", "positive"]
    new = {
        "label_id": pyarrow.array(labels_N.astype(np.int32)),
        "prediction_id": pyarrow.array(answers_N.astype(np.int32)),
        "label": pyarrow.array([names[label] for label in labels_N]),
        "prediction": pyarrow.array([names[answer] for answer in answers_N]),
        "probabilities": pyarrow.array(probabilities_NC.astype(np.float32).tolist(), table["probabilities"].type),
    }
    for name, column in new.items():
        table = table.set_column(table.schema.get_field_index(name), name, column)
    pyarrow.parquet.write_table(table, file)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[Made, np.ndarray]:
    """Two models whose logits are the truth and noise of their own, at two label budgets."""
    made = make(tmp_path_factory.mktemp("known"), {"bag-of-words": 0.7, "bert": 0.8}, (100, 400), texts=texts_of(TEXTS))
    labels_N = np.arange(TEXTS) % 2
    for place, cell in enumerate(made.cells):
        rng = np.random.default_rng(place)
        # With the larger number of labels one model knows the truth, and the other nothing.
        sizes = {("bert", 400): 9.0, ("bag-of-words", 400): 0.0}
        logits_N = (2 * labels_N - 1) * sizes.get((cell.model, cell.label_budget), 1.0) + rng.normal(0, 1, TEXTS)
        positive_N = 1 / (1 + np.exp(-2 * logits_N))
        rewrite(cell, np.stack([1 - positive_N, positive_N], axis=1), labels_N)
    return made, labels_N


def test_two_models_that_know_other_things_are_ahead_of_both(known: tuple[Made, np.ndarray]) -> None:
    made, labels_N = known
    evidence = Evidence.of(made.cells, 0.95)
    few, many = together(evidence, [Pair(budget, "bert", "bag-of-words", None) for budget in (100, 400)])
    # Phi(sqrt(2)) and Phi(1) of normal noise.
    assert few.accuracy.estimate == pytest.approx(0.921, abs=0.02)
    assert few.over_model.estimate == pytest.approx(0.921 - 0.841, abs=0.03)
    assert few.is_ahead
    expected = []
    for seed in (0, 1, 2):
        runs = [cell for cell in made.cells if (cell.label_budget, cell.seed) == (100, seed)]
        answers = [read_answers([run]) for run in runs]
        both_NC = sum(answer.probabilities_RNC[0] for answer in answers if answer is not None)
        expected.append(np.mean(np.asarray(both_NC).argmax(1) == labels_N))
    assert few.accuracy.estimate == pytest.approx(np.mean(expected))
    # What knows nothing adds nothing.
    assert many.over_model.estimate <= 0
    assert not many.is_ahead


def test_each_pretraining_seed_goes_with_the_run_of_its_own_seed(known: tuple[Made, np.ndarray]) -> None:
    made, _ = known
    at_few = [cell for cell in made.cells if cell.label_budget == 100]
    several = [
        dataclasses.replace(cell, pretraining_seed=first) for cell in at_few if cell.model == "bert" for first in (0, 1)
    ]
    others = [cell for cell in at_few if cell.model != "bert"]
    (once,) = together(Evidence.of(at_few, 0.95), [Pair(100, "bert", "bag-of-words", None)])
    (twice,) = together(Evidence.of([*several, *others], 0.95), [Pair(100, "bert", "bag-of-words", None)])
    assert twice.accuracy.estimate == pytest.approx(once.accuracy.estimate)
    assert twice.over_rival.estimate == pytest.approx(once.over_rival.estimate)


def test_a_report_tells_of_two_models_together(known: tuple[Made, np.ndarray]) -> None:
    made, _ = known
    folder = write_report(made)
    sentence = "Together (the mean of their probabilities) the two are ahead of both alone with 100 labels."
    for name in ("report.html", "report.md"):
        assert sentence in (folder / name).read_text(encoding="utf-8")
    rows = read_csv((folder / "tables" / "together.csv").read_text(encoding="utf-8"))
    assert [row["label_budget"] for row in rows] == ["100", "400"]
    assert [row["is_ahead"] for row in rows] == ["true", "false"]
