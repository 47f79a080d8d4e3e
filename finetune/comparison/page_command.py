"""The command that makes a page on which one tries a comparison's models."""

import shlex
from collections.abc import Sequence

import numpy as np

from finetune.comparison.scores import Comparison, Run
from finetune.comparison.summary import contenders, family_of
from finetune.comparison.verdict import ranked

PROGRAM = "python -m finetune.demo"
# Where the command serves the page.
PORT = 8001


def page_command(runs: Sequence[Run], comparison: Comparison) -> str | None:
    """The command for the runs with the most labels and the first seeds, of the families that take part.

    It has the model that the verdict is about, and of each family that with the best mean validation score: of encoders
    a pretrained one if there is one, of others one without pretraining.

    Args:
        runs: all finished runs of a comparison.
        comparison: what was found.

    Returns:
        The command; None if the texts are pairs, for which a page has no field, or may have several labels.
    """
    has_several_labels = any("thresholds" in run.folder.result() for run in runs)
    if has_several_labels or any(run.config.corpus.second_text_column is not None for run in runs):
        return None
    most = max(run.label_budget for run in runs)
    by_model: dict[str, list[Run]] = {}
    for run in runs:
        if run.label_budget == most:
            by_model.setdefault(run.model, []).append(run)
    families = {model: family_of(group[0].config.model.name) for model, group in by_model.items()}
    means = {
        model: float(np.mean([run.folder.result()[f"eval_{comparison.score}"] for run in group]))
        for model, group in by_model.items()
    }
    scores = {score.model: score for score in comparison.scores if score.label_budget == most}
    answers = [answer for answer in comparison.answers if answer.label_budget == most]
    judged = [answer.model for answer in ranked(answers, scores)]
    judged = judged or sorted(contenders(families), key=lambda model: -means[model])
    chosen: list[str] = []
    for family, prefers_pretrained in (("encoder", True), ("recurrent", False), ("linear", False)):
        candidates = [model for model in by_model if families[model][0] == family]
        preferred = [model for model in candidates if families[model][1] == prefers_pretrained] or candidates
        best = sorted(preferred, key=lambda model: -means[model])[:1]
        leader = [model for model in judged[:1] if model in candidates]
        # Of encoders, the best pretrained one would be a second of its kind.
        chosen += leader if family == "encoder" and leader else dict.fromkeys([*leader, *best])
    return f"{PROGRAM} {shlex.join(str(by_model[model][0].folder.path) for model in chosen)} --serve true"
