"""A pool of processes: what becomes of it when its parent is killed."""

import subprocess
import sys
import time

import psutil

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
    deadline = time.monotonic() + 30
    while any(map(forked.is_alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(forked.is_alive, workers))
