"""ModernBERT's layers on CPUs: the same sums as in `transformers`, in fewer passes over memory.

With bf16 instructions, matrix products are a third of a small encoder's step; the rest is activations that are cast,
copied and put together. Here the residual stream of a bf16 run is bf16, rotation and gate write their results and
gradients where the next product reads them, and the last layer is computed only where something is predicted.

Shapes: B sequences, T positions, Q positions of a sequence that are predicted, A heads, D width of a head, H hidden
size, F width of the gated layer, M predicted positions.
"""

import contextlib
from collections.abc import Generator
from typing import Any

import torch
from torch import nn
from transformers.models.modernbert import modeling_modernbert

from pretrain.models.cpu_kernels import attention

GELU = {"gelu": "none", "gelu_pytorch_tanh": "tanh"}
# Predicting more than this share of all positions, it is faster to compute the last layer everywhere.
WORTH_SELECTING = 0.6


def install_layers(encoder: nn.Module) -> None:
    """Let the ModernBERT layers among a model's modules compute as here, in place; weights and names stay."""
    for module in encoder.modules():
        if (kind := FASTER.get(type(module))) is not None:
            module.__class__ = kind


def has_faster_layers(model: nn.Module) -> bool:
    """Whether `install_layers` would change a model."""
    return any(type(module) in FASTER for module in model.modules())


class Embeddings(modeling_modernbert.ModernBertEmbeddings):
    """Embeddings that begin the residual stream in the precision of autocast."""

    def forward(self, *arguments: Any, **options: Any) -> torch.Tensor:
        """[B, T, H]."""
        hidden_BTH = super().forward(*arguments, **options)
        return hidden_BTH.to(torch.get_autocast_dtype("cpu")) if torch.is_autocast_enabled("cpu") else hidden_BTH


class GatedLayer(modeling_modernbert.ModernBertMLP):
    """The gated feed-forward layer (Shazeer 2020)."""

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """[..., H] → [..., H]."""
        approximate = GELU.get(self.config.hidden_activation)
        if approximate is None:
            return super().forward(hidden_states)
        return self.Wo(self.drop(_Gate.apply(self.Wi(hidden_states), approximate)))


class Attention(modeling_modernbert.ModernBertAttention):
    """Self-attention with rotary positions (Su et al. 2021), of all positions or of some of them to all."""

    def forward(  # ty: ignore[incompatible-method-override]
        self,
        hidden_states: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        attention_mask: torch.Tensor | None = None,
        **_: Any,
    ) -> tuple[torch.Tensor, None]:
        """[B, T, H] → [B, T, H]; `position_embeddings`: cosines and sines, [1, T, D]."""
        B, T, _H = hidden_states.shape
        query, key, value = self.Wqkv(hidden_states).view(B, T, 3, -1, self.head_dim).unbind(2)
        return self._attend(query, key, value, position_embeddings, position_embeddings, attention_mask), None

    def of_some(
        self,
        chosen_BQH: torch.Tensor,
        hidden_BTH: torch.Tensor,
        positions_BQ: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        attention_mask: torch.Tensor | None,
    ) -> torch.Tensor:
        """The attention [B, Q, H] of some positions, whose states are `chosen_BQH`, to all."""
        B, T, H = hidden_BTH.shape
        bias = self.Wqkv.bias
        linear = nn.functional.linear
        query = linear(chosen_BQH, self.Wqkv.weight[:H], None if bias is None else bias[:H])
        key_value = linear(hidden_BTH, self.Wqkv.weight[H:], None if bias is None else bias[H:])
        key, value = key_value.view(B, T, 2, -1, self.head_dim).unbind(2)
        query = query.view(*positions_BQ.shape, -1, self.head_dim)
        chosen = tuple(table[0][positions_BQ] for table in position_embeddings)
        return self._attend(query, key, value, chosen, position_embeddings, attention_mask)

    def _attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, at_query: Any, at_key: Any, mask: Any
    ) -> torch.Tensor:
        """[B, Q, H] of query [B, Q, A, D], key and value [B, T, A, D], and the cosines and sines of both."""
        output_BQAD, _ = attention(
            self,
            _Rotation.apply(query, *at_query),
            _Rotation.apply(key, *at_key),
            value.transpose(1, 2),
            mask,
            scaling=self.head_dim**-0.5,
            dropout=self.attention_dropout if self.training else 0.0,
        )
        return self.out_drop(self.Wo(output_BQAD.flatten(2)))


class Layer(modeling_modernbert.ModernBertEncoderLayer):
    """A layer; within `predicting`, the last one is computed at some positions."""

    positions_BQ: torch.Tensor | None = None

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_embeddings: Any = None,
        **options: Any,
    ) -> torch.Tensor:
        """[B, T, H] → [B, T, H], or [B, Q, H] at some positions."""
        if self.positions_BQ is None:
            return super().forward(hidden_states, attention_mask, position_embeddings, **options)
        B, T, _H = hidden_states.shape
        rows_B1 = torch.arange(0, B * T, T).unsqueeze(1)
        chosen_BQH = hidden_states.flatten(0, 1)[self.positions_BQ + rows_B1]
        norm: Any = self.attn_norm
        attention_layer: Any = self.attn
        chosen_BQH = chosen_BQH + attention_layer.of_some(
            norm(chosen_BQH), norm(hidden_states), self.positions_BQ, position_embeddings, attention_mask
        )
        return chosen_BQH + self.mlp(self.mlp_norm(chosen_BQH))


FASTER = {
    modeling_modernbert.ModernBertEmbeddings: Embeddings,
    modeling_modernbert.ModernBertMLP: GatedLayer,
    modeling_modernbert.ModernBertAttention: Attention,
    modeling_modernbert.ModernBertEncoderLayer: Layer,
}


@contextlib.contextmanager
def predicting(encoder: Any, masked_positions: torch.Tensor, shape: torch.Size) -> Generator[torch.Tensor]:
    """A context in which the last layer is computed at some positions, if it can be and if that pays.

    Args:
        encoder: any base model of `transformers`.
        masked_positions: [M], ascending indices into the flattened [B * T].
        shape: B and T.

    Yields:
        [M], the indices of these positions into the flattened states that the encoder gives.
    """
    layers = getattr(encoder, "layers", None)
    last = layers[-1] if isinstance(layers, nn.ModuleList) else None
    B, T = shape
    if not isinstance(last, Layer) or not len(masked_positions):
        yield masked_positions
        return
    row_M = masked_positions // T
    counts_B = torch.bincount(row_M, minlength=B)
    Q = int(counts_B.max())
    if Q > WORTH_SELECTING * T or bool((masked_positions.diff() <= 0).any()):
        yield masked_positions
        return
    rank_M = torch.arange(len(masked_positions)) - (counts_B.cumsum(0) - counts_B)[row_M]
    indices_M = row_M * Q + rank_M
    positions_BQ = masked_positions.new_zeros(B * Q)
    positions_BQ[indices_M] = masked_positions % T
    last.positions_BQ = positions_BQ.view(B, Q)
    try:
        yield indices_M
    finally:
        last.positions_BQ = None


class _Gate(torch.autograd.Function):
    """gelu(a) * b of halves a and b, whose gradients are written side by side."""

    @staticmethod
    def forward(ctx: Any, halves: torch.Tensor, approximate: str) -> torch.Tensor:
        inner, gate = halves.chunk(2, -1)
        activated = nn.functional.gelu(inner, approximate=approximate)
        ctx.save_for_backward(halves, activated)
        ctx.approximate = approximate
        return activated * gate

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        halves, activated = ctx.saved_tensors
        (upstream,) = gradients
        inner, gate = halves.chunk(2, -1)
        gradient = torch.empty_like(halves)
        d_inner, d_gate = gradient.chunk(2, -1)
        torch.mul(upstream, activated, out=d_gate)
        torch.ops.aten.gelu_backward.grad_input(upstream * gate, inner, approximate=ctx.approximate, grad_input=d_inner)
        return gradient, None


class _Rotation(torch.autograd.Function):
    """Rotary positions: [B, T, A, D] → [B, A, T, D], contiguous."""

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
        B, T, A, D = inputs.shape
        ctx.save_for_backward(cosines, sines)
        output = inputs.new_empty(B, A, T, D)
        _rotate(inputs, cosines, sines, 1, output.transpose(1, 2))
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        upstream = gradients[0].transpose(1, 2)
        gradient = torch.empty(upstream.shape, dtype=upstream.dtype)
        _rotate(upstream, *ctx.saved_tensors, -1, gradient)
        return gradient, None, None


def _rotate(inputs: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor, sign: int, output: torch.Tensor) -> None:
    """Write the inputs [B, T, A, D], rotated by `sign` times their angles, to `output`.

    Cosines and sines are [1 or B, T, D], in halves that are equal.
    """
    half = inputs.shape[-1] // 2
    cosine, sine = (table[..., None, :half].to(inputs.dtype) for table in (cosines, sines))
    (first, second), (out_first, out_second) = inputs.split(half, -1), output.split(half, -1)
    torch.mul(first, cosine, out=out_first).addcmul_(second, sine, value=-sign)
    torch.mul(second, cosine, out=out_second).addcmul_(first, sine, value=sign)
