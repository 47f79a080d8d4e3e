"""What came of a tokenizer: fertility, unknown rate, and whether it survives the disk."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def audit(trained: "Tokenizer", folder: Path, texts: Sequence[str]) -> dict[str, Any]:
    """Encode `texts` with the trained tokenizer and with what `AutoTokenizer` loads from `folder`.

    Returns:
        `fertility` (tokens a whitespace word), `characters_per_token`, `unknown_rate` (share of tokens),
        `round_trip_rate` (share of texts whose decoded tokens equal the normalised text but for spaces),
        `vocabulary_used` (share of entries seen), and the counts behind them.

    Raises:
        InputError: the loaded tokenizer gives other ids than the trained one.
    """
    from transformers import AutoTokenizer

    encodings = trained.encode_batch_fast(list(texts), add_special_tokens=False)
    ids = [encoding.ids for encoding in encodings]
    # The folder carries the truncation length of the model; the audit compares whole texts.
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    loaded = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
    for text, mine, reloaded in zip(texts, ids, loaded, strict=True):
        if mine != list(reloaded):
            raise InputError(f"tokenizer: {folder} gives other ids after loading, for the text {text[:80]!r}")
    tokens = sum(map(len, ids))
    unknown = trained.token_to_id("[UNK]")
    unknowns = sum(token == unknown for row in ids for token in row)
    survived = [
        _squeezed(trained.decode(row, skip_special_tokens=False)) == _squeezed(_normalised(trained, text))
        for text, row in zip(texts, ids, strict=True)
    ]
    return {
        "vocabulary_size": trained.get_vocab_size(),
        "audited_texts": len(texts),
        "tokens": tokens,
        "fertility": tokens / max(1, sum(len(text.split()) for text in texts)),
        "characters_per_token": sum(map(len, texts)) / max(1, tokens),
        "unknown_rate": unknowns / max(1, tokens),
        "round_trip_rate": sum(survived) / len(survived),
        "vocabulary_used": len(set().union(*ids)) / trained.get_vocab_size(),
    }


def _normalised(tokenizer: "Tokenizer", text: str) -> str:
    return tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer else text


def _squeezed(text: str) -> str:
    return "".join(text.split())


def described(report: dict[str, Any]) -> str:
    """The audit in one line for a person."""
    return (
        f"tokenizer: {report['vocabulary_size']:,} entries, {report['vocabulary_used']:.0%} of them seen; "
        f"{report['fertility']:.2f} tokens a word; {report['unknown_rate']:.3%} unknown; "
        f"{report['round_trip_rate']:.1%} of {report['audited_texts']:,} texts survive the round trip"
    )
