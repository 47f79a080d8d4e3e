"""Guards of the engine: steps that are not finite, torn rows, decisions of one process, numbers a device lacks."""

import dataclasses
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from configs.errors import InputError
from configs.processes import IN_POOL
from pretrain.objectives import registry
from pretrain.run import run
from pretrain.training import checkpoints, metric_logger, products
from pretrain.training.config import OptimizerConfig
from pretrain.training.guards import nonfinite, outcomes, signals
from pretrain.training.guards.collective import decided_by_main
from pretrain.training.guards.nonfinite import first_nonfinite, guards_on_device
from pretrain.training.metric_logger import MetricLogger, read_metrics
from pretrain.training.optimizer import create_optimizer
from pretrain.training.train_state import TrainState
from tests.helpers.pretraining import changed, result_without_clock, rows_without_clock, small_run


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("guards")


@pytest.mark.parametrize("objective", ["mlm_nsp", "causal_lm"])
def test_a_device_that_skips_steps_by_itself_makes_the_same_run(shared, tmp_path, monkeypatch, objective):
    # On a GPU the host does not wait for each loss: what became of a step is known after the next one.
    training = {"duration": "16 steps", "evaluations": 3, "save_every": 5, "log_every": 3}
    runs, settled = [], []
    original = outcomes.settle

    def noted(outcome, state, *others):
        settled.append((outcome.number, state.step))
        return original(outcome, state, *others)

    monkeypatch.setattr(outcomes, "settle", noted)
    registered = registry.OBJECTIVES[objective]
    for devices in ((), ("cpu",)):
        calls = iter(range(1000))

        def spoiled(model, batch, *carry, calls=calls):
            output = registered.loss(model, batch, *carry)
            bad = model.training and next(calls) in (4, 9, 10)
            return output._replace(loss=output.loss * (math.nan if bad else 1))

        monkeypatch.setitem(registry.OBJECTIVES, objective, dataclasses.replace(registered, loss=spoiled))
        monkeypatch.setattr(nonfinite, "WORTH_GUARDING", devices)
        config = changed(small_run(shared, training=training, objective=objective), runs=str(tmp_path / str(len(runs))))
        runs.append(run(config))
    one, two = runs
    assert result_without_clock(one) == result_without_clock(two)
    assert one.result()["skipped_steps"] == 3
    # Rows about skipped steps may come after those of the window.
    one_rows, two_rows = (sorted(map(str, without_progress(folder))) for folder in runs)
    assert one_rows == two_rows
    assert (one.model / "model.safetensors").read_bytes() == (two.model / "model.safetensors").read_bytes()
    waited = [number == step for number, step in settled]
    assert all(waited[:16])
    # A carried state depends on whether the step counted: the host has to wait.
    later = sum(not at_once for at_once in waited[16:])
    assert later == 0 if objective == "causal_lm" else later == 16


def without_progress(folder):
    return [
        {key: value for key, value in row.items() if key not in ("epoch", "tokens") or "skipped" not in row}
        for row in rows_without_clock(folder)
    ]


@pytest.mark.parametrize(("name", "keys"), [("muon", {}), ("adamw", {"ema_decay": 0.9}), ("adamw", {})])
def test_only_fused_adamw_skips_steps_by_itself(name, keys, monkeypatch):
    monkeypatch.setattr(nonfinite, "WORTH_GUARDING", ("cpu",))
    config = OptimizerConfig(name=name, **keys)
    # Muon is for models that have layers.
    optimizer = create_optimizer(torch.nn.ModuleDict({"layers": torch.nn.ModuleList([torch.nn.Linear(2, 2)])}), config)
    expected = name == "adamw" and not keys
    assert guards_on_device(Accelerator(cpu=True), optimizer, config.ema_decay > 0) == expected


def test_torn_rows_are_left_out_and_the_rest_is_kept(tmp_path, caplog):
    file = tmp_path / "metrics.jsonl"
    rows = [{"step": step, "loss": 1.0} for step in (1, 2, 3, 4)]
    whole = [f"{json.dumps(row)}\n" for row in rows]
    # Torn so that it ends like a row; what a power cut leaves; a torn last line.
    torn = ['{"step": 2, "skipped": {"loss": "nan"}\n', "\0\0\0\n", "[1]\n", '{"step": 5, "lo']
    file.write_text("".join([whole[0], torn[0], whole[1], torn[1], torn[2], *whole[2:], torn[3]]), encoding="utf-8")
    assert read_metrics(file) == rows
    assert "4 damaged row(s) left out" in caplog.text
    MetricLogger(file, Accelerator(cpu=True), "test", TrainState(step=3)).close()
    assert file.read_text(encoding="utf-8") == "".join(whole[:3])


def test_metrics_are_rewritten_atomically(tmp_path, monkeypatch):
    file = tmp_path / "metrics.jsonl"
    before = '{"step": 1, "loss": 1.0}\n{"step": 2, "loss": 1.0}\n'
    file.write_text(before, encoding="utf-8")

    def killed(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        MetricLogger(file, Accelerator(cpu=True), "test", TrainState(step=1))
    assert file.read_text(encoding="utf-8") == before


class NoFloat64(TorchDispatchMode):
    """Refuses to make float64 tensors, as Apple's GPUs do."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **kwargs or {})
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.dtype == torch.float64:
                raise TypeError(f"{func} made a float64 tensor")
        return result


@pytest.mark.parametrize("objective", ["mlm_nsp", "rtd", "causal_lm"])
def test_a_device_without_float64_trains_and_evaluates(shared, tmp_path, monkeypatch, objective):
    # Once, the first step on an Apple GPU ended in "Cannot convert a MPS Tensor to float64".
    keys = {"duration": "3 steps", "save_every": 2}
    # A CPU's products are timed in float64; of other devices nothing is.
    monkeypatch.setattr(products, "fastest_library", lambda: "torch")
    config = changed(small_run(shared, training=keys, objective=objective), runs=str(tmp_path))
    with NoFloat64():
        if objective == "mlm_nsp":
            with pytest.raises(TypeError, match="made a float64 tensor"):
                run(config)
        # The device of this test counts as one of those.
        monkeypatch.setattr(metric_logger, "NO_FLOAT64", ("cpu",))
        assert run(config).finished


def test_a_window_with_infinity_is_valid_json_and_resumes(tmp_path):
    accelerator = Accelerator(cpu=True)
    window = metric_logger.MetricAccumulator()
    window.add({"gradient_norm": (torch.tensor(math.inf), 1.0), "loss": (torch.tensor(2.0), 1.0)})
    place = checkpoints.save(tmp_path, 1, {"w": torch.ones(1)}, {}, {"step": 1, "window": window.state(accelerator)})
    text = (place / "state.json").read_text(encoding="utf-8")
    state = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    means = metric_logger.MetricAccumulator.restored(state["window"], accelerator).means(accelerator)
    assert math.isnan(means["gradient_norm"])
    assert means["loss"] == 2.0


def test_what_the_main_process_refuses_all_refuse(tmp_path):
    def refuse():
        raise InputError("all checkpoints are damaged")

    with pytest.raises(InputError, match="all checkpoints are damaged"):
        decided_by_main(Accelerator(cpu=True), refuse)
    others: Any = SimpleNamespace(is_main_process=False, num_processes=1)
    assert decided_by_main(others, lambda: pytest.fail("only the main process decides")) is None


def test_a_process_that_has_nan_alone_is_found_by_all():
    accelerator = Accelerator(cpu=True)
    tensors = {"a": torch.ones(2), "b": torch.tensor([1.0, math.nan]), "c": torch.tensor([math.inf])}
    assert first_nonfinite(accelerator, tensors) == "b"
    assert first_nonfinite(accelerator, {"a": torch.ones(2)}) is None
    assert first_nonfinite(accelerator, {}) is None


def test_in_a_pool_the_echo_of_a_signal_does_not_end_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr(signals.os, "_exit", ended.append)
    monkeypatch.setattr(signals.os, "write", lambda *_: None)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setenv(IN_POOL, "1")
    request = signals.StopRequest()
    request(15, None)
    # Its parent passes on what the whole group has received.
    request(15, None)
    assert ended == []
    request.since -= signals.ECHO_SECONDS + 1
    request(15, None)
    assert ended == [143]
    monkeypatch.delenv(IN_POOL)
    alone = signals.StopRequest()
    alone(15, None)
    alone(15, None)
    assert ended == [143, 143]
