"""The comparison as one self-contained HTML file with embedded figures.

Reads run folders only: `result.json`, `metrics.jsonl` and `environment.json`.
"""

import io
import json
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jinja2
import matplotlib
from markupsafe import Markup

from configs.run_folder import RunFolder
from finetune.comparison.compared_score import score_name
from finetune.comparison.scores import Comparison, Run, Score
from finetune.comparison.verdict import points, rounded
from finetune.comparison.worth import Worth
from pretrain.objectives.registry import second_task_results
from pretrain.training.metric_logger import read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


RECURRENT_STAGES = {"language_model": "language model", "autoencoder": "sequence autoencoder"}
TEMPLATE = Path(__file__).with_name("report.html.j2")
# Okabe and Ito's palette, which colour-blind readers can tell apart; markers differ too, for black-and-white print.
COLOURS = ("#999999", "#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#000000")
MARKERS = ("o", "s", "^", "v", "D", "P", "X", "*")


def write(
    folder: RunFolder, config: Any, comparison: Comparison, runs: Sequence[Run], stages: Mapping[str, RunFolder]
) -> Path:
    """Write `report.html` and its figures to a comparison's folder; returns the path of the page.

    Args:
        folder: the run folder of the comparison.
        config: the comparison's config; the page shows its name.
        comparison: the scores, gains and verdicts.
        runs: the fine-tuning runs of the comparison.
        stages: the pretraining runs that models started from, by their keys in the config.
    """
    pretrained = stages.get("pretrain")
    pictures = {"accuracy": accuracy_figure(comparison)}
    if pretrained is not None:
        pictures["pretraining"] = pretraining_figure(pretrained)
    for name, picture in pictures.items():
        (folder.path / f"{name}.svg").write_text(picture, encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"points": points, "percent": percent, "labels": more_labels}
    first = runs[0]
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        name=config.name,
        score_name=score_name(comparison.score),
        comparison=comparison,
        tables=tables(comparison),
        pictures={name: Markup(_inline_svg(picture, name)) for name, picture in pictures.items()},
        pretraining=None if pretrained is None else pretrained.result(),
        pretraining_seeds=len({run.pretraining_seed for run in runs} - {None}),
        writers=[(RECURRENT_STAGES[name], run.result()) for name, run in stages.items() if name in RECURRENT_STAGES],
        second_task_results=[] if pretrained is None else second_task_results(pretrained.result()),
        synthetic=first.config.corpus.source == "sample",
        task=first.config,
        facts=first.folder.result(),
        environment=json.loads((first.folder.path / "environment.json").read_text(encoding="utf-8")),
        runs=runs,
        columns=columns(comparison, speeds(runs)),
        level=f"{100 * comparison.confidence:g}",
    )
    file = folder.path / "report.html"
    file.write_text(page, encoding="utf-8")
    return file


class Column(NamedTuple):
    """A column of the table of scores."""

    title: str
    cell: Callable[[Score], str]


def columns(comparison: Comparison, tokens_per_second: Mapping[str, float]) -> list[Column]:
    """The columns of the table of scores; a new column is a new entry here.

    Args:
        comparison: the scores.
        tokens_per_second: training throughput, by model.
    """

    def difference(score: Score) -> str:
        if score.difference is not None:
            return (
                f"{points(score.difference.estimate)} [{points(score.difference.low)}, {points(score.difference.high)}]"
            )
        return "is that" if comparison.best_unpretrained.get(score.label_budget) == score.model else "–"

    def speed(score: Score) -> str:
        return f"{tokens_per_second[score.model]:,.0f}" if score.model in tokens_per_second else "–"

    return [
        Column("model", lambda score: score.model),
        Column(f"{score_name(comparison.score)}, %", lambda score: percent(score.accuracy.estimate)),
        Column(
            f"{100 * comparison.confidence:g} % interval",
            lambda score: f"[{percent(score.accuracy.low)}, {percent(score.accuracy.high)}]",
        ),
        Column("failed", lambda score: f"{score.failed_runs} of {len(score.accuracies)}" if score.failed_runs else "–"),
        Column("spread", lambda score: percent(score.spread)),
        *([] if comparison.score == "macro_f1" else [Column("macro-F1, %", lambda score: percent(score.macro_f1))]),
        *(
            Column(f"{score_name(name)}, %", lambda score, name=name: percent(score.others[name]))
            for name in comparison.scores[0].others
        ),
        Column("Matthews", lambda score: f"{score.matthews:.3f}"),
        Column("vs best unpretrained, points", difference),
        Column(
            "calibration error, points",
            lambda score: "–" if score.calibration_error is None else percent(score.calibration_error),
        ),
        Column("parameters", lambda score: f"{score.parameters:,}"),
        Column("seconds a run", lambda score: f"{score.seconds:.0f}"),
        Column("tokens/s", speed),
    ]


def percent(share: float) -> str:
    """A share in percent, without the percent sign.

    >>> percent(0.8451)
    '84.5'
    """
    return f"{100 * share:.1f}"


def more_labels(labels: float | None, worth: Worth) -> str:
    """A number of more labels.

    >>> from finetune.comparison.worth import Worth
    >>> worth = Worth("bert", 1000, None, 2345.0, None, 4000)
    >>> more_labels(worth.low, worth), more_labels(worth.high, worth)
    ('2,300', 'beyond 3,000')
    """
    return f"beyond {worth.largest - worth.label_budget:,}" if labels is None else f"{rounded(labels):,}"


def speeds(runs: Sequence[Run]) -> dict[str, float]:
    """Training throughput in real tokens per second: the mean over a model's runs; bag-of-words reports none."""
    rates_by_model: dict[str, list[float]] = {}
    for run in runs:
        if (rate := run.folder.result().get("tokens_per_second")) is not None:
            rates_by_model.setdefault(run.model, []).append(rate)
    return {model: statistics.fmean(rates) for model, rates in rates_by_model.items()}


def tables(comparison: Comparison) -> dict[int, list[Score]]:
    """The scores of each label budget, the best first."""
    budgets = sorted({score.label_budget for score in comparison.scores})
    return {
        budget: sorted(
            (score for score in comparison.scores if score.label_budget == budget),
            key=lambda score: -score.accuracy.estimate,
        )
        for budget in budgets
    }


def accuracy_figure(comparison: Comparison) -> str:
    """An SVG of accuracy against label budget, one line per model, with intervals as error bars."""
    figure, axes = _figure(1)
    models = list(dict.fromkeys(score.model for score in comparison.scores))
    for number, model in enumerate(models):
        model_scores = [score for score in comparison.scores if score.model == model]
        # Shifted sideways a little, so that no error bar hides another.
        budgets = [score.label_budget * 1.02 ** (number - len(models) / 2) for score in model_scores]
        percents = [100 * score.accuracy.estimate for score in model_scores]
        error_bars = [
            [100 * (score.accuracy.estimate - score.accuracy.low) for score in model_scores],
            [100 * (score.accuracy.high - score.accuracy.estimate) for score in model_scores],
        ]
        axes[0].errorbar(
            budgets,
            percents,
            yerr=error_bars,
            label=model,
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)],
            capsize=3,
            linewidth=1.5,
        )
    if comparison.majority is not None:
        label = "the most frequent class" if comparison.score == "accuracy" else "one answer for all texts"
        axes[0].axhline(100 * comparison.majority, color=COLOURS[0], linestyle="--", linewidth=1, label=label)
    axes[0].set_xscale("log")
    ticks = sorted({score.label_budget for score in comparison.scores})
    axes[0].set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes[0].minorticks_off()
    axes[0].set_xlabel("training labels")
    axes[0].set_ylabel(f"test {score_name(comparison.score)}, %")
    axes[0].legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _svg(figure)


def pretraining_figure(pretrained: RunFolder) -> str:
    """An SVG of masked-LM loss and the second task's accuracy against tokens, in training and held out."""
    rows = read_metrics(pretrained.metrics)
    result = pretrained.result()
    panels = [("mlm_loss", "masked-LM loss, nats", result["eval_unigram_entropy"], "unigram entropy")]
    panels += [
        (f"{task.prefix}_accuracy", f"{task.name} accuracy", task.majority, "majority label")
        for task in second_task_results(result)
    ]
    figure, axes = _figure(len(panels))
    for ax, (metric, label, baseline, baseline_name) in zip(axes, panels, strict=True):
        _plot_curve(ax, rows, metric, "training", COLOURS[2], 1.0)
        _plot_curve(ax, rows, f"eval_{metric}", "held out", COLOURS[5], 2.0)
        ax.axhline(baseline, color=COLOURS[0], linestyle="--", linewidth=1, label=baseline_name)
        ax.set_xlabel("million tokens")
        ax.set_ylabel(label)
        ax.legend(frameon=False)
    return _svg(figure)


def _plot_curve(
    ax: "Axes", rows: Sequence[Mapping[str, float]], metric: str, label: str, colour: str, width: float
) -> None:
    logged = [row for row in rows if metric in row]
    million_tokens = [row["tokens"] / 1e6 for row in logged]
    marker = "o" if metric.startswith("eval_") else None
    ax.plot(
        million_tokens,
        [row[metric] for row in logged],
        color=colour,
        linewidth=width,
        label=label,
        marker=marker,
        markersize=3,
    )


def _figure(columns: int) -> tuple["Figure", list["Axes"]]:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots(1, columns, squeeze=False)[0].tolist()
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(color="#eeeeee")
        ax.set_axisbelow(True)
    return figure, axes


def _svg(figure: "Figure") -> str:
    buffer = io.StringIO()
    # A fixed salt and no date: the same numbers give the same file.
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "bertlet"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _inline_svg(picture: str, name: str) -> str:
    """An SVG for inclusion in HTML: without the XML declaration, its ids prefixed to be unique in the page.

    >>> _inline_svg('<?xml version="1.0"?><svg id="a"><use xlink:href="#a"/></svg>', "p")
    '<svg id="p-a"><use xlink:href="#p-a"/></svg>'
    """
    picture = picture[picture.index("<svg") :]
    picture = re.sub(r'\bid="', f'id="{name}-', picture)
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", picture)
