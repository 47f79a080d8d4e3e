"""The command makes a page and serves it until it is stopped."""

import os
import re
import shutil
import signal
import time
import urllib.request

import pytest

from finetune.demo import DemoConfig, run
from finetune.page.packages import installed
from finetune.run import run as fine_tune
from tests.helpers import forked
from tests.helpers.finetuning import finetune_config
from tests.helpers.http.browser import page_packages


@pytest.fixture
def counting(chain):
    return str(fine_tune(finetune_config(chain, model__name="bag-of-words")).path)


@pytest.fixture
def runs(tmp_path):
    """A folder of runs where npm's packages are at hand."""
    packages = installed(page_packages())
    return shutil.copytree(packages, tmp_path / "runs" / packages.name).parent


def test_it_prints_where_the_page_is_and_serves_it(counting, runs):
    command = forked.Command(["-m", "finetune.demo", counting, "--runs", str(runs), "--serve", "true", "--port", "0"])
    deadline = time.monotonic() + 60
    while not (address := re.search(r"http://\S+", command.printed("stdout"))):
        assert time.monotonic() < deadline, command.printed("stderr")
        time.sleep(0.05)
    with urllib.request.urlopen(address[0]) as answer:
        assert b"Models side by side" in answer.read()
    assert command.process.pid is not None
    os.kill(command.process.pid, signal.SIGINT)
    done = command.wait(30)
    (folder,) = (runs / "page").iterdir()
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, f"page: {folder}")
    assert run(DemoConfig([counting], runs=str(runs))) == folder


def test_a_wrong_run_is_told_in_one_line(tmp_path):
    done = forked.run(["-m", "finetune.demo", str(tmp_path), "--to", str(tmp_path / "page")])
    assert done.returncode == 2
    assert done.stderr == f"python -m finetune.demo: error: {tmp_path} holds no finished run (no result.json)\n"
    assert not (tmp_path / "page").exists()
