"""Fast paths: which are chosen on which machine, and that each changes nothing but rounding."""

import dataclasses
import re
from typing import Any

import pytest
import torch
from transformers import AutoModel, BertConfig, ModernBertConfig, ModernBertForMaskedLM

from configs.errors import InputError
from pretrain.models.cpu_kernels import FastDropout
from pretrain.models.cpu_modernbert import has_faster_layers
from pretrain.models.modeling.modeling_recurrent import RecurrentConfig, RecurrentForSequenceClassification
from pretrain.models.pretraining_models import MaskedLanguageModel
from pretrain.run import run
from pretrain.training.config import SpeedConfig
from pretrain.training.fast_paths import (
    WORTH_COMPILING,
    FastPaths,
    Hardware,
    Workload,
    apply,
    attends_by_padding_alone,
    choose,
    this_hardware,
    uncompiled,
    worker_count,
    workload_of,
)
from pretrain.training.throughput import FlopCount
from tests.helpers.pretraining import changed, losses, small_run

CPU = Hardware(device="cpu", bf16=False)
TINY: Any = {
    "vocab_size": 20,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "intermediate_size": 8,
}
GPU = Hardware(device="cuda", bf16=True, memory=80e9)
BERT = Workload(padding_mask_only=True, operations=1e18, tokens=32_768, layers=12, width=768)


def test_a_cpu_gets_its_kernels_in_fp32_and_is_not_compiled_for():
    paths = choose(SpeedConfig(), CPU, BERT)
    assert paths == FastPaths("cpu", "no", "cpu_kernel", True, False, False, False, False)
    assert str(paths) == "cpu, fp32, attention with kept scores, cheap dropout"


def test_layers_in_fewer_passes_are_taken_for_modernbert_on_a_cpu_and_can_be_switched_off():
    modernbert = dataclasses.replace(BERT, has_faster_layers=True)
    paths = choose(SpeedConfig(), CPU, modernbert)
    assert paths.fast_layers
    assert "layers in fewer passes" in str(paths)
    for config, hardware in (
        (SpeedConfig(layers="torch"), CPU),
        (SpeedConfig(attention="torch"), CPU),
        (SpeedConfig(), GPU),
    ):
        assert not choose(config, hardware, modernbert).fast_layers
    special = {f"{name}_token_id": 1 for name in ("pad", "bos", "eos", "cls", "sep")}
    model = MaskedLanguageModel(ModernBertForMaskedLM(ModernBertConfig(**TINY, **special)))
    assert has_faster_layers(model)
    apply(paths, model)
    assert not has_faster_layers(model)


def test_a_gpu_gets_bf16_compilation_and_its_own_masks():
    paths = choose(SpeedConfig(), GPU, BERT)
    assert paths == FastPaths("cuda", "bf16", "sdpa", False, True, True, False, True)
    assert "bf16" in str(paths)
    assert "compiled" in str(paths)


def test_attention_without_padding_is_taken_where_it_is_installed():
    machine = Hardware(device="cuda", bf16=True, flash_attention=True, memory=80e9)
    assert choose(SpeedConfig(), machine, BERT).attention == "flash_attention_2"
    assert choose(SpeedConfig(precision="fp32"), machine, BERT).attention == "sdpa"
    assert choose(SpeedConfig(attention="torch"), machine, BERT).attention == "sdpa"


def test_a_short_run_is_not_compiled():
    assert not choose(SpeedConfig(), GPU, Workload(True, operations=WORTH_COMPILING / 2)).compiled
    assert choose(SpeedConfig(compile=True), GPU, Workload(True)).compiled


def test_activations_that_do_not_fit_are_computed_again():
    huge = Workload(True, tokens=1 << 20, layers=12, width=768)
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
    launched = Workload(True, launched_precision="fp16")
    assert choose(SpeedConfig(), GPU, launched).precision == "fp16"
    assert choose(SpeedConfig(precision="fp32"), GPU, launched).precision == "no"


def test_bf16_is_refused_on_a_cpu_without_its_instructions():
    with pytest.raises(InputError, match=r"this cpu has no bf16 instructions \(AVX512-BF16 or AMX"):
        choose(SpeedConfig(precision="bf16"), CPU, BERT)
    with_bf16 = Hardware("cpu", bf16=True)
    assert choose(SpeedConfig(precision="bf16"), with_bf16, BERT).attention == "cpu_kernel"
    assert choose(SpeedConfig(precision="fastest"), with_bf16, BERT).precision == "bf16"
    assert choose(SpeedConfig(precision="fastest"), CPU, BERT).precision == "no"


def test_masks_are_not_drawn_on_a_device_without_float64():
    apple = Hardware(device="mps", bf16=False, compiler=False)
    assert not choose(SpeedConfig(), apple, Workload()).device_masks
    with pytest.raises(InputError, match=r"training\.speed\.device_masks: .* float64"):
        choose(SpeedConfig(device_masks=True), apple, Workload())


def test_fp16_is_refused_without_a_gpu():
    with pytest.raises(InputError, match="fp16 needs a GPU"):
        choose(SpeedConfig(), CPU, Workload(True, launched_precision="fp16"))


def test_compiling_without_a_compiler_is_refused():
    with pytest.raises(InputError, match="none is on the PATH"):
        choose(SpeedConfig(compile=True), Hardware("cpu", bf16=False, compiler=False), BERT)


def test_models_with_masks_of_their_own_keep_torchs_attention():
    assert choose(SpeedConfig(), CPU, Workload(padding_mask_only=False)).attention == "sdpa"
    local = ModernBertConfig(**TINY, pad_token_id=0, layer_types=["sliding_attention"] * TINY["num_hidden_layers"])
    everywhere = ModernBertConfig(**TINY, pad_token_id=0, layer_types=["full_attention"] * TINY["num_hidden_layers"])
    modern = AutoModel.from_config(local)
    assert attends_by_padding_alone(AutoModel.from_config(everywhere))
    bert = AutoModel.from_config(BertConfig(**TINY))
    recurrent = RecurrentForSequenceClassification(RecurrentConfig(vocab_size=9))
    assert [attends_by_padding_alone(model) for model in (modern, bert, recurrent)] == [False, True, False]


def test_a_gpu_does_not_wait_for_its_batches_and_a_cpu_keeps_its_cores():
    assert worker_count(None, "cpu") == 0
    assert 1 <= worker_count(None, "cuda") <= 4
    assert worker_count(7, "cpu") == 7


@pytest.mark.parametrize(
    "duration", ["100 steps", "3200 tokens", "2 epochs", "9 epochs, at most 100 steps", "9 hours, at most 100 steps"]
)
def test_a_runs_operations_follow_from_its_duration(shared, duration):
    config = small_run(shared, training={"duration": duration}).training
    work = workload_of(torch.nn.Linear(2, 2), FlopCount(token=10.0), config, 32, 1600, processes=2)
    assert work.operations == 3 * 10 * 3200 / 2


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("speed")


@pytest.fixture(scope="module")
def plain(shared):
    """Without dropout, on torch's own paths."""
    off = SpeedConfig(attention="torch", dropout="torch")
    return small_run(shared, training={"duration": "6 steps", "speed": off}, model={"dropout": 0.0})


@pytest.fixture(scope="module")
def plain_losses(plain):
    return losses(run(plain), "loss", "eval_loss")


@pytest.mark.parametrize(
    "switches",
    [{}, {"device_masks": True}, {"activation_checkpointing": True}],
    ids=["the defaults", "masks drawn on the device", "activations computed again"],
)
def test_a_path_changes_no_result_beyond_rounding(plain, plain_losses, tmp_path, switches):
    config = changed(plain, runs=str(tmp_path), training={"speed": SpeedConfig(**switches)})
    assert losses(run(config), "loss", "eval_loss") == pytest.approx(plain_losses, abs=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_compilation_changes_no_result_beyond_rounding(plain, plain_losses, tmp_path):
    if not this_hardware().compiler:
        pytest.skip("no C++ compiler")
    folder = run(changed(plain, runs=str(tmp_path), training={"speed": SpeedConfig(compile=True)}))
    assert losses(folder, "loss", "eval_loss") == pytest.approx(plain_losses, abs=1e-4)
    assert not any("_orig_mod" in name for name in torch_names(folder))


def torch_names(folder):
    from safetensors import safe_open

    with safe_open(folder.model / "model.safetensors", "pt") as file:
        return list(file.keys())


def test_a_run_tells_its_paths_in_a_line(plain, tmp_path, caplog):
    caplog.set_level("INFO", logger="pretrain")
    run(changed(plain, runs=str(tmp_path), training={"speed": SpeedConfig()}))
    (line,) = [record.getMessage() for record in caplog.records if record.getMessage().startswith("speed: ")]
    assert re.search(r"cpu, fp32, attention with kept scores, (products by oneDNN, )?cheap dropout; 1 process", line)
    assert "1 process(es) of 1 thread(s)" in line
    assert "training.speed" in line


def test_dropout_of_recurrent_models_is_fast_too():
    model = RecurrentForSequenceClassification(RecurrentConfig(vocab_size=9))
    apply(choose(SpeedConfig(), CPU, Workload()), model)
    assert isinstance(model.dropout, FastDropout)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_an_evaluation_of_many_lengths_compiles_nothing():
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(3, 4)

        def forward(self, inputs):
            return torch.tanh(self.linear(inputs))

    model = Model()
    with torch.inference_mode(), uncompiled(model):
        expected = [model(torch.ones(length, 3)) for length in range(1, 9)]
    model.compile(dynamic=False, backend=backend)
    with torch.inference_mode(), uncompiled(model):
        found = [model(torch.ones(length, 3)) for length in range(1, 9)]
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert not graphs
    model(torch.ones(2, 3))
    assert len(graphs) == 1, "training is compiled"
