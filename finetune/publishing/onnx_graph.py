"""A classifier of torch → the graph of ONNX that computes the same.

Recurrent layers become the operators of ONNX, which know the length of each row: traced, torch's own would be unrolled
to the length of the example. Attention becomes one operator, too, of inputs in which heads stand side by side: what
torch's fused kernel is decomposed into copies queries, keys and values first. What is said here of speed was measured
with a BERT-mini on the processor of docs/performance.md.

Shapes: B sequences, T positions, E width of a layer's input, H width of one direction's state, D directions.
"""

import contextlib
import logging
import warnings
from collections.abc import Generator, Sequence
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask
from transformers.models.modernbert.modeling_modernbert import ModernBertAttention, ModernBertMLP

from pretrain.models.modeling.modeling_recurrent import RecurrentLayer
from pretrain.models.pretraining_models import takes_token_types

# The first with attention as one operator; onnxruntime reads it since 1.23.
OPSET = 23
# The name under which `transformers` knows this attention.
ATTENTION = "bertlet-onnx"
# Of the example that is traced. Sizes that are equal, or 1, would be taken for the same size, or for a constant.
EXAMPLE_ROWS, EXAMPLE_LENGTH = 2, 11
# torch's order of gates, as ONNX wants it: an LSTM's input, output, forget, cell; a GRU's update, reset, hidden.
GATES: dict[type[nn.RNNBase], tuple[str, list[int]]] = {
    nn.RNN: ("RNN", [0]),
    nn.GRU: ("GRU", [1, 0, 2]),
    nn.LSTM: ("LSTM", [0, 3, 1, 2]),
}
TALKATIVE = ("torch", "torch.__trace", "onnxscript", "onnx_ir")


class Logits(nn.Module):
    """A classifier that takes its inputs in a fixed order and gives the logits alone."""

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, list(names)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """[B, C]."""
        return self.model(**dict(zip(self.names, inputs, strict=True))).logits


class OnnxRecurrentLayer(RecurrentLayer):
    """A recurrent layer that is traced to the operators of ONNX."""

    @classmethod
    def install(cls, layer: RecurrentLayer) -> None:
        """Let a layer compute as here, in place."""
        cells: Any = [cell for cell in (layer.forward_cell, layer.backward_cell) if cell is not None]
        layer.__class__ = cls
        # Made once: computed in the graph, they could not be quantized.
        for number, group in enumerate([[cell] for cell in cells] if layer.separate else [cells]):
            _, gates = GATES[type(group[0])]
            weights, recurrent, *biases = (
                torch.stack([_reordered(cell.get_parameter(f"{name}_l0"), gates) for cell in group])
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            layer.register_buffer(f"weights_{number}", weights)
            layer.register_buffer(f"recurrent_{number}", recurrent)
            layer.register_buffer(f"biases_{number}", torch.cat(biases, dim=1))

    def forward(
        self,
        inputs_BTE: torch.Tensor,
        reversed_BT: torch.Tensor,
        state: tuple[torch.Tensor, ...] | None = None,
        lengths_B: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """States [B, T, D * H]; those of padding are zeros. The final ones are of no use to a classifier."""
        assert state is None, "a classifier begins without a state"
        # Reversed, a row begins with its last token.
        lengths_B = (reversed_BT[:, 0] + 1).int()
        inputs_TBE = inputs_BTE.transpose(0, 1)
        if self.backward_cell is None:
            states_TDBH = self._operator(0, inputs_TBE, lengths_B, "forward")
        elif not self.separate:
            states_TDBH = self._operator(0, inputs_TBE, lengths_B, "bidirectional")
        else:
            # The lowest layer's directions share their input.
            shares = inputs_BTE.shape[-1] == self.forward_cell.input_size
            halves = (inputs_TBE, inputs_TBE) if shares else inputs_TBE.chunk(2, dim=-1)
            directions = enumerate(("forward", "reverse"))
            states = [self._operator(number, halves[number], lengths_B, name) for number, name in directions]
            states_TDBH = torch.cat(states, dim=1)
        return states_TDBH.permute(2, 0, 1, 3).flatten(2), ()

    def _operator(self, number: int, inputs_TBE: torch.Tensor, lengths_B: torch.Tensor, direction: str) -> torch.Tensor:
        """The states [T, D, B, H] of one operator, with the weights of this number."""
        kind, _ = GATES[type(self.forward_cell)]
        weights, recurrent, biases = (
            self.get_buffer(f"{name}_{number}") for name in ("weights", "recurrent", "biases")
        )
        attributes: dict[str, Any] = {"hidden_size": self.forward_cell.hidden_size, "direction": direction}
        if kind == "GRU":
            # The reset gate is applied after the product, as in torch.
            attributes["linear_before_reset"] = 1
        T, B, _E = inputs_TBE.shape
        (states_TDBH,) = torch.onnx.ops.symbolic_multi_out(
            kind,
            [inputs_TBE, weights, recurrent, biases, lengths_B],
            attributes,
            dtypes=[inputs_TBE.dtype],
            shapes=[(T, weights.shape[0], B, self.forward_cell.hidden_size)],
        )
        return states_TDBH


def _reordered(parameter: torch.Tensor, gates: list[int]) -> torch.Tensor:
    """A matrix or a bias with its gates in another order."""
    parts = parameter.detach().chunk(len(gates))
    return torch.cat([parts[number] for number in gates])


def _attention(states: Sequence[torch.Tensor], mask: torch.Tensor | None, heads: int, scale: float) -> torch.Tensor:
    """Attention [B, T, E] of queries, keys and values, each [B, T, E]; the mask [B, 1, T, T] is added to the scores."""
    # The operator wants every row of the mask, which torch would broadcast.
    B, T, _E = states[0].shape
    masks = [] if mask is None else [mask.expand(B, -1, T, T)]
    return torch.onnx.ops.symbolic(
        "Attention",
        [*states, *masks],
        {"q_num_heads": heads, "kv_num_heads": heads, "scale": scale},
        dtype=states[0].dtype,
        shape=states[0].shape,
        version=OPSET,
    )


def attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """The attention of any encoder of `transformers` that asks for one by name.

    Args:
        module: the layer.
        query, key, value: [B, heads, T, width of a head].
        attention_mask: [B, 1, T, T] or [B, 1, 1, T], added to the scores.
        scaling: of the scores; None: by the root of a head's width.

    Returns:
        [B, T, heads, width of a head], and no weights.
    """
    B, heads, T, width = query.shape
    states = [tensor.transpose(1, 2).flatten(2) for tensor in (query, key, value)]
    found_BTE = _attention(states, attention_mask, heads, width**-0.5 if scaling is None else scaling)
    return found_BTE.view(B, T, heads, width), None


class OnnxAttention(ModernBertAttention):
    """ModernBERT's self-attention, with a product for each of query, key and value, and one operator that rotates.

    Cut from one product and rotated in halves, they would be copied five times.
    """

    @classmethod
    def install(cls, layer: ModernBertAttention) -> None:
        """Let a layer compute as here, in place."""
        layer.__class__ = cls
        _register_parts(layer, layer.Wqkv, 3)

    def forward(  # ty: ignore[incompatible-method-override]
        self,
        hidden_states: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        attention_mask: torch.Tensor | None = None,
        **_: Any,
    ) -> tuple[torch.Tensor, None]:
        """[B, T, E] → [B, T, E]; `position_embeddings`: cosines and sines, [1, T, width of a head]."""
        B, T, E = hidden_states.shape
        query_BTE, key_BTE, value_BTE = _products(self, hidden_states, 3)
        # Of both halves, which are equal, onnxruntime wants one.
        tables = [table[0, :, : self.head_dim // 2] for table in position_embeddings]
        query_BTE, key_BTE = (
            torch.onnx.ops.symbolic(
                "com.microsoft::RotaryEmbedding",
                # The position of the first token.
                [states_BTE, torch.zeros(1, dtype=torch.long), *tables],
                dtype=states_BTE.dtype,
                shape=(B, T, E),
                version=1,
            )
            for states_BTE in (query_BTE, key_BTE)
        )
        states = (query_BTE, key_BTE, value_BTE)
        return self.Wo(_attention(states, attention_mask, E // self.head_dim, self.head_dim**-0.5)), None


class OnnxGatedLayer(ModernBertMLP):
    """ModernBERT's gated layer, with a product for each of its halves, which would be copied to be cut."""

    @classmethod
    def install(cls, layer: ModernBertMLP) -> None:
        """Let a layer compute as here, in place."""
        layer.__class__ = cls
        _register_parts(layer, layer.Wi, 2)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """[..., E] → [..., E]."""
        inner, gate = _products(self, hidden_states, 2)
        return self.Wo(self.act(inner) * gate)


def _register_parts(module: nn.Module, linear: nn.Linear, count: int) -> None:
    """Keep the weights of a linear layer in equal parts of its outputs, as buffers of `module`."""
    for number in range(count):
        module.register_buffer(f"weight_{number}", linear.weight.detach().chunk(count)[number].clone())
        if linear.bias is not None:
            module.register_buffer(f"bias_{number}", linear.bias.detach().chunk(count)[number].clone())


def _products(module: nn.Module, hidden_states: torch.Tensor, count: int) -> list[torch.Tensor]:
    """The outputs of `_register_parts`."""
    buffers = dict(module.named_buffers(recurse=False))
    return [
        nn.functional.linear(hidden_states, buffers[f"weight_{number}"], buffers.get(f"bias_{number}"))
        for number in range(count)
    ]


# Exact types: a layer that somebody has changed is traced as it is.
LAYERS: dict[type[nn.Module], Any] = {
    RecurrentLayer: OnnxRecurrentLayer,
    ModernBertAttention: OnnxAttention,
    ModernBertMLP: OnnxGatedLayer,
}


def input_names(model: Any, tokenizer: Any) -> list[str]:
    """What a classifier is given: ids, mask and, where its tokenizer gives them and it takes them, types."""
    names = ["input_ids", "attention_mask"]
    if "token_type_ids" in tokenizer.model_input_names and takes_token_types(model):
        names.append("token_type_ids")
    return names


def traced(model: Any, names: Sequence[str]) -> Any:
    """The graph of a classifier, as `torch.onnx` gives it; rows and length of its inputs are free.

    Args:
        model: without faster layers of ours; it is changed and of no further use.
        names: of its inputs.
    """
    model.eval()
    for module in model.modules():
        if (kind := LAYERS.get(type(module))) is not None:
            kind.install(module)
    AttentionInterface.register(ATTENTION, attention)
    AttentionMaskInterface.register(ATTENTION, eager_mask)
    model.set_attn_implementation(ATTENTION)
    ids_BT = torch.full((EXAMPLE_ROWS, EXAMPLE_LENGTH), model.config.pad_token_id or 0)
    mask_BT = torch.ones_like(ids_BT)
    mask_BT[1, EXAMPLE_LENGTH // 2 :] = 0
    example = {"input_ids": ids_BT, "attention_mask": mask_BT, "token_type_ids": torch.zeros_like(ids_BT)}
    with quiet():
        program: Any = torch.onnx.export(
            Logits(model, names).eval(),
            tuple(example[name] for name in names),
            input_names=list(names),
            output_names=["logits"],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=[tuple({0: "batch", 1: "length"} for _ in names)],
            external_data=False,
            verbose=False,
        )
    sum_before_norms(program.model)
    remove_reshapes_back(program.model)
    return program


def sum_before_norms(model: Any) -> int:
    """Write the additions before layer norms as `Sum`, in place; gives their number.

    onnxruntime would put an `Add` and its norm into one operator (SkipLayerNormalization), whose CPU kernel takes
    several times as long as the two.
    """
    count = 0
    for node in model.graph:
        if node.op_type == "LayerNormalization":
            before = node.inputs[0].producer()
            if before is not None and before.op_type == "Add" and before.domain == "":
                before.op_type = "Sum"
                count += 1
    return count


def is_known(shape: Any) -> bool:
    """Whether all sizes of a shape are numbers or have a name; those without are equal to any other."""
    return shape is not None and all(isinstance(size, int) or size.value is not None for size in shape)


def remove_reshapes_back(model: Any) -> int:
    """Remove pairs of reshapes of which the second undoes the first, in place; gives their number.

    They are what is left of cutting states into heads and putting heads side by side again, and cost a copy each.
    """
    import onnx_ir.passes.common

    count = 0
    for node in model.graph:
        before = node.inputs[0].producer() if node.op_type == "Reshape" else None
        if before is not None and before.op_type == "Reshape":
            original, restored = before.inputs[0], node.outputs[0]
            if is_known(original.shape) and original.shape == restored.shape and not restored.is_graph_output():
                onnx_ir.convenience.replace_all_uses_with(restored, original)
                count += 1
    onnx_ir.passes.common.RemoveUnusedNodesPass()(model)
    return count


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """Silence what tracing and quantization tell: what is missing for models of pictures, and hints."""
    loggers = [logging.getLogger(name) for name in (*TALKATIVE, None)]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
