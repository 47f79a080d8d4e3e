"""Tokenizers as `transformers` saves and loads them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.errors import InputError
from tokenizer.vocabulary.config import VocabularyConfig

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase


# What a tokenizer may be saved as; older checkpoints have a vocabulary alone.
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "spiece.model", "sentencepiece.bpe.model", "vocab.json")


def save(tokenizer: "Tokenizer", config: VocabularyConfig, folder: Path) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json` so that `AutoTokenizer` gives the same ids."""
    from transformers import BertTokenizer, PreTrainedTokenizerFast

    if config.model == "wordpiece" and config.normalisation == "bert":
        options: dict[str, Any] = {"do_lower_case": config.lowercase, "strip_accents": config.strip_accents}
        wrapped: Any = BertTokenizer(tokenizer_object=tokenizer, model_max_length=config.maximum_length, **options)
    else:
        # BERT's own class would put BERT's normalisation in the place of ours when it is loaded.
        wrapped = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            model_max_length=config.maximum_length,
            model_input_names=["input_ids", "token_type_ids", "attention_mask"],
            pad_token="[PAD]",
            unk_token="[UNK]",
            cls_token="[CLS]",
            sep_token="[SEP]",
            mask_token="[MASK]",
        )
    wrapped.save_pretrained(folder)


def load(folder: str | Path) -> "PreTrainedTokenizerBase":
    """A tokenizer from a local folder or the Hub, as BERT needs it.

    Raises:
        InputError: there is none, or it lacks the special tokens that BERT needs.
    """
    tokenizer = load_any(folder)
    missing = [
        name for name in ("pad_token", "cls_token", "sep_token", "mask_token") if getattr(tokenizer, name) is None
    ]
    if missing:
        raise InputError(f"tokenizer: {str(folder)!r} has no {', '.join(missing)}, which BERT needs")
    return tokenizer


def load_any(folder: str | Path) -> Any:
    """A tokenizer from a local folder or the Hub, whatever special tokens it has.

    Raises:
        InputError: there is none.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"tokenizer: {str(folder)!r} cannot be loaded: {' '.join(str(error).split())}") from None


def extends(folder: str, known: str) -> bool:
    """Whether a tokenizer has every entry of a known one, under the same number."""
    entries, base = load(folder).get_vocab(), load(known).get_vocab()
    return all(entries.get(token) == number for token, number in base.items())
