"""Fast paths: which are chosen on which machine, and that each changes nothing but rounding."""

import pytest
import torch

from configs.errors import InputError
from pretrain.config import SpeedConfig
from pretrain.cpu_kernels import FastDropout
from pretrain.journal import read_rows
from pretrain.meter import Arithmetic
from pretrain.modeling_recurrent import RecurrentConfig, RecurrentForSequenceClassification
from pretrain.run import run
from pretrain.speed import WORTH_COMPILING, Machine, Paths, Work, apply, choose, work_of, workers
from tests.pretraining import changed, small_run

CPU = Machine(device="cpu", bf16=False)
GPU = Machine(device="cuda", bf16=True, memory=80e9)
BERT = Work(model_types=("bert",), operations=1e18, tokens=32_768, layers=12, width=768)


def test_a_cpu_gets_its_kernels_in_fp32_and_is_not_compiled_for():
    paths = choose(SpeedConfig(), CPU, BERT)
    assert paths == Paths("cpu", "no", "kept", True, False, False, False, False)
    assert str(paths) == "cpu, fp32, attention with kept scores, cheap dropout"


def test_a_gpu_gets_bf16_compilation_and_its_own_masks():
    paths = choose(SpeedConfig(), GPU, BERT)
    assert paths == Paths("cuda", "bf16", "sdpa", False, True, True, False, True)
    assert "bf16" in str(paths)
    assert "compiled" in str(paths)


def test_attention_without_padding_is_taken_where_it_is_installed():
    machine = Machine(device="cuda", bf16=True, flash_attention=True, memory=80e9)
    assert choose(SpeedConfig(), machine, BERT).attention == "flash_attention_2"
    assert choose(SpeedConfig(precision="fp32"), machine, BERT).attention == "sdpa"
    assert choose(SpeedConfig(attention="torch"), machine, BERT).attention == "sdpa"


def test_a_short_run_is_not_compiled():
    assert not choose(SpeedConfig(), GPU, Work(("bert",), operations=WORTH_COMPILING / 2)).compiled
    assert choose(SpeedConfig(compile=True), GPU, Work(("bert",))).compiled


def test_activations_that_do_not_fit_are_computed_again():
    huge = Work(("bert",), tokens=1 << 20, layers=12, width=768)
    assert choose(SpeedConfig(), GPU, huge).activation_checkpointing
    assert not choose(SpeedConfig(activation_checkpointing=False), GPU, huge).activation_checkpointing
    assert not choose(SpeedConfig(), CPU, huge).activation_checkpointing


@pytest.mark.parametrize(
    ("switch", "field", "value"),
    [
        ({"attention": "torch"}, "attention", "sdpa"),
        ({"dropout": "torch"}, "fast_dropout", False),
        ({"compile": False}, "compiled", False),
        ({"precision": "fp32"}, "precision", "no"),
        ({"tf32": False}, "tf32", False),
        ({"device_masks": False}, "device_masks", False),
    ],
)
def test_each_path_has_its_off_switch(switch, field, value):
    for machine in (CPU, GPU):
        assert getattr(choose(SpeedConfig(**switch), machine, BERT), field) == value


def test_what_accelerate_was_launched_with_counts_unless_a_key_says_otherwise():
    launched = Work(("bert",), launched_precision="fp16")
    assert choose(SpeedConfig(), GPU, launched).precision == "fp16"
    assert choose(SpeedConfig(precision="fp32"), GPU, launched).precision == "no"


def test_bf16_is_refused_on_a_cpu_without_its_instructions():
    with pytest.raises(InputError, match=r"this cpu has no instructions for bf16 \(AVX512-BF16 or AMX"):
        choose(SpeedConfig(precision="bf16"), CPU, BERT)
    assert choose(SpeedConfig(precision="bf16"), Machine("cpu", bf16=True), BERT).attention == "sdpa"


def test_fp16_is_refused_without_a_gpu():
    with pytest.raises(InputError, match="fp16 needs a GPU"):
        choose(SpeedConfig(), CPU, Work(("bert",), launched_precision="fp16"))


def test_compiling_without_a_compiler_is_refused():
    with pytest.raises(InputError, match="there is none on the path"):
        choose(SpeedConfig(compile=True), Machine("cpu", bf16=False, compiler=False), BERT)


def test_models_with_masks_of_their_own_keep_torchs_attention():
    assert choose(SpeedConfig(), CPU, Work(("modernbert",))).attention == "sdpa"
    assert choose(SpeedConfig(), CPU, Work(("bertlet-recurrent",))).attention == "sdpa"


def test_a_gpu_does_not_wait_for_its_batches_and_a_cpu_keeps_its_cores():
    assert workers(None, "cpu") == 0
    assert 1 <= workers(None, "cuda") <= 4
    assert workers(7, "cpu") == 7


@pytest.mark.parametrize("duration", ["100 steps", "3200 tokens", "2 epochs"])
def test_a_runs_operations_follow_from_its_duration(shared, duration):
    config = small_run(shared, training={"duration": duration}).training
    work = work_of(torch.nn.Linear(2, 2), Arithmetic(token=10.0), config, 32, 1600, processes=2)
    assert work.operations == 3 * 10 * 3200 / 2


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("speed")


def losses(folder):
    return [row[name] for row in read_rows(folder.metrics) for name in ("loss", "eval_loss") if name in row]


@pytest.fixture(scope="module")
def plain(shared):
    """Without dropout, on torch's own paths."""
    off = SpeedConfig(attention="torch", dropout="torch")
    return small_run(shared, training={"duration": "6 steps", "speed": off}, model={"dropout": 0.0})


@pytest.fixture(scope="module")
def plain_losses(plain):
    return losses(run(plain))


@pytest.mark.parametrize(
    "switches",
    [{}, {"device_masks": True}, {"activation_checkpointing": True}],
    ids=["the defaults", "masks drawn on the device", "activations computed again"],
)
def test_a_path_changes_no_result_beyond_rounding(plain, plain_losses, tmp_path, switches):
    config = changed(plain, runs=str(tmp_path), training={"speed": SpeedConfig(**switches)})
    assert losses(run(config)) == pytest.approx(plain_losses, abs=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_compilation_changes_no_result_beyond_rounding(plain, plain_losses, tmp_path):
    if not choose(SpeedConfig(), CPU, BERT) or not __import__("shutil").which("g++"):
        pytest.skip("no C++ compiler")
    folder = run(changed(plain, runs=str(tmp_path), training={"speed": SpeedConfig(compile=True)}))
    assert losses(folder) == pytest.approx(plain_losses, abs=1e-4)
    assert not any("_orig_mod" in name for name in torch_names(folder))


def torch_names(folder):
    from safetensors import safe_open

    with safe_open(folder.model / "model.safetensors", "pt") as file:
        return list(file.keys())


def test_a_run_tells_its_paths_in_a_line(plain, tmp_path, caplog):
    caplog.set_level("INFO", logger="pretrain")
    run(changed(plain, runs=str(tmp_path), training={"speed": SpeedConfig()}))
    (line,) = [record.getMessage() for record in caplog.records if record.getMessage().startswith("speed: ")]
    assert "cpu, fp32, attention with kept scores, cheap dropout; 1 process(es) of 1 thread(s)" in line
    assert "training.speed" in line


def test_dropout_of_recurrent_models_is_fast_too():
    model = RecurrentForSequenceClassification(RecurrentConfig(vocab_size=9))
    apply(choose(SpeedConfig(), CPU, Work(("bertlet-recurrent",))), model)
    assert isinstance(model.dropout, FastDropout)
