"""Attention and dropout for CPUs, in fp32 or bf16, where torch's own are slow.

On a CPU, torch draws dropout masks with a single-core Bernoulli generator, and its fused attention does not support
dropout, so a BERT with the usual dropout of 0.1 spends a fifth of a step on random numbers. Here 16 random bits per
element come from a fast generator seeded by torch's (so the draws stay a function of the engine's seed for the step),
and attention stores its scores for the backward pass, which up to 256 tokens costs less than recomputing them.

Shapes: B sequences, A heads, T positions, D width of a head.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from pretrain.models.architectures import architecture_of

NAME = "bertlet_cpu"
# Values of the 16 random bits of an element: a dropout of 0.1 drops 6554 / 65536.
LEVELS = 1 << 16
# Above this length and without dropout, torch's fused kernel, which stores no scores, is as fast.
LONGEST_STORED = 256


def install_attention(model: Any) -> bool:
    """Make a `transformers` model use `attention`, in place; returns whether its architecture allows that."""
    if not architecture_of(model.config).padding_mask_only(model.config):
        return False
    model.set_attn_implementation(NAME)
    return True


def install_dropout(model: nn.Module) -> None:
    """Replace every `nn.Dropout` with `FastDropout`, in place."""
    for module in model.modules():
        for name, child in list(module.named_children()):
            if type(child) is nn.Dropout:
                setattr(module, name, FastDropout(child.p).train(child.training))


class FastDropout(nn.Dropout):
    """`nn.Dropout` with cheaper random numbers: the same zeroing and scaling, different draws."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 (nn.Dropout's name)
        """Apply dropout while training."""
        return _Dropout.apply(input, self.p) if self.training and self.p > 0 else input


def attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Scaled dot-product attention (Vaswani et al. 2017, section 3.2.1), with the signature `transformers` expects.

    Args:
        module: not used.
        query, key, value: [B, A, T, D].
        attention_mask: [B, 1, T, T], True where a key may be attended to, the same for all queries; None: everywhere.
        scaling: factor of the scores; None: 1 / sqrt(D).
        dropout: probability, applied to the weights.

    Returns:
        The output [B, T, A, D], and None in place of the weights.
    """
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    if dropout == 0 and query.shape[2] > LONGEST_STORED:
        output = nn.functional.scaled_dot_product_attention(query, key, value, attention_mask, scale=scaling)
        return output.transpose(1, 2).contiguous(), None
    return _Attention.apply(query, key, value, attention_mask, dropout, scaling), None


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, probability: float) -> torch.Tensor:
        factors = keep_mask(random_bits(inputs.shape), probability, inputs.dtype).mul_(keep_scale(probability))
        ctx.save_for_backward(factors)
        return inputs * factors

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (factors,) = ctx.saved_tensors
        return gradients[0] * factors, None


class _Attention(torch.autograd.Function):
    """Stores the weights and the random bits: 6 bytes per score, where eager attention stores 9 or more."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        probability: float,
        scaling: float,
    ) -> torch.Tensor:
        B, A, T, D = query.shape
        query, key, value = (tensor.reshape(B * A, T, D) for tensor in (query, key, value))
        if mask is None:
            bias, beta = query.new_empty(1), 0
        else:
            bias_BT = query.new_zeros(B, T).masked_fill_(~mask[:, 0, 0], torch.finfo(query.dtype).min)
            bias, beta = bias_BT[:, None, None].expand(B, A, 1, T).reshape(B * A, 1, T), 1
        scores = torch.baddbmm(bias, query, key.transpose(1, 2), beta=beta, alpha=scaling)
        weights = torch.softmax(scores, -1)
        bits = random_bits(weights.shape) if probability > 0 else None
        dropped = weights if bits is None else keep_mask(bits, probability, weights.dtype).mul_(weights)
        output = torch.bmm(dropped, value)
        if bits is not None:
            output.mul_(keep_scale(probability))
        ctx.save_for_backward(query, key, value, weights, bits)
        ctx.arguments = (B, A, T, D), probability, scaling
        return output.view(B, A, T, D).transpose(1, 2).contiguous()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, weights, bits = ctx.saved_tensors
        (B, A, T, D), probability, scaling = ctx.arguments
        upstream = gradients[0].transpose(1, 2).reshape(B * A, T, D)
        if bits is not None:
            upstream = upstream * keep_scale(probability)
        d_weights = torch.bmm(upstream, value.transpose(1, 2))
        dropped = weights
        if bits is not None:
            mask = keep_mask(bits, probability, weights.dtype)
            d_weights.mul_(mask)
            dropped = mask.mul_(weights)
        d_value = torch.bmm(dropped.transpose(1, 2), upstream)
        d_scores = torch._softmax_backward_data(d_weights, weights, -1, weights.dtype)
        empty = query.new_empty(1)
        d_query = torch.baddbmm(empty, d_scores, key, beta=0, alpha=scaling)
        d_key = torch.baddbmm(empty, d_scores.transpose(1, 2), query, beta=0, alpha=scaling)
        return *(gradient.view(B, A, T, D) for gradient in (d_query, d_key, d_value)), None, None, None


def random_bits(shape: torch.Size) -> torch.Tensor:
    """16 uniform random bits per element, int16, from numpy's SFC64 with a seed drawn from torch's generator."""
    count = math.prod(shape)
    seed = int(torch.randint(1 << 62, (1,)))
    words = np.random.SFC64(seed).random_raw(-(-count // 4))
    return torch.from_numpy(words.view(np.int16))[:count].view(shape)


def keep_mask(bits: torch.Tensor, probability: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """1.0 where an element is kept, 0.0 where it is dropped; `probability` is that of a drop.

    >>> keep_mask(torch.tensor([-32768, -26215, -26214, 32767], dtype=torch.int16), 0.1).tolist()
    [0.0, 0.0, 1.0, 1.0]
    """
    return torch.ge(bits, round(probability * LEVELS) - LEVELS // 2, out=torch.empty(bits.shape, dtype=dtype))


def keep_scale(probability: float) -> float:
    """The factor of kept elements, 1 / (1 - probability), with the probability rounded to whole levels.

    >>> keep_scale(0.5), keep_scale(0.1) == 65536 / (65536 - 6554)
    (2.0, True)
    """
    return LEVELS / (LEVELS - round(probability * LEVELS))
