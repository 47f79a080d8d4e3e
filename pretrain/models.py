"""The one place that names the models."""

import math
from typing import Any

import torch
import transformers
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForPreTraining,
)

from configs.errors import InputError
from pretrain import continued
from pretrain.configuration_recurrent import RecurrentConfig
from pretrain.continued import quiet_transformers, set_dropout
from pretrain.heads import MaskedLanguageModel, PairModel, ReplacedTokenModel
from pretrain.model_config import RECURRENT, SCRATCH, ClassifierConfig, EncoderConfig, LanguageModelConfig, stage_of
from pretrain.modeling_recurrent import RecurrentForSequenceClassification, RecurrentModel
from pretrain.modeling_writing import RecurrentForCausalLM, RecurrentForSequenceToSequence
from pretrain.trust import SAFE_WEIGHTS, UNREADABLE, allowed

AutoConfig.register(RecurrentConfig.model_type, RecurrentConfig)
AutoModel.register(RecurrentConfig, RecurrentModel)
AutoModelForSequenceClassification.register(RecurrentConfig, RecurrentForSequenceClassification)
AutoModelForCausalLM.register(RecurrentConfig, RecurrentForCausalLM)
AutoModelForSeq2SeqLM.register(RecurrentConfig, RecurrentForSequenceToSequence)

# Layers and widths of google-research/bert's released sizes (README, "Smaller BERT Models").
SIZES = {"tiny": (2, 128), "mini": (4, 256), "small": (4, 512), "medium": (8, 512), "base": (12, 768)}
WIDTH_OF_A_HEAD = 64


def bert_config(config: EncoderConfig, tokenizer: Any) -> BertConfig:
    """The `transformers` configuration of an encoder for this tokenizer.

    Raises:
        InputError: the width is no multiple of the number of heads.
    """
    return BertConfig(**_sizes(config, tokenizer))


def electra_configs(config: EncoderConfig, tokenizer: Any) -> tuple[ElectraConfig, ElectraConfig]:
    """Discriminator and generator: the same layers, the generator narrower (Clark et al. 2020, section 3.2)."""
    sizes: dict[str, Any] = _sizes(config, tokenizer)
    width = sizes["hidden_size"]
    heads = max(1, round(config.generator_share * sizes["num_attention_heads"]))
    narrow = heads * (width // sizes["num_attention_heads"])
    generator: dict[str, Any] = sizes | {
        "hidden_size": narrow,
        "num_attention_heads": heads,
        "intermediate_size": 4 * narrow,
    }
    return ElectraConfig(embedding_size=width, **sizes), ElectraConfig(embedding_size=width, **generator)


def _sizes(config: EncoderConfig, tokenizer: Any) -> dict[str, Any]:
    layers, hidden_size = SIZES[config.size]
    layers, hidden_size = config.layers or layers, config.hidden_size or hidden_size
    heads = config.heads or max(1, hidden_size // WIDTH_OF_A_HEAD)
    if hidden_size % heads:
        raise InputError(f"model.heads: {heads} does not divide the width {hidden_size}")
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


def pretraining_model(objective: str, config: EncoderConfig, tokenizer: Any, checkpoint: str | None, seed: int) -> Any:
    """What an objective trains, fresh or continuing a checkpoint; initial weights are drawn from `seed`.

    Args:
        objective: a key of `OBJECTIVES`.
        config: the sizes of a fresh encoder, and dropout.
        tokenizer: of the sequences to come; where it has more entries than the checkpoint, those get rows of their own.
        checkpoint: folder or Hub id to continue, or None.
        seed: of fresh weights.

    Raises:
        InputError: the checkpoint cannot be loaded, or is not of a kind that the objective can continue.
    """
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(seed)
        if checkpoint is not None:
            return continued.model(objective, config, tokenizer, checkpoint)
        if objective == "rtd":
            discriminator, generator = electra_configs(config, tokenizer)
            return ReplacedTokenModel(ElectraForPreTraining(discriminator), ElectraForMaskedLM(generator))
        described = bert_config(config, tokenizer)
        if objective == "mlm":
            return MaskedLanguageModel(BertForMaskedLM(described))
        return PairModel(BertForPreTraining(described))


def writing_model(
    objective: str, config: LanguageModelConfig, tokenizer: Any, seed: int
) -> transformers.PreTrainedModel:
    """A fresh recurrent language model (`causal_lm`) or sequence autoencoder (`autoencode`), drawn from `seed`."""
    described = RecurrentConfig(
        **_recurrent_sizes(config, tokenizer),
        cell=config.cell,
        bidirectional=config.bidirectional,
        # Two language models must not see each other's states: they would read what they are to tell.
        separate_directions=config.bidirectional and objective == "causal_lm",
        dropout=config.dropout,
        embedding_dropout=config.embedding_dropout,
        weight_dropout=config.weight_dropout,
        attention=config.attention,
    )
    kind = RecurrentForCausalLM if objective == "causal_lm" else RecurrentForSequenceToSequence
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(described)


def classifier(
    config: ClassifierConfig, checkpoint: str, tokenizer: Any, names: list[str], seed: int
) -> transformers.PreTrainedModel:
    """A sequence classifier by name, what is fresh in it drawn from `seed`.

    Args:
        config: the name, and the sizes of recurrent models.
        checkpoint: folder or Hub id of what `bert`, `bert-scratch` and other checkpoints start from.
        tokenizer: gives the vocabulary and the padding id.
        names: of the classes, in the order of their numbers.
        seed: of fresh weights.

    Raises:
        InputError: the checkpoint cannot be loaded.
    """
    numbers = {name: number for number, name in enumerate(names)}
    labels = {"num_labels": len(names), "id2label": dict(enumerate(names)), "label2id": numbers}
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(seed)
        if config.name in RECURRENT:
            return RecurrentForSequenceClassification(recurrent_config(config, tokenizer, labels))
        try:
            described = AutoConfig.from_pretrained(checkpoint, **labels, **allowed(config.trust_remote_code))
            set_dropout(described, config.dropout)
            if isinstance(described, RecurrentConfig):
                described.update(of_recurrence(config))
            if config.name.endswith(SCRATCH) and stage_of(config.name):
                return AutoModelForSequenceClassification.from_config(described)
            model = AutoModelForSequenceClassification.from_pretrained(
                checkpoint,
                config=described,
                ignore_mismatched_sizes=True,
                **SAFE_WEIGHTS | allowed(config.trust_remote_code),
            )
            if config.fresh_layers and not isinstance(described, RecurrentConfig):
                refresh(model, AutoModelForSequenceClassification.from_config(described), config.fresh_layers)
            return model
        except UNREADABLE as error:
            raise InputError(f"model: {checkpoint!r} cannot be loaded: {' '.join(str(error).split())}") from None


def refresh(model: Any, fresh: Any, layers: int) -> None:
    """Put the top `layers` and the pooler of `fresh` in the place of `model`'s.

    Raises:
        InputError: the model has no such layers.
    """
    old: Any = getattr(model.base_model, "encoder", None)
    new: Any = getattr(fresh.base_model, "encoder", None)
    if not hasattr(old, "layer") or layers > len(old.layer):
        raise InputError(f"model.fresh_layers: {layers} top layers are not to be found in this checkpoint")
    for number in range(len(old.layer) - layers, len(old.layer)):
        old.layer[number] = new.layer[number]
    # ELECTRA's has none: its classifier's head is fresh as it is.
    if getattr(model.base_model, "pooler", None) is not None:
        model.base_model.pooler = fresh.base_model.pooler


def recurrent_config(config: ClassifierConfig, tokenizer: Any, labels: dict[str, Any]) -> RecurrentConfig:
    """The `transformers` configuration of a recurrent model."""
    named = RECURRENT[config.name]
    return RecurrentConfig(
        **_recurrent_sizes(config, tokenizer),
        cell=named.cell,
        bidirectional=named.bidirectional,
        **of_recurrence(config),
        **labels,
    )


def _recurrent_sizes(config: ClassifierConfig | LanguageModelConfig, tokenizer: Any) -> dict[str, Any]:
    """What every fresh recurrent model takes from its config and tokenizer."""
    return {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "embedding_size": config.embedding_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.layers,
    }


def of_recurrence(config: ClassifierConfig) -> dict[str, Any]:
    """What a recurrent classifier takes from its config even where its sizes are a checkpoint's."""
    named = RECURRENT.get(config.name)
    return {
        "pooling": config.pooling if named is None or named.pooling is None else named.pooling,
        "dropout": config.dropout,
        "embedding_dropout": config.embedding_dropout,
        "weight_dropout": config.weight_dropout,
    }
