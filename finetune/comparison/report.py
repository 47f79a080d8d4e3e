"""The comparison as one self-contained HTML file, and the pictures in it.

Reads run folders alone: `result.json`, `metrics.jsonl` and `environment.json`.
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
from finetune.comparison.scores import Comparison, Run, Score
from finetune.comparison.verdict import points
from pretrain.objectives.registry import second_task_results
from pretrain.training.metric_logger import read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


WRITERS = {"language_model": "language model", "autoencoder": "sequence autoencoder"}
TEMPLATE = Path(__file__).with_name("report.html.j2")
# Okabe and Ito's colours, which stay apart for colour-blind readers; another marker each for print.
COLOURS = ("#999999", "#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#000000")
MARKERS = ("o", "s", "^", "v", "D", "P", "X", "*")


def write(
    folder: RunFolder, config: Any, comparison: Comparison, runs: Sequence[Run], stages: Mapping[str, RunFolder]
) -> Path:
    """Write `report.html` and its pictures into a comparison's folder.

    Args:
        folder: of the comparison.
        config: its config, for the title and the command.
        comparison: what to tell.
        runs: the fine-tuning runs behind it.
        stages: the pretraining runs that models started from, by their keys in the config.
    """
    pretrained = stages.get("pretrain")
    pictures = {"accuracy": accuracy_picture(comparison)}
    if pretrained is not None:
        pictures["pretraining"] = pretraining_picture(pretrained)
    for name, picture in pictures.items():
        (folder.path / f"{name}.svg").write_text(picture, encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"points": points, "percent": percent}
    first = runs[0]
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        name=config.name,
        comparison=comparison,
        tables=tables(comparison),
        pictures={name: Markup(_embedded(picture, name)) for name, picture in pictures.items()},
        pretraining=None if pretrained is None else pretrained.result(),
        writers=[(WRITERS[name], run.result()) for name, run in stages.items() if name in WRITERS],
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
    """The table of scores: a new column is a new entry here.

    Args:
        comparison: what is told.
        tokens_per_second: of training, by model.
    """

    def difference(score: Score) -> str:
        if score.difference is not None:
            return (
                f"{points(score.difference.estimate)} [{points(score.difference.low)}, {points(score.difference.high)}]"
            )
        return "best recurrent" if comparison.best_recurrent.get(score.label_budget) == score.model else "–"

    def speed(score: Score) -> str:
        return f"{tokens_per_second[score.model]:,.0f}" if score.model in tokens_per_second else "–"

    return [
        Column("model", lambda score: score.model),
        Column("accuracy, %", lambda score: percent(score.accuracy.estimate)),
        Column(
            f"{100 * comparison.confidence:g} % interval",
            lambda score: f"[{percent(score.accuracy.low)}, {percent(score.accuracy.high)}]",
        ),
        Column("spread", lambda score: percent(score.spread)),
        Column("macro-F1, %", lambda score: percent(score.macro_f1)),
        Column("Matthews", lambda score: f"{score.matthews:.3f}"),
        Column("vs best recurrent, points", difference),
        Column("parameters", lambda score: f"{score.parameters:,}"),
        Column("seconds a run", lambda score: f"{score.seconds:.0f}"),
        Column("tokens/s", speed),
    ]


def percent(share: float) -> str:
    """A share in percent, without the sign.

    >>> percent(0.8451)
    '84.5'
    """
    return f"{100 * share:.1f}"


def speeds(runs: Sequence[Run]) -> dict[str, float]:
    """Real tokens a second of training by model, a mean over its runs; the linear yardstick has none."""
    found: dict[str, list[float]] = {}
    for run in runs:
        if (rate := run.folder.result().get("tokens_per_second")) is not None:
            found.setdefault(run.model, []).append(rate)
    return {model: statistics.fmean(rates) for model, rates in found.items()}


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


def accuracy_picture(comparison: Comparison) -> str:
    """Accuracy against label budget, a line a model, with the intervals as bars; SVG."""
    figure, axes = _figure(1)
    models = list(dict.fromkeys(score.model for score in comparison.scores))
    for number, model in enumerate(models):
        found = [score for score in comparison.scores if score.model == model]
        # Neighbouring bars are moved apart a little, so that none hides another.
        budgets = [score.label_budget * 1.02 ** (number - len(models) / 2) for score in found]
        shares = [100 * score.accuracy.estimate for score in found]
        bars = [
            [100 * (score.accuracy.estimate - score.accuracy.low) for score in found],
            [100 * (score.accuracy.high - score.accuracy.estimate) for score in found],
        ]
        axes[0].errorbar(
            budgets,
            shares,
            yerr=bars,
            label=model,
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)],
            capsize=3,
            linewidth=1.5,
        )
    axes[0].set_xscale("log")
    ticks = sorted({score.label_budget for score in comparison.scores})
    axes[0].set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes[0].minorticks_off()
    axes[0].set_xlabel("training labels")
    axes[0].set_ylabel("test accuracy, %")
    axes[0].legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _svg(figure)


def pretraining_picture(pretrained: RunFolder) -> str:
    """Masked-LM loss, and the accuracy of what stands beside it, against tokens, in training and held out; SVG."""
    rows = read_metrics(pretrained.metrics)
    result = pretrained.result()
    lines = [("mlm_loss", "masked-LM loss, nats", result["eval_unigram_entropy"], "unigram entropy")]
    lines += [
        (f"{task.prefix}_accuracy", f"{task.name} accuracy", task.majority, "majority label")
        for task in second_task_results(result)
    ]
    figure, axes = _figure(len(lines))
    for place, (metric, label, floor, floor_name) in zip(axes, lines, strict=True):
        _curve(place, rows, metric, "training", COLOURS[2], 1.0)
        _curve(place, rows, f"eval_{metric}", "held out", COLOURS[5], 2.0)
        place.axhline(floor, color=COLOURS[0], linestyle="--", linewidth=1, label=floor_name)
        place.set_xlabel("million tokens")
        place.set_ylabel(label)
        place.legend(frameon=False)
    return _svg(figure)


def _curve(
    axes: "Axes", rows: Sequence[Mapping[str, float]], metric: str, label: str, colour: str, width: float
) -> None:
    found = [row for row in rows if metric in row]
    tokens = [row["tokens"] / 1e6 for row in found]
    marker = "o" if metric.startswith("eval_") else None
    axes.plot(
        tokens, [row[metric] for row in found], color=colour, linewidth=width, label=label, marker=marker, markersize=3
    )


def _figure(columns: int) -> tuple["Figure", list["Axes"]]:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots(1, columns, squeeze=False)[0].tolist()
    for place in axes:
        place.spines[["top", "right"]].set_visible(False)
        place.grid(color="#eeeeee")
        place.set_axisbelow(True)
    return figure, axes


def _svg(figure: "Figure") -> str:
    buffer = io.StringIO()
    # A fixed salt and no date: the same numbers give the same file.
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "bertlet"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _embedded(picture: str, name: str) -> str:
    """An SVG without its XML head, its ids made unique within the page.

    >>> _embedded('<?xml version="1.0"?><svg id="a"><use xlink:href="#a"/></svg>', "p")
    '<svg id="p-a"><use xlink:href="#p-a"/></svg>'
    """
    picture = picture[picture.index("<svg") :]
    picture = re.sub(r'\bid="', f'id="{name}-', picture)
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", picture)
