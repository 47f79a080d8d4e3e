"""Pretraining, `-m tests.helpers.spoiled --config FILE`; the second of two processes has a NaN in two steps."""

import dataclasses
import itertools
import os
from typing import Any

from pretrain.objectives.objective import LossOutput
from pretrain.objectives.registry import OBJECTIVES

SPOILED = (4, 5)

if __name__ == "__main__":
    from pretrain.__main__ import main

    original, calls = OBJECTIVES["mlm_nsp"], itertools.count()

    def spoiled(model: Any, batch: Any) -> LossOutput:
        """The loss, which is NaN in two training steps of rank 1."""
        output = original.loss(model, batch)
        if model.training and next(calls) in SPOILED and os.environ["RANK"] == "1":
            return output._replace(loss=output.loss * float("nan"))
        return output

    OBJECTIVES["mlm_nsp"] = dataclasses.replace(original, loss=spoiled)
    main()
