"""Finished rungs → what more pretraining, and more text, would bring.

Shapes: R rungs, P pretraining seeds, S fine-tuning seeds, N texts, D draws, H horizons.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow.parquet

from configs.errors import InputError
from configs.run_folder import RunFolder
from finetune.classification.predictions import PREDICTIONS
from finetune.comparison.compared_score import compared_score, is_multi_label, values_of
from finetune.comparison.draws import mean_draws
from finetune.comparison.grid import Cell
from finetune.comparison.intervals import Interval
from finetune.ladders.config import MINIMUM_RUNGS, LadderConfig
from finetune.ladders.curve import Prediction, intervals, predict, predict_loss
from finetune.ladders.rungs import Rung

# The first that a pretraining run has is its held-out loss.
LOSSES = ("eval_mlm_loss", "eval_loss")
# Where the curve is drawn.
BAND_POINTS = 40


class Finished(NamedTuple):
    """A rung whose runs are finished."""

    rung: Rung
    pretrained: list[RunFolder]
    """One a pretraining seed."""
    cells: list[Cell]
    """For each pretraining seed, one a fine-tuning seed."""


@dataclasses.dataclass(frozen=True)
class RungScore:
    """What a rung did."""

    step_share: float
    corpus_share: float
    duration: str
    documents: int | None
    """None: all."""
    tokens: float
    """Of pretraining; the mean over its seeds, as the next two."""
    seconds: float
    loss: float | None
    """Held out, the masked-LM loss where there is one; None where pretraining wrote none."""
    score: Interval
    scores: list[float]
    """Of each run: of one pretraining seed after the other."""


@dataclasses.dataclass(frozen=True)
class Horizon:
    """What is predicted for a multiple of the whole duration."""

    times: float
    tokens: float
    seconds: float
    """At the rate of the longest rung."""
    score: Interval
    gain: Interval
    """Over the curve at the longest rung."""
    loss: Interval | None

    @property
    def shown(self) -> bool:
        """Whether a gain is beyond chance."""
        return self.gain.low > 0

    @property
    def told(self) -> bool:
        """Whether its size can be told: the interval is no wider than the gain."""
        return self.gain.high - self.gain.low <= self.gain.estimate


@dataclasses.dataclass(frozen=True)
class TextEffect:
    """What a share of the documents does, at equal steps, against all of them."""

    corpus_share: float
    documents: int
    difference: Interval


@dataclasses.dataclass(frozen=True)
class PowerLaw:
    """limit - size x (tokens / tokens of the whole)^(-exponent); of a loss, with a plus."""

    limit: float
    size: float
    exponent: float


@dataclasses.dataclass(frozen=True)
class Forecast:
    """All that a ladder tells."""

    model: str
    label_budget: int
    score: str
    """The name of the compared score."""
    confidence: float
    seeds: int
    pretraining_seeds: int
    texts: int
    """Different texts that judged."""
    rungs: list[RungScore]
    """Those of the curve by their tokens, then those on fewer documents."""
    horizons: list[Horizon]
    text_effects: list[TextEffect]
    rise: Interval
    """Of the score from the shortest rung to the longest, as measured."""
    falls: list[tuple[float, float]]
    """Shares of the duration between which the score is shown to fall."""
    curve: PowerLaw
    loss_curve: PowerLaw | None
    at_longest: float
    """The curve at the longest rung, which gains are beyond."""
    band: list[tuple[float, Interval]]
    """Tokens, and the curve there."""
    loss_band: list[tuple[float, Interval]]
    misfit: float | None
    """As of `curve.Prediction`."""


class Draws(NamedTuple):
    """The scores of rungs, and what they may be."""

    means_R: np.ndarray
    draws_DR: np.ndarray
    confidence: float

    def difference(self, rung: int, other: int, pairs: int = 1) -> Interval:
        """Between two rungs; with several pairs, their intervals hold together (Bonferroni)."""
        changes_D = self.draws_DR[:, rung] - self.draws_DR[:, other]
        found_1 = self.means_R[[rung]] - self.means_R[other]
        return intervals(found_1, changes_D[:, None], 1 - (1 - self.confidence) / pairs)[0]

    def falls(self, count: int) -> list[tuple[int, int]]:
        """The pairs among the first rungs of which the later one is shown to be worse."""
        pairs = list(itertools.combinations(range(count), 2))
        return [(one, other) for one, other in pairs if self.difference(other, one, len(pairs)).high < 0]


def forecast(config: LadderConfig, finished: Sequence[Finished]) -> Forecast:
    """What finished rungs tell.

    Args:
        config: of the ladder.
        finished: its rungs.

    Raises:
        InputError: fewer than three of them had different numbers of tokens.
    """
    steps, rest, tokens_R = _in_order(finished)
    one = steps[0].rung.comparison
    name = compared_score(one, is_multi_label(steps[0].cells[0].folder.result()))
    values_RPSN = judged_values([one.cells for one in (*steps, *rest)], name, len(one.seeds))
    runs_RPS = np.nanmean(values_RPSN, axis=3)
    means_R = runs_RPS.mean((1, 2))
    rng = np.random.default_rng(0)
    draws_DR = mean_draws(values_RPSN, rng)
    count, longest = len(steps), steps[-1]
    # The whole in tokens, of which the longest rung is a share, whatever the unit of the duration.
    whole = float(tokens_R[-1]) / longest.rung.step_share
    times = sorted(config.horizons)
    grid = np.geomspace(tokens_R[0] / whole, max(*times, longest.rung.step_share), BAND_POINTS)
    places_K = np.array([*times, *grid])
    prediction = predict(tokens_R / whole, means_R[:count], draws_DR[:, :count], places_K, config.confidence)
    losses = _losses(steps, whole, places_K, config.confidence, rng)
    seconds = _mean(longest.pretrained, "seconds") / float(tokens_R[-1]) * whole
    scores = intervals(means_R, draws_DR, config.confidence)
    rungs = Draws(means_R, draws_DR, config.confidence)
    loss_scores = losses.scores if losses else []
    return Forecast(
        model=next(iter(one.models)),
        label_budget=one.label_budgets[0],
        score=name,
        confidence=config.confidence,
        seeds=len(one.seeds),
        pretraining_seeds=values_RPSN.shape[1],
        texts=values_RPSN.shape[3],
        rungs=[_rung_score(*row) for row in zip((*steps, *rest), scores, runs_RPS, strict=True)],
        horizons=_horizons(times, whole, seconds, prediction, losses),
        text_effects=[
            TextEffect(other.rung.corpus_share, other.rung.documents or 0, rungs.difference(count + number, count - 1))
            for number, other in enumerate(rest)
        ],
        rise=rungs.difference(count - 1, 0),
        falls=[(steps[first].rung.step_share, steps[second].rung.step_share) for first, second in rungs.falls(count)],
        curve=_law(prediction),
        loss_curve=_law(losses, sign=-1) if losses else None,
        at_longest=float(prediction.curve.at(tokens_R[-1:] / whole)[0, 0]),
        band=list(zip((whole * grid).tolist(), prediction.scores[len(times) :], strict=True)),
        loss_band=list(zip((whole * grid).tolist(), loss_scores[len(times) :], strict=bool(losses))),
        misfit=prediction.misfit,
    )


def _in_order(finished: Sequence[Finished]) -> tuple[list[Finished], list[Finished], np.ndarray]:
    """The rungs of the curve by their tokens, those on fewer documents, and the tokens of the former.

    Raises:
        InputError: as `forecast`.
    """
    steps = sorted((one for one in finished if one.rung.is_step), key=lambda one: _mean(one.pretrained, "tokens"))
    rest = [one for one in finished if not one.rung.is_step]
    tokens_R = np.array([_mean(one.pretrained, "tokens") for one in steps])
    if len(np.unique(tokens_R)) < MINIMUM_RUNGS:
        read = ", ".join(f"{tokens:,.0f}" for tokens in tokens_R)
        raise InputError(
            f"step_shares: the rungs read {read} tokens, and a curve needs {MINIMUM_RUNGS} different numbers; give "
            "shares that are further apart"
        )
    return steps, rest, tokens_R


def _horizons(
    times: Sequence[float], whole: float, seconds: float, prediction: Prediction, losses: Prediction | None
) -> list[Horizon]:
    """The first predictions, which are those of the multiples.

    Args:
        times: multiples of the whole duration.
        whole: its tokens.
        seconds: its seconds.
        prediction: of the score.
        losses: of the loss.
    """
    loss_scores = [None] * len(times) if losses is None else losses.scores
    rows = zip(times, prediction.scores, prediction.gains, loss_scores, strict=False)
    return [
        Horizon(multiple, whole * multiple, seconds * multiple, score, gain, loss)
        for multiple, score, gain, loss in rows
    ]


def judged_values(rungs: Sequence[Sequence[Cell]], score: str, seeds: int) -> np.ndarray:
    """A value for each judged text of each run, [R, P, S, N], whose mean is the score; NaN where a seed judges others.

    Args:
        rungs: the cells of each rung: for each pretraining seed, one a fine-tuning seed.
        score: the name of the compared score.
        seeds: the number of fine-tuning seeds.
    """
    # A text is known by its file and row. A seed judges the same texts on every rung.
    keys = [_texts(cell.folder) for cell in rungs[0][:seeds]]
    columns = {key: column for column, key in enumerate(dict.fromkeys(key for texts in keys for key in texts))}
    values_RPSN = np.full((len(rungs), len(rungs[0]) // seeds, seeds, len(columns)), np.nan)
    for rung, cells in enumerate(rungs):
        for number, cell in enumerate(cells):
            places = [columns[key] for key in _texts(cell.folder)]
            values_RPSN[rung, number // seeds, number % seeds, places] = values_of(cell.folder, score)
    return values_RPSN


def _texts(run: RunFolder) -> list[tuple[str, int]]:
    table = pyarrow.parquet.read_table(run.path / PREDICTIONS, columns=["file", "row"])
    return list(zip(table.column("file").to_pylist(), table.column("row").to_pylist(), strict=True))


def _mean(runs: Sequence[RunFolder], key: str) -> float:
    return float(np.mean([run.result()[key] for run in runs]))


def _loss(run: RunFolder) -> float | None:
    result = run.result()
    return next((result[name] for name in LOSSES if result.get(name) is not None), None)


def _losses(
    steps: Sequence[Finished], whole: float, horizons_H: np.ndarray, confidence: float, rng: np.random.Generator
) -> Prediction | None:
    """The curve of the held-out loss, of every pretraining run of the rungs; None if one has no loss."""
    runs = [run for one in steps for run in one.pretrained]
    losses = [loss for run in runs if (loss := _loss(run)) is not None]
    if len(losses) < len(runs):
        return None
    tokens_L = np.array([run.result()["tokens"] for run in runs]) / whole
    return predict_loss(tokens_L, np.array(losses), horizons_H, confidence, rng)


def _law(prediction: Prediction, sign: int = 1) -> PowerLaw:
    """The curve that was found; with sign -1 of a loss, which was fitted with a minus."""
    curve = prediction.curve
    return PowerLaw(sign * float(curve.limit_D[0]), float(curve.size_D[0]), float(curve.exponent_D[0]))


def _rung_score(one: Finished, score: Interval, runs_PS: np.ndarray) -> RungScore:
    rung, losses = one.rung, [_loss(run) for run in one.pretrained]
    known = [loss for loss in losses if loss is not None]
    return RungScore(
        step_share=rung.step_share,
        corpus_share=rung.corpus_share,
        duration=rung.duration,
        documents=rung.documents,
        tokens=_mean(one.pretrained, "tokens"),
        seconds=_mean(one.pretrained, "seconds"),
        loss=float(np.mean(known)) if known else None,
        score=score,
        scores=runs_PS.ravel().tolist(),
    )
