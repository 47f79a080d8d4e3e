"""Continued pretraining: a checkpoint's weights and tokenizer, and embedding rows for added words."""

import logging
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForMaskedLM

from configs.errors import InputError
from pretrain.models.architectures import ARCHITECTURES, generator_config, set_dropout, with_head
from pretrain.models.config import GENERATOR, EncoderConfig
from pretrain.models.pretraining_models import HEAD_MODELS
from pretrain.models.safe_loading import SAFE_WEIGHTS, UNREADABLE, load_arguments
from tokenizer.vocabulary.serialization import load as load_tokenizer

log = logging.getLogger(__name__)


def continued_model(head: str, config: EncoderConfig, tokenizer: Any, checkpoint: str) -> Any:
    """A checkpoint with a pretraining head; missing weights are newly initialised and listed in the log.

    Args:
        head: a key of `HEAD_MODELS`. `masked_lm` continues any masked-LM model, the others only architectures with that
            head.
        config: dropout, and the size of the generator if the checkpoint has none.
        tokenizer: the checkpoint's, or one that adds words to it.
        checkpoint: folder or Hub id.

    Raises:
        InputError: the checkpoint cannot be loaded, or its architecture lacks the head.
    """
    try:
        model_config = AutoConfig.from_pretrained(checkpoint, **load_arguments(checkpoint, config.trust_remote_code))
        if head == "masked_lm":
            model_class: Any = AutoModelForMaskedLM
        else:
            model_class = _class_with_head(head, model_config.model_type, checkpoint)
        set_dropout(model_config, config.dropout)
        if head == "pair" and getattr(model_config, "sep_token_id", None) is not None:
            # ModernBERT's pair head finds the segments by it; configurations may have a default of another vocabulary.
            model_config.sep_token_id = tokenizer.sep_token_id
        models: list[Any] = [_load(model_class, checkpoint, model_config, config)]
        if head == "replaced_token":
            models.append(_load_generator(checkpoint, model_config, config))
    except UNREADABLE as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"model.init_from: {checkpoint!r} cannot be loaded: {' '.join(str(error).split())}") from None
    old_tokenizer = load_tokenizer(checkpoint, config.trust_remote_code)
    if len(tokenizer) > len(old_tokenizer):
        for model in models:
            add_rows(model, tokenizer, old_tokenizer)
    return HEAD_MODELS[head](*models)


def _class_with_head(head: str, model_type: str, checkpoint: str) -> Any:
    """The `transformers` class of an architecture with a head.

    Raises:
        InputError: the architecture lacks the head.
    """
    candidates = {architecture.model_type: architecture for architecture in with_head(head)}
    if model_type not in candidates:
        raise InputError(
            f"model.init_from: {checkpoint!r} is a {model_type} model; this objective continues "
            f"{' or '.join(candidates)} models (objective mlm continues any masked-LM model)"
        )
    return candidates[model_type].heads[head]


def _load(model_class: Any, checkpoint: str, model_config: Any, config: EncoderConfig) -> Any:
    options = SAFE_WEIGHTS | load_arguments(checkpoint, config.trust_remote_code)
    model, info = model_class.from_pretrained(checkpoint, config=model_config, output_loading_info=True, **options)
    missing = sorted({name.rsplit(".", 1)[0] for name in info["missing_keys"]})
    if missing:
        log.info("model: %s has no weights for %s; they are newly initialised", checkpoint, ", ".join(missing))
    return model


def _load_generator(checkpoint: str, discriminator: Any, config: EncoderConfig) -> Any:
    """The generator saved with a checkpoint of this toolkit, or a new one."""
    generator_class: Any = ARCHITECTURES["electra"].heads["generator"]
    try:
        model_config = AutoConfig.from_pretrained(checkpoint, subfolder=GENERATOR, **load_arguments(checkpoint))
        set_dropout(model_config, config.dropout)
        options = SAFE_WEIGHTS | load_arguments(checkpoint) | {"subfolder": GENERATOR}
        return generator_class.from_pretrained(checkpoint, config=model_config, **options)
    except UNREADABLE:
        log.info("model: %s has no generator; a new one is initialised", checkpoint)
    return generator_class(generator_config(discriminator, config.generator_share))


def add_rows(model: Any, tokenizer: Any, old_tokenizer: Any) -> None:
    """Add rows to the embedding and the vocabulary head's bias for words that are not in the old tokenizer, in place.

    A new row is the mean of the rows of the pieces into which the old tokenizer splits the word.
    """
    size = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > size:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    head = model.get_output_embeddings()
    with torch.no_grad():
        weight = model.get_input_embeddings().weight
        for token in range(len(old_tokenizer), len(tokenizer)):
            word = tokenizer.convert_ids_to_tokens(token)
            pieces = old_tokenizer(word, add_special_tokens=False)["input_ids"]
            if pieces:
                weight[token] = weight[pieces].mean(0)
                if head is not None and head.bias is not None:
                    head.bias[token] = head.bias[pieces].mean()
    log.info("model: %d rows added to the embedding", len(tokenizer) - len(old_tokenizer))
