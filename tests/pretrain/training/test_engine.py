"""The engine: one curve, whatever the micro-batches, the workers and the interruptions."""

import gc
import json
import logging
import math
import os
import shutil
import signal
import time

import pytest
import yaml
from accelerate import Accelerator

import pretrain.run
from configs.command_line import as_dict
from configs.errors import InputError
from pretrain.data.masked_lm_dataset import TokenLayout
from pretrain.data.store import prepare, store_folder
from pretrain.run import run, sources
from pretrain.run_paths import run_folder, tokenizer_of
from pretrain.training import checkpoints
from pretrain.training.metric_logger import MetricLogger, read_metrics
from pretrain.training.schedule import evaluations_due
from pretrain.training.train_state import TrainState
from tests.helpers import forked
from tests.helpers.pretraining import (
    changed,
    losses,
    result_without_clock,
    rewrite_state,
    rows_without_clock,
    small_run,
)
from tokenizer.vocabulary.serialization import load as load_tokenizer


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("engine")


@pytest.fixture(scope="module")
def config(shared):
    """Sixteen steps, epochs of about seven, with dropout."""
    return small_run(shared, training={"duration": "16 steps", "evaluations": 4, "save_every": 100})


@pytest.fixture(scope="module")
def unbroken(config):
    return run(config)


def test_four_micro_batches_give_the_curve_of_one(shared):
    short = small_run(shared, training={"duration": "10 steps"}, model={"dropout": 0.0})
    one = run(short)
    four = run(changed(short, training={"gradient_accumulation_steps": 4}))
    assert one.path != four.path
    assert len(losses(one)) == 10
    assert losses(four) == pytest.approx(losses(one), abs=1e-5)
    # Adam and clipping hide a factor on the gradient from the losses.
    norms = [[row["gradient_norm"] for row in read_metrics(folder.metrics) if "loss" in row] for folder in (one, four)]
    assert norms[1] == pytest.approx(norms[0], rel=1e-3)
    for name in ("eval_mlm_loss", "eval_nsp_loss"):
        assert four.result()[name] == pytest.approx(one.result()[name], abs=1e-4)
    assert [row["tokens"] for row in read_metrics(four.metrics)] == [row["tokens"] for row in read_metrics(one.metrics)]


def test_the_tail_batch_of_an_epoch_takes_part(shared):
    config = small_run(shared, training={"duration": "2 epochs"})
    tokenizer_folder, digest = tokenizer_of(config)
    store = prepare(config.corpus, tokenizer_folder, store_folder(config.corpus, digest, config.runs))
    (source,), _ = sources(config, store, TokenLayout.of(load_tokenizer(tokenizer_folder)))
    plans = [source.plan(0), source.plan(1)]
    assert all(len(plan.lengths) % config.training.batch_size for plan in plans), "there is a tail"
    result = run(config).result()
    assert result["tokens"] == sum(int(plan.lengths.sum()) for plan in plans)
    assert result["steps"] == sum(-(-len(plan.lengths) // config.training.batch_size) for plan in plans)
    assert result["epochs"] == 2


def test_the_same_config_twice_gives_the_same_metrics_to_the_last_bit(config, unbroken, tmp_path):
    again = run(changed(config, runs=str(tmp_path / "runs")))
    assert again.path != unbroken.path
    assert losses(again) == losses(unbroken)
    assert rows_without_clock(again) == rows_without_clock(unbroken)
    assert result_without_clock(again) == result_without_clock(unbroken)


def test_another_seed_gives_another_curve(config, unbroken, tmp_path):
    other = run(changed(config, seed=1, runs=str(tmp_path / "runs")))
    assert losses(other) != losses(unbroken)


def test_workers_change_nothing(config, unbroken, tmp_path):
    helped = run(changed(config, runs=str(tmp_path / "runs"), training={"workers": 1}))
    assert rows_without_clock(helped) == rows_without_clock(unbroken)


@pytest.fixture(scope="module")
def snapshots(config, tmp_path_factory):
    """An unbroken run, and by step what a kill right after each of its checkpoints would leave on the disk."""
    folder, original = tmp_path_factory.mktemp("snapshots"), checkpoints.save
    watched = changed(config, runs=str(folder / "whole"), training={"save_every": 1, "log_every": 3})
    copies = {}

    def save(place, step, *others):
        saved = original(place, step, *others)
        copies[step] = changed(watched, runs=str(folder / str(step)))
        shutil.copytree(run_folder(watched).path, run_folder(copies[step]).path, dirs_exist_ok=True)
        return saved

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(checkpoints, "save", save)
        return run(watched), copies


@pytest.mark.parametrize("step", [0, 1, 4, 7, 9, 16])
def test_a_run_stopped_after_any_checkpoint_ends_as_the_unbroken_one(unbroken, snapshots, step, caplog):
    caplog.set_level(logging.INFO, logger="pretrain")
    reference, copies = snapshots
    assert not run_folder(copies[step]).finished
    resumed = run(copies[step])
    assert f"resuming from {checkpoints.path_of(resumed.checkpoints, step)}" in caplog.text
    assert rows_without_clock(resumed) == rows_without_clock(reference)
    assert result_without_clock(resumed) == result_without_clock(reference) == result_without_clock(unbroken)


def test_half_a_row_of_the_journal_and_a_half_written_checkpoint_are_passed_over(snapshots):
    reference, copies = snapshots
    folder = run_folder(copies[10])
    with folder.metrics.open("a") as stream:
        stream.write('{"step": 11, "epoch": 1.5')
    staged = folder.checkpoints / ".step-00000011"
    shutil.copytree(checkpoints.path_of(folder.checkpoints, 10), staged)
    (staged / "manifest.json").unlink()
    assert rows_without_clock(run(copies[10])) == rows_without_clock(reference)


def test_a_damaged_newest_checkpoint_costs_steps_but_changes_nothing(config, unbroken, tmp_path):
    again = changed(config, runs=str(tmp_path / "runs"), training={"save_every": 5})
    folder = run(again)
    (folder.path / "result.json").unlink()
    newest = checkpoints.list_checkpoints(folder.checkpoints)[-1]
    (newest / "model.safetensors").write_bytes(b"")
    resumed = run(again)
    assert result_without_clock(resumed) == result_without_clock(unbroken)
    assert rows_without_clock(resumed) == rows_without_clock(unbroken)


def command(config, folder):
    """The command that runs this config."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "run.yaml"
    file.write_text(yaml.safe_dump(as_dict(config)), encoding="utf-8")
    return ["-m", "pretrain", "--config", str(file)]


def kill_at_a_checkpoint(words, folder, step):
    """Start the command, and SIGKILL it once a checkpoint of `step` or later lies there."""
    command = forked.Command(words, OMP_NUM_THREADS="1")
    deadline = time.monotonic() + 120
    while checkpoints.list_checkpoints(folder.checkpoints)[-1:] < [checkpoints.path_of(folder.checkpoints, step)]:
        assert command.process.is_alive(), command.printed("stderr")
        assert time.monotonic() < deadline
        time.sleep(0.002)
    command.process.kill()
    assert command.wait().returncode == -signal.SIGKILL


def test_a_killed_process_started_again_ends_as_one_that_was_not(shared, tmp_path):
    long = small_run(shared, training={"duration": "120 steps", "save_every": 4, "log_every": 3})
    killed = changed(long, runs=str(tmp_path / "runs"))
    words, folder = command(killed, tmp_path), run_folder(killed)
    kill_at_a_checkpoint(words, folder, 20)
    assert not folder.finished, "killed in the middle"
    again = forked.run(words, OMP_NUM_THREADS="1")
    assert again.returncode == 0, again.stderr
    assert "resuming from" in again.stderr
    assert str(folder.path) in again.stdout
    unbroken = run(long)
    assert result_without_clock(folder) == result_without_clock(unbroken)
    assert rows_without_clock(folder) == rows_without_clock(unbroken)


def test_a_checkpoint_of_another_precision_is_refused(shared, tmp_path):
    config = small_run(shared, training={"duration": "2 steps"}, runs=str(tmp_path / "runs"))
    folder = run(config)
    (folder.path / "result.json").unlink()
    place = checkpoints.newest(folder.checkpoints)
    assert place is not None
    rewrite_state(place, precision="bf16")
    assert checkpoints.find_damage(place) is None
    with pytest.raises(InputError, match="mixed_precision 'bf16', this run has 'no'"):
        run(config)


def test_checkpoints_beyond_those_kept_are_deleted(shared, tmp_path):
    config = small_run(
        shared,
        training={"duration": "12 steps", "save_every": 3, "keep_checkpoints": 2},
        runs=str(tmp_path / "runs"),
    )
    folder = run(config)
    assert [place.name for place in checkpoints.list_checkpoints(folder.checkpoints)] == [
        "step-00000009",
        "step-00000012",
    ]
    assert not list(folder.checkpoints.glob(".step-*"))


def test_the_loss_of_a_step_is_the_sum_of_both_tasks(unbroken):
    rows = [row for row in read_metrics(unbroken.metrics) if "loss" in row]
    assert len(rows) == 16
    for row in rows:
        assert row["loss"] == pytest.approx(row["mlm_loss"] + row["nsp_loss"], abs=1e-5)


def test_evaluations_are_spread_evenly_and_the_last_is_at_the_end(unbroken):
    evaluated = [row["step"] for row in read_metrics(unbroken.metrics) if "eval_loss" in row]
    assert evaluated == [4, 8, 12, 16]


def test_a_second_process_in_the_same_run_folder_is_told_who_holds_it(shared, tmp_path):
    config = changed(small_run(shared), runs=str(tmp_path))
    folder = run_folder(config)
    with folder.owned(), pytest.raises(InputError, match=rf"in use by process {os.getpid()} on "):
        run(config)
    assert not folder.finished
    assert run(config).finished
    assert not (folder.path / ".owner.json").exists()


def test_an_error_in_the_middle_leaves_no_file_open(shared, tmp_path, monkeypatch):
    config = changed(small_run(shared), runs=str(tmp_path))

    def fail(*_):
        raise RuntimeError("the disk is on fire")

    monkeypatch.setattr(pretrain.run, "evaluate", fail)
    with pytest.raises(RuntimeError, match="on fire"):
        run(config)
    gc.collect()
    assert (run_folder(config).metrics).read_text(encoding="utf-8")


@pytest.mark.parametrize("evaluations", [1, 7, 29, 100, 1000])
def test_every_evaluation_falls_due_in_its_step(evaluations):
    due = [evaluations_due(step / evaluations, evaluations) for step in range(evaluations + 1)]
    assert due == list(range(evaluations + 1))


@pytest.mark.parametrize(("evaluated_step", "kept"), [(4, 3), (-1, 2)])
def test_an_evaluation_that_is_done_again_has_one_row(tmp_path, evaluated_step, kept):
    # Once, a run that was interrupted in its evaluation had a row of it for each start, and a sample.
    rows = [{"step": 3, "eval_loss": 1.0}, {"step": 4, "loss": 0.5}, {"step": 4, "eval_loss": 0.9}, {"step": 5}]
    file = tmp_path / "metrics.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    state = TrainState(precision="no", step=4, evaluated_step=evaluated_step)
    MetricLogger(file, Accelerator(cpu=True), "test", state).close()
    assert read_metrics(file) == rows[:kept]


def test_what_is_not_finite_is_valid_json_and_read_as_nan(tmp_path):
    logger = MetricLogger(tmp_path / "metrics.jsonl", Accelerator(cpu=True), "test", None)
    logger.write(TrainState(precision="no"), {"gradient_norm": float("inf"), "loss": 2.5})
    logger.close()
    line = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8")
    assert '"gradient_norm": null' in line
    assert "Infinity" not in line
    (row,) = read_metrics(tmp_path / "metrics.jsonl")
    assert math.isnan(row["gradient_norm"])
    assert row["loss"] == 2.5
