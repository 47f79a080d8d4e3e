"""Facts about encoder architectures of `transformers`, one record each.

A new architecture is a new record in `ARCHITECTURES`; no other code checks `model_type`. A checkpoint of a type without
a record still works: its vocabulary head is computed at every position, with the attention of `transformers`.

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
    """What the toolkit needs to know about one `model_type`."""

    model_type: str
    dropouts: tuple[str, ...] = (
        "hidden_dropout_prob", "attention_probs_dropout_prob", "embedding_dropout", "mlp_dropout", "attention_dropout",
    )  # fmt: skip
    """Names of the dropout settings; those that a configuration lacks are ignored."""
    build_config: ConfigBuilder | None = None
    """Builds a `transformers` configuration from the encoder config and the tokenizer; None: checkpoints only."""
    heads: Mapping[str, Any] = field(default_factory=dict)
    """`transformers` model classes by pretraining head: `masked_lm`, `pair` (masked LM and a classifier of sentence
    pairs), `replaced_token`, or `generator`."""
    vocabulary_head: VocabularyHead | None = None
    """Logits [M, V] from hidden states [M, H]; with None, the whole model runs its head at every position."""
    first_position: Callable[[Any], int] = lambda config: 0
    """The number of position embeddings that are reserved and never used, given the configuration."""
    layer_pattern: str = r"\blayers?\.(\d+)\."
    """Regular expression that extracts the layer number from a parameter name."""
    padding_mask_only: bool = False
    """Whether attention depends only on the padding mask, so that a faster implementation can replace it."""


def architecture_of(config: Any) -> Architecture:
    """The record for a `transformers` configuration, or a generic one for an unknown type."""
    return ARCHITECTURES.get(config.model_type, Architecture(config.model_type))


def with_head(head: str) -> list[Architecture]:
    """The architectures that have a pretraining head, preferred ones first."""
    return [architecture for architecture in ARCHITECTURES.values() if head in architecture.heads]


def fresh_config(head: str, config: EncoderConfig, tokenizer: Any) -> tuple[Architecture, Any]:
    """Architecture and configuration of a new encoder: the first architecture that has this head."""
    architecture = next(candidate for candidate in with_head(head) if candidate.build_config is not None)
    assert architecture.build_config is not None
    return architecture, architecture.build_config(config, tokenizer)


def set_dropout(config: Any, dropout: float) -> None:
    """Set every dropout of a `transformers` configuration, in place."""
    for name in architecture_of(config).dropouts:
        if hasattr(config, name):
            setattr(config, name, dropout)


def longest_input(config: Any) -> int:
    """The maximum input length in tokens of a model with this configuration."""
    return config.max_position_embeddings - architecture_of(config).first_position(config)


def encoders_of(model: torch.nn.Module) -> list[Any]:
    """All `transformers` models among a model's modules, itself included."""
    return [module for module in model.modules() if isinstance(module, PreTrainedModel)]


def bert_config(config: EncoderConfig, tokenizer: Any) -> BertConfig:
    """The configuration of a BERT encoder for this tokenizer.

    Raises:
        InputError: the hidden size is not a multiple of the number of heads.
    """
    return BertConfig(**_encoder_arguments(config, tokenizer))


def electra_config(config: EncoderConfig, tokenizer: Any) -> ElectraConfig:
    """The configuration of an ELECTRA discriminator.

    Raises:
        InputError: the hidden size is not a multiple of the number of heads.
    """
    arguments = _encoder_arguments(config, tokenizer)
    return ElectraConfig(embedding_size=arguments["hidden_size"], **arguments)


def generator_config(discriminator: ElectraConfig, share: float) -> ElectraConfig:
    """The generator of an ELECTRA discriminator: the same depth, but narrower (Clark et al. 2020, section 3.2).

    Args:
        discriminator: its configuration.
        share: the generator's width, as a share of the discriminator's attention heads; at least one head.
    """
    generator = type(discriminator).from_dict(discriminator.to_dict())
    heads = max(1, round(share * discriminator.num_attention_heads))
    generator.hidden_size = heads * (discriminator.hidden_size // discriminator.num_attention_heads)
    generator.num_attention_heads, generator.intermediate_size = heads, 4 * generator.hidden_size
    return generator


def _encoder_arguments(config: EncoderConfig, tokenizer: Any) -> dict[str, Any]:
    """The arguments that `BertConfig` and `ElectraConfig` share."""
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
    """RoBERTa and its relatives, whose positions start after the padding id."""
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
