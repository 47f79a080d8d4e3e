"""A classifier of torch → the graph of ONNX that computes the same.

Recurrent layers become the operators of ONNX, which know the length of each row: traced, torch's own would be unrolled
to the length of the example. Attention is traced as plain products with a mask that is added (`eager`): what torch's
fused kernel decomposes into costs a third more in onnxruntime.

Shapes: B sequences, T positions, E width of a layer's input, H width of one direction's state, D directions.
"""

import contextlib
import logging
import warnings
from collections.abc import Generator, Sequence
from typing import Any

import torch
from torch import nn

from pretrain.models.modeling.modeling_recurrent import RecurrentLayer
from pretrain.models.pretraining_models import takes_token_types

# The newest that every runtime of the last two years reads; attention as one operator came with 23.
OPSET = 20
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
        if type(module) is RecurrentLayer:
            OnnxRecurrentLayer.install(module)
    model.set_attn_implementation("eager")
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
