"""Saving and loading tokenizers with `transformers`."""

import functools
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.errors import InputError
from configs.hub_commit import revision_of
from tokenizer.vocabulary.algorithms import bert_format
from tokenizer.vocabulary.config import VocabularyConfig

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase


log = logging.getLogger(__name__)

# The share of entries with capitals from which on a vocabulary looks cased; uncased ones of BERT have none.
MANY_CAPITALISED = 0.02

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
        InputError: it cannot be loaded, lacks special tokens that BERT needs, or writes texts in another format.
    """
    tokenizer = load_any(folder, commit)
    if not hasattr(tokenizer, "backend_tokenizer"):
        raise InputError(
            f"tokenizer: {str(folder)!r} is a {type(tokenizer).__name__}, written in Python; only those of the library "
            "`tokenizers` can be used (a folder with a tokenizer.json)"
        )
    missing = [
        name for name in ("pad_token", "cls_token", "sep_token", "mask_token") if getattr(tokenizer, name) is None
    ]
    if missing:
        raise InputError(f"tokenizer: {str(folder)!r} has no {', '.join(missing)}, which BERT needs")
    _check_format(tokenizer, str(folder))
    _check_casing(tokenizer, str(folder))
    return tokenizer


def _check_format(tokenizer: Any, name: str) -> None:
    """Let a tokenizer that adds no special tokens write [CLS] text [SEP].

    Raises:
        InputError: it writes texts in another format, as XLNet's does.
    """
    text = "a"
    try:
        ids, alone = (tokenizer(text, add_special_tokens=added)["input_ids"] for added in (True, False))
    except Exception as error:  # noqa: BLE001
        # `tokenizers` raises plain `Exception`, for example if the vocabulary lacks its own unknown token.
        raise InputError(f"tokenizer: {name!r} cannot read the text {text!r}: {error}") from None
    first, last = tokenizer.cls_token_id, tokenizer.sep_token_id
    if ids == [first, *alone, last]:
        return
    if ids != alone:
        written = " ".join(tokenizer.convert_ids_to_tokens(ids))
        raise InputError(
            f"tokenizer: {name!r} writes the text {text!r} as {written!r}; Bertlet is for encoders that read "
            f"`{tokenizer.cls_token} text {tokenizer.sep_token}`"
        )
    _log_once(logging.INFO, f"tokenizer: {name!r} adds no special tokens; texts get [CLS] and [SEP]")
    tokenizer.backend_tokenizer.post_processor = bert_format((tokenizer.cls_token, first), (tokenizer.sep_token, last))


def _check_casing(tokenizer: Any, name: str) -> None:
    """Warn if the vocabulary contradicts the tokenizer's casing, and say which casing an old `vocab.txt` was read with.

    Without `tokenizer_config.json`, transformers takes every BERT vocabulary as uncased.
    """
    backend = tokenizer.backend_tokenizer
    lowercases = backend.normalizer is not None and backend.normalizer.normalize_str("A") == "a"
    words = [entry.removeprefix("##") for entry in tokenizer.get_vocab() if entry not in tokenizer.all_special_tokens]
    capitalised = sum(word != word.lower() for word in words)
    advice = f'write {{"do_lower_case": {str(not lowercases).lower()}}} into its tokenizer_config.json if that is wrong'
    folder = Path(name)
    if folder.is_dir() and not (folder / "tokenizer.json").is_file() and (folder / "vocab.txt").is_file():
        _log_once(logging.INFO, f"tokenizer: {name!r} is read as {'uncased' if lowercases else 'cased'}; {advice}")
    if lowercases and capitalised > MANY_CAPITALISED * len(words):
        _log_once(
            logging.WARNING,
            f"tokenizer: {name!r} lower-cases texts, but {capitalised:,} of its {len(words):,} entries have capitals "
            f"and can never occur: it looks cased; {advice}",
        )


@functools.cache
def _log_once(level: int, line: str) -> None:
    """Log a line unless this process has done so: a tokenizer is loaded several times."""
    log.log(level, line)


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
            return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, **revision_of(folder))
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=True, revision=commit)
    except Exception as error:  # noqa: BLE001
        # Of a damaged file, transformers and tokenizers raise anything, plain `Exception` included.
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
