"""What a report says: the verdict, the sections with their tables and figures, and how it was made.

Everything that HTML, Markdown, CSV and JSON have in common.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from configs.run_folder import RunFolder
from finetune.comparison.analysis.answers import Answers, LabelledTexts, read_answers, read_texts
from finetune.comparison.analysis.costs import Cost, cost, with_fronts
from finetune.comparison.analysis.decision import Step, decision
from finetune.comparison.analysis.disagreement import PairedTest, mcnemar
from finetune.comparison.analysis.headline import Headline, Pair, headline, pair_at, short_answer
from finetune.comparison.analysis.problems import problems
from finetune.comparison.analysis.together import Together, together
from finetune.comparison.analysis.words import count, listed, margin_of
from finetune.comparison.compared_score import score_name
from finetune.comparison.figures.plot import Figure
from finetune.comparison.figures.score import score_figure
from finetune.comparison.page_command import page_command
from finetune.comparison.reporting import provenance
from finetune.comparison.reporting.sections import Section
from finetune.comparison.reporting.tables import Record
from finetune.comparison.scores import Comparison, Run, Score
from finetune.comparison.summary import Evidence


@dataclasses.dataclass(frozen=True)
class Findings:
    """What was read and computed for a report, before it is put into sections."""

    comparison: Comparison
    runs: Sequence[Run]
    stages: Mapping[str, RunFolder]
    evidence: Evidence
    """Of the compared score."""
    right: Evidence
    """Of accuracy: which texts each run is right about; where a text may have several labels, about all of them."""
    pairs: Mapping[int, Pair]
    """By label budget, where there are two models."""
    costs: Mapping[int, Sequence[Cost]]
    """By label budget."""
    tests: Sequence[PairedTest]
    together: Sequence[Together]
    """Of the pairs whose runs have stored probabilities."""
    texts: LabelledTexts | None
    answers: Mapping[str, Answers]
    """Of the pair at the largest label budget, as far as they are stored."""
    quoted: int
    """Texts to quote on each side where the models disagree."""

    @property
    def budget(self) -> int:
        """The largest label budget, which the closer looks are about."""
        return self.evidence.budgets[-1]

    @property
    def pair(self) -> Pair | None:
        """The pair at the largest label budget."""
        return self.pairs.get(self.budget)

    @classmethod
    def of(
        cls, comparison: Comparison, runs: Sequence[Run], stages: Mapping[str, RunFolder], quoted: int
    ) -> "Findings":
        """Read the run folders.

        Raises:
            InputError: two runs at a budget were tested on different texts.
        """
        evidence = Evidence.of(runs, comparison.confidence, comparison.score)
        right = evidence if comparison.score == "accuracy" else Evidence.of(runs, comparison.confidence)
        pairs = {budget: pair for budget in evidence.budgets if (pair := pair_at(comparison, budget)) is not None}
        costs = {
            budget: with_fronts(
                [
                    cost(score, evidence.runs[score.model, budget])
                    for score in comparison.scores
                    if score.label_budget == budget
                ]
            )
            for budget in evidence.budgets
        }
        largest = evidence.budgets[-1]
        shown = [] if largest not in pairs else [pairs[largest].model, pairs[largest].rival]
        answers = {
            model: found for model in shown if (found := read_answers(evidence.runs[model, largest])) is not None
        }
        tests = [test for pair in pairs.values() for test in paired_tests(right, pair)]
        both = together(right, pairs.values())
        texts = read_texts(next(run for run in runs if run.label_budget == largest))
        return cls(comparison, runs, stages, evidence, right, pairs, costs, tests, both, texts, answers, quoted)


def paired_tests(right: Evidence, pair: Pair) -> list[PairedTest]:
    """The exact test of every run of the model against the run of its rival with the same seed."""
    model, rival = (
        {(run.pretraining_seed, run.seed): index for index, run in enumerate(right.runs[name, pair.label_budget])}
        for name in (pair.model, pair.rival)
    )
    correct = [
        right.correct[name, pair.label_budget].reshape(-1, right.correct[name, pair.label_budget].shape[2])
        for name in (pair.model, pair.rival)
    ]
    tests = []
    for (start, seed), index in model.items():
        other = rival.get((start, seed), next((place for (_, theirs), place in rival.items() if theirs == seed), None))
        if other is not None:
            found = mcnemar(np.asarray(correct[0][index]), np.asarray(correct[1][other]))
            tests.append(PairedTest(pair.label_budget, pair.model, pair.rival, seed, start, *found))
    return tests


@dataclasses.dataclass(frozen=True)
class Report:
    """A report, whatever it is written as."""

    name: str
    subtitle: str
    answer: str
    """To “Did pretraining pay?”."""
    headlines: Sequence[Headline]
    """The largest label budget first."""
    figure: Figure
    """The scores, at the top."""
    decisions: Mapping[int, Sequence[str]]
    """What a further point takes, in sentences, by label budget."""
    verdicts: Sequence[str]
    """In full, as the command prints them."""
    synthetic: bool
    sections: Sequence[Section]
    problems: Sequence[str]
    method: Mapping[str, Any]
    """What the text about the method depends on."""
    commands: Sequence[str]
    page_command: str | None
    """Makes a page on which the models answer as one types; None where there is none."""
    origins: Sequence[tuple[str, str]]
    """Versions, fingerprints and leakage: names and values."""

    def tables(self) -> dict[str, list[Record]]:
        """The records of all tables by name; tables of one name have the same columns and follow each other."""
        found: dict[str, list[Record]] = {}
        for section in self.sections:
            for table in section.tables:
                found.setdefault(table.name, []).extend(table.records)
        return found

    def record(self) -> dict[str, Any]:
        """The entries of `result.json`."""
        return {
            "answer": self.answer,
            "headlines": [dataclasses.asdict(one) for one in self.headlines],
            "decisions": {str(budget): list(sentences) for budget, sentences in self.decisions.items()},
            "problems": list(self.problems),
            "tables": self.tables(),
        }


def headlines_of(findings: Findings) -> list[Headline]:
    """The verdict at each label budget, the largest first."""
    device, comparison = provenance.device(findings.runs), findings.comparison
    return [
        headline(
            comparison,
            findings.pairs.get(budget),
            budget,
            findings.tests,
            {cost.model: cost for cost in findings.costs[budget]},
            device,
        )
        for budget in reversed(findings.evidence.budgets)
    ]


def decisions_of(findings: Findings) -> tuple[dict[int, list[str]], list[Step]]:
    """What a further point takes at each label budget, and the measured steps."""
    sentences, steps = {}, []
    for budget in reversed(findings.evidence.budgets):
        pair = findings.pairs.get(budget)
        models = [score.model for score in findings.comparison.scores if score.label_budget == budget][:1]
        if pair is not None:
            # The one to take first.
            models = sorted((pair.model, pair.rival), key=lambda model: model != pair.chosen)
        sentences[budget], found = decision(findings.evidence, findings.comparison.scores, budget, models)
        steps += found
    return sentences, steps


def subtitle(findings: Findings) -> str:
    """What was compared, in a line."""
    comparison, facts = findings.comparison, findings.runs[0].folder.result()
    models = len({score.model for score in comparison.scores})
    return ", ".join(
        [
            count(models, "model"),
            count(len(comparison.seeds), "seed"),
            count(len(findings.evidence.budgets), "number") + " of labels",
            count(facts["test_texts"], "test text"),
        ]
    )


def validation_texts(scores: Sequence[Score]) -> str:
    """How many validation texts a run had, at each label budget if that differs."""
    found = {
        budget: sorted({score.validation_texts for score in scores if score.label_budget == budget})
        for budget in sorted({score.label_budget for score in scores})
    }
    told = {
        budget: f"{texts[0]:,}" if len(texts) == 1 else f"{texts[0]:,} to {texts[-1]:,}"
        for budget, texts in found.items()
    }
    if len(set(told.values())) == 1:
        return f"{told[min(told)]} validation texts a run"
    parts = [f"{texts} at {budget:,} labels" for budget, texts in told.items()]
    return f"validation texts a run: {listed(parts)}"


def report_of(
    name: str, findings: Findings, sections: Sequence[Section], decisions: Mapping[int, Sequence[str]]
) -> Report:
    """The whole report."""
    comparison, runs = findings.comparison, findings.runs
    return Report(
        name=name,
        subtitle=subtitle(findings),
        answer=short_answer(list(findings.pairs.values()), comparison.scores),
        headlines=headlines_of(findings),
        figure=score_figure(comparison, list(findings.pairs.values())),
        decisions=decisions,
        verdicts=comparison.verdicts,
        synthetic=runs[0].config.corpus.source == "sample",
        sections=sections,
        problems=problems(runs, comparison.score),
        method={
            "level": f"{100 * comparison.confidence:g}",
            "significance": f"{100 - 100 * comparison.confidence:g}",
            "margin": margin_of(comparison.margin),
            "score": score_name(comparison.score),
            "is_accuracy": comparison.score == "accuracy",
            "seeds": len(comparison.seeds),
            "validation_texts": validation_texts(comparison.scores),
            "pretraining_seeds": max(1, len({run.pretraining_seed for run in runs} - {None})),
            "pretrained": any(score.pretrained for score in comparison.scores),
        },
        commands=[run.command for run in runs],
        page_command=page_command(runs, comparison),
        origins=provenance.origins(runs, findings.stages),
    )
