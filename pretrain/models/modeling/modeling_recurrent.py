"""Recurrent models for `transformers`: vanilla RNN, GRU and LSTM, and classifiers on top of them.

This file is uploaded with the weights, so it imports only the standard library, torch, transformers and
`configuration_recurrent.py`.

Shapes: B sequences, T positions, E embedding width, H width of one direction's state, D directions, S = layers * D
states, C classes, V vocabulary.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, dropout, embedding
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils import ModelOutput

from .configuration_recurrent import RecurrentConfig

CELLS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
FUNCTIONS: dict[Any, Any] = {nn.RNN: torch.rnn_tanh, nn.GRU: torch.gru, nn.LSTM: torch.lstm}

# The recurrent state: [B, S, H] under `hidden` and, for LSTMs, `cell`.
State = dict[str, torch.Tensor]
STATE_NAMES = ("hidden", "cell")


@dataclass
class RecurrentOutput(ModelOutput):
    """The output of a recurrent model."""

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    last_hidden_state: torch.Tensor | None = None
    """[B, T, D * H]."""
    state: State | None = None
    """The state after the last position; pass it in again to continue from there."""


class VariationalDropout(nn.Module):
    """Dropout with the same mask at every position of a sequence (Gal and Ghahramani 2016)."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, values_BTE: torch.Tensor) -> torch.Tensor:
        """[B, T, E] → [B, T, E]."""
        if not (self.training and self.probability):
            return values_BTE
        return values_BTE * dropout(torch.ones_like(values_BTE[:, :1]), self.probability)


def run_direction(
    cell: nn.RNNBase,
    inputs_BTE: torch.Tensor,
    state: tuple[torch.Tensor, ...] | None = None,
    lengths_B: torch.Tensor | None = None,
    weight_dropout: float = 0.0,
) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """All states [B, T, H] of one layer in one direction, and the final ones, each [1, B, H].

    Args:
        cell: `nn.RNN`, `nn.GRU` or `nn.LSTM`, of one layer, batch first.
        inputs_BTE: the inputs of the layer.
        state: the initial states; None: zeros.
        lengths_B: if given, the final states are those at the end of each sequence, else those at position T.
        weight_dropout: on the recurrent matrix, while training.
    """
    function = FUNCTIONS[type(cell)]
    recurrent_weight = dropout(cell.get_parameter("weight_hh_l0"), weight_dropout, training=cell.training)
    weights = [cell.get_parameter("weight_ih_l0"), recurrent_weight]
    weights += [cell.get_parameter("bias_ih_l0"), cell.get_parameter("bias_hh_l0")]
    if state is None:
        zeros = inputs_BTE.new_zeros(1, len(inputs_BTE), cell.hidden_size)
        state = (zeros, zeros) if isinstance(cell, nn.LSTM) else (zeros,)
    # Biases, one layer, no dropout between layers, this mode, one direction.
    options = (True, 1, 0.0, cell.training, False)
    if lengths_B is None:
        states_BTH, *last = function(inputs_BTE, _torch_state(state), weights, *options, True)
        return states_BTH, tuple(last)
    packed = pack_padded_sequence(inputs_BTE, lengths_B.cpu(), batch_first=True, enforce_sorted=False)
    order, inverse = packed.sorted_indices, packed.unsorted_indices
    assert order is not None
    assert inverse is not None
    initial = _torch_state(tuple(value.index_select(1, order) for value in state))
    states, *last = function(packed.data, packed.batch_sizes, initial, weights, *options)
    packed = PackedSequence(states, packed.batch_sizes, order, inverse)
    states_BTH, _ = pad_packed_sequence(packed, batch_first=True, total_length=inputs_BTE.shape[1])
    return states_BTH, tuple(value.index_select(1, inverse) for value in last)


def _torch_state(state: tuple[torch.Tensor, ...]) -> Any:
    """The state in the form torch's functions expect: a pair for an LSTM, else one tensor."""
    return state if len(state) > 1 else state[0]


class RecurrentLayer(nn.Module):
    """One layer, in one direction or two."""

    def __init__(self, config: RecurrentConfig, input_size: int) -> None:
        super().__init__()
        cell = CELLS[config.cell]
        self.weight_dropout = config.weight_dropout
        self.separate = config.separate_directions
        self.forward_cell = cell(input_size, config.hidden_size, batch_first=True)
        self.backward_cell = cell(input_size, config.hidden_size, batch_first=True) if config.bidirectional else None

    def forward(
        self,
        inputs_BTE: torch.Tensor,
        reversed_BT: torch.Tensor,
        state: tuple[torch.Tensor, ...] | None = None,
        lengths_B: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """States [B, T, D * H], and the final ones, each [D, B, H].

        Args:
            inputs_BTE: the layer's input.
            reversed_BT: see `reversed_positions`.
            state: the initial states, each [D, B, H]; None: zeros.
            lengths_B: see `run_direction`.
        """
        states = [None, None] if state is None else [tuple(v[d : d + 1] for v in state) for d in range(len(state[0]))]
        forward_BTE = backward_BTE = inputs_BTE
        if self.separate and self.backward_cell is not None and inputs_BTE.shape[-1] != self.forward_cell.input_size:
            forward_BTE, backward_BTE = inputs_BTE.chunk(2, dim=-1)
        forward_BTH, forward_last = run_direction(
            self.forward_cell, forward_BTE, states[0], lengths_B, self.weight_dropout
        )
        if self.backward_cell is None:
            return forward_BTH, forward_last
        # Flipping the whole batch would start on padding; reversing within lengths starts on the last token.
        backward_BTE = _gather_positions(backward_BTE, reversed_BT)
        backward_BTH, backward_last = run_direction(
            self.backward_cell, backward_BTE, states[1], lengths_B, self.weight_dropout
        )
        states_BTH = torch.cat([forward_BTH, _gather_positions(backward_BTH, reversed_BT)], dim=-1)
        return states_BTH, tuple(torch.cat(pair) for pair in zip(forward_last, backward_last, strict=True))


def _gather_positions(values_BTE: torch.Tensor, positions_BT: torch.Tensor) -> torch.Tensor:
    return values_BTE.gather(1, positions_BT.unsqueeze(-1).expand(-1, -1, values_BTE.shape[-1]))


class RecurrentPreTrainedModel(PreTrainedModel):
    """Base class of all recurrent models: weight initialisation."""

    config_class = RecurrentConfig
    base_model_prefix = "recurrent"

    def _init_weights(self, module: nn.Module) -> None:
        """Orthogonal recurrent matrices, Glorot inputs, open forget gates (Jozefowicz et al. 2015, section 2.2).

        The default of transformers would draw all weights with a standard deviation of 0.02.
        """
        if isinstance(module, nn.Embedding):
            init.normal_(module.weight, std=self.config.initializer_range)
            if module.padding_idx is not None:
                init.zeros_(module.weight[module.padding_idx])
        elif isinstance(module, nn.Linear):
            init.xavier_uniform_(module.weight)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.RNNBase):
            for name, parameter in module.named_parameters():
                if name.startswith("weight_hh"):
                    for gate in parameter.split(module.hidden_size):
                        init.orthogonal_(gate)
                elif name.startswith("weight_ih"):
                    for gate in parameter.split(module.hidden_size):
                        init.xavier_uniform_(gate)
                else:
                    init.zeros_(parameter)
            if isinstance(module, nn.LSTM):
                # torch stacks the gates as input, forget, cell, output.
                forget = module.get_parameter("bias_ih_l0")[module.hidden_size : 2 * module.hidden_size]
                init.constant_(forget, self.config.forget_bias)


class RecurrentModel(RecurrentPreTrainedModel):
    """Word vectors → recurrent layers."""

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.embedding_size, padding_idx=config.pad_token_id)
        width = config.hidden_size if config.separate_directions else config.width
        inputs = [config.embedding_size] + [width] * (config.num_hidden_layers - 1)
        self.layers = nn.ModuleList(RecurrentLayer(config, size) for size in inputs)
        self.variational_dropout = VariationalDropout(config.dropout)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The word vectors."""
        return self.embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the word vectors."""
        self.embeddings = value

    def embed(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Word vectors [B, T, E], with both kinds of dropout while training."""
        vectors = self.embeddings(input_ids)
        if self.training and self.config.embedding_dropout:
            mask_V1 = dropout(vectors.new_ones(self.config.vocab_size, 1), self.config.embedding_dropout)
            vectors = vectors * embedding(input_ids, mask_V1)
        return self.variational_dropout(vectors)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        state: State | None = None,
        exact_state: bool = False,
        **unused: object,
    ) -> RecurrentOutput:
        """All states of the last layer.

        Args:
            input_ids: [B, T].
            attention_mask: [B, T], 1 on tokens and 0 on the padding after them; None: no padding.
            state: the initial state; None: zeros.
            exact_state: whether the returned state is that at the end of each sequence, rather than after its padding.
        """
        mask_BT = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        lengths_B = mask_BT.sum(1).clamp(min=1)
        reversed_BT = reversed_positions(lengths_B, mask_BT)
        states, lasts = self.embed(input_ids), []
        for number, layer in enumerate(self.layers):
            initial = layer_state(state, number, 2 if self.config.bidirectional else 1)
            inputs = self.variational_dropout(states) if number else states
            states, last = layer(inputs, reversed_BT, initial, lengths_B if exact_state else None)
            lasts.append(last)
        return RecurrentOutput(last_hidden_state=states, state=join_states(lasts))

    def one_direction(self, input_ids: torch.Tensor, state: State | None, backward: bool) -> tuple[torch.Tensor, State]:
        """The states [B, T, H] of one direction alone, in reading order, and its final state [B, layers, H]."""
        states, lasts = self.embed(input_ids), []
        for number, layer in enumerate(self.layers):
            cell: Any = layer.backward_cell if backward else layer.forward_cell
            inputs = self.variational_dropout(states) if number else states
            states, last = run_direction(cell, inputs, layer_state(state, number), None, self.config.weight_dropout)
            lasts.append(last)
        return states, join_states(lasts)


def reversed_positions(lengths_B: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
    """[B, T]: the position of each token when its sequence is reversed; padding stays where it is."""
    positions_T = torch.arange(mask_BT.shape[1], device=mask_BT.device)
    backward_BT = lengths_B.unsqueeze(1) - 1 - positions_T
    return torch.where(backward_BT >= 0, backward_BT, positions_T)


def join_states(lasts: list[tuple[torch.Tensor, ...]]) -> State:
    """The final states of all layers, each [D, B, H], as [B, S, H] by name."""
    by_name = zip(STATE_NAMES, zip(*lasts, strict=True), strict=False)
    return {name: torch.cat(values).transpose(0, 1) for name, values in by_name}


def layer_state(state: State | None, number: int, directions: int = 1) -> tuple[torch.Tensor, ...] | None:
    """The states of one layer, each [D, B, H], from those of `join_states`; None if there is no state."""
    if state is None:
        return None
    indices = slice(number * directions, (number + 1) * directions)
    return tuple(state[name][:, indices].transpose(0, 1).contiguous() for name in STATE_NAMES if name in state)


def dot_product_attention(
    queries_BQH: torch.Tensor, states_BTH: torch.Tensor, mask_BT: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Dot-product attention (Luong et al. 2015, section 3.1, `dot`): context [B, Q, H] and weights [B, Q, T]."""
    scores_BQT = queries_BQH @ states_BTH.transpose(1, 2)
    weights_BQT = scores_BQT.masked_fill(mask_BT[:, None] == 0, torch.finfo(scores_BQT.dtype).min).softmax(-1)
    return weights_BQT @ states_BTH, weights_BQT


def classification_loss(logits_BC: torch.Tensor, labels: torch.Tensor, problem_type: str | None) -> torch.Tensor:
    """The cross-entropy of class ids [B], or the mean one of yes-or-no decisions [B, C]."""
    if problem_type == "multi_label_classification":
        return binary_cross_entropy_with_logits(logits_BC, labels.to(logits_BC.dtype))
    return cross_entropy(logits_BC, labels)


class RecurrentForSequenceClassification(RecurrentPreTrainedModel):
    """Recurrent layers → pooling → a linear classifier. Padding never changes a logit."""

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.recurrent = RecurrentModel(config)
        self.dropout = nn.Dropout(config.dropout)
        if config.pooling == "attention":
            self.combined = nn.Linear(2 * config.width, config.width)
        self.classifier = nn.Linear(config.width * (3 if config.pooling == "concat" else 1), len(config.id2label or {}))
        self.post_init()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        output_attentions: bool = False,
        return_dict: bool = True,
        **unused: object,
    ) -> SequenceClassifierOutput | tuple[torch.Tensor, ...]:
        """Class logits, and the cross-entropy if labels are given.

        Args:
            input_ids: [B, T].
            attention_mask: [B, T], 1 on tokens and 0 on the padding after them; None: no padding.
            token_type_ids: accepted because tokenizers produce them, but not used.
            labels: [B], class ids; [B, C] of 0 and 1 if the configuration's `problem_type` is
                `multi_label_classification`, with the mean cross-entropy of C decisions.
            output_attentions: with attention pooling, also return its weights [B, T].
            return_dict: return a named output rather than a tuple.

        Returns:
            `logits` [B, C] and, if requested, `loss` and `attentions`.
        """
        mask_BT = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        states_BTH = self.recurrent(input_ids, mask_BT).last_hidden_state
        pooled, weights_BT = self._pool(states_BTH, mask_BT)
        logits_BC = self.classifier(self.dropout(pooled))
        loss = None if labels is None else classification_loss(logits_BC.float(), labels, self.config.problem_type)
        if not return_dict:
            return (logits_BC,) if loss is None else (loss, logits_BC)
        attentions = (weights_BT,) if output_attentions and weights_BT is not None else None
        return SequenceClassifierOutput(loss=loss, logits=logits_BC, attentions=attentions)

    def _pool(self, states: torch.Tensor, mask_BT: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """States [B, T, D * H] → one vector [B, D * H] (3 * D * H with `concat`), and attention weights [B, T]."""
        pooling, lengths_B = self.config.pooling, mask_BT.sum(1).clamp(min=1)
        mask_BT1 = mask_BT.unsqueeze(-1).to(states.dtype)
        # The backward direction ends on the first token.
        hidden_size = self.config.hidden_size
        last_BH = states[torch.arange(states.shape[0], device=states.device), lengths_B - 1, :hidden_size]
        last_BH = torch.cat([last_BH, states[:, 0, hidden_size:]], dim=-1)
        if pooling == "last":
            return last_BH, None
        if pooling == "attention":
            context_B1H, weights_B1T = dot_product_attention(last_BH.unsqueeze(1), states, mask_BT)
            return torch.tanh(self.combined(torch.cat([context_B1H[:, 0], last_BH], dim=-1))), weights_B1T[:, 0]
        mean_BH = (states * mask_BT1).sum(1) / lengths_B.unsqueeze(-1)
        if pooling == "mean":
            return mean_BH, None
        maximum_BH = states.masked_fill(mask_BT1 == 0, torch.finfo(states.dtype).min).amax(1)
        return (maximum_BH if pooling == "max" else torch.cat([last_BH, mean_BH, maximum_BH], dim=-1)), None


RecurrentModel.register_for_auto_class("AutoModel")
RecurrentForSequenceClassification.register_for_auto_class("AutoModelForSequenceClassification")
