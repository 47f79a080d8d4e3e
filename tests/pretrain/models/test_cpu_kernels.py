"""Attention and dropout for the CPU: the mathematics of torch's, other random numbers."""

from typing import Any

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import BertConfig, BertForSequenceClassification

from pretrain.models.cpu_kernels import (
    LONGEST_STORED,
    FastDropout,
    attention,
    install_attention,
    install_dropout,
    keep_mask,
    random_bits,
)


def inputs(length=12, dtype=torch.float64):
    torch.manual_seed(0)
    return [torch.randn(3, 2, length, 4, dtype=dtype, requires_grad=True) for _ in range(3)]


def mask_of(lengths, length):
    return (torch.arange(length) < torch.tensor(lengths)[:, None])[:, None, None].expand(-1, 1, length, -1)


@pytest.mark.parametrize("lengths", [None, [12, 5, 1]])
@pytest.mark.parametrize("length", [12, LONGEST_STORED + 4])
def test_attention_is_torchs_forwards_and_backwards(lengths, length):
    mask = None if lengths is None else mask_of(lengths, length)
    query, key, value = inputs(length)
    upstream = torch.randn(3, length, 2, 4, dtype=torch.float64)
    expected = scaled_dot_product_attention(query, key, value, mask).transpose(1, 2)
    wanted = torch.autograd.grad(expected, (query, key, value), upstream)
    found, weights = attention(torch.nn.Identity(), query, key, value, mask)
    gradients = torch.autograd.grad(found, (query, key, value), upstream)
    assert weights is None
    torch.testing.assert_close(found, expected)
    for gradient, want in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(gradient, want)


def test_attention_in_bf16_is_as_exact_as_torchs():
    query, key, value = inputs(dtype=torch.float32)
    mask = mask_of([12, 5, 1], 12)
    upstream = torch.randn(3, 12, 2, 4)

    def errors(compute, exact):
        given = [tensor.detach().bfloat16().requires_grad_() for tensor in (query, key, value)]
        output = compute(*given)
        found = [output, *torch.autograd.grad(output, given, upstream.bfloat16())]
        assert {tensor.dtype for tensor in found} == {torch.bfloat16}
        return [
            float((tensor.detach().double() - right).abs().max()) for tensor, right in zip(found, exact, strict=True)
        ]

    def torchs(*given):
        return scaled_dot_product_attention(*given, mask).transpose(1, 2)

    rounded = [tensor.detach().bfloat16().double().requires_grad_() for tensor in (query, key, value)]
    output = torchs(*rounded)
    exact = [output.detach(), *torch.autograd.grad(output, rounded, upstream.bfloat16().double())]
    ours = errors(lambda *given: attention(torch.nn.Identity(), *given, mask)[0], exact)
    for error, peer in zip(ours, errors(torchs, exact), strict=True):
        assert error <= 2 * peer + 2**-8


def test_attention_with_dropout_has_the_gradient_of_what_it_computed():
    query, key, value = inputs(5)

    def dropped(*given):
        torch.manual_seed(3)
        return attention(torch.nn.Identity(), *given, None, dropout=0.3)[0]

    assert torch.autograd.gradcheck(dropped, (query, key, value))
    assert not torch.equal(dropped(query, key, value), attention(torch.nn.Identity(), query, key, value, None)[0])


def test_attention_with_dropout_is_right_on_average():
    query, key, value = inputs(6, torch.float32)
    torch.manual_seed(1)
    with torch.no_grad():
        mean = sum(attention(torch.nn.Identity(), query, key, value, None, dropout=0.2)[0] for _ in range(4000)) / 4000
        expected = scaled_dot_product_attention(query, key, value).transpose(1, 2)
    torch.testing.assert_close(mean, expected, atol=0.05, rtol=0)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_dropout_drops_its_share_scales_the_rest_and_passes_the_same_gradient(share):
    torch.manual_seed(0)
    ones = torch.ones(1000, 1001, requires_grad=True)
    layer = FastDropout(share)
    found = layer(ones)
    assert found.unique().tolist() == pytest.approx([0.0, 1 / (1 - share)], rel=1e-4)
    assert (found == 0).double().mean().item() == pytest.approx(share, abs=2e-3)
    assert torch.autograd.grad(found.sum(), ones)[0].equal(found)
    assert layer.eval()(ones) is ones


def test_dropout_is_a_function_of_torchs_seed():
    layer, ones = FastDropout(0.3), torch.ones(64, 3)
    draws = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        draws.append([layer(ones), layer(ones)])
    assert draws[0][0].equal(draws[1][0])
    assert draws[0][1].equal(draws[1][1])
    assert not draws[0][0].equal(draws[0][1])
    assert not draws[0][0].equal(draws[2][0])


def test_all_sixteen_bits_of_every_element_are_random():
    torch.manual_seed(0)
    bits = random_bits(torch.Size([40_000, 4]))
    for lane in range(4):
        for bit in range(16):
            assert ((bits[:, lane] >> bit) & 1).double().mean().item() == pytest.approx(0.5, abs=0.02)
    assert keep_mask(bits, 0.25).mean().item() == pytest.approx(0.75, abs=5e-3)


def small_bert():
    torch.manual_seed(0)
    sizes: Any = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    return BertForSequenceClassification(BertConfig(vocab_size=50, **sizes))


def test_a_bert_gives_the_same_scores_with_both_and_is_saved_as_before(tmp_path):
    plain, fast = small_bert().eval(), small_bert().eval()
    assert install_attention(fast)
    install_dropout(fast)
    ids = torch.randint(1, 50, (3, 9))
    mask = (torch.arange(9) < torch.tensor([9, 4, 1])[:, None]).long()
    for given in (mask, torch.ones_like(mask)):
        torch.testing.assert_close(
            fast(input_ids=ids, attention_mask=given).logits, plain(input_ids=ids, attention_mask=given).logits
        )
    plain.save_pretrained(tmp_path / "plain")
    fast.save_pretrained(tmp_path / "fast")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "fast" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()


def test_a_model_with_masks_of_its_own_is_left_alone():
    model = small_bert()
    model.config.model_type = "modernbert"
    model.config.layer_types = ["full_attention", "sliding_attention"]
    before = model.config._attn_implementation
    assert not install_attention(model)
    assert model.config._attn_implementation == before
