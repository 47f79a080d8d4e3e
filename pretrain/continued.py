"""Pretraining that goes on from a checkpoint: its weights, its tokenizer, and words that it does not know yet."""

import contextlib
import logging
from collections.abc import Generator
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForMaskedLM, BertForPreTraining, ElectraForMaskedLM, ElectraForPreTraining

from configs.errors import InputError
from pretrain.heads import GENERATOR, MaskedLanguageModel, PairModel, ReplacedTokenModel
from pretrain.model_config import EncoderConfig
from pretrain.trust import SAFE, SAFE_WEIGHTS, UNREADABLE, allowed
from tokenizer.train import load as load_tokenizer

log = logging.getLogger(__name__)

# What dropout is called in the configurations of BERT's relatives.
DROPOUTS = (
    "hidden_dropout_prob", "attention_probs_dropout_prob", "embedding_dropout", "mlp_dropout", "attention_dropout",
)  # fmt: skip


def model(objective: str, config: EncoderConfig, tokenizer: Any, checkpoint: str) -> Any:
    """A checkpoint's weights under an objective's heads; what it lacks starts afresh, and is named in the log.

    Args:
        objective: a key of `OBJECTIVES`. `mlm` continues every masked-LM model, pairs need BERT, and `rtd` ELECTRA.
        config: dropout, and the generator's share where the checkpoint has none.
        tokenizer: the checkpoint's own, or one that adds words to it.
        checkpoint: folder or Hub id.

    Raises:
        InputError: the checkpoint cannot be loaded, or is not of the right kind.
    """
    try:
        described = AutoConfig.from_pretrained(checkpoint, **allowed(config.trust_remote_code))
        needed = {"mlm_nsp": "bert", "mlm_sop": "bert", "rtd": "electra"}.get(objective)
        if needed is not None and described.model_type != needed:
            raise InputError(
                f"model.init_from: {checkpoint!r} is a {described.model_type} model; objective {objective} continues "
                f"{needed} models (objective mlm continues any masked-LM model)"
            )
        set_dropout(described, config.dropout)
        kinds = {"mlm": AutoModelForMaskedLM, "rtd": ElectraForPreTraining}
        parts: list[Any] = [_loaded(kinds.get(objective, BertForPreTraining), checkpoint, described, config)]
        if objective == "rtd":
            parts.append(_generator(checkpoint, described, config))
    except UNREADABLE as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"model.init_from: {checkpoint!r} cannot be loaded: {' '.join(str(error).split())}") from None
    known = load_tokenizer(checkpoint)
    if len(tokenizer) > len(known):
        for part in parts:
            add_rows(part, tokenizer, known)
    heads: dict[str, Any] = {"mlm": MaskedLanguageModel, "rtd": ReplacedTokenModel}
    return heads.get(objective, PairModel)(*parts)


def _loaded(kind: Any, checkpoint: str, described: Any, config: EncoderConfig) -> Any:
    options = SAFE_WEIGHTS | allowed(config.trust_remote_code) | {"dtype": torch.float32, "output_loading_info": True}
    loaded, info = kind.from_pretrained(checkpoint, config=described, **options)
    fresh = sorted({name.rsplit(".", 1)[0] for name in info["missing_keys"]})
    if fresh:
        log.info("model: %s has no weights for %s; these start afresh", checkpoint, ", ".join(fresh))
    return loaded


def _generator(checkpoint: str, described: Any, config: EncoderConfig) -> ElectraForMaskedLM:
    """The generator saved within a checkpoint of ours, or a fresh one."""
    try:
        its_own = AutoConfig.from_pretrained(checkpoint, subfolder=GENERATOR, **SAFE)
        set_dropout(its_own, config.dropout)
        options: dict[str, Any] = SAFE_WEIGHTS | {"subfolder": GENERATOR, "dtype": torch.float32}
        kind: Any = ElectraForMaskedLM
        return kind.from_pretrained(checkpoint, config=its_own, **options)
    except UNREADABLE:
        log.info("model: %s comes without its generator; a new one starts afresh", checkpoint)
    narrow = type(described).from_dict(described.to_dict())
    heads = max(1, round(config.generator_share * described.num_attention_heads))
    narrow.hidden_size = heads * (described.hidden_size // described.num_attention_heads)
    narrow.num_attention_heads, narrow.intermediate_size = heads, 4 * narrow.hidden_size
    return ElectraForMaskedLM(narrow)


def add_rows(model: Any, tokenizer: Any, known: Any) -> None:
    """Rows of the embedding, and of the vocabulary head's bias, for words that a tokenizer adds to a known one.

    A new row is the mean of the rows that spelled the word so far: it starts where the model left off.
    """
    size = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > size:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    head = model.get_output_embeddings()
    with torch.no_grad():
        weight = model.get_input_embeddings().weight
        for number in range(len(known), len(tokenizer)):
            word = tokenizer.convert_ids_to_tokens(number)
            pieces = known(word, add_special_tokens=False)["input_ids"]
            if pieces:
                weight[number] = weight[pieces].mean(0)
                if head is not None and head.bias is not None:
                    head.bias[number] = head.bias[pieces].mean()
    log.info("model: %d rows added to the embedding", len(tokenizer) - len(known))


def set_dropout(described: Any, dropout: float) -> None:
    """Set every dropout that a configuration of `transformers` has, in place."""
    for name in DROPOUTS:
        if hasattr(described, name):
            setattr(described, name, dropout)


def longest_input(described: Any) -> int:
    """The most tokens that a model of this configuration can read.

    RoBERTa and its kin number positions from behind the padding id.
    """
    offset = described.pad_token_id + 1 if described.model_type in ("roberta", "xlm-roberta", "camembert") else 0
    return described.max_position_embeddings - offset


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
