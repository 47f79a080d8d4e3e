"""What came of a tokenizer: fertility, unknown rate, and whether it survives the disk."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


CHARACTERS_OF_A_LONG_WORD = 15
HIGH_UNKNOWN_RATE = 0.01
LOW_ROUND_TRIP_RATE = 0.9


def audit(trained: "Tokenizer", folder: Path, texts: Sequence[str]) -> dict[str, Any]:
    """Encode `texts` with the trained tokenizer and with what `AutoTokenizer` loads from `folder`.

    Returns:
        `fertility` (tokens a whitespace word), `characters_per_token`, `unknown_rate` (share of tokens),
        `round_trip_rate` (share of texts whose decoded tokens equal the normalised text but for spaces),
        `vocabulary_used` (share of entries seen), the counts behind them, and `advice`, a list of sentences.

    Raises:
        InputError: the loaded tokenizer gives other ids than the trained one.
    """
    from transformers import AutoTokenizer

    encodings = trained.encode_batch_fast(list(texts), add_special_tokens=False)
    ids = [encoding.ids for encoding in encodings]
    # The folder carries the truncation length of the model; the audit compares whole texts.
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    loaded = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
    for text, mine, reloaded in zip(texts, ids, loaded, strict=True):
        if mine != list(reloaded):
            raise InputError(f"tokenizer: {folder} gives other ids after loading, for the text {text[:80]!r}")
    tokens, words = sum(map(len, ids)), sum(len(text.split()) for text in texts)
    unknowns = sum(token == tokenizer.unk_token_id for row in ids for token in row)
    survived = [
        _squeezed(trained.decode(row, skip_special_tokens=False)) == _squeezed(_normalised(trained, text))
        for text, row in zip(texts, ids, strict=True)
    ]
    report = {
        "vocabulary_size": trained.get_vocab_size(),
        "audited_texts": len(texts),
        "tokens": tokens,
        "fertility": tokens / max(1, words),
        "characters_per_token": sum(map(len, texts)) / max(1, tokens),
        "unknown_rate": unknowns / max(1, tokens),
        "round_trip_rate": sum(survived) / len(survived),
        "vocabulary_used": len(set().union(*ids)) / trained.get_vocab_size(),
        "characters_per_word": sum(len("".join(text.split())) for text in texts) / max(1, words),
    }
    return report | {"advice": advice(report)}


def advice(report: dict[str, Any]) -> list[str]:
    """What a person should do about an audit; nothing where all is well.

    >>> advice({"unknown_rate": 0.0, "round_trip_rate": 1.0, "characters_per_word": 5.1, "characters_per_token": 3.2})
    []
    """
    found = []
    if report["characters_per_word"] > CHARACTERS_OF_A_LONG_WORD:
        found.append(
            "the text has no spaces between words, so that tokens a word say little "
            f"({report['characters_per_token']:.2f} characters a token); `model: unigram` needs none"
        )
    if report["unknown_rate"] > HIGH_UNKNOWN_RATE:
        found.append(
            f"{report['unknown_rate']:.1%} of the tokens are unknown; raise `vocabulary_size` or choose `model: bpe`, "
            "which knows every text"
        )
    elif report["round_trip_rate"] < LOW_ROUND_TRIP_RATE:
        found.append(
            f"{1 - report['round_trip_rate']:.1%} of the texts do not come back as they were; see `strip_accents` and "
            "`normalisation`"
        )
    return found


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
        + "".join(f"\ntokenizer: {sentence}" for sentence in report["advice"])
    )
