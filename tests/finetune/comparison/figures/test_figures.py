"""Figures hold together with few and many values; what is at what place is what the numbers say."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from finetune.comparison.analysis.costs import Cost, with_fronts
from finetune.comparison.analysis.headline import pair_at
from finetune.comparison.figures.cost import cost_figure
from finetune.comparison.figures.pretraining import curve, pretraining_figures
from finetune.comparison.figures.score import score_figure
from finetune.comparison.figures.svg import apart, place_labels, width_of
from finetune.comparison.summary import compare
from tests.helpers.comparisons import make, write_pretraining

SVG = "{http://www.w3.org/2000/svg}"


def parsed(picture: str) -> ElementTree.Element:
    return ElementTree.fromstring(picture)


def centres(picture: str) -> dict[str, tuple[float, float]]:
    """Where each point is, by what it tells."""
    found = {}
    for point in parsed(picture).findall(f"{SVG}g[@data-told]"):
        target = point.find(f"{SVG}circle[@class='target']")
        assert target is not None
        found[point.attrib["data-told"]] = float(target.attrib["cx"]), float(target.attrib["cy"])
    return found


@pytest.mark.parametrize("budgets", [(100,), (100, 400), (100, 110, 120, 130, 4000)])
def test_scores_are_drawn_where_they_are(tmp_path: Path, budgets: tuple[int, ...]) -> None:
    made = make(tmp_path, budgets=budgets, seeds=(0, 1), gain=0.01)
    comparison = compare(made.cells, 0.95, 0.01)
    pairs = [pair for budget in budgets if (pair := pair_at(comparison, budget)) is not None]
    for drawing in score_figure(comparison, pairs).drawings:
        points = centres(drawing.svg("x"))
        assert len(points) == len(comparison.scores)
        at_budget = {
            score.model: next(
                place for told, place in points.items() if told.startswith(f"{score.model}, {budgets[0]:,}")
            )
            for score in comparison.scores
            if score.label_budget == budgets[0]
        }
        by_score = sorted(at_budget, key=lambda model: at_budget[model][1])
        assert by_score == ["bert", "bag-of-words", "lstm"], "better ones stand higher"
        for x, y in points.values():
            assert 0 <= x <= drawing.width
            assert 0 <= y <= drawing.height


def test_the_same_numbers_give_the_same_picture(tmp_path: Path) -> None:
    made = make(tmp_path, seeds=(0, 1))
    first, second = (score_figure(compare(made.cells, 0.95, 0.01), []).drawings[0].svg("x") for _ in range(2))
    assert first == second


def test_cost_goes_to_the_right_and_the_front_is_drawn() -> None:
    cheap = Cost("cheap", 9, 0.7, False, "linear", 1.0, 0.0, None, None, None, 1, None)
    costs = with_fronts(
        [
            cheap,
            cheap._replace(model="dear", score=0.9, pretrained=True, training_seconds=20.0, pretraining_seconds=600.0),
            cheap._replace(model="poor", score=0.6, training_seconds=5.0),
        ]
    )
    figure = cost_figure(costs, None, "accuracy", 9)
    assert figure is not None
    picture = figure.drawings[1].svg("x")
    points = {told.split(":")[0]: place for told, place in centres(picture).items()}
    assert points["cheap"][0] < points["poor"][0] < points["dear, fine-tuning alone"][0] < points["dear"][0]
    front = re.search(r'<path class="front" d="([^"]+)"', picture)
    assert front is not None
    assert len(front[1].split("L")) == 3
    assert cost_figure([costs[0]._replace(pretraining_seconds=None), costs[1]], None, "accuracy", 9) is None


def test_a_long_training_curve_is_thinned_out_and_keeps_its_end(tmp_path: Path) -> None:
    rows = [{"tokens": 1000 * step, "loss": float(step)} for step in range(5000)]
    thin = curve(rows, "loss")
    assert 200 <= len(thin) <= 500
    assert thin[-1] == (4.999, 4999.0)
    (figure,) = pretraining_figures(write_pretraining(tmp_path))
    assert len(centres(figure.drawings[0].svg("x"))) == 5
    run = write_pretraining(tmp_path, "other-1111111111")
    run.metrics.unlink()
    assert pretraining_figures(run) == []


def test_many_labels_find_room_without_overlap() -> None:
    points = [(40.0 + 3 * number, 100.0 + 9 * (number % 4)) for number in range(8)]
    names = [f"model {number}" for number in range(8)]
    areas = []
    for (x, y, anchor), name in zip(place_labels(points, names, (0, 0, 360, 300)), names, strict=True):
        width = width_of(name)
        left = {"start": x, "end": x - width, "middle": x - width / 2}[anchor]
        areas.append((left, y - 11, left + width, y + 3))
    shared = [
        max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
        for index, a in enumerate(areas)
        for b in areas[index + 1 :]
    ]
    # Of about 28 pairs of labels of 700 square pixels.
    assert sum(shared) < 700


def test_too_many_names_for_their_room_keep_their_order() -> None:
    moved = apart([50.0] * 12, 16, 0, 100)
    assert moved == sorted(moved)
    assert moved[-1] == 100
