"""Recurrent generative models for `transformers`: language models, and sequence-to-sequence with attention.

This file is uploaded with the weights, so it imports only the standard library, torch, transformers and the other two
files of recurrent models.

Shapes: B sequences, T source positions, U target positions, K hypotheses, E embedding width, H width of one direction's
state, W width of all directions' states, V vocabulary.
"""

import copy
import dataclasses
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import GenerationMixin, LogitsProcessor, LogitsProcessorList
from transformers.utils import ModelOutput

from .configuration_recurrent import RecurrentConfig
from .modeling_recurrent import (
    STATE_NAMES,
    RecurrentLayer,
    RecurrentModel,
    RecurrentPreTrainedModel,
    State,
    VariationalDropout,
    dot_product_attention,
    join_states,
    layer_state,
)

BACKWARD = "backward_"


@dataclasses.dataclass
class LanguageModelOutput(ModelOutput):
    """The output of a recurrent language model; fields that were not requested are None."""

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    backward_logits: torch.Tensor | None = None
    state: State | None = None
    """[B, layers, H] under `hidden` and, for LSTMs, `cell`; the second direction under `backward_…`."""


class TiedPreTrainedModel(RecurrentPreTrainedModel):
    """Base class of generative models: the output matrix `decoder` is tied to the word vectors."""

    _tied_weights_keys = {"decoder.weight": "recurrent.embeddings.weight"}  # noqa: RUF012

    def get_output_embeddings(self) -> nn.Module:
        """The output matrix."""
        return self.decoder

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the output matrix."""
        self.decoder = new_embeddings


class DoublePrecision(LogitsProcessor):
    """Draw from 64-bit probabilities: of a seed, the tokens that this model's toolkit draws."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores [B, V] in double precision, which Apple's GPUs lack."""
        return scores if scores.device.type == "mps" else scores.double()


class RecurrentForCausalLM(TiedPreTrainedModel, GenerationMixin):
    """A causal language model with its output matrix tied to the word vectors.

    A bidirectional one is two language models over the same word vectors, one of them reading backwards.

    `generate` continues prompts of one length, greedily or by drawing. A text starts after a [SEP], which ends the one
    before: without, the first token follows nothing that was in the training texts.
    """

    # The state holds all that was read, so no token can be taken back.
    _is_stateful = True

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
        """Logits of the next token at each position.

        Args:
            input_ids: [B, T].
            state: the initial state, [B, layers, H] each; None: zeros.
            labels: [B, T], the same tokens, not shifted; -100 is ignored.
            backward_ids: [B, T], the inputs of the second direction, in reading order: the end of the text first.

        Returns:
            `logits` [B, T, V], the final `state`, `backward_logits` given `backward_ids`, and `loss` given `labels`.
        """
        states_BTH, final = self.recurrent.one_direction(input_ids, _direction_state(state, ""), backward=False)
        logits_BTV = self._logits(states_BTH)
        output = LanguageModelOutput(logits=logits_BTV, state=final)
        if labels is not None:
            output.loss = cross_entropy(logits_BTV[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten())
        if backward_ids is not None:
            initial = _direction_state(state, BACKWARD)
            states_BTH, backward_final = self.recurrent.one_direction(backward_ids, initial, backward=True)
            output.backward_logits = self._logits(states_BTH)
            output.state = final | {f"{BACKWARD}{name}": value for name, value in backward_final.items()}
        return output

    def _logits(self, states_BTH: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.projection(self.dropout(states_BTH)))

    def prepare_inputs_for_generation(  # ty: ignore[incompatible-method-override]
        self,
        input_ids: torch.Tensor,
        state: State | None = None,
        attention_mask: torch.Tensor | None = None,
        **unused: object,
    ) -> dict[str, Any]:
        """The tokens [B, T] that have not been read, and the state after those that have.

        Raises:
            ValueError: a prompt is padded; the padding would be read as text.
        """
        if attention_mask is not None and not bool(attention_mask.all()):
            raise ValueError("prompts of different lengths cannot be continued together: pass them one at a time")
        return {"input_ids": input_ids if state is None else input_ids[:, -1:], "state": state}

    def _update_model_kwargs_for_generation(
        self, outputs: Any, model_kwargs: dict[str, Any], *arguments: Any, **options: Any
    ) -> dict[str, Any]:
        of_next = super()._update_model_kwargs_for_generation(outputs, model_kwargs, *arguments, **options)
        return of_next | {"state": outputs.state}

    def _prepare_cache_for_generation(self, generation_config: Any, *arguments: Any, **options: Any) -> Any:
        # The state takes the place of a cache. Beams would have to take states from each other.
        if (generation_config.num_beams or 1) > 1:
            raise ValueError("this model has no beam search: generate with num_beams=1")

    def _get_logits_processor(self, *arguments: Any, **options: Any) -> LogitsProcessorList:
        others: Any = super()
        return LogitsProcessorList([DoublePrecision(), *others._get_logits_processor(*arguments, **options)])


def _direction_state(state: State | None, prefix: str) -> State | None:
    """The state of one direction, or None."""
    if state is None:
        return None
    values = {name: state[f"{prefix}{name}"] for name in STATE_NAMES if f"{prefix}{name}" in state}
    return values or None


@dataclasses.dataclass
class SequenceToSequenceOutput(ModelOutput):
    """The output of a sequence-to-sequence model."""

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    """[B, U, V]."""
    attentions: torch.Tensor | None = None
    """[B, U, T]: the attention weights of each target position over the source."""


@dataclasses.dataclass
class Encoded:
    """The encoder's output for the decoder."""

    states_BTW: torch.Tensor
    mask_BT: torch.Tensor
    state: State
    """The initial state of the decoder: [B, layers, W] each."""

    def repeat(self, times: int) -> "Encoded":
        """Each sequence repeated this many times."""
        state = {name: value.repeat_interleave(times, 0) for name, value in self.state.items()}
        return Encoded(self.states_BTW.repeat_interleave(times, 0), self.mask_BT.repeat_interleave(times, 0), state)


class RecurrentForSequenceToSequence(TiedPreTrainedModel):
    """Encoder and decoder with the same kind of cell; the decoder attends to the encoder's states (Luong et al. 2015).

    The decoder starts from the encoder's final states and is as wide as both directions together, so that dot products
    need no extra matrix. Without input feeding (section 3.3), all target positions are computed in parallel.
    """

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__(config)
        self.recurrent = RecurrentModel(config)
        decoder_config = copy.copy(config)
        decoder_config.hidden_size = config.width
        decoder_config.bidirectional = decoder_config.separate_directions = False
        sizes = [config.embedding_size] + [config.width] * (config.num_hidden_layers - 1)
        self.decoder_layers = nn.ModuleList(RecurrentLayer(decoder_config, size) for size in sizes)
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
        """Teacher forcing: logits of each target token, given the correct ones before it.

        Args:
            input_ids: [B, T], the source.
            decoder_input_ids: [B, U], the target shifted right, starting with a begin token.
            attention_mask: [B, T], 1 on tokens and 0 on the padding after them; None: no padding.
            labels: [B, U], the target; -100 is ignored.
        """
        logits_BUV, _, weights_BUT = self.decode(decoder_input_ids, self.encode(input_ids, attention_mask))
        loss = None if labels is None else cross_entropy(logits_BUV.flatten(0, 1).float(), labels.flatten())
        return SequenceToSequenceOutput(loss=loss, logits=logits_BUV, attentions=weights_BUT)

    def encode(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> Encoded:
        """Run the encoder."""
        mask_BT = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        output = self.recurrent(input_ids, mask_BT, exact_state=attention_mask is not None)
        layers = self.config.num_hidden_layers
        state = {name: value.unflatten(1, (layers, -1)).flatten(2) for name, value in output.state.items()}
        return Encoded(output.last_hidden_state, mask_BT, state)

    def decode(
        self, decoder_input_ids: torch.Tensor, encoded: Encoded, state: State | None = None
    ) -> tuple[torch.Tensor, State, torch.Tensor | None]:
        """Logits [B, U, V] of the next target token, the final state, and attention weights [B, U, T]."""
        state = encoded.state if state is None else state
        states, lasts = self.recurrent.embed(decoder_input_ids), []
        for number, layer in enumerate(self.decoder_layers):
            states, last = layer(
                self.variational_dropout(states) if number else states, decoder_input_ids, layer_state(state, number)
            )
            lasts.append(last)
        weights_BUT, combined = None, states
        if self.config.attention:
            context_BUW, weights_BUT = dot_product_attention(states, encoded.states_BTW, encoded.mask_BT)
            combined = torch.cat([context_BUW, states], dim=-1)
        logits_BUV = self.decoder(self.variational_dropout(torch.tanh(self.combined(combined))))
        return logits_BUV, join_states(lasts), weights_BUT

    @torch.no_grad()
    def greedy(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None, begin: int, end: int, longest: int
    ) -> list[list[int]]:
        """Greedy decoding; the output excludes `begin` and `end`.

        Args:
            input_ids, attention_mask: as in `forward`.
            begin, end: ids of the begin and the end token.
            longest: maximum number of tokens to generate.
        """
        encoded, state = self.encode(input_ids, attention_mask), None
        token_B1 = torch.full((len(input_ids), 1), begin, device=input_ids.device)
        generated = []
        for _ in range(longest):
            logits_B1V, state, _ = self.decode(token_B1, encoded, state)
            token_B1 = logits_B1V.argmax(-1)
            generated.append(token_B1)
        rows = torch.cat(generated, dim=1).tolist() if generated else [[] for _ in input_ids]
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
        """Beam search; with one beam, the same as `greedy`.

        Args:
            input_ids, attention_mask, begin, end, longest: as in `greedy`.
            beams: number of hypotheses that are kept.
            length_power: finished hypotheses are ranked by log-probability / length ** length_power.
        """
        masks = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        return [
            self._search(input_ids[row : row + 1], masks[row : row + 1], begin, end, longest, beams, length_power)
            for row in range(len(input_ids))
        ]

    def _search(
        self,
        input_ids: torch.Tensor,
        mask_1T: torch.Tensor,
        begin: int,
        end: int,
        longest: int,
        beams: int,
        length_power: float,
    ) -> list[int]:
        """Beam search for a single sequence."""
        encoded = self.encode(input_ids, mask_1T)
        hypotheses: list[tuple[float, list[int]]] = [(0.0, [])]
        finished: list[tuple[float, list[int]]] = []
        state, device = encoded.state, input_ids.device
        for length in range(1, longest + 1):
            tokens_K1 = torch.tensor([[(tokens or [begin])[-1]] for _, tokens in hypotheses], device=device)
            logits_K1V, state, _ = self.decode(tokens_K1, encoded.repeat(len(hypotheses)), state)
            scores_K1 = torch.tensor([[score] for score, _ in hypotheses], device=device)
            scores_KV = logits_K1V[:, 0].float().log_softmax(-1) + scores_K1
            best, indices = scores_KV.flatten().topk(min(2 * beams, scores_KV.numel()))
            extended, parents = [], []
            for score, index in zip(best.tolist(), indices.tolist(), strict=True):
                parent, token = divmod(index, scores_KV.shape[1])
                if token == end:
                    if len(extended) < beams:
                        finished.append((score / length**length_power, hypotheses[parent][1]))
                elif len(extended) < beams:
                    extended.append((score, [*hypotheses[parent][1], token]))
                    parents.append(parent)
            # With one beam, the first finished hypothesis ends the search, as in `greedy`.
            if not extended or len(finished) >= beams:
                break
            hypotheses, parents_K = extended, torch.tensor(parents, device=device)
            state = {name: value[parents_K] for name, value in state.items()}
        else:
            finished += [(score / longest**length_power, tokens) for score, tokens in hypotheses]
        return max(finished, key=lambda hypothesis: hypothesis[0])[1] if finished else []


RecurrentForCausalLM.register_for_auto_class("AutoModelForCausalLM")
RecurrentForSequenceToSequence.register_for_auto_class("AutoModelForSeq2SeqLM")
