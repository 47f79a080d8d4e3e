"""Pretraining models: an encoder with its heads, which are computed only where needed.

Shapes: B sequences, T positions, H hidden size, M masked positions, V vocabulary.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import ElectraForMaskedLM, ElectraForPreTraining, PreTrainedModel

from pretrain.models.architectures import architecture_of, encoder_config
from pretrain.models.config import GENERATOR
from pretrain.models.cpu_modernbert import predicting

SaveFunction = Callable[[PreTrainedModel, Path], None]


class MaskedLanguageModel(torch.nn.Module):
    """Any `transformers` masked-LM model; a known vocabulary head is computed at masked positions only."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        self.takes_types = takes_token_types(model)

    def inputs(
        self, input_ids: torch.Tensor, token_type_ids: torch.Tensor, attention_mask: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """What the model takes of these, all [B, T]."""
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        return inputs | {"token_type_ids": token_type_ids} if self.takes_types else inputs

    def forward(
        self,
        input_ids: torch.Tensor,
        token_type_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        masked_positions: torch.Tensor,
    ) -> torch.Tensor:
        """Predict the masked tokens: logits over the vocabulary [M, V]; arguments as in `PairModel`."""
        inputs = self.inputs(input_ids, token_type_ids, attention_mask)
        model: Any = self.model
        head = architecture_of(model.config).vocabulary_head
        if head is None:
            return model(**inputs).logits.flatten(0, 1)[masked_positions]
        with predicting(model.base_model, masked_positions, input_ids.shape) as indices_M:
            hidden_MH = model.base_model(**inputs).last_hidden_state.flatten(0, 1)[indices_M]
        return head(model, hidden_MH)

    @property
    def encoder(self) -> PreTrainedModel:
        """The model that fine-tuning starts from."""
        return self.model

    def tie_weights(self) -> None:
        """Tie the weights again: accelerate moves a model that FSDP shards to another device, which unties them."""
        self.model.tie_weights()

    @property
    def vocabulary_bias(self) -> torch.Tensor:
        """[V], the bias of the vocabulary head."""
        return self.model.get_output_embeddings().bias

    def save(self, folder: Path, save_model: SaveFunction = PreTrainedModel.save_pretrained) -> None:
        """Write the model in the format of `transformers`, using `save_model`."""
        save_model(self.model, folder)


class PairModel(MaskedLanguageModel):
    """A model with a vocabulary head and a classifier of sentence pairs, such as `BertForPreTraining`.

    Its vocabulary head is computed at masked positions only: transformers runs it at every position, and with 15 %
    masked, that is most of a small model's FLOPs.
    """

    def forward(  # ty: ignore[incompatible-method-override]
        self,
        input_ids: torch.Tensor,
        token_type_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        masked_positions: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Predict the masked tokens and the relation of the two segments.

        Args:
            input_ids, token_type_ids, attention_mask: [B, T].
            masked_positions: [M], indices into the flattened [B * T].

        Returns:
            Logits over the vocabulary [M, V] and over the two relations [B, 2].
        """
        model, architecture = self.model, architecture_of(self.model.config)
        assert architecture.vocabulary_head is not None
        assert architecture.relation_head is not None
        encoded: Any = model.base_model(**self.inputs(input_ids, token_type_ids, attention_mask))
        hidden_MH = encoded.last_hidden_state.flatten(0, 1)[masked_positions]
        return (
            architecture.vocabulary_head(model, hidden_MH),
            architecture.relation_head(model, encoded, input_ids, attention_mask),
        )


def takes_token_types(model: PreTrainedModel) -> bool:
    """Whether a model accepts `token_type_ids` of two values."""
    accepts = "token_type_ids" in inspect.signature(model.base_model.forward).parameters
    return accepts and getattr(encoder_config(model.config), "type_vocab_size", 0) > 1


class RecurrentPretrainingModel(torch.nn.Module):
    """A recurrent language model or sequence autoencoder, with unchanged inputs and outputs."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, **inputs: Any) -> Any:
        """Call the model."""
        return self.model(**inputs)

    def tie_weights(self) -> None:
        """Tie the weights again; see `MaskedLanguageModel`."""
        self.model.tie_weights()

    @property
    def encoder(self) -> PreTrainedModel:
        """The model that fine-tuning starts from."""
        return self.model

    def save(self, folder: Path, save_model: SaveFunction = PreTrainedModel.save_pretrained) -> None:
        """Write the model in the format of `transformers`, using `save_model`."""
        save_model(self.model, folder)


class ReplacedTokenModel(torch.nn.Module):
    """ELECTRA: a small generator fills the masks, a discriminator detects replaced tokens (Clark et al. 2020).

    The two share all embeddings; no gradient flows through the generator's samples.
    """

    def __init__(self, discriminator: ElectraForPreTraining, generator: ElectraForMaskedLM) -> None:
        super().__init__()
        self.discriminator, self.generator = discriminator, generator
        generator.electra.embeddings = discriminator.electra.embeddings
        self.tie_weights()

    def tie_weights(self) -> None:
        """Tie the generator's output matrix to the shared word embeddings."""
        self.generator.generator_lm_head.weight = self.discriminator.electra.embeddings.word_embeddings.weight

    def forward(
        self,
        input_ids: torch.Tensor,
        original_ids: torch.Tensor,
        token_type_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        masked_positions: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Predict the masked tokens, replace them with samples, and detect the replaced tokens.

        Args:
            input_ids, original_ids, token_type_ids, attention_mask: [B, T], with and without masks.
            masked_positions: [M], indices into the flattened [B * T].

        Returns:
            The generator's logits [M, V], the discriminator's logits of "replaced" [B, T], and the labels [B, T]: True
            where a token is replaced. A sample that equals the original token counts as original.
        """
        inputs = {"token_type_ids": token_type_ids, "attention_mask": attention_mask}
        hidden_BTH = self.generator.electra(input_ids=input_ids, **inputs).last_hidden_state
        hidden_MH = hidden_BTH.flatten(0, 1)[masked_positions]
        scores_MV = self.generator.generator_lm_head(self.generator.generator_predictions(hidden_MH))
        with torch.no_grad():
            # The argmax of probabilities divided by exponential noise is a sample of the distribution.
            shares_MV = scores_MV.float().softmax(-1)
            sampled_M = (shares_MV / torch.empty_like(shares_MV).exponential_()).argmax(-1)
            # A padded slot of the fixed-size index list points at the first [CLS], which stays as it is.
            sampled_M = torch.where(masked_positions == 0, original_ids.flatten()[0], sampled_M)
            replaced_BT = original_ids.flatten().index_copy(0, masked_positions, sampled_M).view_as(original_ids)
        scores_BT = self.discriminator(input_ids=replaced_BT, **inputs).logits
        return scores_MV, scores_BT, replaced_BT != original_ids

    @property
    def encoder(self) -> PreTrainedModel:
        """The model that fine-tuning starts from."""
        return self.discriminator

    @property
    def vocabulary_bias(self) -> torch.Tensor:
        """[V], the bias of the vocabulary head."""
        return self.generator.generator_lm_head.bias

    def save(self, folder: Path, save_model: SaveFunction = PreTrainedModel.save_pretrained) -> None:
        """Write the discriminator in the format of `transformers`, and the generator in a subfolder."""
        save_model(self.discriminator, folder)
        save_model(self.generator, folder / GENERATOR)


HEAD_MODELS: dict[str, Any] = {
    "masked_lm": MaskedLanguageModel,
    "pair": PairModel,
    "replaced_token": ReplacedTokenModel,
}
