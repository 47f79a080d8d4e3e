"""All objectives by name."""

from typing import Any, NamedTuple

from configs.errors import InputError
from configs.key_check import suggestion
from pretrain.objectives.autoencode import AUTOENCODE
from pretrain.objectives.causal_lm import CAUSAL_LM
from pretrain.objectives.masked_lm import MLM, MLM_NSP, MLM_SOP
from pretrain.objectives.objective import Objective
from pretrain.objectives.replaced_token import RTD

OBJECTIVES: dict[str, Objective] = {
    objective.name: objective for objective in (MLM_NSP, MLM, MLM_SOP, CAUSAL_LM, AUTOENCODE, RTD)
}


def objective_named(name: str) -> Objective:
    """The objective with this name.

    Raises:
        InputError: no objective has this name.
    """
    if name not in OBJECTIVES:
        known = sorted(OBJECTIVES)
        raise InputError(f"objective: unknown {name!r}{suggestion(name, known)} (known: {', '.join(known)})")
    return OBJECTIVES[name]


class SecondTaskResult(NamedTuple):
    """The held-out result of a second task."""

    prefix: str
    name: str
    accuracy: float
    majority: float


def second_task_results(result: dict[str, Any]) -> list[SecondTaskResult]:
    """The results of the second tasks in a pretraining result: one or none."""
    tasks = [objective.second_task for objective in OBJECTIVES.values() if objective.second_task is not None]
    return [
        SecondTaskResult(
            task.prefix, task.name, result[f"eval_{task.prefix}_accuracy"], result[f"eval_{task.prefix}_majority"]
        )
        for task in tasks
        if f"eval_{task.prefix}_accuracy" in result
    ]
