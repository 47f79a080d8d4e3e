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
# torch's label of rows that do not count.
IGNORED = -100
# Rows of scores that a core's cache holds while the cross-entropy goes through them several times.
ROWS_TOGETHER_BYTES = 1 << 20


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


def cross_entropy(scores_MV: torch.Tensor, labels_M: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The sum over rows of the cross-entropy in nats, and the number of rows whose label has the highest score.

    Computed in fp32, whatever the type of the scores; torch would copy them all to fp32 and go through them seven
    times. If several scores are the highest, which happens in bf16, the label may be any of them.

    Args:
        scores_MV: [M, V], on the CPU.
        labels_M: [M]; rows of the label -100 do not count.

    >>> loss, correct = cross_entropy(torch.tensor([[0.0, 0.0], [0.0, 50.0], [9.0, 0.0]]), torch.tensor([0, 1, -100]))
    >>> round(loss.item(), 4), correct.item()
    (0.6931, 2)
    """
    return _CrossEntropy.apply(scores_MV, labels_M)


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
        query: [B, A, Q, D]; Q is T, or less for some positions alone.
        key, value: [B, A, T, D].
        attention_mask: [B, 1, T, T], True where a key may be attended to, the same for all queries; None: everywhere.
        scaling: factor of the scores; None: 1 / sqrt(D).
        dropout: probability, applied to the weights.

    Returns:
        The output [B, Q, A, D], and None in place of the weights.
    """
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    if dropout == 0 and key.shape[2] > LONGEST_STORED:
        if attention_mask is not None:
            attention_mask = attention_mask[:, :, : query.shape[2]]
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
        B, A, Q, D = query.shape
        T = key.shape[2]
        query = query.reshape(B * A, Q, D)
        key, value = (tensor.reshape(B * A, T, D) for tensor in (key, value))
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
        ctx.arguments = (B, A, Q, D), probability, scaling
        return output.view(B, A, Q, D).transpose(1, 2).contiguous()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, weights, bits = ctx.saved_tensors
        (B, A, Q, D), probability, scaling = ctx.arguments
        upstream = gradients[0].transpose(1, 2).reshape(B * A, Q, D)
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
        return *(gradient.view(B, A, -1, D) for gradient in (d_query, d_key, d_value)), None, None, None


class _CrossEntropy(torch.autograd.Function):
    """Cross-entropy whose rows go through memory a few at a time; the gradient is made on the way."""

    @staticmethod
    def forward(ctx: Any, scores_MV: torch.Tensor, labels_M: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        M, V = scores_MV.shape
        rows = max(1, ROWS_TOGETHER_BYTES // (4 * V))
        gradient_MV = torch.empty_like(scores_MV) if ctx.needs_input_grad[0] else None
        losses_M, is_correct_M = torch.empty(M), torch.empty(M, dtype=torch.bool)
        buffer = torch.empty(min(rows, M), V)
        minus_one = torch.full((min(rows, M), 1), -1.0)
        counts_M = labels_M != IGNORED
        every_row_counts = bool(counts_M.all())
        for begin in range(0, M, rows):
            part = slice(begin, min(begin + rows, M))
            labels = labels_M[part, None].clamp(min=0)
            scores = buffer[: len(labels)].copy_(scores_MV[part])
            highest, given = scores.amax(-1, keepdim=True), scores.gather(1, labels)
            total = scores.sub_(highest).exp_().sum(-1, keepdim=True)
            losses_M[part] = (total.log() + highest - given).squeeze(1)
            is_correct_M[part] = (given >= highest).squeeze(1)
            if gradient_MV is not None:
                scores.div_(total).scatter_add_(1, labels, minus_one[: len(labels)])
                gradient_MV[part] = scores if every_row_counts else scores.mul_(counts_M[part, None])
        ctx.save_for_backward(gradient_MV)
        if not every_row_counts:
            losses_M, is_correct_M = losses_M[counts_M], is_correct_M[counts_M]
        correct = is_correct_M.sum()
        ctx.mark_non_differentiable(correct)
        return losses_M.sum(), correct

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (gradient_MV,) = ctx.saved_tensors
        return gradient_MV * gradients[0].to(gradient_MV.dtype), None


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
