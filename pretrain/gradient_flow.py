"""`python -m pretrain.gradient_flow --to FOLDER`: measure vanishing and exploding gradients.

For each kind of model, the norm of d loss / d h_t at every distance from the loss, as one plot and as JSON. `--models`
measures trained models instead of newly initialised ones.

Shapes: B sequences, T positions, H width.
"""

import dataclasses
import logging
import math
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.bounds import require_at_least, require_between
from configs.command_line import parse
from configs.errors import InputError, run_command
from configs.run_folder import json_text, write_atomically
from configs.terminal import show_progress_lines

if TYPE_CHECKING:
    import torch

log = logging.getLogger("pretrain.gradient_flow")

PROGRAM = "python -m pretrain.gradient_flow"
COLOURS = ("#E69F00", "#D55E00", "#882255", "#56B4E9", "#0072B2", "#009E73", "#000000")
FLOOR = 1e-30


@dataclasses.dataclass(frozen=True)
class GradientFlowConfig:
    """Measure how gradient norms change as gradients flow back through a sequence."""

    to: str = "runs/gradient-flow"
    """The folder that receives `gradient_flow.json`, `.svg` and `.png`."""
    length: int = 100
    """T, positions of a sequence; the loss is at the last one."""
    width: int = 64
    """H, the width of every model."""
    sequences: int = 16
    """B, number of random sequences; norms are averaged over them."""
    singular_values: list[float] = dataclasses.field(default_factory=lambda: [0.9, 1.0, 2.5])
    """Largest singular values of the initial recurrent matrix of a vanilla RNN; below 1, gradients must vanish."""
    forget_biases: list[float] = dataclasses.field(default_factory=lambda: [0.0, 1.0])
    """Initial forget-gate biases of the LSTM."""
    clip_norm: float = 1.0
    """The global norm that gradients are clipped to."""
    models: list[str] = dataclasses.field(default_factory=list)
    """Runs or folders of trained recurrent models or encoders, measured instead of new ones."""
    seed: int = 0
    """Seed of weights, sequences and the loss."""
    runs: str = "runs"
    """The folder of runs."""

    def __post_init__(self) -> None:
        """Reject values outside their bounds."""
        require_at_least(2, length=self.length, width=self.width)
        require_at_least(1, sequences=self.sequences)
        require_between(1e-6, 1e6, clip_norm=self.clip_norm)


@dataclasses.dataclass(frozen=True)
class Flow:
    """The gradient norms of a model."""

    model: str
    norms: list[float]
    """Norms of d loss / d h_t, averaged over sequences, by the distance T - t from the loss."""
    memory_norms: list[float]
    """Norms of d loss / d c_t of an LSTM; empty for other models."""
    parameter_norm: float
    """Norm of the gradient with respect to all parameters."""
    clipping: float
    """The factor by which clipping scales every gradient; 1 without clipping, NaN if the gradient is not finite."""


@dataclasses.dataclass
class Unrolling:
    """The states of a model that was run over a sequence, for their gradients."""

    hidden: list["torch.Tensor"]
    """[B, H] for each position; holds the gradient of h_t after the backward pass."""
    memory: list["torch.Tensor"]
    """The same for an LSTM's c_t; empty for other models."""
    last_BH: "torch.Tensor"
    """The state that the loss is computed from."""


# Takes inputs [B, T, H].
Unroll = Callable[["torch.Tensor"], Unrolling]


def run(config: GradientFlowConfig) -> Path:
    """Measure, then write the results and the plot.

    Raises:
        InputError: a trained model cannot be loaded, reads shorter inputs, or is neither a recurrent model nor an
            encoder.
    """
    flows = trained_flows(config) if config.models else fresh_flows(config)
    folder = Path(config.to)
    folder.mkdir(parents=True, exist_ok=True)
    report = {"config": dataclasses.asdict(config), "flows": [dataclasses.asdict(flow) for flow in flows]}
    write_atomically(folder / "gradient_flow.json", json_text(report, indent=2) + "\n")
    draw(flows, config, folder)
    for flow in flows:
        log.info(
            "%s: %.2g at the loss, %.2g at distance %d; all parameters %.2g, clipping factor %.2g",
            flow.model, flow.norms[0], flow.norms[-1], len(flow.norms) - 1, flow.parameter_norm, flow.clipping,
        )  # fmt: skip
    return folder


def fresh_flows(config: GradientFlowConfig) -> list[Flow]:
    """The gradient norms of each kind of model with initial weights."""
    import torch
    from torch import nn
    from transformers import BertConfig, BertModel

    flows = []
    width = config.width
    for value in config.singular_values:
        torch.manual_seed(config.seed)
        cell = nn.RNNCell(width, width)
        nn.init.orthogonal_(cell.weight_hh, gain=value)
        flows.append(measure(f"RNN, largest singular value {value:g}", cell, unroll_cell(cell), config))
    for bias in config.forget_biases:
        torch.manual_seed(config.seed)
        lstm = fresh_lstm(width, bias)
        flows.append(measure(f"LSTM, forget-gate bias {bias:g}", lstm, unroll_cell(lstm), config))
    torch.manual_seed(config.seed)
    lstm = fresh_lstm(width, config.forget_biases[-1] if config.forget_biases else 1.0)
    flows.append(measure("LSTM with attention", lstm, unroll_cell(lstm, attention=True), config))
    torch.manual_seed(config.seed)
    heads = max(heads for heads in range(1, max(1, width // 32) + 1) if width % heads == 0)
    bert_config = BertConfig(
        vocab_size=8, hidden_size=width, num_hidden_layers=2, num_attention_heads=heads,
        intermediate_size=4 * width, max_position_embeddings=config.length, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    encoder = BertModel(bert_config, add_pooling_layer=False)
    flows.append(measure("Transformer encoder, 2 layers", encoder, unroll_encoder(encoder), config))
    return flows


def fresh_lstm(width: int, forget_bias: float) -> Any:
    """An LSTM cell initialised as in `modeling_recurrent.py`, except for the forget-gate bias."""
    import torch
    from torch import nn

    cell = nn.LSTMCell(width, width)
    with torch.no_grad():
        for gate in cell.weight_hh.split(width):
            nn.init.orthogonal_(gate)
        for gate in cell.weight_ih.split(width):
            nn.init.xavier_uniform_(gate)
        cell.bias_ih.zero_()
        cell.bias_hh.zero_()
        cell.bias_ih[width : 2 * width] = forget_bias
    return cell


def unroll_cell(cell: Any, attention: bool = False) -> Unroll:
    """Unroll a cell over positions; with attention, the last state attends to all states (Luong's `dot`)."""

    def unroll(inputs_BTH: "torch.Tensor") -> Unrolling:
        import torch
        from torch import nn

        from pretrain.models.modeling.modeling_recurrent import dot_product_attention

        hidden = inputs_BTH.new_zeros(len(inputs_BTH), cell.hidden_size)
        memory, unrolling = torch.zeros_like(hidden), Unrolling([], [], hidden)
        states = []
        for position in range(inputs_BTH.shape[1]):
            # Zeros added to a state do not change it, and receive its gradient.
            unrolling.hidden.append(torch.zeros_like(hidden, requires_grad=True))
            if isinstance(cell, nn.LSTMCell):
                hidden, memory = cell(inputs_BTH[:, position], (hidden, memory))
                unrolling.memory.append(torch.zeros_like(memory, requires_grad=True))
                memory = memory + unrolling.memory[-1]
            else:
                hidden = cell(inputs_BTH[:, position], hidden)
            hidden = hidden + unrolling.hidden[-1]
            states.append(hidden)
        unrolling.last_BH = hidden
        if attention:
            all_BTH = torch.stack(states, dim=1)
            context_B1H, _ = dot_product_attention(hidden.unsqueeze(1), all_BTH, torch.ones_like(all_BTH[..., 0]))
            unrolling.last_BH = hidden + context_B1H[:, 0]
        return unrolling

    return unroll


def unroll_encoder(encoder: Any) -> Unroll:
    """Run a Transformer encoder; h_t is the input of its first layer at position t."""

    def unroll(inputs_BTH: "torch.Tensor") -> Unrolling:
        import torch

        states = [inputs_BTH[:, position].detach().requires_grad_() for position in range(inputs_BTH.shape[1])]
        output_BTH = encoder(inputs_embeds=torch.stack(states, dim=1)).last_hidden_state
        return Unrolling(states, [], output_BTH[:, -1])

    return unroll


def measure(name: str, parameters: Any, unroll: Unroll, config: GradientFlowConfig, inputs: Any = None) -> Flow:
    """Measure the gradients of a loss that is linear in the last state, with gradient norm 1 for comparability.

    Args:
        name: the model's name.
        parameters: the module, for the norm of its parameters' gradient.
        unroll: from `unroll_cell` or `unroll_encoder`.
        config: sizes and seed.
        inputs: [B, T, H], or None for random ones.
    """
    import torch

    generator = torch.Generator().manual_seed(config.seed)
    if inputs is None:
        inputs = torch.randn(config.sequences, config.length, config.width, generator=generator)
    parameters.zero_grad()
    states = unroll(inputs)
    direction_BH = torch.randn(states.last_BH.shape, generator=generator)
    direction_BH = direction_BH / direction_BH.norm(dim=1, keepdim=True)
    (states.last_BH * direction_BH).sum().backward()
    gradients = [parameter.grad.flatten() for parameter in parameters.parameters() if parameter.grad is not None]
    # As in a training step, the gradient is a mean over sequences.
    total = float(torch.cat(gradients).norm()) / len(inputs) if gradients else 0.0
    return Flow(
        name,
        gradient_norms(states.hidden),
        gradient_norms(states.memory),
        total,
        config.clip_norm / max(total, config.clip_norm) if math.isfinite(total) else math.nan,
    )


def gradient_norms(states: list["torch.Tensor"]) -> list[float]:
    """The gradient norm of each state, averaged over sequences, last position first; 0 without a gradient."""
    return [0.0 if state.grad is None else float(state.grad.norm(dim=1).mean()) for state in reversed(states)]


def trained_flows(config: GradientFlowConfig) -> list[Flow]:
    """The gradient norms of trained models: the first layer's forward direction if recurrent, else all layers.

    Raises:
        InputError: a model cannot be loaded, reads shorter inputs, or is neither a recurrent model nor an encoder.
    """
    import torch
    from torch import nn

    from pretrain.models import builders
    from pretrain.models.architectures import longest_input
    from pretrain.run_paths import find

    flows = []
    generator = torch.Generator().manual_seed(config.seed)
    for reference in config.models:
        folder, _ = find(reference, config.runs)
        name = Path(folder).parent.name if Path(folder).name == "model" else Path(folder).name
        model = trained_model(folder, reference)
        longest = longest_input(model.config)
        if longest is not None and config.length > longest:
            raise InputError(f"length: {config.length} is too long for {reference!r}, which reads {longest} tokens")
        ids = torch.randint(5, model.config.vocab_size, (config.sequences, config.length), generator=generator)
        if isinstance(model.config, builders.RecurrentConfig):
            layer = model.layers[0].forward_cell
            cell_classes: dict[Any, Any] = {nn.RNN: nn.RNNCell, nn.GRU: nn.GRUCell, nn.LSTM: nn.LSTMCell}
            cell = cell_classes[type(layer)](layer.input_size, layer.hidden_size)
            cell.load_state_dict({key.removesuffix("_l0"): value for key, value in layer.state_dict().items()})
            flows.append(measure(name, cell, unroll_cell(cell), config, model.embeddings(ids).detach()))
        else:
            inputs = model.get_input_embeddings()(ids).detach()
            flows.append(measure(name, model, unroll_encoder(model), config, inputs))
    return flows


def trained_model(folder: str, reference: str) -> Any:
    """A recurrent model or an encoder, without its head.

    Args:
        folder: of the model, or a Hub id.
        reference: how the user named it.

    Raises:
        InputError: it cannot be loaded, or is neither.
    """
    from transformers import MODEL_FOR_MASKED_LM_MAPPING, AutoConfig, AutoModel, AutoModelForSequenceClassification

    from pretrain.models import builders
    from pretrain.models.architectures import encoder_config
    from pretrain.models.safe_loading import SAFE, SAFE_WEIGHTS, UNREADABLE, quiet_transformers

    try:
        with quiet_transformers():
            model_config = AutoConfig.from_pretrained(folder, **SAFE)
            if encoder_config(model_config) is not model_config:
                # A classifier on pooled states is no model of `AutoModel`; its encoder is.
                model: Any = AutoModelForSequenceClassification.from_pretrained(folder, **SAFE_WEIGHTS).encoder
            else:
                model = AutoModel.from_pretrained(folder, **SAFE_WEIGHTS)
    except UNREADABLE as error:
        raise InputError(f"models: {reference!r} cannot be loaded: {' '.join(str(error).split())}") from None
    is_recurrent = isinstance(model_config, builders.RecurrentConfig)
    is_encoder = type(encoder_config(model_config)) in MODEL_FOR_MASKED_LM_MAPPING
    if not is_recurrent and (not is_encoder or "inputs_embeds" not in signature(model.forward).parameters):
        raise InputError(f"models: {reference!r} is neither a recurrent model nor an encoder like BERT")
    return model.eval()


def draw(flows: list[Flow], config: GradientFlowConfig, folder: Path) -> None:
    """Plot norms by distance, without and with clipping."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (plain, clipped) = pyplot.subplots(1, 2, figsize=(11, 4.6), sharey=True, layout="constrained")
    for axes, title in ((plain, "as it flows"), (clipped, f"clipped to a global norm of {config.clip_norm:g}")):
        for number, flow in enumerate(flows):
            factor = 1.0 if axes is plain else flow.clipping
            norms = [max(FLOOR, factor * norm) for norm in flow.norms]
            axes.plot(range(len(norms)), norms, color=COLOURS[number % len(COLOURS)], label=flow.model)
        axes.set(title=title, xlabel="distance from the loss, in positions", yscale="log")
        axes.grid(alpha=0.3)
    plain.set_ylabel("norm of d loss / d h")
    plain.set_ylim(bottom=max(1e-12, min(min(flow.norms) for flow in flows) / 3))
    figure.legend(*plain.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="small")
    for ending in ("svg", "png"):
        figure.savefig(folder / f"gradient_flow.{ending}", dpi=120)
    pyplot.close(figure)


def main() -> None:
    """Parse the command line, then measure."""
    config = parse(GradientFlowConfig, PROGRAM)
    show_progress_lines()
    print(f"gradient flow: {run(config) / 'gradient_flow.png'}")


if __name__ == "__main__":
    run_command(PROGRAM, main)
