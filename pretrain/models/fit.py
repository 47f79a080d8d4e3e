"""Whether a model can read what a tokenizer and a length will give it, found out before anything is trained."""

from typing import Any

import torch

from configs.errors import InputError
from pretrain.models.architectures import ARCHITECTURES, encoder_config, longest_input
from pretrain.models.modeling.configuration_recurrent import RecurrentConfig
from pretrain.models.safe_loading import quiet_transformers


def check_fit(model: Any, tokenizer: Any, length: int, remedy: str = "shorten it") -> None:
    """Check that a model has an embedding for every entry of the tokenizer, and reads sequences of `length` tokens.

    Args:
        model: a `transformers` model, on any device.
        tokenizer: of the texts.
        length: in tokens, special ones included.
        remedy: the advice if the sequences are too long.

    Raises:
        InputError: it does not.
    """
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise InputError(f"model: the tokenizer has {len(tokenizer)} entries, the model's vocabulary only {rows}")
    config = encoder_config(model.config)
    if isinstance(config, RecurrentConfig):
        return
    positions = longest_input(config)
    if positions is not None and length > positions:
        raise InputError(f"sequence_length: {length} exceeds the {positions} positions of the model; {remedy}")
    if config.model_type not in ARCHITECTURES:
        _try_length(model, tokenizer, length, remedy)


def _try_length(model: Any, tokenizer: Any, length: int, remedy: str) -> None:
    """Let a model of an architecture without a record read a sequence: some of them reserve positions.

    Raises:
        InputError: it fails.
    """
    ids_1T = torch.full((1, length), tokenizer.sep_token_id, device=model.device)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), quiet_transformers():
            model.base_model(input_ids=ids_1T, attention_mask=torch.ones_like(ids_1T))
    except (IndexError, RuntimeError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"sequence_length: this {model.config.model_type} model cannot read {length} tokens ({reason}); {remedy}"
        ) from None
    finally:
        model.train(was_training)
