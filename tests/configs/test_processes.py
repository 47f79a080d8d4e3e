"""A pool of processes: what becomes of it when its parent is killed, or asked to end, or one of them is killed."""

import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from configs import processes
from configs.errors import Interrupted
from configs.processes import LostProcessError, in_processes
from tests.helpers import forked
from tests.helpers.paths import ROOT

PARENT = """
import os, time
from configs.processes import in_processes

def work(number):
    print(os.getpid(), flush=True)
    time.sleep(60)

if __name__ == "__main__":
    list(in_processes(work, [1, 2], 2, imports=["json"]))
"""


def test_the_processes_of_a_killed_parent_end(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT, encoding="utf-8")
    command = [sys.executable, str(tmp_path / "parent.py")]
    with subprocess.Popen(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        workers = [psutil.Process(int(parent.stdout.readline())) for _ in range(2)]
        parent.kill()
    assert all_end(workers)


def all_end(processes):
    """Whether they end within half a minute."""
    deadline = time.monotonic() + 30
    while any(map(forked.is_alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(forked.is_alive, processes))


# More items than processes; each notes that it was begun, and what became of it.
MANY = """
import sys, time
from pathlib import Path
from configs.errors import Interrupted, run_command
from configs.processes import in_processes

def work(number):
    file = Path(sys.argv[1]) / str(number)
    try:
        file.write_text("begun")
        if number >= 2:
            time.sleep(60)
    except BaseException:
        file.write_text("saved")
        raise

def main():
    list(in_processes(work, range(9), 2, imports=["json"]))

if __name__ == "__main__":
    run_command("many", main)
"""


# Of a service manager, to the parent alone or to all; of a terminal.
@pytest.mark.parametrize(
    ("number", "whole_group"), [(signal.SIGTERM, False), (signal.SIGTERM, True), (signal.SIGINT, True)]
)
def test_a_signal_ends_the_running_items_and_no_other_is_begun(tmp_path, number, whole_group):
    (tmp_path / "many.py").write_text(MANY, encoding="utf-8")
    notes = tmp_path / "notes"
    notes.mkdir()
    command = [sys.executable, str(tmp_path / "many.py"), str(notes)]
    with subprocess.Popen(
        command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as parent:
        # The first two are done; the next two run.
        while len(list(notes.iterdir())) < 4:
            assert parent.poll() is None
            time.sleep(0.02)
        children = psutil.Process(parent.pid).children(recursive=True)
        if whole_group:
            os.killpg(parent.pid, number)
        else:
            parent.send_signal(number)
        assert parent.wait(60) == 75
        assert parent.stderr is not None
        assert parent.stderr.read() == "many: interrupted; run the same command again to resume\n"
    assert {file.name: file.read_text() for file in notes.iterdir()} == {
        "0": "begun", "1": "begun", "2": "saved", "3": "saved",
    }  # fmt: skip
    assert all_end(children)


def test_a_process_that_had_a_signal_begins_no_other_item_before_its_pool_tells_it(monkeypatch):
    # Once, Ctrl-C let a worker take the next item while the parent still heard of the interrupted one.
    ending = threading.Event()
    monkeypatch.setattr(processes._Worker, "ending", ending, raising=False)
    monkeypatch.setattr(processes._Worker, "is_ending", False)
    assert processes._Worker.work(abs, -1) == 1
    processes._Worker._stop(signal.SIGINT, None)
    with pytest.raises(Interrupted):
        processes._Worker.work(abs, -2)


def _killed(number: int) -> int:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_process_that_is_killed_is_told():
    with pytest.raises(LostProcessError, match=r"a process was killed \(out of memory\?\); finished work is kept"):
        list(in_processes(_killed, [1, 2], 1))
