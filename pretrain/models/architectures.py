"""Facts about encoder architectures of `transformers`, one record each.

A new architecture is a new record in `ARCHITECTURES`; nothing else asks for a `model_type`. A checkpoint of a type
without a record still works: its vocabulary head is computed at every position, and attention is the library's own.

Shapes: B sequences, T positions, H hidden size, M masked positions, V vocabulary.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForPreTraining,
    PreTrainedModel,
)

from configs.errors import InputError
from pretrain.models.config import EncoderConfig

# Layers and hidden sizes of google-research/bert's released models (README, "Smaller BERT Models").
SIZES = {"tiny": (2, 128), "mini": (4, 256), "small": (4, 512), "medium": (8, 512), "base": (12, 768)}
SIZE_PER_HEAD = 64

ConfigBuilder = Callable[[EncoderConfig, Any], Any]
VocabularyHead = Callable[[Any, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Architecture:
    """What the toolkit has to know about one `model_type`."""

    model_type: str
    dropouts: tuple[str, ...] = (
        "hidden_dropout_prob", "attention_probs_dropout_prob", "embedding_dropout", "mlp_dropout", "attention_dropout",
    )  # fmt: skip
    """Names of its dropouts in the configuration; names that a configuration lacks are ignored."""
    build_config: ConfigBuilder | None = None
    """A fresh configuration of `transformers`, given the encoder's config and the tokenizer; None: checkpoints only."""
    heads: Mapping[str, Any] = field(default_factory=dict)
    """Model classes of `transformers` by what they are pretrained with: `masked_lm`, `pair` (masked-LM and a classifier
    of pairs) or `replaced_token`."""
    vocabulary_head: VocabularyHead | None = None
    """Scores [M, V] from hidden states [M, H]; None computes the whole model's output at every position."""
    first_position: Callable[[Any], int] = lambda config: 0
    """The number of position embeddings that no text can use, given the configuration."""
    layer_pattern: str = r"\blayers?\.(\d+)\."
    """A regular expression that finds the number of the layer in the name of a parameter."""
    padding_mask_only: bool = False
    """Whether attention depends on the padding mask alone, so that a faster implementation can take its place."""


def architecture_of(config: Any) -> Architecture:
    """The record of a configuration of `transformers`, or a generic one for an unknown type."""
    return ARCHITECTURES.get(config.model_type, Architecture(config.model_type))


def with_head(head: str) -> list[Architecture]:
    """The architectures that have a pretraining head, in the order of preference for fresh encoders."""
    return [architecture for architecture in ARCHITECTURES.values() if head in architecture.heads]


def fresh_config(head: str, config: EncoderConfig, tokenizer: Any) -> tuple[Architecture, Any]:
    """Architecture and configuration of a fresh encoder with this head: of the first architecture that has it."""
    architecture = next(candidate for candidate in with_head(head) if candidate.build_config is not None)
    assert architecture.build_config is not None
    return architecture, architecture.build_config(config, tokenizer)


def set_dropout(config: Any, dropout: float) -> None:
    """Set every dropout that a configuration of `transformers` has, in place."""
    for name in architecture_of(config).dropouts:
        if hasattr(config, name):
            setattr(config, name, dropout)


def longest_input(config: Any) -> int:
    """The most tokens that a model with this configuration can read."""
    return config.max_position_embeddings - architecture_of(config).first_position(config)


def encoders_of(model: torch.nn.Module) -> list[Any]:
    """The models of `transformers` within a model, itself included."""
    return [module for module in model.modules() if isinstance(module, PreTrainedModel)]


def bert_config(config: EncoderConfig, tokenizer: Any) -> BertConfig:
    """The configuration of a BERT encoder for this tokenizer.

    Raises:
        InputError: the hidden size is not a multiple of the number of heads.
    """
    return BertConfig(**_sizes(config, tokenizer))


def electra_config(config: EncoderConfig, tokenizer: Any) -> ElectraConfig:
    """The configuration of an ELECTRA discriminator.

    Raises:
        InputError: the hidden size is not a multiple of the number of heads.
    """
    sizes = _sizes(config, tokenizer)
    return ElectraConfig(embedding_size=sizes["hidden_size"], **sizes)


def generator_config(discriminator: ElectraConfig, share: float) -> ElectraConfig:
    """The generator of an ELECTRA discriminator: as many layers, but narrower (Clark et al. 2020, section 3.2).

    Args:
        discriminator: its configuration.
        share: of the discriminator's attention heads, at least one.
    """
    narrow = type(discriminator).from_dict(discriminator.to_dict())
    heads = max(1, round(share * discriminator.num_attention_heads))
    narrow.hidden_size = heads * (discriminator.hidden_size // discriminator.num_attention_heads)
    narrow.num_attention_heads, narrow.intermediate_size = heads, 4 * narrow.hidden_size
    return narrow


def _sizes(config: EncoderConfig, tokenizer: Any) -> dict[str, Any]:
    layers, hidden_size = SIZES[config.size]
    layers, hidden_size = config.layers or layers, config.hidden_size or hidden_size
    heads = config.heads or max(1, hidden_size // SIZE_PER_HEAD)
    if hidden_size % heads:
        raise InputError(f"model.heads: {heads} does not divide model.hidden_size, {hidden_size}")
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": hidden_size,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * hidden_size,
        "hidden_act": {"erf": "gelu", "tanh": "gelu_pytorch_tanh"}[config.gelu],
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.dropout,
        "max_position_embeddings": config.maximum_positions,
        "initializer_range": config.initializer_range or 1 / math.sqrt(hidden_size),
        "pad_token_id": tokenizer.pad_token_id,
    }


def _roberta(model_type: str) -> Architecture:
    """RoBERTa and its relatives, which number positions from behind the padding id."""
    return Architecture(
        model_type,
        vocabulary_head=lambda model, hidden_MH: model.lm_head(hidden_MH),
        first_position=lambda config: config.pad_token_id + 1,
        padding_mask_only=True,
    )


ARCHITECTURES = {
    architecture.model_type: architecture
    for architecture in (
        Architecture(
            "bert",
            build_config=bert_config,
            heads={"masked_lm": BertForMaskedLM, "pair": BertForPreTraining},
            vocabulary_head=lambda model, hidden_MH: model.cls(hidden_MH),
            padding_mask_only=True,
        ),
        Architecture(
            "electra",
            build_config=electra_config,
            heads={"replaced_token": ElectraForPreTraining, "generator": ElectraForMaskedLM},
            vocabulary_head=lambda model, hidden_MH: model.generator_lm_head(model.generator_predictions(hidden_MH)),
            padding_mask_only=True,
        ),
        _roberta("roberta"),
        _roberta("xlm-roberta"),
        _roberta("camembert"),
        Architecture("distilbert", padding_mask_only=True),
        Architecture("modernbert", vocabulary_head=lambda model, hidden_MH: model.decoder(model.head(hidden_MH))),
    )
}
