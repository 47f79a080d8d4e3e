"""The validation texts that an export checks a model with."""

import shutil
from pathlib import Path

import pytest

from finetune.publishing.check_texts import validation_texts
from finetune.run import run
from tests.helpers.finetuning import finetune_config


def test_copies_are_told_when_a_run_begins_and_not_when_its_texts_are_read_again(
    chain: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Once, the export of a finished model read all test texts again, and warned of them.
    file = tmp_path / "again.jsonl"
    shutil.copy(chain / "labelled" / "train.jsonl", file)
    changes = {"model__name": "lstm", "test": str(file), "training__duration": "2 steps"}
    finished = run(finetune_config(chain, name="copied", **changes))
    assert "test: 120 of the 120 test texts are copies of training texts" in caplog.text
    caplog.clear()
    assert len(validation_texts(finished, 5)) == 5
    assert "copies" not in caplog.text
