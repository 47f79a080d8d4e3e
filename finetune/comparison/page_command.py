"""The command that makes a page on which one tries a comparison's models."""

import shlex
from collections.abc import Sequence

import numpy as np

from finetune.comparison.scores import Run
from finetune.comparison.summary import family_of

PROGRAM = "python -m finetune.demo"
# Where the command serves the page.
PORT = 8001


def page_command(runs: Sequence[Run]) -> str | None:
    """The command for the runs with the most labels and the first seeds: an encoder, a recurrent and a linear model.

    Of each family it takes the model with the best mean validation accuracy, of encoders a pretrained one if there is
    one, of recurrent models one without pretraining.

    Args:
        runs: all finished runs of a comparison.

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
    accuracies = {
        model: float(np.mean([run.folder.result()["eval_accuracy"] for run in group]))
        for model, group in by_model.items()
    }
    chosen = []
    for family, prefers_pretrained in (("encoder", True), ("recurrent", False), ("linear", False)):
        candidates = [model for model in by_model if families[model][0] == family]
        preferred = [model for model in candidates if families[model][1] == prefers_pretrained] or candidates
        chosen += sorted(preferred, key=lambda model: -accuracies[model])[:1]
    return f"{PROGRAM} {shlex.join(str(by_model[model][0].folder.path) for model in chosen)} --serve true"
