"""The sections of a report, from what was found."""

from collections.abc import Mapping, Sequence
from typing import Any

from configs.run_folder import RunFolder
from finetune.comparison.analysis.classes import reliability
from finetune.comparison.analysis.costs import break_even
from finetune.comparison.analysis.decision import Step
from finetune.comparison.analysis.disagreement import Disagreement, most_disagreed
from finetune.comparison.analysis.headline import Pair
from finetune.comparison.analysis.slices import slice_scores, slices_of
from finetune.comparison.analysis.words import duration, excerpt, listed, percent
from finetune.comparison.compared_score import score_name
from finetune.comparison.figures.cost import cost_figure
from finetune.comparison.figures.pretraining import curve, pretraining_figures
from finetune.comparison.figures.quality import reliability_figure, slice_figure
from finetune.comparison.intervals import difference_interval
from finetune.comparison.reporting.analysis_tables import (
    calibration_table,
    class_table,
    confusion_tables,
    cost_table,
    decision_table,
    paired_test_table,
    reliability_table,
    slice_table,
)
from finetune.comparison.reporting.content import Findings
from finetune.comparison.reporting.provenance import STAGES, stage_title
from finetune.comparison.reporting.score_tables import Column, gain_table, score_tables, worth_table
from finetune.comparison.reporting.sections import Quote, Section
from finetune.comparison.reporting.tables import Cell, Record, Table
from finetune.comparison.reporting.together_table import together_sentence, together_table
from finetune.comparison.summary import Evidence
from pretrain.objectives.registry import second_task_results
from pretrain.training.metric_logger import read_metrics

NO_TEXTS = "The runs were made before test texts were stored with the predictions, so that this part is left out."
# Between two models on a text: with probabilities, and without.
MEASURES = ("the probability that they give to the true label", "the share of their runs that are right")


def sections_of(
    findings: Findings, decisions: Mapping[int, Sequence[str]], steps: Sequence[Step], shown: Sequence[Column]
) -> list[Section]:
    """All sections, those without content left out.

    Args:
        findings: what was read and computed.
        decisions: what a further point takes, by label budget.
        steps: what the decision rests on.
        shown: the columns of the tables of scores.
    """
    sections = [
        _scores(findings, shown),
        _labels(findings, decisions, steps),
        _costs(findings),
        _disagreement(findings),
        _slices(findings),
        _classes(findings),
        _calibration(findings),
        *_pretraining(findings.stages),
    ]
    return [
        section for section in sections if section.paragraphs or section.figures or section.tables or section.quotes
    ]


def _present(*tables: Table | None) -> list[Table]:
    return [table for table in tables if table is not None]


def _scores(findings: Findings, shown: Sequence[Column]) -> Section:
    comparison = findings.comparison
    return Section(
        "scores",
        "Scores",
        [
            "All models learn from the same labels. The first row of a table is the best on test texts; “vs best "
            "unpretrained” is the paired difference on test texts from the model without pretraining that is best on "
            "validation texts."
        ],
        tables=score_tables(comparison, shown),
    )


def _labels(findings: Findings, decisions: Mapping[int, Sequence[str]], steps: Sequence[Step]) -> Section:
    comparison = findings.comparison
    tables = _present(worth_table(comparison), gain_table(comparison), decision_table(steps, comparison.confidence))
    # That of the largest number of labels stands at the top of the page.
    paragraphs = [
        f"At {budget:,} labels: {' '.join(sentences)}"
        for budget, sentences in decisions.items()
        if sentences and budget != findings.budget
    ]
    return Section("labels", "What pretraining and labels bring", paragraphs, tables=tables)


def _costs(findings: Findings) -> Section:
    budget, pair, costs = findings.budget, findings.pair, findings.costs[findings.budget]
    figure = cost_figure(costs, pair, score_name(findings.comparison.score), budget)
    paragraphs = []
    for each, one in findings.pairs.items():
        if one.answer is not None and one.answer.outcome == "ahead":
            by_model = {cost.model: cost for cost in findings.costs[each]}
            worth = next(
                (w for w in findings.comparison.worths if (w.model, w.label_budget) == (one.model, each)), None
            )
            if worth is not None or len(findings.pairs) == 1:
                sentence = break_even(by_model[one.model], by_model[one.rival], worth)
                paragraphs.append(f"At {each:,} labels: {sentence}")
    outcomes = [one.answer.outcome for one in findings.pairs.values() if one.answer is not None]
    if outcomes and "ahead" not in outcomes:
        paragraphs.append("There is no break-even: pretraining is not shown to pay with any number of labels.")
    tables = [
        cost_table(findings.costs[each], each, score_name(findings.comparison.score), folded=each != budget)
        for each in reversed(findings.evidence.budgets)
    ]
    return Section("costs", "What quality costs", paragraphs, [] if figure is None else [figure], tables)


def _disagreement(findings: Findings) -> Section:
    pair, texts = findings.pair, findings.texts
    tables = _present(
        together_table(findings.together, findings.comparison.confidence), paired_test_table(findings.tests)
    )
    title = "Where two models disagree"
    if pair is None:
        return Section("disagreement", title)
    named = [sentence for sentence in (pair_sentence(pair), together_sentence(findings.together)) if sentence]
    if texts is None or not findings.quoted:
        return Section("disagreement", title, [*named, NO_TEXTS] if texts is None else named, tables=tables)
    right_of = {name: _right(findings.right, name, findings.budget) for name in (pair.model, pair.rival)}
    probabilities = findings.answers.get(pair.model), findings.answers.get(pair.rival)
    if None in probabilities:
        probabilities = None, None
    measure = MEASURES[None in probabilities]
    sides = most_disagreed(texts, (right_of[pair.model], right_of[pair.rival]), probabilities, findings.quoted)
    runs = len(right_of[pair.model]), len(right_of[pair.rival])
    names = (pair.model, pair.rival), (pair.rival, pair.model)
    quotes = [
        (f"{first} is right, {second} wrong", [_quote(one, pair, runs, None in probabilities) for one in side])
        for (first, second), side in zip(names, sides, strict=True)
        if side
    ]
    if records := [_disagreement_record(one, pair) for side in sides for one in side]:
        tables.append(_disagreement_table(records, pair, findings.budget, measure))
    paragraph = (
        f"The test texts on which {pair.model} and {pair.rival} with {findings.budget:,} labels are furthest apart, by "
        f"{measure}."
    )
    return Section("disagreement", title, [*named, paragraph] if quotes else named, tables=tables, quotes=quotes)


def pair_sentence(pair: Pair) -> str:
    """Which two models are looked at more closely, and why these."""
    start = f"The two are {pair.model} and {pair.rival}: with {pair.label_budget:,} labels"
    if pair.answer is None:
        return f"{start}, of which there is no verdict, the best two on validation texts."
    return f"{start}, those that the verdict at the top is about."


def _right(right: Evidence, model: str, budget: int) -> Any:
    """1 where the runs of a model are right, [R, N]."""
    correct_PSN = right.correct[model, budget]
    return correct_PSN.reshape(-1, correct_PSN.shape[2])


def _quote(one: Disagreement, pair: Pair, runs: tuple[int, int], only_right: bool) -> Quote:
    told = [
        f"{name}: {'' if only_right else f'{percent(share)} % for the true label, '}{right} of {count} runs right"
        for name, share, right, count in (
            (pair.model, one.model_share, one.model_right, runs[0]),
            (pair.rival, one.rival_share, one.rival_right, runs[1]),
        )
    ]
    return Quote(excerpt(one.text), one.truth, one.place, told)


def _disagreement_record(one: Disagreement, pair: Pair) -> Record:
    return {"model": pair.model, "rival": pair.rival, **one._asdict()}


def _disagreement_table(records: Sequence[Record], pair: Pair, budget: int, measure: str) -> Table:
    rows = [
        [
            Cell(str(record["place"])),
            Cell(str(record["truth"])),
            Cell(percent(float(record["model_share"] or 0)), float(record["model_share"] or 0)),
            Cell(percent(float(record["rival_share"] or 0)), float(record["rival_share"] or 0)),
        ]
        for record in records
    ]
    return Table(
        "disagreements",
        f"The quoted texts, with {budget:,} labels",
        ["text", "true label", f"{pair.model}, %", f"{pair.rival}, %"],
        rows,
        records,
        note=f"In percent: {measure}, mean over the runs.",
        folded=True,
    )


def _slices(findings: Findings) -> Section:
    title, pair, budget = "Kinds of texts", findings.pair, findings.budget
    if findings.texts is None:
        return Section("slices", title, [NO_TEXTS])
    parts = slices_of(findings.texts.texts, findings.runs[0].config.corpus.language)
    models = [score.model for score in findings.comparison.scores if score.label_budget == budget]
    correct = {model: findings.right.correct[model, budget] for model in models}
    scores = slice_scores(parts, correct, findings.comparison.confidence)
    differences, figures = {}, []
    if pair is not None and scores:
        for part in parts:
            first_PSN, second_PSN = (correct[model][:, :, part.members_N] for model in (pair.model, pair.rival))
            found = difference_interval(first_PSN, second_PSN, findings.comparison.confidence)
            differences[part.group, part.name] = found
        by_model = {score.model: score for score in findings.comparison.scores if score.label_budget == budget}
        figures = [slice_figure(scores, pair, by_model)]
    return Section("slices", title, [], figures, _present(slice_table(scores, pair, differences, budget)))


def _classes(findings: Findings) -> Section:
    if not findings.answers:
        return Section("classes", "Classes and their confusions")
    tables = [class_table(findings.answers, findings.budget), *confusion_tables(findings.answers, findings.budget)]
    return Section("classes", "Classes and their confusions", tables=tables)


def _calibration(findings: Findings) -> Section:
    found = {model: reliability(answers) for model, answers in findings.answers.items()}
    if not found:
        return Section("calibration", "Confidence")
    by_model = {score.model: score for score in findings.comparison.scores if score.label_budget == findings.budget}
    uncalibrated = [model for model, answers in findings.answers.items() if not answers.calibrated]
    paragraphs = []
    if uncalibrated:
        names = listed(uncalibrated)
        paragraphs.append(f"The probabilities of {names} are as given: no temperature was fitted on validation texts.")
    tables = [calibration_table(found, findings.budget), reliability_table(found, findings.budget)]
    figure = reliability_figure(found, by_model, findings.budget)
    return Section("calibration", "Confidence", paragraphs, [figure], tables)


def _pretraining(stages: Mapping[str, RunFolder]) -> list[Section]:
    sections = [_encoder(stages["pretrain"])] if "pretrain" in stages else []
    writers = [
        (stage_title(key), folder) for key, folder in stages.items() if key.partition("#")[0] in list(STAGES)[1:]
    ]
    if writers:
        sections.append(Section("recurrent", "Recurrent pretraining", tables=[_writers_table(writers)]))
    return sections


def _encoder(folder: RunFolder) -> Section:
    """The pretraining of the encoder: its curves, and what it reached on held-out text."""
    result = folder.result()
    text = (
        f"{result['tokens']:,} tokens in {duration(result['seconds'])}, {result['parameters']:,} parameters, "
        f"{result['eval_sequences']:,} held-out sequences."
    )
    if "mfu" in result:
        text += (
            f" {result['tokens_per_second']:,.0f} real tokens a second: {result['model_gflops']:.0f} useful GFLOP/s, "
            f"{percent(result['mfu'])} % of the rate of a large matrix product on that machine; "
            f"{percent(result['data_wait_share'])} % of the time was spent waiting for data."
        )
    rows: list[list[Cell]] = []
    records: list[Record] = []

    def add(name: str, key: str, value: float, shown: str, baseline: float | None, baseline_name: str) -> None:
        base = "–" if baseline is None else f"{shown.format(baseline).replace('%', ' %')} ({baseline_name})"
        rows.append([Cell(name), Cell(shown.format(value).replace("%", " %"), value), Cell(base, baseline)])
        records.append({"metric": key, "value": value, "baseline": baseline})

    if "eval_mlm_loss" in result:
        entropy = result.get("eval_unigram_entropy")
        add("masked-LM loss, nats", "mlm_loss", result["eval_mlm_loss"], "{:.3f}", entropy, "unigram entropy")
        add("masked-LM accuracy", "mlm_accuracy", result["eval_mlm_accuracy"], "{:.1%}", None, "")
    for task in second_task_results(result):
        key = f"{task.prefix}_accuracy"
        add(f"{task.name} accuracy", key, task.accuracy, "{:.1%}", task.majority, "majority label")
    held_out = Table("held-out", "On held-out text", ["held out", "pretrained", "baseline"], rows, records)
    figures = pretraining_figures(folder)
    tables = [held_out, _curve_table(folder)] if figures else [held_out]
    return Section("pretraining", "Pretraining", [text], figures, tables)


def _curve_table(folder: RunFolder) -> Table:
    """The held-out values on the way; its records have the training values, too."""
    rows, log = [], read_metrics(folder.metrics)
    metrics = sorted({name.removeprefix("eval_") for row in log for name in row if name.startswith("eval_")})
    records: list[Record] = [
        {"metric": metric, "texts": texts, "million_tokens": tokens, "value": value}
        for metric in metrics
        for texts, prefix in (("training", ""), ("held out", "eval_"))
        for tokens, value in curve(log, f"{prefix}{metric}")
    ]
    for row in log:
        if any(f"eval_{metric}" in row for metric in metrics):
            values = [row.get(f"eval_{metric}") for metric in metrics]
            cells = [Cell("–" if value is None else f"{value:.3f}", value) for value in values]
            rows.append([Cell(f"{row['tokens'] / 1e6:.2f}", row["tokens"] / 1e6), *cells])
    headings = ["million tokens", *(metric.replace("_", " ") for metric in metrics)]
    return Table("pretraining", "Held out, on the way", headings, rows, records, folded=True)


def _writers_table(writers: Sequence[tuple[str, RunFolder]]) -> Table:
    rows: list[list[Cell]] = []
    records: list[Record] = []
    for name, folder in writers:
        result = folder.result()
        keys = ("eval_lm_loss", "eval_unigram_entropy", "eval_perplexity", "eval_bits_per_character")
        shown = ("{:.3f}", "{:.3f}", "{:.1f}", "{:.2f}")
        cells = [
            Cell("–" if result.get(key) is None else form.format(result[key]), result.get(key))
            for key, form in zip(keys, shown, strict=True)
        ]
        tokens, seconds = result["tokens"], result["seconds"]
        rows.append([Cell(name), *cells, Cell(f"{tokens:,}", tokens), Cell(f"{seconds:.0f}", seconds)])
        values: Record = {key.removeprefix("eval_"): result.get(key) for key in keys}
        records.append({"stage": name, **values, "tokens": tokens, "seconds": seconds})
    headings = [
        "held out", "loss, nats per token", "baseline (unigram entropy)", "perplexity", "bits per character", "tokens",
        "seconds",
    ]  # fmt: skip
    return Table("recurrent-pretraining", "On held-out text", headings, rows, records)
