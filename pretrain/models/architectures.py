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
    ModernBertConfig,
    ModernBertForMaskedLM,
    PreTrainedModel,
)

from configs.errors import InputError
from pretrain.models.config import EncoderConfig
from pretrain.models.modeling.configuration_pooled import PooledConfig
from pretrain.models.modeling.modeling_modernbert import ModernBertForPreTraining

# Layers and hidden sizes of google-research/bert's released models (README, "Smaller BERT Models").
SIZES = {"tiny": (2, 128), "mini": (4, 256), "small": (4, 512), "medium": (8, 512), "base": (12, 768)}
SIZE_PER_HEAD = 64
# Matrices of this multiple fill the vector registers of CPUs and GPUs.
WIDTH_MULTIPLE = 16

ConfigBuilder = Callable[[EncoderConfig, Any], Any]
RelationHead = Callable[[Any, Any, torch.Tensor, torch.Tensor], torch.Tensor]
VocabularyHead = Callable[[Any, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Architecture:
    """What the toolkit needs to know about one `model_type`."""

    model_type: str
    build_config: ConfigBuilder | None = None
    """Builds a `transformers` configuration from the encoder config and the tokenizer; None: checkpoints only."""
    heads: Mapping[str, Any] = field(default_factory=dict)
    """`transformers` model classes by pretraining head: `masked_lm`, `pair` (masked LM and a classifier of sentence
    pairs), `replaced_token`, or `generator`."""
    vocabulary_head: VocabularyHead | None = None
    """Logits [M, V] from hidden states [M, H]; with None, the whole model runs its head at every position."""
    first_position: Callable[[Any], int] = lambda config: 0
    """The number of position embeddings that are reserved and never used, given the configuration."""
    padding_mask_only: Callable[[Any], bool] = lambda config: False
    """Whether attention depends only on the padding mask, so that a faster implementation can replace it."""
    relation_head: RelationHead | None = None
    """Logits [B, 2] of the relation of two segments, from the encoder's output, the ids and attention mask [B, T]."""


def encoder_config(config: Any) -> Any:
    """The configuration of the encoder within a `transformers` configuration; most are that themselves."""
    return config.encoder if isinstance(config, PooledConfig) else config


def architecture_of(config: Any) -> Architecture:
    """The record for a `transformers` configuration, or a generic one for an unknown type."""
    model_type = encoder_config(config).model_type
    return ARCHITECTURES.get(model_type, Architecture(model_type))


def with_head(head: str) -> list[Architecture]:
    """The architectures that have a pretraining head, preferred ones first."""
    return [architecture for architecture in ARCHITECTURES.values() if head in architecture.heads]


def fresh_config(head: str, config: EncoderConfig, tokenizer: Any) -> tuple[Architecture, Any]:
    """Architecture and configuration of a new encoder.

    Raises:
        InputError: the architecture has no such head.
    """
    candidates = [candidate for candidate in with_head(head) if candidate.build_config is not None]
    if config.architecture != "bert":
        candidates = [candidate for candidate in candidates if candidate.model_type == config.architecture]
    if not candidates:
        raise InputError(f"model.architecture: {config.architecture} has no {head.replace('_', ' ')} head; use bert")
    architecture = candidates[0]
    assert architecture.build_config is not None
    return architecture, architecture.build_config(config, tokenizer)


def always(config: Any) -> bool:
    """Whatever the configuration."""
    return True


def set_dropout(config: Any, dropout: float) -> None:
    """Set every dropout rate of a `transformers` configuration, that of its classifier included, in place.

    Rates have many names (`hidden_dropout_prob`, `seq_classif_dropout`, `resid_pdrop`); what is None follows another.
    """
    for part in {id(part): part for part in (config, encoder_config(config))}.values():
        for name, value in part.to_dict().items():
            if ("dropout" in name or "pdrop" in name) and type(value) in (int, float):
                setattr(part, name, dropout)


def longest_input(config: Any) -> int | None:
    """The maximum input length in tokens of a model with this configuration; None: any, as with relative positions."""
    encoder = encoder_config(config)
    positions = getattr(encoder, "max_position_embeddings", None)
    # XLNet's configuration has -1.
    if positions is None or positions < 1:
        return None
    return positions - architecture_of(encoder).first_position(encoder)


def encoders_of(model: torch.nn.Module) -> list[Any]:
    """All `transformers` models among a model's modules, itself included, but for a classifier on any encoder."""
    models = [module for module in model.modules() if isinstance(module, PreTrainedModel)]
    return [module for module in models if not isinstance(module.config, PooledConfig)]


def bert_config(config: EncoderConfig, tokenizer: Any) -> BertConfig:
    """The configuration of a BERT encoder for this tokenizer.

    Raises:
        InputError: the hidden size is not a multiple of the number of heads.
    """
    return BertConfig(**_encoder_arguments(config, tokenizer))


def modernbert_config(config: EncoderConfig, tokenizer: Any) -> ModernBertConfig:
    """The configuration of a ModernBERT encoder (Warner et al. 2024) with global attention in every layer.

    Its gated MLP has three matrices: two thirds of BERT's inner width keep the number of parameters.

    Raises:
        InputError: the hidden size is not a multiple of the number of heads, or no even multiple.
    """
    arguments = _encoder_arguments(config, tokenizer)
    heads, hidden_size = arguments["num_attention_heads"], arguments["hidden_size"]
    if (width := hidden_size // heads) % 2:
        # Rotary positions turn pairs of a head's numbers.
        raise InputError(
            f"model.heads: {heads} divides model.hidden_size, {hidden_size}, into heads of the odd width {width}; "
            "modernbert needs an even one"
        )
    inner = round(2 / 3 * arguments["intermediate_size"] / WIDTH_MULTIPLE) * WIDTH_MULTIPLE
    shared = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings")
    options: dict[str, Any] = {name: arguments[name] for name in (*shared, "initializer_range", "pad_token_id")}
    options |= {
        "intermediate_size": inner,
        "hidden_activation": arguments["hidden_act"],
        "global_attn_every_n_layers": 1,
        "classifier_pooling": "mean",
        "embedding_dropout": config.dropout,
        "attention_dropout": config.dropout,
        "mlp_dropout": config.dropout,
        "bos_token_id": tokenizer.cls_token_id,
        "cls_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "sep_token_id": tokenizer.sep_token_id,
    }
    return ModernBertConfig(**options)


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
        padding_mask_only=always,
    )


ARCHITECTURES = {
    architecture.model_type: architecture
    for architecture in (
        Architecture(
            "bert",
            build_config=bert_config,
            heads={"masked_lm": BertForMaskedLM, "pair": BertForPreTraining},
            vocabulary_head=lambda model, hidden_MH: model.cls.predictions(hidden_MH),
            relation_head=lambda model, encoded, ids_BT, mask_BT: model.cls.seq_relationship(encoded.pooler_output),
            padding_mask_only=always,
        ),
        Architecture(
            "electra",
            build_config=electra_config,
            heads={"replaced_token": ElectraForPreTraining, "generator": ElectraForMaskedLM},
            vocabulary_head=lambda model, hidden_MH: model.generator_lm_head(model.generator_predictions(hidden_MH)),
            padding_mask_only=always,
        ),
        _roberta("roberta"),
        _roberta("xlm-roberta"),
        _roberta("camembert"),
        Architecture("distilbert", padding_mask_only=always),
        Architecture(
            "modernbert",
            build_config=modernbert_config,
            heads={"masked_lm": ModernBertForMaskedLM, "pair": ModernBertForPreTraining},
            vocabulary_head=lambda model, hidden_MH: model.decoder(model.head(hidden_MH)),
            relation_head=lambda model, encoded, ids_BT, mask_BT: model.relation(
                encoded.last_hidden_state, ids_BT, mask_BT
            ),
            padding_mask_only=lambda config: set(config.layer_types) == {"full_attention"},
        ),
    )
}
