"""Recurrent sequence classifiers as `transformers` models: vanilla RNN, GRU and LSTM, one or two directions.

This file travels with the weights to the Hub, so it imports the standard library, torch and transformers alone.

Shapes: B sequences, T positions, E embedding width, H width of one direction's state, D directions, C classes.
"""

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import SequenceClassifierOutput

CELLS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
POOLINGS = ("last", "mean", "max")


class RecurrentConfig(PreTrainedConfig):
    """Architecture of a recurrent classifier.

    Args:
        vocab_size: entries of the embedding.
        cell: `rnn` (tanh), `gru` or `lstm`.
        embedding_size: E, width of the word vectors.
        hidden_size: H, width of one direction's state.
        num_hidden_layers: layers, stacked.
        bidirectional: whether a second state runs from the end to the beginning.
        pooling: how a sequence of states becomes one vector: each direction's `last` state, or the `mean` or `max`.
        dropout: on word vectors, between layers and before the classifier.
        initializer_range: standard deviation of the initial word vectors.

    Raises:
        ValueError: an unknown cell or pooling.
    """

    model_type = "bertlet-recurrent"

    def __init__(
        self,
        vocab_size: int = 30522,
        cell: str = "lstm",
        embedding_size: int = 128,
        hidden_size: int = 128,
        num_hidden_layers: int = 1,
        bidirectional: bool = False,
        pooling: str = "mean",
        dropout: float = 0.1,
        initializer_range: float = 0.1,
        pad_token_id: int = 0,
        **others: Any,
    ) -> None:
        if cell not in CELLS:
            raise ValueError(f"cell: {cell!r} is none of {', '.join(CELLS)}")
        if pooling not in POOLINGS:
            raise ValueError(f"pooling: {pooling!r} is none of {', '.join(POOLINGS)}")
        self.vocab_size = vocab_size
        self.cell = cell
        self.embedding_size = embedding_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.bidirectional = bidirectional
        self.pooling = pooling
        self.dropout = dropout
        self.initializer_range = initializer_range
        self.pad_token_id = pad_token_id
        super().__init__(**others)


class RecurrentLayer(nn.Module):
    """One layer, in one direction or two."""

    def __init__(self, config: RecurrentConfig, input_size: int) -> None:
        super().__init__()
        cell = CELLS[config.cell]
        self.forward_cell = cell(input_size, config.hidden_size, batch_first=True)
        self.backward_cell = cell(input_size, config.hidden_size, batch_first=True) if config.bidirectional else None

    def forward(self, inputs_BTE: torch.Tensor, reversed_BT: torch.Tensor) -> torch.Tensor:
        """States [B, T, D * H].

        Args:
            inputs_BTE: the layer's input.
            reversed_BT: for each place, the place it takes when its sequence is read backwards, padding staying put.
        """
        states_BTH, _ = self.forward_cell(inputs_BTE)
        if self.backward_cell is None:
            return states_BTH
        # A packed or plainly flipped batch would start on padding; reversing within lengths starts on the last token.
        backward_BTH, _ = self.backward_cell(_taken(inputs_BTE, reversed_BT))
        return torch.cat([states_BTH, _taken(backward_BTH, reversed_BT)], dim=-1)


def _taken(values_BTE: torch.Tensor, places_BT: torch.Tensor) -> torch.Tensor:
    return values_BTE.gather(1, places_BT.unsqueeze(-1).expand(-1, -1, values_BTE.shape[-1]))


class RecurrentForSequenceClassification(PreTrainedModel):
    """Word vectors → recurrent layers → pooling → a linear classifier. Padding never changes a score."""

    config_class = RecurrentConfig
    base_model_prefix = "recurrent"

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.embeddings = nn.Embedding(config.vocab_size, config.embedding_size, padding_idx=config.pad_token_id)
        width = config.hidden_size * (2 if config.bidirectional else 1)
        inputs = [config.embedding_size] + [width] * (config.num_hidden_layers - 1)
        self.layers = nn.ModuleList(RecurrentLayer(config, size) for size in inputs)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(width, len(config.id2label or {}))
        self.post_init()

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
                init.ones_(module.get_parameter("bias_ih_l0")[module.hidden_size : 2 * module.hidden_size])

    def get_input_embeddings(self) -> nn.Module:
        """The word vectors."""
        return self.embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the word vectors."""
        self.embeddings = value

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        return_dict: bool = True,
        **unused: object,
    ) -> SequenceClassifierOutput | tuple[torch.Tensor, ...]:
        """Class scores, and the cross-entropy where labels are given.

        Args:
            input_ids: [B, T].
            attention_mask: [B, T], 1 on tokens and 0 on the padding behind them; None where there is none.
            token_type_ids: accepted, as tokenizers make them, and not used.
            labels: [B], class numbers.
            return_dict: a named output, or a tuple.

        Returns:
            `logits` [B, C] and perhaps `loss`.
        """
        mask_BT = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        lengths_B = mask_BT.sum(1).clamp(min=1)
        places_T = torch.arange(input_ids.shape[1], device=input_ids.device)
        backwards_BT = lengths_B.unsqueeze(1) - 1 - places_T
        reversed_BT = torch.where(backwards_BT >= 0, backwards_BT, places_T)
        states = self.dropout(self.embeddings(input_ids))
        for number, layer in enumerate(self.layers):
            states = layer(self.dropout(states) if number else states, reversed_BT)
        logits_BC = self.classifier(self.dropout(self._pooled(states, mask_BT, lengths_B)))
        loss = None if labels is None else nn.functional.cross_entropy(logits_BC.float(), labels)
        if not return_dict:
            return (logits_BC,) if loss is None else (loss, logits_BC)
        return SequenceClassifierOutput(loss=loss, logits=logits_BC)

    def _pooled(self, states: torch.Tensor, mask_BT: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
        """States [B, T, D * H] → [B, D * H]."""
        mask_BT1 = mask_BT.unsqueeze(-1).to(states.dtype)
        if self.config.pooling == "mean":
            return (states * mask_BT1).sum(1) / lengths_B.unsqueeze(-1)
        if self.config.pooling == "max":
            return states.masked_fill(mask_BT1 == 0, torch.finfo(states.dtype).min).amax(1)
        # The backward state has read everything when it stands on the first token.
        hidden_size = self.config.hidden_size
        last_BH = states[torch.arange(len(states), device=states.device), lengths_B - 1, :hidden_size]
        return torch.cat([last_BH, states[:, 0, hidden_size:]], dim=-1)


RecurrentConfig.register_for_auto_class()
RecurrentForSequenceClassification.register_for_auto_class("AutoModelForSequenceClassification")
