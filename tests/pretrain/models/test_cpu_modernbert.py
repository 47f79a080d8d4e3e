"""ModernBERT's layers on CPUs: the results and gradients of transformers' own."""

import copy
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from torch.nn.functional import cross_entropy
from transformers import AutoModelForMaskedLM, ModernBertConfig, ModernBertForMaskedLM

from pretrain.models import cpu_kernels, cpu_modernbert
from pretrain.models.cpu_kernels import LONGEST_STORED, install_attention
from pretrain.models.cpu_modernbert import install_layers, predicting
from pretrain.models.pretraining_models import MaskedLanguageModel
from pretrain.run import run
from pretrain.training.config import SpeedConfig
from pretrain.training.fast_paths import this_hardware
from tests.helpers.pretraining import changed, losses, small_run

LENGTH = 20


def models(**changes: Any) -> list[MaskedLanguageModel]:
    """A small model as transformers computes it, and the same weights with our layers."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24,
        "global_attn_every_n_layers": 1, "max_position_embeddings": 512, "initializer_range": 0.3, "pad_token_id": 0,
        "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2,
    }  # fmt: skip
    sizes |= {f"{place}_dropout": 0.0 for place in ("embedding", "attention", "mlp")}
    theirs = MaskedLanguageModel(ModernBertForMaskedLM(ModernBertConfig(**(sizes | changes))))
    ours = copy.deepcopy(theirs)
    assert install_attention(ours.model)
    install_layers(ours.model)
    return [theirs, ours]


def texts(length: int = LENGTH) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask [4, T], the second text padded, the third too short to have a predicted position."""
    generator = torch.Generator().manual_seed(1)
    ids_BT = torch.randint(3, 30, (4, length), generator=generator)
    mask_BT = torch.ones_like(ids_BT)
    mask_BT[1, length // 2 :] = 0
    return ids_BT, mask_BT


def result(model: MaskedLanguageModel, ids_BT, mask_BT, positions_M) -> list[torch.Tensor]:
    """The scores, and the gradients of a function of them."""
    scores_MV = model(ids_BT, torch.zeros_like(ids_BT), mask_BT, positions_M)
    (scores_MV.float() * torch.linspace(-1, 1, scores_MV.numel()).view_as(scores_MV)).sum().backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return [scores_MV.detach(), *gradients]


SOME = torch.tensor([0, 3, 19, 21, 24, 61, 62, 79])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"hidden_activation": "gelu_pytorch_tanh"},
        {"hidden_activation": "silu"},
        {"attention_bias": True, "mlp_bias": True, "norm_bias": True},
        {"num_hidden_layers": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("positions_M", [SOME, torch.arange(4 * LENGTH), SOME.flip(0), SOME[:0]], ids=len)
def test_scores_and_gradients_are_those_of_transformers(changes, positions_M):
    theirs, ours = (result(model, *texts(), positions_M) for model in models(**changes))
    assert len(theirs) == len(ours) > 10
    for expected, found in zip(theirs, ours, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=5e-5)


def test_so_they_are_where_attention_does_not_store_its_scores():
    ids_BT, mask_BT = texts(LONGEST_STORED + 4)
    theirs, ours = (result(model, ids_BT, mask_BT, SOME) for model in models())
    for expected, found in zip(theirs, ours, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_the_last_layer_is_computed_where_something_is_predicted(monkeypatch):
    _, model = models()
    sizes = []
    original = cpu_modernbert.GatedLayer.forward
    monkeypatch.setattr(
        cpu_modernbert.GatedLayer,
        "forward",
        lambda self, states: sizes.append(states.shape[1]) or original(self, states),
    )
    result(model, *texts(), SOME)
    assert sizes == [LENGTH, LENGTH, 3], "three in each text at most"
    assert model.model.model.layers[-1].positions_BQ is None
    result(model, *texts(), torch.arange(4 * LENGTH))
    assert sizes[3:] == [LENGTH] * 3


def test_an_error_in_the_encoder_leaves_no_positions_behind():
    _, model = models()
    with pytest.raises(RuntimeError, match="out of memory"), predicting(model.model.base_model, SOME, texts()[0].shape):
        raise RuntimeError("out of memory")
    assert model.model.model.layers[-1].positions_BQ is None


def test_with_dropout_the_gradients_are_those_of_what_was_computed():
    _, model = models(attention_dropout=0.2, mlp_dropout=0.2, embedding_dropout=0.1)
    model.double()
    ids_BT, mask_BT = texts(6)
    weight = model.model.model.layers[-1].attn.Wqkv.weight

    def loss() -> torch.Tensor:
        torch.manual_seed(5)
        return model(ids_BT, torch.zeros_like(ids_BT), mask_BT, torch.tensor([1, 14])).square().sum()

    loss().backward()
    assert weight.grad is not None
    for row, column in ((0, 3), (20, 5), (40, 1)):
        found = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                weight[row, column] += step
                found.append(loss().item())
                weight[row, column] -= step
        assert (found[0] - found[1]) / 2e-6 == pytest.approx(weight.grad[row, column].item(), rel=1e-4, abs=1e-6)


def test_in_bf16_the_errors_are_about_those_of_autocast():
    exact = result(models()[0], *texts(), SOME)
    errors = []
    for model in models():
        with torch.autocast("cpu", torch.bfloat16):
            found = result(model, *texts(), SOME)
        errors.append(
            sum(float((value - right).norm() / right.norm()) for value, right in zip(found, exact, strict=True))
        )
    assert 0 < errors[1] < 2 * errors[0]


def test_the_model_is_saved_as_transformers_would(tmp_path):
    theirs, ours = models()
    ours.model.save_pretrained(tmp_path)
    loaded: Any = AutoModelForMaskedLM.from_pretrained(tmp_path)
    assert type(loaded) is ModernBertForMaskedLM
    assert type(loaded.model.layers[0]) is not type(ours.model.model.layers[0])
    for name, expected in theirs.model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], expected)


def test_a_run_has_the_curve_of_one_without(tmp_path):
    sizes = {"architecture": "modernbert", "layers": 2, "hidden_size": 32, "heads": 2, "maximum_positions": 64}
    config = small_run(tmp_path, objective="mlm", model=sizes | {"dropout": 0.0}, training={"duration": "30 steps"})
    other = changed(config, runs=str(tmp_path / "other"), training={"speed": SpeedConfig(layers="torch")})
    curves = [losses(run(one), "loss", "eval_loss") for one in (config, other)]
    assert curves[0] == pytest.approx(curves[1], abs=1e-4)
    assert curves[0] != curves[1]


@pytest.fixture
def _another_precision():
    """accelerate keeps the precision of a process's first run."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.usefixtures("_another_precision")
@pytest.mark.skipif(not this_hardware().bf16, reason="needs a CPU with bf16 instructions")
@pytest.mark.parametrize("objective", ["mlm", "mlm_nsp"])
def test_the_scores_of_a_bf16_run_reach_the_loss_as_they_are(tmp_path, monkeypatch, objective):
    sizes = {"architecture": "modernbert", "layers": 2, "hidden_size": 32, "heads": 2, "maximum_positions": 64}
    training = {"duration": "30 steps", "speed": SpeedConfig(precision="bf16")}
    config = small_run(tmp_path, objective=objective, model=sizes | {"dropout": 0.0}, training=training)
    types, original = set(), cpu_kernels.cross_entropy
    monkeypatch.setattr(
        cpu_kernels, "cross_entropy", lambda scores, labels: types.add(scores.dtype) or original(scores, labels)
    )
    found = losses(run(config), "loss", "eval_loss")
    assert types == {torch.bfloat16}
    AcceleratorState._reset_state(reset_partial_state=True)
    exact = changed(config, runs=str(tmp_path / "exact"), training={"speed": SpeedConfig(layers="torch")})
    assert found == pytest.approx(losses(run(exact), "loss", "eval_loss"), abs=0.05)


# ------------------------------------------------------------------------------------------------ cross-entropy


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rows", [1, 7, 1000])
@pytest.mark.parametrize("ignored", [[], [0, 20, 49]])
def test_cross_entropy_is_torchs_whatever_the_rows_taken_together(monkeypatch, dtype, rows, ignored):
    torch.manual_seed(0)
    scores_MV = (torch.randn(50, 12) * 20).to(dtype).requires_grad_()
    labels_M = torch.randint(12, (50,))
    labels_M[ignored] = -100
    monkeypatch.setattr(cpu_kernels, "ROWS_TOGETHER_BYTES", rows * 4 * 12)
    loss, correct = cpu_kernels.cross_entropy(scores_MV, labels_M)
    (gradient,) = torch.autograd.grad(loss * 0.5, scores_MV)
    expected = cross_entropy(scores_MV.float(), labels_M, reduction="sum")
    (wanted,) = torch.autograd.grad(expected * 0.5, scores_MV)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient, wanted)
    highest = scores_MV.amax(-1) == scores_MV.gather(1, labels_M[:, None].clamp(min=0)).squeeze(1)
    assert correct == highest[labels_M >= 0].sum()


def test_cross_entropy_of_what_is_no_number_is_none_and_of_no_rows_is_zero():
    scores_MV = torch.zeros(3, 4)
    scores_MV[1, 2] = float("nan")
    loss, correct = cpu_kernels.cross_entropy(scores_MV, torch.zeros(3, dtype=torch.long))
    assert loss.isnan()
    assert correct == 2
    empty = torch.zeros(0, 4, requires_grad=True)
    loss, correct = cpu_kernels.cross_entropy(empty, torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert (loss, correct) == (0, 0)
    assert empty.grad is not None
