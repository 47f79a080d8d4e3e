"""Attention and dropout for a CPU in fp32, where torch's own are slow.

torch draws dropout on a CPU with a Bernoulli generator on one core, and its fused attention knows no dropout there, so
that a BERT with its usual dropout of 0.1 spends a fifth of a step on chance. Here sixteen random bits an element come
from a counter-free generator keyed by torch's (the draws stay a function of the engine's seed for the step), and scores
are kept for the backward pass, which for sequences of up to 256 tokens costs less than computing them again.

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
# Bits an element: a dropout of 0.1 is one of 6554 / 65536.
LEVELS = 1 << 16
# With longer sequences and no dropout, torch's fused kernel, which keeps no scores, is as fast.
LONGEST_KEPT = 256


def install_attention(model: Any) -> bool:
    """Let a model of `transformers` use `attention`; gives whether it is of a kind that can."""
    if not architecture_of(model.config).padding_mask_only:
        return False
    model.set_attn_implementation(NAME)
    return True


def install_dropout(model: nn.Module) -> None:
    """Put `FastDropout` in the place of every `nn.Dropout`, in place."""
    for module in model.modules():
        for name, child in list(module.named_children()):
            if type(child) is nn.Dropout:
                setattr(module, name, FastDropout(child.p).train(child.training))


class FastDropout(nn.Dropout):
    """`nn.Dropout` with cheap random numbers; zeroed and scaled alike, drawn differently."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 (nn.Dropout's name)
        """Drop in training."""
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
    """Scaled dot-product attention (Vaswani et al. 2017, section 3.2.1), as `transformers` calls it.

    Args:
        module: not used.
        query, key, value: [B, A, T, D].
        attention_mask: [B, 1, T, T], True where a position may be looked at, alike for all who look; None for
            everywhere.
        scaling: of the scores; None for 1 / sqrt(D).
        dropout: on the weights.

    Returns:
        [B, T, A, D], and None for the weights.
    """
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    if dropout == 0 and query.shape[2] > LONGEST_KEPT:
        found = nn.functional.scaled_dot_product_attention(query, key, value, attention_mask, scale=scaling)
        return found.transpose(1, 2).contiguous(), None
    return _Attention.apply(query, key, value, attention_mask, dropout, scaling), None


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, share: float) -> torch.Tensor:
        factors = kept(random_bits(inputs.shape), share, inputs.dtype).mul_(scale(share))
        ctx.save_for_backward(factors)
        return inputs * factors

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (factors,) = ctx.saved_tensors
        return gradients[0] * factors, None


class _Attention(torch.autograd.Function):
    """Keeps the weights and the random bits: 6 bytes a score, where eager attention keeps 9 and more."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        share: float,
        scaling: float,
    ) -> torch.Tensor:
        B, A, T, D = query.shape
        query, key, value = (part.reshape(B * A, T, D) for part in (query, key, value))
        if mask is None:
            start, beta = query.new_empty(1), 0
        else:
            hidden_BT = query.new_zeros(B, T).masked_fill_(~mask[:, 0, 0], torch.finfo(query.dtype).min)
            start, beta = hidden_BT[:, None, None].expand(B, A, 1, T).reshape(B * A, 1, T), 1
        scores = torch.baddbmm(start, query, key.transpose(1, 2), beta=beta, alpha=scaling)
        weights = torch.softmax(scores, -1)
        bits = random_bits(weights.shape) if share > 0 else None
        used = weights if bits is None else kept(bits, share, weights.dtype).mul_(weights)
        found = torch.bmm(used, value)
        if bits is not None:
            found.mul_(scale(share))
        ctx.save_for_backward(query, key, value, weights, bits)
        ctx.given = (B, A, T, D), share, scaling
        return found.view(B, A, T, D).transpose(1, 2).contiguous()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, weights, bits = ctx.saved_tensors
        (B, A, T, D), share, scaling = ctx.given
        upstream = gradients[0].transpose(1, 2).reshape(B * A, T, D)
        if bits is not None:
            upstream = upstream * scale(share)
        of_weights = torch.bmm(upstream, value.transpose(1, 2))
        used = weights
        if bits is not None:
            factors = kept(bits, share, weights.dtype)
            of_weights.mul_(factors)
            used = factors.mul_(weights)
        of_value = torch.bmm(used.transpose(1, 2), upstream)
        of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
        nothing = query.new_empty(1)
        of_query = torch.baddbmm(nothing, of_scores, key, beta=0, alpha=scaling)
        of_key = torch.baddbmm(nothing, of_scores.transpose(1, 2), query, beta=0, alpha=scaling)
        return *(part.view(B, A, T, D) for part in (of_query, of_key, of_value)), None, None, None


def random_bits(shape: torch.Size) -> torch.Tensor:
    """Sixteen uniform bits an element, int16; drawn from numpy's SFC64 under a key that torch's generator gives."""
    count = math.prod(shape)
    seed = int(torch.randint(1 << 62, (1,)))
    words = np.random.SFC64(seed).random_raw(-(-count // 4))
    return torch.from_numpy(words.view(np.int16))[:count].view(shape)


def kept(bits: torch.Tensor, share: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """1.0 where an element stays, 0.0 where it is one of the `share` that drop.

    >>> kept(torch.tensor([-32768, -26215, -26214, 32767], dtype=torch.int16), 0.1).tolist()
    [0.0, 0.0, 1.0, 1.0]
    """
    return torch.ge(bits, round(share * LEVELS) - LEVELS // 2, out=torch.empty(bits.shape, dtype=dtype))


def scale(share: float) -> float:
    """What makes up for the share that really drops, a whole number of levels.

    >>> scale(0.5), scale(0.1) == 65536 / (65536 - 6554)
    (2.0, True)
    """
    return LEVELS / (LEVELS - round(share * LEVELS))
