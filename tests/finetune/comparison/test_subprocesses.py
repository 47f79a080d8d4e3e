"""A stage as a process of its own: how it ends, and what it does when the comparison is to end."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from configs.errors import InputError, Interrupted, RunError
from configs.run_folder import RunFolder
from finetune.comparison.running import subprocesses

LATE = """
import signal, sys, time
def saved(*_):
    time.sleep(0.3)
    open(sys.argv[1], "w").write("saved")
    sys.exit(75)
signal.signal(signal.SIGTERM, saved)
open(sys.argv[1] + ".ready", "w").close()
time.sleep(60)
"""


# As `accelerate launch` of one process does.
LAUNCHER = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", *sys.argv[1:]]).wait()
"""


@pytest.mark.parametrize("launched", [False, True])
def test_what_ends_a_comparison_ends_its_stage_first_and_waits_for_its_checkpoint(tmp_path, launched):
    file = tmp_path / "file"

    def asked(number, frame):
        raise Interrupted(number)

    def ask():
        while not Path(f"{file}.ready").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, asked)
    threading.Thread(target=ask).start()
    try:
        command = ["-c", LAUNCHER, LATE, str(file)] if launched else ["-c", LATE, str(file)]
        with pytest.raises(Interrupted):
            subprocesses.run_process([sys.executable, *command])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert file.read_text() == "saved"


def test_a_stage_that_was_interrupted_interrupts_the_comparison(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocesses, "run_process", lambda arguments: 75)
    with pytest.raises(Interrupted) as caught:
        subprocesses.run_stage("python -m pretrain", RunFolder(tmp_path))
    assert caught.value.code == 75


@pytest.mark.parametrize(("status", "error"), [(2, InputError), (1, RunError), (-9, RunError), (0, RunError)])
def test_only_a_stage_that_had_a_user_error_is_one_of_the_comparison(tmp_path, monkeypatch, status, error):
    # Once, a full disk in pretraining ended the comparison with the status of user errors.
    monkeypatch.setattr(subprocesses, "run_process", lambda arguments: status)
    with pytest.raises(error, match=f"`python -m pretrain` exited with status {status}"):
        subprocesses.run_stage("python -m pretrain", RunFolder(tmp_path))
