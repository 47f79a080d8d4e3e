"""The configuration of recurrent models, stored by `transformers` in `config.json`.

This file is uploaded with the weights, so it imports only the standard library and transformers.
"""

from typing import Any

from transformers import PreTrainedConfig

CELLS = ("rnn", "gru", "lstm")
POOLINGS = ("last", "mean", "max", "concat", "attention")


class RecurrentConfig(PreTrainedConfig):
    """Architecture of a recurrent model.

    Args:
        vocab_size: V, rows of the embedding.
        cell: `rnn` (tanh), `gru` or `lstm`.
        embedding_size: E, width of the word vectors.
        hidden_size: H, width of one direction's state.
        num_hidden_layers: number of layers.
        bidirectional: whether each layer also reads backwards.
        separate_directions: whether each direction of a layer sees only its own direction of the layer below, as in two
            independent language models, rather than both.
        pooling: how a classifier reduces the states of a sequence to one vector: each direction's `last` state, the
            `mean` or `max`, all three (`concat`, Howard and Ruder 2018), or dot-product `attention` of the last state
            to all.
        dropout: on word vectors and between layers, the same elements at every position of a sequence (Gal and
            Ghahramani 2016), and before the classifier.
        embedding_dropout: share of vocabulary entries set to zero in each step (Gal and Ghahramani 2016).
        weight_dropout: on the recurrent matrices, the same elements at every position (Merity et al. 2018).
        attention: for sequence-to-sequence models: whether the decoder attends to the encoder's states.
        forget_bias: initial bias of the forget gates of an LSTM.
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
        separate_directions: bool = False,
        pooling: str = "mean",
        dropout: float = 0.1,
        embedding_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        attention: bool = True,
        forget_bias: float = 1.0,
        initializer_range: float = 0.1,
        pad_token_id: int = 0,
        tie_word_embeddings: bool = True,
        **kwargs: Any,
    ) -> None:
        if cell not in CELLS:
            raise ValueError(f"cell: {cell!r} is not one of {', '.join(CELLS)}")
        if pooling not in POOLINGS:
            raise ValueError(f"pooling: {pooling!r} is not one of {', '.join(POOLINGS)}")
        self.vocab_size = vocab_size
        self.cell = cell
        self.embedding_size = embedding_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.bidirectional = bidirectional
        self.separate_directions = separate_directions
        self.pooling = pooling
        self.dropout = dropout
        self.embedding_dropout = embedding_dropout
        self.weight_dropout = weight_dropout
        self.attention = attention
        self.forget_bias = forget_bias
        self.initializer_range = initializer_range
        self.pad_token_id = pad_token_id
        self.tie_word_embeddings = tie_word_embeddings
        super().__init__(**kwargs)

    @property
    def width(self) -> int:
        """D * H, the width of the state of all directions."""
        return self.hidden_size * (2 if self.bidirectional else 1)


RecurrentConfig.register_for_auto_class()
