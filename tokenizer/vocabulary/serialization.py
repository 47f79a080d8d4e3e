"""Saving and loading tokenizers with `transformers`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.errors import InputError
from tokenizer.vocabulary.config import VocabularyConfig

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase


# A class of finetune/classification/tokenization_head_tail.py.
OUR_CUTTING_TOKENIZER = "HeadTailTokenizer"
# The files of a tokenizer; older checkpoints have only a vocabulary.
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "spiece.model", "sentencepiece.bpe.model", "vocab.json")
# What decides a text's ids: these, and casing, accents, merges and added tokens in files of their own.
DECIDING_FILES = (
    "tokenizer*.json",
    "vocab.*",
    "*.model",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "*.tiktoken",
    "tokenization_*.py",
)


def save(tokenizer: "Tokenizer", config: VocabularyConfig, folder: Path) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json` so that `AutoTokenizer` loads an identical tokenizer."""
    from transformers import BertTokenizer, PreTrainedTokenizerFast

    if config.model == "wordpiece" and config.normalisation == "bert":
        options: dict[str, Any] = {"do_lower_case": config.lowercase, "strip_accents": config.strip_accents}
        saved: Any = BertTokenizer(tokenizer_object=tokenizer, model_max_length=config.maximum_length, **options)
    else:
        # On loading, `BertTokenizer` would replace our normaliser by BERT's.
        saved = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            model_max_length=config.maximum_length,
            model_input_names=["input_ids", "token_type_ids", "attention_mask"],
            pad_token="[PAD]",
            unk_token="[UNK]",
            cls_token="[CLS]",
            sep_token="[SEP]",
            mask_token="[MASK]",
        )
    saved.save_pretrained(folder)


def load(folder: str | Path, commit: str | None = None) -> "PreTrainedTokenizerBase":
    """Load a tokenizer for BERT from a local folder or the Hub.

    Args:
        folder: the local folder, or the Hub id.
        commit: of a Hub id, the commit to load, whose code may run; None loads the newest one and runs no code.

    Raises:
        InputError: it cannot be loaded, or lacks special tokens that BERT needs.
    """
    tokenizer = load_any(folder, commit)
    missing = [
        name for name in ("pad_token", "cls_token", "sep_token", "mask_token") if getattr(tokenizer, name) is None
    ]
    if missing:
        raise InputError(f"tokenizer: {str(folder)!r} has no {', '.join(missing)}, which BERT needs")
    return tokenizer


def load_any(folder: str | Path, commit: str | None = None) -> Any:
    """Load a tokenizer from a local folder or the Hub, as `load` does; no special tokens are required.

    Raises:
        InputError: it cannot be loaded.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        if _cuts_texts(Path(folder)):
            return PreTrainedTokenizerFast.from_pretrained(folder, trust_remote_code=False, truncation_side="right")
        if commit is None:
            return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=True, revision=commit)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"tokenizer: {str(folder)!r} cannot be loaded: {' '.join(str(error).split())}") from None


def _cuts_texts(folder: Path) -> bool:
    """Whether a folder's tokenizer is ours that cuts texts to head and tail: that code is for use elsewhere.

    Fine-tuning saves it; here, texts are cut before they are given to a model.
    """
    file = folder / "tokenizer_config.json"
    return file.is_file() and json.loads(file.read_bytes()).get("tokenizer_class") == OUR_CUTTING_TOKENIZER


def extends(folder: str, base: str) -> bool:
    """Whether a tokenizer has every entry of a base tokenizer, with the same id."""
    vocabulary, base_vocabulary = load(folder).get_vocab(), load(base).get_vocab()
    return all(vocabulary.get(token) == token_id for token, token_id in base_vocabulary.items())
