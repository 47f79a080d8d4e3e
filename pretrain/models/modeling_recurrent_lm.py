"""Recurrent models that write, for `transformers`: language models, and sequence to sequence with attention.

This file travels with the weights to the Hub, so it imports the standard library, torch, transformers and its
neighbours alone.

Shapes: B sequences, T positions read, U positions written, E embedding width, H width of one direction's state, W width
of all directions' states, V vocabulary.
"""

import copy
import dataclasses

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers.utils import ModelOutput

from .configuration_recurrent import RecurrentConfig
from .modeling_recurrent import (
    NAMES,
    RecurrentLayer,
    RecurrentModel,
    RecurrentPreTrainedModel,
    State,
    VariationalDropout,
    dot_product_attention,
    joined,
    of_layer,
)

BACKWARD = "backward_"


@dataclasses.dataclass
class LanguageModelOutput(ModelOutput):
    """What a recurrent language model gives; what of it was not asked for is None."""

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    backward_logits: torch.Tensor | None = None
    state: State | None = None
    """[B, layers, H] under `hidden` and, of LSTMs, `cell`; of the second direction under `backward_…`."""


class TiedPreTrainedModel(RecurrentPreTrainedModel):
    """What models that write share: an output matrix `decoder`, which is that of the word vectors."""

    _tied_weights_keys = {"decoder.weight": "recurrent.embeddings.weight"}  # noqa: RUF012

    def get_output_embeddings(self) -> nn.Module:
        """The output matrix."""
        return self.decoder

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the output matrix."""
        self.decoder = new_embeddings


class RecurrentForCausalLM(TiedPreTrainedModel):
    """A language model that tells the next token from all before it, its output matrix tied to the word vectors.

    With two directions these are two language models over the same vectors, each reading its own way.
    """

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__(config)
        self.recurrent = RecurrentModel(config)
        self.projection = nn.Linear(config.hidden_size, config.embedding_size, bias=False)
        if config.hidden_size == config.embedding_size:
            self.projection = nn.Identity()
        self.dropout = VariationalDropout(config.dropout)
        self.decoder = nn.Linear(config.embedding_size, config.vocab_size)
        self.post_init()

    def forward(
        self,
        input_ids: torch.Tensor,
        state: State | None = None,
        labels: torch.Tensor | None = None,
        backward_ids: torch.Tensor | None = None,
        **unused: object,
    ) -> LanguageModelOutput:
        """Scores of the token after each one.

        Args:
            input_ids: [B, T].
            state: to go on from, [B, layers, H] each; zeros where None.
            labels: [B, T], the same tokens: each is to be told from those before it; -100 does not count.
            backward_ids: [B, T], what the second direction reads, in its order: the text's end first.

        Returns:
            `logits` [B, T, V], `backward_logits` if asked for, the `state` to go on from, and perhaps `loss`.
        """
        states_BTH, after = self.recurrent.one_direction(input_ids, _side(state, ""), backward=False)
        logits_BTV = self._scores(states_BTH)
        output = LanguageModelOutput(logits=logits_BTV, state=after)
        if labels is not None:
            output.loss = cross_entropy(logits_BTV[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten())
        if backward_ids is not None:
            begun = _side(state, BACKWARD)
            states_BTH, other = self.recurrent.one_direction(backward_ids, begun, backward=True)
            output.backward_logits = self._scores(states_BTH)
            output.state = after | {f"{BACKWARD}{name}": value for name, value in other.items()}
        return output

    def _scores(self, states_BTH: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.projection(self.dropout(states_BTH)))


def _side(state: State | None, prefix: str) -> State | None:
    """The part of a state that belongs to one direction; None where there is none."""
    if state is None:
        return None
    found = {name: state[f"{prefix}{name}"] for name in NAMES if f"{prefix}{name}" in state}
    return found or None


@dataclasses.dataclass
class SequenceToSequenceOutput(ModelOutput):
    """What a sequence to sequence model gives."""

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    """[B, U, V]."""
    attentions: torch.Tensor | None = None
    """[B, U, T]: at which of the tokens read each written one looks."""


@dataclasses.dataclass
class Encoded:
    """What a decoder starts from, and looks at."""

    states_BTW: torch.Tensor
    mask_BT: torch.Tensor
    state: State
    """The decoder's first: [B, layers, W] each."""

    def repeated(self, times: int) -> "Encoded":
        """For so many continuations of each sequence."""
        state = {name: value.repeat_interleave(times, 0) for name, value in self.state.items()}
        return Encoded(self.states_BTW.repeat_interleave(times, 0), self.mask_BT.repeat_interleave(times, 0), state)


class RecurrentForSequenceToSequence(TiedPreTrainedModel):
    """Encoder and decoder of one kind of cell; the decoder attends to the encoder's states (Luong et al. 2015).

    The decoder starts from the encoder's last states and is as wide as both directions together, so that dot products
    need no further matrix. Input is not fed (their section 3.3): all written positions are computed side by side.
    """

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__(config)
        self.recurrent = RecurrentModel(config)
        wide = copy.copy(config)
        wide.hidden_size, wide.bidirectional, wide.separate_directions = config.width, False, False
        sizes = [config.embedding_size] + [config.width] * (config.num_hidden_layers - 1)
        self.decoder_layers = nn.ModuleList(RecurrentLayer(wide, size) for size in sizes)
        self.variational_dropout = VariationalDropout(config.dropout)
        self.combined = nn.Linear(config.width * (2 if config.attention else 1), config.embedding_size)
        self.decoder = nn.Linear(config.embedding_size, config.vocab_size)
        self.post_init()

    def forward(
        self,
        input_ids: torch.Tensor,
        decoder_input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **unused: object,
    ) -> SequenceToSequenceOutput:
        """Teacher forcing: the scores of each written token, given the right ones before it.

        Args:
            input_ids: [B, T], what is read.
            decoder_input_ids: [B, U], what is written, a position late: a token that begins it comes first.
            attention_mask: [B, T], 1 on tokens and 0 on the padding behind them; None where there is none.
            labels: [B, U], what is to be written; -100 does not count.
        """
        logits_BUV, _, weights_BUT = self.decode(decoder_input_ids, self.encode(input_ids, attention_mask))
        loss = None if labels is None else cross_entropy(logits_BUV.flatten(0, 1).float(), labels.flatten())
        return SequenceToSequenceOutput(loss=loss, logits=logits_BUV, attentions=weights_BUT)

    def encode(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> Encoded:
        """Read: step 0, before Luong's."""
        mask_BT = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        read = self.recurrent(input_ids, mask_BT, exact_state=attention_mask is not None)
        layers = self.config.num_hidden_layers
        return Encoded(
            read.last_hidden_state,
            mask_BT,
            {name: v.unflatten(1, (layers, -1)).flatten(2) for name, v in read.state.items()},
        )

    def decode(
        self, decoder_input_ids: torch.Tensor, encoded: Encoded, state: State | None = None
    ) -> tuple[torch.Tensor, State, torch.Tensor | None]:
        """Scores [B, U, V] of the token behind each written one, the state to go on from, and attention [B, U, T]."""
        state = encoded.state if state is None else state
        states, lasts = self.recurrent.embedded(decoder_input_ids), []
        for number, layer in enumerate(self.decoder_layers):
            states, last = layer(
                self.variational_dropout(states) if number else states, decoder_input_ids, of_layer(state, number)
            )
            lasts.append(last)
        weights_BUT, combined = None, states
        if self.config.attention:
            context_BUW, weights_BUT = dot_product_attention(states, encoded.states_BTW, encoded.mask_BT)
            combined = torch.cat([context_BUW, states], dim=-1)
        logits_BUV = self.decoder(self.variational_dropout(torch.tanh(self.combined(combined))))
        return logits_BUV, joined(lasts), weights_BUT

    @torch.no_grad()
    def greedy(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None, begin: int, end: int, longest: int
    ) -> list[list[int]]:
        """What is written when the likeliest token is taken at each position; without `begin` and `end`.

        Args:
            input_ids, attention_mask: of `forward`.
            begin, end: the token that comes first, and the one that ends.
            longest: write no more tokens than this.
        """
        encoded, state = self.encode(input_ids, attention_mask), None
        token_B1 = torch.full((len(input_ids), 1), begin, device=input_ids.device)
        written = []
        for _ in range(longest):
            logits_B1V, state, _ = self.decode(token_B1, encoded, state)
            token_B1 = logits_B1V.argmax(-1)
            written.append(token_B1)
        rows = torch.cat(written, dim=1).tolist() if written else [[] for _ in input_ids]
        return [row[: row.index(end)] if end in row else row for row in rows]

    @torch.no_grad()
    def beam_search(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None,
        begin: int,
        end: int,
        longest: int,
        beams: int = 5,
        length_power: float = 1.0,
    ) -> list[list[int]]:
        """What is written when the `beams` likeliest beginnings are followed up; as `greedy` with one.

        Args:
            input_ids, attention_mask, begin, end, longest: of `greedy`.
            beams: how many beginnings are kept.
            length_power: finished texts compete by log-probability / length ** length_power.
        """
        masks = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        return [
            self._beams(input_ids[row : row + 1], masks[row : row + 1], begin, end, longest, beams, length_power)
            for row in range(len(input_ids))
        ]

    def _beams(
        self,
        input_ids: torch.Tensor,
        mask_1T: torch.Tensor,
        begin: int,
        end: int,
        longest: int,
        beams: int,
        length_power: float,
    ) -> list[int]:
        once = self.encode(input_ids, mask_1T)
        kept: list[tuple[float, list[int]]] = [(0.0, [])]
        finished: list[tuple[float, list[int]]] = []
        state, device = once.state, input_ids.device
        for length in range(1, longest + 1):
            tokens_K1 = torch.tensor([[(written or [begin])[-1]] for _, written in kept], device=device)
            logits_K1V, state, _ = self.decode(tokens_K1, once.repeated(len(kept)), state)
            scores_KV = logits_K1V[:, 0].float().log_softmax(-1) + torch.tensor([[s] for s, _ in kept], device=device)
            best, places = scores_KV.flatten().topk(min(2 * beams, scores_KV.numel()))
            grown, origins = [], []
            for score, place in zip(best.tolist(), places.tolist(), strict=True):
                origin, token = divmod(place, scores_KV.shape[1])
                if token == end:
                    if len(grown) < beams:
                        finished.append((score / length**length_power, kept[origin][1]))
                elif len(grown) < beams:
                    grown.append((score, [*kept[origin][1], token]))
                    origins.append(origin)
            # With one beam, what ends first ends the search, as in `greedy`.
            if not grown or len(finished) >= beams:
                break
            kept, chosen = grown, torch.tensor(origins, device=device)
            state = {name: value[chosen] for name, value in state.items()}
        else:
            finished += [(score / longest**length_power, written) for score, written in kept]
        return max(finished, key=lambda found: found[0])[1] if finished else []


RecurrentForCausalLM.register_for_auto_class("AutoModelForCausalLM")
RecurrentForSequenceToSequence.register_for_auto_class("AutoModelForSeq2SeqLM")
