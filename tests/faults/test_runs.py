"""Faults of whole runs, in small; `make faults` is the campaign."""

import dataclasses
import math
import os
import signal
import threading
import time
import types
from typing import Any

import numpy as np
import pytest
import torch

import pretrain.run
from configs.errors import InputError, Interrupted, RunError, run_command
from pretrain.data.loader import LoaderSettings, load_steps
from pretrain.objectives import registry
from pretrain.run_paths import run_folder
from pretrain.training import checkpoints, engine
from pretrain.training.guards import nonfinite, signals
from pretrain.training.guards.outcomes import Outcome
from pretrain.training.guards.watchdog import Heartbeat
from pretrain.training.metric_logger import read_metrics
from pretrain.training.train_state import TrainState
from tests.faults import processes as faults_processes
from tests.faults import runs as faults_runs
from tests.faults.campaign import CAMPAIGN
from tests.helpers.paths import ROOT
from tests.helpers.pretraining import changed, rewrite_state, small_run


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """What is forked must not inherit a pool of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_runs_that_are_killed_end_as_if_they_were_not(tmp_path):
    found = faults_runs.kill_in_training(tmp_path, runs=3)
    assert found["not bit-equal"] == 0
    assert found["kills"] > 0


@pytest.mark.parametrize("workers", [0, 2])
def test_signals_save_and_leave_with_a_status_of_their_own(tmp_path, workers):
    found = faults_runs.signals(tmp_path, count=4, workers=(workers,))
    assert found["wrong status"] == 0
    assert found["runs not bit-equal"] == 0
    assert found["most steps lost"] <= 1


def test_a_signal_in_an_evaluation_saves_the_step_and_the_evaluation_is_made_up_for(tmp_path, monkeypatch):
    config = small_run(tmp_path, training={"duration": "16 steps", "evaluations": 4, "save_every": 100})
    job = faults_runs.Job(config, pretrain.run.run, run_folder)
    job.run(config)
    other = job.elsewhere(tmp_path / "signalled")
    original = pretrain.run.evaluate

    def evaluate(accelerator, model, held_out, objective):
        os.kill(os.getpid(), signal.SIGTERM)
        return original(accelerator, model, held_out, objective)

    with monkeypatch.context() as patched:
        patched.setattr(pretrain.run, "evaluate", evaluate)
        with pytest.raises(Interrupted):
            other.run(other.config)
    steps = checkpoints.list_checkpoints(run_folder(other.config).checkpoints)
    assert [place.name for place in steps] == ["step-00000000", "step-00000004"]
    assert not any("eval_loss" in row for row in read_metrics(run_folder(other.config).metrics))
    other.run(other.config)
    assert other.outcome() == job.outcome()


def test_a_second_signal_leaves_at_once(tmp_path):
    config = small_run(tmp_path, training={"duration": "2 steps"})

    def stuck(*_):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            time.sleep(0.01)

    job = faults_runs.Job(config, pretrain.run.run, run_folder)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pretrain.run, "evaluate", stuck)
        child = job.in_child()
        deadline = time.monotonic() + 30
        while not checkpoints.list_checkpoints(run_folder(config).checkpoints) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        for _ in range(2):
            os.kill(child.pid, signal.SIGTERM)
            time.sleep(0.2)
        child.join(30)
    assert child.exitcode == 128 + signal.SIGTERM


def test_handlers_are_those_of_before_afterwards_and_other_threads_have_none():
    before = signal.getsignal(signal.SIGTERM)
    with signals.handled():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
    seen = []

    def elsewhere():
        with signals.handled():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [before]


def test_workers_outlive_a_signal_to_the_group_and_end_with_the_run(tmp_path):
    """A worker that dies of the signal would raise in the middle of a step."""
    epoch = faults_runs.small_epoch(tmp_path)
    steps = load_steps(epoch, LoaderSettings(workers=1, begin_worker=signals.ignore_signals))
    first = next(steps)
    (worker,) = torch.multiprocessing.active_children()
    for number in (signal.SIGINT, signal.SIGTERM):
        worker_number = worker.pid
        assert worker_number is not None
        os.kill(worker_number, number)
    assert len(first) == len(next(steps)) == 1
    steps.close()
    assert not worker.is_alive()


def test_one_of_many_that_start_the_same_run_does_it(tmp_path):
    found = faults_runs.one_owner(tmp_path, starts=5)
    assert (found["ran"], found["refused"]) == (1, 4)


@pytest.mark.parametrize("guarded", [(), ("cpu",)])
def test_what_is_no_number_reaches_neither_weights_nor_checkpoints(tmp_path, monkeypatch, guarded):
    monkeypatch.setattr(nonfinite, "WORTH_GUARDING", guarded)
    found = faults_runs.non_finite(tmp_path)
    assert found["skipped"] == found["with their samples"] == found["weights unmoved"] == found["counted"] == 3
    assert found["in checkpoints"] == found["rows with NaN"] == 0


def test_too_many_bad_steps_in_a_row_stop_the_run_with_its_last_checkpoint(tmp_path, monkeypatch):
    config = small_run(tmp_path, training={"duration": "20 steps", "save_every": 5, "maximum_skipped_steps": 3})
    original, calls = registry.OBJECTIVES["mlm_nsp"], iter(range(1000))

    def spoiled(model, batch):
        output = original.loss(model, batch)
        return output._replace(loss=output.loss * (float("nan") if model.training and next(calls) >= 7 else 1))

    monkeypatch.setitem(registry.OBJECTIVES, "mlm_nsp", dataclasses.replace(original, loss=spoiled))
    with pytest.raises(RunError, match="3 steps in a row, up to step 10, had a NaN or infinite loss"):
        pretrain.run.run(config)
    assert [place.name for place in checkpoints.list_checkpoints(run_folder(config).checkpoints)][-1] == "step-00000005"


def test_a_step_left_out_leaves_a_gradient_scaler_ready_for_the_next(tmp_path):
    """fp16 needs a GPU; the scaler itself works anywhere."""
    scaler, weight = torch.amp.GradScaler("cpu"), torch.ones(2, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.1)
    accelerator = types.SimpleNamespace(scaler=scaler)
    config = small_run(tmp_path, training={"maximum_skipped_steps": 5}).training
    run: Any = types.SimpleNamespace(accelerator=accelerator, config=config)
    logger: Any = types.SimpleNamespace(note=lambda *_: None)
    session = engine.Session(TrainState(), logger)
    outcome = Outcome(0, 0, np.arange(2), [], torch.tensor([math.nan, math.nan]))
    for _ in range(2):
        scaler.scale((weight * float("nan")).sum()).backward()
        scaler.unscale_(optimizer)
        assert not engine._settle(run, session, outcome)
        optimizer.zero_grad()
    assert weight.tolist() == [1.0, 1.0]
    assert scaler.get_scale() == 2.0**16 / 4


def test_a_carried_state_that_is_no_number_is_not_carried(tmp_path, monkeypatch):
    job = faults_runs.jobs(tmp_path, steps=12)["language model"]
    original, calls = registry.OBJECTIVES["causal_lm"], iter(range(1000))

    def spoiled(model, batch, carry):
        output = original.loss(model, batch, carry)
        if model.training and next(calls) == 4:
            carry = {name: value * float("nan") for name, value in output.carry.items()}
            return output._replace(loss=output.loss * float("nan"), carry=carry)
        return output

    monkeypatch.setitem(registry.OBJECTIVES, "causal_lm", dataclasses.replace(original, loss=spoiled))
    folder = job.run(job.config)
    assert folder.result()["skipped_steps"] == 1


def test_weights_that_are_no_numbers_are_never_saved(tmp_path, monkeypatch):
    config = small_run(tmp_path, training={"duration": "10 steps", "save_every": 4})
    monkeypatch.setattr(engine, "set_lr", lambda groups, *_: groups[0].update(lr=1e38))
    with pytest.raises(RunError, match=r"holds NaN or infinity|had a NaN or infinite loss"):
        pretrain.run.run(config)
    assert not any(
        faults_runs.not_finite(place) for place in checkpoints.list_checkpoints(run_folder(config).checkpoints)
    )


def test_a_jump_of_the_loss_is_noted(tmp_path, monkeypatch):
    config = small_run(tmp_path, training={"duration": "70 steps", "save_every": 100})
    original, calls = registry.OBJECTIVES["mlm_nsp"], iter(range(1000))

    def spiked(model, batch):
        output = original.loss(model, batch)
        return output._replace(loss=output.loss * (50 if model.training and next(calls) == 60 else 1))

    monkeypatch.setitem(registry.OBJECTIVES, "mlm_nsp", dataclasses.replace(original, loss=spiked))
    rows = read_metrics(pretrain.run.run(config).metrics)
    assert [row["step"] for row in rows if "spike" in row] == [61]


def test_with_little_memory_more_micro_batches_give_the_same_curve(tmp_path):
    found = faults_runs.little_memory(tmp_path)
    assert (found["steps"], found["micro-batches"]) == (12, 4)
    assert found["largest difference"] < 1e-5


def test_a_single_sequence_that_does_not_fit_is_an_error(tmp_path, monkeypatch):
    original = registry.OBJECTIVES["mlm_nsp"]

    def stingy(model, batch):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setitem(registry.OBJECTIVES, "mlm_nsp", dataclasses.replace(original, loss=stingy))
    with pytest.raises(RuntimeError, match="can't allocate"):
        pretrain.run.run(small_run(tmp_path, training={"duration": "2 steps", "batch_size": 4}))


def test_every_sample_is_dealt_out_once_whatever_the_number_of_processes(tmp_path):
    found = faults_runs.shares_of_ranks(tmp_path)
    assert found["repeated"] == found["missed"] == 0
    assert found["samples"] > 50


@pytest.mark.parametrize("name", ["config", "tokenizer", "data", "end of training"])
def test_another_fingerprint_is_refused_with_both_values_or_accepted_by_a_flag(tmp_path, name):
    config = small_run(tmp_path, training={"duration": "4 steps"})
    folder = pretrain.run.run(config)
    (folder.path / "result.json").unlink()
    place = checkpoints.newest(folder.checkpoints)
    assert place is not None
    state = faults_runs.json.loads((place / "state.json").read_text())
    assert sorted(state["fingerprints"]) == ["config", "data", "end of training", "products", "tokenizer"]
    now = state["fingerprints"][name]
    rewrite_state(place, fingerprints=state["fingerprints"] | {name: "0123456789"})
    with pytest.raises(InputError, match=rf"another {name}: 0123456789 then, {now} now; .*accept_changes"):
        pretrain.run.run(config)
    assert pretrain.run.run(changed(config, training={"accept_changes": True})).finished


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_lost_rank_ends_all_and_is_named(tmp_path, number):
    found = faults_processes.lost_rank(tmp_path, number)
    assert found["left"] == 0
    assert found["named"]
    assert found["status"] != 0


def test_nan_on_one_rank_is_left_out_by_both(tmp_path):
    assert faults_processes.non_finite_on_one_rank(tmp_path) == {"spoiled": 2, "skipped": 2, "in checkpoints": 0}


def test_who_is_behind_is_blamed_for_the_wait(tmp_path):
    file = tmp_path / "beats"
    file.write_bytes(bytes(8 * 4 * 3))
    mine = Heartbeat(file, 0, 3, timeout=0.3)
    others = [Heartbeat(file, rank, 3, timeout=0.3) for rank in (1, 2)]
    for beats in (mine, others[0]):
        beats.beat()
    assert mine.blamed() is None
    time.sleep(0.4)
    for beats in (mine, *others):
        beats.rows_W4[beats.rank, 1] = time.monotonic()
    found = mine.blamed()
    assert found is not None
    assert found[0] == 2
    assert "has made no progress for 0 s" in found[1]
    others[1].leave()
    found = mine.blamed()
    assert found is not None
    assert found[0] != 2


def test_a_full_disk_ends_the_command_in_a_line(capsys):
    def full():
        raise OSError(28, "No space left on device", "runs/x/metrics.jsonl")

    with pytest.raises(SystemExit) as caught:
        run_command("python -m pretrain", full)
    assert caught.value.code == 1
    assert capsys.readouterr().err == (
        "python -m pretrain: stopped: No space left on device (runs/x/metrics.jsonl); finished work is kept: "
        "free disk space and run again\n"
    )


def test_going_on_without_a_sound_best_checkpoint_is_refused_at_once(tmp_path):
    assert faults_runs.damaged_best(tmp_path, 6) == {"tried": 6, "refused": 6, "finished when sound": 1}


def test_processes_resume_together_after_a_killed_save(tmp_path):
    # Once, two processes cleaned up at the same time: FileNotFoundError in a fifth of the resumes.
    found = faults_processes.resume_races(tmp_path, kills=20)
    assert found == {"kills": 20, "tracebacks": 0, "ranks apart": 0}


def test_fewer_texts_than_processes_end_with_the_values_of_one(tmp_path):
    found = faults_processes.few_texts(tmp_path, worlds=(1, 2), counts=(1, 3))
    assert found["hangs"] == 0
    assert found["largest difference"] < 1e-5


def test_the_campaign_has_a_row_for_every_fault():
    assert len(CAMPAIGN) == 21
    documented = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    for fault in CAMPAIGN:
        assert f"| {fault.name} |" in documented
