"""Which library computes fp32 products: the faster one, if it is as exact."""

import json
import time

import pytest
import torch

from configs.errors import InputError
from pretrain.run import run
from pretrain.training import checkpoints, products, setup
from pretrain.training.config import SpeedConfig
from pretrain.training.fast_paths import Hardware, Workload, choose
from pretrain.training.setup import saved_products
from tests.helpers.pretraining import rewrite_state, small_run


@pytest.fixture(autouse=True)
def unchanged():
    before = products.MATMUL.fp32_precision
    clear()
    yield
    products.MATMUL.fp32_precision = before
    clear()


def clear():
    products.fastest_library.cache_clear()
    products.onednn_is_exact.cache_clear()


def seconds(torch_seconds, onednn_seconds):
    return lambda library, *_: {"torch": torch_seconds, "onednn": onednn_seconds}[library]


@pytest.mark.parametrize(
    ("onednn_seconds", "expected"), [(0.5, "onednn"), (0.75, "torch"), (0.95, "torch"), (2.0, "torch")]
)
def test_the_faster_library_is_taken_if_it_is_clearly_faster(monkeypatch, onednn_seconds, expected):
    monkeypatch.setattr(products, "TOLERANCE", float("inf"))
    monkeypatch.setattr(products, "_seconds", seconds(1.0, onednn_seconds))
    before = products.MATMUL.fp32_precision
    assert products.fastest_library() == expected
    assert products.MATMUL.fp32_precision == before, "a measurement changes nothing"


def test_what_else_the_machine_does_is_not_counted(monkeypatch):
    # Once, runs side by side chose one library or the other by chance, and results differed by tenths of a point.
    monkeypatch.setattr(torch.nn.functional, "linear", lambda inputs, weights: time.sleep(0.02))
    assert products._seconds("torch", torch.ones(1), torch.ones(1)) < 0.01


def test_threads_are_as_before(monkeypatch):
    threads = torch.get_num_threads()
    seen = []
    monkeypatch.setattr(products, "TOLERANCE", float("inf"))
    monkeypatch.setattr(products, "_seconds", lambda *_: seen.append(torch.get_num_threads()) or 1.0)
    try:
        torch.set_num_threads(2)
        products.fastest_library()
        assert set(seen) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_a_library_that_computes_in_another_precision_is_not_taken(monkeypatch):
    monkeypatch.setattr(products, "_seconds", seconds(1.0, 0.1))
    linear = torch.nn.functional.linear

    def in_bf16(inputs, weights):
        return linear(inputs.bfloat16(), weights.bfloat16()).float()

    monkeypatch.setattr(torch.nn.functional, "linear", in_bf16)
    assert products.fastest_library() == "torch"


def test_what_is_chosen_here_is_exact():
    library = products.fastest_library()
    products.use(library)
    generator = torch.Generator().manual_seed(1)
    left, right = (torch.rand(300, 300, generator=generator) - 0.5 for _ in range(2))
    exact = left.double() @ right.double()
    assert float(((left @ right).double() - exact).abs().max()) < 1e-5


@pytest.mark.parametrize(
    ("switch", "fastest", "expected"),
    [
        ("auto", "onednn", "onednn"),
        ("auto", "torch", "torch"),
        ("torch", "onednn", "torch"),
        ("onednn", "torch", "onednn"),
    ],
)
def test_a_switch_decides_and_the_line_tells(switch, fastest, expected):
    hardware = Hardware(device="cpu", bf16=False, products=fastest)
    paths = choose(SpeedConfig(products=switch), hardware, Workload())
    assert paths.products == expected
    assert ("products by oneDNN" in str(paths)) == (expected == "onednn")


def test_a_resumed_run_goes_on_with_the_library_it_began_with(tmp_path, monkeypatch):
    # Once, another load of the machine made the choice another one, and the run was refused as begun with the first.
    config = small_run(tmp_path, training={"duration": "4 steps", "evaluations": 1, "speed": SpeedConfig()})
    monkeypatch.setattr(products, "fastest_library", lambda: "torch")
    folder = run(config)
    (folder.path / "result.json").unlink()
    assert saved_products(folder) == "torch"
    for begun_with, now in (("torch", "onednn"), ("onednn", "torch")):
        state = checkpoints.list_checkpoints(folder.checkpoints)[-1] / checkpoints.STATE
        fingerprints = json.loads(state.read_text(encoding="utf-8"))["fingerprints"] | {"products": begun_with}
        rewrite_state(state.parent, fingerprints=fingerprints)
        monkeypatch.setattr(products, "fastest_library", lambda now=now: now)
        monkeypatch.setattr(setup, "onednn_is_exact", lambda: True)
        assert run(config).finished
        (folder.path / "result.json").unlink()
        # Where it does not compute as exactly, as on another machine, the run is refused as before.
        monkeypatch.setattr(setup, "onednn_is_exact", lambda: False)
        if begun_with == "onednn":
            with pytest.raises(InputError, match="another products: onednn then, torch now"):
                run(config)
