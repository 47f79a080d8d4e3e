"""The one place that names the models.

Shapes: B sequences, T positions, H width, M masked positions, V vocabulary.
"""

import contextlib
import math
from collections.abc import Generator
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForSequenceClassification, BertConfig, BertForPreTraining

from configs.errors import InputError
from pretrain.config import RECURRENT, ClassifierConfig, EncoderConfig
from pretrain.modeling_recurrent import RecurrentConfig, RecurrentForSequenceClassification

AutoConfig.register(RecurrentConfig.model_type, RecurrentConfig)
AutoModelForSequenceClassification.register(RecurrentConfig, RecurrentForSequenceClassification)

# Layers and widths of google-research/bert's released sizes (README, "Smaller BERT Models").
SIZES = {"tiny": (2, 128), "mini": (4, 256), "small": (4, 512), "medium": (8, 512), "base": (12, 768)}
WIDTH_OF_A_HEAD = 64


def bert_config(config: EncoderConfig, tokenizer: Any) -> BertConfig:
    """The `transformers` configuration of an encoder for this tokenizer.

    Raises:
        InputError: the width is no multiple of the number of heads.
    """
    layers, hidden_size = SIZES[config.size]
    layers, hidden_size = config.layers or layers, config.hidden_size or hidden_size
    heads = config.heads or max(1, hidden_size // WIDTH_OF_A_HEAD)
    if hidden_size % heads:
        raise InputError(f"model.heads: {heads} does not divide the width {hidden_size}")
    return BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * hidden_size,
        hidden_dropout_prob=config.dropout,
        attention_probs_dropout_prob=config.dropout,
        max_position_embeddings=config.maximum_positions,
        initializer_range=config.initializer_range or 1 / math.sqrt(hidden_size),
        pad_token_id=tokenizer.pad_token_id,
    )


def new_encoder(config: EncoderConfig, tokenizer: Any, seed: int) -> BertForPreTraining:
    """A BERT with both pretraining heads and initial weights drawn from `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BertForPreTraining(bert_config(config, tokenizer))


class PretrainingModel(torch.nn.Module):
    """`BertForPreTraining` with its vocabulary head computed at masked positions only.

    transformers decodes every position; with 15 % masked, that is most of a small model's arithmetic.
    """

    def __init__(self, bert: BertForPreTraining) -> None:
        super().__init__()
        self.bert = bert

    def forward(
        self,
        input_ids: torch.Tensor,
        token_type_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        masked_positions: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Predict the masked tokens and whether B follows A.

        Args:
            input_ids, token_type_ids, attention_mask: [B, T].
            masked_positions: [M], indices into the flattened [B * T].

        Returns:
            Scores over the vocabulary [M, V] and over (follows, random) [B, 2].
        """
        encoded = self.bert.bert(input_ids=input_ids, token_type_ids=token_type_ids, attention_mask=attention_mask)
        hidden_MH = encoded.last_hidden_state.flatten(0, 1)[masked_positions]
        return self.bert.cls.predictions(hidden_MH), self.bert.cls.seq_relationship(encoded.pooler_output)


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
            described = AutoConfig.from_pretrained(checkpoint, **labels)
            for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
                if hasattr(described, name):
                    setattr(described, name, config.dropout)
            if config.name == "bert-scratch":
                return AutoModelForSequenceClassification.from_config(described)
            model = AutoModelForSequenceClassification.from_pretrained(
                checkpoint, config=described, ignore_mismatched_sizes=True
            )
            if config.fresh_layers:
                refresh(model, AutoModelForSequenceClassification.from_config(described), config.fresh_layers)
            return model
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"model: {checkpoint!r} cannot be loaded: {' '.join(str(error).split())}") from None


def refresh(model: Any, fresh: Any, layers: int) -> None:
    """Put the top `layers` and the pooler of `fresh` in the place of `model`'s.

    Raises:
        InputError: the model has no such layers or no pooler.
    """
    old: Any = getattr(model.base_model, "encoder", None)
    new: Any = getattr(fresh.base_model, "encoder", None)
    if not hasattr(old, "layer") or getattr(model.base_model, "pooler", None) is None or layers > len(old.layer):
        raise InputError(f"model.fresh_layers: {layers} top layers and a pooler are not to be found in this checkpoint")
    for number in range(len(old.layer) - layers, len(old.layer)):
        old.layer[number] = new.layer[number]
    model.base_model.pooler = fresh.base_model.pooler


def recurrent_config(config: ClassifierConfig, tokenizer: Any, labels: dict[str, Any]) -> RecurrentConfig:
    """The `transformers` configuration of a recurrent model."""
    cell, bidirectional = RECURRENT[config.name]
    return RecurrentConfig(
        vocab_size=len(tokenizer),
        cell=cell,
        embedding_size=config.embedding_size,
        hidden_size=config.hidden_size,
        num_hidden_layers=config.layers,
        bidirectional=bidirectional,
        pooling=config.pooling,
        dropout=config.dropout,
        pad_token_id=tokenizer.pad_token_id,
        **labels,
    )


@contextlib.contextmanager
def quiet_transformers() -> Generator[None]:
    """Without transformers' report of fresh heads, which are meant to be fresh, and its bars."""
    before, bars = transformers.logging.get_verbosity(), transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(before)
        if bars:
            transformers.logging.enable_progress_bar()
