"""Which differences a comparison judges, and how many of them by chance."""

from pathlib import Path

import numpy as np

from finetune.comparison.intervals import mean_interval
from finetune.comparison.scores import Gain, Lead
from finetune.comparison.summary import Evidence, compare, judged, verdicts_of
from tests.helpers.comparisons import make


def test_leads_and_gains_that_are_none_are_told_in_one_of_twenty_comparisons() -> None:
    rng, alone, together = np.random.default_rng(5), [], []
    for _ in range(150):
        found = [mean_interval(rng.normal(0, 0.02, (3, 1)) + rng.normal(0, 0.3, (3, 200)), 0.95) for _ in range(12)]
        gains = [Gain("lm-lstm", budget, one) for budget, one in enumerate(found[:4])]
        leads = [Lead("bert", "lm-lstm", budget, one) for budget, one in enumerate(found[4:])]
        alone.append(any(one.excludes_zero for one in found))
        together.append(any(part.is_shown for parts in judged(gains, leads, 0.05) for part in parts))
    # Once, each was judged by its own interval.
    assert np.mean(alone) > 0.2
    # Of 150 with 5 %: three standard errors above.
    assert np.mean(together) <= 0.103


def test_leads_and_gains_of_a_comparison_are_judged_together(tmp_path: Path) -> None:
    scores = {"bert": 0.8, "lm-lstm": 0.99, "lm-lstm-scratch": 0.6, "bag-of-words": 0.7, "frozen": 0.79}
    found = compare(make(tmp_path, scores, budgets=(100,)).cells, 0.95, 0.01)
    leads = {lead.rival: lead for lead in found.leads}
    assert leads.keys() == {"lm-lstm", "lm-lstm-scratch", "frozen"}
    assert {lead.model for lead in found.leads} == {"bert"}
    (gain,) = found.gains
    assert gain.is_shown
    assert leads["lm-lstm"].is_shown
    assert not leads["frozen"].is_shown
    p_value = leads["lm-lstm"].difference.p_value
    assert p_value is not None
    assert leads["lm-lstm"].adjusted_p_value > p_value
    assert "But lm-lstm is ahead of bert by" in found.verdict
    assert "frozen" not in found.verdict


def test_without_an_encoder_all_other_pretrained_models_are_judged(tmp_path: Path) -> None:
    scores = {"lm-lstm": 0.9, "lm-lstm-scratch": 0.6, "bag-of-words": 0.7, "frozen": 0.85}
    made = make(tmp_path, scores, budgets=(100, 400))
    found = compare(made.cells, 0.95, 0.01)
    assert {answer.model for answer in found.answers} == {"lm-lstm", "frozen"}
    assert verdicts_of(Evidence.of(made.cells, 0.95), found.best_unpretrained) == len(found.answers) == 4
    assert {(lead.model, lead.rival) for lead in found.leads} == {
        ("lm-lstm", "lm-lstm-scratch"), ("frozen", "lm-lstm-scratch")
    }  # fmt: skip
    assert {worth.label_budget for worth in found.worths} == {100}
    assert found.verdicts[0].startswith("At 100 labels take lm-lstm: ")
    assert "Also ahead is frozen: " in found.verdicts[0]
