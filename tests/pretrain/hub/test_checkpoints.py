"""A run's checkpoints go to the Hub while it trains, and another machine goes on from there, bit for bit."""

import logging
import shutil
from pathlib import Path

import pytest
from huggingface_hub import constants

from configs.errors import InputError, Interrupted
from pretrain.hub import checkpoints as hub_checkpoints
from pretrain.run import run
from pretrain.run_paths import run_folder
from pretrain.training import checkpoints, engine
from tests.helpers.http.hub_server import TOKEN, Fault, Hub
from tests.helpers.pretraining import changed, result_without_clock, rows_without_clock, small_run

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=")

REPOSITORY = "somebody/checkpoints"


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("hub"), training={"duration": "8 steps", "save_every": 2})


@pytest.fixture(scope="module")
def unbroken(config):
    return run(config)


@pytest.fixture
def quick(monkeypatch):
    """The thread looks for checkpoints more often than these are written."""
    monkeypatch.setattr(hub_checkpoints, "SECONDS", 0.001)


def interrupted_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the training of this process be interrupted once."""
    calls, original = [0], engine.signals.safe_point

    def safe_point(accelerator):
        calls[0] += 1
        if calls[0] == steps:
            raise Interrupted(15)
        original(accelerator)

    monkeypatch.setattr(engine.signals, "safe_point", safe_point)


@pytest.mark.usefixtures("quick")
def test_another_machine_goes_on_where_the_first_was_interrupted(
    config, unbroken, tmp_path, hub: Hub, monkeypatch, caplog
):
    caplog.set_level(logging.INFO, logger="pretrain")
    here = changed(config, runs=str(tmp_path / "here"), checkpoint_hub=REPOSITORY)
    with monkeypatch.context() as patched:
        interrupted_after(6, patched)
        with pytest.raises(Interrupted):
            run(here)
    assert hub.private == {REPOSITORY: True}
    steps = {name.split("/")[1] for name in hub.repositories[REPOSITORY] if name.count("/") == 2}
    newest = checkpoints.list_checkpoints(run_folder(here).checkpoints)[-1]
    # The one of the interruption, and no earlier one.
    assert steps == {newest.name}
    assert {name.split("/")[0] for name in hub.repositories[REPOSITORY]} == {run_folder(here).path.name}
    assert TOKEN not in caplog.text
    there = changed(here, runs=str(tmp_path / "there"))
    caplog.clear()
    resumed = run(there)
    assert f"fetching {newest.name}" in caplog.text
    assert f"resuming from {resumed.checkpoints / newest.name}" in caplog.text
    assert result_without_clock(resumed) == result_without_clock(unbroken)
    assert rows_without_clock(resumed) == rows_without_clock(unbroken)
    assert not list(resumed.path.parent.glob(".fetched-*"))
    assert not list(resumed.path.parent.glob(".pushed-*"))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kind", ["preupload", "lfs batch", "lfs put", "commit"])
@pytest.mark.parametrize("answer", [503, "cut", "cut after", 403])
def test_a_push_that_fails_costs_no_training(config, unbroken, tmp_path, hub: Hub, kind, answer, caplog):
    hub.faults.append(Fault(kind, answer, times=1 if answer != 403 else 10**6))
    here = changed(config, runs=str(tmp_path / "here"), checkpoint_hub=REPOSITORY)
    assert result_without_clock(run(here)) == result_without_clock(unbroken)
    steps = {name.split("/")[1] for name in hub.repositories[REPOSITORY] if name.count("/") == 2}
    if answer == 403:
        assert f"was not pushed to {REPOSITORY}" in caplog.text
        assert not steps
    else:
        assert steps == {checkpoints.list_checkpoints(run_folder(here).checkpoints)[-1].name}
    assert TOKEN not in caplog.text


def test_the_newer_of_two_machines_is_gone_on_from_and_never_taken_away(
    config, unbroken, tmp_path, hub: Hub, monkeypatch
):
    first, second = (
        changed(config, runs=str(tmp_path / name), checkpoint_hub=REPOSITORY) for name in ("first", "second")
    )
    with monkeypatch.context() as patched:
        interrupted_after(4, patched)
        with pytest.raises(Interrupted):
            run(first)
    behind = checkpoints.list_checkpoints(run_folder(first).checkpoints)[-1]
    run(second)
    newest = checkpoints.list_checkpoints(run_folder(second).checkpoints)[-1]
    # What the first machine has is older than what it would push over.
    hub_of_first = hub_checkpoints.CheckpointHub(REPOSITORY, run_folder(first))
    hub_of_first.push_newest()
    steps = {name.split("/")[1] for name in hub.repositories[REPOSITORY] if name.count("/") == 2}
    assert steps == {newest.name} != {behind.name}
    assert result_without_clock(run(first)) == result_without_clock(unbroken)
    assert (run_folder(first).checkpoints / newest.name).is_dir()


def test_a_checkpoint_is_tried_once_and_the_last_one_again(config, tmp_path, hub: Hub, caplog):
    here = changed(config, runs=str(tmp_path / "here"))
    run(here)
    hub.repositories[REPOSITORY] = {}
    hub.faults.append(Fault("commit", 403, times=10**6))
    pushes = hub_checkpoints.CheckpointHub(REPOSITORY, run_folder(here))
    for is_last in (False, False, True):
        pushes.push_newest(is_last)
    assert caplog.text.count("was not pushed") == 2


def test_several_runs_share_a_repository(config, tmp_path, hub: Hub):
    for seed in (0, 1):
        run(changed(config, runs=str(tmp_path / "runs"), seed=seed, checkpoint_hub=REPOSITORY))
    folders = {name.split("/")[0] for name in hub.repositories[REPOSITORY]}
    assert len(folders) == 2
    assert all(f"{folder}/metrics.jsonl" in hub.repositories[REPOSITORY] for folder in folders)


def test_a_damaged_checkpoint_is_not_gone_on_from(config, tmp_path, hub: Hub):
    here = changed(config, runs=str(tmp_path / "here"), checkpoint_hub=REPOSITORY)
    run(here)
    (name,) = [name for name in hub.repositories[REPOSITORY] if name.endswith("state.json")]
    hub.tampered[name] = b"{}"
    shutil.rmtree(run_folder(here).path)
    with pytest.raises(InputError, match=rf"checkpoint_hub: {REPOSITORY}/.* is damaged \(state.json"):
        run(here)
    assert not checkpoints.list_checkpoints(run_folder(here).checkpoints)


def test_what_is_wrong_is_told_before_anything_is_trained(config, tmp_path, hub: Hub, monkeypatch):
    here = changed(config, runs=str(tmp_path / "here"))
    with pytest.raises(InputError, match="checkpoint_hub: 'mine' is not of the form owner/name"):
        run(changed(here, checkpoint_hub="mine"))
    hub.faults.append(Fault("create", 403, times=10**6))
    with pytest.raises(InputError, match=rf"checkpoint_hub: {REPOSITORY}: .*403"):
        run(changed(here, checkpoint_hub=REPOSITORY))
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(Path(tmp_path) / "none"))
    with pytest.raises(InputError, match="no token for the Hub"):
        run(changed(here, checkpoint_hub=REPOSITORY))
