"""What one process decides for all."""

from collections.abc import Callable
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from configs.errors import InputError


def decided_by_main(accelerator: Accelerator, decide: Callable[[], Any]) -> Any:
    """What the main process decides, in all processes, which all have to call it; the others do not call `decide`.

    For decisions that change files: two processes that clean up after a killed save would each delete what the other is
    about to.

    Raises:
        InputError: raised by `decide`, in all processes.
    """
    outcome: list[Any] = [None, None]
    if accelerator.is_main_process:
        try:
            outcome[0] = decide()
        except InputError as error:
            outcome[1] = str(error)
    if accelerator.num_processes > 1:
        broadcast_object_list(outcome)
    decision, refusal = outcome
    if refusal is not None:
        raise InputError(refusal)
    return decision
