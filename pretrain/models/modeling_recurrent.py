"""Recurrent models for `transformers`: vanilla RNN, GRU and LSTM, and classifiers on top of them.

This file travels with the weights to the Hub, so it imports the standard library, torch, transformers and its
neighbour alone.

Shapes: B sequences, T positions, E embedding width, H width of one direction's state, D directions, S = layers * D
states, C classes, V vocabulary.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy, dropout, embedding
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils import ModelOutput

from .configuration_recurrent import RecurrentConfig

CELLS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
FUNCTIONS: dict[Any, Any] = {nn.RNN: torch.rnn_tanh, nn.GRU: torch.gru, nn.LSTM: torch.lstm}

# What a recurrence carries from one position to the next: [B, S, H] under `hidden`, and of LSTMs under `cell`.
State = dict[str, torch.Tensor]
NAMES = ("hidden", "cell")


@dataclass
class RecurrentOutput(ModelOutput):
    """What a recurrence, or a language model on top of one, gives."""

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    last_hidden_state: torch.Tensor | None = None
    """[B, T, D * H]."""
    state: State | None = None
    """After the last position: hand it in again to go on from there."""


class VariationalDropout(nn.Module):
    """Dropout of the same elements at every position of a sequence (Gal and Ghahramani 2016)."""

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
    """All states [B, T, H] of a single layer in a single direction, and the last ones, each [1, B, H].

    Args:
        cell: `nn.RNN`, `nn.GRU` or `nn.LSTM`, of one layer, batch first.
        inputs_BTE: what it reads.
        state: the states to begin with; zeros where None.
        lengths_B: if given, the last states are those at the end of each sequence, else those at position T.
        weight_dropout: on the recurrent matrix, while training.
    """
    function = FUNCTIONS[type(cell)]
    recurrent = dropout(cell.get_parameter("weight_hh_l0"), weight_dropout, training=cell.training)
    weights = [cell.get_parameter("weight_ih_l0"), recurrent]
    weights += [cell.get_parameter("bias_ih_l0"), cell.get_parameter("bias_hh_l0")]
    if state is None:
        zeros = inputs_BTE.new_zeros(1, len(inputs_BTE), cell.hidden_size)
        state = (zeros, zeros) if isinstance(cell, nn.LSTM) else (zeros,)
    # Biases, one layer, no dropout between layers, this mode, one direction.
    others = (True, 1, 0.0, cell.training, False)
    if lengths_B is None:
        states_BTH, *last = function(inputs_BTE, _one(state), weights, *others, True)
        return states_BTH, tuple(last)
    packed = pack_padded_sequence(inputs_BTE, lengths_B.cpu(), batch_first=True, enforce_sorted=False)
    order, back = packed.sorted_indices, packed.unsorted_indices
    assert order is not None
    assert back is not None
    given = _one(tuple(value.index_select(1, order) for value in state))
    states, *last = function(packed.data, packed.batch_sizes, given, weights, *others)
    packed = PackedSequence(states, packed.batch_sizes, order, back)
    states_BTH, _ = pad_packed_sequence(packed, batch_first=True, total_length=inputs_BTE.shape[1])
    return states_BTH, tuple(value.index_select(1, back) for value in last)


def _one(state: tuple[torch.Tensor, ...]) -> Any:
    """A state as torch's functions take it: a pair of an LSTM, else a tensor."""
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
        """States [B, T, D * H], and the last ones, each [D, B, H].

        Args:
            inputs_BTE: the layer's input.
            reversed_BT: for each place, the place it takes when its sequence is read backwards, padding staying put.
            state: what to begin with, each [D, B, H]; zeros where None.
            lengths_B: see `run_direction`.
        """
        states = [None, None] if state is None else [tuple(v[d : d + 1] for v in state) for d in range(len(state[0]))]
        ahead, back = (inputs_BTE, inputs_BTE)
        if self.separate and self.backward_cell is not None and inputs_BTE.shape[-1] != self.forward_cell.input_size:
            ahead, back = inputs_BTE.chunk(2, dim=-1)
        states_BTH, last = run_direction(self.forward_cell, ahead, states[0], lengths_B, self.weight_dropout)
        if self.backward_cell is None:
            return states_BTH, last
        # A packed or plainly flipped batch would start on padding; reversing within lengths starts on the last token.
        read = _taken(back, reversed_BT)
        backward_BTH, other = run_direction(self.backward_cell, read, states[1], lengths_B, self.weight_dropout)
        both = torch.cat([states_BTH, _taken(backward_BTH, reversed_BT)], dim=-1)
        return both, tuple(torch.cat(pair) for pair in zip(last, other, strict=True))


def _taken(values_BTE: torch.Tensor, places_BT: torch.Tensor) -> torch.Tensor:
    return values_BTE.gather(1, places_BT.unsqueeze(-1).expand(-1, -1, values_BTE.shape[-1]))


class RecurrentPreTrainedModel(PreTrainedModel):
    """What all recurrent models share: how fresh weights are drawn."""

    config_class = RecurrentConfig
    base_model_prefix = "recurrent"

    def _init_weights(self, module: nn.Module) -> None:
        """Orthogonal recurrence, Glorot inputs, forget gates open (Jozefowicz et al. 2015, section 2.2).

        transformers' own rule would flatten all of it to a standard deviation of 0.02.
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

    def embedded(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Word vectors [B, T, E], with both kinds of dropout while training."""
        vectors = self.embeddings(input_ids)
        if self.training and self.config.embedding_dropout:
            kept_V1 = dropout(vectors.new_ones(self.config.vocab_size, 1), self.config.embedding_dropout)
            vectors = vectors * embedding(input_ids, kept_V1)
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
            attention_mask: [B, T], 1 on tokens and 0 on the padding behind them; None where there is none.
            state: to begin with; zeros where None.
            exact_state: whether the state to go on from is that at each sequence's end, rather than behind its padding.
        """
        mask_BT = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        lengths_B = mask_BT.sum(1).clamp(min=1)
        reversed_BT = reversed_positions(lengths_B, mask_BT)
        states, lasts = self.embedded(input_ids), []
        for number, layer in enumerate(self.layers):
            begun = of_layer(state, number, 2 if self.config.bidirectional else 1)
            inputs = self.variational_dropout(states) if number else states
            states, last = layer(inputs, reversed_BT, begun, lengths_B if exact_state else None)
            lasts.append(last)
        return RecurrentOutput(last_hidden_state=states, state=joined(lasts))

    def one_direction(self, input_ids: torch.Tensor, state: State | None, backward: bool) -> tuple[torch.Tensor, State]:
        """The states [B, T, H] of one direction by itself, in the order in which it reads; its state [B, layers, H]."""
        states, lasts = self.embedded(input_ids), []
        for number, layer in enumerate(self.layers):
            cell: Any = layer.backward_cell if backward else layer.forward_cell
            inputs = self.variational_dropout(states) if number else states
            states, last = run_direction(cell, inputs, of_layer(state, number), None, self.config.weight_dropout)
            lasts.append(last)
        return states, joined(lasts)


def reversed_positions(lengths_B: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
    """[B, T]: for each place, the one it takes when its sequence is read backwards; padding stays put."""
    places_T = torch.arange(mask_BT.shape[1], device=mask_BT.device)
    backwards_BT = lengths_B.unsqueeze(1) - 1 - places_T
    return torch.where(backwards_BT >= 0, backwards_BT, places_T)


def joined(lasts: list[tuple[torch.Tensor, ...]]) -> State:
    """The last states of all layers, each [D, B, H], as [B, S, H] by name."""
    return {
        name: torch.cat(parts).transpose(0, 1) for name, parts in zip(NAMES, zip(*lasts, strict=True), strict=False)
    }


def of_layer(state: State | None, number: int, directions: int = 1) -> tuple[torch.Tensor, ...] | None:
    """A layer's part of what `joined` made, each [D, B, H]; None where there is no state."""
    if state is None:
        return None
    places = slice(number * directions, (number + 1) * directions)
    return tuple(state[name][:, places].transpose(0, 1).contiguous() for name in NAMES if name in state)


def dot_product_attention(
    queries_BQH: torch.Tensor, states_BTH: torch.Tensor, mask_BT: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """What each query attends to (Luong et al. 2015, section 3.1, `dot`): context [B, Q, H] and weights [B, Q, T]."""
    scores_BQT = queries_BQH @ states_BTH.transpose(1, 2)
    weights_BQT = scores_BQT.masked_fill(mask_BT[:, None] == 0, torch.finfo(scores_BQT.dtype).min).softmax(-1)
    return weights_BQT @ states_BTH, weights_BQT


class RecurrentForSequenceClassification(RecurrentPreTrainedModel):
    """A recurrence → pooling → a linear classifier. Padding never changes a score."""

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
        """Class scores, and the cross-entropy where labels are given.

        Args:
            input_ids: [B, T].
            attention_mask: [B, T], 1 on tokens and 0 on the padding behind them; None where there is none.
            token_type_ids: accepted, as tokenizers make them, and not used.
            labels: [B], class numbers.
            output_attentions: with attention pooling, also its weights [B, T].
            return_dict: a named output, or a tuple.

        Returns:
            `logits` [B, C] and perhaps `loss` and `attentions`.
        """
        mask_BT = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        states_BTH = self.recurrent(input_ids, mask_BT).last_hidden_state
        pooled, weights_BT = self._pooled(states_BTH, mask_BT)
        logits_BC = self.classifier(self.dropout(pooled))
        loss = None if labels is None else cross_entropy(logits_BC.float(), labels)
        if not return_dict:
            return (logits_BC,) if loss is None else (loss, logits_BC)
        shown = (weights_BT,) if output_attentions and weights_BT is not None else None
        return SequenceClassifierOutput(loss=loss, logits=logits_BC, attentions=shown)

    def _pooled(self, states: torch.Tensor, mask_BT: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """States [B, T, D * H] → one vector [B, D * H] (thrice as wide with `concat`), and attention weights [B, T]."""
        pooling, lengths_B = self.config.pooling, mask_BT.sum(1).clamp(min=1)
        mask_BT1 = mask_BT.unsqueeze(-1).to(states.dtype)
        # The backward state has read everything when it stands on the first token.
        hidden_size = self.config.hidden_size
        last_BH = states[torch.arange(len(states), device=states.device), lengths_B - 1, :hidden_size]
        last_BH = torch.cat([last_BH, states[:, 0, hidden_size:]], dim=-1)
        if pooling == "last":
            return last_BH, None
        if pooling == "attention":
            context_B1H, weights_B1T = dot_product_attention(last_BH.unsqueeze(1), states, mask_BT)
            return torch.tanh(self.combined(torch.cat([context_B1H[:, 0], last_BH], dim=-1))), weights_B1T[:, 0]
        mean_BH = (states * mask_BT1).sum(1) / lengths_B.unsqueeze(-1)
        if pooling == "mean":
            return mean_BH, None
        greatest_BH = states.masked_fill(mask_BT1 == 0, torch.finfo(states.dtype).min).amax(1)
        return (greatest_BH if pooling == "max" else torch.cat([last_BH, mean_BH, greatest_BH], dim=-1)), None


RecurrentModel.register_for_auto_class("AutoModel")
RecurrentForSequenceClassification.register_for_auto_class("AutoModelForSequenceClassification")
